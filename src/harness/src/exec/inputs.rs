//! The datasets of a plan, each opened once, and the keys of its cells.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::data::{Counts, DataError, Dataset, Partition, Registry};
use crate::key::revision::Revisions;
use crate::key::{self, DatasetDigests, Preimage};
use crate::plan::Cell;
use crate::spec::name::Named;
use crate::store::record::DatasetFacts;

/// A dataset that cannot be used, with the reason; shared by all cells that want it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct InputError(pub Arc<DataError>);

impl InputError {
    /// Whether the dataset is merely not there, as opposed to damaged.
    pub fn is_missing(&self) -> bool {
        matches!(*self.0, DataError::NotRegistered { .. })
    }
}

/// A cell's dataset, divided.
#[derive(Debug, Clone)]
pub struct CellInputs {
    pub dataset: Arc<Dataset>,
    pub partition: Partition,
}

impl CellInputs {
    /// What a record says of the dataset.
    pub fn facts(&self) -> DatasetFacts {
        facts(&self.dataset, &self.partition)
    }

    /// The training key's pre-image.
    pub fn train_key(&self, cell: &Cell, numerics: &str, revisions: &Revisions) -> Preimage {
        let digests = DatasetDigests { content: self.dataset.digest(), split: &self.partition.digest };
        key::train(cell, digests, numerics, revisions)
    }
}

/// What a record says of a divided dataset.
pub fn facts(dataset: &Dataset, partition: &Partition) -> DatasetFacts {
    let Counts { train, validation, test } = partition.counts();
    // How images are grouped is told where they are divided.
    let of_masks = dataset.concerns().iter().filter(|concern| concern.key != "group");
    DatasetFacts {
        id: dataset.id().to_string(),
        digest: dataset.digest().to_owned(),
        split_digest: partition.digest.clone(),
        images: dataset.images(),
        expected: dataset.expected(),
        train,
        validation,
        test,
        redistributable: dataset.redistributable(),
        mask_rule: dataset.mask_rule().to_string(),
        concerns: of_masks.map(|concern| concern.message.clone()).collect(),
        white: dataset.image_rule().white,
    }
}

/// Opens datasets on demand and remembers them.
#[derive(Debug)]
pub struct Inputs {
    registry: Registry,
    open: Mutex<BTreeMap<Named, Result<Arc<Dataset>, InputError>>>,
}

impl Inputs {
    /// `root` is the store's folder, where datasets are registered.
    pub fn at(root: &Path) -> Self {
        Self { registry: Registry::at(root), open: Mutex::new(BTreeMap::new()) }
    }

    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The inputs of a cell.
    ///
    /// # Errors
    /// The dataset is not registered, or its index is damaged.
    pub fn of(&self, cell: &Cell) -> Result<CellInputs, InputError> {
        let dataset = self.dataset(&cell.dataset)?;
        let partition = dataset.split(&cell.protocol.split).map_err(|error| InputError(Arc::new(error)))?;
        Ok(CellInputs { dataset, partition })
    }

    fn dataset(&self, id: &Named) -> Result<Arc<Dataset>, InputError> {
        // A panic elsewhere leaves the map whole: entries are only added.
        let mut open = self.open.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        open.entry(id.clone())
            .or_insert_with(|| {
                Dataset::open(id, &self.registry).map(Arc::new).map_err(|error| InputError(Arc::new(error)))
            })
            .clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use crate::spec::protocol::Part;
    use crate::spec::testing::experiment;

    #[test]
    fn every_test_image_of_the_smoke_experiment_has_something_to_find() {
        let store = tempfile::tempdir().expect("a folder");
        let inputs = Inputs::at(store.path());
        for planned in Plan::expand(&experiment("smoke", None, &[])).cells {
            let cell = planned.cell;
            let CellInputs { dataset, partition } = inputs.of(&cell).expect("phantoms");
            let ids = partition.part(Part::Test);
            assert!(ids.len() >= 32, "{}: {}", cell.dataset, ids.len());
            for id in ids {
                let mask = dataset.load(id).expect("drawn").mask;
                let has_foreground = mask.pixels().any(|pixel| crate::data::mask::is_foreground(pixel.0[0]));
                assert!(has_foreground, "{} {id}", cell.dataset);
            }
        }
    }
}
