//! What `dygl run` says before a long run begins: the runs to do, a measured
//! step of each kind, the time of all, memory and disk.

use std::time::Duration;

use dygl_base::exit::{Exit, Failure, OrExit};
use dygl_exec::machine;
use dygl_exec::preflight::bytes;
use dygl_exec::preflight::{self, Estimate, GroupEstimate, MeasureError, Need, Preflight, Surveyed};
use dygl_spec::ops::PreflightMode;
use dygl_spec::plan::{Cell, names};
use serde_json::{Value, json};

use super::context::Context;
use super::progress::human;

/// The estimate of a run; none where the mode, the work's size or an empty
/// list of things to do spare it.
///
/// # Errors
/// Exit 3 if the run cannot fit this machine, with the remedy.
pub fn before(
    mode: PreflightMode,
    context: &Context,
    preflight: &Preflight<'_>,
    cells: &[Cell],
    json: bool,
) -> Result<Option<Estimate>, Failure> {
    if mode == PreflightMode::Never {
        return Ok(None);
    }
    if mode == PreflightMode::Auto && worth(context, cells.iter()) < preflight::WORTH {
        return Ok(None);
    }
    let survey = preflight.survey(cells).or_exit(Exit::Environment)?;
    let to_train = survey.iter().filter(|cell| matches!(cell.need, Need::Training { .. }));
    let is_small = worth(context, to_train.map(|cell| cell.cell)) < preflight::WORTH;
    if (mode == PreflightMode::Auto && is_small) || !survey.iter().any(|cell| cell.need.is_work()) {
        return Ok(None);
    }
    let mut estimate = estimate(preflight, &survey, json)?;
    let names = names(&context.cells());
    estimate.cells.iter_mut().zip(names).for_each(|(cell, name)| cell.name = name.full);
    if json {
        super::note(&json!({ "event": "preflight", "estimate": estimate }).to_string());
    } else {
        super::note(&text(&estimate));
    }
    let obstacles = estimate.obstacles();
    if !obstacles.is_empty() {
        let text = format!(
            "nothing was started, because it would not come to its end:\n  {}\n  (--preflight never starts all the same)",
            obstacles.join("\n  ")
        );
        return Err(Failure::new(Exit::Environment, text));
    }
    Ok(Some(estimate))
}

/// Pixels that cells train on; those without data count for nothing.
fn worth<'a>(context: &Context, cells: impl Iterator<Item = &'a Cell>) -> u64 {
    let train = |cell| context.inputs.of(cell).map_or(0, |inputs| inputs.partition.counts().train);
    preflight::training_pixels(cells.map(|cell| (cell, train(cell))))
}

/// Measures each group of cells and sums up.
fn estimate(preflight: &Preflight<'_>, survey: &[Surveyed<'_>], json: bool) -> Result<Estimate, Failure> {
    let options = preflight.options;
    let copies = preflight.copies(survey);
    let mut keys = Vec::new();
    let mut members: Vec<Vec<usize>> = Vec::new();
    let mut group_of = vec![None; survey.len()];
    for (index, surveyed) in survey.iter().enumerate().filter(|(_, cell)| cell.need.is_work()) {
        let key = preflight.group(surveyed.cell, copies).key().clone();
        let group = keys.iter().position(|known| *known == key).unwrap_or_else(|| {
            keys.push(key);
            members.push(Vec::new());
            keys.len() - 1
        });
        members[group].push(index);
        group_of[index] = Some(group);
    }
    let mut groups = Vec::new();
    for (number, members) in members.iter().enumerate() {
        let surveyed = &survey[members[0]];
        let cell = surveyed.cell;
        if !json {
            super::note(&format!(
                "preflight {}/{}: {} at {} px, batch {}, {copies} at once",
                number + 1,
                keys.len(),
                cell.model,
                cell.protocol.image.size,
                cell.protocol.train.batch_size
            ));
        }
        let (measured, remembered, problem) = match preflight.measure(surveyed, copies) {
            Ok((measured, remembered)) => (Some(measured), remembered, String::new()),
            Err(MeasureError::OutOfMemory(told)) => return Err(too_large(cell, copies, &told)),
            Err(error) => (None, false, error.to_string()),
        };
        groups.push(GroupEstimate {
            model: cell.model.to_string(),
            size: cell.protocol.image.size,
            batch: cell.protocol.train.batch_size,
            cells: members.len(),
            measured,
            remembered,
            problem,
        });
    }
    let free = machine::free_disk(preflight.store.root());
    Ok(Estimate::new(survey, &group_of, groups, (copies, options.threads), machine::memory(), free))
}

fn too_large(cell: &Cell, copies: usize, told: &str) -> Failure {
    let remedy = if copies > 1 {
        "give fewer --jobs, or a smaller batch"
    } else {
        "give a smaller batch, or use a machine with more memory"
    };
    let text = format!(
        "{} at {} px with batches of {}, {copies} at once, does not fit this machine's memory; nothing was \
         started\n  {remedy} (--set train.batch_size=N is another key)\n  {told}",
        cell.model, cell.protocol.image.size, cell.protocol.train.batch_size
    );
    Failure::new(Exit::Environment, text)
}

/// The estimate for people.
pub fn text(estimate: &Estimate) -> String {
    let of = |which: fn(Need) -> bool| estimate.count(which);
    let mut parts = vec![
        format!("{} to train", of(|need| matches!(need, Need::Training { .. }))),
        format!("{} to evaluate alone", of(|need| need == Need::Evaluation)),
        format!("{} from the store", of(|need| need == Need::Nothing)),
    ];
    for (count, what) in [
        (of(|need| need == Need::Failed), "failed before (--retry-failed)"),
        (of(|need| need == Need::Data), "without data"),
        (of(|need| matches!(need, Need::Training { epochs_done: 1.. })), "resumed from a checkpoint"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    let mut text = format!("{} cells: {}\n", estimate.cells.len(), parts.join(", "));
    text.push_str(&super::columns(&rows(estimate)));
    let total = estimate.seconds.map_or_else(|| "not known".to_owned(), time);
    text.push_str(&format!(
        "time    about {total}: {} at once, {} threads each\n",
        estimate.jobs, estimate.threads
    ));
    let memory = &estimate.memory;
    text.push_str(&format!(
        "memory  {} needed, {} of {} available\n",
        bytes(memory.needed),
        bytes(memory.machine.available),
        bytes(memory.machine.total)
    ));
    let disk = &estimate.disk;
    let free = disk.free.map_or_else(|| "unknown".to_owned(), bytes);
    text.push_str(&format!(
        "disk    {} needed ({} weights, {} checkpoints, {} records, {} packed images at most), {free} free\n",
        bytes(disk.needed()),
        bytes(disk.weights),
        bytes(disk.checkpoints),
        bytes(disk.records),
        bytes(disk.images)
    ));
    for warning in estimate.warnings() {
        text.push_str(&format!("warning: {warning}\n"));
    }
    text.trim_end().to_owned()
}

fn rows(estimate: &Estimate) -> Vec<Vec<String>> {
    let head =
        ["network", "px", "batch", "cells", "step", "image scored", "memory", "parameters", "measured"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for group in &estimate.groups {
        let mut row = vec![
            group.model.clone(),
            group.size.to_string(),
            group.batch.to_string(),
            group.cells.to_string(),
        ];
        match &group.measured {
            Some(found) => row.extend([
                seconds(found.seconds_per_step),
                seconds(found.seconds_per_scored),
                bytes(found.peak_memory_bytes),
                format!("{:.2} M", found.parameters as f64 / 1e6),
                format!("{} steps{}", found.steps, if group.remembered { ", earlier" } else { "" }),
            ]),
            None => row.extend(["-", "-", "-", "-", "failed"].map(str::to_owned)),
        }
        rows.push(row);
    }
    rows
}

/// A short time: `12.3 s`, `45 ms`.
fn seconds(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.0} ms", 1000.0 * seconds) } else { format!("{seconds:.1} s") }
}

/// A long time.
fn time(seconds: f64) -> String {
    Duration::try_from_secs_f64(seconds).map_or_else(|_| "more than ages".to_owned(), human)
}

/// Training and evaluation seconds by cell, for the progress of the run.
pub fn expected(estimate: &Estimate) -> Vec<Option<(f64, f64)>> {
    estimate.cells.iter().map(|cell| Some((cell.train_seconds?, cell.evaluate_seconds?))).collect()
}

/// The estimate as part of an answer in JSON.
pub fn value(estimate: Option<&Estimate>) -> Value {
    estimate.map_or(Value::Null, |estimate| json!(estimate))
}
