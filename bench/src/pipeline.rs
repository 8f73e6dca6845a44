//! Throughput of the image pipeline, beside PyTorch's and beside a trainer.
//!
//! `pipeline --data FOLDER [--dataset ID] [--python PROGRAM] [--images N]
//! [--rounds N] [--train-batch N]`, usually through `make bench`. Under the
//! paper's protocol (224 px, batches of 16, every augmentation), in turns:
//! images decoded anew, images from the packed cache, and
//! `bench/pipeline.py`. Beside images a second stands the processor time of an
//! image, which other programs on the machine change less. Then DyGLNet is trained for some steps on batches that
//! are at hand, and on batches that the pipeline makes meanwhile.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use burn::module::Module;
use clap::Parser;
use dygl_bench::processor::processor_seconds;
use dygl_datasets::pack::Cache;
use dygl_datasets::{DataError, Dataset, KnownDatasets, Registry, manifest};
use dygl_exec::ALLOCATOR;
use dygl_pixels::prepare::Form;
use dygl_spec::Request;
use dygl_spec::name::Named;
use dygl_spec::protocol::Protocol;
use dygl_train::device;
use dygl_train::learn::optim::{AdamW, GradientSet};
use dygl_train::learn::{batch, init, loss};
use dygl_train::net::Net;

const SEED: u64 = 42;

#[derive(Debug, Parser)]
struct Arguments {
    /// Folder that holds the dataset by its id
    #[arg(long)]
    data: PathBuf,
    #[arg(long, default_value = "kvasir-seg-352")]
    dataset: String,
    /// Python with what bench/requirements.txt lists
    #[arg(long)]
    python: Option<PathBuf>,
    /// Images of a round
    #[arg(long, default_value_t = 512)]
    images: usize,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Images of a training step; 0 leaves training out
    #[arg(long, default_value_t = 2)]
    train_batch: usize,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    dygl_bench::allocator::as_a_worker()?;
    let root = std::env::current_dir()?;
    let request = Request { experiment: "table2", profile: None, set: &[], root: &root };
    let experiment = dygl_spec::load(&request, &KnownDatasets).map_err(|found| anyhow::anyhow!("{found}"))?;
    let mut protocol = experiment.protocol;
    protocol.train.drop_last = true;

    let store = tempfile::tempdir()?;
    let registry = Registry::at(store.path());
    let found =
        manifest(&arguments.dataset).with_context(|| format!("no dataset `{}`", arguments.dataset))?;
    registry.add(found, &arguments.data.join(&arguments.dataset), true, &|_, _| {})?;
    let cold = Dataset::open(&Named::plain(&arguments.dataset), &registry)?;
    let started = Instant::now();
    let packed = Cache::at(store.path()).attach(&cold, Form::of(&protocol), "bench", &|_, _| {})?;
    let built = started.elapsed().as_secs_f64();
    if let Some(warning) = packed.warning {
        bail!(warning);
    }
    let packed = packed.dataset;
    let threads = rayon::current_num_threads();
    let ids: Vec<String> = cold.ids().iter().take(arguments.images).cloned().collect();
    println!(
        "{} images of {}, {} px, batches of {}, {threads} threads; packing all {} took {built:.1} s",
        ids.len(),
        arguments.dataset,
        protocol.image.size,
        protocol.train.batch_size,
        cold.images(),
    );

    let mut rates = [Vec::new(), Vec::new(), Vec::new()];
    let mut costs = [Vec::new(), Vec::new(), Vec::new()];
    let mut python = Python::begin(&arguments, &cold, &ids, store.path())?;
    for round in 0..arguments.rounds {
        for (place, dataset) in [&cold, &packed].into_iter().enumerate() {
            let (rate, cost) = measure(dataset, &ids, round, &protocol)?;
            rates[place].push(rate);
            costs[place].push(cost);
        }
        if let Some(measured) = python.rate(&protocol, threads) {
            rates[2].push(measured);
        }
    }
    let theirs = summary(&rates[2]);
    println!("{:<34}{:>10}{:>10}   images/s in {} rounds", "", "median", "slowest", arguments.rounds);
    let names = ["decoding in each epoch", "from the packed cache", "DataLoader + albumentations"];
    for ((name, rates), costs) in names.iter().zip(&rates).zip(&costs) {
        let mut line = String::new();
        match summary(rates) {
            None => write!(line, "{name:<34}{}", python.advice)?,
            Some((median, slowest)) => {
                write!(line, "{name:<34}{median:>10.0}{slowest:>10.0}")?;
                if let Some((reference, _)) = theirs {
                    write!(line, "   {:.2} x", median / reference)?;
                }
                if let Some((milliseconds, _)) = summary(costs) {
                    write!(line, "   {milliseconds:.2} ms CPU an image")?;
                }
            }
        }
        println!("{line}");
    }
    if !python.versions.is_empty() {
        println!("with {}", python.versions);
    }
    if arguments.train_batch > 0 {
        train(&packed, &protocol, arguments.train_batch)?;
    }
    Ok(())
}

/// Images a second, and milliseconds of processor time an image, through the
/// trainer's own interface, nothing trained.
fn measure(dataset: &Dataset, ids: &[String], epoch: usize, protocol: &Protocol) -> Result<(f64, f64)> {
    let steps: Vec<Vec<String>> = ids.chunks(protocol.train.batch_size).map(<[String]>::to_vec).collect();
    let mut seen = 0;
    let (started, before) = (Instant::now(), processor_seconds());
    batch::for_each(dataset, &steps, SEED, epoch, protocol, |_, batch| {
        seen += batch.targets.num_elements() / protocol.image.size.pow(2);
        Ok::<(), DataError>(())
    })?;
    let (wall, processor) = (started.elapsed().as_secs_f64(), processor_seconds() - before);
    Ok((seen as f64 / wall, 1e3 * processor / seen as f64))
}

/// Median and smallest.
fn summary(rates: &[f64]) -> Option<(f64, f64)> {
    let mut sorted = rates.to_vec();
    sorted.sort_by(f64::total_cmp);
    Some((*sorted.get(sorted.len() / 2)?, *sorted.first()?))
}

/// The other side.
struct Python {
    program: Option<PathBuf>,
    pairs: PathBuf,
    versions: String,
    /// What stands in place of numbers that there are none of.
    advice: String,
}

impl Python {
    fn begin(arguments: &Arguments, dataset: &Dataset, ids: &[String], folder: &Path) -> Result<Self> {
        let registration = dataset.registration().context("a dataset of files")?;
        let mut lines = String::new();
        for entry in registration.entries.iter().filter(|entry| ids.contains(&entry.id)) {
            let full = |path: &str| registration.root.join(path).display().to_string();
            writeln!(lines, "{}\t{}", full(&entry.image.path), full(&entry.mask.path))?;
        }
        let pairs = folder.join("pairs.tsv");
        std::fs::write(&pairs, lines)?;
        let advice = "not measured: make bench VENV=FOLDER makes a Python with torch there".to_owned();
        Ok(Self { program: arguments.python.clone(), pairs, versions: String::new(), advice })
    }

    fn rate(&mut self, protocol: &Protocol, workers: usize) -> Option<f64> {
        let mut command = Command::new(self.program.as_ref()?);
        for (name, _) in ALLOCATOR {
            command.env_remove(name);
        }
        let output = command
            .arg("bench/pipeline.py")
            .arg(&self.pairs)
            .args([protocol.image.size, protocol.train.batch_size, workers].map(|n| n.to_string()))
            .env("NO_ALBUMENTATIONS_UPDATE", "1")
            .output();
        let output = match output {
            Ok(output) if output.status.success() => output,
            Ok(output) => return self.give_up(&String::from_utf8_lossy(&output.stderr)),
            Err(error) => return self.give_up(&error.to_string()),
        };
        // Libraries may print before it.
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().last().unwrap_or_default();
        let Ok(told) = serde_json::from_str::<serde_json::Value>(line) else {
            return self.give_up("it told no numbers");
        };
        told["versions"].as_str().unwrap_or_default().clone_into(&mut self.versions);
        Some(told["images"].as_f64()? / told["seconds"].as_f64()?)
    }

    fn give_up(&mut self, reason: &str) -> Option<f64> {
        let last = reason.trim().lines().last().unwrap_or_default();
        self.advice = format!("not measured ({last}); see bench/requirements.txt, make bench VENV=FOLDER");
        self.program = None;
        None
    }
}

/// Trains DyGLNet for some steps without and with the pipeline beside it.
fn train(dataset: &Dataset, protocol: &Protocol, size: usize) -> Result<()> {
    const STEPS: usize = 3;
    let backend = device::parse("auto")?;
    let mut net =
        init::initialise(Net::build(&Named::plain("dyglnet"), [224; 2], &backend.device)?, SEED).train();
    let mut optimizer = AdamW::new(&protocol.optimizer);
    let device = backend.device.clone().autodiff();
    let mut step = |batch: batch::Batch| -> Result<f64> {
        let started = Instant::now();
        let (images, targets) = batch.to_device(&device);
        let parts = loss::loss(net.forward(images), targets, &protocol.loss);
        let gradients = GradientSet::collect(&net, &parts.total.backward())?;
        net = optimizer.step(net.clone(), gradients, 1e-4);
        Ok(started.elapsed().as_secs_f64())
    };
    let ids: Vec<Vec<String>> = dataset.ids().chunks(size).take(STEPS + 1).map(<[String]>::to_vec).collect();
    let ready: Vec<batch::Batch> =
        ids.iter().map(|ids| batch::augmented(dataset, ids, SEED, 0, protocol)).collect::<Result<_, _>>()?;
    let mut alone = f64::INFINITY;
    for batch in ready {
        alone = alone.min(step(batch)?);
    }
    // Time of the steps, and time in which the trainer had nothing to do.
    let (mut busy, mut idle, mut fastest) = (0.0, 0.0, f64::INFINITY);
    let mut since = Instant::now();
    let fed = batch::for_each(dataset, &ids, SEED, 1, protocol, |place, batch| {
        // The first batch of an epoch is always waited for.
        if place > 0 {
            idle += since.elapsed().as_secs_f64();
        }
        let took = step(batch).map_err(Failed)?;
        busy += took;
        fastest = fastest.min(took);
        since = Instant::now();
        Ok::<(), Failed>(())
    });
    fed.map_err(|Failed(error)| error)?;
    println!(
        "DyGLNet, batch {size}, {}: {:.2} images/s on batches at hand, {:.2} images/s fed by the pipeline; \
         it waited {:.3} % of the time",
        backend.description,
        size as f64 / alone,
        size as f64 / fastest,
        100.0 * idle / (idle + busy),
    );
    Ok(())
}

struct Failed(anyhow::Error);

impl From<DataError> for Failed {
    fn from(error: DataError) -> Self {
        Failed(error.into())
    }
}
