//! What was found when a dataset was read: what its owner looks at before its
//! numbers are believed.

use std::collections::BTreeSet;

use dygl_pixels::mask::{Found, Scale};
use serde::{Deserialize, Serialize};

use super::Manifest;
use super::looked::Looked;

/// Images that a list names.
const NAMED: usize = 12;
/// Values that are listed one by one.
const LISTED: usize = 16;

/// The facts of a registered dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// Of the images that are kept.
    pub sizes: Sizes,
    /// Of the images that are kept.
    pub masks: MaskFacts,
    /// Patients, slides or videos that are told apart; 0 where none are known.
    pub groups: usize,
    /// Images whose group is known.
    pub grouped: usize,
    /// What speaks against the dataset as it was registered.
    pub concerns: Vec<Concern>,
}

/// Sizes of the images, pixels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sizes {
    /// How many different sizes there are.
    pub distinct: usize,
    /// Least and greatest.
    pub width: (u32, u32),
    /// Least and greatest.
    pub height: (u32, u32),
}

/// The masks under the dataset's rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskFacts {
    /// In words: `grey > 127`.
    pub rule: String,
    /// Between which greys the soft targets lie.
    pub scale: Scale,
    /// Every value, where they are few; greys on the scale 0..=255, or labels.
    pub values: Option<Vec<u32>>,
    /// Least and greatest value.
    pub range: (u32, u32),
    /// Most values of one mask.
    pub most_values: usize,
    /// Share of an image that is foreground, 0..=1.
    pub mean: f64,
    /// The image with the least foreground.
    pub least: Extreme,
    /// The image with the most foreground.
    pub greatest: Extreme,
    /// Masks without foreground, and the first of them.
    pub empty: usize,
    /// Ids of the first of them.
    pub empty_ids: Vec<String>,
    /// Masks without background, and the first of them.
    pub full: usize,
    /// Ids of the first of them.
    pub full_ids: Vec<String>,
}

/// An image and its share of foreground, 0..=1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extreme {
    /// Id of the image.
    pub id: String,
    /// Foreground pixels over all of its pixels.
    pub share: f64,
}

/// Something that is told whenever numbers of the dataset are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Concern {
    /// The key of the manifest that it is about.
    pub key: String,
    /// Whether it would have ended the registration, and was accepted.
    pub accepted: bool,
    /// What speaks against the dataset, in words.
    pub message: String,
}

impl Facts {
    /// The facts of the pairs that a dataset keeps; `None` if it keeps none.
    pub(super) fn of(manifest: &Manifest, looked: &[Looked]) -> Option<Self> {
        let kept: Vec<&Looked> = looked.iter().filter(|looked| looked.kept).collect();
        let sizes: BTreeSet<(u32, u32)> = kept.iter().map(|looked| looked.size).collect();
        let range = |side: fn(&(u32, u32)) -> u32| {
            Some((sizes.iter().map(side).min()?, sizes.iter().map(side).max()?))
        };
        let groups: BTreeSet<&str> = kept.iter().filter_map(|looked| looked.entry.group.as_deref()).collect();
        Some(Self {
            sizes: Sizes {
                distinct: sizes.len(),
                width: range(|size| size.0)?,
                height: range(|size| size.1)?,
            },
            masks: MaskFacts::of(manifest, &kept)?,
            groups: groups.len(),
            grouped: kept.iter().filter(|looked| looked.entry.group.is_some()).count(),
            concerns: Vec::new(),
        })
    }
}

impl MaskFacts {
    fn of(manifest: &Manifest, kept: &[&Looked]) -> Option<Self> {
        let extreme = |looked: &&Looked| Extreme { id: looked.entry.id.clone(), share: looked.share() };
        let by_share = |a: &&&Looked, b: &&&Looked| a.share().total_cmp(&b.share());
        let ids = |is: fn(&Looked) -> bool| {
            let found: Vec<&str> =
                kept.iter().filter(|looked| is(looked)).map(|looked| looked.entry.id.as_str()).collect();
            (found.len(), found.iter().take(NAMED).map(|id| (*id).to_owned()).collect())
        };
        let masks = || kept.iter().flat_map(|looked| looked.masks.iter().map(|look| &look.found));
        let values: Option<BTreeSet<u32>> = masks().try_fold(BTreeSet::new(), |mut all, mask| {
            all.extend(mask.values.as_ref()?);
            (all.len() <= LISTED).then_some(all)
        });
        let (empty, empty_ids) = ids(Looked::is_empty);
        let (full, full_ids) = ids(Looked::is_full);
        Some(Self {
            rule: manifest.mask.to_string(),
            scale: Scale::of(masks()),
            values: values.map(|values| values.into_iter().collect()),
            range: (masks().map(Found::least).min()?, masks().map(Found::greatest).max()?),
            most_values: masks().map(|mask| mask.distinct).max()?,
            mean: kept.iter().map(|looked| looked.share()).sum::<f64>() / kept.len() as f64,
            least: kept.iter().min_by(by_share).map(extreme)?,
            greatest: kept.iter().max_by(by_share).map(extreme)?,
            empty,
            empty_ids,
            full,
            full_ids,
        })
    }
}
