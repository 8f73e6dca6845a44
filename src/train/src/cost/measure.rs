//! The verb `measure`: times passes of a network on a device, and tells the
//! memory of this process, which does nothing else.

use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use clap::{Args, ValueEnum};
use dygl_base::exit::Exit;
use dygl_base::random::Stream;
use dygl_exec::measure::{Measured, Pass, Timing};
use dygl_spec::ledger::Size;
use dygl_spec::protocol::Protocol;
use dygl_spec::standard_protocol;

use super::CostError;
use crate::device::{self, Backend, DeviceError};
use crate::learn::checkpoint::State;
use crate::learn::fit::{FitError, StepAt, Training};
use crate::learn::init;
use crate::learn::optim::AdamW;
use crate::net::Net;
use crate::work;

/// The seed of the weights and the images; no time depends on it.
const SEED: u64 = 42;

/// What to measure.
#[derive(Debug, Args)]
pub struct Arguments {
    /// NAME or NAME,option=value,...
    #[arg(value_name = "MODEL")]
    model: String,
    #[arg(long, value_name = "PASS")]
    pass: Which,
    /// Size of the images, pixels: the side of a square, or WIDTHxHEIGHT
    #[arg(long, value_name = "PIXELS", default_value_t = Size::from(224))]
    size: Size,
    /// Images at once; inference is measured with one, too
    #[arg(long, value_name = "N", default_value_t = 2)]
    batch: usize,
    /// Timed passes, behind one that is not timed
    #[arg(long, value_name = "R", default_value_t = 5)]
    repeats: usize,
    /// auto, flex, tch-cpu, tch:0
    #[arg(long, value_name = "D", default_value = "auto")]
    device: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    Inference,
    TrainingStep,
}

/// Why nothing could be measured; completes "failed to".
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// The network, the size or the batch cannot be used.
    #[error(transparent)]
    Cost(#[from] CostError),
    /// The device cannot be used.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// `--repeats` is 0.
    #[error("measure nothing: --repeats must be 1 at least")]
    Repeats,
    /// The standard protocol, by which a step is trained, cannot be read; why.
    #[error("read the standard protocol: {0}")]
    Protocol(String),
    /// A training step failed.
    #[error("train a step: {0}")]
    Fit(Box<FitError>),
    /// The device reports a failure while its work is waited for; what it says.
    #[error("wait for the device: {0}")]
    Sync(String),
    /// What was measured cannot be written as JSON.
    #[error("write the measurement: {0}")]
    Json(#[from] serde_json::Error),
}

impl MeasureError {
    /// The exit code that says what kind of failure it is.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Cost(_) | Self::Repeats | Self::Protocol(_) => Exit::Usage,
            Self::Device(error) => error.exit(),
            Self::Fit(_) | Self::Sync(_) | Self::Json(_) => Exit::Environment,
        }
    }
}

/// Measures; a line of JSON.
///
/// # Errors
/// The network, the batch or the device cannot be used, or a step fails.
pub fn run(arguments: &Arguments) -> Result<String, MeasureError> {
    work::die_with_parent();
    let Arguments { size, batch, repeats, .. } = *arguments;
    let named = super::read(&arguments.model, size, batch)?;
    if repeats == 0 {
        return Err(MeasureError::Repeats);
    }
    let backend = device::parse(&arguments.device)?;
    let net = Net::build(&named, size.sides(), &backend.device).map_err(CostError::from)?;
    let net = init::initialise_for(&named, net, SEED);
    let (pass, (start, timings)) = match arguments.pass {
        Which::Inference => (Pass::Inference, inference(&net, size, batch, repeats, &backend)?),
        Which::TrainingStep => (Pass::TrainingStep, training(net, size, batch, repeats, &backend)?),
    };
    let measured = Measured {
        model: named.to_string(),
        size,
        pass,
        device: backend.description,
        numerics: backend.numerics,
        threads: rayon::current_num_threads(),
        timings,
        start_memory_bytes: start,
        peak_memory_bytes: work::peak_memory(),
    };
    Ok(serde_json::to_string(&measured)?)
}

/// Memory before the first pass, and times.
type Found = (u64, Vec<Timing>);

/// Noise in 0..1.
fn noise(name: &str, shape: [usize; 4], device: &Device) -> Tensor<4> {
    let mut values = vec![0.0; shape.iter().product()];
    Stream::new(SEED, "measure", &[name]).fill(0.0, 1.0, &mut values);
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn inference(
    net: &Net,
    size: Size,
    batch: usize,
    repeats: usize,
    backend: &Backend,
) -> Result<Found, MeasureError> {
    let [height, width] = size.sides();
    let mut batches = vec![1, batch];
    batches.dedup();
    let inputs: Vec<Tensor<4>> =
        batches.iter().map(|batch| noise("images", [*batch, 3, height, width], &backend.device)).collect();
    settle(backend)?;
    let start = work::peak_memory();
    // Reading the logits waits for a device that runs behind.
    let pass = |input: &Tensor<4>| net.forward(input.clone()).into_data();
    for input in &inputs {
        pass(input);
    }
    let mut seconds = vec![Vec::with_capacity(repeats); batches.len()];
    for _ in 0..repeats {
        for (input, seconds) in inputs.iter().zip(&mut seconds) {
            let clock = Instant::now();
            pass(input);
            seconds.push(clock.elapsed().as_secs_f64());
        }
    }
    let timings = batches.into_iter().zip(seconds).filter_map(|(batch, seconds)| Timing::of(batch, seconds));
    Ok((start, timings.collect()))
}

fn training(
    net: Net,
    size: Size,
    batch: usize,
    repeats: usize,
    backend: &Backend,
) -> Result<Found, MeasureError> {
    let protocol = protocol()?;
    let mut training = Training {
        net: net.train(),
        optimizer: AdamW::new(&protocol.optimizer),
        best: None,
        state: State::default(),
        seed: SEED,
    };
    let device = backend.device.clone().autodiff();
    let [height, width] = size.sides();
    let input = noise("images", [batch, 3, height, width], &device);
    let target = noise("target", [batch, 1, height, width], &device).greater_elem(0.5).float();
    settle(backend)?;
    let start = work::peak_memory();
    let mut seconds = Vec::with_capacity(repeats);
    let rate = protocol.optimizer.learning_rate;
    for step in 0..=repeats {
        let clock = Instant::now();
        training
            .step(input.clone(), target.clone(), &protocol, StepAt { epoch: 0, step, rate })
            .map_err(|error| MeasureError::Fit(Box::new(error)))?;
        settle(backend)?;
        // The first step meets cold caches and makes the optimizer's state.
        if step > 0 {
            seconds.push(clock.elapsed().as_secs_f64());
        }
    }
    Ok((start, Timing::of(batch, seconds).into_iter().collect()))
}

/// The standard protocol: what a training step is.
fn protocol() -> Result<Protocol, MeasureError> {
    let folder = std::env::current_dir().map_err(|error| MeasureError::Protocol(error.to_string()))?;
    standard_protocol(&folder).map_err(|mistakes| MeasureError::Protocol(mistakes.to_string()))
}

/// Waits until a device has done what it was asked for.
fn settle(backend: &Backend) -> Result<(), MeasureError> {
    backend.device.sync().map_err(|error| MeasureError::Sync(error.to_string()))
}
