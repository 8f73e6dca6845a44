//! Checkpoints: where a stopped training goes on, to the bit.
//!
//! `checkpoint/<epochs done>/` holds `model.safetensors`,
//! `optimizer.safetensors`, `state.json` and, where the best epoch is
//! reported, `best.safetensors`. A checkpoint appears by one rename; the one
//! before it is removed afterwards.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use dygl_spec::protocol::Optimizer;
use dygl_store::record::{HistoryRow, Start};
use dygl_store::{CHECKPOINT, discard, sweep};
use serde::{Deserialize, Serialize};

use crate::learn::optim::{AdamW, OptimizerStateError};
use crate::learn::tensors::{self, TensorFileError, Tensors};
use crate::learn::weights::{self, WeightsError};
use crate::net::Net;

/// What training carries from epoch to epoch besides tensors.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Key of the training; another's checkpoint is not taken up.
    pub key: String,
    /// Whole epochs trained so far.
    pub epochs_done: usize,
    /// Optimizer steps taken so far, over all epochs.
    pub steps_done: usize,
    /// How often training was taken up from a checkpoint.
    pub resumed: usize,
    /// Wall-clock time of the epochs done, their scoring included.
    pub seconds: f64,
    /// Epoch whose weights are kept, 1-based; 0 until there is one.
    pub best_epoch: usize,
    /// Mean Dice of that epoch on the selection part, 0..1; 0 where the rule compares none.
    pub best_dice: f64,
    /// A row for each epoch done, in their order.
    pub history: Vec<HistoryRow>,
    /// The weights of others that training started from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Start>,
}

/// A checkpoint cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// A file or folder of the checkpoint cannot be read, made, moved or removed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// `state.json` does not parse, or cannot be written as JSON.
    #[error("{}: {source}", path.display())]
    State {
        /// Where `state.json` lies.
        path: PathBuf,
        /// What is wrong in it.
        source: serde_json::Error,
    },
    /// The optimizer's state cannot be written, or the best weights not written or read.
    #[error(transparent)]
    Tensors(#[from] TensorFileError),
    /// The network's weights cannot be written or read, or are of another network.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The optimizer's state cannot be read, or is of another network.
    #[error(transparent)]
    Optimizer(#[from] OptimizerStateError),
}

fn io(path: &Path) -> impl FnOnce(io::Error) -> CheckpointError + '_ {
    move |source| CheckpointError::Io { path: path.to_owned(), source }
}

/// Writes a checkpoint into the work folder.
///
/// # Errors
/// The disk is full or not writable; the checkpoint before stays.
pub fn save(
    folder: &Path,
    net: &Net,
    optimizer: &AdamW,
    best: Option<&Tensors>,
    state: &State,
) -> Result<(), CheckpointError> {
    let all = folder.join(CHECKPOINT);
    let new = all.join(".new");
    remove(&new)?;
    fs::create_dir_all(&new).map_err(io(&new))?;
    weights::save(net, &new.join("model.safetensors"))?;
    optimizer.save(&new.join("optimizer.safetensors"))?;
    if let Some(best) = best {
        tensors::write(&new.join("best.safetensors"), best)?;
    }
    let path = new.join("state.json");
    let text = serde_json::to_vec_pretty(state)
        .map_err(|source| CheckpointError::State { path: path.clone(), source })?;
    fs::write(&path, text).map_err(io(&path))?;
    for entry in fs::read_dir(&new).map_err(io(&new))? {
        let path = entry.map_err(io(&new))?.path();
        File::open(&path).and_then(|file| file.sync_all()).map_err(io(&path))?;
    }
    let older = epochs(&all)?;
    let target = all.join(format!("{:06}", state.epochs_done));
    remove(&target)?;
    fs::rename(&new, &target).map_err(io(&target))?;
    for path in older.into_iter().filter(|path| *path != target) {
        // The new one is there; an old one that stays is older.
        let _ = discard(&path);
    }
    sweep(&all);
    Ok(())
}

/// What a resumed training starts from.
pub struct Resumed {
    /// The network with the checkpoint's weights.
    pub net: Net,
    /// With the moments and the step count of the checkpoint.
    pub optimizer: AdamW,
    /// Weights of the best epoch; `None` where the rule wants none, or none was scored yet.
    pub best: Option<Tensors>,
    /// As it was saved, with this resumption counted.
    pub state: State,
}

/// The newest checkpoint of this key, or the network back if there is none.
///
/// # Errors
/// There is one, but it cannot be read.
pub fn load(
    folder: &Path,
    key: &str,
    net: Net,
    spec: &Optimizer,
) -> Result<Result<Resumed, Net>, CheckpointError> {
    let Some(newest) = epochs(&folder.join(CHECKPOINT))?.pop() else { return Ok(Err(net)) };
    let path = newest.join("state.json");
    let text = fs::read(&path).map_err(io(&path))?;
    let mut state: State = serde_json::from_slice(&text)
        .map_err(|source| CheckpointError::State { path: path.clone(), source })?;
    if state.key != key {
        return Ok(Err(net));
    }
    let net = weights::load(net, &newest.join("model.safetensors"))?;
    let optimizer = AdamW::load(spec, &net, &newest.join("optimizer.safetensors"))?;
    let path = newest.join("best.safetensors");
    let best = if path.is_file() { Some(tensors::read(&path)?) } else { None };
    state.resumed += 1;
    Ok(Ok(Resumed { net, optimizer, best, state }))
}

/// The complete checkpoints, oldest first.
fn epochs(folder: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(CheckpointError::Io { path: folder.to_owned(), source }),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(io(folder))?.path();
        if path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.')) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Frees a name, whether or not a file below it is still open.
fn remove(folder: &Path) -> Result<(), CheckpointError> {
    discard(folder).map_err(io(folder))
}
