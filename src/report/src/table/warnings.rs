//! What a reader of a number must not overlook: one list for the page of a run and
//! for every table that holds it.

use std::collections::BTreeMap;

use dygl_spec::metric::Metric;
use dygl_store::record::EvalRecord;

use super::results::{Finished, Results};

/// Rows that a line names.
const NAMED: usize = 4;

/// What speaks against a result: its data, and what it had to beat.
pub(crate) fn of(finished: &Finished) -> Vec<String> {
    let mut warnings: Vec<String> = concerns(finished).into_iter().map(|told| format!("{told}.")).collect();
    warnings
        .extend(beaten(&finished.eval).map(|by| format!("The network does not beat a predictor that {by}.")));
    warnings
}

/// What spoke against the dataset when it was registered.
fn concerns(finished: &Finished) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    for facts in [&finished.train.dataset, &finished.eval.dataset].into_iter().flatten() {
        for concern in &facts.concerns {
            if !told.contains(concern) {
                told.push(concern.clone());
            }
        }
    }
    told
}

/// The predictor without eyes that is as good or better, with its Dice.
fn beaten(eval: &EvalRecord) -> Option<String> {
    let dice = eval.mean.get(&Metric::Dice).copied().unwrap_or(f64::NAN);
    let (name, floor) = eval.trivial.best();
    (dice <= floor).then(|| format!("{name} (Dice {:.2})", 100.0 * floor))
}

/// The same for all results of a table, each said once.
pub(super) fn lines(results: &Results) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut by: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for cell in &results.cells {
        for finished in cell.state.finished() {
            for told in concerns(finished) {
                let line = format!("`{}`: {told}.", cell.cell.dataset);
                if !lines.contains(&line) {
                    lines.push(line);
                }
            }
            if let Some(predictor) = beaten(&finished.eval) {
                let rows = by.entry((cell.cell.dataset.to_string(), predictor)).or_default();
                if !rows.contains(&cell.label) {
                    rows.push(cell.label.clone());
                }
            }
        }
    }
    lines.extend(by.into_iter().map(|((dataset, predictor), rows)| {
        let more = match rows.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let rows = rows.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        format!("`{dataset}`: not better than a predictor that {predictor}: {rows}{more}.")
    }));
    lines
}

#[cfg(test)]
mod tests {
    use super::super::samples::{self, Paper};
    use super::super::{build, markup};
    use super::*;

    #[test]
    fn every_table_carries_the_warning_of_the_page() {
        let mut results = samples::done();
        samples::each_finished(&mut results, |finished| {
            finished.eval.trivial.all_foreground = 0.95;
            samples::facts(finished).concerns = vec!["masks/1.png (1 of 1 masks): all are full".to_owned()];
        });
        let page = of(&results.cells[0].state.finished()[0]);
        assert_eq!(
            page,
            [
                "masks/1.png (1 of 1 masks): all are full.",
                "The network does not beat a predictor that marks everything as foreground (Dice 95.00)."
            ]
        );
        let table = build(&results, &Paper);
        let told = |line: &String| line.contains("marks everything as foreground (Dice 95.00)");
        assert_eq!(table.heading.iter().filter(|line| told(line)).count(), 1, "{:?}", table.heading);
        assert!(table.heading.iter().any(|line| line.contains("`kvasir-seg`: masks/1.png")));
        let csv = markup::csv(&table).expect("written");
        let mut reader = csv::Reader::from_reader(csv.as_bytes());
        let headers = reader.headers().expect("headers").clone();
        let column = headers.iter().position(|name| name == "warning").expect("a column");
        for row in reader.records().map(|row| row.expect("a row")) {
            assert_eq!(
                row[column].is_empty(),
                row[headers.iter().position(|n| n == "value").expect("there")].is_empty()
            );
        }
    }

    #[test]
    fn a_good_result_needs_no_warning() {
        assert_eq!(lines(&samples::done()), Vec::<String>::new());
    }
}
