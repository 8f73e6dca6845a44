//! Five training steps of every network as PyTorch takes them: the same weights,
//! images and targets, the loss, one clip of the gradient and AdamW. PyTorch's
//! losses in f64 are kept in `golden/trajectory` (`make.py`, which says how rates
//! and sizes were chosen); each of ours must be within 1e-4 of them, in f32 on
//! each device that is here and in f64 on flex.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use burn::tensor::{DType, Device, Tensor, TensorData};
use dygl_spec::name::Named;
use dygl_spec::network::NETWORKS;
use dygl_spec::protocol::{DecayExclude, Optimizer, OptimizerName};
use dygl_tests::arrays::{Array, images, masks, write_arrays};
use dygl_tests::parity::{SEED, filled};
use dygl_train::learn::loss::{REFERENCE, loss};
use dygl_train::learn::optim::{AdamW, GradientSet};
use dygl_train::learn::weights;
use dygl_train::net::Net;
use serde::Deserialize;

use crate::ops::devices;

/// Relative difference of a loss, f32.
const BOUND: f64 = 1e-4;
/// Relative difference of a loss, f64. A mistake in any gradient is far larger.
const EXACT: f64 = 1e-6;
/// Part of the first loss by which the last must differ from it: steps that did
/// nothing would stand out twenty times over.
const MOVED: f64 = 2e-3;

/// A training in PyTorch.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Run {
    model: String,
    size: usize,
    batch: usize,
    rate: f64,
    /// Before each step.
    losses: Vec<f64>,
    /// Before clipping.
    gradient_norms: Vec<f64>,
}

fn runs() -> Result<Vec<Run>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/trajectory/steps.json");
    Ok(serde_json::from_str(&fs::read_to_string(path)?)?)
}

/// AdamW as `bench/torch/trajectory.py` has it.
fn adamw(rate: f64) -> Optimizer {
    Optimizer {
        name: OptimizerName::Adamw,
        learning_rate: rate,
        betas: [0.9, 0.999],
        epsilon: 1e-8,
        weight_decay: 1e-4,
        decay_exclude: DecayExclude::Nothing,
        clip_norm: 1.0,
    }
}

/// The network with the fill rule's weights, to be trained.
fn network(model: &str, size: usize, device: &Device, kind: DType) -> Result<Net> {
    let net = Net::build(&Named::parse(model)?, [size; 2], device)?;
    let sites = weights::sites(&net);
    let arrays = filled(model, sites.iter().map(|site| (site.name.as_str(), site.shape.as_slice())), SEED);
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("weights");
    write_arrays(&file, &arrays)?;
    let net = weights::load(net, &file)?;
    Ok(burn::module::Module::train(weights::cast(net, kind.into())))
}

/// Model, side of the images, batch, learning rate and number of steps.
type Setting<'a> = (&'a str, usize, usize, f64, usize);

/// The loss before each step, and the gradient's norm before clipping; and the
/// network after the last.
fn train(setting: Setting<'_>, device: &Device, kind: DType) -> Result<(Vec<(f64, f64)>, Net)> {
    let (model, size, batch, rate, steps) = setting;
    let mut net = network(model, size, device, kind)?;
    let tensor = |array: Array| -> Tensor<4> {
        let data = TensorData::new(array.values, array.shape);
        Tensor::from_inner(Tensor::from_data(data, (device, kind)))
    };
    let (images, target) = (tensor(images(batch, [size; 2], SEED)), tensor(masks(batch, [size; 2], SEED)));
    let mut optimizer = AdamW::new(&adamw(rate));
    let mut told = Vec::new();
    for _ in 0..steps {
        let total = loss(net.forward(images.clone()), target.clone(), &REFERENCE).total;
        let gradients = GradientSet::collect(&net, &total.backward())?;
        told.push((total.inner().into_scalar::<f64>(), gradients.norm()));
        net = optimizer.step(net, gradients, rate);
    }
    Ok((told, net))
}

/// The weights and running statistics behind a training, in f64, by name.
pub fn weights_after(setting: Setting<'_>, device: &Device, kind: DType) -> Result<Vec<(String, Vec<f64>)>> {
    let (_, net) = train(setting, device, kind)?;
    let values = |data: TensorData| -> Result<Vec<f64>> { Ok(data.try_cast(DType::F64)?.try_to_vec()?) };
    weights::snapshot(&net).into_iter().map(|(name, data)| Ok((name, values(data)?))).collect()
}

/// Ours against PyTorch's, in f32 on every device and, if `in_f64`, in f64.
fn follows(run: &Run, in_f64: bool) -> Result<()> {
    let moved = 1.0 - run.losses.last().context("no loss")? / run.losses[0];
    ensure!(moved > MOVED, "{}: the loss moves by {moved:e} only", run.model);
    let check = |name: &str, device: &Device, kind: DType, bound: f64| -> Result<()> {
        let setting = (run.model.as_str(), run.size, run.batch, run.rate, run.losses.len());
        let (told, _) = train(setting, device, kind)?;
        let apart = |found: f64, wanted: f64| (found / wanted - 1.0).abs();
        let losses = told.iter().zip(&run.losses).map(|((loss, _), wanted)| apart(*loss, *wanted));
        let losses: Vec<f64> = losses.collect();
        let norms = told.iter().zip(&run.gradient_norms).map(|((_, norm), wanted)| apart(*norm, *wanted));
        let (most, norm) = (losses.iter().copied().fold(0.0, f64::max), norms.fold(0.0, f64::max));
        println!(
            "trajectory {:14} {} px {name:8} {kind:?} loss {most:.1e} / {bound:.0e}  norm {norm:.1e}  moved {moved:.1e}",
            run.model, run.size
        );
        let is_good = losses.iter().all(|apart| *apart <= bound);
        ensure!(is_good, "{} on {name}, {kind:?}: losses {losses:?} away, norm {norm:e}", run.model);
        Ok(())
    };
    for (name, device) in devices() {
        check(name, device, DType::F32, BOUND)?;
    }
    if in_f64 { check("flex", &Device::flex(), DType::F64, EXACT) } else { Ok(()) }
}

/// Declares a test of each network, and their list.
macro_rules! networks {
    ($($name:ident)*) => {
        const NAMES: &[&str] = &[$(stringify!($name)),*];

        $(
            #[test]
            fn $name() -> Result<()> {
                let run = runs()?.into_iter().find(|run| run.model == stringify!($name) && run.size < 224);
                follows(&run.context("make.py runs no such network")?, true)
            }
        )*
    };
}

networks! {
    unet attention_unet unetpp dcsau_net m2snet cmunext_l missformer swin_unet hiformer_b h2former
    fat_net bef_unet dyglnet
}

#[test]
fn every_network_is_listed() {
    assert!(NETWORKS.iter().map(|network| network.name).eq(NAMES.iter().copied()));
}

#[test]
fn five_steps_at_the_papers_size() -> Result<()> {
    if std::env::var_os("DYGL_SHARED").is_none() {
        println!("skipped: DYGL_SHARED is not set, and this takes a minute");
        return Ok(());
    }
    let large: BTreeMap<String, Run> =
        runs()?.into_iter().filter(|run| run.size == 224).map(|run| (run.model.clone(), run)).collect();
    assert!(large.keys().eq(["dyglnet", "unet"]));
    large.values().try_for_each(|run| follows(run, false))
}
