//! Whether a paper agrees with itself. `claims.toml` holds its sentences as typed
//! predicates, `reported.toml` its printed numbers; from the two, and from a ledger
//! of costs where there is one, every contradiction is derived. No finding is
//! written down anywhere: other numbers give other findings.
//!
//! Checks of sentences are in [`judge`], [`rank`] and [`expense`], those that need
//! no sentence (sums, means, bounds, repeats, spellings) in [`general`] and
//! [`relations`].

mod expense;
mod general;
mod judge;
mod numbers;
pub mod predicate;
mod rank;
mod read;
mod relations;
mod row;
#[cfg(test)]
mod tests;
pub mod text;

use std::collections::BTreeMap;

use dygl_spec::diagnostic::{Diagnostic, Diagnostics};
use dygl_spec::embedded;
use dygl_spec::ledger::Ledger;
use dygl_spec::reported::Reported;
use dygl_spec::source::{Origin, SourceMap};
use predicate::{Claim, Names};
use serde::Serialize;

pub use expense::networks_to_count;

/// The sentences of a paper.
#[derive(Debug, Clone)]
pub struct Claims {
    /// Title of the paper.
    pub title: String,
    /// The rule by which an epoch is selected, where the paper states one that needs
    /// no validation images.
    pub selection: Option<String>,
    /// The sentences, in the order of the file.
    pub claims: Vec<Claim>,
    /// How places of the paper spell things.
    pub names: Vec<Names>,
    sources: SourceMap,
}

impl Claims {
    /// Reads the format of `claims.toml`; its words are those of `reported`.
    ///
    /// # Errors
    /// All mistakes, each with its place.
    pub fn parse(origin: Origin, text: &str, reported: &Reported) -> Result<Self, Diagnostics> {
        let mut sources = SourceMap::default();
        let source = sources.add(origin, text);
        let known = read::Known::of(reported);
        let mut reader = read::Reader { known: &known, found: Vec::new() };
        let file = reader.file(&sources, source);
        match file {
            Some(file) if reader.found.is_empty() => Ok(Self {
                title: file.title,
                selection: file.selection,
                claims: file.claims,
                names: file.names,
                sources,
            }),
            _ => {
                let mut diagnostics = Diagnostics { sources, list: reader.found };
                diagnostics.sort();
                Err(diagnostics)
            }
        }
    }

    /// The sentences of the DyGLNet paper, which are built into the program.
    ///
    /// # Errors
    /// Words that `reported` does not know.
    pub fn embedded(reported: &Reported) -> Result<Self, Diagnostics> {
        Self::parse(Origin::Embedded("experiments/claims.toml"), embedded::CLAIMS, reported)
    }
}

/// What a finding is about; also their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    /// Images of the datasets, and their parts.
    Datasets,
    /// Numbers of the text that a table prints otherwise.
    Values,
    /// Gains and drops in percent.
    Percentages,
    /// Which network is best, or above which others.
    Ranks,
    /// Networks of one group against those of another.
    Groups,
    /// What is lost where a component is left out.
    Ablation,
    /// Parameters and operations.
    Costs,
    /// Printed numbers that do not follow from others as they should: means, rows printed twice, bounds.
    Relations,
    /// More equal values than chance makes likely.
    Repeats,
    /// Quantities of the method and of its setup.
    Method,
    /// Statements that no printed number can show.
    Evidence,
    /// Spellings of datasets, networks, metrics and terms.
    Names,
}

impl Topic {
    /// In the order of reports.
    pub const ALL: [Topic; 12] = [
        Topic::Datasets,
        Topic::Values,
        Topic::Percentages,
        Topic::Ranks,
        Topic::Groups,
        Topic::Ablation,
        Topic::Costs,
        Topic::Relations,
        Topic::Repeats,
        Topic::Method,
        Topic::Evidence,
        Topic::Names,
    ];

    /// Heading of its findings.
    pub fn title(self) -> &'static str {
        match self {
            Topic::Datasets => "Datasets and their parts",
            Topic::Values => "Numbers in the text",
            Topic::Percentages => "Percentages",
            Topic::Ranks => "Ranks",
            Topic::Groups => "Groups of networks",
            Topic::Ablation => "Ablation",
            Topic::Costs => "Costs",
            Topic::Relations => "Numbers that follow from others",
            Topic::Repeats => "Repeated values",
            Topic::Method => "Method",
            Topic::Evidence => "Statements without a number",
            Topic::Names => "Names",
        }
    }
}

/// How much a finding weighs; the heaviest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The numbers refute it.
    Contradiction,
    /// It holds in part, or only as a tie.
    Overstatement,
    /// It can be read in several ways, or is left open.
    Ambiguity,
    /// No printed number shows it.
    Unsupported,
    /// More equal values than chance makes likely.
    Coincidence,
    /// One thing has several spellings.
    Spelling,
}

impl Severity {
    /// The heaviest first.
    pub const ALL: [Severity; 6] = [
        Severity::Contradiction,
        Severity::Overstatement,
        Severity::Ambiguity,
        Severity::Unsupported,
        Severity::Coincidence,
        Severity::Spelling,
    ];

    /// As JSON spells it.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Contradiction => "contradiction",
            Severity::Overstatement => "overstatement",
            Severity::Ambiguity => "ambiguity",
            Severity::Unsupported => "unsupported",
            Severity::Coincidence => "coincidence",
            Severity::Spelling => "spelling",
        }
    }

    /// For people: a clause without a capital or a full stop.
    pub fn meaning(self) -> &'static str {
        match self {
            Severity::Contradiction => "the numbers refute it",
            Severity::Overstatement => "it holds in part, or only as a tie",
            Severity::Ambiguity => "it can be read in several ways, or is left open",
            Severity::Unsupported => "no printed number shows it",
            Severity::Coincidence => "more equal values than chance makes likely",
            Severity::Spelling => "one thing has several spellings",
        }
    }
}

/// A printed number that a finding rests on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Cell {
    /// Number of the table.
    pub table: u8,
    /// Id of the dataset; `all` for means over all of them.
    pub dataset: String,
    /// Empty in table 1.
    pub model: String,
    /// Name of the metric, or of the part in table 1.
    pub metric: String,
    /// As the paper prints it, digit for digit.
    pub printed: String,
}

/// Something in which the paper does not agree with itself. JSON names are stable.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// `kvasir-over-cmunext/gain`, `split-sum/brain-mri`.
    pub id: String,
    /// What it is about.
    pub topic: Topic,
    /// How much it weighs.
    pub severity: Severity,
    /// The sentence's id; none for checks that need no sentence.
    pub claim: Option<String>,
    /// `Section 4.2`, `Table 1`.
    pub place: String,
    /// As printed; empty where no sentence is meant.
    pub quote: String,
    /// What the numbers say, in a sentence.
    pub says: String,
    /// The single cases, one text each; empty where there are none.
    pub details: Vec<String>,
    /// An earlier finding of which the numbers say just the same.
    pub same_as: Option<String>,
    /// What was printed.
    pub cells: Vec<Cell>,
    /// What was computed.
    pub figures: BTreeMap<String, f64>,
}

/// A check that held.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Held {
    /// Id of the sentence and kind of the check: `kvasir-over-cmunext/gain`.
    pub id: String,
    /// Where the sentence stands: `Section 4.2`, `Figure 1`.
    pub place: String,
    /// The sentence as printed.
    pub quote: String,
    /// What the numbers say, in words.
    pub says: String,
}

/// A check that could not be made.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Unchecked {
    /// Id of the sentence and kind of the check, or of a check that needs no sentence.
    pub id: String,
    /// What the check is about: `Section 4.2`, `Table 7`.
    pub place: String,
    /// The sentence as printed; empty where none is meant.
    pub quote: String,
    /// What it would have needed.
    pub why: String,
}

/// A check that needs no sentence, and over how much it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct General {
    /// What is checked, in words.
    pub name: &'static str,
    /// Cases that were looked at.
    pub examined: usize,
    /// Findings among them.
    pub found: usize,
}

/// Everything that was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Audit {
    /// Title of the paper.
    pub title: String,
    /// Sentences that were read.
    pub sentences: usize,
    /// Everything that was asked: what held, what was found and what could not be checked.
    /// A sentence may be asked twice, about what is printed and about what was counted.
    pub checks: usize,
    /// By topic, then by weight.
    pub findings: Vec<Finding>,
    /// Checks of sentences that the numbers bear out.
    pub held: Vec<Held>,
    /// Checks for which something is missing, such as a ledger of costs.
    pub unchecked: Vec<Unchecked>,
    /// Quantities that one sentence states and nothing else does.
    pub alone: usize,
    /// Checks that need no sentence, in their order.
    pub general: Vec<General>,
}

impl Audit {
    /// Findings of a weight.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// Findings that rest on a sentence; the others come from [`Audit::general`].
    pub fn of_sentences(&self) -> usize {
        self.findings.iter().filter(|finding| finding.claim.is_some()).count()
    }

    /// The findings of a topic, heaviest first.
    pub fn of(&self, topic: Topic) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| finding.topic == topic)
    }
}

/// What a check came to, before it knows its sentence.
#[derive(Debug, Clone, PartialEq)]
enum Verdict {
    Holds(String),
    Unchecked(String),
    Found(Draft),
}

/// A finding without its sentence.
#[derive(Debug, Clone, PartialEq)]
struct Draft {
    /// Tells apart what one check found: `tie`; empty for its main finding.
    suffix: &'static str,
    topic: Topic,
    severity: Severity,
    says: String,
    details: Vec<String>,
    cells: Vec<Cell>,
    figures: BTreeMap<String, f64>,
}

impl Draft {
    fn new(topic: Topic, severity: Severity, says: impl Into<String>) -> Self {
        Self {
            suffix: "",
            topic,
            severity,
            says: says.into(),
            details: Vec::new(),
            cells: Vec::new(),
            figures: BTreeMap::new(),
        }
    }

    fn figure(mut self, name: impl Into<String>, value: f64) -> Self {
        self.figures.insert(name.into(), value);
        self
    }

    fn finding(self, id: String, place: String, sentence: Option<&Claim>) -> Finding {
        Finding {
            id: if self.suffix.is_empty() { id } else { format!("{id}/{}", self.suffix) },
            topic: self.topic,
            severity: self.severity,
            claim: sentence.map(|claim| claim.id.clone()),
            place,
            quote: sentence.map(|claim| claim.quote.clone()).unwrap_or_default(),
            says: self.says,
            details: self.details,
            same_as: None,
            cells: self.cells,
            figures: self.figures,
        }
    }
}

/// The printed numbers lack what a check asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Missing(String);

/// Holds the sentences against the numbers.
///
/// # Errors
/// Checks that ask for a number that is not printed, each with its place.
pub fn audit(claims: &Claims, reported: &Reported, costs: Option<&[Ledger]>) -> Result<Audit, Diagnostics> {
    let numbers = numbers::Numbers::new(reported);
    let judge = judge::Judge { numbers: &numbers, costs };
    let mut missing = Vec::new();
    let mut audit = Audit {
        title: claims.title.clone(),
        sentences: claims.claims.len(),
        checks: 0,
        findings: Vec::new(),
        held: Vec::new(),
        unchecked: Vec::new(),
        alone: 0,
        general: Vec::new(),
    };
    for claim in &claims.claims {
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for check in &claim.checks {
            let word = check.predicate.word();
            let times = seen.entry(word).or_default();
            *times += 1;
            let id = match *times {
                1 => format!("{}/{word}", claim.id),
                n => format!("{}/{word}-{n}", claim.id),
            };
            match judge.check(&check.predicate) {
                Ok(verdicts) => {
                    verdicts.into_iter().for_each(|verdict| audit.take(verdict, &id, claim));
                }
                Err(Missing(what)) => missing.push(
                    Diagnostic::new(check.at, what)
                        .help("the numbers come from `--reported` or are built in"),
                ),
            }
        }
    }
    if !missing.is_empty() {
        let mut diagnostics = Diagnostics { sources: claims.sources.clone(), list: missing };
        diagnostics.sort();
        return Err(diagnostics);
    }
    general::add(&mut audit, claims, &judge);
    audit.checks = audit.held.len() + audit.findings.len() + audit.unchecked.len();
    audit.findings.sort_by_key(|finding| (finding.topic, finding.severity));
    for i in 0..audit.findings.len() {
        let (before, finding) = (&audit.findings[..i], &audit.findings[i]);
        let is_same = |other: &&Finding| other.says == finding.says && other.details == finding.details;
        let first = before.iter().find(is_same).map(|other| other.id.clone());
        // Nothing is saved where there are no details.
        audit.findings[i].same_as = first.filter(|_| !audit.findings[i].details.is_empty());
    }
    Ok(audit)
}

impl Audit {
    fn take(&mut self, verdict: Verdict, id: &str, claim: &Claim) {
        let (id, place, quote) = (id.to_owned(), claim.place(), claim.quote.clone());
        match verdict {
            Verdict::Holds(says) => self.held.push(Held { id, place, quote, says }),
            Verdict::Unchecked(why) => self.unchecked.push(Unchecked { id, place, quote, why }),
            Verdict::Found(draft) => self.findings.push(draft.finding(id, place, Some(claim))),
        }
    }
}
