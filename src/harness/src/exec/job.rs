//! The job: all that a worker is told, as `job.json` in its folder.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::key::revision::{self, Revisions};
use crate::plan::Cell;
use crate::store::host;
use crate::store::record::{self, Provenance};

/// Name of the file in the work folder.
pub const FILE: &str = "job.json";

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Task {
    Train,
    /// Score these weights.
    Evaluate {
        train_key: String,
        weights: PathBuf,
        weights_digest: String,
    },
}

/// One task on one cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    pub task: Task,
    pub key: String,
    pub cell: Cell,
    pub profile: String,
    /// The store's root: the registered datasets lie there.
    pub root: PathBuf,
    /// `flex`, `tch-cpu`, ...
    pub device: String,
    /// The numerics class that the key names.
    pub numerics: String,
    pub threads: usize,
    /// Digests that the key names; the worker refuses other data.
    pub dataset_digest: String,
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
            libraries: self.revisions.libraries(),
        }
    }
}
