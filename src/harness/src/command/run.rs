//! `dygl run`: train and evaluate what is not in the store yet.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;

use super::cells;
use super::context::Context;
use super::dataset;
use super::preflight;
use super::progress::Progress;
use crate::cli::{Format, Place, Run};
use crate::exec::ask;
use crate::exec::device::Device;
use crate::exec::devices::Chosen;
use crate::exec::local::Local;
use crate::exec::pretrained::{self, PretrainedError};
use crate::exec::{CellOutcome, Options, Runner, Stop, Summary};
use crate::exit::{Exit, Failure, OrExit};
use crate::key::revision::Revisions;
use crate::plan::{Cell, names};
use crate::spec::Experiment;
use crate::spec::ops::ExecutorName;
use crate::store::Lookup;

pub fn run(arguments: &Run) -> Result<Exit, Failure> {
    let selection = &arguments.selection;
    let context = Context::load(selection)?;
    let asks_slurm = context.chosen.iter().any(|chosen| chosen.experiment.ops.on == ExecutorName::Slurm);
    if arguments.on == Some(Place::Slurm) || (arguments.on.is_none() && asks_slurm) {
        return Err(Failure::new(Exit::Environment, "this build runs on this machine only: give --on local"));
    }
    let executor = Local::beside_this_program()?;
    let (jobs, threads) = places(arguments, &context)?;
    let device = choose(selection.device, threads, &executor, &context)?;
    let planned = context.cells();
    let names = names(&planned);
    let cells: Vec<Cell> = planned.iter().map(|planned| planned.cell.clone()).collect();
    dataset::offer(&context)?;
    if cells.is_empty() {
        super::note("nothing to train: this experiment is a table of datasets");
        if selection.common.format == Format::Json {
            super::answer_json(&json!({ "cells": [] }))?;
        }
        return Ok(Exit::Ok);
    }
    let missing = dataset::prepare(&context, &cells, arguments.keep_going)?;
    let revisions = device.class.revisions(&context.revisions);
    starts(&context, &cells, &device, &revisions)?;
    let options = options(arguments, &context, &device, (jobs, threads))?;
    ask::note(context.store.root(), &device.class).or_exit(Exit::Environment)?;
    let mode = arguments.preflight.or(context.chosen.first().map(|chosen| chosen.experiment.ops.preflight));
    let is_json = selection.common.format == Format::Json;
    let mode = mode.unwrap_or_default();
    let estimate = preflight::before(mode, &context, &revisions, &cells, &options, &executor, is_json)?;
    let stop = Arc::new(Stop::default());
    let progress = Progress::new(is_json);
    if let Some(estimate) = &estimate {
        progress.expect(preflight::expected(estimate));
    }
    let watching = {
        let progress = progress.clone();
        super::watch_signals(&stop, move |level| progress.stopping(level))?
    };
    let full: Vec<String> = names.iter().map(|name| name.full.clone()).collect();
    let runner = Runner {
        store: &context.store,
        inputs: &context.inputs,
        revisions: &revisions,
        executor: &executor,
        options: &options,
        stop: &stop,
        tell: &|event| progress.show(&event.named(&full)),
    };
    let mut summary = runner.run(&cells);
    summary.cells.iter_mut().zip(&full).for_each(|((name, _), full)| name.clone_from(full));
    watching.store(false, Ordering::SeqCst);
    progress.finish(&summary);
    if is_json {
        let listed: Vec<_> = summary
            .cells
            .iter()
            .zip(planned.iter().zip(&names))
            .map(|((cell, outcome), (planned, name))| {
                let more = json!({ "cell": cell, "outcome": word(outcome), "reason": reason(outcome) });
                cells::with(planned, name, more)
            })
            .collect();
        super::answer_json(&json!({ "cells": listed, "preflight": preflight::value(estimate.as_ref()) }))?;
    }
    Ok(exit_of(&summary, stop.level() > 0, missing))
}

/// The device to run on; which one `auto` stands for is said.
fn choose(device: Device, threads: usize, worker: &Local, context: &Context) -> Result<Chosen, Failure> {
    let root = context.store.root();
    let devices = ask::devices(worker, root).or_exit(Exit::Environment)?;
    let chosen = devices.choose(device, threads).or_exit(Exit::Environment)?;
    // A run makes the store.
    if !root.is_dir() {
        ask::keep(worker, root, &devices);
    }
    if device == Device::Auto {
        super::note(&format!("device: {} ({})", chosen.name, chosen.description));
    }
    Ok(chosen)
}

/// The weights that cells start from, of those that would train.
fn starts(context: &Context, cells: &[Cell], device: &Chosen, revisions: &Revisions) -> Result<(), Failure> {
    let mut to_train = Vec::new();
    for cell in cells.iter().filter(|cell| cell.pretrained.is_some()) {
        let Ok(inputs) = context.inputs.of(cell) else { continue };
        let key = inputs.train_key(cell, &device.class.numerics, revisions).key();
        // What is there needs its start no more.
        if !matches!(context.store.lookup(&key).or_exit(Exit::Environment)?, Lookup::Hit(_)) {
            to_train.push(cell);
        }
    }
    refuse(&pretrained::check(to_train))
}

/// All that is wrong with weights to start from.
pub fn refuse(found: &[PretrainedError]) -> Result<(), Failure> {
    let Some(first) = found.first() else { return Ok(()) };
    let exit = if first.is_changed() { Exit::Altered } else { Exit::Environment };
    let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    Err(Failure::new(exit, lines.join("\n")))
}

/// The experiment whose `[ops]` count: the first.
fn first(context: &Context) -> Result<&Experiment, Failure> {
    let first = context.chosen.first().map(|chosen| &chosen.experiment);
    first.ok_or_else(|| Failure::new(Exit::NothingSelected, "no experiment"))
}

/// Runs at the same time, and the threads of each.
fn places(arguments: &Run, context: &Context) -> Result<(usize, usize), Failure> {
    let ops = &first(context)?.ops;
    let jobs = arguments.jobs.unwrap_or(ops.jobs).max(1);
    Ok((jobs, ops.threads_of_each(jobs)))
}

fn options(
    arguments: &Run,
    context: &Context,
    device: &Chosen,
    (jobs, threads): (usize, usize),
) -> Result<Options, Failure> {
    let first = first(context)?;
    let ops = &first.ops;
    let hours = |hours: f64, name: &str| {
        Duration::try_from_secs_f64(3600.0 * hours)
            .map_err(|_| Failure::new(Exit::Usage, format!("{name}: {hours} is no number of hours")))
    };
    Ok(Options {
        profile: first.profile.name.clone(),
        jobs,
        threads,
        device: device.name.clone(),
        numerics: device.class.numerics.clone(),
        keep_going: arguments.keep_going,
        retry_failed: arguments.retry_failed,
        force: arguments.force,
        timeout: Some(hours(ops.timeout_hours, "ops.timeout_hours")?),
        budget: arguments.max_hours.map(|h| hours(h, "--max-hours")).transpose()?,
    })
}

fn word(outcome: &CellOutcome) -> &'static str {
    match outcome {
        CellOutcome::Done { ran: true } => "done",
        CellOutcome::Done { ran: false } => "cached",
        CellOutcome::Failed(outcome) => outcome.word(),
        CellOutcome::Interrupted => "interrupted",
        CellOutcome::NotStarted => "not started",
        CellOutcome::Error(_) => "error",
    }
}

fn reason(outcome: &CellOutcome) -> String {
    match outcome {
        CellOutcome::Failed(outcome) => outcome.reason(),
        CellOutcome::Error(message) => message.clone(),
        _ => String::new(),
    }
}

fn exit_of(summary: &Summary, stopped: bool, missing: bool) -> Exit {
    if stopped {
        Exit::Interrupted
    } else if missing {
        Exit::Environment
    } else if summary.count(|outcome| !matches!(outcome, CellOutcome::Done { .. })) > 0 {
        Exit::Failed
    } else {
        Exit::Ok
    }
}
