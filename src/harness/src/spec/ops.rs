//! How runs are carried out. Nothing here belongs to a result's key: the same
//! cell run with other ops is the same cell.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[ops]`, resolved. The defaults stand in `[paper.ops]` of `profiles.toml`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ops {
    /// Where runs start.
    pub on: ExecutorName,
    /// Runs at the same time.
    pub jobs: usize,
    /// Threads of each run; 0 divides the machine's cores among the jobs.
    pub threads: usize,
    /// Folder of the datasets, relative to the working directory.
    pub data: PathBuf,
    /// A run is stopped after this long.
    pub timeout_hours: f64,
    /// Whether a step of each kind of cell is measured before the runs start.
    pub preflight: PreflightMode,
    pub log: LogLevel,
    /// Further arguments of `sbatch`.
    pub slurm_args: Vec<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExecutorName {
    #[default]
    Local,
    Slurm,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum PreflightMode {
    /// Where hours may be at stake.
    #[default]
    Auto,
    /// Whenever anything is to be run.
    Always,
    Never,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}
