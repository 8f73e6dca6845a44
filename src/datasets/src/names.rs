//! Dataset names as experiments write them, checked here and resolved.

use dygl_base::words::alike;
use dygl_spec::name::Named;
use dygl_spec::protocol::{Part, Split, SplitSource};
use dygl_spec::{DatasetNames, DatasetProblem};

use super::manifest::SplitKind;
use super::{DataError, Dataset, Manifest, Registry, catalogue};

/// The datasets that are built into this program.
#[derive(Debug, Clone, Copy)]
pub struct KnownDatasets;

impl DatasetNames for KnownDatasets {
    fn resolve(&self, named: &Named) -> Result<Named, DatasetProblem> {
        Dataset::resolve(named).map_err(|error| problem(&error))
    }

    fn known_ids(&self) -> Vec<String> {
        catalogue().into_iter().map(|entry| entry.id).collect()
    }

    fn lacks_part(&self, dataset: &Named, split: &Split, part: Part) -> bool {
        let Ok(Some(manifest)) = Manifest::find(&dataset.name) else { return false };
        lacks_by_counts(manifest, split.source, part)
    }
}

/// Those, and the user's own ones, which a store knows.
impl DatasetNames for Registry {
    fn resolve(&self, named: &Named) -> Result<Named, DatasetProblem> {
        Dataset::resolve_in(named, self).map_err(|error| {
            let mut told = problem(&error);
            if matches!(error, DataError::UnknownDataset { .. }) {
                let ids = self.known_ids();
                told.candidates = alike(&named.name, ids.iter().map(String::as_str));
            }
            told
        })
    }

    fn known_ids(&self) -> Vec<String> {
        let mut ids = KnownDatasets.known_ids();
        ids.extend(self.own_ids());
        ids
    }

    /// Divides the dataset where it is there; else its counts say what they can.
    fn lacks_part(&self, dataset: &Named, split: &Split, part: Part) -> bool {
        match Dataset::open(dataset, self) {
            Ok(opened) => opened.split(split).is_ok_and(|partition| partition.part(part).is_empty()),
            Err(DataError::NotRegistered { .. }) => KnownDatasets.lacks_part(dataset, split, part),
            // Whoever needs the dataset is told what is wrong with it.
            Err(_) => false,
        }
    }
}

/// Whether a source that keeps to the counts of a manifest leaves the part empty: to a
/// dataset without validation images none of them gives any.
fn lacks_by_counts(manifest: &Manifest, source: SplitSource, part: Part) -> bool {
    let keeps_to_counts = match source {
        SplitSource::Seeded | SplitSource::ByGroup | SplitSource::KFold | SplitSource::GroupedKFold => true,
        SplitSource::Manifest => manifest.split == SplitKind::Seeded,
        SplitSource::Official | SplitSource::File => false,
    };
    keeps_to_counts && part == Part::Validation && manifest.counts().validation == 0
}

fn problem(error: &DataError) -> DatasetProblem {
    DatasetProblem {
        word: error.word().to_owned(),
        candidates: error.candidates(),
        // Whoever renders the diagnostic adds what may have been meant.
        message: match error {
            DataError::UnknownDataset { name, .. } => format!("unknown dataset `{name}`"),
            other => other.to_string(),
        },
    }
}
