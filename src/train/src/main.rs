//! `dygl-worker`: the verbs that need tensors.

use std::path::PathBuf;
#[cfg(feature = "tch")]
use std::process::Command;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use dygl_base::exit::{Exit, in_full};
#[cfg(feature = "tch")]
use dygl_exec::ENVIRONMENT;
use dygl_spec::ledger::Size;
use dygl_train::{bits, cost, device, forward, import, predict, preflight, views, work};

#[derive(Debug, Parser)]
#[command(name = "dygl-worker", version, about = "The part of dygl that computes with tensors")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Do the job that lies in a folder (`dygl run` starts this)
    Run { folder: PathBuf },
    /// One pass of given weights over a given input; with --train also loss and gradients
    Forward(forward::Arguments),
    /// Turn weights of PyTorch or others into weights of a network
    Import(import::Arguments),
    /// Draw the training views that a folder asks for (`dygl dataset preview --augment` starts this)
    Views { folder: PathBuf },
    /// Predict the images of a job file (`dygl predict` starts this)
    Predict { job: PathBuf },
    /// Measure the task of a file (`dygl run` starts this before a long run)
    Preflight { task: PathBuf },
    /// What this worker can compute with, fastest first
    Devices {
        /// text or json
        #[arg(long, default_value = "text")]
        format: Format,
    },
    /// Cost ledgers of networks for one image, as a JSON list
    Cost {
        #[arg(required = true, value_name = "MODEL")]
        models: Vec<String>,
        /// Size of the image, pixels: the side of a square, or WIDTHxHEIGHT
        #[arg(long, value_name = "PIXELS", default_value_t = Size::from(224))]
        size: Size,
        /// Images at once, for the memory
        #[arg(long, value_name = "N", default_value_t = 1)]
        batch: usize,
    },
    /// Times and memory of a pass of a network on this machine, as a line of JSON
    /// (`dygl cost --measure` starts this)
    Measure(cost::measure::Arguments),
    /// Digests of what this machine computes on flex, for every network: the same ones everywhere
    Bits(bits::Arguments),
    /// Names and shapes of the tensors that a weights file of a model holds
    Tensors(forward::TensorsArguments),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

fn main() -> ExitCode {
    with_environment();
    let answered = match Cli::parse().verb {
        Verb::Run { folder } => return work(&folder),
        Verb::Predict { job } => {
            return predict::run(&job).map_or_else(|error| complain(&error, error.exit()), Into::into);
        }
        Verb::Preflight { task } => {
            return match preflight::run(&task) {
                Ok(line) => {
                    println!("{line}");
                    ExitCode::SUCCESS
                }
                Err(error) => complain(&error, Exit::Environment),
            };
        }
        Verb::Views { folder } => {
            return views::run(&folder)
                .map_or_else(|error| complain(&error, error.exit()), |()| ExitCode::SUCCESS);
        }
        Verb::Import(arguments) => {
            return match import::run(&arguments) {
                Ok(text) => {
                    println!("{text}");
                    ExitCode::SUCCESS
                }
                Err(error) => complain(&error, error.exit()),
            };
        }
        Verb::Devices { format } => return devices(format),
        Verb::Cost { models, size, batch } => {
            return match cost::run(&models, size, batch) {
                Ok(line) => {
                    println!("{line}");
                    ExitCode::SUCCESS
                }
                Err(error) => complain(&error, Exit::Usage),
            };
        }
        Verb::Measure(arguments) => {
            return match cost::measure::run(&arguments) {
                Ok(line) => {
                    println!("{line}");
                    ExitCode::SUCCESS
                }
                Err(error) => complain(&error, error.exit()),
            };
        }
        Verb::Bits(arguments) => {
            return match bits::run(&arguments, |line| println!("{line}")) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => complain(&error, error.exit()),
            };
        }
        Verb::Forward(arguments) => forward::run(&arguments),
        Verb::Tensors(arguments) => forward::tensors(&arguments).map(Some),
    };
    match answered {
        Ok(answer) => {
            if let Some(answer) = answer {
                println!("{answer}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => complain(&error, error.exit()),
    }
}

fn complain(error: &(dyn std::error::Error + 'static), exit: Exit) -> ExitCode {
    eprintln!("error: failed to {}", in_full(error));
    exit.into()
}

/// Begins anew where the libraries of a card would read other settings than
/// they must (`dygl` starts the worker with the right ones).
fn with_environment() {
    #[cfg(feature = "tch")]
    if ENVIRONMENT.iter().any(|(name, value)| std::env::var(name).ok().as_deref() != Some(*value))
        && let Ok(own) = std::env::current_exe()
    {
        use std::os::unix::process::CommandExt;
        let error = Command::new(own).args(std::env::args_os().skip(1)).envs(ENVIRONMENT).exec();
        eprintln!("warning: failed to set the environment of CUDA's libraries: {error}");
    }
}

fn devices(format: Format) -> ExitCode {
    let devices = match device::all() {
        Ok(devices) => devices,
        Err(error) => {
            eprintln!("failed to {error}");
            return error.exit().into();
        }
    };
    if format == Format::Json {
        println!("{}", serde_json::json!(devices));
    } else {
        for offer in &devices.devices {
            println!("{:8}  {:24}  {}", offer.name, offer.numerics, offer.description);
        }
    }
    ExitCode::SUCCESS
}

/// The runner reads the reason from the log, which is standard error.
fn work(folder: &std::path::Path) -> ExitCode {
    match work::run(folder) {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("{}", in_full(&error));
            Exit::Failed.into()
        }
    }
}
