//! What a sentence says, as data: one type for each kind of check.

use dygl_spec::name::Named;
use dygl_spec::reported::Printed;
use dygl_spec::source::At;
use serde::Serialize;

/// A sentence of the paper and what it amounts to.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// Short name, unique among the sentences.
    pub id: String,
    /// `4.2`, `Figure 1`: where it stands.
    pub section: String,
    /// As printed.
    pub quote: String,
    /// What the numbers are asked about it.
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
    /// What is asked.
    pub predicate: Predicate,
    pub(super) at: At,
}

/// Every kind of check; `experiments/claims.toml` describes them for authors.
#[derive(Debug, Clone, PartialEq)]
pub enum Predicate {
    /// Metrics have these values.
    Value(Value),
    /// One network is above or below another by so many percent.
    Change(Change),
    /// A network is above its rivals.
    Best(Best),
    /// Only these networks are above another.
    OnlyAbove(OnlyAbove),
    /// Groups of networks are above other groups.
    Groups(Groups),
    /// Networks are below another.
    Falls(Falls),
    /// A drop is largest on these datasets.
    Most(Most),
    /// A network has less of printed costs.
    Cheaper(Cheaper),
    /// A network has less of counted costs.
    CostsLess(CostsLess),
    /// A group consists of these networks.
    Members(Members),
    /// A dataset has so many images.
    Images(Images),
    /// The parts of a dataset relate like this.
    Ratio(Ratio),
    /// There are so many datasets, metrics or models.
    Count(Count),
    /// Metrics are printed for every dataset.
    Prints(Prints),
    /// A named quantity has a value; held against other sentences that state it.
    Quantity(Quantity),
    /// A sum or a product.
    Arithmetic(Arithmetic),
    /// A metric that would show it is printed.
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
    /// One network.
    Model(Named),
    /// All networks of a group, as the tables name it.
    Group(String),
}

/// `model` has these values of metrics on `dataset`.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// The network that the sentence is about.
    pub model: Named,
    /// Id of the dataset; `all` for means over all of them.
    pub dataset: String,
    /// The table that is meant; none: the first that prints all networks of the check.
    pub table: Option<u8>,
    /// Metrics with what the text says of them.
    pub values: Vec<(String, Printed)>,
}

/// `model` is above (or below) `reference` by so many percent.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The network that the sentence is about.
    pub model: Named,
    /// The network that it is held against.
    pub reference: Named,
    /// Whether `model` is said to be below `reference`, not above.
    pub is_drop: bool,
    /// Id of the dataset; `all` for means over all of them.
    pub dataset: String,
    /// The table that is meant; none: the first that prints all networks of the check.
    pub table: Option<u8>,
    /// Metrics with the percentages that the text states.
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
    /// The network that the sentence is about.
    pub model: Named,
    /// Those that it is said to be above; empty: all others.
    pub than: Vec<Rival>,
    /// Networks that are left out of the comparison.
    pub except: Vec<Named>,
    /// Ids of the datasets; empty: all.
    pub datasets: Vec<String>,
    /// The metrics that the sentence names; empty: all that the table prints.
    pub metrics: Vec<String>,
    /// The table that is meant; none: the first that prints all networks of the check.
    pub table: Option<u8>,
    /// The sentence is not limited to `metrics`.
    pub unqualified: bool,
    /// It says "almost", or only implies it.
    pub hedged: bool,
}

/// Exactly the networks of `above` are above `model`.
#[derive(Debug, Clone, PartialEq)]
pub struct OnlyAbove {
    /// The network that the sentence is about.
    pub model: Named,
    /// All that are said to be above it.
    pub above: Vec<Named>,
    /// Id of the dataset; `all` for means over all of them.
    pub dataset: String,
    /// The one metric that is compared.
    pub metric: String,
    /// The table that is meant; none: the first that prints all networks of the check.
    pub table: Option<u8>,
}

/// The networks of some groups are above those of others.
#[derive(Debug, Clone, PartialEq)]
pub struct Groups {
    /// Groups that are said to be above.
    pub above: Vec<String>,
    /// Groups that are said to be below; each is compared for itself.
    pub below: Vec<String>,
    /// Ids of the datasets; empty: all.
    pub datasets: Vec<String>,
    /// The metrics that are compared; at least one.
    pub metrics: Vec<String>,
    /// Only the groups' means are compared.
    pub by_mean: bool,
    /// It says "almost", or only implies it.
    pub hedged: bool,
}

/// Each of `models` is below `from`.
#[derive(Debug, Clone, PartialEq)]
pub struct Falls {
    /// Networks that are said to be lower.
    pub models: Vec<Named>,
    /// The network that they are held against.
    pub from: Named,
    /// Ids of the datasets; empty: all.
    pub datasets: Vec<String>,
    /// The metrics that the sentence names; empty: all that the table prints.
    pub metrics: Vec<String>,
    /// The table that is meant; none: the first that prints all networks of the check.
    pub table: Option<u8>,
}

/// The drop from `from` is largest on `datasets`.
#[derive(Debug, Clone, PartialEq)]
pub struct Most {
    /// The network that drops.
    pub model: Named,
    /// The network that it is held against.
    pub from: Named,
    /// Ids of the datasets where the drop is said to be largest.
    pub datasets: Vec<String>,
    /// The one metric that is compared.
    pub metric: String,
    /// The table that is meant; none: the first that prints all networks of the check.
    pub table: Option<u8>,
}

/// `model` has less of `metrics` of table 7.
#[derive(Debug, Clone, PartialEq)]
pub struct Cheaper {
    /// The network that the sentence is about.
    pub model: Named,
    /// Those that it is said to have less than; empty: all others.
    pub than: Vec<Rival>,
    /// Columns of table 7, such as `params_m`; at least one.
    pub metrics: Vec<String>,
    /// The sentence does not say than which networks.
    pub vague: bool,
}

/// `model` costs less than each of `than`, by what the ledger counts.
#[derive(Debug, Clone, PartialEq)]
pub struct CostsLess {
    /// The network that the sentence is about.
    pub model: Named,
    /// Those that it is said to cost less than.
    pub than: Vec<Named>,
    /// What each is compared by.
    pub by: Vec<Expense>,
}

/// What a network has few or many of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expense {
    /// Weights that are trained.
    Parameters,
    /// Multiply-accumulates of one image.
    Operations,
}

impl Expense {
    /// As `claims.toml` spells them, in the order of the variants.
    pub const WORDS: [&'static str; 2] = ["parameters", "operations"];

    /// As `claims.toml` spells it.
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
    /// As the tables name it.
    pub group: String,
    /// Its members, by the text.
    pub models: Vec<Named>,
}

/// A dataset has so many images.
#[derive(Debug, Clone, PartialEq)]
pub struct Images {
    /// Id of the dataset.
    pub dataset: String,
    /// `images`, `train`, `validation`, `test` with what is said of them.
    pub counts: Vec<(&'static str, usize)>,
}

/// The parts of a dataset relate like this: train, validation, test.
#[derive(Debug, Clone, PartialEq)]
pub struct Ratio {
    /// Id of the dataset.
    pub dataset: String,
    /// Whole numbers of train, validation and test; 0 for a part that there is not.
    pub parts: Vec<usize>,
}

/// There are so many datasets, metrics or models.
#[derive(Debug, Clone, PartialEq)]
pub struct Count {
    /// What is counted.
    pub of: Counted,
    /// How many the text says there are.
    pub number: usize,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Datasets of the tables.
    Datasets,
    /// Metrics of the tables.
    Metrics,
    /// Networks of the tables, those of the ablation left out.
    Models,
}

impl Counted {
    /// As `claims.toml` spells them, in the order of the variants.
    pub const WORDS: [&'static str; 3] = ["datasets", "metrics", "models"];

    /// As `claims.toml` spells it.
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
    /// The metrics, each of which is to be printed.
    pub metrics: Vec<String>,
    /// Ids of the datasets for which they are; empty: all.
    pub datasets: Vec<String>,
}

/// A named quantity has a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantity {
    /// What is stated, in the same words in every sentence that does.
    pub name: String,
    /// As printed; `1e-3` is allowed.
    pub value: String,
}

/// `total` is the sum, or the product, of `parts`.
#[derive(Debug, Clone, PartialEq)]
pub struct Arithmetic {
    /// What the text says comes out.
    pub total: usize,
    /// The summands or factors.
    pub parts: Vec<usize>,
    /// Whether `parts` are multiplied, not added.
    pub is_product: bool,
}

/// One of these metrics is printed.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Any one of them would do.
    pub metrics: Vec<String>,
}

/// How one place of the paper spells things.
#[derive(Debug, Clone, PartialEq)]
pub struct Names {
    /// `Table 2`, `Figure 3`: where it stands.
    pub place: String,
    /// What is named (`dataset`, `network`, `metric`, `term`), its id, its spelling.
    pub forms: Vec<(&'static str, String, String)>,
}
