//! Channels that say the same, and images that say nothing.

use serde::Serialize;

use super::ids_where;
use super::look::{Equal, Look};

/// Images whose channels are equal in every pixel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Channels {
    /// All three: the image is grey.
    pub all_equal: usize,
    /// Ids of such images, at most [`LISTED`](super::LISTED).
    pub all_equal_ids: Vec<String>,
    /// Two of the three: where channels are different measurements, one is missing.
    pub two_equal: usize,
    /// Ids of such images, at most [`LISTED`](super::LISTED).
    pub two_equal_ids: Vec<String>,
    /// All pixels the same.
    pub blank: usize,
    /// Ids of such images, at most [`LISTED`](super::LISTED).
    pub blank_ids: Vec<String>,
}

pub(super) fn of(looks: &[Look]) -> Channels {
    let (all_equal, all_equal_ids) = ids_where(looks, |look| look.channels == Equal::All);
    let (two_equal, two_equal_ids) = ids_where(looks, |look| look.channels == Equal::Two);
    let (blank, blank_ids) = ids_where(looks, |look| look.is_blank);
    Channels { all_equal, all_equal_ids, two_equal, two_equal_ids, blank, blank_ids }
}
