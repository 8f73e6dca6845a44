//! Asks the worker for the cost ledgers of networks, and remembers them
//! beside the store: a ledger is a pure function of the sources.
//!
//! ```text
//! <root>/costs/<digest>.json   a ledger; can be deleted at any time
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use dygl_base::atomic;
use dygl_spec::ledger::{Ledger, Size};
use dygl_spec::name::Named;
use dygl_store::key::revision::Revisions;

use super::ENVIRONMENT;
use super::local::Local;

/// Why there is no ledger.
#[derive(Debug, thiserror::Error)]
pub enum CostError {
    /// The worker's program cannot be started.
    #[error("cannot start {}: {source}", worker.display())]
    Start {
        /// Path of the worker's program.
        worker: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The worker ended without success; `models` are those that it was asked for, between blanks.
    #[error("{} does not know what {models} cost: {message}", worker.display())]
    Failed {
        /// Path of the worker's program.
        worker: PathBuf,
        /// Networks that it was asked for, between blanks.
        models: String,
        /// The worker's standard error.
        message: String,
    },
    /// The worker's answer cannot be read or lacks a ledger: it is of other sources.
    #[error("{} answers in other words: it was built from other sources; build both with `make`", worker.display())]
    Answer {
        /// Path of the worker's program.
        worker: PathBuf,
    },
}

/// The ledgers of networks (resolved names) for a square image, in their order;
/// their memory is that of one image.
///
/// # Errors
/// The worker cannot be started, or does not answer.
pub fn ledgers(local: &Local, root: &Path, models: &[Named], size: usize) -> Result<Vec<Ledger>, CostError> {
    ledgers_of_batch(local, root, models, size.into(), 1)
}

/// [`ledgers`] for an image of any size, with the memory of `batch` of them.
///
/// # Errors
/// As [`ledgers`].
pub fn ledgers_of_batch(
    local: &Local,
    root: &Path,
    models: &[Named],
    size: Size,
    batch: usize,
) -> Result<Vec<Ledger>, CostError> {
    let mut known: Vec<Option<Ledger>> =
        models.iter().map(|model| remembered(&place(root, model, size, batch))).collect();
    let wanted: Vec<&Named> =
        models.iter().zip(&known).filter(|(_, ledger)| ledger.is_none()).map(|(model, _)| model).collect();
    if !wanted.is_empty() {
        let mut found = ask(local.worker(), &wanted, size, batch)?.into_iter();
        for (model, slot) in models.iter().zip(&mut known).filter(|(_, ledger)| ledger.is_none()) {
            let ledger =
                found.next().ok_or_else(|| CostError::Answer { worker: local.worker().to_owned() })?;
            // Where it cannot be kept, the worker is asked again; a store that is
            // not there yet is not made for this.
            if root.is_dir() {
                let _ = keep(&place(root, model, size, batch), &ledger);
            }
            *slot = Some(ledger);
        }
    }
    Ok(known.into_iter().flatten().collect())
}

/// Named by all that a ledger depends on.
fn place(root: &Path, model: &Named, size: Size, batch: usize) -> PathBuf {
    let revisions = Revisions::of_this_build();
    let (name, size, batch) = (model.to_string(), size.to_string(), batch.to_string());
    let basis = [&name, &size, &batch, revisions.network(&model.name), revisions.get("cost")]
        .map(|part| format!("{}:{part}", part.len()))
        .concat();
    root.join("costs").join(format!("{}.json", &blake3::hash(basis.as_bytes()).to_hex()[..32]))
}

fn remembered(path: &Path) -> Option<Ledger> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn keep(path: &Path, ledger: &Ledger) -> io::Result<()> {
    fs::create_dir_all(atomic::folder_of(path))?;
    atomic::write(path, &serde_json::to_vec(ledger)?)
}

fn ask(worker: &Path, models: &[&Named], size: Size, batch: usize) -> Result<Vec<Ledger>, CostError> {
    let worker = worker.to_owned();
    let mut command = Command::new(&worker);
    command.arg("cost").args(["--size", &size.to_string(), "--batch", &batch.to_string()]).envs(ENVIRONMENT);
    command.args(models.iter().map(|model| model.to_string()));
    let output = match command.output() {
        Ok(output) => output,
        Err(source) => return Err(CostError::Start { worker, source }),
    };
    if output.status.success() {
        return serde_json::from_slice(&output.stdout).map_err(|_| CostError::Answer { worker });
    }
    let models = models.iter().map(|model| model.to_string()).collect::<Vec<_>>().join(" ");
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(CostError::Failed { worker, models, message })
}
