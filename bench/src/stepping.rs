//! A training step and an evaluation as the benchmarks time them: forward and
//! loss (0.5 BCE + 0.5 Dice), backward, clipping to a global norm of 1 and
//! AdamW, on random images. `bench/torch/step.py` does the same in PyTorch.

use std::time::Instant;

use anyhow::Result;
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use dygl_base::random::Stream;
use dygl_nn::op::{autocast, noise};
use dygl_spec::name::Named;
use dygl_spec::protocol::{DecayExclude, Optimizer, OptimizerName};
use dygl_train::device::Backend;
use dygl_train::learn::init;
use dygl_train::learn::loss::{self, REFERENCE};
use dygl_train::learn::optim::{AdamW, GradientSet};
use dygl_train::net::Net;

/// Of the weights, the images and what is dropped; no time depends on it.
const SEED: u64 = 1;
const RATE: f64 = 1e-4;

/// Images of noise in -1..1.
pub fn images(batch: usize, size: usize, device: &Device) -> Tensor<4> {
    draw("images", -1.0, [batch, 3, size, size], device)
}

fn draw(name: &str, low: f64, shape: [usize; 4], device: &Device) -> Tensor<4> {
    let mut values = vec![0.0; shape.iter().product()];
    Stream::new(SEED, "bench", &[name]).fill(low, 1.0, &mut values);
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// A network in training.
pub struct Stepper<'a> {
    net: Option<Net>,
    optimizer: AdamW,
    images: Tensor<4>,
    target: Tensor<4>,
    backend: &'a Backend,
    mixed: bool,
    steps: usize,
}

impl<'a> Stepper<'a> {
    /// The network on `batch` square images; `mixed`: products in bf16.
    ///
    /// # Errors
    /// The network is unknown.
    pub fn new(named: &Named, size: usize, batch: usize, backend: &'a Backend, mixed: bool) -> Result<Self> {
        let device = backend.device.clone().autodiff();
        let net = Net::build(named, [size; 2], &backend.device)?;
        Ok(Self {
            net: Some(init::initialise_for(named, net, SEED).train()),
            optimizer: AdamW::new(&Optimizer {
                name: OptimizerName::Adamw,
                learning_rate: RATE,
                betas: [0.9, 0.999],
                epsilon: 1e-8,
                weight_decay: 1e-4,
                decay_exclude: DecayExclude::Nothing,
                clip_norm: 1.0,
            }),
            images: images(batch, size, &device),
            target: draw("target", 0.0, [batch, 1, size, size], &device),
            backend,
            mixed,
            steps: 0,
        })
    }

    /// Takes a step; ms of forward, backward, update.
    ///
    /// # Errors
    /// A gradient is not finite, or the device fails.
    pub fn step(&mut self) -> Result<[f64; 3]> {
        let Some(net) = self.net.take() else { anyhow::bail!("a step failed before") };
        self.steps += 1;
        let mut stream = Stream::new(SEED, "drop", &[&self.steps.to_string()]);
        let start = Instant::now();
        let logits = {
            let _products = autocast(self.mixed);
            let _drops = noise(move || stream.unit());
            net.forward(self.images.clone())
        };
        let parts = loss::loss(logits, self.target.clone(), &REFERENCE);
        // Devices may run behind; reading a value waits for them.
        parts.total.clone().into_data();
        let forward = start.elapsed().as_secs_f64();
        let grads = parts.total.backward();
        self.backend.device.sync()?;
        let backward = start.elapsed().as_secs_f64();
        let gradients = GradientSet::collect(&net, &grads)?;
        drop(grads);
        self.net = Some(self.optimizer.step(net, gradients, RATE));
        self.backend.device.sync()?;
        let whole = start.elapsed().as_secs_f64();
        Ok([forward, backward - forward, whole - backward].map(|seconds| 1e3 * seconds))
    }
}
