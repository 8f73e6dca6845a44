//! The mock executor: whole matrices in milliseconds, for tests.
//!
//! It writes the same files as a worker, with scores that are a function of
//! the key unless a test says otherwise, and can be told how each task is to
//! end. In a store that outlives a test its numerics class must be one of its
//! own (`mock`), so that no reading verb takes its results for real ones.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use dygl_base::random::Stream;
use dygl_spec::metric::{Metric, Summary};
use dygl_spec::plan::Cell;
use dygl_store::Store;
use dygl_store::key::revision::Revisions;
use dygl_store::record::{EvalRecord, ImageScores, Outcome, TrainRecord};

use super::devices::Class;
use super::event::WorkerEvent;
use super::job::{Job, Task};
use super::{Ended, Executor, Inputs, Options, Runner, Stop};

/// Says how a task ends.
pub type Script = Box<dyn Fn(&Job) -> Ended + Send + Sync>;

/// Says what the images of an evaluation score.
pub type Scoring = Box<dyn Fn(&Job) -> Vec<ImageScores> + Send + Sync>;

/// Runs nothing, records everything.
pub struct Mock {
    script: Script,
    scoring: Scoring,
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
        Self {
            script: Box::new(script),
            scoring: Box::new(of_the_key),
            ran: Mutex::default(),
            running: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        }
    }

    /// The same with other scores of the images.
    #[must_use]
    pub fn scoring(self, scoring: impl Fn(&Job) -> Vec<ImageScores> + Send + Sync + 'static) -> Self {
        Self { scoring: Box::new(scoring), ..self }
    }

    /// Runs cells against the store of `root` as if a worker had done so on flex, what
    /// failed before again.
    pub fn plant(&self, root: &Path, cells: &[Cell]) {
        let class = Class::flex();
        let options = Options {
            profile: "paper".into(),
            jobs: 1,
            threads: 1,
            device: "flex".into(),
            numerics: class.numerics.clone(),
            keep_going: true,
            retry_failed: true,
            force: false,
            timeout: None,
            budget: None,
        };
        let runner = Runner {
            store: &Store::at(root),
            inputs: &Inputs::at(root),
            revisions: &class.revisions(&Revisions::of_this_build()),
            executor: self,
            options: &options,
            stop: &Stop::default(),
            tell: &|_| {},
        };
        runner.run(cells);
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
            Ended::Recorded => match write(job, folder, &self.scoring) {
                Ok(()) => Ended::Recorded,
                Err(error) => Ended::Died(Outcome::Failed { message: error.to_string() }),
            },
            other => other,
        };
        self.running.fetch_sub(1, Ordering::SeqCst);
        ended
    }
}

/// One image with scores that are a function of the key.
fn of_the_key(job: &Job) -> Vec<ImageScores> {
    let mut stream = Stream::new(job.cell.seed, "mock", &[&job.key]);
    let scores = Metric::ALL.iter().map(|metric| (*metric, stream.range(0.5, 0.95))).collect();
    vec![ImageScores { id: "0".into(), scores }]
}

/// What a worker would leave.
fn write(job: &Job, folder: &Path, scoring: &Scoring) -> std::io::Result<()> {
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
                final_loss: Stream::new(job.cell.seed, "mock", &[&job.key]).unit(),
                ..job.train_record(Outcome::Done, None)
            };
            super::runner::write_record(folder, &record)
        }
        Task::Evaluate { train_key, weights_digest, .. } => {
            let images = scoring(job);
            let csv = table(&images);
            fs::write(folder.join("per_image.csv"), &csv)?;
            let summary = |metric: &Metric| {
                let values: Vec<f64> =
                    images.iter().filter_map(|image| image.scores.get(metric).copied()).collect();
                Some((*metric, Summary::of(&values, images.len() - values.len())?))
            };
            let summary: BTreeMap<Metric, Summary> = Metric::ALL.iter().filter_map(summary).collect();
            let record = EvalRecord {
                scores: blake3::hash(csv.as_bytes()).to_hex().to_string(),
                images: images.len(),
                skipped: images.iter().filter(|image| image.scores.is_empty()).count(),
                mean: summary.iter().map(|(metric, summary)| (*metric, summary.mean)).collect(),
                std: summary.iter().map(|(metric, summary)| (*metric, summary.std)).collect(),
                ..job.eval_record(train_key, weights_digest, Outcome::Done, None)
            };
            super::runner::write_record(folder, &record)
        }
    }
}

/// `per_image.csv`; empty fields where an image has no score.
fn table(images: &[ImageScores]) -> String {
    let names: Vec<&str> = Metric::ALL.iter().map(|metric| metric.name()).collect();
    let mut csv = format!("id,{}\n", names.join(","));
    for image in images {
        let score = |metric: &Metric| image.scores.get(metric).map_or_else(String::new, f64::to_string);
        let scores: Vec<String> = Metric::ALL.iter().map(score).collect();
        csv.push_str(&format!("{},{}\n", image.id, scores.join(",")));
    }
    csv
}
