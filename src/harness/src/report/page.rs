//! The context of the template: the whole page as data.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use serde::Serialize;

use super::protocol::{Protocol, protocol};
use super::section::{Section, section};
use super::{Options, ReportError};
use crate::table::results::{CellResult, CellState, Finished, Reported, Results, short, slug};
use crate::table::{self, Markup};

/// The page.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    title: String,
    generated_by: String,
    experiments: Vec<Experiment>,
    sections: Vec<Section>,
    unfinished: Vec<Unfinished>,
}

/// One experiment: what was run, its table, its protocol.
#[derive(Debug, Serialize)]
struct Experiment {
    name: String,
    title: String,
    question: String,
    facts: Vec<(&'static str, Vec<String>)>,
    /// The table, markup of our own.
    table: String,
    files: Vec<String>,
    protocol: Protocol,
}

/// A cell without a number.
#[derive(Debug, Serialize)]
struct Unfinished {
    anchor: String,
    label: String,
    dataset: String,
    seed: u64,
    state: &'static str,
    reason: String,
    key: String,
    attempt: Option<String>,
}

/// Name and content of a file beside the page.
pub(super) type File = (String, String);

/// The page, and the files beside it.
pub(super) fn page(
    results: &[Results],
    reported: &dyn Reported,
    options: &Options,
) -> Result<(Page, Vec<File>), ReportError> {
    let mut files = Vec::new();
    let mut experiments = Vec::new();
    let mut names = BTreeSet::new();
    for one in results {
        let mut table = table::build(one, reported);
        table.name = unused(&names, &one.name);
        names.insert(table.name.clone());
        let mut beside = Vec::new();
        for markup in Markup::FILES {
            let file = format!("{}.{}", table.name, markup.extension());
            files.push((file.clone(), markup.render(&table)?));
            beside.push(file);
        }
        experiments.push(Experiment {
            title: one.title.clone(),
            question: one.question.clone(),
            facts: facts(one),
            table: Markup::Html.render(&table)?,
            files: beside,
            protocol: protocol(one),
            name: table.name,
        });
    }
    // The same cell in two tables is one cell.
    let mut seen = BTreeSet::new();
    let cells: Vec<&CellResult> =
        results.iter().flat_map(|r| &r.cells).filter(|cell| seen.insert(cell.anchor())).collect();
    let sections: Vec<Option<Section>> =
        cells.par_iter().map(|cell| section(cell, options)).collect::<Result<_, _>>()?;
    let title = match results {
        [one] => one.title.clone(),
        several => several.iter().map(|r| r.title.as_str()).collect::<Vec<_>>().join(" · "),
    };
    let page = Page {
        title,
        generated_by: options.generated_by.clone(),
        experiments,
        sections: sections.into_iter().flatten().collect(),
        unfinished: cells.iter().filter_map(|cell| unfinished(cell)).collect(),
    };
    Ok((page, files))
}

/// A file stem that no other experiment of the page has.
fn unused(taken: &BTreeSet<String>, wanted: &str) -> String {
    let stem = match slug(wanted) {
        empty if empty.is_empty() => "table".to_owned(),
        stem => stem,
    };
    let numbered = (2..).map(|number| format!("{stem}-{number}"));
    let mut candidates = std::iter::once(stem.clone()).chain(numbered);
    candidates.find(|name| !taken.contains(name)).unwrap_or(stem)
}

fn unfinished(cell: &CellResult) -> Option<Unfinished> {
    let attempt = match &cell.state {
        CellState::Done(_) => return None,
        CellState::Conflict(attempts) if !attempts.is_empty() => return None,
        CellState::Failed { attempt, .. } => attempt.clone(),
        CellState::Missing { .. } | CellState::Altered { .. } | CellState::Conflict(_) => None,
    };
    Some(Unfinished {
        anchor: cell.anchor(),
        label: cell.label.clone(),
        dataset: cell.dataset_title.clone(),
        seed: cell.cell.seed,
        state: cell.state.word(),
        reason: cell.state.reason(),
        key: cell.eval_key.clone().unwrap_or_else(|| cell.train_key.clone()),
        attempt,
    })
}

/// What was run, in a few lines: never more than the records say.
fn facts(results: &Results) -> Vec<(&'static str, Vec<String>)> {
    let finished: Vec<&Finished> = results.cells.iter().flat_map(|c| c.state.finished()).collect();
    let distinct = |text: &dyn Fn(&Finished) -> String| -> Vec<String> {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        finished.iter().for_each(|f| *counts.entry(text(f)).or_default() += 1);
        let several = counts.len() > 1;
        let named = |(text, count): (String, usize)| if several { format!("{text} ({count})") } else { text };
        counts.into_iter().map(named).collect()
    };
    let done = results.cells.iter().filter(|c| matches!(c.state, CellState::Done(_))).count();
    let paper = if results.paper_profile { " (the paper's)" } else { "" };
    let seeds: BTreeSet<u64> = results.cells.iter().map(|c| c.cell.seed).collect();
    let sizes: BTreeSet<usize> = results.cells.iter().map(|c| c.cell.protocol.image.size).collect();
    let mut facts = vec![
        ("Profile", vec![format!("{}{paper}", results.profile)]),
        ("Cells", vec![format!("{done} of {} done", results.cells.len())]),
        ("Datasets", datasets(results)),
        ("Image size", sizes.iter().map(|s| format!("{s} x {s}")).collect()),
        (if seeds.len() == 1 { "Seed" } else { "Seeds" }, seeds.iter().map(u64::to_string).collect()),
        ("Numerics class", distinct(&|f| f.eval.provenance.numerics.clone())),
        ("Device", distinct(&|f| f.train.provenance.device.clone())),
        (
            "Commit",
            distinct(&|f| {
                let dirty = if f.eval.provenance.dirty { " + uncommitted changes" } else { "" };
                format!("{}{dirty}", short(&f.eval.provenance.commit))
            }),
        ),
    ];
    facts.retain(|(_, values)| !values.is_empty());
    facts
}

fn datasets(results: &Results) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for cell in &results.cells {
        let name = if cell.cell.is_substituted() {
            format!("{} in place of {}", cell.cell.dataset, cell.cell.asked)
        } else {
            cell.cell.dataset.to_string()
        };
        for finished in cell.state.finished() {
            let line = match &finished.eval.dataset {
                Some(f) if f.is_partial() => {
                    format!("{name}: {} of {} images (partial)", f.images, f.expected)
                }
                Some(f) => {
                    format!("{name}: {} images, {} / {} / {}", f.images, f.train, f.validation, f.test)
                }
                None => name.clone(),
            };
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        if cell.state.finished().is_empty() && !lines.iter().any(|line| line.starts_with(&name)) {
            lines.push(name);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_stems_are_safe_and_distinct() {
        let mut taken = BTreeSet::new();
        for (wanted, expected) in [("table2", "table2"), ("table2", "table2-2"), ("../x", "x"), ("", "table")]
        {
            let name = unused(&taken, wanted);
            assert_eq!(name, expected);
            taken.insert(name);
        }
    }
}
