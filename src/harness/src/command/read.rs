//! Reads the state of cells from the store: what every reading verb shows.

use serde::de::DeserializeOwned;

use super::context::Context;
use crate::cli::Selection;
use crate::exec::ask;
use crate::exit::Exit;
use crate::key::revision::Revisions;
use crate::key::{self, Change, Key, Preimage};
use crate::plan::{Cell, PlannedCell};
use crate::store::record::{EvalRecord, Outcome, TrainRecord};
use crate::store::{Attempt, Held, Lookup, Store, StoreError};

/// How a cell stands, with all that is needed to show it.
pub enum State {
    Done(Box<Done>),
    /// Two finished results that contradict each other.
    Conflict(Vec<Done>),
    Failed {
        outcome: Outcome,
        attempt: Attempt,
    },
    Altered {
        file: String,
    },
    /// There is a result for this network, dataset and seed under another key.
    Stale(Vec<Change>),
    Missing(String),
}

/// A verified result.
pub struct Done {
    pub train: TrainRecord,
    pub train_attempt: Attempt,
    pub eval: EvalRecord,
    pub eval_attempt: Attempt,
}

/// A cell's keys and state.
pub struct Reading {
    pub planned: PlannedCell,
    pub train: Option<Preimage>,
    pub evaluation: Option<Preimage>,
    pub state: State,
    /// Who is at work on it, where it is not done.
    pub running: Option<Held>,
}

impl Reading {
    /// One word for lists.
    pub fn word(&self) -> &'static str {
        match &self.state {
            _ if self.running.is_some() => "running",
            State::Done(_) => "done",
            State::Conflict(_) => "conflict",
            State::Failed { outcome, .. } => outcome.word(),
            State::Altered { .. } => "altered",
            State::Stale(_) => "stale",
            State::Missing(_) => "missing",
        }
    }

    /// Whether there is no result under today's key, and no failed one.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Missing(_) | State::Stale(_))
    }

    /// Why it is not done, for people.
    pub fn reason(&self) -> String {
        if let Some(held) = &self.running {
            let since = super::progress::human(held.age);
            return format!("{held} has been at work on it for {since} ({})", held.file.display());
        }
        match &self.state {
            State::Done(_) => String::new(),
            State::Conflict(all) => format!("{} finished results that contradict each other", all.len()),
            State::Failed { outcome, .. } => outcome.reason(),
            State::Altered { file } => format!("{file} was altered; `dygl run` puts it aside and runs again"),
            State::Stale(changes) => {
                let fields: Vec<&str> = changes.iter().map(|change| change.field.as_str()).collect();
                format!("changed since: {}", fields.join(", "))
            }
            State::Missing(reason) => reason.clone(),
        }
    }
}

/// Reads the selected cells, in the classes that `--device` allows.
///
/// # Errors
/// I/O in the store.
pub fn cells(
    context: &Context,
    selection: &Selection,
    cells: &[PlannedCell],
) -> Result<Vec<Reading>, StoreError> {
    let past = Past::default();
    // As many as `dygl run` would take.
    let threads = context.chosen.first().map_or(1, |chosen| {
        let ops = &chosen.experiment.ops;
        ops.threads_of_each(ops.jobs)
    });
    let classes: Vec<(String, Revisions)> =
        ask::classes_for_reading(selection.device, threads, &context.store)?
            .into_iter()
            .map(|class| (class.numerics.clone(), class.revisions(&context.revisions)))
            .collect();
    cells.iter().map(|planned| read(context, &classes, planned, &past)).collect()
}

fn read(
    context: &Context,
    classes: &[(String, Revisions)],
    planned: &PlannedCell,
    past: &Past,
) -> Result<Reading, StoreError> {
    let cell = &planned.cell;
    let inputs = match context.inputs.of(cell) {
        Ok(inputs) => inputs,
        Err(error) => {
            let state = State::Missing(error.to_string());
            let planned = planned.clone();
            return Ok(Reading { planned, train: None, evaluation: None, state, running: None });
        }
    };
    let mut best: Option<Reading> = None;
    for (numerics, revisions) in classes {
        let train = inputs.train_key(cell, numerics, revisions);
        let (evaluation, state) = of_key(context, cell, numerics, revisions, &train)?;
        let key = evaluation.as_ref().unwrap_or(&train).key();
        let running = match &state {
            State::Done(_) | State::Conflict(_) | State::Altered { .. } => None,
            State::Failed { .. } | State::Stale(_) | State::Missing(_) => context.store.holder(&key)?,
        };
        let found = Reading { planned: planned.clone(), train: Some(train), evaluation, state, running };
        let is_there = !matches!(found.state, State::Missing(_)) || found.running.is_some();
        if is_there || best.is_none() {
            best = Some(found);
        }
        if is_there {
            break;
        }
    }
    let mut reading = best.unwrap_or_else(|| Reading {
        planned: planned.clone(),
        train: None,
        evaluation: None,
        state: State::Missing("no numerics class selected".into()),
        running: None,
    });
    if let (State::Missing(_), Some(today), None) = (&reading.state, &reading.train, &reading.evaluation)
        && reading.running.is_none()
        && let Some(changes) = past.nearest(&context.store, today)?
    {
        reading.state = State::Stale(changes);
    }
    Ok(reading)
}

/// State under one numerics class.
fn of_key(
    context: &Context,
    cell: &Cell,
    numerics: &str,
    revisions: &Revisions,
    train: &Preimage,
) -> Result<(Option<Preimage>, State), StoreError> {
    let key = train.key();
    let trained = match context.store.lookup(&key)? {
        Lookup::Hit(attempt) => vec![attempt],
        Lookup::Conflict(attempts) => attempts,
        Lookup::Failed(attempt, outcome) => return Ok((None, State::Failed { outcome, attempt })),
        Lookup::Altered(_, problem) => {
            return Ok((None, State::Altered { file: problem.path().display().to_string() }));
        }
        Lookup::Miss => return Ok((None, State::Missing("never run".into()))),
    };
    let mut evaluation = None;
    let mut found = Vec::new();
    let mut last = State::Missing("trained, not evaluated".into());
    for train_attempt in trained {
        let train: TrainRecord = match record(&train_attempt) {
            Ok(record) => record,
            Err(state) => return Ok((None, state)),
        };
        let preimage = key::evaluation(&key, &train.weights, cell, numerics, revisions);
        let lookup = context.store.lookup(&preimage.key())?;
        evaluation = Some(preimage);
        let attempts = match lookup {
            Lookup::Hit(attempt) => vec![attempt],
            Lookup::Conflict(attempts) => attempts,
            Lookup::Failed(attempt, outcome) => {
                last = State::Failed { outcome, attempt };
                continue;
            }
            Lookup::Altered(_, problem) => {
                last = State::Altered { file: problem.path().display().to_string() };
                continue;
            }
            Lookup::Miss => continue,
        };
        for eval_attempt in attempts {
            let eval: EvalRecord = match record(&eval_attempt) {
                Ok(record) => record,
                Err(state) => return Ok((evaluation, state)),
            };
            let (train, train_attempt) = (train.clone(), train_attempt.clone());
            found.push(Done { train, train_attempt, eval, eval_attempt });
        }
    }
    let state = match found.len() {
        0 => last,
        1 => found.pop().map_or(last, |done| State::Done(Box::new(done))),
        _ => State::Conflict(found),
    };
    Ok((evaluation, state))
}

/// A record, or the state that its damage makes.
fn record<T: DeserializeOwned>(attempt: &Attempt) -> Result<T, State> {
    attempt
        .read_json("record.json")
        .map_err(|problem| State::Altered { file: problem.path().display().to_string() })
}

/// The training pre-images in the store, read once and only if somebody asks.
#[derive(Default)]
pub struct Past(std::cell::OnceCell<Vec<Preimage>>);

impl Past {
    /// What differs between today's key and the most similar result of the
    /// same network, dataset id and seed; `None` if there is no such result.
    ///
    /// # Errors
    /// I/O in the store.
    pub fn nearest(&self, store: &Store, today: &Preimage) -> Result<Option<Vec<Change>>, StoreError> {
        let all = match self.0.get() {
            Some(all) => all,
            None => {
                let read = all_trained(store)?;
                self.0.get_or_init(|| read)
            }
        };
        let same = |old: &&Preimage| {
            ["model", "dataset.id", "seed"]
                .iter()
                .all(|field| old.fields.get(*field) == today.fields.get(*field))
        };
        Ok(all.iter().filter(same).map(|old| key::compare(old, today)).min_by_key(Vec::len))
    }
}

fn all_trained(store: &Store) -> Result<Vec<Preimage>, StoreError> {
    let mut found = Vec::new();
    for key in store.keys()? {
        if let Some(preimage) = preimage(store, &key)?
            && preimage.domain == "train"
        {
            found.push(preimage);
        }
    }
    Ok(found)
}

/// The pre-image that is stored with a key's results.
///
/// # Errors
/// I/O in the store.
pub fn preimage(store: &Store, key: &Key) -> Result<Option<Preimage>, StoreError> {
    for attempt in store.attempts(key)? {
        if let Ok(preimage) = attempt.read_json::<Preimage>("key.json") {
            return Ok(Some(preimage));
        }
    }
    Ok(None)
}

/// The exit code of a set of readings: the worst that is among them.
pub fn exit_of(readings: &[Reading]) -> Exit {
    let any = |which: fn(&State) -> bool| readings.iter().any(|reading| which(&reading.state));
    if any(|state| matches!(state, State::Altered { .. })) {
        Exit::Altered
    } else if any(|state| matches!(state, State::Failed { .. } | State::Conflict(_))) {
        Exit::Failed
    } else if any(|state| matches!(state, State::Stale(_))) {
        Exit::Stale
    } else if any(|state| matches!(state, State::Missing(_))) {
        Exit::Missing
    } else {
        Exit::Ok
    }
}
