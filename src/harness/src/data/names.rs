//! Dataset names as experiments write them, checked here and resolved.

use super::{DataError, Dataset, catalogue};
use crate::spec::name::Named;
use crate::spec::{DatasetNames, DatasetProblem};

/// The datasets that this program knows.
#[derive(Debug, Clone, Copy)]
pub struct KnownDatasets;

impl DatasetNames for KnownDatasets {
    fn resolve(&self, named: &Named) -> Result<Named, DatasetProblem> {
        Dataset::resolve(named).map_err(|error| DatasetProblem {
            word: error.word().to_owned(),
            candidates: error.candidates(),
            // Whoever renders the diagnostic adds what may have been meant.
            message: match &error {
                DataError::UnknownDataset { name, .. } => format!("unknown dataset `{name}`"),
                other => other.to_string(),
            },
        })
    }

    fn known_ids(&self) -> Vec<String> {
        catalogue().into_iter().map(|entry| entry.id).collect()
    }
}
