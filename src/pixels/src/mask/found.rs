//! What one mask holds under a rule: all that is needed to judge whether the
//! rule fits, in a few numbers.

use std::collections::HashMap;

use super::reading::Scale;
use super::rule::MaskRule;
use super::stored::Values;
use crate::decode::{Facts, Stored, luma};

/// Distinct values that are kept one by one.
const KEPT: usize = 16;
/// Distinct values and colours that are counted at all.
const COUNTED: usize = 1 << 16;
/// A value whose pixels stand in runs of at least this many, on average, is an area;
/// the halo of a lossy file or of a soft edge has shorter ones.
const AREA: f64 = 2.5;
/// The ends of a mask's scale that count as black and white: an eighth each.
const END: u32 = 8;
/// A lossy file gives one value a halo of up to so many others.
const HALO: u32 = 16;
/// Colours none of whose channels is above this are black.
const BLACK: u8 = 64;
/// Degrees between two hues that are called different.
const OTHER_HUE: f64 = 40.0;
/// So many colours or fewer are colours of classes, each for itself.
const CLASSES: usize = 64;

/// One mask under a rule. Values are greys on the scale 0..=255, or labels; counts
/// are pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// All pixels of the mask.
    pub pixels: u64,
    /// Pixels whose value lies above the rule.
    pub foreground: u64,
    /// Least and greatest value that is background.
    pub below: Option<(u32, u32)>,
    /// Least and greatest value that is foreground.
    pub above: Option<(u32, u32)>,
    /// Every value in order, where they are few.
    pub values: Option<Vec<u32>>,
    /// How many values there are, counted up to 65536.
    pub distinct: usize,
    /// Values above the least that fill areas.
    pub areas: usize,
    /// Values above the least that do not: halos and noise.
    pub ragged: usize,
    /// Background in areas that are clearly brighter than the least value.
    pub doubtful: u64,
    /// Whatever is clearly between the least and the greatest value.
    pub middling: u64,
    /// What the alpha channel is beside the colours.
    pub alpha: Alpha,
    /// The colours; none where every pixel is grey, or where the rule is not about greys.
    pub colours: Option<Colours>,
    /// Whether the file's format changes values.
    pub lossy: bool,
    /// The depth of a file that is deeper than 8 bits, and its largest value.
    pub depth: Option<String>,
}

/// The alpha channel of a mask whose rule is not about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alpha {
    /// None, or the same value everywhere.
    Plain,
    /// It varies, and the colours do not: they cannot be the mask.
    Alone,
    /// Both vary; `agrees` says whether they mark the same pixels.
    Beside {
        /// Whether opaque pixels are those that the rule takes.
        agrees: bool,
    },
}

/// The colours of a mask that is not grey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Colours {
    /// How many there are, counted up to 65536.
    pub distinct: usize,
    /// Pixels that are not grey.
    pub coloured: u64,
    /// Two colours of different hue of which the rule takes the first and leaves
    /// the second.
    pub torn: Option<([u8; 3], [u8; 3])>,
}

/// A value with its pixels and the runs along rows that they form.
struct Tally {
    value: u32,
    pixels: u64,
    runs: u64,
}

impl Found {
    /// Looks at a mask.
    ///
    /// # Errors
    /// As [`Values::of`].
    pub(crate) fn of(stored: Stored, rule: MaskRule, facts: &Facts) -> Result<Self, String> {
        let width = stored.size().0 as usize;
        let alpha = match rule {
            MaskRule::Alpha { .. } => None,
            _ => stored.alphas().filter(|alpha| !is_constant(alpha)),
        };
        let colours = match rule {
            MaskRule::Grey { above } => Colours::of(&stored, above),
            _ => None,
        };
        let values = Values::of(stored, rule)?;
        let cut = u32::from(rule.above());
        let alpha = match alpha {
            None => Alpha::Plain,
            Some(_) if values.is_constant() => Alpha::Alone,
            Some(alpha) => Alpha::Beside { agrees: values.agree(&alpha, cut) },
        };
        let tallies = match &values {
            Values::Greys(greys) => tally_greys(greys, width),
            Values::Labels(labels) => tally_labels(labels, width),
        };
        let range = |side: &dyn Fn(u32) -> bool| {
            let mut values = tallies.iter().map(|tally| tally.value).filter(|value| side(*value));
            let first = values.next()?;
            Some((first, values.last().unwrap_or(first)))
        };
        let sum = |of: &dyn Fn(u32) -> bool| {
            tallies.iter().filter(|tally| of(tally.value)).map(|tally| tally.pixels).sum::<u64>()
        };
        let least = tallies.first().map_or(0, |tally| tally.value);
        let greatest = tallies.last().map_or(0, |tally| tally.value);
        let end = (greatest - least) / END;
        let is_middling = |value: u32| value > least + end && value < greatest - end;
        let is_area = |tally: &&Tally| tally.pixels as f64 >= AREA * tally.runs as f64;
        let higher = || tallies.iter().filter(|tally| tally.value > least);
        let areas = higher().filter(is_area).count();
        Ok(Self {
            pixels: tallies.iter().map(|tally| tally.pixels).sum(),
            foreground: sum(&|value| value > cut),
            below: range(&|value| value <= cut),
            above: range(&|value| value > cut),
            values: (tallies.len() <= KEPT).then(|| tallies.iter().map(|tally| tally.value).collect()),
            distinct: tallies.len(),
            areas,
            ragged: higher().count() - areas,
            doubtful: tallies
                .iter()
                .filter(|tally| tally.value <= cut && is_middling(tally.value) && is_area(tally))
                .map(|tally| tally.pixels)
                .sum(),
            middling: sum(&is_middling),
            alpha,
            colours,
            lossy: facts.format.is_lossy(),
            depth: facts.depth.is_deep().then(|| {
                format!("{} files, largest value {} of {}", facts.depth, facts.largest, facts.depth.full())
            }),
        })
    }

    /// Whether the mask has no foreground.
    pub fn is_empty(&self) -> bool {
        self.foreground == 0
    }

    /// Whether all of the mask is foreground.
    pub fn is_full(&self) -> bool {
        self.foreground == self.pixels
    }

    /// Foreground, 0..=1.
    pub fn share(&self) -> f64 {
        self.foreground as f64 / self.pixels.max(1) as f64
    }

    /// The greatest value.
    pub fn greatest(&self) -> u32 {
        self.above.or(self.below).map_or(0, |(_, greatest)| greatest)
    }

    /// The least value.
    pub fn least(&self) -> u32 {
        self.below.or(self.above).map_or(0, |(least, _)| least)
    }

    /// Whether it marks something that the rule does not see: it has no foreground,
    /// but values above the background's that fill areas, or one value alone that
    /// is not the least of all masks, `least`. Halos of lossy files are nothing.
    pub fn is_overlooked(&self, least: u32) -> bool {
        let is_uniform = self.distinct == 1 && self.greatest() > least;
        let is_halo = self.lossy && self.greatest() - self.least() <= HALO;
        self.is_empty() && !is_halo && (self.areas > 0 || is_uniform)
    }

    /// Whether either side of the rule holds one value at most.
    fn is_two_valued(&self) -> bool {
        [self.below, self.above].iter().flatten().all(|(least, greatest)| least == greatest)
    }
}

impl Scale {
    /// The scale of the masks of a dataset; the whole one of none.
    pub fn of<'a>(masks: impl IntoIterator<Item = &'a Found>) -> Self {
        let grey = |value: u32| u8::try_from(value).unwrap_or(u8::MAX);
        let each = |found: &Found| Self {
            low: grey(found.least()),
            high: grey(found.greatest()),
            two_valued: found.is_two_valued(),
        };
        let both = |a: Self, b: Self| Self {
            low: a.low.min(b.low),
            high: a.high.max(b.high),
            two_valued: a.two_valued && b.two_valued,
        };
        masks.into_iter().map(each).reduce(both).unwrap_or(Self::WHOLE)
    }
}

fn is_constant<T: PartialEq>(values: &[T]) -> bool {
    values.first().is_none_or(|first| values.iter().all(|value| value == first))
}

impl Values {
    fn is_constant(&self) -> bool {
        match self {
            Values::Greys(greys) => is_constant(greys),
            Values::Labels(labels) => is_constant(labels),
        }
    }

    /// Whether opaque pixels are those above the rule.
    fn agree(&self, alpha: &[u8], cut: u32) -> bool {
        fn same<'a, T: Copy + Into<u32> + 'a>(values: &'a [T], alpha: &[u8], cut: u32) -> bool {
            values.iter().zip(alpha).all(|(v, alpha)| ((*v).into() > cut) == super::is_foreground(*alpha))
        }
        match self {
            Values::Greys(greys) => same(greys, alpha, cut),
            Values::Labels(labels) => same(labels, alpha, cut),
        }
    }
}

/// Values in order, with their pixels and runs.
fn tally_greys(greys: &[u8], width: usize) -> Vec<Tally> {
    let mut counted = [(0_u64, 0_u64); 256];
    for mut row in greys.chunks(width.max(1)) {
        while let Some(value) = row.first() {
            let run = leading(row, *value);
            let (pixels, runs) = &mut counted[usize::from(*value)];
            *pixels += run as u64;
            *runs += 1;
            row = &row[run..];
        }
    }
    (0..)
        .zip(counted)
        .filter(|(_, (pixels, _))| *pixels > 0)
        .map(|(value, (pixels, runs))| Tally { value, pixels, runs })
        .collect()
}

/// How many values at the beginning are `value`; sixteen are compared at a time, since
/// most runs of a mask are long.
fn leading(row: &[u8], value: u8) -> usize {
    const BLOCK: usize = 16;
    let (blocks, _) = row.as_chunks::<BLOCK>();
    let whole = BLOCK * blocks.iter().take_while(|block| **block == [value; BLOCK]).count();
    whole + row[whole..].iter().take_while(|other| **other == value).count()
}

/// The same for labels; beyond [`COUNTED`] all others are one.
fn tally_labels(labels: &[u32], width: usize) -> Vec<Tally> {
    let mut counted: HashMap<u32, (u64, u64)> = HashMap::new();
    for row in labels.chunks(width.max(1)) {
        for run in row.chunk_by(|a, b| a == b) {
            let is_new = counted.len() >= COUNTED && !counted.contains_key(&run[0]);
            let (pixels, runs) = counted.entry(if is_new { u32::MAX } else { run[0] }).or_default();
            *pixels += run.len() as u64;
            *runs += 1;
        }
    }
    let mut all: Vec<Tally> =
        counted.into_iter().map(|(value, (pixels, runs))| Tally { value, pixels, runs }).collect();
    all.sort_unstable_by_key(|tally| tally.value);
    all
}

impl Colours {
    /// The colours of a mask; `None` where every pixel is grey.
    fn of(stored: &Stored, above: u8) -> Option<Self> {
        let mut counted: HashMap<[u8; 3], u64> = HashMap::new();
        let (mut coloured, mut last, mut beyond) = (0, None, false);
        let mut run = 0;
        let mut put = |colour: Option<[u8; 3]>, run: u64| {
            let Some(colour) = colour else { return };
            if counted.len() < COUNTED || counted.contains_key(&colour) {
                *counted.entry(colour).or_default() += run;
            } else {
                beyond = true;
            }
        };
        stored.each_colour(|colour| {
            coloured += u64::from(colour.iter().any(|part| *part != colour[0]));
            if last == Some(colour) {
                run += 1;
            } else {
                put(last, run);
                (last, run) = (Some(colour), 1);
            }
        });
        put(last, run);
        if coloured == 0 {
            return None;
        }
        let pixels: u64 = counted.values().sum();
        // Of many colours only those that fill some of the picture are meant.
        let least = if counted.len() <= CLASSES { 1 } else { pixels.div_ceil(200) };
        let mut meant: Vec<[u8; 3]> =
            counted.iter().filter(|(_, count)| **count >= least).map(|(colour, _)| *colour).collect();
        meant.sort_unstable();
        Some(Self { distinct: counted.len() + usize::from(beyond), coloured, torn: torn(&meant, above) })
    }
}

/// Two colours of different hue on both sides of the rule; black is no colour.
fn torn(colours: &[[u8; 3]], above: u8) -> Option<([u8; 3], [u8; 3])> {
    let bright = |colour: &&[u8; 3]| colour.iter().any(|part| *part > BLACK);
    let (taken, left): (Vec<&[u8; 3]>, Vec<&[u8; 3]>) =
        colours.iter().filter(bright).partition(|colour| luma(**colour) > above);
    taken.iter().find_map(|a| {
        let other = left.iter().find(|b| differ(Hue::of(**a), Hue::of(***b)))?;
        Some((**a, **other))
    })
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Hue {
    Grey,
    /// Degrees.
    At(f64),
    /// Too pale to tell, as where a lossy file mixes two colours.
    Pale,
}

impl Hue {
    fn of(colour: [u8; 3]) -> Self {
        let [r, g, b] = colour.map(f64::from);
        let most = r.max(g).max(b);
        let spread = most - r.min(g).min(b);
        if spread <= most / 4.0 {
            return Hue::Grey;
        }
        if spread < most / 2.0 {
            return Hue::Pale;
        }
        let sixth = if most == r {
            (g - b) / spread
        } else if most == g {
            2.0 + (b - r) / spread
        } else {
            4.0 + (r - g) / spread
        };
        Hue::At((sixth * 60.0).rem_euclid(360.0))
    }
}

fn differ(a: Hue, b: Hue) -> bool {
    match (a, b) {
        (Hue::At(a), Hue::At(b)) => {
            let apart = (a - b).abs();
            apart.min(360.0 - apart) > OTHER_HUE
        }
        (Hue::Grey, Hue::At(_)) | (Hue::At(_), Hue::Grey) => true,
        _ => false,
    }
}
