//! `dygl-worker`: the verbs that need tensors.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use dygl::exit::Exit;
use dygl_train::{forward, predict, preflight, views, work};

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
    /// Draw the training views that a folder asks for (`dygl dataset preview --augment` starts this)
    Views { folder: PathBuf },
    /// Predict the images of a job file (`dygl predict` starts this)
    Predict { job: PathBuf },
    /// Measure the task of a file (`dygl run` starts this before a long run)
    Preflight { task: PathBuf },
    /// Names and shapes of the tensors that a weights file of a model holds
    Tensors(forward::TensorsArguments),
}

fn main() -> ExitCode {
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

fn complain(error: &dyn std::fmt::Display, exit: Exit) -> ExitCode {
    eprintln!("error: failed to {error}");
    exit.into()
}

/// The runner reads the reason from the log, which is standard error.
fn work(folder: &std::path::Path) -> ExitCode {
    match work::run(folder) {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("{error}");
            Exit::Failed.into()
        }
    }
}
