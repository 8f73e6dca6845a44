//! Measuring a step: the worker trains a few, and the result is remembered.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dygl_base::atomic;
use dygl_spec::plan::Cell;
use dygl_store::key::{Key, Preimage};
use serde::{Deserialize, Serialize};

use super::super::{Stop, child, local};
use super::{Preflight, Surveyed};

/// Seconds that a worker measures for; a slow step may take it longer.
const SECONDS: f64 = 8.0;

/// A worker that has measured nothing after this long never will.
const PATIENCE: Duration = Duration::from_secs(3600);

/// What `dygl-worker preflight FILE` finds in its file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Cell whose steps are trained.
    pub cell: Cell,
    /// The store's root: the registered datasets lie there.
    pub root: PathBuf,
    /// One that the worker offers: `flex`, `tch-cpu`, `tch:0`.
    pub device: String,
    /// The numerics class of that device; the worker refuses another.
    pub numerics: String,
    /// How long steps are measured, seconds.
    pub seconds: f64,
}

/// What the worker found, told as one line of JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Steps that were measured, after one that was not.
    pub steps: usize,
    /// Images of one step.
    pub batch: usize,
    /// With decoding and augmenting the images, as in training.
    pub seconds_per_step: f64,
    /// Scoring one image, of a batch.
    pub seconds_per_scored: f64,
    /// Decoding and resizing one image with its mask, of a batch.
    pub seconds_per_load: f64,
    /// From the start of the process to the first step.
    pub seconds_to_start: f64,
    /// Trainable values of the network.
    pub parameters: u64,
    /// Size of the weights file.
    pub weights_bytes: u64,
    /// Main memory at its highest, of one worker.
    pub peak_memory_bytes: u64,
    /// Human name of the device.
    pub device: String,
}

/// Why a step could not be measured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MeasureError {
    /// A worker ran out of memory; how it ended, with the last lines of its log.
    #[error("memory ran out: {0}")]
    OutOfMemory(String),
    /// Everything else, in words.
    #[error("{0}")]
    Failed(String),
}

impl Preflight<'_> {
    /// The measurement of a cell's group: remembered, or taken now with
    /// `copies` workers at once. The flag says whether it was remembered.
    ///
    /// # Errors
    /// A worker did not come to its end.
    pub fn measure(&self, surveyed: &Surveyed<'_>, copies: usize) -> Result<(Measured, bool), MeasureError> {
        let group = self.group(surveyed.cell, copies);
        let path = self.memo(group.key());
        if let Some(memo) = fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Memo>(&text).ok())
            && memo.group == group
        {
            return Ok((memo.measured, true));
        }
        let found: Vec<Result<Measured, MeasureError>> = std::thread::scope(|scope| {
            let workers: Vec<_> =
                (0..copies).map(|_| scope.spawn(|| self.measure_once(surveyed.cell))).collect();
            let lost = || Err(MeasureError::Failed("the measuring thread was lost".to_owned()));
            workers.into_iter().map(|worker| worker.join().unwrap_or_else(|_| lost())).collect()
        });
        let measured = mean(found.into_iter().collect::<Result<Vec<_>, _>>()?)
            .ok_or_else(|| MeasureError::Failed("no worker was started".to_owned()))?;
        let memo = Memo { group, measured };
        // A measurement that cannot be kept is taken again next time.
        let _ = remember(&path, &memo);
        Ok((memo.measured, false))
    }

    /// Where a measurement is kept: results' numbers never depend on it.
    fn memo(&self, key: &Key) -> PathBuf {
        self.store.root().join("preflight").join(format!("{}.json", key.as_str()))
    }

    fn measure_once(&self, cell: &Cell) -> Result<Measured, MeasureError> {
        let failed = |error: &dyn std::fmt::Display| MeasureError::Failed(error.to_string());
        let folder = tempfile::tempdir().map_err(|error| failed(&error))?;
        let task = Task {
            cell: cell.clone(),
            root: self.store.root().to_owned(),
            device: self.options.device.clone(),
            numerics: self.options.numerics.clone(),
            seconds: SECONDS,
        };
        let path = folder.path().join("task.json");
        let log = folder.path().join("log.txt");
        let text = serde_json::to_vec(&task).map_err(|error| failed(&error))?;
        fs::write(&path, text).map_err(|error| failed(&error))?;
        let file = fs::File::create(&log).map_err(|error| failed(&error))?;
        let mut command = child::command(self.local.worker(), self.options.threads);
        command.arg("preflight").arg(&path).stderr(file);
        let mut found = None;
        let end =
            child::watch(command, &Stop::default(), Some(PATIENCE), &mut |told: Measured| found = Some(told))
                .map_err(|error| failed(&error))?;
        match found {
            Some(found) if end.status.success() => Ok(found),
            _ => {
                let tail = local::log_tail(&log);
                let text = format!("{}: {tail}", end.how());
                Err(if end.out_of_memory(&tail) {
                    MeasureError::OutOfMemory(text)
                } else {
                    MeasureError::Failed(text)
                })
            }
        }
    }
}

/// A measurement with all that it depends on.
#[derive(Debug, Serialize, Deserialize)]
struct Memo {
    group: Preimage,
    measured: Measured,
}

fn remember(path: &Path, memo: &Memo) -> std::io::Result<()> {
    fs::create_dir_all(atomic::folder_of(path))?;
    atomic::write(path, &serde_json::to_vec_pretty(memo)?)
}

/// Times on average, memory at its highest.
fn mean(found: Vec<Measured>) -> Option<Measured> {
    let count = found.len() as f64;
    let of = |value: fn(&Measured) -> f64| found.iter().map(value).sum::<f64>() / count;
    let mut all = found.first()?.clone();
    all.seconds_per_step = of(|one| one.seconds_per_step);
    all.seconds_per_scored = of(|one| one.seconds_per_scored);
    all.seconds_per_load = of(|one| one.seconds_per_load);
    all.seconds_to_start = of(|one| one.seconds_to_start);
    all.steps = found.iter().map(|one| one.steps).sum();
    all.peak_memory_bytes = found.iter().map(|one| one.peak_memory_bytes).max()?;
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_side_by_side_are_averaged_and_memory_is_the_highest() {
        let one = Measured {
            steps: 3,
            batch: 4,
            seconds_per_step: 1.0,
            seconds_per_scored: 0.5,
            seconds_per_load: 0.25,
            seconds_to_start: 1.0,
            parameters: 10,
            weights_bytes: 40,
            peak_memory_bytes: 100,
            device: "flex".into(),
        };
        let other = Measured { steps: 2, seconds_per_step: 2.0, peak_memory_bytes: 300, ..one.clone() };
        let all = mean(vec![one, other]).expect("two");
        assert_eq!((all.steps, all.seconds_per_step, all.peak_memory_bytes), (5, 1.5, 300));
        assert_eq!(mean(Vec::new()), None);
    }
}
