//! One cell of the table: the value of one metric, summarized over seeds, or
//! the mark that stands in its place.

use super::super::heading::is_comparable;
use super::super::model::{Emphasis, Entry, TableCell};
use super::super::rank::percent;
use super::super::results::{CellResult, CellState, Finished, Reported, Results, short};
use super::super::warnings;
use super::Footnotes;
use crate::metric::Metric;
use crate::stats;

/// Stands where there is no number and no stronger word.
const NOTHING: &str = "-";

/// The cell, and the digits that take part in the ranking.
pub(super) fn cell(
    results: &Results,
    reported: &dyn Reported,
    members: &[&CellResult],
    metric: Metric,
    footnotes: &mut Footnotes,
) -> (TableCell, Option<String>) {
    if members.is_empty() {
        let number = footnotes.number("not part of this experiment".to_owned());
        let cell = TableCell { text: NOTHING.to_owned(), footnotes: vec![number], ..TableCell::default() };
        return (cell, None);
    }
    let values: Vec<f64> = members.iter().filter_map(|m| done_value(m, metric)).collect();
    let mut notes = Vec::new();
    for member in members {
        if let Some(text) = complaint(member, metric, members.len() > 1) {
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
            CellState::Done(finished) => is_comparable(results, &m.cell, finished),
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
    (cell, digits)
}

fn value(finished: &Finished, metric: Metric) -> Option<f64> {
    finished.eval.mean.get(&metric).copied().filter(|v| v.is_finite())
}

fn done_value(member: &CellResult, metric: Metric) -> Option<f64> {
    match &member.state {
        CellState::Done(finished) => value(finished, metric),
        _ => None,
    }
}

/// What stands in the place of a number that no seed has.
fn stand_in(members: &[&CellResult], metric: Metric) -> String {
    let Some(first) = members.first() else { return NOTHING.to_owned() };
    match &first.state {
        CellState::Done(_) | CellState::Missing { .. } => NOTHING.to_owned(),
        CellState::Conflict(attempts) if members.len() == 1 => {
            let shown = attempts.iter().map(|a| value(a, metric).map_or(NOTHING.to_owned(), percent));
            shown.collect::<Vec<_>>().join(" / ")
        }
        state => state.word().to_owned(),
    }
}

/// Footnote of a member without a single number.
fn complaint(member: &CellResult, metric: Metric, several: bool) -> Option<String> {
    let reason = match &member.state {
        CellState::Done(_) if done_value(member, metric).is_some() => return None,
        CellState::Done(_) => format!("{} was not recorded or is not a finite number", metric.label()),
        state @ (CellState::Missing { .. } | CellState::Failed { .. }) => state.reason(),
        CellState::Conflict(attempts) if several => {
            let shown = attempts.iter().filter_map(|a| value(a, metric)).map(percent);
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

fn key(member: &CellResult) -> String {
    short(member.eval_key.as_deref().unwrap_or(&member.train_key)).to_owned()
}

fn entries(member: &CellResult, metric: Metric) -> Vec<Entry> {
    let blank = Entry {
        seed: member.cell.seed,
        state: member.state.word().to_owned(),
        reason: member.state.reason(),
        value: None,
        images: None,
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
                value: value(finished, metric),
                images: Some(finished.eval.images),
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
