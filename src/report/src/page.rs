//! The index page as data: tables, protocols, the list of runs. It holds no
//! figure, and pictures only of few runs, so that hundreds stay one light page.

use std::collections::{BTreeMap, BTreeSet};

use dygl_spec::TableKind;
use dygl_spec::metric::Metric;
use dygl_store::key::numerics;
use serde::Serialize;

use super::attempt::thumbnail;
use super::figures::{Figure, figures};
use super::protocol::{Protocol, protocol};
use super::{Options, ReportError, format};
use crate::table::results::{CellResult, CellState, Finished, Reported, Results, short, slug};
use crate::table::{self, Markup};

/// The page.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    title: String,
    generated_by: String,
    experiments: Vec<Experiment>,
    /// `5 done, 1 failed`
    summary: String,
    has_pictures: bool,
    runs: Vec<Run>,
}

impl Page {
    /// The ids of the experiments on the page, in their order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.experiments.iter().map(|experiment| experiment.name.as_str())
    }
}

/// One experiment: what was run, its table, its protocol.
#[derive(Debug, Serialize)]
struct Experiment {
    name: String,
    title: String,
    question: String,
    facts: Vec<(&'static str, Vec<String>)>,
    figures: Vec<Figure>,
    /// The table, markup of our own.
    table: String,
    files: Vec<String>,
    protocol: Protocol,
}

/// Up to so many runs are listed with a picture each (about 15 kB).
const WITH_PICTURES: usize = 32;

/// A line of the list of runs.
#[derive(Debug, Serialize)]
struct Run {
    anchor: String,
    label: String,
    dataset: String,
    seed: u64,
    state: &'static str,
    /// Empty where the state says all.
    reason: String,
    /// Mean Dice, percent; two of a conflict.
    dice: String,
    key: String,
    page: Option<String>,
    /// Overlay of the median image.
    picture: Option<String>,
}

/// Name and content of a file beside the page.
pub(super) type File = (String, Vec<u8>);

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
            files.push((file.clone(), markup.render(&table)?.into_bytes()));
            beside.push(file);
        }
        let (figures, drawn) = figures(one, &table.name)?;
        files.extend(drawn);
        experiments.push(Experiment {
            title: one.title.clone(),
            question: one.question.clone(),
            facts: facts(one),
            figures,
            table: Markup::Html.render(&table)?,
            files: beside,
            protocol: protocol(&one.marks),
            name: table.name,
        });
    }
    let cells = distinct(results);
    let with_pictures = cells.len() <= WITH_PICTURES;
    let runs = cells.iter().map(|cell| run(cell, with_pictures, options)).collect::<Result<Vec<_>, _>>()?;
    let mut states: BTreeMap<&str, usize> = BTreeMap::new();
    cells.iter().for_each(|cell| *states.entry(cell.state.word()).or_default() += 1);
    let states: Vec<String> = states.iter().map(|(state, count)| format!("{count} {state}")).collect();
    let title = match results {
        [one] => one.title.clone(),
        several => several.iter().map(|r| r.title.as_str()).collect::<Vec<_>>().join(" · "),
    };
    let page = Page {
        title,
        generated_by: options.generated_by.clone(),
        experiments,
        summary: states.join(", "),
        has_pictures: runs.iter().any(|run| run.picture.is_some()),
        runs,
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

/// The cells of all experiments; the same cell in two tables is one cell. Of a
/// table of costs, which is whole without runs, only those that ran.
pub(super) fn distinct(results: &[Results]) -> Vec<&CellResult> {
    let mut seen = BTreeSet::new();
    let shown = |results: &Results, cell: &CellResult| {
        !results.kind.is_of_costs() || !matches!(cell.state, CellState::Missing { .. })
    };
    results
        .iter()
        .flat_map(|results| results.cells.iter().filter(move |cell| shown(results, cell)))
        .filter(|cell| seen.insert(cell.anchor()))
        .collect()
}

fn run(cell: &CellResult, with_picture: bool, options: &Options) -> Result<Run, ReportError> {
    let picture = match cell.state.finished() {
        [one] if with_picture => thumbnail(one, options)?,
        _ => None,
    };
    let dice = |finished: &Finished| {
        let dice = format::percent(finished.value(Metric::Dice).unwrap_or(f64::NAN));
        // Beside others that left out nothing, or something else.
        match finished.eval.skipped {
            0 => dice,
            _ => format!("{dice}, n = {}", finished.eval.averaged()),
        }
    };
    Ok(Run {
        anchor: cell.anchor(),
        label: cell.label.clone(),
        dataset: dataset(cell),
        seed: cell.cell.seed,
        state: cell.state.word(),
        reason: cell.state.reason(),
        dice: cell.state.finished().iter().map(dice).collect::<Vec<_>>().join(" / "),
        key: short(cell.eval_key.as_deref().unwrap_or(&cell.train_key)).to_owned(),
        page: cell.page(),
        picture,
    })
}

fn dataset(cell: &CellResult) -> String {
    if cell.cell.is_substituted() {
        format!("{} for {}", cell.cell.dataset, cell.cell.asked)
    } else {
        cell.dataset_title.clone()
    }
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
    let paper = if results.is_papers_protocol() { " (the paper's)" } else { "" };
    let seeds: BTreeSet<u64> = results.cells.iter().map(|c| c.cell.seed).collect();
    let sizes: BTreeSet<usize> = results.cells.iter().map(|c| c.cell.protocol.image.size).collect();
    let mut facts = vec![
        ("Profile", vec![format!("{}{paper}", results.profile)]),
        ("Cells", vec![format!("{done} of {} done", results.cells.len())]),
        ("Datasets", datasets(results)),
        ("Image size", sizes.iter().map(|s| format!("{s} x {s}")).collect()),
        (if seeds.len() == 1 { "Seed" } else { "Seeds" }, seeds.iter().map(u64::to_string).collect()),
        ("Numerics class", distinct(&|f| class(&f.eval.provenance.numerics))),
        ("Device", distinct(&|f| f.train.provenance.device.clone())),
        (
            "Commit",
            distinct(&|f| {
                let dirty = if f.eval.provenance.dirty { " + uncommitted changes" } else { "" };
                format!("{}{dirty}", short(&f.eval.provenance.commit))
            }),
        ),
    ];
    match results.kind {
        TableKind::Datasets => facts.truncate(1),
        // What stands there is about the runs behind mDice; without any there is nothing to say.
        TableKind::Cost | TableKind::Bubble if finished.is_empty() => facts.truncate(2),
        _ => {}
    }
    facts.retain(|(_, values)| !values.is_empty());
    facts
}

/// By name and in words.
fn class(name: &str) -> String {
    format!("{name}: {}", numerics::words(name))
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
