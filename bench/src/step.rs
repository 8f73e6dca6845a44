//! Times training steps of a network, or its evaluation:
//! `step MODEL SIZE BATCH [STEPS] [--threads N] [--eval] [--device D]
//! [--precision f32|tf32|bf16]`, the counterpart of `bench/torch/step.py`.
//!
//! Prints one line of JSON with the fields of that script: of STEPS steps
//! behind some that warm up, minimum and median of each part and of the whole
//! in ms, and of what the processors spent on it (all threads; 10 ms is the
//! finest that Linux tells); images per second; the peak of the process's
//! resident memory, and on a card what the driver says that it holds there at
//! the end. `--eval` times the forward pass alone, in evaluation mode.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use burn::module::Module;
use clap::{Parser, ValueEnum};
use dygl_nn::op::autocast;
use dygl_spec::name::Named;
use dygl_spec::network;
use dygl_train::device::{self, Backend};
use dygl_train::learn::init;
use dygl_train::net::Net;
use serde_json::{Map, Value, json};

use dygl_bench::spread::Spread;

const WARM_UP: usize = 2;

#[derive(Debug, Parser)]
struct Arguments {
    /// NAME or NAME,option=value,...
    model: String,
    /// Side of the images, pixels
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    size: u16,
    /// Images of a step
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    batch: u16,
    #[arg(default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    steps: u16,
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// The forward pass alone, in evaluation mode
    #[arg(long)]
    eval: bool,
    /// auto, flex, tch-cpu, tch:0
    #[arg(long, default_value = "auto")]
    device: String,
    /// tf32 is for the caller to switch on, in the environment: see `bench`
    #[arg(long, default_value = "f32")]
    precision: Precision,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Precision {
    F32,
    Tf32,
    Bf16,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<Value> {
    dygl_bench::allocator::as_a_worker()?;
    if let Some(threads) = arguments.threads {
        rayon::ThreadPoolBuilder::new().num_threads(threads.into()).build_global()?;
    }
    let (found, named) = network::resolve(&Named::parse(&arguments.model)?)?;
    let size = usize::from(arguments.size);
    if let Err(nearest) = found.check_size(size) {
        bail!("`{named}` takes no images of {size} px; the nearest valid size is {nearest}");
    }
    let backend = device::parse(&arguments.device)?;
    if arguments.precision == Precision::Tf32 && !backend.numerics.starts_with("libtorch-cuda") {
        bail!("tf32 is a precision of CUDA devices: add --device tch:0");
    }
    let names: &[&str] = if arguments.eval { &["evaluation"] } else { &["forward", "backward", "update"] };
    let measured = match arguments.eval {
        true => evaluation(arguments, &named, &backend)?,
        false => training(arguments, &named, &backend)?,
    };
    told(arguments, &named, &backend, names, &measured)
}

/// Of each timed pass: ms of its parts, and of all processors.
type Measured = Vec<(Vec<f64>, f64)>;

fn timed(steps: u16, mut pass: impl FnMut() -> Result<Vec<f64>>) -> Result<Measured> {
    for _ in 0..WARM_UP {
        pass()?;
    }
    let mut measured = Vec::new();
    for _ in 0..steps {
        let before = dygl_bench::processor::processor_seconds();
        let parts = pass()?;
        measured.push((parts, 1e3 * (dygl_bench::processor::processor_seconds() - before)));
    }
    Ok(measured)
}

fn training(arguments: &Arguments, named: &Named, backend: &Backend) -> Result<Measured> {
    let mixed = arguments.precision == Precision::Bf16;
    let (size, batch) = (arguments.size.into(), arguments.batch.into());
    let mut stepper = dygl_bench::stepping::Stepper::new(named, size, batch, backend, mixed)?;
    timed(arguments.steps, || Ok(stepper.step()?.into()))
}

fn evaluation(arguments: &Arguments, named: &Named, backend: &Backend) -> Result<Measured> {
    let [batch, size] = [arguments.batch, arguments.size].map(usize::from);
    let net = init::initialise_for(named, Net::build(named, [size; 2], &backend.device)?, 1);
    let net = net.valid();
    let images = dygl_bench::stepping::images(batch, size, &backend.device);
    timed(arguments.steps, || {
        let start = Instant::now();
        {
            let _products = autocast(arguments.precision == Precision::Bf16);
            net.forward(images.clone());
        }
        backend.device.sync()?;
        Ok(vec![1e3 * start.elapsed().as_secs_f64()])
    })
}

fn told(
    arguments: &Arguments,
    named: &Named,
    backend: &Backend,
    names: &[&str],
    measured: &Measured,
) -> Result<Value> {
    let spread = |values: Vec<f64>| Spread::of(&values).map(rounded).context("nothing was timed");
    let totals: Vec<f64> = measured.iter().map(|(parts, _)| parts.iter().sum()).collect();
    let whole = Spread::of(&totals).context("nothing was timed")?;
    let rate = |ms: f64| (1e6 * f64::from(arguments.batch) / ms).round() / 1e3;
    let mut line = Map::new();
    let mut put = |name: &str, value: Value| line.insert(name.to_owned(), value);
    put("model", json!(named.to_string()));
    put("size", json!(arguments.size));
    put("batch", json!(arguments.batch));
    put("device", json!(backend.description));
    put("threads", json!(rayon::current_num_threads()));
    put("precision", json!(arguments.precision.to_possible_value().map(|value| value.get_name().to_owned())));
    put("steps", json!(arguments.steps));
    for (place, name) in names.iter().enumerate() {
        let values = measured.iter().filter_map(|(parts, _)| parts.get(place).copied()).collect();
        put(&format!("{name}_ms"), json!(spread(values)?));
    }
    put("step_ms", json!(rounded(whole)));
    put("cpu_ms", json!(spread(measured.iter().map(|(_, busy)| *busy).collect())?));
    put("images_per_second", json!({ "max": rate(whole.min), "median": rate(whole.median) }));
    put("peak_mib", json!(peak_mib()));
    if backend.numerics.starts_with("libtorch-cuda") {
        put("card_mib", json!(card_mib()));
    }
    let libtorch =
        backend.libtorch.as_ref().map(|version| format!(", libtorch {version}")).unwrap_or_default();
    put("versions", json!(format!("dygl {}{libtorch}", env!("CARGO_PKG_VERSION"))));
    Ok(Value::Object(line))
}

fn rounded(spread: Spread) -> Spread {
    let two = |ms: f64| (100.0 * ms).round() / 100.0;
    Spread { min: two(spread.min), median: two(spread.median) }
}

/// The largest resident memory so far, MiB; none where Linux does not tell.
fn peak_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? / 1024)
}

/// What this process holds on the cards, MiB; none where `nvidia-smi` does not
/// tell, as in some containers.
fn card_mib() -> Option<u64> {
    let mut command = std::process::Command::new("nvidia-smi");
    command.args(["--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"]);
    let listing = command.output().ok()?.stdout;
    dygl_bench::card::held_mib(&String::from_utf8_lossy(&listing), std::process::id())
}
