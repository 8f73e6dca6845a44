//! Events: what workers and the runner tell. One JSON object a line; the
//! field names are stable.

use serde::{Deserialize, Serialize};

/// Told by a worker on its standard output and in `events.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum WorkerEvent {
    Started {
        /// Steps of the whole task: optimizer steps or images to score.
        steps: usize,
        /// Steps already done before a resume.
        done: usize,
        parameters: u64,
    },
    Step {
        done: usize,
        epoch: usize,
        loss: f64,
    },
    Epoch {
        epoch: usize,
        epochs: usize,
        loss: f64,
        learning_rate: f64,
        select_dice: Option<f64>,
        seconds: f64,
    },
    Checkpoint {
        epoch: usize,
    },
    /// Training starts from weights of others: so many of the network's tensors.
    Pretrained {
        file: String,
        tensors: usize,
        of: usize,
    },
    /// Images of the dataset decoded and packed, before the task starts.
    Packed {
        done: usize,
        images: usize,
    },
    /// Something that is no failure but should be known.
    Warning {
        message: String,
    },
    Scored {
        done: usize,
    },
}

/// The two halves of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    Train,
    Evaluate,
}

/// Told by the runner.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum RunEvent {
    /// Before anything starts.
    Planned {
        cells: usize,
        jobs: usize,
    },
    /// A stage is served from the store.
    Cached {
        cell: usize,
        name: String,
        stage: Stage,
        key: String,
    },
    /// An altered attempt was put aside.
    Quarantined {
        cell: usize,
        name: String,
        file: String,
        moved_to: String,
    },
    Started {
        cell: usize,
        name: String,
        stage: Stage,
        key: String,
    },
    Worker {
        cell: usize,
        told: WorkerEvent,
    },
    Finished {
        cell: usize,
        name: String,
        stage: Stage,
        key: String,
        outcome: String,
        reason: String,
        seconds: f64,
        /// Of a training.
        peak_memory_bytes: Option<u64>,
    },
    /// Another process is at work on the cell: told at once, then every ten
    /// minutes.
    Waiting {
        cell: usize,
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
