//! Events: what workers and the runner tell. One JSON object a line; the
//! field names are stable.

use serde::{Deserialize, Serialize};

/// Told by a worker on its standard output and in `events.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum WorkerEvent {
    /// The task begins, or goes on from a checkpoint.
    Started {
        /// Steps of the whole task: optimizer steps or images to score.
        steps: usize,
        /// Steps already done before a resume.
        done: usize,
        /// Trainable values of the network.
        parameters: u64,
    },
    /// Optimizer steps were done; told at intervals, not of each.
    Step {
        /// Steps of the whole task so far, those before a resume included.
        done: usize,
        /// Epoch of the last step, from 1.
        epoch: usize,
        /// Training loss of the last step's batch.
        loss: f64,
    },
    /// An epoch is done.
    Epoch {
        /// Its number, from 1.
        epoch: usize,
        /// Epochs of the whole training.
        epochs: usize,
        /// Mean training loss over the epoch's images.
        loss: f64,
        /// Of the epoch's last step.
        learning_rate: f64,
        /// Mean Dice on the selection part, 0..1; none where the epoch was not scored.
        select_dice: Option<f64>,
        /// Wall time of the epoch, its selection score included.
        seconds: f64,
    },
    /// A checkpoint was written.
    Checkpoint {
        /// The last epoch that it holds, from 1.
        epoch: usize,
    },
    /// Training starts from weights of others: so many of the network's tensors.
    Pretrained {
        /// Path of the weights file.
        file: String,
        /// Tensors of the network that came from the file.
        tensors: usize,
        /// Tensors of the network.
        of: usize,
    },
    /// Images of the dataset decoded and packed, before the task starts.
    Packed {
        /// Images packed so far.
        done: usize,
        /// Images to be packed in all.
        images: usize,
    },
    /// Something that is no failure but should be known.
    Warning {
        /// A sentence for people.
        message: String,
    },
    /// Images of an evaluation were scored; told at intervals.
    Scored {
        /// Images scored so far.
        done: usize,
    },
}

/// The two halves of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// From the dataset to weights.
    Train,
    /// From weights to scores.
    Evaluate,
}

/// Told by the runner.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum RunEvent {
    /// Before anything starts.
    Planned {
        /// Cells of the run, those included that are in the store already.
        cells: usize,
        /// Most cells at once.
        jobs: usize,
    },
    /// A stage is served from the store.
    Cached {
        /// Place of the cell in the run, from 0.
        cell: usize,
        /// The cell, for people; see [`RunEvent::named`].
        name: String,
        /// The half that is not run again.
        stage: Stage,
        /// Key of its result.
        key: String,
    },
    /// An altered attempt was put aside.
    Quarantined {
        /// Place of the cell in the run, from 0.
        cell: usize,
        /// The cell, for people.
        name: String,
        /// Path of the file that is not as its manifest says.
        file: String,
        /// Folder in which the attempt lies now.
        moved_to: String,
    },
    /// A stage of a cell begins to run.
    Started {
        /// Place of the cell in the run, from 0.
        cell: usize,
        /// The cell, for people.
        name: String,
        /// The half that runs.
        stage: Stage,
        /// Key of its result.
        key: String,
    },
    /// A worker told something.
    Worker {
        /// Place of its cell in the run, from 0.
        cell: usize,
        /// The worker's event, as it came.
        told: WorkerEvent,
    },
    /// A stage that ran has ended.
    Finished {
        /// Place of the cell in the run, from 0.
        cell: usize,
        /// The cell, for people.
        name: String,
        /// The half that ran.
        stage: Stage,
        /// Key of its result.
        key: String,
        /// `done`, `interrupted`, or [`Outcome::word`](dygl_store::record::Outcome::word) of a failure.
        outcome: String,
        /// Why it failed; empty where it did not.
        reason: String,
        /// Wall time of the stage, of this run alone.
        seconds: f64,
        /// Of a training.
        peak_memory_bytes: Option<u64>,
    },
    /// Another process is at work on the cell: told at once, then every ten
    /// minutes.
    Waiting {
        /// Place of the cell in the run, from 0.
        cell: usize,
        /// The cell, for people.
        name: String,
        /// `process 4242 on node017`.
        holder: String,
        /// What it is at work on.
        key: String,
        /// The file that says so.
        claim: String,
        /// How long ago that file was made.
        held_seconds: u64,
        /// The command that takes the claim away.
        remedy: String,
    },
    /// A stop was requested: `level` 1 at the next checkpoint, 2 now.
    Stopping {
        /// How often a stop was requested so far.
        level: usize,
    },
}

impl RunEvent {
    /// The event with the name that its cell has in a list, so that two cells of a sweep
    /// are not called the same.
    #[must_use]
    pub fn named(mut self, names: &[String]) -> Self {
        if let RunEvent::Cached { cell, name, .. }
        | RunEvent::Quarantined { cell, name, .. }
        | RunEvent::Started { cell, name, .. }
        | RunEvent::Finished { cell, name, .. }
        | RunEvent::Waiting { cell, name, .. } = &mut self
            && let Some(own) = names.get(*cell)
        {
            name.clone_from(own);
        }
        self
    }
}
