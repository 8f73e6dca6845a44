//! The datasets of a plan, each opened once, and the keys of its cells.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dygl_datasets::{DataError, Dataset, Registry};
use dygl_pixels::{Counts, Partition};
use dygl_spec::name::Named;
use dygl_spec::plan::Cell;
use dygl_spec::protocol::Protocol;
use dygl_store::key::revision::Revisions;
use dygl_store::key::{self, DatasetDigests, Fields, Preimage};
use dygl_store::record::DatasetFacts;

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
    pub partition: Arc<Partition>,
    /// Of the protocol, as its training's key has them.
    settings: Arc<Fields>,
}

impl CellInputs {
    /// What a record says of the dataset.
    pub fn facts(&self) -> DatasetFacts {
        facts(&self.dataset, &self.partition)
    }

    /// The training key's pre-image.
    pub fn train_key(&self, cell: &Cell, numerics: &str, revisions: &Revisions) -> Preimage {
        let digests = DatasetDigests { content: self.dataset.digest(), split: &self.partition.digest };
        key::train(cell, &self.settings, digests, numerics, revisions)
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
    divided: Mutex<Vec<Divided>>,
}

/// A dataset under a protocol, which cells of several networks and seeds share.
#[derive(Debug)]
struct Divided {
    dataset: Named,
    protocol: Arc<Protocol>,
    inputs: Result<CellInputs, InputError>,
}

impl Inputs {
    /// `root` is the store's folder, where datasets are registered.
    pub fn at(root: &Path) -> Self {
        Self { registry: Registry::at(root), open: Mutex::default(), divided: Mutex::default() }
    }

    /// Where the datasets are registered.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The inputs of a cell.
    ///
    /// # Errors
    /// The dataset is not registered, or its index is damaged.
    pub fn of(&self, cell: &Cell) -> Result<CellInputs, InputError> {
        let is_of = |divided: &&Divided| {
            Arc::ptr_eq(&divided.protocol, &cell.protocol) && divided.dataset == cell.dataset
        };
        // The last ones are those of the cell before.
        if let Some(known) = unpoisoned(&self.divided).iter().rev().find(is_of) {
            return known.inputs.clone();
        }
        let inputs = self.divide(cell);
        let (dataset, protocol) = (cell.dataset.clone(), Arc::clone(&cell.protocol));
        unpoisoned(&self.divided).push(Divided { dataset, protocol, inputs: inputs.clone() });
        inputs
    }

    fn divide(&self, cell: &Cell) -> Result<CellInputs, InputError> {
        let dataset = self.dataset(&cell.dataset)?;
        let partition = dataset.split(&cell.protocol.split).map_err(|error| InputError(Arc::new(error)))?;
        let settings = Arc::new(key::settings(&cell.protocol));
        Ok(CellInputs { dataset, partition: Arc::new(partition), settings })
    }

    fn dataset(&self, id: &Named) -> Result<Arc<Dataset>, InputError> {
        let mut open = unpoisoned(&self.open);
        open.entry(id.clone())
            .or_insert_with(|| {
                Dataset::open(id, &self.registry).map(Arc::new).map_err(|error| InputError(Arc::new(error)))
            })
            .clone()
    }
}

/// A panic elsewhere leaves what is remembered whole: entries are only added.
fn unpoisoned<T>(known: &Mutex<T>) -> MutexGuard<'_, T> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use dygl_spec::plan::Plan;
    use dygl_spec::protocol::Part;
    use dygl_spec::testing::experiment;

    use super::*;

    #[test]
    fn every_test_image_of_the_smoke_experiment_has_something_to_find() {
        let store = tempfile::tempdir().expect("a folder");
        let inputs = Inputs::at(store.path());
        for planned in Plan::expand(&experiment("smoke", None, &[])).cells {
            let cell = &planned.cell;
            let CellInputs { dataset, partition, .. } = inputs.of(cell).expect("phantoms");
            let ids = partition.part(Part::Test);
            assert!(ids.len() >= 32, "{}: {}", cell.dataset, ids.len());
            for id in ids {
                let mask = dataset.load(id).expect("drawn").mask;
                let has_foreground = mask.pixels().any(|pixel| dygl_pixels::mask::is_foreground(pixel.0[0]));
                assert!(has_foreground, "{} {id}", cell.dataset);
            }
        }
    }
}
