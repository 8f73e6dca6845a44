//! What a file holds beside the pixels that are taken of it, and what of that
//! must be told: nothing is thrown away without a word.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ImageRule;

/// A file format that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Lossless, up to 16 bits, perhaps with alpha.
    Png,
    /// Lossy, 8 bits a sample.
    Jpeg,
    /// Windows bitmap.
    Bmp,
    /// Integers or floats of many depths; more than one page is refused.
    Tiff,
    /// An animation gives its first frame.
    Gif,
    /// Lossy or lossless; an animation gives its first frame.
    Webp,
}

impl Format {
    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Format::Png => "PNG",
            Format::Jpeg => "JPEG",
            Format::Bmp => "BMP",
            Format::Tiff => "TIFF",
            Format::Gif => "GIF",
            Format::Webp => "WebP",
        }
    }

    /// Whether saving in it always changes values, as labels of objects do not bear.
    pub fn is_lossy(self) -> bool {
        self == Format::Jpeg
    }
}

/// What a sample can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Whole numbers from 0.
    Unsigned,
    /// Whole numbers below and above 0.
    Signed,
    /// Floating-point numbers, 1 being white unless stated otherwise.
    Float,
}

/// Bits and kind of each sample of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Depth {
    /// Bits of a sample.
    pub bits: u8,
    /// Which numbers the bits make.
    pub kind: Kind,
}

impl Depth {
    /// Unsigned samples of 8 bits: those that are taken without scaling.
    pub const EIGHT: Depth = Depth { bits: 8, kind: Kind::Unsigned };

    /// The value that is white where nothing else is stated: the greatest that
    /// the bits can hold, and 1 for floats.
    pub fn full(self) -> f64 {
        let all = |bits: u8| (u64::MAX >> 64u8.saturating_sub(bits).min(63)) as f64;
        match self.kind {
            Kind::Unsigned => all(self.bits),
            Kind::Signed => all(self.bits.saturating_sub(1)),
            Kind::Float => 1.0,
        }
    }

    /// Whether it holds more than the 8 bits that are taken.
    pub fn is_deep(self) -> bool {
        self != Self::EIGHT
    }
}

impl fmt::Display for Depth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Unsigned => "",
            Kind::Signed => " signed",
            Kind::Float => " float",
        };
        write!(f, "{}-bit{kind}", self.bits)
    }
}

/// What one file holds beside its pixels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// By the first bytes, whatever the name says.
    pub format: Format,
    /// Of the samples as stored.
    pub depth: Depth,
    /// The greatest colour sample, as stored.
    pub largest: f64,
    /// The orientation tag (EXIF), 1..=8; the pixels are turned as it says.
    pub orientation: u8,
    /// Pictures of an animation, of which the first was taken; else 1.
    pub frames: usize,
    /// Whether there is an alpha channel that is not opaque everywhere; it is left out.
    pub transparent: bool,
}

impl Facts {
    /// Width and height as stored, of a picture that is shown with the given ones.
    pub fn stored_size(&self, (width, height): (u32, u32)) -> (u32, u32) {
        if self.orientation >= 5 { (height, width) } else { (width, height) }
    }

    /// Why the picture would come out nearly black, where it would: its values
    /// need a range that nobody stated.
    pub fn too_dark(&self, rule: ImageRule) -> Option<String> {
        darkness(self.depth, self.largest, rule).map(|dark| format!("its largest value is {dark}"))
    }
}

/// Darker than this share of white, whole pictures are taken for wrongly scaled:
/// 14 bits in 16 are a quarter of the scale.
const DARK: f64 = 0.25;

/// Says how far below white a largest value lies, if that is too far.
fn darkness(depth: Depth, largest: f64, rule: ImageRule) -> Option<String> {
    let white = rule.white_of(depth);
    let is_dark = match rule.white {
        // What is stated may be dark, but must be in reach.
        Some(_) => depth.kind != Kind::Float && depth.full() < DARK * white,
        None => depth.is_deep() && largest < DARK * white,
    };
    is_dark.then(|| {
        format!(
            "{largest} of {white}, which is white for {depth} samples{}, so that it would be nearly black; {}",
            if rule.white.is_some() { " as stated" } else { "" },
            remedy(largest)
        )
    })
}

/// How to state the range of values up to a largest one.
pub(super) fn remedy(largest: f64) -> String {
    state(likely_white(largest))
}

fn state(white: f64) -> String {
    format!(
        "state which value is white: image = {{ white = {white} }} in the dataset's manifest, \
         or --white {white} of `dygl predict`"
    )
}

/// What is likely white where values go up to `largest`: 1, or all bits that they take.
fn likely_white(largest: f64) -> f64 {
    if largest <= 1.0 {
        return 1.0;
    }
    all_bits(255.0, largest)
}

/// The first of `white` and of the numbers of more bits, all of them set, that is not
/// below `largest`.
fn all_bits(mut white: f64, largest: f64) -> f64 {
    while white < largest {
        white = 2.0 * white + 1.0;
    }
    white
}

/// What the files of one kind, images or masks, hold beside their pixels.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// Files by format and by depth.
    pub formats: BTreeMap<Format, usize>,
    /// Files by the depth of their samples, sorted by it.
    pub depths: Vec<HeldDepth>,
    /// Files that were turned, by their orientation tag (2..=8).
    pub turned: BTreeMap<u8, usize>,
    /// Animations, of which the first frame was taken.
    pub animated: usize,
    /// Files with an alpha channel that is not opaque, which was left out.
    pub transparent: usize,
}

/// The files of one depth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldDepth {
    /// Bits and kind of the samples of these files.
    pub depth: Depth,
    /// How many files have it.
    pub files: usize,
    /// The greatest colour sample of them all, as stored, and the first file that holds it.
    pub largest: f64,
    /// The first file that holds the greatest sample.
    pub file: String,
}

impl Held {
    /// Counts one more file; its name is kept where it holds the greatest sample of its depth.
    pub fn add(&mut self, file: &str, facts: &Facts) {
        *self.formats.entry(facts.format).or_default() += 1;
        if facts.orientation != 1 {
            *self.turned.entry(facts.orientation).or_default() += 1;
        }
        self.animated += usize::from(facts.frames > 1);
        self.transparent += usize::from(facts.transparent);
        match self.depths.iter_mut().find(|held| held.depth == facts.depth) {
            None => self.depths.push(HeldDepth {
                depth: facts.depth,
                files: 1,
                largest: facts.largest,
                file: file.to_owned(),
            }),
            Some(held) => {
                held.files += 1;
                if held.largest < facts.largest {
                    (held.largest, held.file) = (facts.largest, file.to_owned());
                }
            }
        }
        self.depths.sort_by_key(|held| held.depth);
    }

    /// All files counted so far.
    pub fn files(&self) -> usize {
        self.formats.values().sum()
    }

    /// What was left out or changed, a sentence each; `what` is `images` or `masks`.
    pub fn notes(&self, what: &str) -> Vec<String> {
        let (all, mut notes) = (self.files(), Vec::new());
        let turned: usize = self.turned.values().sum();
        if turned > 0 {
            let tags: Vec<String> = self.turned.iter().map(|(tag, n)| format!("tag {tag}: {n}")).collect();
            notes.push(format!(
                "{turned} of {all} {what} were turned as their orientation tags say ({})",
                tags.join(", ")
            ));
        }
        if self.animated > 0 {
            notes.push(format!(
                "{} of {all} {what} are animations: the first frame of each was taken",
                self.animated
            ));
        }
        if self.transparent > 0 {
            notes.push(format!(
                "{} of {all} {what} hold an alpha channel that is not opaque: it was left out",
                self.transparent
            ));
        }
        notes
    }

    /// How images deeper than 8 bits were scaled, a sentence each.
    pub fn scaling(&self, rule: ImageRule) -> Vec<String> {
        let told = self.depths.iter().filter_map(|held| {
            let (depth, white) = (held.depth, rule.white_of(held.depth));
            (depth.is_deep() || white != depth.full()).then(|| {
                format!(
                    "{} images are {depth}: scaled to 8 bits with {white} as white{} (largest value {})",
                    held.files,
                    if rule.white.is_some() { ", as stated" } else { "" },
                    held.largest
                )
            })
        });
        told.collect()
    }

    /// Why images of 8 bits look nearly black, though their depth cannot tell.
    pub fn faint(&self, rule: ImageRule) -> Option<String> {
        let is_plain = |held: &&HeldDepth| {
            let white = rule.white_of(held.depth);
            !held.depth.is_deep() && white == held.depth.full() && held.largest < DARK * white
        };
        let held = self.depths.iter().find(is_plain)?;
        Some(format!(
            "the largest value of {} 8-bit images is {} of 255 ({}): they are nearly black; if that is not meant, {}",
            held.files,
            held.largest,
            held.file,
            state(all_bits(1.0, held.largest))
        ))
    }

    /// Why the images would come out nearly black: the brightest file and the reason.
    pub fn too_dark(&self, rule: ImageRule) -> Option<(String, String)> {
        self.depths.iter().find_map(|held| {
            let dark = darkness(held.depth, held.largest, rule)?;
            let message = format!("the largest value of {} {} images is {dark}", held.files, held.depth);
            Some((held.file.clone(), message))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(bits: u8, kind: Kind, largest: f64) -> Facts {
        let depth = Depth { bits, kind };
        Facts { format: Format::Tiff, depth, largest, orientation: 1, frames: 1, transparent: false }
    }

    #[test]
    fn a_range_is_asked_for_where_values_do_not_fill_their_depth() {
        let free = ImageRule::default();
        let stated = |white| ImageRule { white: Some(white) };
        for (bits, kind, largest, rule, is_dark) in [
            (16, Kind::Unsigned, 255.0, free, true),
            (16, Kind::Unsigned, 4095.0, free, true),
            (16, Kind::Unsigned, 16_383.0, free, true),
            (16, Kind::Unsigned, 30_000.0, free, false),
            (32, Kind::Unsigned, 65_535.0, free, true),
            (16, Kind::Signed, 2000.0, free, true),
            (32, Kind::Float, 0.9, free, false),
            (32, Kind::Float, 0.01, free, true),
            (8, Kind::Unsigned, 3.0, free, false),
            (16, Kind::Unsigned, 255.0, stated(4095.0), false),
            (8, Kind::Unsigned, 255.0, stated(4095.0), true),
            (32, Kind::Float, 255.0, stated(4095.0), false),
        ] {
            let told = facts(bits, kind, largest).too_dark(rule);
            assert_eq!(told.is_some(), is_dark, "{bits} {kind:?} {largest} {rule:?}: {told:?}");
        }
        let told = facts(16, Kind::Unsigned, 209.0).too_dark(free).expect("dark");
        assert!(
            told.starts_with("its largest value is 209 of 65535") && told.contains("white = 255"),
            "{told}"
        );
        assert_eq!(likely_white(4000.0), 4095.0);
    }

    #[test]
    fn what_was_done_to_files_is_told_with_counts() {
        let mut held = Held::default();
        held.add("a", &Facts { orientation: 6, ..facts(16, Kind::Unsigned, 60_000.0) });
        held.add("b", &Facts { orientation: 3, frames: 4, ..facts(8, Kind::Unsigned, 9.0) });
        held.add("c", &Facts { transparent: true, ..facts(16, Kind::Unsigned, 65_000.0) });
        let notes = held.notes("images").join("\n");
        assert!(
            notes.contains("2 of 3 images were turned as their orientation tags say (tag 3: 1, tag 6: 1)")
        );
        assert!(notes.contains("1 of 3 images are animations") && notes.contains("alpha"), "{notes}");
        let scaling = held.scaling(ImageRule::default()).join("\n");
        assert!(scaling.contains("2 images are 16-bit: scaled to 8 bits with 65535 as white"), "{scaling}");
        let faint = held.faint(ImageRule::default()).expect("faint");
        assert!(faint.contains("9 of 255 (b)") && faint.contains("white = 15"), "{faint}");
        assert_eq!(held.too_dark(ImageRule::default()), None);
    }
}
