//! Sizes and shapes of the images.

use std::collections::BTreeMap;

use serde::Serialize;

use super::look::Look;

/// Sizes that a list holds.
const SHOWN: usize = 12;

/// How large the images are, and how far their shape is from the square that
/// they are resized to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sizes {
    /// Different sizes.
    pub distinct: usize,
    /// The most frequent ones.
    pub most: Vec<Size>,
    /// Shortest and longest side of any image, pixels.
    pub shortest_side: u32,
    /// Longest side of any image, pixels.
    pub longest_side: u32,
    /// Width over height: least and greatest of any image.
    pub least_aspect: f64,
    /// Greatest width over height of any image.
    pub greatest_aspect: f64,
}

/// One size and the images that have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Size {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Images that have it.
    pub images: usize,
}

pub(super) fn of(looks: &[Look]) -> Sizes {
    let mut counts: BTreeMap<(u32, u32), usize> = BTreeMap::new();
    for look in looks {
        *counts.entry(look.size).or_default() += 1;
    }
    let aspects = || counts.keys().map(|(width, height)| f64::from(*width) / f64::from((*height).max(1)));
    let sides = || counts.keys().flat_map(|(width, height)| [*width, *height]);
    let mut most: Vec<Size> = counts
        .iter()
        .map(|((width, height), images)| Size { width: *width, height: *height, images: *images })
        .collect();
    // The sort is stable: among equally frequent sizes the smaller first.
    most.sort_by_key(|size| std::cmp::Reverse(size.images));
    most.truncate(SHOWN);
    Sizes {
        distinct: counts.len(),
        most,
        shortest_side: sides().min().unwrap_or_default(),
        longest_side: sides().max().unwrap_or_default(),
        least_aspect: aspects().min_by(f64::total_cmp).unwrap_or_default(),
        greatest_aspect: aspects().max_by(f64::total_cmp).unwrap_or_default(),
    }
}
