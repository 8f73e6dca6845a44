//! Training steps and evaluations of networks, here and in PyTorch, in turns.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use dygl_bench::spread::Spread;
use dygl_spec::name::Named;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::child;
use crate::files;
use crate::machine::Machine;
use crate::progress::Progress;
use crate::side::{Load, Programs, Side, Task};

/// What is to be measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub models: Vec<String>,
    pub batches: Vec<usize>,
    pub size: usize,
    pub rounds: usize,
    /// Timed steps of a process.
    pub steps: usize,
    pub threads: usize,
    pub sides: Vec<Side>,
}

/// Everything that was measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Results {
    pub machine: Machine,
    pub plan: Plan,
    /// False while some of the plan is not measured yet.
    pub complete: bool,
    pub cells: Vec<Cell>,
}

/// A network with a batch: all sides of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Cell {
    pub model: String,
    pub batch: usize,
    pub runs: Vec<Run>,
}

/// One side doing one task.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    /// Place in the plan's sides.
    pub side: usize,
    pub task: Task,
    /// What its process told in each round.
    pub rounds: Vec<Value>,
    /// Why it told no more.
    pub failure: Option<String>,
}

impl Run {
    /// Over all rounds the least minimum and the median of the medians, of a
    /// field that is a spread or a number.
    pub fn spread(&self, field: &str) -> Option<Spread> {
        let of = |part: &str| -> Option<Vec<f64>> {
            let values = self.rounds.iter().map(|round| match &round[field] {
                Value::Object(spread) => spread.get(part)?.as_f64(),
                number => number.as_f64(),
            });
            values.collect()
        };
        let (least, middle) = (Spread::of(&of("min")?)?, Spread::of(&of("median")?)?);
        Some(Spread { min: least.min, median: middle.median })
    }

    /// Versions as the process told them.
    pub fn versions(&self) -> Option<&str> {
        self.rounds.first()?["versions"].as_str()
    }
}

impl Cell {
    pub fn run(&self, side: usize, task: Task) -> Option<&Run> {
        self.runs.iter().find(|run| run.side == side && run.task == task)
    }
}

impl Results {
    /// The versions that the sides told, each once.
    pub fn versions(&self) -> Vec<String> {
        let mut versions: Vec<String> = Vec::new();
        for told in self.cells.iter().flat_map(|cell| &cell.runs).filter_map(Run::versions) {
            if !versions.iter().any(|version| version == told) {
                versions.push(told.to_owned());
            }
        }
        versions
    }
}

/// Measures everything, telling on standard error how far it is, and writes
/// the results so far after each network to `path`.
///
/// # Errors
/// A name is unknown, or the results cannot be written.
pub fn measure(plan: Plan, programs: &Programs, path: &Path) -> Result<Results> {
    let weights = weights(&plan)?;
    let mut work = Vec::new();
    each(&plan, |model, batch, _, side, task| {
        work.push((kind(&plan.sides[side], task), weight(weights[model], batch, task)));
    });
    let mut progress = Progress::new(work);
    let machine = Machine::here(plan.threads);
    let mut results = Results { machine, plan: plan.clone(), complete: false, cells: Vec::new() };
    for model in &plan.models {
        for batch in &plan.batches {
            results.cells.push(cell(&plan, programs, model, *batch, &mut progress));
            files::write_json(path, &results)?;
        }
    }
    results.complete = true;
    files::write_json(path, &results)?;
    Ok(results)
}

const TASKS: [Task; 2] = [Task::Training, Task::Evaluation];

/// Every process of the plan, in the order in which they run.
fn each<'p>(plan: &'p Plan, mut visit: impl FnMut(&'p str, usize, usize, usize, Task)) {
    for model in &plan.models {
        for batch in &plan.batches {
            of_cell(plan, model, |round, side, task| visit(model, *batch, round, side, task));
        }
    }
}

/// Ours and PyTorch take turns: all sides train, all evaluate, and again.
fn of_cell(plan: &Plan, model: &str, mut visit: impl FnMut(usize, usize, Task)) {
    let sides: Vec<usize> = (0..plan.sides.len()).filter(|side| plan.sides[*side].takes(model)).collect();
    for round in 0..plan.rounds {
        for task in TASKS {
            for side in &sides {
                visit(round, *side, task);
            }
        }
    }
}

fn cell(plan: &Plan, programs: &Programs, model: &str, batch: usize, progress: &mut Progress) -> Cell {
    let mut runs: Vec<Run> = Vec::new();
    of_cell(plan, model, |round, side, task| {
        let place = runs.iter().position(|run| run.side == side && run.task == task).unwrap_or_else(|| {
            runs.push(Run { side, task, rounds: Vec::new(), failure: None });
            runs.len() - 1
        });
        let run = &mut runs[place];
        let load = Load { model, size: plan.size, batch, steps: plan.steps, threads: plan.threads, task };
        let Some(command) = plan.sides[side].command(programs, &load).filter(|_| run.failure.is_none())
        else {
            progress.did(None);
            return;
        };
        let started = Instant::now();
        let told = child::run(command).and_then(|lines| lines.into_iter().last().ok_or_else(String::new));
        let took = started.elapsed();
        progress.did(Some(took));
        let what = match task {
            Task::Training => "training",
            Task::Evaluation => "evaluation",
        };
        let how = match &told {
            Ok(line) => format!("{} ms", line["step_ms"]["min"]),
            Err(reason) => format!("failed: {reason}"),
        };
        tell(
            progress,
            &format!("{model} batch {batch}, {}, {what} {}: {how}", plan.sides[side].name, round + 1),
            took,
        );
        match told {
            Ok(line) => run.rounds.push(line),
            Err(reason) => run.failure = Some(reason),
        }
    });
    Cell { model: model.to_owned(), batch, runs }
}

fn tell(progress: &Progress, what: &str, took: Duration) {
    eprintln!("{}: {what} ({:.0} s)", progress.head(), took.as_secs_f64());
}

fn kind(side: &Side, task: Task) -> String {
    format!("{} {task:?}", side.name)
}

/// Of one process; a training step computes about three forward passes.
fn weight(operations: f64, batch: usize, task: Task) -> f64 {
    operations * batch as f64 * if task == Task::Training { 3.0 } else { 1.0 }
}

/// Multiply-accumulates of an image through each network.
fn weights(plan: &Plan) -> Result<BTreeMap<&str, f64>> {
    let weigh = |model: &String| {
        let named = Named::parse(model).with_context(|| format!("no model `{model}`"))?;
        let (network, named) = dygl_spec::network::resolve(&named)?;
        if let Err(nearest) = network.check_size(plan.size) {
            anyhow::bail!(
                "`{model}` takes no images of {} px; the nearest valid size is {nearest}",
                plan.size
            );
        }
        Ok(dygl_train::cost::ledger(&named, plan.size, 1)?.operations as f64)
    };
    plan.models.iter().map(|model| Ok((model.as_str(), weigh(model)?))).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rounds_are_joined() {
        let run = |rounds: Vec<Value>| Run { side: 0, task: Task::Training, rounds, failure: None };
        let three = run(vec![
            json!({ "step_ms": { "min": 5.0, "median": 9.0 }, "peak_mib": 100 }),
            json!({ "step_ms": { "min": 4.0, "median": 6.0 }, "peak_mib": 90 }),
            json!({ "step_ms": { "min": 6.0, "median": 7.0 }, "peak_mib": 120 }),
        ]);
        assert_eq!(three.spread("step_ms"), Some(Spread { min: 4.0, median: 7.0 }));
        assert_eq!(three.spread("peak_mib"), Some(Spread { min: 90.0, median: 100.0 }));
        assert_eq!(three.spread("absent"), None);
        assert_eq!(run(Vec::new()).spread("step_ms"), None);
        let without = run(vec![json!({ "peak_mib": 1 }), json!({ "peak_mib": null })]);
        assert_eq!(without.spread("peak_mib"), None);
        let even = Spread::of(&[4.0, 1.0, 3.0, 2.0]);
        assert_eq!(even, Some(Spread { min: 1.0, median: 2.5 }));
    }

    #[test]
    fn sides_take_turns() {
        let sides = crate::side::sides(&["flex".into()], true);
        let plan = Plan {
            models: vec!["unet".into()],
            batches: vec![2],
            size: 224,
            rounds: 2,
            steps: 3,
            threads: 2,
            sides,
        };
        let mut order = Vec::new();
        each(&plan, |_, _, round, side, task| order.push((round, task == Task::Training, side)));
        let once = [(true, 0), (true, 1), (true, 2), (false, 0), (false, 1), (false, 2)];
        let expected: Vec<_> =
            (0..2).flat_map(|round| once.map(|(training, side)| (round, training, side))).collect();
        assert_eq!(order, expected);
        let mut of_others = 0;
        of_cell(&plan, "fat_net", |_, _, _| of_others += 1);
        assert_eq!(of_others, 8, "that is not compiled");
    }

    #[test]
    fn a_network_that_does_not_run_is_a_failure_and_not_the_end() {
        let programs = Programs { step: "false".into(), python: Some("false".into()) };
        let plan = Plan {
            models: vec!["unet".into()],
            batches: vec![1],
            size: 224,
            rounds: 3,
            steps: 1,
            threads: 1,
            sides: crate::side::sides(&["flex".into()], true),
        };
        let cell = cell(&plan, &programs, "unet", 1, &mut Progress::default());
        assert_eq!(cell.runs.len(), 6);
        assert!(cell.runs.iter().all(|run| run.rounds.is_empty() && run.failure.is_some()));
        let mut unknown = plan;
        unknown.models = vec!["resnet".into()];
        assert!(weights(&unknown).expect_err("unknown").to_string().contains("resnet"));
    }
}
