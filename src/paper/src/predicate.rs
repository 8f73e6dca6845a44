//! What a sentence says, as data: one type for each kind of check.

use dygl_spec::name::Named;
use dygl_spec::reported::Printed;
use dygl_spec::source::At;
use serde::Serialize;

/// A sentence of the paper and what it amounts to.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    pub id: String,
    /// `4.2`, `Figure 1`: where it stands.
    pub section: String,
    /// As printed.
    pub quote: String,
    pub checks: Vec<Check>,
}

impl Claim {
    /// `Section 4.2`, `Figure 1`.
    pub fn place(&self) -> String {
        if self.section.starts_with(|c: char| c.is_ascii_digit()) {
            format!("Section {}", self.section)
        } else {
            self.section.clone()
        }
    }
}

/// One predicate and its place in the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    pub predicate: Predicate,
    pub(super) at: At,
}

/// Every kind of check; `experiments/claims.toml` describes them for authors.
#[derive(Debug, Clone, PartialEq)]
pub enum Predicate {
    Value(Value),
    Change(Change),
    Best(Best),
    OnlyAbove(OnlyAbove),
    Groups(Groups),
    Falls(Falls),
    Most(Most),
    Cheaper(Cheaper),
    CostsLess(CostsLess),
    Members(Members),
    Images(Images),
    Ratio(Ratio),
    Count(Count),
    Prints(Prints),
    Quantity(Quantity),
    Arithmetic(Arithmetic),
    Measured(Measured),
}

impl Predicate {
    /// The word after `says`.
    pub fn word(&self) -> &'static str {
        match self {
            Predicate::Value(_) => "value",
            Predicate::Change(change) if change.is_drop => "drop",
            Predicate::Change(_) => "gain",
            Predicate::Best(_) => "best",
            Predicate::OnlyAbove(_) => "only-above",
            Predicate::Groups(_) => "groups",
            Predicate::Falls(_) => "falls",
            Predicate::Most(_) => "most",
            Predicate::Cheaper(_) => "cheaper",
            Predicate::CostsLess(_) => "costs-less",
            Predicate::Members(_) => "members",
            Predicate::Images(_) => "images",
            Predicate::Ratio(_) => "ratio",
            Predicate::Count(_) => "count",
            Predicate::Prints(_) => "prints",
            Predicate::Quantity(_) => "quantity",
            Predicate::Arithmetic(sum) if sum.is_product => "product",
            Predicate::Arithmetic(_) => "sum",
            Predicate::Measured(_) => "measured",
        }
    }

    /// Every word after `says`.
    pub const WORDS: [&'static str; 19] = [
        "value",
        "gain",
        "drop",
        "best",
        "only-above",
        "groups",
        "falls",
        "most",
        "cheaper",
        "costs-less",
        "members",
        "images",
        "ratio",
        "count",
        "prints",
        "quantity",
        "sum",
        "product",
        "measured",
    ];
}

/// Networks by name or by group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rival {
    Model(Named),
    Group(String),
}

/// `model` has these values of metrics on `dataset`.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    pub model: Named,
    pub dataset: String,
    pub table: Option<u8>,
    pub values: Vec<(String, Printed)>,
}

/// `model` is above (or below) `reference` by so many percent.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub model: Named,
    pub reference: Named,
    pub is_drop: bool,
    pub dataset: String,
    pub table: Option<u8>,
    pub values: Vec<(String, Printed)>,
}

/// How a percentage is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reading {
    /// A difference of two percentages.
    Points,
    /// A difference over the reference.
    Relative,
}

/// `model` is above its rivals. An empty list means all: datasets, metrics, rivals.
#[derive(Debug, Clone, PartialEq)]
pub struct Best {
    pub model: Named,
    pub than: Vec<Rival>,
    pub except: Vec<Named>,
    pub datasets: Vec<String>,
    pub metrics: Vec<String>,
    pub table: Option<u8>,
    /// The sentence is not limited to `metrics`.
    pub unqualified: bool,
    /// It says "almost", or only implies it.
    pub hedged: bool,
}

/// Exactly the networks of `above` are above `model`.
#[derive(Debug, Clone, PartialEq)]
pub struct OnlyAbove {
    pub model: Named,
    pub above: Vec<Named>,
    pub dataset: String,
    pub metric: String,
    pub table: Option<u8>,
}

/// The networks of some groups are above those of others.
#[derive(Debug, Clone, PartialEq)]
pub struct Groups {
    pub above: Vec<String>,
    pub below: Vec<String>,
    pub datasets: Vec<String>,
    pub metrics: Vec<String>,
    /// Only the groups' means are compared.
    pub by_mean: bool,
    pub hedged: bool,
}

/// Each of `models` is below `from`.
#[derive(Debug, Clone, PartialEq)]
pub struct Falls {
    pub models: Vec<Named>,
    pub from: Named,
    pub datasets: Vec<String>,
    pub metrics: Vec<String>,
    pub table: Option<u8>,
}

/// The drop from `from` is largest on `datasets`.
#[derive(Debug, Clone, PartialEq)]
pub struct Most {
    pub model: Named,
    pub from: Named,
    pub datasets: Vec<String>,
    pub metric: String,
    pub table: Option<u8>,
}

/// `model` has less of `metrics` of table 7.
#[derive(Debug, Clone, PartialEq)]
pub struct Cheaper {
    pub model: Named,
    pub than: Vec<Rival>,
    pub metrics: Vec<String>,
    /// The sentence does not say than which networks.
    pub vague: bool,
}

/// `model` costs less than each of `than`, by what the ledger counts.
#[derive(Debug, Clone, PartialEq)]
pub struct CostsLess {
    pub model: Named,
    pub than: Vec<Named>,
    pub by: Vec<Expense>,
}

/// What a network has few or many of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expense {
    Parameters,
    Operations,
}

impl Expense {
    pub const WORDS: [&'static str; 2] = ["parameters", "operations"];

    pub fn word(self) -> &'static str {
        match self {
            Expense::Parameters => "parameters",
            Expense::Operations => "operations",
        }
    }
}

/// A group consists of these networks.
#[derive(Debug, Clone, PartialEq)]
pub struct Members {
    pub group: String,
    pub models: Vec<Named>,
}

/// A dataset has so many images.
#[derive(Debug, Clone, PartialEq)]
pub struct Images {
    pub dataset: String,
    /// `images`, `train`, `validation`, `test` with what is said of them.
    pub counts: Vec<(&'static str, usize)>,
}

/// The parts of a dataset relate like this: train, validation, test.
#[derive(Debug, Clone, PartialEq)]
pub struct Ratio {
    pub dataset: String,
    pub parts: Vec<usize>,
}

/// There are so many datasets, metrics or models.
#[derive(Debug, Clone, PartialEq)]
pub struct Count {
    pub of: Counted,
    pub number: usize,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    Datasets,
    Metrics,
    Models,
}

impl Counted {
    pub const WORDS: [&'static str; 3] = ["datasets", "metrics", "models"];

    pub fn word(self) -> &'static str {
        match self {
            Counted::Datasets => "datasets",
            Counted::Metrics => "metrics",
            Counted::Models => "models",
        }
    }
}

/// Every metric is printed for every dataset.
#[derive(Debug, Clone, PartialEq)]
pub struct Prints {
    pub metrics: Vec<String>,
    pub datasets: Vec<String>,
}

/// A named quantity has a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantity {
    pub name: String,
    /// As printed; `1e-3` is allowed.
    pub value: String,
}

/// `total` is the sum, or the product, of `parts`.
#[derive(Debug, Clone, PartialEq)]
pub struct Arithmetic {
    pub total: usize,
    pub parts: Vec<usize>,
    pub is_product: bool,
}

/// One of these metrics is printed.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    pub metrics: Vec<String>,
}

/// How one place of the paper spells things.
#[derive(Debug, Clone, PartialEq)]
pub struct Names {
    pub place: String,
    /// What is named (`dataset`, `network`, `metric`, `term`), its id, its spelling.
    pub forms: Vec<(&'static str, String, String)>,
}
