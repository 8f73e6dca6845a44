//! CSV for machines: one line per value (cell, metric, seed, attempt) in full
//! precision, with what is needed to trace it, and one for each mean over folds; for a
//! table of datasets one line per dataset and source, for a table of costs one per
//! network.

use std::collections::BTreeSet;

use super::super::costs::CostCard;
use super::super::datasets::{DatasetCard, Here, Numbers, Parts};
use super::super::model::Table;
use super::MarkupError;

type Writer = csv::Writer<Vec<u8>>;

/// `images` are those that `value` is the mean over, `skipped` those that were scored
/// and left out of it. Behind these stands a column for each setting in which cells
/// differ, under its path. A mean over folds has no seed.
const HEADER: [&str; 21] = [
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
    "skipped",
    "printed",
    "reported",
    "state",
    "reason",
    "train_key",
    "eval_key",
    "attempt",
    "numerics",
    "warning",
];

/// The table as CSV. `value` is in 0..1; `printed` and `reported` in percent.
pub fn csv(table: &Table) -> Result<String, MarkupError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    if !table.datasets.is_empty() {
        datasets(&mut writer, table)?;
    } else if !table.costs.is_empty() {
        costs(&mut writer, table)?;
    } else {
        scores(&mut writer, table)?;
    }
    let bytes = writer.into_inner().map_err(|e| MarkupError::Flush(e.to_string()))?;
    String::from_utf8(bytes).map_err(|e| MarkupError::Flush(e.to_string()))
}

fn scores(writer: &mut Writer, table: &Table) -> Result<(), MarkupError> {
    let rows = table.blocks.iter().flat_map(|block| &block.groups).flat_map(|group| &group.rows);
    let settings: BTreeSet<&str> = rows.flat_map(|row| row.settings.keys().map(String::as_str)).collect();
    writer.write_record(HEADER.iter().chain(&settings))?;
    for block in &table.blocks {
        for group in &block.groups {
            for row in &group.rows {
                let own: Vec<&str> =
                    settings.iter().map(|path| row.settings.get(*path).map_or("", String::as_str)).collect();
                for (column, cell) in block.columns.iter().zip(&row.cells) {
                    for entry in &cell.entries {
                        let count = |count: Option<usize>| count.map(|n| n.to_string()).unwrap_or_default();
                        // The shortest text that reads back as the same number.
                        let value = entry.value.map(|v| v.to_string()).unwrap_or_default();
                        let seed = entry.seed.map(|seed| seed.to_string()).unwrap_or_default();
                        let [images, skipped] = [entry.images, entry.skipped].map(count);
                        let warnings = entry.warnings.join(" ");
                        let fields = [
                            table.name.as_str(),
                            &table.profile,
                            &column.dataset,
                            &entry.dataset,
                            &group.label,
                            &row.label,
                            &row.model,
                            &seed,
                            column.metric.map(|m| m.name()).unwrap_or_default(),
                            &value,
                            &images,
                            &skipped,
                            &cell.text,
                            cell.reported.as_deref().unwrap_or_default(),
                            &entry.state,
                            &entry.reason,
                            &entry.train_key,
                            entry.eval_key.as_deref().unwrap_or_default(),
                            entry.attempt.as_deref().unwrap_or_default(),
                            entry.numerics.as_deref().unwrap_or_default(),
                            &warnings,
                        ];
                        writer.write_record(fields.iter().chain(&own))?;
                    }
                }
            }
        }
    }
    Ok(())
}

/// Single parameters and multiply-accumulates; `paper_*` as printed, in millions,
/// thousand millions and percent; `dice` in 0..1, empty without a result.
const COST_HEADER: [&str; 17] = [
    "table",
    "profile",
    "group",
    "label",
    "model",
    "size",
    "parameters",
    "operations",
    "published_parameters",
    "published_operations",
    "paper_parameters_m",
    "paper_operations_g",
    "paper_dice",
    "dice",
    "dice_images",
    "dice_departs",
    "keys",
];

fn costs(writer: &mut Writer, table: &Table) -> Result<(), MarkupError> {
    writer.write_record(COST_HEADER)?;
    for card in &table.costs {
        writer.write_record(cost(table, card))?;
    }
    Ok(())
}

fn cost(table: &Table, card: &CostCard) -> Vec<String> {
    let mut line: Vec<String> =
        [&table.name, &table.profile, card.group.label(), &card.label, &card.model].map(str::to_owned).into();
    let counts = [
        card.size as u64,
        card.parameters,
        card.operations,
        card.published.parameters,
        card.published.operations,
    ];
    line.extend(counts.map(|count| count.to_string()));
    line.extend(match &card.paper {
        Some(paper) => [&paper.parameters, &paper.operations, &paper.dice].map(ToString::to_string),
        None => Default::default(),
    });
    line.push(card.dice.value.map(|dice| dice.to_string()).unwrap_or_default());
    line.push(card.dice.value.map(|_| card.dice.images.to_string()).unwrap_or_default());
    line.extend([card.dice.departs.clone(), card.dice.keys.join(" ")]);
    line
}

/// Counts are empty where a source does not state them; `width` and `height`
/// are those of the network input.
const DATASET_HEADER: [&str; 16] = [
    "table",
    "profile",
    "dataset_asked",
    "dataset",
    "source",
    "state",
    "images",
    "expected",
    "train",
    "validation",
    "test",
    "width",
    "height",
    "modality",
    "digest",
    "split_digest",
];

fn datasets(writer: &mut Writer, table: &Table) -> Result<(), MarkupError> {
    writer.write_record(DATASET_HEADER)?;
    for card in &table.datasets {
        for (source, numbers) in [("paper", &card.paper), ("defined", &card.defined)] {
            if let Some(numbers) = numbers {
                writer.write_record(stated(table, card, source, numbers))?;
            }
        }
        writer.write_record(here(table, card))?;
    }
    Ok(())
}

fn line(table: &Table, card: &DatasetCard, source: &str, state: &str) -> Vec<String> {
    [&table.name, &table.profile, &card.asked, &card.used, source, state].map(str::to_owned).into()
}

fn parts(parts: Option<Parts>) -> [String; 3] {
    match parts {
        Some(parts) => [parts.train, parts.validation, parts.test].map(|images| images.to_string()),
        None => Default::default(),
    }
}

fn stated(table: &Table, card: &DatasetCard, source: &str, numbers: &Numbers) -> Vec<String> {
    let mut line = line(table, card, source, "stated");
    line.extend([numbers.images.to_string(), String::new()]);
    line.extend(parts(Some(numbers.parts)));
    line.extend(match numbers.resize {
        Some(sides) => sides.map(|side| side.to_string()),
        None => Default::default(),
    });
    line.extend([numbers.modality.clone(), String::new(), String::new()]);
    line
}

fn here(table: &Table, card: &DatasetCard) -> Vec<String> {
    let (state, counts, found, digests) = match &card.here {
        Here::Found { images, expected, parts, digest, split_digest, built_in, .. } => (
            if *built_in { "built-in" } else { "registered" },
            [images, expected].map(ToString::to_string),
            *parts,
            [digest, split_digest].map(String::clone),
        ),
        Here::Missing { .. } => ("missing", Default::default(), None, Default::default()),
        Here::Damaged { .. } => ("damaged", Default::default(), None, Default::default()),
    };
    let mut line = line(table, card, &card.source(), state);
    line.extend(counts);
    line.extend(parts(found));
    line.extend([card.size.to_string(), card.size.to_string(), String::new()]);
    line.extend(digests);
    line
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
        let stored = results.cells[0].state.finished()[0].eval.mean[&dygl_spec::metric::Metric::Dice];
        assert_eq!(value.to_bits(), stored.to_bits());
    }

    #[test]
    fn datasets_have_a_line_for_each_source() {
        let text = csv(&build(&samples::datasets(), &Paper)).expect("renders");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 1 + 4 * 3);
        assert_eq!(
            lines[1],
            "table1,paper,kvasir-seg,kvasir-seg,paper,stated,1000,,800,100,100,224,224,Colon polyp images,,"
        );
        assert!(
            lines[6].starts_with(
                "table1,paper,cvc-clinicdb,cvc-clinicdb,here,registered,62,612,50,6,6,224,224,,"
            )
        );
        assert!(lines[12].contains(",here,missing,,,,,,224,224,,,"), "{}", lines[12]);
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
