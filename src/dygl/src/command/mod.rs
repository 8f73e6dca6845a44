//! The verbs, one file each. Only here does anything print: answers go to
//! standard output, everything else to standard error.

mod cards;
mod cells;
mod check;
mod claims;
mod context;
mod cost;
mod costs;
mod dataset;
mod doctor;
mod explain;
mod finished;
mod given;
mod mistakes;
mod model;
mod plan;
mod predict;
mod preflight;
mod progress;
mod read;
mod report;
mod reproduce;
mod run;
mod show;
mod status;
mod store;

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::CommandFactory;
use dygl_base::exit::{Exit, Failure, OrExit};
use dygl_exec::Stop;
use dygl_spec::project;

use crate::cli::{Cli, Verb};

/// Carries out a verb.
///
/// # Errors
/// What went wrong, with the exit code.
pub fn dispatch(verb: Verb) -> Result<Exit, Failure> {
    given::check(&verb)?;
    if !matches!(verb, Verb::Model(_) | Verb::Completions { .. }) {
        tell_project();
    }
    match verb {
        Verb::Plan(selection) => plan::plan(&selection),
        Verb::Run(run) => run::run(&run),
        Verb::Status(selection) => status::status(&selection),
        Verb::Explain(selection) => explain::explain(&selection),
        Verb::Report(report) => report::report(&report),
        Verb::Check(check) => check::check(&check),
        Verb::Audit(arguments) => claims::audit(&arguments),
        Verb::Show(arguments) => show::show(&arguments),
        Verb::Logs(arguments) => show::logs(&arguments),
        Verb::Reproduce(arguments) => reproduce::reproduce(&arguments),
        Verb::Predict(arguments) => predict::predict(&arguments),
        Verb::Dataset(verb) => dataset::dataset(&verb),
        Verb::Model(verb) => model::model(&verb),
        Verb::Store(verb) => store::store(&verb),
        Verb::Cost(arguments) => cost::cost(&arguments),
        Verb::Doctor(common) => doctor::doctor(&common),
        Verb::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "dygl", &mut io::stdout());
            Ok(Exit::Ok)
        }
    }
}

/// Names the project where it is not the working directory.
fn tell_project() {
    let way = project::here();
    if !way.as_os_str().is_empty() {
        let folder = way.canonicalize().unwrap_or_else(|_| way.to_owned());
        note(&format!("note: the project is {}", folder.display()));
    }
}

/// Tells a failure on standard error. Diagnostics come rendered already.
pub fn complain(failure: &Failure) {
    let text = failure.message.trim_end();
    if text.is_empty() {
        return;
    }
    let head = if text.starts_with("error") || text.starts_with('\u{1b}') { "" } else { "error: " };
    let _ = writeln!(io::stderr(), "{head}{text}");
}

/// Writes the answer. A closed pipe is the reader's business.
fn answer(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    if !text.ends_with('\n') {
        let _ = out.write_all(b"\n");
    }
}

/// Writes the answer as JSON.
fn answer_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::new(Exit::Failed, error))?;
    answer(&text);
    Ok(())
}

/// Says something to the user without being the answer.
fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Ctrl-C and termination become requests to stop, which `told` hears of: the
/// first at the next good place, the second now. Ends with the flag.
fn watch_signals(
    stop: &Arc<Stop>,
    told: impl Fn(usize) + Send + 'static,
) -> Result<Arc<AtomicBool>, Failure> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM]).or_exit(Exit::Environment)?;
    let watching = Arc::new(AtomicBool::new(true));
    let (stop, is_watching) = (Arc::clone(stop), Arc::clone(&watching));
    std::thread::spawn(move || {
        for _ in signals.forever() {
            if !is_watching.load(Ordering::SeqCst) {
                break;
            }
            stop.request();
            told(stop.level());
        }
    });
    Ok(watching)
}

/// Whether standard output takes colours.
fn colour_out() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// Whether standard error takes colours.
fn colour_err() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// Aligns rows of cells into columns.
fn columns(rows: &[Vec<String>]) -> String {
    let width = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widest: Vec<usize> = (0..width)
        .map(|column| {
            rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widest) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
