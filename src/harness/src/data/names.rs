//! Dataset names as experiments write them, checked here and resolved.

use super::error::alike;
use super::{DataError, Dataset, Registry, catalogue};
use crate::spec::name::Named;
use crate::spec::{DatasetNames, DatasetProblem};

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
