//! Cross-validation: every image tests once.

use dygl_base::random::Stream;

use super::{Partition, SplitError};
use crate::PixelError;

/// The shuffled ids (stream: seed, "folds", dataset) cut into `folds` runs
/// whose lengths differ by at most one, the longer first. Run `fold` (from 0)
/// tests; where the dataset has a validation part, the next run validates
/// (after the last comes the first); the others train.
///
/// # Errors
/// Too few folds or images, or no such fold.
pub fn k_fold(
    dataset: &str,
    ids: &[String],
    has_validation: bool,
    folds: usize,
    fold: usize,
    seed: u64,
) -> Result<Partition, PixelError> {
    check(dataset, ids.len(), "images", has_validation, folds, fold)?;
    let mut shuffled = ids.to_vec();
    shuffled.sort_unstable();
    Stream::new(seed, "folds", &[dataset]).shuffle(&mut shuffled);
    let (short, longer) = (shuffled.len() / folds, shuffled.len() % folds);
    let mut rest = shuffled.as_slice();
    let mut runs = Vec::with_capacity(folds);
    for place in 0..folds {
        let (run, after) = rest.split_at(short + usize::from(place < longer));
        runs.push(run.to_vec());
        rest = after;
    }
    Ok(parts(runs, has_validation, fold))
}

/// The same with whole groups: shuffled (stream: seed, "folds by group",
/// dataset) and then taken by size, the largest first, each goes to the fold
/// with the fewest images (of equal ones to the first).
///
/// # Errors
/// Too few folds or groups, or no such fold.
pub fn grouped_k_fold(
    dataset: &str,
    mut groups: Vec<Vec<String>>,
    has_validation: bool,
    folds: usize,
    fold: usize,
    seed: u64,
) -> Result<Partition, PixelError> {
    check(dataset, groups.len(), "groups", has_validation, folds, fold)?;
    Stream::new(seed, "folds by group", &[dataset]).shuffle(&mut groups);
    // The sort is stable: among groups of one size the shuffle decides.
    groups.sort_by_key(|group| std::cmp::Reverse(group.len()));
    let mut filled: Vec<Vec<String>> = vec![Vec::new(); folds];
    for group in groups {
        if let Some(least) = filled.iter_mut().min_by_key(|ids| ids.len()) {
            least.extend(group);
        }
    }
    Ok(parts(filled, has_validation, fold))
}

fn check(
    dataset: &str,
    units: usize,
    what: &'static str,
    has_validation: bool,
    folds: usize,
    fold: usize,
) -> Result<(), SplitError> {
    let least = if has_validation { 3 } else { 2 };
    if folds < least {
        return Err(SplitError::TooFewFolds { folds, least });
    }
    if fold >= folds {
        return Err(SplitError::NoSuchFold { fold, folds });
    }
    if units < folds {
        return Err(SplitError::TooFewForFolds { dataset: dataset.to_owned(), units, what, folds });
    }
    Ok(())
}

fn parts(mut folds: Vec<Vec<String>>, has_validation: bool, fold: usize) -> Partition {
    let next = (fold + 1) % folds.len();
    let test = std::mem::take(&mut folds[fold]);
    let validation = if has_validation { std::mem::take(&mut folds[next]) } else { Vec::new() };
    Partition::new(folds.concat(), validation, test)
}

#[cfg(test)]
mod tests {
    use dygl_spec::protocol::Part;
    use dygl_testing::draws;
    use proptest::prelude::*;

    use super::*;
    use crate::split::straddling;

    fn ids(count: usize) -> Vec<String> {
        (0..count).map(|i| format!("{i:04}")).collect()
    }

    #[test]
    fn impossible_folds_are_refused() {
        let error = |count, validation, folds, fold| {
            k_fold("x", &ids(count), validation, folds, fold, 1).expect_err("refused").to_string()
        };
        assert!(error(10, true, 2, 0).contains("3 or more"));
        assert!(error(10, false, 1, 0).contains("2 or more"));
        assert!(error(10, false, 5, 5).contains("0 to 4"));
        assert!(error(4, false, 5, 0).contains("4 images"));
        assert!(k_fold("x", &ids(5), true, 5, 4, 1).is_ok());
    }

    #[test]
    fn the_next_fold_validates_only_where_there_is_such_a_part() {
        let with = k_fold("x", &ids(10), true, 5, 4, 1).expect("divides");
        let first = k_fold("x", &ids(10), true, 5, 0, 1).expect("divides");
        assert_eq!(with.part(Part::Validation), first.part(Part::Test));
        let without = k_fold("x", &ids(10), false, 5, 4, 1).expect("divides");
        assert_eq!((without.counts().train, without.counts().validation), (8, 0));
        assert_eq!(without.part(Part::Test), with.part(Part::Test));
    }

    proptest! {
        #![proptest_config(draws(256))]

        #[test]
        fn every_image_tests_in_one_fold(count in 7usize..300, folds in 3usize..7, seed in any::<u64>()) {
            let ids = ids(count);
            let all: Vec<Partition> =
                (0..folds).map(|fold| k_fold("x", &ids, true, folds, fold, seed).expect("divides")).collect();
            let mut tested: Vec<String> = all.iter().flat_map(|p| p.part(Part::Test).to_vec()).collect();
            tested.sort();
            prop_assert_eq!(&tested, &ids);
            let sizes: Vec<usize> = all.iter().map(|p| p.counts().test).collect();
            prop_assert!(sizes.iter().max().expect("folds") - sizes.iter().min().expect("folds") <= 1);
            for partition in &all {
                let parts = [Part::Train, Part::Validation, Part::Test].map(|part| partition.part(part).to_vec());
                let mut together = parts.concat();
                together.sort();
                prop_assert_eq!(&together, &ids);
            }
        }

        #[test]
        fn grouped_folds_tear_no_group(
            sizes in proptest::collection::vec(1usize..20, 8..40),
            folds in 3usize..7,
            seed in any::<u64>(),
        ) {
            let groups: Vec<Vec<String>> = sizes.iter().enumerate()
                .map(|(place, size)| (0..*size).map(|i| format!("{place:03}_{i:03}")).collect()).collect();
            let mut tested = Vec::new();
            let mut lengths = Vec::new();
            for fold in 0..folds {
                let partition = grouped_k_fold("x", groups.clone(), true, folds, fold, seed).expect("divides");
                prop_assert_eq!(straddling(&partition, |id| id.split_once('_').map(|(g, _)| g)).1, vec![]);
                tested.extend(partition.part(Part::Test).to_vec());
                lengths.push(partition.counts().test);
            }
            tested.sort();
            prop_assert_eq!(tested, groups.concat());
            // Each group went to the emptiest fold: no two differ by more than the largest group.
            let spread = lengths.iter().max().expect("folds") - lengths.iter().min().expect("folds");
            prop_assert!(spread <= *sizes.iter().max().expect("groups"));
        }
    }
}
