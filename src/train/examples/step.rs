//! Times training steps:
//! `cargo run --example step -- MODEL SIZE BATCH [STEPS [DEVICE [bf16-amp]]]`.
//! Prints the fastest step's parts, the images per second and (on Linux) the
//! least processor time of a step and of an evaluation, over all threads and of
//! the main one (what runs on no other): on a machine with other work they say
//! more than the time on the wall.

use std::time::Instant;

use anyhow::{Context, Result};
use burn::module::Module;
use burn::tensor::{Distribution, Tensor};
use dygl::spec::name::Named;
use dygl::spec::protocol::{DecayExclude, Optimizer, OptimizerName};
use dygl_nn::op::autocast;
use dygl_train::loss::{self, REFERENCE};
use dygl_train::net::Net;
use dygl_train::optim::{AdamW, GradientSet};
use dygl_train::{device, init};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number =
        |index: usize, default| arguments.get(index).map_or(Ok(default), |text| text.parse::<usize>());
    let named = Named::parse(arguments.first().context("MODEL SIZE BATCH [STEPS [DEVICE [bf16-amp]]]")?)?;
    let (size, batch, steps) = (number(1, 64)?, number(2, 8)?, number(3, 5)?);
    let backend = device::parse(arguments.get(4).map_or("auto", String::as_str))?;
    let mixed = arguments.get(5).is_some_and(|precision| precision == "bf16-amp");
    let device = backend.device.clone().autodiff();
    let mut net = init::initialise(Net::build(&named, [size; 2], &backend.device)?, 1).train();
    let mut optimizer = AdamW::new(&Optimizer {
        name: OptimizerName::Adamw,
        learning_rate: 1e-4,
        betas: [0.9, 0.999],
        epsilon: 1e-8,
        weight_decay: 1e-4,
        decay_exclude: DecayExclude::Nothing,
        clip_norm: 1.0,
    });
    let images = Tensor::<4>::random([batch, 3, size, size], Distribution::Uniform(-1.0, 1.0), &device);
    let target = Tensor::<4>::random([batch, 1, size, size], Distribution::Uniform(0.0, 1.0), &device);
    let mut best = [f64::INFINITY; 4];
    let mut least = [f64::INFINITY; 2];
    for _ in 0..steps {
        let (start, busy) = (Instant::now(), processor_seconds());
        let logits = {
            let _scope = autocast(mixed);
            net.forward(images.clone())
        };
        let parts = loss::loss(logits, target.clone(), &REFERENCE);
        // Devices may run behind; reading a value waits for them.
        parts.total.clone().into_data();
        let forward = start.elapsed().as_secs_f64();
        let grads = parts.total.backward();
        let backward = start.elapsed().as_secs_f64();
        let gradients = GradientSet::collect(&net, &grads)?;
        drop(grads);
        net = optimizer.step(net, gradients, 1e-4);
        backend.device.sync()?;
        let total = start.elapsed().as_secs_f64();
        least = fewer(least, busy);
        if total < best[3] {
            best = [forward, backward - forward, total - backward, total];
        }
    }
    let valid = net.valid();
    let images = images.without_autodiff();
    let (mut evaluation, mut least_evaluation) = (f64::INFINITY, [f64::INFINITY; 2]);
    for _ in 0..steps {
        let (start, busy) = (Instant::now(), processor_seconds());
        valid.forward(images.clone()).into_data();
        evaluation = evaluation.min(start.elapsed().as_secs_f64());
        least_evaluation = fewer(least_evaluation, busy);
    }
    let [forward, backward, update, total] = best.map(|seconds| seconds * 1e3);
    println!(
        "{named} {size}x{size} batch {batch}, {}{}: forward {forward:.0} backward {backward:.0} \
         update {update:.0} step {total:.0} ms, {:.2} images/s; evaluation {:.2} images/s; \
         processor {:.2} s ({:.2} s main) a step, {:.2} s ({:.2} s main) an evaluation",
        backend.description,
        if mixed { ", bf16-amp" } else { "" },
        batch as f64 / total * 1e3,
        batch as f64 / evaluation,
        least[0],
        least[1],
        least_evaluation[0],
        least_evaluation[1],
    );
    Ok(())
}

/// The lesser, each, of `least` and of the processor time since `before`.
fn fewer(least: [f64; 2], before: [f64; 2]) -> [f64; 2] {
    let now = processor_seconds();
    [0, 1].map(|index| least[index].min(now[index] - before[index]))
}

/// User and system time so far, to 1/100 s, of all threads and of this one;
/// NaN where the system has no `/proc`.
fn processor_seconds() -> [f64; 2] {
    ["/proc/self/stat", "/proc/thread-self/stat"].map(|path| {
        let Ok(line) = std::fs::read_to_string(path) else { return f64::NAN };
        // Behind the name, which stands in brackets, fields 14 and 15 count ticks.
        let fields = line.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks: Vec<f64> = fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
        match ticks[..] {
            [user, system] => (user + system) / 100.0,
            _ => f64::NAN,
        }
    })
}
