//! Finds for each result what it is to be held against.

use std::collections::{BTreeMap, BTreeSet};

use dygl_base::exit::{Exit, Failure};
use dygl_exec::Inputs;
use dygl_report::table::not_the_papers;
use dygl_spec::experiment::plain;
use dygl_spec::metric::Metric;
use dygl_spec::plan::{Filter, PlannedCell, Settings, apart};
use dygl_spec::{Experiment, reported};
use dygl_store::Problem;
use dygl_store::record::{ImageScores, Provenance};

use super::judge::{self, Found};
use super::lock::{Lock, LockedCell, Place, Subject, base_of, of_score};
use super::verdict::{Row, Tier};
use crate::command::context::{Chosen, Context};
use crate::command::finished;
use crate::command::read::{Done, Reading, State};

/// Published numbers have two decimals in percent; a reproduction on another
/// machine is held to one point.
const PAPER: f64 = 0.01;

/// A reading with all that a lock knows of its cell.
pub struct Today<'a> {
    pub reading: &'a Reading,
    pub subject: Subject,
}

impl<'a> Today<'a> {
    /// The readings of an experiment.
    pub fn all(chosen: &Chosen, readings: &'a [Reading]) -> Vec<Self> {
        let of = |reading: &'a Reading| Self {
            reading,
            subject: Subject::of(&reading.planned, &chosen.experiment),
        };
        readings.iter().map(of).collect()
    }
}

/// The scores of the images of a result, and what the images share a patient with
/// where the dataset knows.
pub struct PerImage {
    pub scores: Vec<ImageScores>,
    pub groups: BTreeMap<String, String>,
}

impl PerImage {
    /// # Errors
    /// A file whose bytes were altered.
    pub fn of(done: &Done, planned: &PlannedCell, inputs: &Inputs) -> Result<Self, Problem> {
        let scores = finished::scores(&done.eval_attempt)?;
        let mut groups = BTreeMap::new();
        // Without its dataset a result stands, but nobody knows its groups.
        if let Ok(inputs) = inputs.of(&planned.cell) {
            for image in &scores {
                let group = inputs.dataset.group(&image.id);
                groups.extend(group.map(|group| (image.id.clone(), group.to_owned())));
            }
        }
        // An image of unknown group is no group of its own: then none is spoken of.
        if groups.len() < scores.len() {
            groups.clear();
        }
        Ok(Self { scores, groups })
    }
}

/// Holds the results of an experiment against its lock. What is not an answer goes to
/// `notes`.
///
/// # Errors
/// Exit 2 if the lock is of another experiment or profile, or would compare nothing.
pub fn against_lock(
    context: &Context,
    chosen: &Chosen,
    readings: &[Reading],
    mut lock: Lock,
    place: &Place,
    notes: &mut Vec<String>,
) -> Result<Vec<Row>, Failure> {
    same_experiment(chosen, &lock, place)?;
    lock.settle(&base_of(&chosen.experiment), place)?;
    lock.refuse_holes(place)?;
    let lock = &lock;
    let name = &chosen.experiment.name;
    if lock.format < Lock::FORMAT {
        notes.push(format!(
            "{} is of format {}: it knows means alone, so nothing is identical; `dygl check {name} --accept` \
             writes format {}",
            place.shown,
            lock.format,
            Lock::FORMAT
        ));
    }
    let todays = Today::all(chosen, readings);
    let apart = apart(
        todays
            .iter()
            .map(|today| &today.subject.identity)
            .chain(lock.cells.iter().map(|locked| &locked.identity)),
    );
    let metrics: BTreeSet<Metric> = lock.cells.iter().flat_map(|cell| cell.scores.keys().copied()).collect();
    let mut rows = Vec::new();
    for today in &todays {
        let name = today.subject.describe(&apart);
        let locked: Vec<&LockedCell> = lock.cells.iter().filter(|cell| cell.is_of(&today.subject)).collect();
        let line = locked.first().map(|cell| cell.lines.cell);
        let done = match &today.reading.state {
            State::Done(done) => done,
            other => {
                rows.push(Row::without_number(&name, tier_of(other), today.reading.reason(), line));
                continue;
            }
        };
        let locked = match locked.as_slice() {
            [locked] => *locked,
            [] => {
                let reason = "nothing was accepted for it; --accept adds it";
                rows.push(Row::without_number(&name, Tier::Unknown, reason, None));
                continue;
            }
            // A sweep that format 1 wrote down.
            _ => {
                let reason = "the lock holds several results that it cannot tell apart; accept again";
                rows.push(Row::without_number(&name, Tier::Unknown, reason, line));
                continue;
            }
        };
        let per_image = match PerImage::of(done, &today.reading.planned, &context.inputs) {
            Ok(per_image) => per_image,
            Err(problem) => {
                rows.push(Row::without_number(&name, Tier::Altered, problem.to_string(), line));
                continue;
            }
        };
        if locked.scores.is_empty() {
            let reason = "no score of it was accepted, so nothing is compared; accept again";
            rows.push(Row::without_number(&name, Tier::Unknown, reason, line));
            continue;
        }
        let commit = commit_of(&done.eval.provenance);
        let found = found(done, &per_image, commit.as_deref());
        rows.extend(judge::cell(&name, locked, &found, |metric| of_score(lock, locked, metric)));
        for metric in metrics.iter().filter(|metric| !locked.scores.contains_key(metric)) {
            if let Some(found) = done.eval.mean.get(metric) {
                let reason = "no value of it was accepted, of other cells there is one; accept again";
                let row = Row::without_number(&name, Tier::Unknown, reason, line);
                rows.push(Row { metric: Some(*metric), found: Some(*found), ..row });
            }
        }
    }
    let subjects: Vec<&Subject> = todays.iter().map(|today| &today.subject).collect();
    let gone = gone(lock, &subjects, &context.filter, &chosen.experiment);
    add_settings(&mut rows, &todays, &apart);
    let shown = |locked: &LockedCell| -> Settings {
        let mut settings = locked.settings();
        settings.retain(|path, _| apart.contains(path) || locked.own.contains_key(path));
        settings
    };
    rows.extend(gone.into_iter().map(|(locked, reason)| Row {
        is_gone: true,
        label: locked.identity.model.clone(),
        settings: shown(locked),
        ..Row::without_number(&locked.describe(&apart), Tier::Missing, reason, Some(locked.lines.cell))
    }));
    Ok(rows)
}

/// Gives the rows of today's cells the labels and settings of their cells.
fn add_settings(rows: &mut [Row], todays: &[Today<'_>], apart: &BTreeSet<String>) {
    let of = |today: &Today<'_>| {
        let facts = (today.reading.planned.label.clone(), today.subject.settings(apart));
        (today.subject.describe(apart), facts)
    };
    let known: BTreeMap<String, (String, Settings)> = todays.iter().map(of).collect();
    for row in rows {
        if let Some((label, settings)) = known.get(&row.cell) {
            row.label.clone_from(label);
            row.settings.clone_from(settings);
        }
    }
}

/// # Errors
/// Exit 2 if the lock is of another experiment, or was accepted under another profile.
pub fn same_experiment(chosen: &Chosen, lock: &Lock, place: &Place) -> Result<(), Failure> {
    let experiment = &chosen.experiment;
    let (name, profile) = (&experiment.name, &experiment.profile.name);
    let message = if lock.experiment != *name {
        format!(
            "{} holds the results of the experiment `{}`, not of `{name}`: put it beside its own experiment (if that \
             was renamed, write experiment = \"{name}\" into it)",
            place.shown, lock.experiment
        )
    } else if lock.profile != *profile {
        format!(
            "{} was accepted under profile `{1}`, not `{profile}`: give --profile {1}",
            place.shown, lock.profile
        )
    } else {
        return Ok(());
    };
    Err(Failure::new(Exit::Usage, message))
}

/// The locked cells that pass the filter and that no cell of today is, each with the
/// reason.
pub fn gone<'l>(
    lock: &'l Lock,
    todays: &[&Subject],
    filter: &Filter,
    experiment: &Experiment,
) -> Vec<(&'l LockedCell, String)> {
    let base = base_of(experiment);
    let is_there = |locked: &&LockedCell| todays.iter().any(|today| locked.is_of(today));
    let gone = lock.cells.iter().filter(|locked| !is_there(locked) && locked.passes(filter, &base));
    gone.map(|locked| (locked, why_gone(locked, todays, &experiment.name))).collect()
}

fn why_gone(locked: &LockedCell, todays: &[&Subject], experiment: &str) -> String {
    let remedy = format!("`dygl check {experiment} --accept --prune` drops it");
    let identity = &locked.identity;
    let mut namesakes =
        todays.iter().map(|today| &today.identity).filter(|today| identity.is_namesake(today)).peekable();
    if namesakes.peek().is_none() {
        return format!("accepted, but not in the experiment now; {remedy}");
    }
    let Some(then) = &identity.settings else {
        return format!("accepted by a lock that knows no settings; {remedy}");
    };
    let value = |value: Option<&serde_json::Value>| value.map_or_else(|| "the protocol's".into(), plain);
    let differences = |now: &Settings| -> Vec<String> {
        let paths: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
        let differs = paths.into_iter().filter(|path| then.get(*path) != now.get(*path));
        differs
            .map(|path| format!("{path} {}, now {}", value(then.get(path)), value(now.get(path))))
            .collect()
    };
    // Of the cells of a sweep, the most similar one says most.
    let nearest = namesakes.filter_map(|now| now.settings.as_ref().map(&differences)).min_by_key(Vec::len);
    format!("accepted under other settings ({}); {remedy}", nearest.unwrap_or_default().join("; "))
}

/// Holds the results of an experiment against the published ones.
pub fn against_paper(chosen: &Chosen, readings: &[Reading]) -> Vec<Row> {
    let todays = Today::all(chosen, readings);
    let apart = apart(todays.iter().map(|today| &today.subject.identity));
    let mut rows = Vec::new();
    for Today { reading, subject } in &todays {
        let name = subject.describe(&apart);
        let unknown = |reason: String| Row::without_number(&name, Tier::Unknown, reason, None);
        let done = match &reading.state {
            State::Done(done) => done,
            other => {
                rows.push(Row::without_number(&name, tier_of(other), reading.reason(), None));
                continue;
            }
        };
        let cell = &reading.planned.cell;
        if let Some(reason) = not_the_papers(&chosen.experiment.departures, cell, &done.train, &done.eval) {
            rows.push(unknown(format!("not comparable: {reason}")));
            continue;
        }
        let table = chosen.experiment.table.paper_table;
        if table == 0 {
            rows.push(unknown("the experiment names no table of the paper".to_owned()));
            continue;
        }
        let before = rows.len();
        for metric in &chosen.experiment.table.metrics {
            let printed = reported::embedded().ok().and_then(|all| {
                all.value(table, &cell.asked.name, &cell.model, metric.name()).map(ToString::to_string)
            });
            if let Some(published) = printed.and_then(|text| text.parse::<f64>().ok()) {
                rows.push(judge::published(&name, *metric, published / 100.0, &done.eval.mean, PAPER));
            }
        }
        if rows.len() == before {
            rows.push(unknown(format!("the paper's Table {table} prints no number of it")));
        }
    }
    add_settings(&mut rows, &todays, &apart);
    rows
}

/// The commit of the program that ran, as locks write it; none where nobody knows.
pub fn commit_of(provenance: &Provenance) -> Option<String> {
    let dirty = if provenance.dirty { "-dirty" } else { "" };
    let is_known = !provenance.commit.is_empty() && provenance.commit != "unknown";
    is_known.then(|| format!("{}{dirty}", provenance.commit))
}

/// What a lock compares of a result.
fn found<'a>(done: &'a Done, per_image: &'a PerImage, commit: Option<&'a str>) -> Found<'a> {
    let (training, evaluation) = (&done.train.provenance, &done.eval.provenance);
    Found {
        mean: &done.eval.mean,
        per_image: &per_image.scores,
        numerics: &evaluation.numerics,
        simd: &training.simd,
        threads: training.threads as u64,
        commit,
        groups: &per_image.groups,
    }
}

/// The tier of a cell without a result.
fn tier_of(state: &State) -> Tier {
    match state {
        State::Altered { .. } => Tier::Altered,
        State::Stale(_) => Tier::Stale,
        State::Missing(_) => Tier::Missing,
        State::Done(_) | State::Failed { .. } | State::Conflict(_) => Tier::Failed,
    }
}
