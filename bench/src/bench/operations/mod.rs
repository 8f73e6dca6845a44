//! Single operations: our kernel, burn's primitives and ATen in turns, forward
//! and backward, at shapes of the networks.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::Result;
use dygl_bench::spread::Spread;
use dygl_train::device;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::child;
use crate::files;
use crate::machine::Machine;
use crate::progress::Progress;
use crate::side::{Side, Who};

pub mod list;
mod oracle;
pub mod pass;
mod table;
pub mod timing;

pub use pass::Kernel;
pub use table::table;

/// Everything that was measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Results {
    pub machine: Machine,
    pub rounds: usize,
    pub threads: usize,
    pub columns: Vec<Column>,
}

/// One implementation, all operations.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Column {
    pub side: Side,
    /// burn's primitives in place of our kernels.
    pub is_oracle: bool,
    /// The lines of each round.
    pub rounds: Vec<Vec<Value>>,
    pub failure: Option<String>,
}

impl Column {
    /// Forward or backward of an operation over all rounds, ms.
    pub fn spread(&self, operation: &str, field: &str) -> Option<Spread> {
        let lines: Vec<&Value> =
            self.rounds.iter().flatten().filter(|line| line["name"] == operation).collect();
        let of =
            |part: &str| lines.iter().map(|line| line[field][part].as_f64()).collect::<Option<Vec<f64>>>();
        let (least, middle) = (Spread::of(&of("min")?)?, Spread::of(&of("median")?)?);
        Some(Spread { min: least.min, median: middle.median })
    }

    /// Why an operation has no figures.
    pub fn failure(&self, operation: &str) -> Option<&str> {
        let lines = self.rounds.iter().flatten().filter(|line| line["name"] == operation);
        lines.filter_map(|line| line["failure"].as_str()).next()
    }
}

impl Results {
    /// The versions that the sides told, each once.
    pub fn versions(&self) -> Vec<String> {
        let told =
            self.columns.iter().filter_map(|column| column.rounds.first()?.first()?["versions"].as_str());
        let mut versions: Vec<String> = told.map(str::to_owned).collect();
        versions.sort();
        versions.dedup();
        versions
    }
}

/// Measures every operation on every side, in turns, and writes the results.
///
/// # Errors
/// The results cannot be written.
pub fn measure(
    sides: &[Side],
    python: Option<&Path>,
    rounds: usize,
    threads: usize,
    only: &str,
    path: &Path,
) -> Result<Results> {
    let mut columns = Vec::new();
    for side in sides.iter().filter(|side| side.precision == "f32" && !side.compiled) {
        let kinds: &[bool] = if side.who == Who::Ours { &[false, true] } else { &[false] };
        columns.extend(kinds.iter().map(|&is_oracle| Column {
            side: side.clone(),
            is_oracle,
            rounds: Vec::new(),
            failure: None,
        }));
    }
    let machine = Machine::here(threads);
    let name = |column: &Column| match column.is_oracle {
        true => format!("burn's primitives on {}", column.side.name),
        false => column.side.name.clone(),
    };
    let work = (0..rounds).flat_map(|_| columns.iter().map(|column| (name(column), 1.0)));
    let mut progress = Progress::new(work.collect());
    for round in 0..rounds {
        for column in &mut columns {
            let Some(command) = command(column, python, threads, only).filter(|_| column.failure.is_none())
            else {
                progress.did(None);
                continue;
            };
            let started = Instant::now();
            let told = child::run(command?);
            progress.did(Some(started.elapsed()));
            let how = match told {
                Ok(lines) => {
                    let how = format!("{} operations", lines.len());
                    column.rounds.push(lines);
                    how
                }
                Err(reason) => {
                    let how = format!("failed: {reason}");
                    column.failure = Some(reason);
                    how
                }
            };
            let seconds = started.elapsed().as_secs_f64();
            eprintln!("{}: {}, round {}: {how} ({seconds:.0} s)", progress.head(), name(column), round + 1);
        }
    }
    let results = Results { machine, rounds, threads, columns };
    files::write_json(path, &results)?;
    Ok(results)
}

fn command(column: &Column, python: Option<&Path>, threads: usize, only: &str) -> Option<Result<Command>> {
    let mut command = match column.side.who {
        Who::Ours => {
            let mut command = match std::env::current_exe() {
                Ok(own) => Command::new(own),
                Err(error) => return Some(Err(error.into())),
            };
            command.args(["time-operations", if column.is_oracle { "oracle" } else { "ours" }]);
            command
        }
        Who::Torch => {
            let mut command = Command::new(python?);
            command.arg("bench/torch/ops.py");
            command
        }
    };
    command.args(["--threads", &threads.to_string(), "--device", column.side.device_word(), "--only", only]);
    column.side.environment(&mut command);
    Some(Ok(command))
}

/// The process of one side: a line of JSON for each operation. One that fails
/// is told so, and the others follow.
///
/// # Errors
/// The device is not here.
pub fn tell(kernel: Kernel, name: &str, only: &str, mut tell: impl FnMut(Value)) -> Result<()> {
    let backend = device::parse(name)?;
    let versions = format!("dygl {}", env!("CARGO_PKG_VERSION"));
    for listed in list::listed()?.into_iter().filter(|listed| listed.name.contains(only)) {
        let run = || {
            let pass = pass::prepare(&listed.what, kernel, &backend.device, true);
            timing::timed(pass, &backend.device, timing::LISTED)
        };
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
        tell(match outcome {
            Ok(Ok((forward, backward))) => json!({
                "name": listed.name, "forward_ms": forward, "backward_ms": backward, "versions": versions,
            }),
            Ok(Err(error)) => {
                json!({ "name": listed.name, "failure": error.to_string(), "versions": versions })
            }
            Err(_) => json!({
                "name": listed.name, "failure": "the backend refused it (see standard error)", "versions": versions,
            }),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};

    use super::list::Operation;
    use super::pass::{Leaves, prepare};
    use super::*;

    fn small() -> Vec<Operation> {
        let convolution = |groups, transposed| Operation::Convolution {
            input: [2, 4, 6, 6],
            output: 4,
            kernel: 2,
            stride: 2,
            padding: 0,
            dilation: 1,
            groups,
            bias: true,
            transposed,
        };
        vec![
            convolution(1, false),
            convolution(4, false),
            convolution(1, true),
            Operation::BatchNorm { input: [2, 3, 4, 4] },
            Operation::Gelu { input: vec![3, 5] },
            Operation::Sample { input: [2, 4, 3, 5], groups: 2 },
            Operation::Resize { input: [2, 4, 3, 3], output: 6, aligned: true },
            Operation::Resize { input: [2, 4, 3, 3], output: 6, aligned: false },
            Operation::Attention { input: [2, 2, 5, 4], keys: 3, bias: true },
            Operation::LayerNorm { input: vec![3, 8] },
            Operation::Softmax { input: vec![3, 8] },
            Operation::Adamw { input: [7] },
            Operation::Loss { input: [2, 1, 4, 4] },
        ]
    }

    #[test]
    fn every_operation_runs_forward_and_backward_on_both_sides() {
        let device = Device::flex();
        for what in small() {
            for kernel in [Kernel::Ours, Kernel::Oracle] {
                let repeats = timing::Repeats { fewest: 1, most: 1, enough: 0.0 };
                let pass = prepare(&what, kernel, &device, true);
                let (_, backward) = timing::timed(pass, &device, repeats).expect("runs");
                assert_eq!(backward.is_some(), !matches!(what, Operation::Adamw { .. }), "{what:?}");
            }
        }
    }

    /// The oracles that are written here compute what our kernels compute.
    #[test]
    fn the_oracles_agree_with_the_kernels() {
        let device = Device::flex();
        let leaves = Leaves::on(&device);
        let apart = |ours: Tensor<1>, theirs: Tensor<1>| (ours - theirs).abs().max().into_scalar::<f32>();
        let flat = |x: Tensor<4>| pass::flat(x).expect("a tensor").inner();
        let (x, offset) = (leaves.leaf([2, 6, 4, 5]), leaves.leaf([2, 16, 4, 5]));
        let ours = dygl_nn::op::dynamic_upsample(x.clone(), offset.clone(), 2);
        assert!(apart(flat(ours), flat(oracle::dynamic_upsample(x, offset, 2))) < 1e-5);
        let (q, bias) = (leaves.leaf([2, 2, 5, 4]), Some(leaves.leaf([1, 2, 5, 5])));
        let ours = dygl_nn::op::attention(q.clone(), q.clone(), q.clone(), 0.5, bias.clone());
        assert!(apart(flat(ours), flat(oracle::attention(q.clone(), q.clone(), q, 0.5, bias))) < 1e-5);
        let (logits, target) = (leaves.leaf([2, 1, 8, 8]), leaves.random([2, 1, 8, 8], false).abs());
        let ours = dygl_train::learn::loss::loss(
            logits.clone(),
            target.clone(),
            &dygl_train::learn::loss::REFERENCE,
        )
        .total;
        assert!(apart(ours.inner(), oracle::loss(logits, target).inner()) < 1e-5);
        let [p, g, m, v] = [(); 4].map(|()| leaves.random([33], false).inner());
        let step = dygl_nn::op::AdamWStep {
            clip: 0.5,
            beta1: 0.9,
            beta2: 0.99,
            epsilon: 1e-8,
            rate: 0.1,
            weight_decay: 1.0,
            time: 2.0,
        };
        let ours = dygl_nn::op::adamw(p.clone(), g.clone(), m.clone(), v.clone().abs(), step);
        let theirs = oracle::adamw(p, g, m, v.abs(), step);
        assert!(
            apart(ours.0, theirs.0) < 1e-5
                && apart(ours.1, theirs.1) < 1e-6
                && apart(ours.2, theirs.2) < 1e-6
        );
    }
}
