//! `dygl check`: holds results against accepted or published ones.

mod accept;
mod compare;
mod judge;
mod lock;
mod show;
mod verdict;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use accept::Prepared;
use dygl_base::exit::{Exit, Failure, OrExit};
use lock::{Lock, Place};
use serde_json::json;
use show::{Answer, Suite};
use verdict::{Rules, Tier};

use super::context::{Chosen, Context};
use super::read::{self, Reading, State};
use crate::cli::{Against, Check, Format, Require};

/// What a call has to say, and how it ends.
struct Told {
    /// For standard output.
    answer: String,
    /// For standard error.
    notes: Vec<String>,
    exit: Exit,
}

pub fn check(arguments: &Check) -> Result<Exit, Failure> {
    let root = std::env::current_dir().or_exit(Exit::Environment)?;
    let summary = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()).map(PathBuf::from);
    let told = carry_out(arguments, &root, summary.as_deref())?;
    if !told.answer.is_empty() {
        super::answer(&told.answer);
    }
    told.notes.iter().for_each(|note| super::note(note));
    Ok(told.exit)
}

/// The whole verb where `root` is the working directory and `summary` the file of
/// GitHub's step.
fn carry_out(arguments: &Check, root: &Path, summary: Option<&Path>) -> Result<Told, Failure> {
    refuse_contradictions(arguments)?;
    let context = Context::load_at(&arguments.selection, root)?;
    let nothing = context.nothing_selected(&arguments.selection);
    if nothing.is_none() {
        context.tell_notes();
    }
    if arguments.accept {
        accept(arguments, &context, root, nothing)
    } else {
        compare(arguments, &context, root, nothing, summary)
    }
}

fn refuse_contradictions(arguments: &Check) -> Result<(), Failure> {
    let identical = arguments.require == Require::Identical;
    let message = if arguments.against == Against::Paper && arguments.accept {
        "--accept writes a lock file and --against paper reads none: give one of them"
    } else if arguments.against == Against::Paper && identical {
        "the paper prints two decimals: nothing can be identical to it; leave --require out"
    } else if arguments.allow_better && identical {
        "--allow-better lets pass what --require identical does not: give one of them"
    } else {
        return Ok(());
    };
    Err(Failure::new(Exit::Usage, message))
}

/// An experiment with the state of its cells and the place of its lock.
struct Case<'c> {
    chosen: &'c Chosen,
    readings: Vec<Reading>,
    place: Place,
}

fn cases<'c>(arguments: &Check, context: &'c Context, root: &Path) -> Result<Vec<Case<'c>>, Failure> {
    let selection = &arguments.selection;
    let case = |chosen: &'c Chosen| {
        let readings = read::cells(context, selection, &chosen.cells).or_exit(Exit::Environment)?;
        Ok(Case { chosen, readings, place: Place::of(root, &chosen.experiment) })
    };
    context.chosen.iter().map(case).collect()
}

fn accept(
    arguments: &Check,
    context: &Context,
    root: &Path,
    nothing: Option<Failure>,
) -> Result<Told, Failure> {
    let mut all: Vec<Prepared> = Vec::new();
    let mut places: Vec<PathBuf> = Vec::new();
    for Case { chosen, readings, place } in cases(arguments, context, root)? {
        // One experiment by two of its names.
        if places.contains(&place.path) {
            continue;
        }
        places.push(place.path.clone());
        all.push(accept::prepare(context, chosen, &readings, place, arguments)?);
    }
    // A filter may still name cells that only the lock holds, which --prune drops.
    if let Some(nothing) = nothing.filter(|_| all.iter().all(Prepared::is_idle)) {
        return Err(nothing);
    }
    all.retain(|prepared| !prepared.is_idle());
    // Nothing is written before everything could be.
    for prepared in &all {
        prepared.write()?;
    }
    let mut notes: Vec<String> = all.iter().flat_map(|prepared| prepared.notes.clone()).collect();
    if all.is_empty() {
        notes.push("no experiment has cells: there is nothing to accept".to_owned());
    }
    let outcomes: Vec<_> = all.iter().map(|prepared| &prepared.outcome).collect();
    let answer = if arguments.selection.common.format == Format::Json {
        pretty(&json!({ "schema": "dygl-accept-1", "accepted": outcomes, "exit": Exit::Ok as u8 }))?
    } else {
        outcomes.iter().map(|outcome| outcome.text()).collect()
    };
    Ok(Told { answer, notes, exit: Exit::Ok })
}

fn compare(
    arguments: &Check,
    context: &Context,
    root: &Path,
    nothing: Option<Failure>,
    summary: Option<&Path>,
) -> Result<Told, Failure> {
    let mut notes = Vec::new();
    let rules = Rules { identical: arguments.require == Require::Identical, better: arguments.allow_better };
    let mut answer = Answer { suites: Vec::new(), rules };
    for Case { chosen, readings, place } in cases(arguments, context, root)? {
        let experiment = &chosen.experiment.name;
        let mut rows = match arguments.against {
            Against::Paper => compare::against_paper(chosen, &readings),
            Against::Lock => {
                // Where nothing is selected, a lock may still hold what the filter names.
                let lock = match (&nothing, Lock::read(&place)?) {
                    (Some(_), None) => continue,
                    (None, None) => return Err(place.is_missing(experiment)),
                    (_, Some(lock)) => lock,
                };
                compare::against_lock(context, chosen, &readings, lock, &place, &mut notes)?
            }
        };
        if rules.better {
            let remedy = format!("accept it: `dygl check {experiment} --accept`");
            for row in rows.iter_mut().filter(|row| row.tier == Tier::Better) {
                row.reason =
                    if row.reason.is_empty() { remedy.clone() } else { format!("{}; {remedy}", row.reason) };
            }
        }
        rows.sort_by_key(|row| row.tier);
        let lock = (arguments.against == Against::Lock).then_some(place.shown);
        answer.suites.push(Suite { lock, rows, ..suite(experiment, &readings) });
    }
    if let Some(nothing) = nothing
        && answer.rows().next().is_none()
    {
        return Err(nothing);
    }
    deliver(arguments, &answer, notes, summary)
}

/// Writes what files were asked for, and says the rest.
fn deliver(
    arguments: &Check,
    answer: &Answer,
    mut notes: Vec<String>,
    summary: Option<&Path>,
) -> Result<Told, Failure> {
    let write = |path: &Path, text: String| {
        std::fs::write(path, text)
            .map_err(|error| Failure::new(Exit::Environment, format!("{}: {error}", path.display())))
    };
    if let Some(path) = &arguments.junit {
        write(path, show::junit(answer))?;
    }
    if let Some(path) = &arguments.markdown {
        write(path, show::markdown(answer, None))?;
    }
    let is_json = arguments.selection.common.format == Format::Json;
    let mut text = if is_json { pretty(&show::json(answer))? } else { show::text(answer) };
    if arguments.github {
        let annotations = show::annotations(answer);
        if is_json {
            notes.extend(annotations);
        } else {
            annotations.iter().for_each(|line| text.push_str(&format!("{line}\n")));
        }
        if let Some(path) = summary {
            show::summary(answer, path)
                .map_err(|error| Failure::new(Exit::Environment, format!("{}: {error}", path.display())))?;
        }
    }
    notes.push(show::counts(answer));
    Ok(Told { answer: text, notes, exit: answer.exit() })
}

/// What is known of an experiment's results beside their scores.
fn suite(experiment: &str, readings: &[Reading]) -> Suite {
    let mut seconds = 0.0;
    let mut properties = ["commit", "numerics", "simd"].map(|name| (name, BTreeSet::new()));
    for reading in readings {
        let State::Done(done) = &reading.state else { continue };
        seconds += done.train.train_seconds + done.eval.eval_seconds;
        let (training, evaluation) = (&done.train.provenance, &done.eval.provenance);
        let commit = compare::commit_of(evaluation).unwrap_or_default();
        let values = [commit, evaluation.numerics.clone(), training.simd.clone()];
        for ((_, all), value) in properties.iter_mut().zip(values).filter(|(_, value)| !value.is_empty()) {
            all.insert(value);
        }
    }
    let properties = properties
        .into_iter()
        .map(|(name, values)| (name, values.into_iter().collect::<Vec<_>>().join(", ")))
        .filter(|(_, values)| !values.is_empty())
        .collect();
    Suite { experiment: experiment.to_owned(), properties, seconds, ..Suite::default() }
}

fn pretty(value: &serde_json::Value) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value).or_exit(Exit::Failed)?;
    Ok(format!("{text}\n"))
}

#[cfg(test)]
mod tests;
