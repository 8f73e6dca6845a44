//! `dygl run`: train and evaluate what is not in the store yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use super::context::Context;
use super::dataset;
use super::progress::Progress;
use crate::cli::{Format, Place, Run};
use crate::exec::ask;
use crate::exec::device::Device;
use crate::exec::devices::Chosen;
use crate::exec::local::Local;
use crate::exec::{CellOutcome, Options, Runner, Stop, Summary};
use crate::exit::{Exit, Failure, OrExit};
use crate::plan::Cell;
use crate::spec::ops::ExecutorName;

pub fn run(arguments: &Run) -> Result<Exit, Failure> {
    let selection = &arguments.selection;
    let context = Context::load(selection)?;
    let asks_slurm = context.chosen.iter().any(|chosen| chosen.experiment.ops.on == ExecutorName::Slurm);
    if arguments.on == Some(Place::Slurm) || (arguments.on.is_none() && asks_slurm) {
        return Err(Failure::new(Exit::Environment, "this build runs on this machine only: give --on local"));
    }
    let executor = Local::beside_this_program()?;
    let device = choose(selection.device, &executor, &context)?;
    let cells: Vec<Cell> = context.cells().into_iter().map(|planned| planned.cell).collect();
    let missing = dataset::prepare(&context, &cells, arguments.keep_going)?;
    let revisions = device.class.revisions(&context.revisions);
    let options = options(arguments, &context, &device)?;
    ask::note(context.store.root(), &device.class).or_exit(Exit::Environment)?;
    let stop = Arc::new(Stop::default());
    let progress = Progress::new(selection.common.format == Format::Json);
    let watching = watch_signals(&stop, &progress)?;
    let runner = Runner {
        store: &context.store,
        inputs: &context.inputs,
        revisions: &revisions,
        executor: &executor,
        options: &options,
        stop: &stop,
        tell: &|event| progress.show(&event),
    };
    let summary = runner.run(&cells);
    watching.store(false, Ordering::SeqCst);
    progress.finish(&summary);
    if selection.common.format == Format::Json {
        let listed: Vec<_> = summary
            .cells
            .iter()
            .map(|(name, outcome)| json!({ "cell": name, "outcome": word(outcome), "reason": reason(outcome) }))
            .collect();
        super::answer_json(&json!({ "cells": listed }))?;
    }
    Ok(exit_of(&summary, stop.level() > 0, missing))
}

/// The device to run on; which one `auto` stands for is said.
fn choose(device: Device, worker: &Local, context: &Context) -> Result<Chosen, Failure> {
    let root = context.store.root();
    let devices = ask::devices(worker, root).or_exit(Exit::Environment)?;
    let chosen = devices.choose(device).or_exit(Exit::Environment)?;
    // A run makes the store.
    if !root.is_dir() {
        ask::keep(worker, root, &devices);
    }
    if device == Device::Auto {
        super::note(&format!("device: {} ({})", chosen.name, chosen.description));
    }
    Ok(chosen)
}

fn options(arguments: &Run, context: &Context, device: &Chosen) -> Result<Options, Failure> {
    let Some(first) = context.chosen.first() else {
        return Err(Failure::new(Exit::NothingSelected, "no experiment"));
    };
    let ops = &first.experiment.ops;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = arguments.jobs.unwrap_or(ops.jobs).max(1);
    let hours = |hours: f64, name: &str| {
        Duration::try_from_secs_f64(3600.0 * hours)
            .map_err(|_| Failure::new(Exit::Usage, format!("{name}: {hours} is no number of hours")))
    };
    Ok(Options {
        profile: first.experiment.profile.name.clone(),
        jobs,
        threads: if ops.threads > 0 { ops.threads } else { (cores / jobs).max(1) },
        device: device.name.clone(),
        numerics: device.class.numerics.clone(),
        keep_going: arguments.keep_going,
        retry_failed: arguments.retry_failed,
        force: arguments.force,
        timeout: Some(hours(ops.timeout_hours, "ops.timeout_hours")?),
        budget: arguments.max_hours.map(|h| hours(h, "--max-hours")).transpose()?,
    })
}

/// Ctrl-C and termination become requests to stop: the first at the next
/// checkpoint, the second now.
fn watch_signals(stop: &Arc<Stop>, progress: &Progress) -> Result<Arc<AtomicBool>, Failure> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM]).or_exit(Exit::Environment)?;
    let watching = Arc::new(AtomicBool::new(true));
    let (stop, is_watching, progress) = (Arc::clone(stop), Arc::clone(&watching), progress.clone());
    std::thread::spawn(move || {
        for _ in signals.forever() {
            if !is_watching.load(Ordering::SeqCst) {
                break;
            }
            stop.request();
            progress.stopping(stop.level());
        }
    });
    Ok(watching)
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
