//! The page of one run, as data: configuration, numbers, curves, every image,
//! log, provenance and the commands that trace it.

use serde::Serialize;

use super::attempt::{Attempt, attempt};
use super::format;
use super::protocol::{Protocol, of_cell};
use super::provenance::{Facts, failed};
use super::{Options, ReportError};
use crate::table::results::{CellResult, CellState, Journal, Results, short};

/// The page of one run.
#[derive(Debug, Serialize)]
pub(super) struct RunPage {
    title: String,
    generated_by: String,
    /// The experiments that show the run: (link, title).
    shown_in: Vec<(String, String)>,
    label: String,
    model: String,
    dataset_title: String,
    dataset: String,
    /// Set where another dataset stands in.
    asked: Option<String>,
    seed: u64,
    profile: String,
    state: &'static str,
    /// Why there is no single number; empty when there is one.
    reason: String,
    attempts: Vec<Attempt>,
    protocol: Protocol,
    /// (what it does, command)
    commands: Vec<(&'static str, String)>,
    journals: Vec<JournalView>,
}

#[derive(Debug, Serialize)]
struct JournalView {
    stage: &'static str,
    attempt: String,
    /// `started 1, epoch 12, checkpoint 2`
    events: String,
    earlier: usize,
    tail: String,
    provenance: Option<Facts>,
}

/// The page of a cell, if the cell has one. `shown_in` are the places of the
/// results whose tables show it; the first says which settings were marked how.
pub(super) fn run(
    cell: &CellResult,
    shown_in: &[(&Results, String)],
    options: &Options,
) -> Result<Option<(String, RunPage)>, ReportError> {
    let (Some(path), Some((first, _))) = (cell.page(), shown_in.first()) else { return Ok(None) };
    let finished = cell.state.finished();
    let attempts = finished.iter().map(|one| attempt(one, options)).collect::<Result<Vec<_>, _>>()?;
    let page = RunPage {
        title: format!("{} on {}, seed {}", cell.label, cell.dataset_title, cell.cell.seed),
        generated_by: options.generated_by.clone(),
        shown_in: shown_in
            .iter()
            .map(|(results, name)| (format!("../index.html#{name}"), results.title.clone()))
            .collect(),
        label: cell.label.clone(),
        model: cell.cell.model.to_string(),
        dataset_title: cell.dataset_title.clone(),
        dataset: cell.cell.dataset.to_string(),
        asked: cell.cell.is_substituted().then(|| cell.cell.asked.to_string()),
        seed: cell.cell.seed,
        profile: first.profile.clone(),
        state: cell.state.word(),
        reason: cell.state.reason(),
        attempts,
        protocol: of_cell(&cell.cell, &first.marks),
        commands: commands(cell, options),
        journals: cell.journals.iter().map(journal).collect(),
    };
    Ok(Some((path, page)))
}

/// How to look further, on the machine that has the store.
fn commands(cell: &CellResult, options: &Options) -> Vec<(&'static str, String)> {
    let place = options.store.as_ref().map(|store| format!(" --store {store}")).unwrap_or_default();
    let command = |verb: &str, key: &str| format!("dygl {verb} {}{place}", short(key));
    let mut commands = Vec::new();
    if !matches!(cell.state, CellState::Failed { .. }) {
        commands
            .push(("trains and scores again and compares to the bit", command("reproduce", &cell.train_key)));
    }
    let key = cell.eval_key.as_deref().unwrap_or(&cell.train_key);
    commands.push(("all that the store knows", command("show", key)));
    commands.push(("the whole log of the training", command("logs", &cell.train_key)));
    commands
}

fn journal(journal: &Journal) -> JournalView {
    let events: Vec<String> = journal
        .events
        .iter()
        .map(|(name, count)| format!("{name} {}", format::count(*count as u64)))
        .collect();
    JournalView {
        stage: journal.stage,
        attempt: journal.attempt.clone(),
        events: events.join(", "),
        earlier: journal.earlier,
        tail: journal.tail.join("\n"),
        provenance: journal.provenance.as_ref().map(failed),
    }
}
