//! `dygl-worker`: the verbs that need tensors.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use dygl_train::forward;

#[derive(Debug, Parser)]
#[command(name = "dygl-worker", version, about = "The part of dygl that computes with tensors")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// One pass of given weights over a given input; with --train also loss and gradients
    Forward(forward::Arguments),
}

fn main() -> ExitCode {
    match Cli::parse().verb {
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
