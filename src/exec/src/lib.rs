//! Runs cells: the runner, the executors, their events and outcomes.
//!
//! The runner decides what has to run and publishes it; an [`Executor`] runs
//! one task in one folder; whoever listens to the events shows them. Nothing
//! here prints.

pub mod ask;
mod board;
mod child;
pub mod cost;
pub mod device;
pub mod devices;
pub mod event;
mod inputs;
pub mod job;
pub mod local;
pub mod machine;
pub mod measure;
pub mod mock;
pub mod predict;
pub mod preflight;
pub mod pretrained;
mod runner;
pub mod views;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use dygl_store::record::Outcome;
use event::WorkerEvent;
use job::Job;

pub use child::{ALLOCATOR, ENVIRONMENT, PARENT};
pub use inputs::{InputError, Inputs, facts};
pub use runner::{CellOutcome, Options, Runner, Summary};

/// How an executor's work on a task ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ended {
    /// The worker left `record.json` in the folder; it says how it went.
    Recorded,
    /// Stopped on request; a checkpoint lets it go on later.
    Interrupted,
    /// The worker ended without a record.
    Died(Outcome),
}

/// Runs one task.
pub trait Executor: Sync {
    /// Works on `job` in `folder`, telling of progress, until it ends.
    fn run(&self, job: &Job, folder: &Path, stop: &Stop, tell: &dyn Fn(WorkerEvent)) -> Ended;
}

/// A request to stop, counted: once means at the next checkpoint, twice now.
#[derive(Debug, Default)]
pub struct Stop(AtomicUsize);

impl Stop {
    /// Counts one more request.
    pub fn request(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// How often a stop was requested.
    pub fn level(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}
