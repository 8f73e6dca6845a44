//! CSV for machines: one line per value (cell, metric, seed, attempt) in full
//! precision, with what is needed to trace it.

use super::super::model::Table;
use super::MarkupError;

const HEADER: [&str; 19] = [
    "table",
    "profile",
    "dataset_asked",
    "dataset",
    "group",
    "label",
    "model",
    "seed",
    "metric",
    "value",
    "images",
    "printed",
    "reported",
    "state",
    "reason",
    "train_key",
    "eval_key",
    "attempt",
    "numerics",
];

/// The table as CSV. `value` is in 0..1; `printed` and `reported` in percent.
pub fn csv(table: &Table) -> Result<String, MarkupError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(HEADER)?;
    for block in &table.blocks {
        for group in &block.groups {
            for row in &group.rows {
                for (column, cell) in block.columns.iter().zip(&row.cells) {
                    for entry in &cell.entries {
                        // The shortest text that reads back as the same number.
                        let value = entry.value.map(|v| v.to_string()).unwrap_or_default();
                        writer.write_record([
                            table.name.as_str(),
                            &table.profile,
                            &column.dataset,
                            &entry.dataset,
                            &group.label,
                            &row.label,
                            &row.model,
                            &entry.seed.to_string(),
                            column.metric.name(),
                            &value,
                            &entry.images.map(|n| n.to_string()).unwrap_or_default(),
                            &cell.text,
                            cell.reported.as_deref().unwrap_or_default(),
                            &entry.state,
                            &entry.reason,
                            &entry.train_key,
                            entry.eval_key.as_deref().unwrap_or_default(),
                            entry.attempt.as_deref().unwrap_or_default(),
                            entry.numerics.as_deref().unwrap_or_default(),
                        ])?;
                    }
                }
            }
        }
    }
    let bytes = writer.into_inner().map_err(|e| MarkupError::Flush(e.to_string()))?;
    String::from_utf8(bytes).map_err(|e| MarkupError::Flush(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::super::super::build;
    use super::super::super::samples::{self, Paper};
    use super::*;

    #[test]
    fn values_read_back_exactly() {
        let results = samples::done();
        let text = csv(&build(&results, &Paper)).expect("renders");
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let first = reader.records().next().expect("a line").expect("valid");
        let value: f64 = first[9].parse().expect("a number");
        let stored = results.cells[0].state.finished()[0].eval.mean[&crate::metric::Metric::Dice];
        assert_eq!(value.to_bits(), stored.to_bits());
    }

    #[test]
    fn quotes_and_newlines_survive() {
        let mut results = samples::done();
        results.cells[0].label = "a \"b\",\nc".into();
        let text = csv(&build(&results, &Paper)).expect("renders");
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let first = reader.records().next().expect("a line").expect("valid");
        assert_eq!(&first[5], "a \"b\",\nc");
    }
}
