//! The job: all that a worker is told, as `job.json` in its folder.

use std::collections::BTreeMap;
use std::path::PathBuf;

use dygl_spec::plan::Cell;
use dygl_store::host;
use dygl_store::key::revision::{self, Revisions};
use dygl_store::record::{self, DatasetFacts, EvalRecord, Outcome, Provenance, TrainRecord, Trivial};
use serde::{Deserialize, Serialize};

/// Name of the file in the work folder.
pub const FILE: &str = "job.json";

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Task {
    /// Train the cell's network and keep its weights.
    Train,
    /// Score these weights.
    Evaluate {
        /// Key of the training that the weights come from.
        train_key: String,
        /// Path of the weights file.
        weights: PathBuf,
        /// blake3 of that file; the worker refuses another.
        weights_digest: String,
    },
}

/// One task on one cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// What is to be done of the cell: its training or its evaluation.
    pub task: Task,
    /// Key of the result.
    pub key: String,
    /// Network, dataset, seed and protocol.
    pub cell: Cell,
    /// Name of the profile of settings, for the record; not keyed.
    pub profile: String,
    /// The store's root: the registered datasets lie there.
    pub root: PathBuf,
    /// `flex`, `tch-cpu`, `tch:0`: one that the worker offers.
    pub device: String,
    /// The numerics class that the key names.
    pub numerics: String,
    /// Threads that the worker computes on.
    pub threads: usize,
    /// Digests that the key names; the worker refuses other data.
    pub dataset_digest: String,
    /// The same of the division into parts.
    pub split_digest: String,
    /// The revisions that the key names; the worker refuses if its own differ.
    pub revisions: Revisions,
    /// Wall-clock limit, seconds.
    pub timeout_seconds: Option<f64>,
}

impl Job {
    /// Where a result of this job comes from, started now. The worker adds
    /// what only it knows: device, SIMD level, the end.
    pub fn provenance(&self) -> Provenance {
        let now = record::now();
        Provenance {
            dygl_version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: revision::COMMIT.to_owned(),
            dirty: revision::DIRTY,
            numerics: self.numerics.clone(),
            device: self.device.clone(),
            simd: String::new(),
            threads: self.threads,
            host: host(),
            started: now,
            finished: now,
            libraries: self.libraries(),
        }
    }

    /// The crates that compute in this job's numerics class.
    fn libraries(&self) -> BTreeMap<String, String> {
        let mut libraries = self.revisions.libraries();
        if !self.numerics.starts_with("libtorch") {
            libraries.remove("libtorch");
        }
        libraries
    }

    /// A record of this training before anything is known of it.
    pub fn train_record(&self, outcome: Outcome, dataset: Option<DatasetFacts>) -> TrainRecord {
        TrainRecord {
            key: self.key.clone(),
            cell: self.cell.clone(),
            profile: self.profile.clone(),
            outcome,
            dataset,
            weights: String::new(),
            parameters: 0,
            selected_epoch: 0,
            epochs_done: 0,
            steps_done: 0,
            final_loss: 0.0,
            train_seconds: 0.0,
            peak_memory_bytes: 0,
            resumed: 0,
            start: None,
            provenance: self.provenance(),
        }
    }

    /// A record of this evaluation of some weights before anything is known of it.
    pub fn eval_record(
        &self,
        train_key: &str,
        weights: &str,
        outcome: Outcome,
        dataset: Option<DatasetFacts>,
    ) -> EvalRecord {
        EvalRecord {
            key: self.key.clone(),
            train_key: train_key.to_owned(),
            weights: weights.to_owned(),
            scores: String::new(),
            cell: self.cell.clone(),
            profile: self.profile.clone(),
            outcome,
            dataset,
            images: 0,
            skipped: 0,
            mean: BTreeMap::new(),
            std: BTreeMap::new(),
            trivial: Trivial::default(),
            samples: Vec::new(),
            eval_seconds: 0.0,
            provenance: self.provenance(),
        }
    }
}
