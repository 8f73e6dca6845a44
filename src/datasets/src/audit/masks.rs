//! Masks: how much they mark, which mark nothing or all, and what the
//! rule does to those that are not black and white.

use dygl_base::stats;
use dygl_pixels::mask::MaskRule;
use dygl_spec::protocol::Part;
use serde::Serialize;

use super::look::Look;
use super::{LISTED, ids_where, part_word};

/// Bins of the distribution of foreground, 5 % each.
pub const BINS: usize = 20;
/// Masks that a list of the most extreme holds.
const WORST: usize = 8;

/// All that is known of the masks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Masks {
    /// Without foreground.
    pub empty: usize,
    /// Ids of such images, at most [`LISTED`].
    pub empty_ids: Vec<String>,
    /// Without background.
    pub full: usize,
    /// Ids of such images, at most [`LISTED`].
    pub full_ids: Vec<String>,
    /// Share of the pixels that are foreground, over all images.
    pub foreground: Option<Foreground>,
    /// The same by part: train, validation, test; parts without images are left out.
    pub by_part: Vec<(String, Foreground)>,
    /// Images by share of foreground, in bins of 5 %.
    pub histogram: [usize; BINS],
    /// Masks with values between the least and the greatest.
    pub soft: Soft,
}

/// Distribution of the share of foreground, 0..1, over images.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Foreground {
    /// Images that it is taken over.
    pub images: usize,
    /// Mean over images, each with the same weight.
    pub mean: f64,
    /// The least share of any image.
    pub min: f64,
    /// First quartile.
    pub quarter: f64,
    /// Second quartile.
    pub median: f64,
    /// Third quartile.
    pub three_quarters: f64,
    /// The greatest share of any image.
    pub max: f64,
    /// Foreground pixels over all pixels of all images.
    pub pixels: f64,
}

/// Masks with values between the least and the greatest, and what another rule makes
/// of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Soft {
    /// The dataset's rule, in words: `grey > 127`.
    pub rule: String,
    /// Masks with such values.
    pub masks: usize,
    /// Share of such pixels over all masks.
    pub pixels: f64,
    /// Masks whose foreground grows if it is all above the least value instead.
    pub masks_that_grow: usize,
    /// Masks that have foreground only then.
    pub masks_only_soft: usize,
    /// Mean growth of all masks with foreground, relative to the rule's.
    pub mean_growth: f64,
    /// The masks that grow most: id and growth.
    pub most: Vec<(String, f64)>,
}

pub(super) fn of(looks: &[Look], rule: MaskRule) -> Masks {
    let (empty, empty_ids) = ids_where(looks, |look| look.mask.is_empty());
    let (full, full_ids) = ids_where(looks, |look| look.mask.is_full());
    let mut histogram = [0; BINS];
    for look in looks {
        // A float becomes an index by saturation: nothing falls outside.
        histogram[((look.mask.share() * BINS as f64) as usize).min(BINS - 1)] += 1;
    }
    let by_part = [Part::Train, Part::Validation, Part::Test]
        .into_iter()
        .filter_map(|part| {
            let images: Vec<&Look> = looks.iter().filter(|look| look.part == Some(part)).collect();
            Some((part_word(Some(part)).to_owned(), foreground(&images)?))
        })
        .collect();
    Masks {
        empty,
        empty_ids,
        full,
        full_ids,
        foreground: foreground(&looks.iter().collect::<Vec<_>>()),
        by_part,
        histogram,
        soft: soft(looks, rule),
    }
}

fn foreground(looks: &[&Look]) -> Option<Foreground> {
    let shares: Vec<f64> = looks.iter().map(|look| look.mask.share()).collect();
    let at = |q: f64| stats::quantile(&shares, q);
    let marked: u64 = looks.iter().map(|look| look.mask.foreground).sum();
    let all: u64 = looks.iter().map(|look| look.mask.all).sum();
    Some(Foreground {
        images: shares.len(),
        mean: stats::mean(&shares)?,
        min: at(0.0)?,
        quarter: at(0.25)?,
        median: at(0.5)?,
        three_quarters: at(0.75)?,
        max: at(1.0)?,
        pixels: marked as f64 / all.max(1) as f64,
    })
}

fn soft(looks: &[Look], rule: MaskRule) -> Soft {
    let soft: u64 = looks.iter().map(|look| look.mask.soft).sum();
    let all: u64 = looks.iter().map(|look| look.mask.all).sum();
    let mut growth: Vec<(String, f64)> = looks
        .iter()
        .filter(|look| look.mask.foreground > 0)
        .map(|look| (look.id.clone(), look.mask.above_least as f64 / look.mask.foreground as f64 - 1.0))
        .collect();
    let all_growth: Vec<f64> = growth.iter().map(|(_, growth)| *growth).collect();
    growth.retain(|(_, growth)| *growth > 0.0);
    growth.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let masks_that_grow = growth.len();
    growth.truncate(WORST.min(LISTED));
    Soft {
        rule: rule.to_string(),
        masks: looks.iter().filter(|look| look.mask.soft > 0).count(),
        pixels: soft as f64 / all.max(1) as f64,
        masks_that_grow,
        masks_only_soft: looks.iter().filter(|l| l.mask.foreground == 0 && l.mask.above_least > 0).count(),
        mean_growth: stats::mean(&all_growth).unwrap_or_default(),
        most: growth,
    }
}
