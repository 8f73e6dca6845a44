//! Which kinds of operations of a training step are bound by arithmetic, which
//! by memory, and how far each is from its roof (Williams, Waterman & Patterson
//! 2009): every distinct operation of the step is done again alone, and its time
//! held against what the machine needs for its operations and its bytes.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use dygl_bench::spread::Spread;
use dygl_bench::stepping::Stepper;
use dygl_spec::name::Named;
use dygl_spec::network;
use dygl_train::cost;
use dygl_train::device::{self, Backend};
use serde::{Deserialize, Serialize};

use crate::files;
use crate::machine::Machine;
use crate::operations::list::Operation;
use crate::operations::timing::{Repeats, timed};

mod peaks;
mod replay;
mod table;
mod traced;

use replay::{Load, Replay};
use traced::Traced;

pub use peaks::Peaks;
pub use table::{markdown_of, peaks, table};

/// Everything that was measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Results {
    pub machine: Machine,
    pub device: String,
    pub peaks: Peaks,
    pub networks: Vec<Network>,
}

/// One network's training step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Network {
    pub model: String,
    pub size: usize,
    pub batch: usize,
    /// The whole step, measured, ms: forward with loss, backward, update.
    pub step: [Spread; 3],
    /// By what they take, longest first.
    pub kinds: Vec<Kind>,
    /// Operations that are not done again, by name.
    pub left_out: BTreeMap<String, usize>,
    /// Multiply-accumulates of the ledger, of the whole batch, and those of
    /// them that are done again.
    pub ledger: f64,
    pub replayed: f64,
}

/// A kind of operations, all of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kind {
    pub kind: String,
    /// With different shapes.
    pub distinct: usize,
    pub calls: usize,
    pub forward: Part,
    pub backward: Part,
}

impl Kind {
    /// Forward and backward together.
    pub fn both(&self) -> Part {
        let [a, b] = [self.forward, self.backward];
        Part {
            operations: a.operations + b.operations,
            bytes: a.bytes + b.bytes,
            ms: a.ms + b.ms,
            median_ms: a.median_ms + b.median_ms,
            arithmetic_ms: a.arithmetic_ms + b.arithmetic_ms,
            roof_ms: a.roof_ms + b.roof_ms,
        }
    }
}

/// Sums over the calls of a kind, in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Part {
    /// Multiply-accumulates.
    pub operations: f64,
    /// Bytes that must move.
    pub bytes: f64,
    /// The fastest repeats.
    pub ms: f64,
    /// The medians.
    pub median_ms: f64,
    /// Of `ms`, what calls took that arithmetic bounds.
    pub arithmetic_ms: f64,
    /// What the roofs allow.
    pub roof_ms: f64,
}

impl Part {
    fn add(&mut self, load: Load, took: Spread, calls: usize, peaks: &Peaks) {
        let calls = calls as f64;
        let bytes = 4.0 * load.values;
        let arithmetic = 2e-6 * load.operations / peaks.gflops();
        let memory = 1e-6 * bytes / peaks.gbs();
        self.operations += calls * load.operations;
        self.bytes += calls * bytes;
        self.ms += calls * took.min;
        self.median_ms += calls * took.median;
        self.roof_ms += calls * arithmetic.max(memory);
        if arithmetic > memory {
            self.arithmetic_ms += calls * took.min;
        }
    }
}

/// As single operations are repeated, of which there are many.
const REPEATS: Repeats = Repeats { fewest: 2, most: 20, enough: 0.3 };
const STEPS: usize = 3;

/// Measures the steps of networks on a device and what they are made of.
///
/// # Errors
/// A network is unknown, or the device fails.
pub fn measure(models: &[String], size: usize, batch: usize, name: &str, path: &Path) -> Result<Results> {
    let backend = device::parse(name)?;
    let machine = Machine::here(rayon::current_num_threads());
    eprintln!("peaks of the machine");
    let mut peaks = Peaks::measure(&backend.device, 5)?;
    let mut measured = Vec::new();
    for model in models {
        let (found, named) = network::resolve(&Named::parse(model)?)?;
        if let Err(nearest) = found.check_size(size) {
            anyhow::bail!("`{model}` takes no images of {size} px; the nearest valid size is {nearest}");
        }
        measured.push(one(&named, size, batch, &backend)?);
        // Other work on the machine may have been in the way of the first.
        peaks = peaks.or(Peaks::measure(&backend.device, 3)?);
    }
    let networks = measured.into_iter().map(|measured| measured.network(&peaks)).collect();
    let results = Results { machine, device: name.to_owned(), peaks, networks };
    files::write_json(path, &results)?;
    Ok(results)
}

/// A network's figures before the peaks are known.
struct Measured {
    network: Network,
    replays: Vec<(Traced, [Spread; 2])>,
}

fn one(named: &Named, size: usize, batch: usize, backend: &Backend) -> Result<Measured> {
    let step = step(named, size, batch, backend)?;
    let traced::Trace { mut traced, left_out } = traced::trace(named, size, batch)?;
    let replayed =
        traced.iter().map(|one| one.calls as f64 * one.replay.load(one.tracked)[0].operations).sum();
    let once = |operation| Traced { replay: Replay::Operation(operation), tracked: true, calls: 1 };
    let ledger = cost::ledger(named, size, 1)?;
    traced.push(once(Operation::Loss { input: [batch, 1, size, size] }));
    traced.push(once(Operation::Adamw { input: [ledger.parameters as usize] }));
    let mut replays = Vec::new();
    let all = traced.len();
    for (place, one) in traced.into_iter().enumerate() {
        if place % 20 == 0 {
            eprintln!("[{place:>3}/{all}] {named}: distinct operations of a step");
        }
        let pass = one.replay.prepare(&backend.device, one.tracked);
        let (forward, backward) = timed(pass, &backend.device, REPEATS)?;
        replays.push((one, [forward, backward.unwrap_or(Spread { min: 0.0, median: 0.0 })]));
    }
    let network = Network {
        model: named.to_string(),
        size,
        batch,
        step,
        kinds: Vec::new(),
        left_out,
        ledger: batch as f64 * ledger.operations as f64,
        replayed,
    };
    Ok(Measured { network, replays })
}

fn step(named: &Named, size: usize, batch: usize, backend: &Backend) -> Result<[Spread; 3]> {
    let mut stepper = Stepper::new(named, size, batch, backend, false)?;
    let mut parts = [const { Vec::new() }; 3];
    for step in 0..=STEPS {
        eprintln!("{named}: training step {step} of {STEPS}");
        for (times, took) in parts.iter_mut().zip(stepper.step()?) {
            // The first step meets cold caches.
            if step > 0 {
                times.push(took);
            }
        }
    }
    Ok(parts.map(|times| Spread::of(&times).unwrap_or(Spread { min: f64::NAN, median: f64::NAN })))
}

impl Measured {
    fn network(self, peaks: &Peaks) -> Network {
        let mut kinds: Vec<Kind> = Vec::new();
        for (one, took) in &self.replays {
            let name = one.replay.kind();
            let place = kinds.iter().position(|kind| kind.kind == name).unwrap_or_else(|| {
                let none = Part::default();
                kinds.push(Kind { kind: name.into(), distinct: 0, calls: 0, forward: none, backward: none });
                kinds.len() - 1
            });
            let [forward, backward] = one.replay.load(one.tracked);
            let kind = &mut kinds[place];
            kind.distinct += 1;
            kind.calls += one.calls;
            kind.forward.add(forward, took[0], one.calls, peaks);
            kind.backward.add(backward, took[1], one.calls, peaks);
        }
        kinds.sort_by(|a, b| (b.forward.ms + b.backward.ms).total_cmp(&(a.forward.ms + a.backward.ms)));
        Network { kinds, ..self.network }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use dygl_train::cost::graph::{Mode, capture};

    use super::*;

    fn trace(model: &str) -> Vec<Traced> {
        traced::trace(&Named::parse(model).expect("valid"), 64, 2).expect("traced").traced
    }

    /// Sum over the calls of what a kind computes.
    fn operations(traced: &[Traced], kind: &str) -> f64 {
        let of = traced.iter().filter(|one| one.replay.kind().starts_with(kind));
        of.map(|one| one.calls as f64 * one.replay.load(one.tracked)[0].operations).sum()
    }

    #[test]
    fn what_is_done_again_is_what_the_ledger_counts() {
        for model in ["unet", "dyglnet", "fat_net", "unetpp"] {
            let traced = trace(model);
            let named = Named::parse(model).expect("valid");
            let ledger = cost::ledger(&named, 64, 1).expect("counted");
            let counted = |kind: &str| {
                let found = ledger.by_kind.iter().find(|of| of.kind == kind);
                2.0 * found.map_or(0.0, |of| of.operations as f64)
            };
            let kinds =
                ["convolution", "transposed convolution", "batch norm", "sampling", "bilinear resize"];
            for kind in kinds {
                assert_eq!(operations(&traced, kind), counted(kind), "{model}: {kind}");
            }
            let attention = operations(&traced, "attention")
                + operations(&traced, "product of activations")
                + operations(&traced, "softmax");
            assert_eq!(
                attention,
                counted("product of activations") + counted("softmax"),
                "{model}: attention"
            );
        }
    }

    #[test]
    fn everything_that_is_traced_runs_alone() {
        let device = Device::flex();
        let once = Repeats { fewest: 1, most: 1, enough: 0.0 };
        for model in ["unet", "dyglnet", "fat_net"] {
            for one in trace(model) {
                let pass = one.replay.prepare(&device, one.tracked);
                timed(pass, &device, once).expect("runs");
            }
        }
    }

    #[test]
    fn a_call_is_bound_by_the_later_of_its_roofs() {
        let peaks = Peaks { product_gflops: 100.0, tile_gflops: 50.0, triad_gbs: 10.0, copy_gbs: 8.0 };
        let took = Spread { min: 4.0, median: 5.0 };
        let mut part = Part::default();
        // 2e8 operations take 2 ms at the peak, 4e6 bytes 0.4 ms.
        part.add(Load { operations: 1e8, values: 1e6 }, took, 3, &peaks);
        assert_eq!((part.roof_ms, part.arithmetic_ms), (6.0, 12.0));
        part.add(Load { operations: 0.0, values: 5e6 }, took, 1, &peaks);
        assert_eq!((part.roof_ms, part.ms, part.arithmetic_ms), (8.0, 16.0, 12.0));
        assert_eq!((part.bytes, part.operations), (3.2e7, 3e8));
    }

    #[test]
    fn the_images_of_a_pass_have_no_gradient() {
        let pass = capture(&Named::plain("unet"), 32, 1, Mode::Training).expect("captured");
        assert!(!pass.operations.is_empty());
        let first = trace("unet").into_iter().find(|one| one.replay.kind().starts_with("convolution"));
        let first = first.expect("a convolution");
        assert!(!first.tracked);
        let [forward, backward] = first.replay.load(first.tracked);
        assert_eq!(forward.operations, backward.operations, "the weight's gradient alone");
    }
}
