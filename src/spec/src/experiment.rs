//! Stage three: the resolved experiment. Nothing is left open; whoever holds one
//! needs neither the files nor the defaults.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::Value as Json;

use super::matrix::Matrix;
use super::name::Named;
use super::ops::Ops;
use super::protocol::Protocol;
use super::schema;
use super::source::Origin;
use crate::metric::Metric;

/// One question, ready to be expanded into cells.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Experiment {
    /// Stem of file names; letters, digits, `-` and `_`.
    pub name: String,
    pub title: String,
    pub question: String,
    pub profile: Profile,
    /// The protocol before the matrix's own settings.
    pub protocol: Protocol,
    pub matrix: Matrix,
    pub table: TableSpec,
    pub ops: Ops,
    pub marks: Marks,
    /// Every setting that differs from `protocol.toml`.
    pub departures: Vec<Departure>,
    /// What is allowed but must be said beside the numbers.
    pub warnings: Vec<String>,
    /// Experiment, protocol and profiles as they were found.
    pub sources: Vec<Origin>,
}

/// How large the experiment is run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Profile {
    pub name: String,
    pub description: String,
    /// Whether a dataset that lacks images may be used.
    pub partial: bool,
    pub substitutes: Vec<Substitute>,
}

/// A dataset that a profile puts in the place of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Substitute {
    pub asked: Named,
    pub used: Named,
}

/// Who gave a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// The paper states it.
    Paper,
    /// The paper leaves it open; the protocol says why this value was taken.
    Assumed,
    Profile,
    Experiment,
    CommandLine,
}

impl Mark {
    pub fn word(self) -> &'static str {
        match self {
            Mark::Paper => "paper",
            Mark::Assumed => "assumed",
            Mark::Profile => "profile",
            Mark::Experiment => "experiment",
            Mark::CommandLine => "command line",
        }
    }
}

/// The mark of every setting by its path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Marks(pub(super) BTreeMap<String, Mark>);

impl Marks {
    pub fn get(&self, path: &str) -> Option<Mark> {
        self.0.get(path).copied()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, Mark)> {
        self.0.iter().map(|(path, mark)| (path.as_str(), *mark))
    }
}

/// A setting that differs from `protocol.toml`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Departure {
    pub path: String,
    pub base: Json,
    /// One value, or those of an axis.
    pub values: Vec<Json>,
    pub by: Mark,
}

impl Departure {
    /// The departure as one cell has it: with the value of that cell alone.
    pub fn in_cell(&self, protocol: &Protocol) -> String {
        match schema::setting(&self.path) {
            Some(setting) => {
                format!(
                    "{} = {} instead of {}",
                    self.path,
                    plain(&setting.value(protocol)),
                    plain(&self.base)
                )
            }
            None => self.to_string(),
        }
    }
}

impl fmt::Display for Departure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values: Vec<String> = self.values.iter().map(plain).collect();
        write!(f, "{} = {} instead of {}", self.path, values.join(" | "), plain(&self.base))
    }
}

/// A value for people: words without quotes.
pub fn plain(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What is rendered from the results.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableSpec {
    pub kind: TableKind,
    /// Number of the paper's table whose values stand beside; 0 for none.
    pub paper_table: u8,
    /// Columns, in this order.
    pub metrics: Vec<Metric>,
    pub arrange: Arrange,
}

/// Where a second dataset stands in a table of results.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arrange {
    /// Below the first, under the same columns (table 2).
    #[default]
    Below,
    /// Beside the first, with columns of its own (tables 4 and 5).
    Beside,
}

/// How results are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TableKind {
    /// A block for each dataset: rows are models, columns metrics (tables 2 to 5).
    Results,
    /// A block for each metric: rows are models, columns datasets (table 6).
    Ablation,
    /// Parameters and multiply-accumulates of each model beside its mean Dice (table 7).
    Cost,
    /// What the datasets are (table 1).
    Datasets,
    /// The same as bubble charts (figure 1).
    Bubble,
}

impl TableKind {
    /// Whether the table is about datasets alone and has no cells.
    pub fn may_lack_cells(self) -> bool {
        self == TableKind::Datasets
    }

    /// Whether it rests on cost ledgers: it makes sense without a single run.
    pub fn is_of_costs(self) -> bool {
        matches!(self, TableKind::Cost | TableKind::Bubble)
    }
}
