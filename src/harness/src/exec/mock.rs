//! The mock executor: whole matrices in milliseconds, for tests.
//!
//! It writes the same files as a worker, with scores that are a function of
//! the key, and can be told how each task is to end. Its numerics class must
//! be one of its own (`mock`), so that no reading verb takes its results for
//! real ones.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::event::WorkerEvent;
use super::job::{Job, Task};
use super::{Ended, Executor, Stop};
use crate::metric::Metric;
use crate::random::Stream;
use crate::store::record::{EvalRecord, Outcome, TrainRecord};

/// Says how a task ends.
pub type Script = Box<dyn Fn(&Job) -> Ended + Send + Sync>;

/// Runs nothing, records everything.
pub struct Mock {
    script: Script,
    ran: Mutex<Vec<String>>,
    running: AtomicUsize,
    most: AtomicUsize,
}

impl Default for Mock {
    fn default() -> Self {
        Self::with(|_| Ended::Recorded)
    }
}

impl Mock {
    /// With a script that decides each task's end.
    pub fn with(script: impl Fn(&Job) -> Ended + Send + Sync + 'static) -> Self {
        let script = Box::new(script);
        Self { script, ran: Mutex::default(), running: AtomicUsize::new(0), most: AtomicUsize::new(0) }
    }

    /// The tasks that ran, as `train dyglnet on phantom-polyp, seed 42`.
    pub fn ran(&self) -> Vec<String> {
        self.ran.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// How many tasks ran at once at most.
    pub fn most_at_once(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

impl Executor for Mock {
    fn run(&self, job: &Job, folder: &Path, _stop: &Stop, tell: &dyn Fn(WorkerEvent)) -> Ended {
        let now = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        let verb = match job.task {
            Task::Train => "train",
            Task::Evaluate { .. } => "evaluate",
        };
        self.ran
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .push(format!("{verb} {}", job.cell.describe()));
        tell(WorkerEvent::Started { steps: 1, done: 0, parameters: 0 });
        let ended = match (self.script)(job) {
            Ended::Recorded => match write(job, folder) {
                Ok(()) => Ended::Recorded,
                Err(error) => Ended::Died(Outcome::Failed { message: error.to_string() }),
            },
            other => other,
        };
        self.running.fetch_sub(1, Ordering::SeqCst);
        ended
    }
}

/// What a worker would leave, made from the key.
fn write(job: &Job, folder: &Path) -> std::io::Result<()> {
    let mut stream = Stream::new(job.cell.seed, "mock", &[&job.key]);
    match &job.task {
        Task::Train => {
            let weights = job.key.as_bytes();
            fs::write(folder.join("model.safetensors"), weights)?;
            fs::write(
                folder.join("history.csv"),
                "epoch,learning_rate,loss,bce,dice_loss,select_dice,gradient_norm,seconds\n1,0.001,0.5,0.5,0.5,,1,0\n",
            )?;
            let record = TrainRecord {
                weights: blake3::hash(weights).to_hex().to_string(),
                epochs_done: 1,
                steps_done: 1,
                selected_epoch: 1,
                final_loss: stream.unit(),
                ..job.train_record(Outcome::Done, None)
            };
            super::runner::write_record(folder, &record)
        }
        Task::Evaluate { train_key, weights_digest, .. } => {
            let mean: BTreeMap<Metric, f64> =
                Metric::ALL.iter().map(|m| (*m, stream.range(0.5, 0.95))).collect();
            let names: Vec<&str> = mean.keys().map(|m| m.name()).collect();
            let scores: Vec<String> = mean.values().map(f64::to_string).collect();
            let csv = format!("id,{}\n0,{}\n", names.join(","), scores.join(","));
            fs::write(folder.join("per_image.csv"), &csv)?;
            let record = EvalRecord {
                scores: blake3::hash(csv.as_bytes()).to_hex().to_string(),
                images: 1,
                std: mean.keys().map(|m| (*m, 0.0)).collect(),
                mean,
                ..job.eval_record(train_key, weights_digest, Outcome::Done, None)
            };
            super::runner::write_record(folder, &record)
        }
    }
}
