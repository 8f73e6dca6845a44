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
    /// Heading of its report.
    pub title: String,
    /// What it asks, in one sentence.
    pub question: String,
    /// How large it is run.
    pub profile: Profile,
    /// The protocol before the matrix's own settings.
    pub protocol: Protocol,
    /// The axes that its cells come from.
    pub matrix: Matrix,
    /// What is rendered from its results.
    pub table: TableSpec,
    /// How its runs are carried out; no part of any key.
    pub ops: Ops,
    /// Who gave each setting.
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
    /// As `--profile` and `profiles.toml` spell it.
    pub name: String,
    /// One sentence for reports, shown unless the profile is `paper`.
    pub description: String,
    /// Whether a dataset that lacks images may be used.
    pub partial: bool,
    /// What it uses in the place of other datasets; of a resolved experiment what concerns it alone.
    pub substitutes: Vec<Substitute>,
}

/// A dataset that a profile puts in the place of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Substitute {
    /// The dataset that the experiment asks for.
    pub asked: Named,
    /// The dataset that is used instead.
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
    /// The chosen profile sets it.
    Profile,
    /// The experiment's file sets it.
    Experiment,
    /// `--set` sets it.
    CommandLine,
}

impl Mark {
    /// For people: `paper`, `command line`.
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
    /// The mark of a setting; `None` where there is none of that path.
    pub fn get(&self, path: &str) -> Option<Mark> {
        self.0.get(path).copied()
    }

    /// Every path with its mark, sorted by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Mark)> {
        self.0.iter().map(|(path, mark)| (path.as_str(), *mark))
    }
}

/// A setting that differs from `protocol.toml`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Departure {
    /// `train.epochs`; of weights to start from `pretrained.` and the network.
    pub path: String,
    /// What `protocol.toml` has; of weights to start from `none`.
    pub base: Json,
    /// One value, or those of an axis.
    pub values: Vec<Json>,
    /// Who gave the values.
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
    /// How the results are laid out.
    pub kind: TableKind,
    /// Number of the paper's table whose values stand beside; 0 for none.
    pub paper_table: u8,
    /// Columns, in this order.
    pub metrics: Vec<Metric>,
    /// Where a second dataset stands.
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
