//! The table as data.

use std::collections::BTreeMap;

use dygl_spec::metric::Metric;
use serde::Serialize;

use super::costs::CostCard;
use super::datasets::DatasetCard;

/// A table of results. Its JSON names are stable.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Table {
    /// Stem of its files.
    pub name: String,
    /// The paper's table that it repeats.
    pub number: Option<u8>,
    /// Title of the experiment.
    pub title: String,
    /// The one question that the experiment answers.
    pub question: String,
    /// Name of the profile of settings.
    pub profile: String,
    /// What a reader must know before any number: substitutions, partial
    /// datasets, sizes, selection on the reported part, ...
    pub heading: Vec<String>,
    /// In the order in which they are printed.
    pub blocks: Vec<Block>,
    /// Texts of the numbered marks; mark 1 is the first.
    pub footnotes: Vec<String>,
    /// What the notation means, and the number of seeds.
    pub notes: Vec<String>,
    /// The one of the notes that says how many runs a value rests on.
    pub seeds: Option<String>,
    /// Whether any reported value stands beside a number.
    pub shows_reported: bool,
    /// What a table of datasets is made of; empty for a table of results.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub datasets: Vec<DatasetCard>,
    /// What a table of costs is made of; empty for every other.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub costs: Vec<CostCard>,
}

/// Rows under common columns: one dataset, several beside each other, or one
/// metric of an ablation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Block {
    /// The dataset, the datasets beside each other, or the metric; else what the block shows.
    pub title: String,
    /// Heading of the rows' labels.
    pub stub: &'static str,
    /// Headings over neighbouring columns, left to right, that together cover
    /// all of them; empty where the block's title says it.
    pub spans: Vec<Span>,
    /// From left to right.
    pub columns: Vec<Column>,
    /// From top to bottom.
    pub groups: Vec<RowGroup>,
}

/// A heading over so many columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Span {
    /// Text of the heading.
    pub title: String,
    /// Columns that it covers.
    pub columns: usize,
}

/// A column: one metric on one dataset, or one fact of the datasets.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Column {
    /// Text over the column.
    pub header: String,
    /// Absent where the column holds no score.
    pub metric: Option<Metric>,
    /// Dataset that was asked for, `NAME,option=value`; empty without a metric.
    pub dataset: String,
    /// Of the column's texts.
    pub align: Align,
}

/// On which side a column's texts begin or end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    #[default]
    Right,
}

/// Rows of one family of networks, or of one dataset.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RowGroup {
    /// Family of the networks, or the dataset.
    pub label: String,
    /// From top to bottom.
    pub rows: Vec<Row>,
}

/// One network (with its settings), or one source of facts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The network with its settings as the experiment words them, or the source of the facts.
    pub label: String,
    /// `NAME,option=value` of the network, else of the dataset.
    pub model: String,
    /// The row's own settings by path (`optimizer.learning_rate`), for people; a mean
    /// over folds has none of `split.fold`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// One per column.
    pub cells: Vec<TableCell>,
}

/// One printed value or mark.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct TableCell {
    /// `91.34`, `91.34 ± 0.20`, `failed`, `-`, ...
    pub text: String,
    /// Rank of the value in its column.
    pub emphasis: Emphasis,
    /// Numbers of the footnotes, 1-based.
    pub footnotes: Vec<usize>,
    /// The paper's value as printed, where it is comparable.
    pub reported: Option<String>,
    /// Where the report explains the value, relative to its index page: a
    /// run's page or a line of the list of runs.
    pub link: Option<String>,
    /// Short keys of the values, one per seed.
    pub keys: Vec<String>,
    /// What the text summarizes, one per seed and attempt.
    pub entries: Vec<Entry>,
}

/// Rank within the column, decided on the printed digits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Emphasis {
    /// The highest, or printed the same.
    Best,
    /// The next lower, or printed the same.
    Second,
    /// Any other, and where nothing is compared.
    #[default]
    None,
}

/// One stored result behind a cell, or the mean over folds, in full precision.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// None for what sums up several runs.
    pub seed: Option<u64>,
    /// `done`, `failed`, `missing`, `altered`, `conflict`, ...; `mean` of folds.
    pub state: String,
    /// Why there is no single number; empty where there is one.
    pub reason: String,
    /// 0..1.
    pub value: Option<f64>,
    /// Images that `value` is the mean over.
    pub images: Option<usize>,
    /// Images that were scored and left out of it.
    pub skipped: Option<usize>,
    /// Dataset that was used, `NAME,option=value`.
    pub dataset: String,
    /// Key of the training; empty for a mean over folds, or where the dataset is not there.
    pub train_key: String,
    /// Key of the evaluation; none for a mean over folds, or where there are no weights yet.
    pub eval_key: Option<String>,
    /// Short digest of the attempt; none where none stands behind it.
    pub attempt: Option<String>,
    /// `flex`, `libtorch-cpu`, ...
    pub numerics: Option<String>,
    /// Commit of the program that computed it.
    pub commit: Option<String>,
    /// Whether that program was built with uncommitted changes.
    pub dirty: Option<bool>,
    /// What a reader of the value must not overlook.
    pub warnings: Vec<String>,
}
