//! The runner: decides what has to run, runs it on a number of slots, and
//! publishes what came out.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dygl_spec::plan::Cell;
use dygl_store::key::revision::Revisions;
use dygl_store::key::{self, Preimage};
use dygl_store::record::{Outcome, TrainRecord};
use dygl_store::{Attempt, Claim, Held, Lookup, Store, StoreError};

use super::board::{Board, Taken};
use super::event::{RunEvent, Stage};
use super::inputs::{CellInputs, Inputs};
use super::job::{Job, Task};
use super::{Ended, Executor, Stop};

/// How a run is to be carried out; none of it is keyed.
#[derive(Debug, Clone)]
pub struct Options {
    /// Name of the profile of settings, for the records.
    pub profile: String,
    /// Most cells at once.
    pub jobs: usize,
    /// Threads of each worker.
    pub threads: usize,
    /// Device of the workers, one that they offer: `flex`, `tch:0`.
    pub device: String,
    /// Numerics class of the results, as keys name it.
    pub numerics: String,
    /// Begin further cells after one has failed.
    pub keep_going: bool,
    /// Run again what failed before.
    pub retry_failed: bool,
    /// Run again what is there already.
    pub force: bool,
    /// Limit of one stage of one cell.
    pub timeout: Option<Duration>,
    /// Limit of the whole run: afterwards it stops at checkpoints.
    pub budget: Option<Duration>,
}

/// How a cell stands after a run.
#[derive(Debug, Clone, PartialEq)]
pub enum CellOutcome {
    /// Both stages are in the store. `ran` says whether any of them ran now.
    Done {
        /// Whether at least one stage ran now.
        ran: bool,
    },
    /// A stage ended without a result, now or in an earlier run.
    Failed(Outcome),
    /// Stopped on request while it ran.
    Interrupted,
    /// Not begun, because an earlier cell failed or a stop was requested.
    NotStarted,
    /// The dataset or the store cannot be used.
    Error(String),
}

/// What a run came to, by cell.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Each cell, for people, and how it stands; in the order of the run.
    pub cells: Vec<(String, CellOutcome)>,
}

impl Summary {
    /// How many cells satisfy the predicate.
    pub fn count(&self, which: impl Fn(&CellOutcome) -> bool) -> usize {
        self.cells.iter().filter(|(_, outcome)| which(outcome)).count()
    }
}

/// Runs the cells of a plan.
pub struct Runner<'a> {
    /// Where results are looked up and published.
    pub store: &'a Store,
    /// The datasets of the cells.
    pub inputs: &'a Inputs,
    /// Today's revisions, which keys name.
    pub revisions: &'a Revisions,
    /// Runs the stages, one call each.
    pub executor: &'a dyn Executor,
    /// How the run is carried out.
    pub options: &'a Options,
    /// Where a stop is requested, by others or by the budget.
    pub stop: &'a Stop,
    /// Takes the events, from several threads.
    pub tell: &'a (dyn Fn(RunEvent) + Sync),
}

/// What a slot makes of a cell.
enum Step {
    Ended(CellOutcome),
    /// Another process is at work on it: look again later.
    Held(key::Key, Box<Held>),
    /// What it stands on was altered and is put aside: from the beginning.
    Again,
}

impl Runner<'_> {
    /// Runs the cells that are not in the store yet. One cell's failure never
    /// ends the others that have begun.
    pub fn run(&self, cells: &[Cell]) -> Summary {
        (self.tell)(RunEvent::Planned { cells: cells.len(), jobs: self.options.jobs });
        let started = Instant::now();
        let board = Board::new(self.shared_trainings(cells));
        let outcomes = Mutex::new(vec![CellOutcome::NotStarted; cells.len()]);
        let over = (Mutex::new(false), Condvar::new());
        std::thread::scope(|scope| {
            scope.spawn(|| self.watch_budget(started, &over));
            // More slots than cells would have nothing to do.
            let slots: Vec<_> = (0..self.options.jobs.clamp(1, cells.len().max(1)))
                .map(|_| scope.spawn(|| self.slot(cells, &board, &outcomes)))
                .collect();
            for slot in slots {
                // A panicking slot leaves its cell `NotStarted`; the others go on.
                let _ = slot.join();
            }
            *over.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
            over.1.notify_all();
        });
        let outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
        Summary { cells: cells.iter().map(Cell::describe).zip(outcomes).collect() }
    }

    /// The training keys of cells that may share their training with another.
    fn shared_trainings(&self, cells: &[Cell]) -> Vec<Option<key::Key>> {
        let of = |cell: &Cell| (cell.model.to_string(), cell.dataset.to_string(), cell.seed);
        let mut counts = BTreeMap::new();
        cells.iter().for_each(|cell| *counts.entry(of(cell)).or_insert(0) += 1);
        let key = |cell: &Cell| {
            let inputs = self.inputs.of(cell).ok()?;
            Some(inputs.train_key(cell, &self.options.numerics, self.revisions).key().clone())
        };
        cells.iter().map(|cell| if counts[&of(cell)] > 1 { key(cell) } else { None }).collect()
    }

    /// Requests a stop when the time is up.
    fn watch_budget(&self, started: Instant, over: &(Mutex<bool>, Condvar)) {
        let Some(budget) = self.options.budget else { return };
        let mut is_over = over.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !*is_over {
            let left = budget.saturating_sub(started.elapsed());
            if left.is_zero() {
                self.stop.request();
                (self.tell)(RunEvent::Stopping { level: 1 });
                return;
            }
            let waited = over.1.wait_timeout(is_over, left);
            is_over = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn slot(&self, cells: &[Cell], board: &Board, outcomes: &Mutex<Vec<CellOutcome>>) {
        let is_over = |failed: bool| self.stop.level() > 0 || (failed && !self.options.keep_going);
        while let Some(mut taken) = board.take(is_over) {
            let index = taken.index;
            match self.cell(&cells[index], board, &mut taken) {
                Step::Ended(outcome) => {
                    if matches!(outcome, CellOutcome::Failed(_) | CellOutcome::Error(_)) {
                        board.failed();
                    }
                    outcomes.lock().unwrap_or_else(PoisonError::into_inner)[index] = outcome;
                }
                Step::Held(key, held) => {
                    if board.is_to_be_told(&key) {
                        (self.tell)(self.waiting(index, &cells[index], &key, &held));
                    }
                    board.put_back(index);
                }
                Step::Again => board.again(index),
            }
        }
    }

    fn waiting(&self, index: usize, cell: &Cell, key: &key::Key, held: &Held) -> RunEvent {
        RunEvent::Waiting {
            cell: index,
            name: cell.describe(),
            holder: held.to_string(),
            key: key.to_string(),
            claim: held.file.display().to_string(),
            held_seconds: held.age.as_secs(),
            remedy: self.store.unlock_command(key),
        }
    }

    /// Trains and evaluates one cell, as far as that is not in the store.
    fn cell(&self, cell: &Cell, board: &Board, taken: &mut Taken<'_>) -> Step {
        let inputs = match self.inputs.of(cell) {
            Ok(inputs) => inputs,
            Err(error) => return Step::Ended(CellOutcome::Error(error.to_string())),
        };
        let turn = Turn { index: taken.index, cell, inputs };
        let preimage = turn.inputs.train_key(cell, &self.options.numerics, self.revisions);
        let (trained, ran) = match self.stage(&turn, &preimage, (Stage::Train, board), &|| Ok(Task::Train)) {
            Ok(done) => done,
            Err(step) => return step,
        };
        taken.trained();
        let record: TrainRecord = match trained.read_json("record.json") {
            Ok(record) => record,
            Err(problem) => return Step::Ended(CellOutcome::Error(problem.to_string())),
        };
        let train_key = preimage.key();
        let preimage =
            key::evaluation(train_key, &record.weights, cell, &self.options.numerics, self.revisions);
        let task = || {
            let weights = trained.folder().join("model.safetensors");
            // The lookup may have looked at large files alone.
            match trained.verify().into_iter().next() {
                None => Ok(Task::Evaluate {
                    train_key: train_key.as_str().to_owned(),
                    weights,
                    weights_digest: record.weights.clone(),
                }),
                Some(problem) if problem.is_damage() => {
                    match self.quarantine(&turn, train_key, &trained, problem.path()) {
                        Ok(()) => Err(Step::Again),
                        Err(error) => Err(Step::Ended(CellOutcome::Error(format!("{problem}: {error}")))),
                    }
                }
                Some(problem) => Err(Step::Ended(CellOutcome::Error(problem.to_string()))),
            }
        };
        match self.stage(&turn, &preimage, (Stage::Evaluate, board), &task) {
            Ok((_, evaluated)) => {
                if ran || evaluated {
                    // Weights that have rested meanwhile are stamped now, not by the next verb.
                    let _ = trained.check();
                }
                Step::Ended(CellOutcome::Done { ran: ran || evaluated })
            }
            Err(step) => step,
        }
    }

    /// One stage: from the store, or run and published.
    fn stage(
        &self,
        turn: &Turn<'_>,
        preimage: &Preimage,
        (stage, board): (Stage, &Board),
        task: &dyn Fn() -> Result<Task, Step>,
    ) -> Result<(Attempt, bool), Step> {
        let failed = |error: &dyn std::fmt::Display| Step::Ended(CellOutcome::Error(error.to_string()));
        let key = preimage.key();
        // What this run has run itself is as fresh as was asked for.
        let is_fresh = board.has_run(key);
        let force = self.options.force && !is_fresh;
        let retry = self.options.retry_failed && !is_fresh;
        let mut claim = None;
        // Twice: what was missing may have been published while we claimed.
        loop {
            match self.store.lookup(key).map_err(|error| failed(&error))? {
                Lookup::Hit(attempt) if !force => {
                    let name = turn.cell.describe();
                    (self.tell)(RunEvent::Cached { cell: turn.index, name, stage, key: key.to_string() });
                    return Ok((attempt, false));
                }
                Lookup::Conflict(mut attempts) if !force && !attempts.is_empty() => {
                    return Ok((attempts.swap_remove(0), false));
                }
                Lookup::Failed(_, outcome) if !retry && !force => {
                    return Err(Step::Ended(CellOutcome::Failed(outcome)));
                }
                Lookup::Altered(attempt, problem) => {
                    self.quarantine(turn, key, &attempt, problem.path()).map_err(|error| failed(&error))?;
                    continue;
                }
                _ => {}
            }
            if let Some(claim) = claim.take() {
                let task = task()?;
                board.note(key);
                return self.work(turn, &claim, stage, task);
            }
            claim = Some(match self.store.claim(preimage) {
                Ok(claim) => claim,
                Err(StoreError::Held { key, held }) => return Err(Step::Held(key, held)),
                Err(error) => return Err(failed(&error)),
            });
        }
    }

    fn quarantine(
        &self,
        turn: &Turn<'_>,
        key: &key::Key,
        attempt: &Attempt,
        file: &Path,
    ) -> Result<(), StoreError> {
        let moved = self.store.quarantine(key, attempt)?;
        (self.tell)(RunEvent::Quarantined {
            cell: turn.index,
            name: turn.cell.describe(),
            file: file.display().to_string(),
            moved_to: moved.display().to_string(),
        });
        Ok(())
    }

    /// Runs a stage under its claim and publishes what came of it.
    fn work(
        &self,
        &Turn { index, cell, ref inputs }: &Turn<'_>,
        claim: &Claim,
        stage: Stage,
        task: Task,
    ) -> Result<(Attempt, bool), Step> {
        let started = Instant::now();
        let name = cell.describe();
        let key = claim.key().to_string();
        (self.tell)(RunEvent::Started { cell: index, name: name.clone(), stage, key: key.clone() });
        let job = Job {
            task,
            key: key.clone(),
            cell: cell.clone(),
            profile: self.options.profile.clone(),
            root: self.store.root().to_owned(),
            device: self.options.device.clone(),
            numerics: self.options.numerics.clone(),
            threads: self.options.threads,
            dataset_digest: inputs.dataset.digest().to_owned(),
            split_digest: inputs.partition.digest.clone(),
            revisions: self.revisions.clone(),
            timeout_seconds: self.options.timeout.map(|limit| limit.as_secs_f64()),
        };
        let ended = self.executor.run(&job, &claim.work(), self.stop, &|event| {
            (self.tell)(RunEvent::Worker { cell: index, told: event });
        });
        let peak_memory_bytes = recorded_peak(&claim.work());
        let outcome = match ended {
            Ended::Interrupted => Err(Step::Ended(CellOutcome::Interrupted)),
            Ended::Recorded => self.accept(&job, inputs, claim),
            Ended::Died(outcome) => self.record_failure(&job, inputs, claim, outcome),
        };
        let (word, reason) = match &outcome {
            Ok(_) => ("done", String::new()),
            Err(Step::Ended(CellOutcome::Failed(outcome))) => (outcome.word(), outcome.reason()),
            Err(Step::Ended(CellOutcome::Error(message))) => ("failed", message.clone()),
            Err(_) => ("interrupted", String::new()),
        };
        let (outcome_word, seconds) = (word.to_owned(), started.elapsed().as_secs_f64());
        (self.tell)(RunEvent::Finished {
            cell: index,
            name,
            stage,
            key,
            outcome: outcome_word,
            reason,
            seconds,
            peak_memory_bytes,
        });
        outcome.map(|attempt| (attempt, true))
    }

    /// Publishes what a worker recorded, unless its inputs changed meanwhile.
    fn accept(&self, job: &Job, inputs: &CellInputs, claim: &Claim) -> Result<Attempt, Step> {
        let changed = match inputs.dataset.check(self.inputs.registry()) {
            Ok(problems) => problems.first().map(ToString::to_string),
            Err(error) => Some(error.to_string()),
        };
        if let Some(change) = changed {
            let message = format!("the dataset changed while the run was under way: {change}");
            return self.record_failure(job, inputs, claim, Outcome::Tainted { message });
        }
        #[derive(serde::Deserialize)]
        struct Head {
            outcome: Outcome,
        }
        let path = claim.work().join("record.json");
        let head = std::fs::read(&path)
            .map_err(|error| error.to_string())
            .and_then(|bytes| serde_json::from_slice::<Head>(&bytes).map_err(|error| error.to_string()));
        let outcome = match head {
            Ok(head) => head.outcome,
            Err(message) => {
                let message = format!("{}: {message}", path.display());
                return self.record_failure(job, inputs, claim, Outcome::Failed { message });
            }
        };
        let attempt =
            claim.publish(false).map_err(|error| Step::Ended(CellOutcome::Error(error.to_string())))?;
        if outcome.is_done() { Ok(attempt) } else { Err(Step::Ended(CellOutcome::Failed(outcome))) }
    }

    /// Keeps a failure as data. A run that only lacked time keeps its checkpoint.
    fn record_failure(
        &self,
        job: &Job,
        inputs: &CellInputs,
        claim: &Claim,
        outcome: Outcome,
    ) -> Result<Attempt, Step> {
        let keep = matches!(outcome, Outcome::TimedOut { .. });
        let facts = Some(inputs.facts());
        let written = match &job.task {
            Task::Train => write_record(&claim.work(), &job.train_record(outcome.clone(), facts)),
            Task::Evaluate { train_key, weights_digest, .. } => {
                let record = job.eval_record(train_key, weights_digest, outcome.clone(), facts);
                write_record(&claim.work(), &record)
            }
        };
        let error = |error: &dyn std::fmt::Display| Step::Ended(CellOutcome::Error(error.to_string()));
        written.map_err(|e| error(&e))?;
        claim.publish(keep).map_err(|e| error(&e))?;
        Err(Step::Ended(CellOutcome::Failed(outcome)))
    }
}

/// A cell whose turn it is.
struct Turn<'c> {
    /// Its place among the cells of the run.
    index: usize,
    cell: &'c Cell,
    inputs: CellInputs,
}

pub(super) fn write_record(folder: &Path, record: &impl serde::Serialize) -> std::io::Result<()> {
    let text = serde_json::to_vec_pretty(record)?;
    std::fs::write(folder.join("record.json"), text)
}

/// What a training's record says of its memory, if it left one.
fn recorded_peak(work: &Path) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Memory {
        peak_memory_bytes: u64,
    }
    let text = std::fs::read(work.join("record.json")).ok()?;
    serde_json::from_slice::<Memory>(&text).ok().map(|memory| memory.peak_memory_bytes)
}
