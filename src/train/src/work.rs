//! `dygl-worker run FOLDER`: does the job that lies in a folder and leaves
//! its record there.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use dygl_base::exit::{Exit, in_full};
use dygl_datasets::pack::Cache;
use dygl_datasets::{DataError, Dataset, Registry};
use dygl_exec::PARENT;
use dygl_exec::event::WorkerEvent;
use dygl_exec::facts;
use dygl_exec::job::{self, Job, Task};
use dygl_pixels::Partition;
use dygl_pixels::prepare::Form;
use dygl_store::key::revision::Revisions;
use dygl_store::record::{self, DatasetFacts, EvalRecord, Outcome, Provenance, TrainRecord};
use rustix::process::Signal;

use crate::assignment::Assignment;
use crate::device::{self, Backend, DeviceError};
use crate::evaluate;
use crate::learn::fit::{self, Fitted};
use crate::tell::Teller;

/// Why a job could not even be begun.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// The job does not parse.
    #[error("{}: {message}", path.display())]
    Job {
        /// Its file, `job.json`.
        path: PathBuf,
        /// What is wrong in it.
        message: String,
    },
    /// The device cannot be used.
    #[error("failed to {0}")]
    Device(#[from] DeviceError),
    /// The dataset cannot be opened, split or packed.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The data or the numerics class are not those that the job's key names.
    #[error("{what} is {found}, the job names {expected}: it changed since the run was planned")]
    Changed {
        /// Which of them, as the message begins: `the split's digest`.
        what: &'static str,
        /// Digest or class that the job names.
        expected: String,
        /// Digest or class here.
        found: String,
    },
    /// The worker was built from other sources than the runner; the revisions that differ.
    #[error(
        "this worker was built from other sources than the runner ({}): build both with `make`",
        .0.join(", ")
    )]
    Revisions(Vec<String>),
    /// A file of the job cannot be read, written or removed, or signals not be watched for.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file; the job's folder where it is about signals.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

/// Does the job in `folder`.
///
/// # Errors
/// The job cannot be begun, or its record cannot be written. A training that
/// fails is no error here: the record says so.
pub fn run(folder: &Path) -> Result<Exit, WorkError> {
    die_with_parent();
    let io = |path: PathBuf| move |source| WorkError::Io { path, source };
    let record_path = folder.join("record.json");
    // A runner that was killed may have left one.
    match std::fs::remove_file(&record_path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        other => other.map_err(io(record_path.clone()))?,
    }
    let job = read(folder)?;
    let backend = device::parse(&job.device)?;
    check(&job, &backend)?;
    let registry = Registry::at(&job.root);
    let dataset = Dataset::open(&job.cell.dataset, &registry)?;
    let partition = dataset.split(&job.cell.protocol.split)?;
    same("the dataset's digest", &job.dataset_digest, dataset.digest())?;
    same("the split's digest", &job.split_digest, &partition.digest)?;

    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(io(folder.to_owned()))?;
    }
    let mut teller = Teller::into_folder(folder).map_err(io(folder.join("events.jsonl")))?;
    let dataset = packed(&dataset, &job, &mut teller)?;
    let assignment = Assignment { job: &job, folder, dataset: &dataset, backend: &backend };
    let worker = Worker { assignment, partition: &partition };
    let (outcome, written) = match &job.task {
        Task::Train => match worker.train(teller, &stop) {
            None => return Ok(Exit::Interrupted),
            Some(record) => (record.outcome.clone(), write(&record_path, &record)),
        },
        Task::Evaluate { train_key, weights, weights_digest } => {
            let record = worker.evaluate(train_key, weights, weights_digest, teller);
            (record.outcome.clone(), write(&record_path, &record))
        }
    };
    written.map_err(io(record_path))?;
    Ok(if outcome.is_done() { Exit::Ok } else { Exit::Failed })
}

/// The dataset with its images packed, where the store can hold them.
fn packed(dataset: &Dataset, job: &Job, teller: &mut Teller) -> Result<Dataset, DataError> {
    // What decodes, resizes and packs: these revisions tell its versions apart.
    let code = ["pixels", "library.image", "pack"].map(|name| job.revisions.get(name)).join(" ");
    let form = Form::of(&job.cell.protocol);
    let telling = Mutex::new(teller);
    let attached = Cache::at(&job.root).attach(dataset, form, &code, &|done, images| {
        // Another thread is reporting at this moment; its count is as good as ours.
        if let Ok(mut teller) = telling.try_lock() {
            teller.pace(&WorkerEvent::Packed { done, images });
        }
    })?;
    if let (Some(message), Ok(teller)) = (attached.warning, telling.into_inner()) {
        teller.tell(&WorkerEvent::Warning { message });
    }
    Ok(attached.dataset)
}

fn write(path: &Path, record: &impl serde::Serialize) -> std::io::Result<()> {
    let text = serde_json::to_vec_pretty(record)?;
    let temporary = path.with_extension("json.new");
    std::fs::write(&temporary, text)?;
    std::fs::rename(&temporary, path)
}

/// A worker must not outlive its runner: its work could not be published.
pub(crate) fn die_with_parent() {
    let Some(parent) = std::env::var(PARENT).ok().and_then(|text| text.parse::<i32>().ok()) else { return };
    // Where the system knows no such signal, an orphan merely wastes time.
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let is_orphan = rustix::process::getppid().is_none_or(|pid| pid.as_raw_nonzero().get() != parent);
    if is_orphan {
        std::process::exit(Exit::Interrupted as i32);
    }
}

fn read(folder: &Path) -> Result<Job, WorkError> {
    let path = folder.join(job::FILE);
    let text = std::fs::read(&path).map_err(|source| WorkError::Io { path: path.clone(), source })?;
    serde_json::from_slice(&text).map_err(|error| WorkError::Job { path, message: error.to_string() })
}

/// The key names sources and numerics class; another worker's numbers would
/// stand under a false name.
fn check(job: &Job, backend: &Backend) -> Result<(), WorkError> {
    let own = Revisions::of_this_build();
    let own = match &backend.libtorch {
        Some(version) => {
            let libraries = own.libtorch(version);
            own.with(Revisions::LIBTORCH, &libraries)
        }
        None => own,
    };
    let differ = own.differences(&job.revisions, &job.cell.model.name);
    if !differ.is_empty() {
        return Err(WorkError::Revisions(differ));
    }
    same("the numerics class", &job.numerics, &backend.numerics)
}

fn same(what: &'static str, expected: &str, found: &str) -> Result<(), WorkError> {
    if expected == found {
        return Ok(());
    }
    Err(WorkError::Changed { what, expected: expected.to_owned(), found: found.to_owned() })
}

struct Worker<'a> {
    assignment: Assignment<'a>,
    partition: &'a Partition,
}

impl Worker<'_> {
    /// None if it was stopped at a checkpoint.
    fn train(&self, mut teller: Teller, stop: &AtomicBool) -> Option<TrainRecord> {
        let started = record::now();
        let job = self.assignment.job;
        let images = self.partition.for_training(&job.cell.protocol);
        let fitted = fit::fit(self.assignment, images, &mut teller, stop);
        let mut record = TrainRecord {
            peak_memory_bytes: peak_memory(),
            provenance: self.provenance(started),
            ..job.train_record(Outcome::Done, Some(self.facts()))
        };
        match fitted {
            Ok(Fitted::Stopped) => return None,
            Ok(Fitted::Done(state, parameters)) => {
                record.parameters = parameters;
                record.selected_epoch = state.best_epoch;
                record.epochs_done = state.epochs_done;
                record.steps_done = state.steps_done;
                record.final_loss = state.history.last().map_or(0.0, |row| row.loss);
                record.train_seconds = state.seconds;
                record.resumed = state.resumed;
                record.start = state.start;
                let weights = self.assignment.folder.join("model.safetensors");
                match digest(&weights) {
                    Ok(digest) => record.weights = digest,
                    Err(error) => {
                        let message = format!("{}: {}", weights.display(), in_full(&error));
                        record.outcome = Outcome::Failed { message };
                    }
                }
            }
            Err(error) => record.outcome = error.outcome(),
        }
        Some(record)
    }

    fn evaluate(
        &self,
        train_key: &str,
        weights: &Path,
        weights_digest: &str,
        mut teller: Teller,
    ) -> EvalRecord {
        let (started, clock) = (record::now(), Instant::now());
        let job = self.assignment.job;
        let mut record = EvalRecord {
            provenance: self.provenance(started),
            ..job.eval_record(train_key, weights_digest, Outcome::Done, Some(self.facts()))
        };
        match self.scores(weights, weights_digest, &mut teller) {
            Ok(evaluated) => {
                record.scores = evaluated.scores_digest;
                record.images = evaluated.images;
                record.skipped = evaluated.summary.values().next().map_or(evaluated.images, |s| s.skipped);
                record.mean = evaluated.summary.iter().map(|(metric, s)| (*metric, s.mean)).collect();
                record.std = evaluated.summary.iter().map(|(metric, s)| (*metric, s.std)).collect();
                record.trivial = evaluated.trivial;
                record.samples = evaluated.samples;
            }
            Err(outcome) => record.outcome = outcome,
        }
        record.eval_seconds = clock.elapsed().as_secs_f64();
        record.provenance.finished = record::now();
        record
    }

    fn scores(
        &self,
        weights: &Path,
        weights_digest: &str,
        teller: &mut Teller,
    ) -> Result<evaluate::Evaluated, Outcome> {
        let failed = |message: String| Outcome::Failed { message };
        let found = digest(weights).map_err(|error| failed(format!("{}: {error}", weights.display())))?;
        if found != weights_digest {
            return Err(failed(format!("{}: the weights were altered", weights.display())));
        }
        let protocol = &self.assignment.job.cell.protocol;
        let images = self.partition.for_report(protocol);
        evaluate::evaluate(self.assignment, weights, images, teller).map_err(|error| {
            match error.divergence() {
                Some(message) => Outcome::Diverged { epoch: protocol.train.epochs, step: 0, message },
                None => failed(error.to_string()),
            }
        })
    }

    fn facts(&self) -> DatasetFacts {
        facts(self.assignment.dataset, self.partition)
    }

    fn provenance(&self, started: u64) -> Provenance {
        Provenance {
            device: self.assignment.backend.description.clone(),
            simd: self.assignment.backend.simd.to_owned(),
            threads: rayon::current_num_threads(),
            started,
            finished: record::now(),
            ..self.assignment.job.provenance()
        }
    }
}

pub(crate) fn digest(path: &Path) -> std::io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(std::fs::File::open(path)?)?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// Highest resident memory of this process so far, bytes; 0 where the system
/// does not tell.
pub(crate) fn peak_memory() -> u64 {
    std::fs::read_to_string("/proc/self/status")
        .unwrap_or_default()
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok())
        .map_or(0, |kib| kib * 1024)
}
