//! Times training steps:
//! `cargo run --example step -- MODEL SIZE BATCH [STEPS [DEVICE [bf16-amp]]]`.
//! Prints the fastest step's parts and the images per second.

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
    for _ in 0..steps {
        let start = Instant::now();
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
        if total < best[3] {
            best = [forward, backward - forward, total - backward, total];
        }
    }
    let valid = net.valid();
    let start = Instant::now();
    valid.forward(images.without_autodiff()).into_data();
    let evaluation = start.elapsed().as_secs_f64();
    let [forward, backward, update, total] = best.map(|seconds| seconds * 1e3);
    println!(
        "{named} {size}x{size} batch {batch}, {}{}: forward {forward:.0} backward {backward:.0} \
         update {update:.0} step {total:.0} ms, {:.2} images/s; evaluation {:.2} images/s",
        backend.description,
        if mixed { ", bf16-amp" } else { "" },
        batch as f64 / total * 1e3,
        batch as f64 / evaluation,
    );
    Ok(())
}
