//! Dividing a dataset into train, validation and test.
//!
//! | source | parts |
//! |---|---|
//! | `seeded` | a shuffle of the sorted ids, cut by the counts of the paper ([`seeded`]) |
//! | `by-group` | whole groups, as near to those counts as a greedy gets ([`groups::by_group`]) |
//! | `k-fold`, `grouped-k-fold` | one fold tests, the next validates ([`folds`]) |
//! | `file` | as a file lists them ([`file`]) |
//! | `official` | as the dataset's authors divided it |
//! | `manifest` | `official` where the dataset lies in folders by part, else `seeded` |
//!
//! Whatever the source, a partition is known by the digest of its parts and
//! ids. Nothing here depends on the order in which files are found.

mod error;
mod folds;
mod groups;

use dygl_base::random::Stream;
use dygl_spec::protocol::Part;
use serde::Deserialize;

use crate::PixelError;
pub use error::{Mistake, SplitError};
pub use folds::{grouped_k_fold, k_fold};
pub use groups::{Grouping, Straddle, by_group, grouped, straddling};

/// Images of each part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Images that train.
    pub train: usize,
    /// Images that validate; 0 where the dataset has no such part.
    pub validation: usize,
    /// Images that test.
    pub test: usize,
}

/// The image ids of each part, each sorted in byte order.
///
/// What trains and what is scored takes no partition but the roles that it
/// gives: [`Partition::for_training`], [`Partition::for_report`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    train: Vec<String>,
    validation: Vec<String>,
    test: Vec<String>,
    /// blake3 over parts and ids, hex.
    pub digest: String,
}

impl Partition {
    /// The ids of one part.
    pub fn part(&self, part: Part) -> &[String] {
        match part {
            Part::Train => &self.train,
            Part::Validation => &self.validation,
            Part::Test => &self.test,
        }
    }

    /// Images of each part.
    pub fn counts(&self) -> Counts {
        let [train, validation, test] = Part::ALL.map(|part| self.part(part).len());
        Counts { train, validation, test }
    }

    /// The part that an id is in, if it is in one.
    pub fn part_of(&self, id: &str) -> Option<Part> {
        Part::ALL
            .into_iter()
            .find(|part| self.part(*part).binary_search_by(|known| known.as_str().cmp(id)).is_ok())
    }

    /// Sorts the ids of each part and takes the digest.
    pub fn new(mut train: Vec<String>, mut validation: Vec<String>, mut test: Vec<String>) -> Self {
        for part in [&mut train, &mut validation, &mut test] {
            part.sort_unstable();
        }
        let mut partition = Self { train, validation, test, digest: String::new() };
        let counts = Part::ALL.map(|part| partition.part(part).len().to_string());
        let mut words = Vec::new();
        for (part, count) in Part::ALL.into_iter().zip(&counts) {
            words.extend([part.name(), count.as_str()]);
            words.extend(partition.part(part).iter().map(String::as_str));
        }
        partition.digest = dygl_base::digest::digest_of("dygl split 1", words);
        partition
    }
}

/// Shuffles the sorted ids with the stream (seed, "split", dataset) and cuts
/// them into parts whose sizes follow `counts`.
pub fn seeded(dataset: &str, ids: &[String], counts: Counts, seed: u64) -> Result<Partition, PixelError> {
    let counts = shares(dataset, ids.len(), counts)?;
    let mut shuffled = ids.to_vec();
    shuffled.sort_unstable();
    Stream::new(seed, "split", &[dataset]).shuffle(&mut shuffled);
    let test = shuffled.split_off(counts.train + counts.validation);
    let validation = shuffled.split_off(counts.train);
    Ok(Partition::new(shuffled, validation, test))
}

/// [`proportional`], or the error that there are too few images.
fn shares(dataset: &str, images: usize, counts: Counts) -> Result<Counts, PixelError> {
    proportional(images, counts).ok_or_else(|| PixelError::TooFew {
        dataset: dataset.to_owned(),
        images,
        needed: if counts.validation > 0 {
            "a train, a validation and a test part".to_owned()
        } else {
            "a train and a test part".to_owned()
        },
    })
}

/// `images` shared out in the proportions of `counts` by largest remainder
/// (ties: train, validation, test). Every part that is not empty in `counts`
/// gets an image, taken from train; `None` where train would be left empty.
fn proportional(images: usize, counts: Counts) -> Option<Counts> {
    let weights = [counts.train, counts.validation, counts.test];
    let whole: usize = weights.iter().sum();
    if whole == 0 {
        return None;
    }
    let mut shares = weights.map(|w| images * w / whole);
    let mut order = [0, 1, 2];
    order.sort_by_key(|place| std::cmp::Reverse((images * weights[*place]) % whole));
    let left = images - shares.iter().sum::<usize>();
    for place in order.into_iter().take(left) {
        shares[place] += 1;
    }
    for place in [2, 1] {
        if weights[place] > 0 && shares[place] == 0 {
            shares[place] = 1;
            shares[0] = shares[0].checked_sub(1)?;
        }
    }
    let [train, validation, test] = shares;
    (train > 0).then_some(Counts { train, validation, test })
}

#[cfg(test)]
mod tests;
