//! The numbers that the paper prints, from `experiments/reported.toml`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use super::embedded;
use super::name::Named;

/// A number as it is printed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Printed {
    /// `97.90`, digits as in the paper.
    pub text: String,
    /// The number that the digits spell.
    pub value: f64,
}

impl fmt::Display for Printed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl Printed {
    /// Reads `97.90`.
    ///
    /// # Errors
    /// Anything but digits with at most one point.
    pub fn parse(text: &str) -> Result<Self, String> {
        let digits = |c: char| c.is_ascii_digit() || c == '.';
        match text.parse() {
            Ok(value) if text.chars().all(digits) => Ok(Self { text: text.to_owned(), value }),
            _ => Err(format!("`{text}` is not a number")),
        }
    }

    /// Half of the last printed digit: the true value lies within this of `value`.
    pub fn rounding(&self) -> f64 {
        let decimals = self.text.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        0.5 * 10_f64.powi(-i32::try_from(decimals).unwrap_or(i32::MAX))
    }
}

/// A row label of the paper and the network behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportedModel {
    /// The network with its options.
    pub id: Named,
    /// As the paper's tables print it.
    pub label: String,
    /// `cnn`, `transformer`, `hybrid`, `ablation` or `ours`.
    pub group: String,
    /// Networks that the same numbers stand beside.
    #[serde(default)]
    pub also: Vec<Named>,
}

/// Where one number stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReportedValue<'a> {
    /// Number of the paper's table.
    pub table: u8,
    /// Dataset id; `all` for the mean over the seven.
    pub dataset: &'a str,
    /// The network of the row.
    pub model: &'a Named,
    /// A metric's name, or `mdice`, `params_m`, `flops_g`.
    pub metric: &'a str,
    /// The number, as it is printed.
    pub printed: &'a Printed,
}

/// A row of the paper's table 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportedDataset {
    /// Dataset id.
    pub id: String,
    /// As the paper prints it.
    pub label: String,
    /// Images in all.
    pub images: usize,
    /// Width and height of the network input, pixels.
    pub resize: [usize; 2],
    /// Images of the training part.
    pub train: usize,
    /// Left out where the paper prints N/A.
    #[serde(default)]
    pub validation: usize,
    /// Images of the test part.
    pub test: usize,
    /// What the images are, in the paper's words.
    pub modality: String,
}

/// Every printed number.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reported {
    /// The rows of table 1, in its order.
    pub datasets: Vec<ReportedDataset>,
    /// In the order of the tables.
    pub models: Vec<ReportedModel>,
    tables: Vec<Block>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Block {
    number: u8,
    dataset: String,
    metrics: Vec<String>,
    rows: Vec<(Named, Vec<Printed>)>,
}

/// Why the file is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReportedError {
    /// The file is not TOML of the expected form; what the parser says.
    #[error("failed to read the reported numbers: {0}")]
    Syntax(String),
    /// A row of a table cannot be taken.
    #[error("failed to read table {table}, {dataset}: {problem}")]
    Row {
        /// Number of the paper's table.
        table: u8,
        /// Dataset id of the block.
        dataset: String,
        /// What is wrong, in words.
        problem: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    dataset: Vec<ReportedDataset>,
    model: Vec<ReportedModel>,
    table: Vec<RawBlock>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBlock {
    number: u8,
    dataset: String,
    metrics: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Reported {
    /// Reads the format of `reported.toml`.
    ///
    /// # Errors
    /// Broken TOML, an unlisted model, a row of another length, a number that is none.
    pub fn parse(text: &str) -> Result<Self, ReportedError> {
        let raw: RawFile = toml::from_str(text).map_err(|error| ReportedError::Syntax(error.to_string()))?;
        let mut tables = Vec::new();
        for block in raw.table {
            let refuse = |problem: String| ReportedError::Row {
                table: block.number,
                dataset: block.dataset.clone(),
                problem,
            };
            let mut rows: Vec<(Named, Vec<Printed>)> = Vec::new();
            for row in &block.rows {
                let Some((id, numbers)) = row.split_first() else {
                    return Err(refuse("an empty row".into()));
                };
                let id = Named::parse(id).map_err(|error| refuse(error.to_string()))?;
                if !raw.model.iter().any(|model| model.id == id) {
                    return Err(refuse(format!("model `{id}` is not listed")));
                }
                if rows.iter().any(|(other, _)| *other == id) {
                    return Err(refuse(format!("model `{id}` has two rows")));
                }
                if numbers.len() != block.metrics.len() {
                    return Err(refuse(format!("`{id}` has {} numbers", numbers.len())));
                }
                let numbers: Result<Vec<Printed>, _> =
                    numbers.iter().map(|text| Printed::parse(text)).collect();
                rows.push((id, numbers.map_err(refuse)?));
            }
            tables.push(Block { number: block.number, dataset: block.dataset, metrics: block.metrics, rows });
        }
        Ok(Self { datasets: raw.dataset, models: raw.model, tables })
    }

    /// The printed number of a network (canonical name) in a table.
    pub fn value(&self, table: u8, dataset: &str, model: &Named, metric: &str) -> Option<&Printed> {
        let model = &self.model(model)?.id;
        self.tables.iter().filter(|block| block.number == table && block.dataset == dataset).find_map(
            |block| {
                let column = block.metrics.iter().position(|name| name == metric)?;
                let (_, numbers) = block.rows.iter().find(|(id, _)| id == model)?;
                numbers.get(column)
            },
        )
    }

    /// The row of a dataset in table 1.
    pub fn dataset(&self, id: &str) -> Option<&ReportedDataset> {
        self.datasets.iter().find(|dataset| dataset.id == id)
    }

    /// The paper's entry for a network.
    pub fn model(&self, model: &Named) -> Option<&ReportedModel> {
        self.models.iter().find(|entry| entry.id == *model || entry.also.contains(model))
    }

    /// Every number with its place, in the order of the tables.
    pub fn iter(&self) -> impl Iterator<Item = ReportedValue<'_>> {
        self.tables.iter().flat_map(|block| {
            block.rows.iter().flat_map(move |(model, numbers)| {
                block.metrics.iter().zip(numbers).map(move |(metric, printed)| ReportedValue {
                    table: block.number,
                    dataset: &block.dataset,
                    model,
                    metric,
                    printed,
                })
            })
        })
    }

    /// How many numbers each table has.
    pub fn counts(&self) -> BTreeMap<u8, usize> {
        let mut counts = BTreeMap::new();
        for value in self.iter() {
            *counts.entry(value.table).or_default() += 1;
        }
        counts
    }
}

/// The numbers that are built into the program, read once.
///
/// # Errors
/// Never for a program that passed its tests.
pub fn embedded() -> Result<&'static Reported, ReportedError> {
    static REPORTED: OnceLock<Result<Reported, ReportedError>> = OnceLock::new();
    REPORTED.get_or_init(|| Reported::parse(embedded::REPORTED)).as_ref().map_err(Clone::clone)
}

/// The row label of a network among them; none for one that merely shares numbers. The
/// numbers are not read: every start of the program wants labels, few want those.
pub fn embedded_label(model: &Named) -> Option<&'static str> {
    #[derive(Deserialize)]
    struct Head {
        model: Vec<ReportedModel>,
    }
    static MODELS: OnceLock<Vec<ReportedModel>> = OnceLock::new();
    let models = MODELS.get_or_init(|| {
        let head = embedded::REPORTED.split("\n[[table]]").next().unwrap_or_default();
        toml::from_str(head).map(|head: Head| head.model).unwrap_or_default()
    });
    models.iter().find(|entry| entry.id == *model).map(|entry| entry.label.as_str())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn named(text: &str) -> Named {
        Named::parse(text).expect("valid")
    }

    fn text(table: u8, dataset: &str, model: &str, metric: &str) -> &'static str {
        let reported = embedded().expect("readable");
        &reported.value(table, dataset, &named(model), metric).expect("printed").text
    }

    #[test]
    fn labels_are_those_of_the_whole_file() {
        let reported = embedded().expect("readable");
        assert_eq!(reported.models.len(), 20);
        for entry in &reported.models {
            assert_eq!(embedded_label(&entry.id), Some(entry.label.as_str()));
        }
        assert_eq!(embedded_label(&named("unet,variant=table-exact")), None);
    }

    #[test]
    fn all_593_numbers_are_there() {
        let counts = embedded().expect("readable").counts();
        assert_eq!(counts.values().sum::<usize>(), 593);
        assert_eq!(counts, BTreeMap::from([(2, 156), (3, 78), (4, 104), (5, 104), (6, 112), (7, 39)]));
    }

    #[test]
    fn spot_checks_keep_the_printed_digits() {
        assert_eq!(text(2, "kvasir-seg", "unet", "specificity"), "97.90");
        assert_eq!(text(2, "kvasir-seg", "dyglnet", "dice"), "91.34");
        assert_eq!(text(6, "glas", "dyglnet,upsample=transposed", "iou"), "88.09");
        assert_eq!(text(6, "tnbc", "dyglnet,split=local", "dice"), "75.63");
        assert_eq!(text(7, "all", "dyglnet", "flops_g"), "11.16");
        assert_eq!(text(7, "all", "unet,variant=table-exact", "params_m"), "31.04");
    }

    #[test]
    fn table_1_is_as_printed() {
        let reported = embedded().expect("readable");
        let sums: Vec<(&str, usize)> = reported
            .datasets
            .iter()
            .map(|d| (d.id.as_str(), d.images.abs_diff(d.train + d.validation + d.test)))
            .filter(|(_, missing)| *missing > 0)
            .collect();
        assert_eq!(reported.datasets.len(), 7);
        assert_eq!(sums, [("brain-mri", 9)], "the paper's own parts do not add up there, and only there");
        assert!(reported.datasets.iter().all(|d| d.resize == [224, 224]));
        assert_eq!(
            reported.dataset("isic2016").map(|d| (d.train, d.validation, d.test)),
            Some((900, 0, 379))
        );
    }

    #[test]
    fn rounding_follows_the_printed_digits() {
        let reported = embedded().expect("readable");
        let printed = reported.value(7, "all", &named("dcsau_net"), "params_m").expect("printed");
        assert!((printed.rounding() - 0.005).abs() < 1e-12);
    }

    #[test]
    fn the_full_model_reads_the_same_in_table_6_and_before() {
        let reported = embedded().expect("readable");
        let full = named("dyglnet");
        for value in reported.iter().filter(|v| v.table == 6 && *v.model == full) {
            let earlier = (2..=5).find_map(|t| reported.value(t, value.dataset, &full, value.metric));
            assert_eq!(earlier, Some(value.printed), "{} {}", value.dataset, value.metric);
        }
    }

    #[test]
    fn mean_dice_follows_from_the_seven_datasets() {
        let reported = embedded().expect("readable");
        for value in reported.iter().filter(|v| v.table == 7 && v.metric == "mdice") {
            let dice: Vec<f64> = reported
                .iter()
                .filter(|v| (2..=5).contains(&v.table) && v.metric == "dice" && v.model == value.model)
                .map(|v| v.printed.value)
                .collect();
            assert_eq!(dice.len(), 7, "{}", value.model);
            let mean = dice.iter().sum::<f64>() / 7.0;
            assert!((mean - value.printed.value).abs() <= 0.0051, "{}: {mean}", value.model);
        }
    }

    #[test]
    fn refusals_name_the_row() {
        let text = "model = [{ id = 'unet', label = 'U', group = 'cnn' }]\n[[table]]\nnumber = 2\n\
                    dataset = 'x'\nmetrics = ['dice']\nrows = [['unet', '9x']]\n";
        let error = Reported::parse(text).expect_err("refused");
        assert_eq!(error.to_string(), "failed to read table 2, x: `9x` is not a number");
    }

    /// Against the table extracted from the paper itself, where it is at hand.
    #[test]
    fn every_number_equals_the_papers() {
        let Ok(shared) = std::env::var("DYGL_SHARED") else {
            println!("skipped: DYGL_SHARED is not set");
            return;
        };
        let reported = embedded().expect("readable");
        let mut reader = csv::Reader::from_path(format!("{shared}/paper/tables.csv")).expect("tables.csv");
        let mut expected = BTreeSet::new();
        for record in reader.records() {
            let record = record.expect("a row");
            let model = reported.models.iter().find(|m| m.label == record[3]).expect("listed");
            assert_eq!(model.group, record[2]);
            let dataset = record[1].to_lowercase();
            expected.insert(format!("{} {dataset} {} {} {}", &record[0], model.id, &record[4], &record[5]));
        }
        let found: BTreeSet<String> = reported
            .iter()
            .map(|v| format!("{} {} {} {} {}", v.table, v.dataset, v.model, v.metric, v.printed.text))
            .collect();
        assert_eq!(found, expected);
    }
}
