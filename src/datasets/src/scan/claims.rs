//! Who claims which file: from the files that fit a layout to pairs.

use std::collections::{BTreeMap, BTreeSet};

use super::{Pair, Reader};
use crate::manifest::Manifest;
use crate::pattern::Captures;
use crate::{Problem, text};

/// What the layouts found so far.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// With the place of the layout, in its order.
    pairs: Vec<(usize, Captures, Pair)>,
    /// Files without a partner, and where it was looked for.
    lone: BTreeMap<String, Lone>,
    problems: Vec<Problem>,
}

#[derive(Debug)]
struct Lone {
    is_mask: bool,
    expected: Vec<String>,
}

/// Files of one layout by what its placeholders stand for.
type Found<'a> = BTreeMap<Captures, Vec<&'a str>>;

impl Claims {
    /// Adds what a layout finds among the files.
    pub(super) fn take<'a>(
        &mut self,
        manifest: &Manifest,
        reader: &Reader,
        files: impl Iterator<Item = &'a str> + Clone,
    ) {
        let is_known =
            |captures: &Captures| manifest.parts.as_ref().is_none_or(|rule| rule.part(captures).is_some());
        let mut images: Found<'a> = Found::new();
        for file in files.clone() {
            let fitting = reader.images.captures(file).into_iter().find(is_known);
            if let Some(captures) = fitting {
                images.entry(captures).or_default().push(file);
            }
        }
        let masks = take_masks(reader, files, &mut images, is_known);
        self.pair(manifest, reader, images, masks);
    }

    fn pair(&mut self, manifest: &Manifest, reader: &Reader, images: Found<'_>, mut masks: Found<'_>) {
        for (captures, files) in images {
            let id = manifest.image_id(&captures);
            let (image, others) = (files[0], &files[1..]);
            for other in others {
                self.problems.push(Problem::Duplicate {
                    id: id.clone(),
                    file: (*other).to_owned(),
                    other: image.to_owned(),
                    remedy: remedy_of_twins(image, other),
                });
            }
            let Some(masks) = masks.remove(&captures) else {
                let expected = reader.masks.iter().map(|pattern| pattern.fill(&captures));
                self.alone(image, false, expected);
                continue;
            };
            if let Some(remedy) = why_not_merged(reader, &masks) {
                let masks = masks.iter().map(|mask| (*mask).to_owned()).collect();
                self.problems.push(Problem::SeveralMasks { image: image.to_owned(), masks, remedy });
                continue;
            }
            let mut masks: Vec<String> = masks.into_iter().map(str::to_owned).collect();
            masks.sort_unstable();
            let part = manifest.parts.as_ref().and_then(|rule| rule.part(&captures));
            let group = captures.get("group").cloned();
            let pair = Pair { id, part, group, image: image.to_owned(), masks };
            self.pairs.push((reader.place, captures, pair));
        }
        for (captures, files) in masks {
            for file in files {
                self.alone(file, true, [reader.images.fill(&captures)].into_iter());
            }
        }
    }

    fn alone(&mut self, file: &str, is_mask: bool, expected: impl Iterator<Item = String>) {
        let lone = self.lone.entry(file.to_owned()).or_insert(Lone { is_mask, expected: Vec::new() });
        for place in expected {
            if !lone.expected.contains(&place) {
                lone.expected.push(place);
            }
        }
    }

    /// The pairs, sorted by id; the layout of the first that was found; and
    /// what stands in the way.
    pub(super) fn settle(self) -> (Vec<Pair>, Option<usize>, Vec<Problem>) {
        let Self { pairs: found, lone, mut problems } = self;
        let layout = found.first().map(|(place, ..)| *place);
        let paired: BTreeSet<&str> = found.iter().flat_map(|(.., pair)| pair.files()).collect();
        // Without a partner in one layout, with one in another.
        let lone = lone.iter().filter(|(file, _)| !paired.contains(file.as_str()));
        problems.extend(lone.map(|(file, lone)| {
            let (file, expected) = (file.clone(), lone.expected.join(" or "));
            match lone.is_mask {
                true => Problem::MissingImage { mask: file, expected },
                false => Problem::MissingMask { image: file, expected },
            }
        }));

        let mut pairs: BTreeMap<String, (usize, Captures, Pair)> = BTreeMap::new();
        let mut owner: BTreeMap<String, String> = BTreeMap::new();
        for (place, captures, pair) in found {
            if let Some((first_place, first_captures, first)) = pairs.get(&pair.id) {
                // Two layouts that read the very same pair agree.
                if first.image != pair.image || first.masks != pair.masks {
                    let remedy = if *first_place == place {
                        remedy_of_repeats(first_captures, &captures)
                    } else {
                        "two layouts find it: `layouts = \"first\"` takes only the first that fits, or \
                         leave one of them out"
                            .to_owned()
                    };
                    let (file, other) = (pair.image.clone(), first.image.clone());
                    problems.push(Problem::Duplicate { id: pair.id.clone(), file, other, remedy });
                }
                continue;
            }
            for file in pair.files() {
                if let Some(other) = owner.insert(file.to_owned(), pair.id.clone()) {
                    let ids = [other, pair.id.clone()];
                    problems.push(Problem::Shared { file: file.to_owned(), ids });
                }
            }
            pairs.insert(pair.id.clone(), (place, captures, pair));
        }
        problems.sort();
        problems.dedup();
        (pairs.into_values().map(|(.., pair)| pair).collect(), layout, problems)
    }
}

/// The files named as masks, and out of `images` what is one of them. Where a
/// `*` leaves open which image a mask is of, it is of the one with the longest id
/// that is there.
fn take_masks<'a>(
    reader: &Reader,
    files: impl Iterator<Item = &'a str>,
    images: &mut Found<'a>,
    is_known: impl Fn(&Captures) -> bool,
) -> Found<'a> {
    let mut masks = Found::new();
    for file in files {
        let mut options: Vec<(Captures, bool)> = Vec::new();
        for pattern in &reader.masks {
            let fitting = pattern.captures(file).into_iter().filter(|captures| is_known(captures));
            options.extend(fitting.map(|captures| (captures, pattern.has_star())));
        }
        let has_image = |captures: &Captures| {
            images.get(captures).is_some_and(|files| files.iter().any(|image| *image != file))
        };
        let length = |captures: &Captures| captures.get("id").map_or(0, String::len);
        let best = options.iter().filter(|(captures, _)| has_image(captures));
        let best = best.max_by_key(|(captures, _)| length(captures));
        // A pattern without a star is sure that this is a mask, even of no image.
        let best = best.or_else(|| options.iter().find(|(_, is_open)| !is_open));
        let is_image = || images.values().flatten().any(|image| *image == file);
        let Some((captures, _)) = best.or_else(|| options.first().filter(|_| !is_image())) else { continue };
        masks.entry(captures.clone()).or_default().push(file);
    }
    let named: BTreeSet<&str> = masks.values().flatten().copied().collect();
    for files in images.values_mut() {
        files.retain(|file| !named.contains(file));
    }
    images.retain(|_, files| !files.is_empty());
    masks
}

/// Why the masks of one image cannot be merged; `None` if they can.
fn why_not_merged(reader: &Reader, masks: &[&str]) -> Option<String> {
    let mut stems: Vec<String> =
        masks.iter().map(|mask| text::nfc(text::without_ending(mask)).into_owned()).collect();
    stems.sort_unstable();
    if stems.windows(2).any(|pair| pair[0] == pair[1]) {
        return Some(
            "they differ in no more than the ending or the coding of accents: leave one out".to_owned(),
        );
    }
    (masks.len() > 1 && !reader.merges()).then(|| {
        "to merge them, write a `*` where their names differ, or a list: mask = [\"...\", \"...\"]".to_owned()
    })
}

/// Two files that a layout reads alike.
fn remedy_of_twins(one: &str, other: &str) -> String {
    if text::nfc(one) == text::nfc(other) {
        return "the names read the same and are coded in two ways (Unicode NFC and NFD); rename or remove one"
            .to_owned();
    }
    "rename or remove one".to_owned()
}

/// Two images of one layout that came to one id.
fn remedy_of_repeats(one: &Captures, other: &Captures) -> String {
    if one.get("part") != other.get("part") {
        return "names repeat in the folders of {part}: write in_id = true into `parts`".to_owned();
    }
    if one.get("group") != other.get("group") {
        return "names repeat in the folders of {group}: write group = { kind = \"folder\", in_id = true }, or \
                in_id = true into the rule that there is"
            .to_owned();
    }
    "rename one".to_owned()
}
