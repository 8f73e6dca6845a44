//! The folds of a cross-validation: rows that differ in nothing but the fold, and
//! the row of their mean.

use std::collections::{BTreeMap, BTreeSet};

use dygl_base::stats;
use dygl_spec::metric::Metric;
use dygl_spec::plan::Cell;
use dygl_spec::protocol::Protocol;
use dygl_spec::schema;

use super::super::basis::Basis;
use super::super::model::{Emphasis, Entry, TableCell};
use super::super::rank::{Role, Standing, percent};
use super::super::results::{CellResult, Results};
use super::cell::{self, Made, NOTHING, absent};
use super::{Footnotes, Matrix};

/// The setting that tells folds apart.
const FOLD: &str = "split.fold";

/// The folds of one network under one protocol.
pub(super) struct Folds {
    /// Their rows, in the order of the experiment.
    pub(super) rows: Vec<usize>,
    /// `Unet (mean over 5 folds)`
    pub(super) label: String,
    /// What all of them have set.
    pub(super) settings: BTreeMap<String, String>,
    /// How many there would be.
    of: usize,
}

/// The cross-validations of an experiment, of two folds or more.
pub(super) fn find(matrix: &Matrix<'_>) -> Vec<Folds> {
    let mut found: Vec<(&CellResult, Vec<usize>)> = Vec::new();
    for row in 0..matrix.rows.len() {
        let Some(first) = matrix.of_row(row).next() else { continue };
        if !first.cell.protocol.split.source.has_folds() {
            continue;
        }
        let is_same = |other: &CellResult| {
            matrix.rows[row].group == other.group
                && first.model_label == other.model_label
                && but_for_the_fold(&first.cell, &other.cell)
        };
        match found.iter_mut().find(|(other, _)| is_same(other)) {
            Some((_, rows)) => rows.push(row),
            None => found.push((first, vec![row])),
        }
    }
    let folds = found.into_iter().filter(|(_, rows)| rows.len() > 1);
    folds.map(|(first, rows)| Folds::new(first, rows)).collect()
}

/// Whether two cells are the same network under the same protocol, whatever the fold,
/// the dataset and the seed.
fn but_for_the_fold(one: &Cell, other: &Cell) -> bool {
    let mut protocol = Protocol::clone(&other.protocol);
    protocol.split.fold = one.protocol.split.fold;
    one.model == other.model && one.pretrained == other.pretrained && *one.protocol == protocol
}

impl Folds {
    fn new(first: &CellResult, rows: Vec<usize>) -> Self {
        let of = first.cell.protocol.split.folds;
        let mut settings = first.settings.clone();
        settings.remove(FOLD);
        let mut words: Vec<String> =
            settings.iter().map(|(path, value)| format!("{} {value}", schema::short(path))).collect();
        words.push(match rows.len() {
            all if all == of => format!("mean over {of} folds"),
            some => format!("mean over {some} of {of} folds"),
        });
        let label = format!("{} ({})", first.model_label, words.join(", "));
        Self { rows, label, settings, of }
    }

    /// The mean and the spread of the folds on one dataset; of several seeds each fold
    /// is their mean.
    pub(super) fn cell<'a>(
        &self,
        results: &Results,
        matrix: &Matrix<'a>,
        dataset: usize,
        metric: Metric,
        footnotes: &mut Footnotes,
    ) -> Made<'a> {
        let members = matrix.of_rows(&self.rows, dataset);
        let Some(first) = members.first() else { return absent(footnotes) };
        let mut notes: BTreeSet<usize> = BTreeSet::new();
        for member in &members {
            if let Some(reason) = cell::complaint(results, member, metric, true) {
                let fold = member.cell.protocol.split.fold;
                notes.insert(footnotes.number(format!("fold {fold}, {reason}")));
            }
        }
        let of_fold = |row: &usize| -> Option<f64> {
            let values = matrix.members(*row, dataset).iter().filter_map(|m| cell::done_value(m, metric));
            stats::mean(&values.collect::<Vec<_>>())
        };
        let values: Vec<f64> = self.rows.iter().filter_map(of_fold).collect();
        let mean = stats::mean(&values);
        let digits = mean.map(percent);
        let text = match (&digits, stats::std(&values)) {
            (Some(mean), Some(spread)) => format!("{mean} ± {} ({})", percent(spread), values.len()),
            (Some(mean), None) => format!("{mean} (1)"),
            (None, _) => NOTHING.to_owned(),
        };
        let basis = Basis::of(&members, metric);
        let images = basis.images();
        let entry = Entry {
            seed: None,
            state: if mean.is_some() { "mean" } else { "missing" }.to_owned(),
            reason: match values.len() {
                all if all == self.of => String::new(),
                some => format!("{some} of {} folds", self.of),
            },
            value: mean,
            images: mean.map(|_| images),
            skipped: mean.map(|_| skipped(&members, metric)),
            dataset: first.cell.dataset.to_string(),
            train_key: String::new(),
            eval_key: None,
            attempt: None,
            numerics: None,
            commit: None,
            dirty: None,
            // They stand beside the folds.
            warnings: Vec::new(),
        };
        let cell = TableCell {
            text,
            emphasis: Emphasis::None,
            footnotes: notes.into_iter().collect(),
            reported: None,
            link: None,
            keys: members.iter().map(|member| cell::key(member)).filter(|key| !key.is_empty()).collect(),
            entries: vec![entry],
        };
        let standing =
            digits.map(|digits| Standing { digits, n: images.to_string(), basis, role: Role::Mean });
        Made { cell, standing }
    }
}

/// Images that the runs with a number left out, over all of them.
fn skipped(members: &[&CellResult], metric: Metric) -> usize {
    let counted = members.iter().filter(|member| cell::done_value(member, metric).is_some());
    counted.flat_map(|member| member.state.finished()).map(|finished| finished.eval.skipped).sum()
}
