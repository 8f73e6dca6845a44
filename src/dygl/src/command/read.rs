//! Reads the state of cells from the store: what every reading verb shows.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dygl_base::exit::{Exit, Failure, OrExit};
use dygl_exec::{ask, job};
use dygl_spec::plan::{Cell, CellName, Plan, PlannedCell, names};
use dygl_store::key::revision::Revisions;
use dygl_store::key::{self, Change, Key, Preimage};
use dygl_store::record::{EvalRecord, Outcome, TrainRecord};
use dygl_store::{Attempt, Held, Lookup, Store, StoreError};
use serde::de::DeserializeOwned;

use super::context::Context;
use crate::cli::Selection;

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
    /// There is a result of this very cell from before something else changed.
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
    pub planned: Arc<PlannedCell>,
    /// Of its training, where its data are there.
    pub train: Option<Key>,
    /// Of its scores, where its weights are there.
    pub evaluation: Option<Box<Preimage>>,
    pub state: State,
    /// Of a cell that was never run: what tells it from the most similar result.
    pub nearest: Vec<Change>,
    /// Who is at work on it, where it is not done.
    pub running: Option<Box<Held>>,
}

impl Reading {
    fn missing(planned: &Arc<PlannedCell>, reason: String) -> Self {
        let (planned, state) = (planned.clone(), State::Missing(reason));
        Self { planned, train: None, evaluation: None, state, nearest: Vec::new(), running: None }
    }

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

/// Everything that is selected: what it stands in, how each cell stands, and its name.
///
/// # Errors
/// Exit 2 with all mistakes of the experiments; 3 where the store cannot be read; 4 if no
/// cell is left.
pub fn selected(selection: &Selection) -> Result<(Context, Vec<Reading>, Vec<CellName>), Failure> {
    let context = Context::load(selection)?;
    let chosen = context.cells();
    let readings = cells(&context, selection, &chosen).or_exit(Exit::Environment)?;
    Ok((context, readings, names(&chosen)))
}

/// Reads the selected cells, in the classes that `--device` allows.
///
/// # Errors
/// I/O in the store.
pub fn cells(
    context: &Context,
    selection: &Selection,
    cells: &[Arc<PlannedCell>],
) -> Result<Vec<Reading>, StoreError> {
    // As many threads as `dygl run` would take for one of them.
    let threads: BTreeSet<usize> = cells.iter().map(|planned| context.threads_of(planned)).collect();
    let mut classes: Vec<(String, Revisions)> = Vec::new();
    for threads in threads {
        for class in ask::classes_for_reading(selection.device, threads, &context.store)? {
            if !classes.iter().any(|(numerics, _)| *numerics == class.numerics) {
                classes.push((class.numerics.clone(), class.revisions(&context.revisions)));
            }
        }
    }
    let past = Past::of(context, classes.first());
    cells.iter().map(|planned| read(context, &classes, planned, &past)).collect()
}

fn read(
    context: &Context,
    classes: &[(String, Revisions)],
    planned: &Arc<PlannedCell>,
    past: &Past<'_>,
) -> Result<Reading, StoreError> {
    let cell = &planned.cell;
    let inputs = match context.inputs.of(cell) {
        Ok(inputs) => inputs,
        Err(error) => {
            return Ok(Reading::missing(planned, error.to_string()));
        }
    };
    let mut best: Option<(Reading, Preimage)> = None;
    for (numerics, revisions) in classes {
        let train = inputs.train_key(cell, numerics, revisions);
        let (evaluation, state, running) = if context.store.knows(train.key())? {
            let (evaluation, state) = of_key(context, cell, numerics, revisions, &train)?;
            let running = match &state {
                State::Done(_) | State::Conflict(_) | State::Altered { .. } => None,
                State::Failed { .. } | State::Stale(_) | State::Missing(_) => {
                    context.store.holder(evaluation.as_ref().unwrap_or(&train).key())?
                }
            };
            (evaluation.map(Box::new), state, running.map(Box::new))
        } else {
            (None, State::Missing(NEVER_RUN.to_owned()), None)
        };
        let planned = planned.clone();
        let key = Some(train.key().clone());
        let found = Reading { planned, train: key, evaluation, state, nearest: Vec::new(), running };
        let is_there = !matches!(found.state, State::Missing(_)) || found.running.is_some();
        // A failure in one class is no answer while another may have a result.
        let is_final = is_there && !matches!(found.state, State::Failed { .. });
        let is_better = match &best {
            None => true,
            Some((best, _)) => {
                is_final || (is_there && best.running.is_none() && matches!(best.state, State::Missing(_)))
            }
        };
        if is_better {
            best = Some((found, train));
        }
        if is_final {
            break;
        }
    }
    let Some((mut reading, today)) = best else {
        return Ok(Reading::missing(planned, "no numerics class selected".to_owned()));
    };
    let is_new = matches!(&reading.state, State::Missing(reason) if reason == NEVER_RUN);
    if is_new && reading.running.is_none() {
        match past.nearest(planned, &today)? {
            Some(Nearest::Predecessor(changes)) => reading.state = State::Stale(changes),
            Some(Nearest::Other(changes)) => {
                reading.state = State::Missing(format!("{NEVER_RUN} (nearest: {})", differences(&changes)));
                reading.nearest = changes;
            }
            None => {}
        }
    }
    Ok(reading)
}

/// Where nothing was ever begun under a key.
const NEVER_RUN: &str = "never run";
/// So many differences are named in a sentence.
const NAMED: usize = 3;

/// `optimizer.learning_rate 0.003 -> 0.004 and 2 more`.
fn differences(changes: &[Change]) -> String {
    let named: Vec<String> = changes.iter().take(NAMED).map(Change::short).collect();
    let rest = changes.len() - named.len();
    let rest = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    named.join(", ") + &rest
}

/// Why there is no result of a training under a key: it was stopped, or never begun.
fn unfinished(store: &Store, key: &Key, cell: &Cell) -> String {
    match store.epochs_kept(key) {
        0 if store.work_folders(key).iter().any(|folder| folder.join(job::FILE).is_file()) => {
            "begun, but stopped before its first checkpoint; `dygl run` begins again".to_owned()
        }
        0 => NEVER_RUN.to_owned(),
        epochs => {
            let of = cell.protocol.train.epochs;
            format!("stopped at epoch {epochs} of {of}; `dygl run` goes on from there")
        }
    }
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
    let trained = match context.store.lookup(key)? {
        Lookup::Hit(attempt) => vec![attempt],
        Lookup::Conflict(attempts) => attempts,
        Lookup::Failed(attempt, outcome) => return Ok((None, State::Failed { outcome, attempt })),
        Lookup::Altered(_, problem) => {
            return Ok((None, State::Altered { file: problem.path().display().to_string() }));
        }
        Lookup::Miss => return Ok((None, State::Missing(unfinished(&context.store, key, cell)))),
    };
    let mut evaluation = None;
    let mut found = Vec::new();
    let mut last = State::Missing("trained, not evaluated".into());
    for train_attempt in trained {
        let train: TrainRecord = match record(&train_attempt) {
            Ok(record) => record,
            Err(state) => return Ok((None, state)),
        };
        let preimage = key::evaluation(key, &train.weights, cell, numerics, revisions);
        let lookup = context.store.lookup(preimage.key())?;
        evaluation = Some(preimage);
        let attempts = match lookup {
            Lookup::Hit(attempt) => vec![attempt],
            Lookup::Conflict(attempts) => attempts,
            Lookup::Failed(attempt, outcome) => {
                // Altered bytes are told before failures, whichever comes first.
                if !matches!(last, State::Altered { .. }) {
                    last = State::Failed { outcome, attempt };
                }
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

/// The trainings in the store, read once and only if somebody asks, and the cells that
/// they may be of.
struct Past<'c> {
    context: &'c Context,
    /// In which the keys of cells that were never run are shown.
    class: Option<&'c (String, Revisions)>,
    known: OnceCell<Known>,
}

/// A stored training's pre-image, and how far it is from the nearest cell.
type Stored = (Preimage, usize);

/// By network, dataset id and seed.
type Known = BTreeMap<[Option<String>; 3], Vec<Stored>>;

/// The result that is most similar to what a cell asks for.
enum Nearest {
    /// The cell's own, from before something changed.
    Predecessor(Vec<Change>),
    /// That of another cell.
    Other(Vec<Change>),
}

impl<'c> Past<'c> {
    fn of(context: &'c Context, class: Option<&'c (String, Revisions)>) -> Self {
        Self { context, class, known: OnceCell::new() }
    }

    /// The most similar result of the same network, dataset id and seed; none if there
    /// is no such result. It is the cell's own only if no other cell of the experiments
    /// is nearer to it, and if it has the cell's own settings.
    fn nearest(&self, planned: &PlannedCell, today: &Preimage) -> Result<Option<Nearest>, StoreError> {
        let known = match self.known.get() {
            Some(known) => known,
            None => {
                let read = self.read()?;
                self.known.get_or_init(|| read)
            }
        };
        let (mut own, mut other): (Option<Vec<Change>>, Option<Vec<Change>>) = (None, None);
        for (old, distance) in known.get(&triple(today)).into_iter().flatten() {
            let changes = key::compare(old, today);
            let is_setting = |change: &Change| {
                let path = change.field.strip_prefix("protocol.");
                path.is_some_and(|path| planned.settings.contains_key(path))
            };
            let is_own = changes.len() <= *distance && !changes.iter().any(is_setting);
            let best = if is_own { &mut own } else { &mut other };
            let far = |changes: &[Change]| (changes.len(), changes.iter().map(Change::gap).sum::<f64>());
            if best.as_ref().is_none_or(|best| far(&changes) < far(best)) {
                *best = Some(changes);
            }
        }
        Ok(own.map(Nearest::Predecessor).or(other.map(Nearest::Other)))
    }

    fn read(&self) -> Result<Known, StoreError> {
        let mut known = Known::new();
        for stored in all_trained(&self.context.store)? {
            known.entry(triple(&stored)).or_default().push((stored, usize::MAX));
        }
        // All cells of the experiments, whatever a filter left of them.
        let plans = self.context.chosen.iter().map(|chosen| Plan::expand(&chosen.experiment));
        let cells = if known.is_empty() { Vec::new() } else { Plan::merge(plans).cells };
        for planned in &cells {
            let (Some((numerics, revisions)), Ok(inputs)) =
                (self.class, self.context.inputs.of(&planned.cell))
            else {
                continue;
            };
            let today = inputs.train_key(&planned.cell, numerics, revisions);
            for (old, distance) in known.get_mut(&triple(&today)).into_iter().flatten() {
                *distance = (*distance).min(key::compare(old, &today).len());
            }
        }
        Ok(known)
    }
}

/// What a result must share with a cell to be mentioned at all.
fn triple(preimage: &Preimage) -> [Option<String>; 3] {
    ["model", "dataset.id", "seed"].map(|field| preimage.get(field).map(str::to_owned))
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
