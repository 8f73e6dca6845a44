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
    /// Names and shapes of the tensors that a weights file of a model holds
    Tensors(forward::TensorsArguments),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().verb {
        Verb::Forward(arguments) => forward::run(&arguments),
        Verb::Tensors(arguments) => forward::tensors(&arguments).map(Some),
    };
    match outcome {
        Ok(answer) => {
            if let Some(answer) = answer {
                println!("{answer}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: failed to {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
