//! The table as data.

use serde::Serialize;

use crate::metric::Metric;

/// A table of results. Its JSON names are stable.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Table {
    /// Stem of its files.
    pub name: String,
    pub title: String,
    pub question: String,
    pub profile: String,
    /// What a reader must know before any number: substitutions, partial
    /// datasets, sizes, selection on the reported part, ...
    pub heading: Vec<String>,
    pub blocks: Vec<Block>,
    /// Texts of the numbered marks; mark 1 is the first.
    pub footnotes: Vec<String>,
    /// What the notation means, and the number of seeds.
    pub notes: Vec<String>,
    /// Whether any reported value stands beside a number.
    pub shows_reported: bool,
}

/// Rows under common columns: one dataset, or one metric of an ablation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Block {
    pub title: String,
    pub columns: Vec<Column>,
    pub groups: Vec<RowGroup>,
}

/// A column: one metric on one dataset.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Column {
    pub header: String,
    pub metric: Metric,
    /// Dataset that was asked for, `NAME,option=value`.
    pub dataset: String,
}

/// Rows of one family of networks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RowGroup {
    pub label: String,
    pub rows: Vec<Row>,
}

/// One network (with its settings).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    pub label: String,
    /// `NAME,option=value`.
    pub model: String,
    /// One per column.
    pub cells: Vec<TableCell>,
}

/// One printed value or mark.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct TableCell {
    /// `91.34`, `91.34 ± 0.20`, `failed`, `-`, ...
    pub text: String,
    pub emphasis: Emphasis,
    /// Numbers of the footnotes, 1-based.
    pub footnotes: Vec<usize>,
    /// The paper's value as printed, where it is comparable.
    pub reported: Option<String>,
    /// Section of the report that explains the value.
    pub anchor: Option<String>,
    /// Short keys of the values, one per seed.
    pub keys: Vec<String>,
    /// What the text summarizes, one per seed and attempt.
    pub entries: Vec<Entry>,
}

/// Rank within the column, decided on the printed digits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Emphasis {
    Best,
    Second,
    #[default]
    None,
}

/// One stored result behind a cell, in full precision.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    pub seed: u64,
    /// `done`, `failed`, `missing`, `altered`, `conflict`, ...
    pub state: String,
    pub reason: String,
    /// 0..1.
    pub value: Option<f64>,
    /// Images behind the value.
    pub images: Option<usize>,
    /// Dataset that was used, `NAME,option=value`.
    pub dataset: String,
    pub train_key: String,
    pub eval_key: Option<String>,
    pub attempt: Option<String>,
    /// `flex`, `libtorch-cpu`, ...
    pub numerics: Option<String>,
    /// Commit of the program that computed it.
    pub commit: Option<String>,
    pub dirty: Option<bool>,
}
