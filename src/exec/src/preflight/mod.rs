//! Before a long run: what is to do, how long it will take, and whether it
//! fits this machine.
//!
//! [`Preflight::survey`] says what each cell needs. Cells that differ in nothing that a
//! step's time depends on form a group; [`measure`](Preflight::measure)
//! has the worker train a few real steps of one of its cells, with as many
//! workers side by side as the run will have, and remembers what it found.
//! [`Estimate`] makes times, memory and disk of it.

mod estimate;
mod measure;

use dygl_datasets::pack::pack_bytes;
use dygl_pixels::prepare::Form;
use dygl_spec::ops;
use dygl_spec::plan::Cell;
use dygl_store::key::revision::Revisions;
use dygl_store::key::{self, Preimage};
use dygl_store::record::{Outcome, TrainRecord};
use dygl_store::{Attempt, Store, StoreError, host};
use serde::Serialize;

use super::inputs::Inputs;
use super::local::Local;
use super::runner::Options;
pub use estimate::bytes;
pub use estimate::{CellEstimate, Disk, Estimate, GroupEstimate, MemoryNeed};
pub use measure::{MeasureError, Measured, Task};

/// From so many pixels to train on (images of all epochs times their area)
/// a measurement pays: less than a minute's work where a few cores would be
/// busy for an hour. Forty images of 224 px for 130 epochs are 2.6e8, a cell
/// of the profile `quick` is 6e6.
pub const WORTH: u64 = 100_000_000;

/// What a cell needs before it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "need")]
pub enum Need {
    /// Both stages are in the store.
    Nothing,
    /// The weights are there.
    Evaluation,
    /// Both; a checkpoint holds the first epochs.
    Training {
        /// Epochs that the checkpoint holds; 0 without one.
        epochs_done: usize,
    },
    /// It failed before and is not run again unless asked.
    Failed,
    /// Its dataset is not there.
    Data,
}

/// What a cell's times depend on: the number of images of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Images of one epoch.
    pub per_epoch: usize,
    /// Images of the training part, which the trivial predictors look at.
    pub train: usize,
    /// Images that are scored after an epoch that is due.
    pub select: usize,
    /// Images that are scored at the end.
    pub report: usize,
    /// Images of the dataset.
    pub images: usize,
    /// Size of its packed images, bytes.
    pub packed: u64,
}

/// Looks at what a run would do and measures it.
pub struct Preflight<'a> {
    /// Where results lie, and measurements are remembered.
    pub store: &'a Store,
    /// The datasets of the cells.
    pub inputs: &'a Inputs,
    /// Today's revisions, which keys name.
    pub revisions: &'a Revisions,
    /// How the run is to be carried out.
    pub options: &'a Options,
    /// The worker that measures.
    pub local: &'a Local,
}

/// A cell of a survey.
#[derive(Debug, Clone)]
pub struct Surveyed<'a> {
    /// The cell that was asked about.
    pub cell: &'a Cell,
    /// What is left to do of it.
    pub need: Need,
    /// Its numbers of images; all 0 where its dataset is not there.
    pub work: Work,
}

/// Pixels that cells train on, each given with the images of its training part.
pub fn training_pixels<'a>(cells: impl Iterator<Item = (&'a Cell, usize)>) -> u64 {
    cells
        .map(|(cell, train)| {
            let images = cell.protocol.train.epochs.saturating_mul(per_epoch(cell, train));
            let area = (cell.protocol.image.size as u64).saturating_pow(2);
            area.saturating_mul(images as u64)
        })
        .fold(0, u64::saturating_add)
}

/// Images of one epoch, as the trainer draws them.
fn per_epoch(cell: &Cell, train: usize) -> usize {
    let spec = &cell.protocol.train;
    let wanted = if spec.images_per_epoch > 0 && train > 0 { spec.images_per_epoch } else { train };
    if spec.drop_last && wanted > spec.batch_size { wanted - wanted % spec.batch_size } else { wanted }
}

impl Preflight<'_> {
    /// What each cell needs. Records are read without holding them against
    /// their manifests: the run itself does that.
    ///
    /// # Errors
    /// I/O in the store.
    pub fn survey<'c>(&self, cells: &'c [Cell]) -> Result<Vec<Surveyed<'c>>, StoreError> {
        cells
            .iter()
            .map(|cell| {
                let Ok(inputs) = self.inputs.of(cell) else {
                    return Ok(Surveyed { cell, need: Need::Data, work: Work::default() });
                };
                let partition = &inputs.partition;
                let train = partition.counts().train;
                let work = Work {
                    per_epoch: per_epoch(cell, train),
                    train,
                    select: partition.part(cell.protocol.selection.part).len(),
                    report: partition.part(cell.protocol.evaluate.part).len(),
                    images: inputs.dataset.images(),
                    // An image that cannot be read is the run's to tell.
                    packed: pack_bytes(&inputs.dataset, Form::of(&cell.protocol)).unwrap_or_default(),
                };
                let train = inputs.train_key(cell, &self.options.numerics, self.revisions);
                Ok(Surveyed { cell, need: self.need(cell, &train)?, work })
            })
            .collect()
    }

    fn need(&self, cell: &Cell, train: &Preimage) -> Result<Need, StoreError> {
        let key = train.key();
        let again = || Need::Training { epochs_done: self.store.epochs_kept(key) };
        if self.options.force {
            return Ok(again());
        }
        let trained = self.store.attempts(key)?;
        let records: Vec<TrainRecord> = trained.iter().filter_map(unverified).collect();
        let Some(record) = records.iter().find(|record| record.outcome.is_done()) else {
            let failed = records.iter().any(|record| !record.outcome.is_done());
            return Ok(if failed && !self.options.retry_failed { Need::Failed } else { again() });
        };
        let evaluation = key::evaluation(key, &record.weights, cell, &self.options.numerics, self.revisions);
        let outcomes: Vec<Outcome> = self
            .store
            .attempts(evaluation.key())?
            .iter()
            .filter_map(unverified::<Head>)
            .map(|head| head.outcome)
            .collect();
        Ok(if outcomes.iter().any(Outcome::is_done) {
            Need::Nothing
        } else if outcomes.is_empty() || self.options.retry_failed {
            Need::Evaluation
        } else {
            Need::Failed
        })
    }

    /// Workers that will run side by side.
    pub fn copies(&self, survey: &[Surveyed<'_>]) -> usize {
        self.options.jobs.min(survey.iter().filter(|cell| cell.need.is_work()).count()).max(1)
    }

    /// All that a step's time depends on. The dataset is not in it: decoding
    /// an image takes little beside training on it.
    pub fn group(&self, cell: &Cell, copies: usize) -> Preimage {
        let mut preimage = Preimage::new("preflight");
        preimage.put("schema", "1");
        preimage.put("model", &cell.model.to_string());
        for (name, value) in [
            ("device", self.options.device.as_str()),
            ("numerics", self.options.numerics.as_str()),
            ("host", host().as_str()),
        ] {
            preimage.put(name, value);
        }
        preimage.put("threads", &self.options.threads.to_string());
        preimage.put("copies", &copies.to_string());
        preimage.put("cores", &ops::cores().to_string());
        preimage.put_tree("image", &cell.protocol.image);
        preimage.put_tree("augment", &cell.protocol.augment);
        preimage.put_tree("loss", &cell.protocol.loss);
        preimage.put_tree("batch_size", &cell.protocol.train.batch_size);
        preimage.put_tree("precision", &cell.protocol.train.precision);
        preimage.put("revision.network", self.revisions.network(&cell.model.name));
        for name in ["pixels", "train", "metric", "library.image", "library.tensor"] {
            preimage.put(format!("revision.{name}"), self.revisions.get(name));
        }
        preimage
    }
}

impl Need {
    /// Whether a worker will be started for it.
    pub fn is_work(self) -> bool {
        matches!(self, Need::Evaluation | Need::Training { .. })
    }
}

#[derive(serde::Deserialize)]
struct Head {
    outcome: Outcome,
}

/// A record as it lies there.
fn unverified<T: serde::de::DeserializeOwned>(attempt: &Attempt) -> Option<T> {
    serde_json::from_slice(&std::fs::read(attempt.folder().join("record.json")).ok()?).ok()
}
