//! How runs are carried out. Nothing here belongs to a result's key by itself: the
//! same cell run with other ops is the same cell. (Where sums depend on the number
//! of threads, that is in the numerics class.)

use std::path::PathBuf;
use std::sync::OnceLock;

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
    /// Folder of the datasets, as it is reached from the working directory; files name
    /// it from the project.
    pub data: PathBuf,
    /// A run is stopped after this long.
    pub timeout_hours: f64,
    /// Whether a step of each kind of cell is measured before the runs start.
    pub preflight: PreflightMode,
    /// Further arguments of `sbatch`.
    pub slurm_args: Vec<String>,
}

/// Cores that this process may use. Asked once: the answer costs the system some
/// twenty files, and every cell of a plan wants it.
pub fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

impl Ops {
    /// Threads of each run, with so many of them at the same time.
    pub fn threads_of_each(&self, jobs: usize) -> usize {
        if self.threads > 0 { self.threads } else { (cores() / jobs.max(1)).max(1) }
    }
}

/// Where runs start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExecutorName {
    /// On this machine.
    #[default]
    Local,
    /// On a cluster, as jobs of Slurm.
    Slurm,
}

/// When a step of each kind of cell is measured before the runs start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum PreflightMode {
    /// Where hours may be at stake.
    #[default]
    Auto,
    /// Whenever anything is to be run.
    Always,
    /// In no case.
    Never,
}
