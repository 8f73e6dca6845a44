//! `dygl-worker`: the verbs that need tensors.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use dygl::exit::Exit;
use dygl_train::{forward, work};

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
}

fn main() -> ExitCode {
    match Cli::parse().verb {
        Verb::Run { folder } => match work::run(&folder) {
            Ok(exit) => exit.into(),
            Err(error) => {
                eprintln!("{error}");
                Exit::Failed.into()
            }
        },
        Verb::Forward(arguments) => match forward::run(&arguments) {
            Ok(line) => {
                if let Some(line) = line {
                    println!("{line}");
                }
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("error: failed to {error}");
                ExitCode::from(error.exit_code())
            }
        },
    }
}
