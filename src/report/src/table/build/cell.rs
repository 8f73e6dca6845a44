//! One cell of the table: the value of one metric, summarized over seeds, or
//! the mark that stands in its place.

use dygl_base::stats;
use dygl_spec::metric::Metric;

use super::super::basis::Basis;
use super::super::model::{Emphasis, Entry, TableCell};
use super::super::paper::not_the_papers;
use super::super::rank::{Role, Standing, percent};
use super::super::results::{CellResult, CellState, Reported, Results, short};
use super::super::warnings;
use super::Footnotes;

/// Stands where there is no number and no stronger word.
pub(super) const NOTHING: &str = "-";

/// A cell before its column is known.
pub(super) struct Made<'a> {
    pub(super) cell: TableCell,
    pub(super) standing: Option<Standing<'a>>,
}

/// The cell of these runs, which differ in their seeds.
pub(super) fn cell<'a>(
    results: &Results,
    reported: &dyn Reported,
    members: &[&'a CellResult],
    metric: Metric,
    footnotes: &mut Footnotes,
) -> Made<'a> {
    if members.is_empty() {
        return absent(footnotes);
    }
    let values: Vec<f64> = members.iter().filter_map(|m| done_value(m, metric)).collect();
    let mut notes = Vec::new();
    for member in members {
        if let Some(text) = complaint(results, member, metric, members.len() > 1) {
            let number = footnotes.number(text);
            if !notes.contains(&number) {
                notes.push(number);
            }
        }
    }
    let (text, digits) = match values.as_slice() {
        [] => (stand_in(members, metric), None),
        [value] => (percent(*value), Some(percent(*value))),
        several => {
            let mean = percent(stats::mean(several).unwrap_or(f64::NAN));
            let spread = percent(stats::std(several).unwrap_or(f64::NAN));
            (format!("{mean} ± {spread} ({})", several.len()), Some(mean))
        }
    };
    let comparable = !values.is_empty()
        && members.iter().all(|m| match &m.state {
            CellState::Done(finished) => {
                not_the_papers(&results.departures, &m.cell, &finished.train, &finished.eval).is_none()
            }
            _ => true,
        });
    let reported = members.first().filter(|_| comparable).and_then(|first| {
        let dataset = first.cell.dataset.to_string();
        reported.value(results.paper_table?, &dataset, &first.cell.model, metric)
    });
    let cell = TableCell {
        text,
        emphasis: Emphasis::None,
        footnotes: notes,
        reported,
        link: link(members),
        keys: members.iter().map(|m| key(m)).filter(|k| !k.is_empty()).collect(),
        entries: members.iter().flat_map(|m| entries(m, metric)).collect(),
    };
    let standing = digits.map(|digits| {
        let basis = Basis::of(members, metric);
        Standing { digits, n: basis.of_each(), basis, role: Role::Row }
    });
    Made { cell, standing }
}

/// Where a row has no run on a dataset.
pub(super) fn absent<'a>(footnotes: &mut Footnotes) -> Made<'a> {
    let number = footnotes.number("not part of this experiment".to_owned());
    let cell = TableCell { text: NOTHING.to_owned(), footnotes: vec![number], ..TableCell::default() };
    Made { cell, standing: None }
}

pub(super) fn done_value(member: &CellResult, metric: Metric) -> Option<f64> {
    match &member.state {
        CellState::Done(finished) => finished.value(metric),
        _ => None,
    }
}

/// What stands in the place of a number that no seed has.
fn stand_in(members: &[&CellResult], metric: Metric) -> String {
    let Some(first) = members.first() else { return NOTHING.to_owned() };
    match &first.state {
        CellState::Done(_) | CellState::Missing { .. } => NOTHING.to_owned(),
        CellState::Conflict(attempts) if members.len() == 1 => {
            let shown = attempts.iter().map(|a| a.value(metric).map_or(NOTHING.to_owned(), percent));
            shown.collect::<Vec<_>>().join(" / ")
        }
        state => state.word().to_owned(),
    }
}

/// Footnote of a member without a single number.
pub(super) fn complaint(
    results: &Results,
    member: &CellResult,
    metric: Metric,
    several: bool,
) -> Option<String> {
    let reason = match &member.state {
        CellState::Done(_) if done_value(member, metric).is_some() => return None,
        // Where no cell has a number the heading says it once.
        CellState::Done(finished) if finished.is_all_skipped() && results.is_all_skipped() => return None,
        CellState::Done(finished) if finished.is_all_skipped() => {
            format!(
                "all {} images were left out of the means: truth and prediction are empty, and evaluate.empty is \
                 `skip`",
                finished.eval.images
            )
        }
        CellState::Done(_) => format!("{} was not recorded or is not a finite number", metric.label()),
        state @ (CellState::Missing { .. } | CellState::Failed { .. }) => state.reason(),
        CellState::Conflict(attempts) if several => {
            let shown = attempts.iter().filter_map(|a| a.value(metric)).map(percent);
            format!("{} ({})", member.state.reason(), shown.collect::<Vec<_>>().join(" / "))
        }
        state => format!("{}: {}", state.word(), state.reason()),
    };
    Some(if several { format!("seed {} left out: {reason}", member.cell.seed) } else { reason })
}

/// A single run is explained on its page; of several, the list of runs shows
/// each.
fn link(members: &[&CellResult]) -> Option<String> {
    let first = members.first()?;
    let page = if members.len() == 1 { first.page() } else { None };
    Some(page.unwrap_or_else(|| format!("#{}", first.anchor())))
}

pub(super) fn key(member: &CellResult) -> String {
    short(member.eval_key.as_deref().unwrap_or(&member.train_key)).to_owned()
}

fn entries(member: &CellResult, metric: Metric) -> Vec<Entry> {
    let blank = Entry {
        seed: Some(member.cell.seed),
        state: member.state.word().to_owned(),
        reason: member.state.reason(),
        value: None,
        images: None,
        skipped: None,
        dataset: member.cell.dataset.to_string(),
        train_key: member.train_key.clone(),
        eval_key: member.eval_key.clone(),
        attempt: None,
        numerics: None,
        commit: None,
        dirty: None,
        warnings: Vec::new(),
    };
    match &member.state {
        CellState::Failed { attempt, .. } => vec![Entry { attempt: attempt.clone(), ..blank }],
        CellState::Missing { .. } | CellState::Altered { .. } => vec![blank],
        CellState::Done(_) | CellState::Conflict(_) => member
            .state
            .finished()
            .iter()
            .map(|finished| Entry {
                value: finished.value(metric),
                images: Some(finished.eval.averaged()),
                skipped: Some(finished.eval.skipped),
                attempt: Some(finished.attempt.clone()),
                numerics: Some(finished.eval.provenance.numerics.clone()),
                commit: Some(finished.eval.provenance.commit.clone()),
                dirty: Some(finished.eval.provenance.dirty),
                warnings: warnings::of(finished),
                ..blank.clone()
            })
            .collect(),
    }
}
