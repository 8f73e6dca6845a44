//! Benchmarks of this project beside PyTorch's, and what bounds them.
//!
//! `bench steps` compares training steps and evaluations of whole networks,
//! each measurement a process of its own; `bench operations` single operations;
//! `bench roofline` holds what a step does against the machine's peaks;
//! `bench performance` writes the document from their results. Usually run by
//! `make bench` and `make performance`; results go to `OUT/*.json` and
//! `OUT/*.md`, the tables to standard output, everything else to standard error.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use dygl_train::{device, net};

mod child;
mod comparison;
mod files;
mod grid;
mod machine;
mod operations;
mod performance;
mod progress;
mod roofline;
mod sections;
mod side;
mod steps;

#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Training steps and evaluations of networks
    Steps(Steps),
    /// Each operation: our kernel, burn's primitives, ATen
    Operations(Operations),
    /// What bounds a training step: its kinds of operations against the machine's peaks
    Roofline(Roofline),
    /// Writes doc/performance.md from the results
    Performance(Performance),
    /// One side of `operations`, a line of JSON for each
    #[command(hide = true)]
    TimeOperations(TimeOperations),
}

/// What all measurements share.
#[derive(Debug, Clone, Args)]
struct Common {
    /// Devices (default: flex, and tch-cpu where it is built in)
    #[arg(long, value_name = "D", value_delimiter = ' ')]
    device: Vec<String>,
    /// Threads of each process
    #[arg(long, value_name = "N", default_value_t = 2)]
    threads: usize,
    /// How often each side has its turn
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = positive)]
    rounds: usize,
    /// A Python with PyTorch
    #[arg(long, value_name = "PROGRAM")]
    python: Option<PathBuf>,
    /// Folder of the results
    #[arg(long, value_name = "FOLDER", default_value = "reports/out/bench")]
    out: PathBuf,
}

#[derive(Debug, Args)]
struct Steps {
    #[command(flatten)]
    common: Common,
    /// Networks, NAME or NAME,option=value,... (default: all)
    #[arg(long, value_name = "MODEL", value_delimiter = ' ')]
    model: Vec<String>,
    /// Images of a step (default: 2 and 4; on a card 16)
    #[arg(long, value_name = "N", value_delimiter = ' ', value_parser = positive)]
    batch: Vec<usize>,
    /// Side of the images, pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 224)]
    size: usize,
    /// Timed steps of a process
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = positive)]
    steps: usize,
}

#[derive(Debug, Args)]
struct Operations {
    #[command(flatten)]
    common: Common,
    /// Operations of bench/ops.toml whose name holds this
    #[arg(long, value_name = "WORD", default_value = "")]
    only: String,
}

#[derive(Debug, Args)]
struct Roofline {
    #[command(flatten)]
    common: Common,
    /// Networks
    #[arg(long, value_name = "MODEL", value_delimiter = ' ', default_value = "dyglnet unet")]
    model: Vec<String>,
    /// Images of a step
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = positive)]
    batch: usize,
    /// Side of the images, pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 224)]
    size: usize,
}

#[derive(Debug, Args)]
struct Performance {
    /// Folder of the results
    #[arg(long, value_name = "FOLDER", default_value = "reports/out/bench")]
    from: PathBuf,
    #[arg(long, value_name = "FILE", default_value = "doc/performance.in.md")]
    template: PathBuf,
    /// Template of the section of one kind of processor
    #[arg(long, value_name = "FILE", default_value = "doc/performance.processor.in.md")]
    section: PathBuf,
    /// The document; charts go beside it
    #[arg(long, value_name = "FILE", default_value = "doc/performance.md")]
    to: PathBuf,
}

#[derive(Debug, Args)]
struct TimeOperations {
    kernel: operations::Kernel,
    #[arg(long)]
    device: String,
    #[arg(long)]
    threads: usize,
    #[arg(long, default_value = "")]
    only: String,
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("a whole number above 0 is wanted".into()),
    }
}

fn main() -> ExitCode {
    match run(Arguments::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> Result<()> {
    match verb {
        Verb::Steps(asked) => steps(asked),
        Verb::Operations(asked) => operations(&asked),
        Verb::Roofline(asked) => roofline(&asked),
        Verb::Performance(asked) => {
            let Performance { from, template, section, to } = &asked;
            let templates = [template.as_path(), section];
            performance::write(&performance::Places { results: from, templates, document: to })?;
            eprintln!("in {}, charts beside it", to.display());
            Ok(())
        }
        Verb::TimeOperations(asked) => {
            rayon::ThreadPoolBuilder::new().num_threads(asked.threads).build_global()?;
            operations::tell(asked.kernel, &asked.device, &asked.only, |line| println!("{line}"))
        }
    }
}

impl Common {
    /// The devices to measure: what was asked for, or every one that computes
    /// on the processor.
    fn devices(&self) -> Result<Vec<String>> {
        let asked = self.device.iter().filter(|device| !["auto", "any", ""].contains(&device.as_str()));
        let asked: Vec<String> = asked.cloned().collect();
        for name in &asked {
            device::parse(name)?;
        }
        if !asked.is_empty() {
            return Ok(asked);
        }
        let here = device::all()?.devices.into_iter().map(|device| device.name);
        let mut here: Vec<String> = here.filter(|name| !name.contains(':')).collect();
        here.sort();
        Ok(here)
    }

    fn python(&self) -> Result<Option<PathBuf>> {
        match &self.python {
            Some(python) if !python.exists() => {
                bail!(
                    "there is no {}; `make bench VENV=FOLDER` makes a Python with torch there",
                    python.display()
                )
            }
            python => Ok(python.clone()),
        }
    }
}

fn steps(asked: Steps) -> Result<()> {
    let devices = asked.common.devices()?;
    let python = asked.common.python()?;
    let sides = side::sides(&devices, python.is_some());
    let on_card = sides.iter().any(|side| side.card().is_some());
    let or = |given: Vec<usize>, default: &[usize]| if given.is_empty() { default.to_vec() } else { given };
    let plan = steps::Plan {
        models: match asked.model.is_empty() {
            true => net::NAMES.iter().map(|name| (*name).to_owned()).collect(),
            false => asked.model,
        },
        batches: or(asked.batch, if on_card { &[16] } else { &[2, 4] }),
        size: asked.size,
        rounds: asked.common.rounds,
        steps: asked.steps,
        threads: asked.common.threads,
        sides,
    };
    let programs = side::Programs { step: beside("dygl-bench-step")?, python };
    let out = &asked.common.out;
    let results = steps::measure(plan, &programs, &out.join("steps.json"))?;
    let table = comparison::table(&results);
    let about = results.machine.markdown(&results.versions());
    show(&out.join("steps.md"), &format!("{table}\n{about}"))
}

fn operations(asked: &Operations) -> Result<()> {
    let Common { rounds, threads, ref out, .. } = asked.common;
    let python = asked.common.python()?;
    let sides = side::sides(&asked.common.devices()?, python.is_some());
    let path = out.join("operations.json");
    let results = operations::measure(&sides, python.as_deref(), rounds, threads, &asked.only, &path)?;
    let about = results.machine.markdown(&results.versions());
    show(&out.join("operations.md"), &format!("{}{about}", operations::table(&results)))
}

fn roofline(asked: &Roofline) -> Result<()> {
    dygl_bench::allocator::as_a_worker()?;
    rayon::ThreadPoolBuilder::new().num_threads(asked.common.threads).build_global()?;
    let out = &asked.common.out;
    let devices = asked.common.devices()?;
    let Some(device) = devices.iter().find(|device| !device.contains(':')) else {
        eprintln!("no roofline: its peaks are those of the processor, and only cards were asked for");
        return Ok(());
    };
    let results =
        roofline::measure(&asked.model, asked.size, asked.batch, device, &out.join("roofline.json"))?;
    let about = results.machine.markdown(&[]);
    show(&out.join("roofline.md"), &format!("{}\n{about}", roofline::table(&results)))
}

/// The program of that name, which lies beside this one.
fn beside(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let program = own.parent().context("a program lies in a folder")?.join(name);
    if !program.exists() {
        bail!("there is no {}; `make build` makes it", program.display());
    }
    Ok(program)
}

/// Prints an answer and keeps it.
fn show(path: &Path, text: &str) -> Result<()> {
    print!("{text}");
    files::write(path, text)?;
    eprintln!("in {}, and beside it as JSON", path.display());
    Ok(())
}
