//! Parse, dispatch, exit.

use std::process::ExitCode;

use clap::Parser;
use dygl::cli::Cli;
use dygl::command;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match command::dispatch(cli.verb) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            command::complain(&failure);
            failure.exit.into()
        }
    }
}
