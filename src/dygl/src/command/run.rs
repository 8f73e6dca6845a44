//! `dygl run`: train and evaluate what is not in the store yet.

mod batch;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use batch::Batch;
use dygl_base::exit::{AtPath, Exit, Failure, OrExit};
use dygl_exec::ask;
use dygl_exec::device::Device;
use dygl_exec::devices::Chosen;
use dygl_exec::local::Local;
use dygl_exec::preflight::{Estimate, Preflight};
use dygl_exec::pretrained::{self, PretrainedError};
use dygl_exec::{CellOutcome, Options, Runner, Stop, Summary};
use dygl_spec::ops::ExecutorName;
use dygl_spec::plan::{Cell, PlannedCell, names};
use dygl_store::Lookup;
use dygl_store::key::revision::Revisions;
use serde_json::{Value, json};

use super::cells;
use super::context::Context;
use super::dataset;
use super::preflight;
use super::progress::Progress;
use crate::cli::{Format, Run};

/// A batch that may begin.
struct Ready<'c> {
    batch: Batch<'c>,
    cells: Vec<Cell>,
    revisions: Revisions,
    options: Options,
    estimate: Option<Estimate>,
}

pub fn run(arguments: &Run) -> Result<Exit, Failure> {
    let selection = &arguments.selection;
    let context = Context::load(selection)?;
    let (batches, notes) = batch::batches(arguments, &context)?;
    if batches.iter().any(|batch| batch.ops.on == ExecutorName::Slurm) {
        return Err(Failure::new(Exit::Environment, "this build runs on this machine only: give --on local"));
    }
    let executor = Local::beside_this_program()?;
    let mut devices = Vec::new();
    for batch in &batches {
        devices.push(choose(selection.device, batch.threads(), &executor, &context, devices.is_empty())?);
    }
    dataset::offer(&context)?;
    if batches.iter().all(|batch| batch.planned.is_empty()) {
        super::note("nothing to train: this experiment is a table of datasets");
        if selection.common.format == Format::Json {
            super::answer_json(&json!({ "cells": [] }))?;
        }
        return Ok(Exit::Ok);
    }
    notes.iter().for_each(|note| super::note(&format!("note: {note}")));
    // Everything is looked at before anything is started.
    let is_json = selection.common.format == Format::Json;
    let (mut ready, mut missing) = (Vec::new(), false);
    for (batch, device) in batches.into_iter().zip(devices).filter(|(batch, _)| !batch.planned.is_empty()) {
        let cells = batch.cells();
        missing |= dataset::prepare(&context, &batch.ops.data, &cells, arguments.keep_going)?;
        let revisions = device.class.revisions(&context.revisions);
        starts(&context, &cells, &device, &revisions)?;
        let options = options(arguments, &batch, &device)?;
        ask::note(context.store.root(), &device.class)
            .at("keep the device class in", context.store.root())?;
        ready.push(Ready { batch, cells, revisions, options, estimate: None });
    }
    let is_one = ready.len() == 1;
    for Ready { batch, cells, revisions, options, estimate } in &mut ready {
        let mode = batch.ops.preflight;
        let (store, inputs) = (&context.store, &context.inputs);
        let preflight = Preflight { store, inputs, revisions, options, local: &executor };
        *estimate = preflight::before(mode, &context, &preflight, cells, is_json)?;
    }
    let stop = Arc::new(Stop::default());
    let progress = Progress::new(is_json);
    let watching = {
        let progress = progress.clone();
        super::watch_signals(&stop, move |level| progress.stopping(level))?
    };
    let planned: Vec<Arc<PlannedCell>> = ready.iter().flat_map(|ready| ready.batch.planned.clone()).collect();
    let names = names(&planned);
    let full: Vec<String> = names.iter().map(|name| name.full.clone()).collect();
    let started = Instant::now();
    let mut whole = Summary::default();
    for Ready { batch, cells, revisions, options, estimate } in &mut ready {
        let full = &full[whole.cells.len()..][..cells.len()];
        if stop.level() > 0 || (!arguments.keep_going && whole.count(is_failure) > 0) {
            let rest = full.iter().map(|name| (name.clone(), CellOutcome::NotStarted));
            whole.cells.extend(rest);
            continue;
        }
        if !is_one {
            let (names, jobs) = (batch.names(), batch.jobs());
            progress.again();
            super::note(&format!("{names}: {jobs} at once, {} threads each", options.threads));
        }
        if let Some(estimate) = estimate {
            progress.expect(preflight::expected(estimate));
        }
        options.budget = options.budget.map(|budget| budget.saturating_sub(started.elapsed()));
        let runner = Runner {
            store: &context.store,
            inputs: &context.inputs,
            revisions,
            executor: &executor,
            options,
            stop: &stop,
            tell: &|event| progress.show(&event.named(full)),
        };
        let mut summary = runner.run(cells);
        summary.cells.iter_mut().zip(full).for_each(|((name, _), full)| name.clone_from(full));
        progress.finish(&summary);
        whole.cells.extend(summary.cells);
    }
    watching.store(false, Ordering::SeqCst);
    if is_json {
        let listed: Vec<_> = whole
            .cells
            .iter()
            .zip(planned.iter().zip(&names))
            .map(|((cell, outcome), (planned, name))| {
                let more = json!({ "cell": cell, "outcome": word(outcome), "reason": reason(outcome) });
                cells::with(planned, name, more)
            })
            .collect();
        let mut estimates: Vec<Value> =
            ready.iter().map(|ready| preflight::value(ready.estimate.as_ref())).collect();
        // One for each batch, where there are several.
        let estimate = if is_one { estimates.swap_remove(0) } else { Value::Array(estimates) };
        super::answer_json(&json!({ "cells": listed, "preflight": estimate }))?;
    }
    Ok(exit_of(&whole, stop.level() > 0, missing))
}

fn is_failure(outcome: &CellOutcome) -> bool {
    matches!(outcome, CellOutcome::Failed(_) | CellOutcome::Error(_))
}

/// The device to run on; which one `auto` stands for is said.
fn choose(
    device: Device,
    threads: usize,
    worker: &Local,
    context: &Context,
    is_first: bool,
) -> Result<Chosen, Failure> {
    let root = context.store.root();
    let devices = ask::devices(worker, root).or_exit(Exit::Environment)?;
    let chosen = devices.choose(device, threads).or_exit(Exit::Environment)?;
    // A run makes the store.
    if !root.is_dir() {
        ask::keep(worker, root, &devices);
    }
    if device == Device::Auto && is_first {
        super::note(&format!("device: {} ({})", chosen.name, chosen.description));
    }
    Ok(chosen)
}

/// The weights that cells start from, of those that would train.
fn starts(context: &Context, cells: &[Cell], device: &Chosen, revisions: &Revisions) -> Result<(), Failure> {
    let mut to_train = Vec::new();
    for cell in cells.iter().filter(|cell| cell.pretrained.is_some()) {
        let Ok(inputs) = context.inputs.of(cell) else { continue };
        let key = inputs.train_key(cell, &device.class.numerics, revisions);
        // What is there needs its start no more.
        if !matches!(context.store.lookup(key.key()).or_exit(Exit::Environment)?, Lookup::Hit(_)) {
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

fn options(arguments: &Run, batch: &Batch<'_>, device: &Chosen) -> Result<Options, Failure> {
    let hours = |hours: f64, name: &str| {
        Duration::try_from_secs_f64(3600.0 * hours)
            .map_err(|_| Failure::new(Exit::Usage, format!("{name}: {hours} is no number of hours")))
    };
    let profile = batch.chosen.first().map(|chosen| chosen.experiment.profile.name.clone());
    Ok(Options {
        profile: profile.unwrap_or_default(),
        jobs: batch.jobs(),
        threads: batch.threads(),
        device: device.name.clone(),
        numerics: device.class.numerics.clone(),
        keep_going: arguments.keep_going,
        retry_failed: arguments.retry_failed,
        force: arguments.force,
        timeout: Some(hours(batch.ops.timeout_hours, "ops.timeout_hours")?),
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
