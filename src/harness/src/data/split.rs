//! Dividing a dataset into train, validation and test.

use super::DataError;
use super::manifest::Counts;
use super::scan::{PARTS, PartName};
use crate::random::Stream;
use crate::spec::protocol::Part;

/// The image ids of each part, each sorted in byte order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    pub train: Vec<String>,
    pub validation: Vec<String>,
    pub test: Vec<String>,
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

    pub(super) fn new(mut train: Vec<String>, mut validation: Vec<String>, mut test: Vec<String>) -> Self {
        for part in [&mut train, &mut validation, &mut test] {
            part.sort_unstable();
        }
        let mut partition = Self { train, validation, test, digest: String::new() };
        let counts = PARTS.map(|part| partition.part(part).len().to_string());
        let mut words = Vec::new();
        for (part, count) in PARTS.into_iter().zip(&counts) {
            words.extend([part.name(), count.as_str()]);
            words.extend(partition.part(part).iter().map(String::as_str));
        }
        partition.digest = super::digest_of("dygl split 1", words);
        partition
    }
}

/// Shuffles the sorted ids with the stream (seed, "split", dataset) and cuts
/// them into parts whose sizes follow `counts`.
pub(super) fn seeded(
    dataset: &str,
    ids: &[String],
    counts: Counts,
    seed: u64,
) -> Result<Partition, DataError> {
    let counts = proportional(ids.len(), counts).ok_or_else(|| DataError::TooFew {
        dataset: dataset.to_owned(),
        images: ids.len(),
        needed: "a train, a validation and a test part".to_owned(),
    })?;
    let mut shuffled = ids.to_vec();
    shuffled.sort_unstable();
    Stream::new(seed, "split", &[dataset]).shuffle(&mut shuffled);
    let test = shuffled.split_off(counts.train + counts.validation);
    let validation = shuffled.split_off(counts.train);
    Ok(Partition::new(shuffled, validation, test))
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shares(images: usize, train: usize, validation: usize, test: usize) -> Option<(usize, usize, usize)> {
        proportional(images, Counts { train, validation, test }).map(|c| (c.train, c.validation, c.test))
    }

    #[test]
    fn whole_datasets_get_the_counts_of_the_paper() {
        assert_eq!(shares(612, 489, 61, 62), Some((489, 61, 62)));
        assert_eq!(shares(50, 40, 0, 10), Some((40, 0, 10)));
    }

    #[test]
    fn partial_datasets_get_their_proportion() {
        assert_eq!(shares(62, 489, 61, 62), Some((50, 6, 6)));
        assert_eq!(shares(3, 800, 100, 100), Some((1, 1, 1)));
        assert_eq!(shares(2, 40, 0, 10), Some((1, 0, 1)));
        assert_eq!(shares(2, 800, 100, 100), None);
        assert_eq!(shares(0, 800, 100, 100), None);
    }

    #[test]
    fn the_digest_moves_with_a_part_and_not_with_the_order() {
        let ids = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let one = Partition::new(ids("a b"), ids("c"), ids("d"));
        assert_eq!(one, Partition::new(ids("b a"), ids("c"), ids("d")));
        assert_ne!(one.digest, Partition::new(ids("a"), ids("b c"), ids("d")).digest);
        assert_ne!(one.digest, Partition::new(ids("a c"), ids("b"), ids("d")).digest);
    }

    proptest! {
        #[test]
        fn every_id_is_in_one_part(images in 3usize..400, seed in any::<u64>()) {
            let ids: Vec<String> = (0..images).map(|i| format!("{i:03}")).collect();
            let counts = Counts { train: 8, validation: 1, test: 1 };
            let partition = seeded("x", &ids, counts, seed).expect("enough");
            let mut reversed = ids.clone();
            reversed.reverse();
            prop_assert_eq!(&partition, &seeded("x", &reversed, counts, seed).expect("enough"));
            let mut all = [partition.train, partition.validation, partition.test].concat();
            all.sort();
            prop_assert_eq!(all, ids);
        }
    }
}
