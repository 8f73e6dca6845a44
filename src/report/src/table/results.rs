//! What a table is made of: rows of data that the command layer has read from
//! the verified store. Nothing here opens a file.

use std::collections::BTreeMap;

use dygl_spec::metric::Metric;
use dygl_spec::name::Named;
use dygl_spec::network::Group;
use dygl_spec::plan::Cell;
use dygl_spec::{Arrange, Departure, TableKind};
use dygl_store::record::{EvalRecord, Outcome, Provenance, Sample, TrainRecord};
use image::{GrayImage, RgbImage};

use super::costs::CostCard;
use super::datasets::DatasetCard;
pub use dygl_store::record::{HistoryRow, ImageScores};

/// Characters of a digest that people are shown.
pub const SHORT: usize = 12;

/// Folder of the runs' pages in a report.
pub const PAGES: &str = "runs";

/// The first [`SHORT`] characters of a key or digest.
pub fn short(digest: &str) -> &str {
    digest.get(..SHORT).unwrap_or(digest)
}

/// Everything that one experiment's report is made of.
#[derive(Debug, Clone)]
pub struct Results {
    /// Stem of the files written beside the report (`table2`).
    pub name: String,
    /// Title of the experiment.
    pub title: String,
    /// The one question that the experiment answers.
    pub question: String,
    /// Name of the profile of settings.
    pub profile: String,
    /// Where the experiment departs from the paper's protocol.
    pub departures: Vec<Departure>,
    /// The table of the paper that this experiment repeats.
    pub paper_table: Option<u8>,
    /// What kind of table it is.
    pub kind: TableKind,
    /// Where a second dataset stands in a table of results.
    pub arrange: Arrange,
    /// The columns.
    pub metrics: Vec<Metric>,
    /// One for each cell of the matrix, in the order of the plan.
    pub cells: Vec<CellResult>,
    /// The rows of a table of datasets; empty for every other kind.
    pub datasets: Vec<DatasetCard>,
    /// The rows of a table of costs; empty for every other kind.
    pub costs: Vec<CostCard>,
    /// (path, value, mark) of each value of the protocol; the mark is `paper`,
    /// `assumed`, `profile`, `experiment` or `command line`.
    pub marks: Vec<(String, String, String)>,
    /// What stands below the table beside the usual notes: the experiment's warnings.
    pub notes: Vec<String>,
}

impl Results {
    /// Whether the experiment leaves the paper's protocol as it is.
    pub fn is_papers_protocol(&self) -> bool {
        self.departures.is_empty()
    }

    /// Whether runs have ended and the empty-mask rule left every image of every one
    /// out.
    pub fn is_all_skipped(&self) -> bool {
        let mut finished = self.cells.iter().flat_map(|cell| cell.state.finished()).peekable();
        finished.peek().is_some() && finished.all(Finished::is_all_skipped)
    }
}

/// One cell of the matrix and what became of it.
#[derive(Debug, Clone)]
pub struct CellResult {
    /// Network, dataset, seed and protocol.
    pub cell: Cell,
    /// The label of its row.
    pub label: String,
    /// The network's part of that label.
    pub model_label: String,
    /// The cell's own settings by path (`split.fold`), as the label words them.
    pub settings: BTreeMap<String, String>,
    /// Family of the network.
    pub group: Group,
    /// The dataset as the paper's tables print it; of a phantom what it is.
    pub dataset_title: String,
    /// Key of the training; empty where the dataset is not there.
    pub train_key: String,
    /// Key of the evaluation; none where there are no weights yet.
    pub eval_key: Option<String>,
    /// What became of it.
    pub state: CellState,
    /// What the stages of the run wrote while they ran.
    pub journals: Vec<Journal>,
}

/// What one stage of a run left beside its record.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Journal {
    /// `training` or `evaluation`.
    pub stage: &'static str,
    /// Short digest of the attempt.
    pub attempt: String,
    /// The last lines of its log.
    pub tail: Vec<String>,
    /// How many lines stand before them.
    pub earlier: usize,
    /// How often each event was told, by its name.
    pub events: Vec<(String, usize)>,
    /// Of a stage that ended without a result.
    pub provenance: Option<Provenance>,
}

/// What became of a cell.
#[derive(Debug, Clone)]
pub enum CellState {
    /// Trained and evaluated; every stored byte matched its manifest.
    Done(Box<Finished>),
    /// The run ended without a result.
    Failed {
        /// How it ended.
        outcome: Outcome,
        /// Short digest of the attempt; none where there is none.
        attempt: Option<String>,
    },
    /// There is nothing to show: never run, data missing, ...
    Missing {
        /// Why, for people.
        reason: String,
    },
    /// Stored bytes do not match their manifest: no number is shown.
    Altered {
        /// Path of the file that differs.
        file: String,
    },
    /// Done attempts whose digests differ: all are shown, marked.
    Conflict(Vec<Finished>),
}

impl CellState {
    /// One word for tables, lists and the CSV.
    pub fn word(&self) -> &'static str {
        match self {
            CellState::Done(_) => "done",
            CellState::Failed { outcome, .. } if outcome.is_done() => "failed",
            CellState::Failed { outcome, .. } => outcome.word(),
            CellState::Missing { .. } => "missing",
            CellState::Altered { .. } => "altered",
            CellState::Conflict(_) => "conflict",
        }
    }

    /// Why there is no single number; empty when there is one.
    pub fn reason(&self) -> String {
        match self {
            CellState::Done(_) => String::new(),
            CellState::Failed { outcome, .. } => match outcome.reason() {
                reason if reason.is_empty() => self.word().to_owned(),
                reason => format!("{}: {reason}", self.word()),
            },
            CellState::Missing { reason } => reason.clone(),
            CellState::Altered { file } => {
                format!("stored bytes of {file} do not match their manifest; no number is shown")
            }
            CellState::Conflict(attempts) => {
                let digests: Vec<&str> = attempts.iter().map(|a| short(&a.attempt)).collect();
                format!("finished attempts disagree: {}", digests.join(", "))
            }
        }
    }

    /// The attempts that carry numbers: one when done, several in conflict.
    pub fn finished(&self) -> &[Finished] {
        match self {
            CellState::Done(finished) => std::slice::from_ref(finished),
            CellState::Conflict(attempts) => attempts,
            CellState::Failed { .. } | CellState::Missing { .. } | CellState::Altered { .. } => &[],
        }
    }
}

impl CellResult {
    /// Path of the run's own page below the report's folder; none where there
    /// is nothing to tell of a run. The same cell in two tables has one page.
    pub fn page(&self) -> Option<String> {
        let told = !self.state.finished().is_empty() || matches!(self.state, CellState::Failed { .. });
        let key = self.eval_key.as_deref().unwrap_or(&self.train_key);
        let stem = slug(short(key));
        (told && !stem.is_empty()).then(|| format!("{PAGES}/{stem}.html"))
    }

    /// Id of the cell's line in the report's list of runs, the same for the
    /// same cell in two tables.
    pub fn anchor(&self) -> String {
        let name = format!(
            "cell-{}-on-{}-s{}",
            slug(&self.cell.model.to_string()),
            slug(&self.cell.dataset.to_string()),
            self.cell.seed
        );
        [Some(self.train_key.as_str()), self.eval_key.as_deref()]
            .into_iter()
            .flatten()
            .filter(|key| !key.is_empty())
            .fold(name, |name, key| format!("{name}-{}", slug(short(key))))
    }
}

/// Lower-case letters, digits and single hyphens: fit for ids and file names.
pub fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.trim_end_matches('-').to_owned()
}

/// One finished attempt: its two records and what lies beside them.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Record of the training.
    pub train: TrainRecord,
    /// Record of the evaluation.
    pub eval: EvalRecord,
    /// Short digest of the attempt.
    pub attempt: String,
    /// One row for each epoch of the training.
    pub history: Vec<HistoryRow>,
    /// One for each image that was scored.
    pub per_image: Vec<ImageScores>,
    /// The few images that the evaluation kept, at the network's size.
    pub samples: Vec<SampleImages>,
}

impl Finished {
    /// The mean of a metric, 0..1; none where every image was left out or where the
    /// record has no finite number.
    pub fn value(&self, metric: Metric) -> Option<f64> {
        let is_of_images = self.eval.averaged() > 0;
        self.eval.mean.get(&metric).copied().filter(|value| is_of_images && value.is_finite())
    }

    /// Whether the empty-mask rule left out every image that was scored.
    pub fn is_all_skipped(&self) -> bool {
        self.eval.images > 0 && self.eval.averaged() == 0
    }
}

/// One image kept for the report.
#[derive(Debug, Clone)]
pub struct SampleImages {
    /// What the record says of the image.
    pub sample: Sample,
    /// Absent where the store did not keep it.
    pub image: Option<RgbImage>,
    /// The true mask; foreground is what is not 0.
    pub truth: GrayImage,
    /// The predicted mask; foreground is what is not 0.
    pub prediction: GrayImage,
}

/// The numbers that the paper prints.
pub trait Reported {
    /// The value as printed, e.g. `97.90`.
    fn value(&self, table: u8, dataset: &str, model: &Named, metric: Metric) -> Option<String>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_safe_ids() {
        assert_eq!(slug("DyGLNet, w/o <SA> & \"more\" "), "dyglnet-w-o-sa-more");
        assert_eq!(slug("???"), "");
    }

    #[test]
    fn a_short_digest_may_already_be_short() {
        assert_eq!(short("0123456789abcdef"), "0123456789ab");
        assert_eq!(short("01"), "01");
    }

    #[test]
    fn only_what_ran_has_a_page_and_its_name_is_safe() {
        let mut results = super::super::samples::mixed();
        let with_page = results.cells.iter().filter(|cell| cell.page().is_some()).count();
        assert_eq!(with_page, 7, "altered and missing cells have none");
        results.cells[0].eval_key = Some("../<b>\"".into());
        assert_eq!(results.cells[0].page().as_deref(), Some("runs/b.html"));
    }

    #[test]
    fn reasons_name_the_cause() {
        let failed = CellState::Failed { outcome: Outcome::TimedOut { seconds: 60.0 }, attempt: None };
        assert_eq!(
            failed.reason(),
            "timed out: stopped after 60 s (ops.timeout_hours); --retry-failed runs it again"
        );
        assert!(CellState::Altered { file: "record.json".into() }.reason().contains("record.json"));
    }
}
