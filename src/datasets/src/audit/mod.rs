//! What is to be known of a dataset before its numbers are believed:
//! duplicates, groups torn apart by the split, masks that are empty, soft or
//! out of the ordinary, sizes, equal channels.
//!
//! `Dataset` + `Partition` -> [`Look`] of each image (read once, in
//! parallel) -> [`Audit`], plain data under the names that
//! `dygl dataset audit --format json` documents. Findings are facts and no
//! judgement; [`Audit::has`] tells those that a script may fail on. Nothing
//! here moves a key: the room only looks.

mod channels;
mod look;
mod masks;
mod near;
mod pairs;
mod picture;
mod sizes;
pub mod testing;
mod turn;

use std::sync::atomic::{AtomicUsize, Ordering};

use dygl_pixels::split::{Grouping, Straddle, straddling};
use dygl_pixels::{Partition, PixelError};
use dygl_spec::protocol::{Part, Split};
use look::Look;
use rayon::prelude::*;
use serde::Serialize;

use crate::{DataError, Dataset, Progress};
pub use channels::Channels;
pub use masks::{Foreground, Masks, Soft};
pub use pairs::{Duplicates, Kind, Pair};
pub use picture::{Picture, PictureError, pictures};
pub use sizes::{Size, Sizes};
pub use turn::Turn;

/// Ids and pairs that a list holds at most; counts are always of all.
pub const LISTED: usize = 500;

/// Everything that was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Audit {
    /// As in experiments: NAME,option=value,...
    pub dataset: String,
    /// One line for people, of the dataset.
    pub title: String,
    /// Digest of the content.
    pub digest: String,
    /// Images registered, those that could not be looked at included.
    pub images: usize,
    /// Images of the whole dataset.
    pub expected: usize,
    /// Whether the dataset's terms allow showing its images to others.
    pub redistributable: bool,
    /// The split that the parts are those of.
    pub split: Division,
    /// Patients, slides and videos, and whether the split tears them apart.
    pub groups: Groups,
    /// Equal and nearly equal images.
    pub duplicates: Duplicates,
    /// The same among masks; empty and full ones are not compared.
    pub mask_duplicates: Duplicates,
    /// Foreground, and masks that are empty, full or soft.
    pub masks: Masks,
    /// Sizes and shapes of the images.
    pub sizes: Sizes,
    /// Images with equal channels or of one colour.
    pub channels: Channels,
    /// Images that could not be looked at, and why.
    pub unreadable: Vec<Unreadable>,
}

/// The split in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Division {
    /// As `split.source` spells it.
    pub source: &'static str,
    /// The `split.seed`; without effect where the source draws nothing.
    pub seed: u64,
    /// The `split.folds`; without effect where the source has no folds.
    pub folds: usize,
    /// The fold that tests, from 0.
    pub fold: usize,
    /// blake3 over parts and ids, hex.
    pub digest: String,
    /// Images that train.
    pub train: usize,
    /// Images that validate.
    pub validation: usize,
    /// Images that test.
    pub test: usize,
    /// Images in no part.
    pub unused: usize,
}

impl Division {
    /// Of a split and the partition that it gave; `images` counts the whole dataset.
    pub fn of(split: &Split, partition: &Partition, images: usize) -> Self {
        let counts = partition.counts();
        let (train, validation, test) = (counts.train, counts.validation, counts.test);
        let unused = images.saturating_sub(train + validation + test);
        let (source, digest) = (split.source.name(), partition.digest.clone());
        let Split { seed, folds, fold, .. } = *split;
        Self { source, seed, folds, fold, digest, train, validation, test, unused }
    }

    /// The source with what it depends on, for people: `seeded, seed 42`.
    pub fn words(&self) -> String {
        let Self { source, seed, folds, fold, .. } = self;
        match *source {
            "k-fold" | "grouped-k-fold" => format!("{source}, fold {fold} of {folds}, seed {seed}"),
            "official" | "file" => (*source).to_owned(),
            _ => format!("{source}, seed {seed}"),
        }
    }
}

/// Groups (patients, slides, videos) and how the split treats them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Groups {
    /// Whether images were seen to belong together.
    pub known: bool,
    /// Groups with an image in any part.
    pub count: usize,
    /// Images whose group is not known.
    pub unknown: usize,
    /// Images in groups that lie in several parts.
    pub images_straddling: usize,
    /// Groups that lie in several parts, all of them.
    pub straddling: Vec<Straddle>,
}

impl Groups {
    /// How a partition treats the groups of its dataset.
    pub fn of(dataset: &Dataset, partition: &Partition) -> Self {
        let (count, straddling) = straddling(partition, |id| dataset.group(id));
        let images_straddling = straddling.iter().map(|s| s.train + s.validation + s.test).sum();
        let Grouping { unknown, .. } = dataset.grouping();
        Self { known: dataset.grouping().is_known(), count, unknown, images_straddling, straddling }
    }

    /// What is known of them, in a sentence. That groups lie in one part each is
    /// said only where the dataset's rule was seen to group.
    pub fn words(&self, images: usize) -> String {
        if !self.known {
            return match self.count {
                0 => "It is not known which images belong together.".to_owned(),
                groups => format!(
                    "It is not known which images belong together: each of the {groups} groups is one image."
                ),
            };
        }
        let torn = self.straddling.len();
        let known = match (torn, self.count) {
            (0, 1) => "The one group lies in one part".to_owned(),
            (0, all) => format!("Each of the {all} groups lies in one part"),
            (torn, all) => format!(
                "{torn} of {all} groups (patients, slides, videos) lie in several parts, with {} of {images} images",
                self.images_straddling
            ),
        };
        match self.unknown {
            0 => format!("{known}."),
            unknown => format!("{known}; of {unknown} of {images} images the group is not known."),
        }
    }
}

/// An image that could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    /// Id of the image.
    pub id: String,
    /// Why it could not.
    pub message: String,
}

/// What a script may fail on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// Images of one group, or equal or nearly equal images, also mirrored or turned, in
    /// several parts.
    Leak,
    /// Equal or nearly equal images, also mirrored or turned, wherever they are.
    Duplicates,
}

impl Audit {
    /// Whether there is such a finding.
    pub fn has(&self, finding: Finding) -> bool {
        match finding {
            Finding::Leak => self.duplicates.across > 0 || !self.groups.straddling.is_empty(),
            Finding::Duplicates => self.duplicates.count() > 0,
        }
    }
}

/// Looks at every image of a dataset. `progress` is called with (images done,
/// images in all), from several threads.
///
/// # Errors
/// A file is not the registered one. Files that do not decode, or whose mask
/// has another size, are findings.
pub fn audit(
    dataset: &Dataset,
    split: &Split,
    partition: &Partition,
    progress: Progress<'_>,
) -> Result<Audit, DataError> {
    let total = dataset.images();
    let done = AtomicUsize::new(0);
    let looked: Vec<(&String, Result<Look, DataError>)> = dataset
        .ids()
        .par_iter()
        .map(|id| {
            let look = Look::at(dataset, partition, id);
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
            (id, look)
        })
        .collect();
    let mut looks = Vec::with_capacity(total);
    let mut unreadable = Vec::new();
    for (id, look) in looked {
        match look {
            Ok(look) => looks.push(look),
            Err(
                error @ (DataError::Pixels(PixelError::Decode { .. })
                | DataError::Pixels(PixelError::SizeMismatch { .. })),
            ) => {
                unreadable.push(Unreadable { id: id.clone(), message: error.to_string() });
            }
            Err(error) => return Err(error),
        }
    }
    let groups = Groups::of(dataset, partition);
    if !groups.known {
        // Where groups of one image each stand for no knowledge, no pair is "of other groups".
        looks.iter_mut().for_each(|look| look.group = None);
    }
    Ok(Audit {
        dataset: dataset.id().to_string(),
        title: dataset.title().to_owned(),
        digest: dataset.digest().to_owned(),
        images: total,
        expected: dataset.expected(),
        redistributable: dataset.redistributable(),
        split: Division::of(split, partition, total),
        groups,
        duplicates: pairs::of_images(&looks),
        mask_duplicates: pairs::of_masks(&looks),
        masks: masks::of(&looks, dataset.mask_rule()),
        sizes: sizes::of(&looks),
        channels: channels::of(&looks),
        unreadable,
    })
}

/// The part of a split, as the TOML spells it.
pub fn part_word(part: Option<Part>) -> &'static str {
    part.map_or("unused", Part::name)
}

/// The first ids of those that satisfy a condition, and how many do.
fn ids_where(looks: &[Look], condition: impl Fn(&Look) -> bool) -> (usize, Vec<String>) {
    let found: Vec<&Look> = looks.iter().filter(|look| condition(look)).collect();
    (found.len(), found.iter().take(LISTED).map(|look| look.id.clone()).collect())
}

/// How it was found, for readers: what, and by which rule.
pub const METHOD: &[(&str, &str)] = &[
    ("Equal files", "The same blake3 digest of the bytes."),
    (
        "Equal pixels",
        "The same size and the same decoded RGB values; of masks, the same foreground under the rule of the dataset.",
    ),
    (
        "Nearly equal images",
        "Grey pictures of 24 x 24 area means, shifted and scaled to mean 0 and variance 1. The distance of two is \
         the root mean square of their difference, sqrt(2 (1 - r)) with Pearson's r: 0 for equal pictures, about \
         1.4 for unrelated ones. All pairs are compared; those within 0.25 are measured again at 96 x 96, where \
         they must be within 0.25 too; that distance is shown.",
    ),
    (
        "Mirrored or turned images",
        "The same distances by the same thresholds, with one of the two mirrored, turned by quarters, or both; \
         pairs that are nearly equal upright are not counted again. Of masks, upright ones alone are compared.",
    ),
    (
        "Its error",
        "Copies that were re-encoded, resized, changed in brightness, mirrored or turned by quarters are found; \
         cropped ones, and those turned by other angles, are not. Two different frames of a still scene count as equal. Among the 499,500 pairs of kvasir-seg-352 the \
         known ones lie at 0.02 to 0.18 and the nearest other at 0.30. Pictures without contrast are \
         compared by pixels alone.",
    ),
    (
        "Nearly equal masks",
        "Intersection over union of at least 0.95 at 96 x 96; empty and full masks are not compared. Compact \
         objects of one size in the middle of the picture meet this by chance.",
    ),
    ("Clusters", "Sets of images that are connected by pairs; a video of still frames is one cluster."),
    (
        "Greys",
        "Values of a mask between the least and the greatest one of all masks; labels of objects are foreground \
         as a whole.",
    ),
];

#[cfg(test)]
mod tests;
