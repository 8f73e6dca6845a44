//! What the store keeps of a run: the records, as JSON with stable names.

use std::collections::BTreeMap;

use dygl_spec::metric::Metric;
use dygl_spec::plan::Cell;
use serde::{Deserialize, Serialize};

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Outcome {
    Done,
    /// The worker stopped with an error.
    Failed {
        message: String,
    },
    /// Loss or gradient became NaN or infinite, or the scores behind an epoch.
    Diverged {
        epoch: usize,
        /// 0 behind the last step of the epoch.
        step: usize,
        message: String,
    },
    TimedOut {
        seconds: f64,
    },
    OutOfMemory {
        message: String,
    },
    /// An input changed while the run was under way: nothing is cached.
    Tainted {
        message: String,
    },
}

impl Outcome {
    pub fn is_done(&self) -> bool {
        matches!(self, Outcome::Done)
    }

    /// One word for tables and lists.
    pub fn word(&self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Failed { .. } => "failed",
            Outcome::Diverged { .. } => "diverged",
            Outcome::TimedOut { .. } => "timed out",
            Outcome::OutOfMemory { .. } => "out of memory",
            Outcome::Tainted { .. } => "tainted",
        }
    }

    /// The reason, for people; empty when done.
    pub fn reason(&self) -> String {
        match self {
            Outcome::Done => String::new(),
            Outcome::Failed { message } | Outcome::OutOfMemory { message } | Outcome::Tainted { message } => {
                message.clone()
            }
            Outcome::Diverged { epoch, step: 0, message } => format!("after epoch {epoch}: {message}"),
            Outcome::Diverged { epoch, step, message } => format!("epoch {epoch}, step {step}: {message}"),
            Outcome::TimedOut { seconds } => {
                format!("stopped after {seconds:.0} s (ops.timeout_hours); --retry-failed runs it again")
            }
        }
    }
}

/// Where a result comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    pub dygl_version: String,
    /// Commit that the program was built from, or `unknown`.
    pub commit: String,
    /// Whether the tree held uncommitted changes at build time.
    pub dirty: bool,
    /// The numerics class: `flex`, `libtorch-cpu-avx2-2t`, ... In words:
    /// [`crate::key::numerics::words`].
    pub numerics: String,
    /// Human name of the device.
    pub device: String,
    pub simd: String,
    pub threads: usize,
    pub host: String,
    /// Seconds since 1970, UTC.
    pub started: u64,
    pub finished: u64,
    /// Locked versions of the crates that compute.
    pub libraries: BTreeMap<String, String>,
}

/// The dataset of a run as it was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatasetFacts {
    /// `NAME,option=value`.
    pub id: String,
    pub digest: String,
    pub split_digest: String,
    /// Images present.
    pub images: usize,
    /// Images of the whole dataset according to its manifest; equals `images` unless partial.
    pub expected: usize,
    pub train: usize,
    pub validation: usize,
    pub test: usize,
    /// Whether its terms allow showing its images to others.
    pub redistributable: bool,
    /// What of its masks is foreground, in words: `grey > 127`; empty in records of
    /// earlier versions.
    #[serde(default)]
    pub mask_rule: String,
    /// What speaks against the dataset as it was registered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub concerns: Vec<String>,
    /// The stored image value that is white, where the manifest states one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub white: Option<f64>,
}

impl DatasetFacts {
    pub fn is_partial(&self) -> bool {
        self.images < self.expected
    }
}

/// The weights of others that a training started from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// SHA-256 of the file.
    pub sha256: String,
    /// Where it lay.
    pub file: String,
    /// Tensors of the network that came from it.
    pub tensors: usize,
    /// Tensors of the network.
    pub of: usize,
}

/// Result of a training: beside it lie `history.csv` and `model.safetensors`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainRecord {
    pub key: String,
    pub cell: Cell,
    pub profile: String,
    pub outcome: Outcome,
    pub dataset: Option<DatasetFacts>,
    /// blake3 of `model.safetensors`; empty unless done.
    pub weights: String,
    pub parameters: u64,
    /// Epoch whose weights were kept, 1-based.
    pub selected_epoch: usize,
    pub epochs_done: usize,
    pub steps_done: usize,
    pub final_loss: f64,
    pub train_seconds: f64,
    pub peak_memory_bytes: u64,
    /// How often the run was stopped and resumed.
    pub resumed: usize,
    /// None for the random start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Start>,
    pub provenance: Provenance,
}

/// Result of an evaluation: beside it lie `per_image.csv` and `samples/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvalRecord {
    pub key: String,
    pub train_key: String,
    pub weights: String,
    /// blake3 of `per_image.csv`; empty unless done.
    pub scores: String,
    pub cell: Cell,
    pub profile: String,
    pub outcome: Outcome,
    pub dataset: Option<DatasetFacts>,
    /// Images scored.
    pub images: usize,
    /// Images left out of the means by the empty-mask rule.
    pub skipped: usize,
    /// Mean over the images, in 0..1.
    pub mean: BTreeMap<Metric, f64>,
    /// Standard deviation over the images (n - 1), in 0..1; 0 for one image.
    pub std: BTreeMap<Metric, f64>,
    /// Dice of predictors that look at no image, on the same part.
    pub trivial: Trivial,
    pub samples: Vec<Sample>,
    pub eval_seconds: f64,
    pub provenance: Provenance,
}

impl EvalRecord {
    /// Images in the means: those that were scored less those that were left out.
    pub fn averaged(&self) -> usize {
        self.images.saturating_sub(self.skipped)
    }
}

/// Mean Dice of the trivial predictors on the reported part.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Trivial {
    /// Everything is foreground.
    pub all_foreground: f64,
    /// The thresholded mean of the training masks, for every image.
    pub mean_mask: f64,
}

impl Trivial {
    /// What the better one does, as the end of "a predictor that ...", and its Dice.
    pub fn best(&self) -> (&'static str, f64) {
        if self.all_foreground >= self.mean_mask {
            ("marks everything as foreground", self.all_foreground)
        } else {
            ("gives the mean training mask for every image", self.mean_mask)
        }
    }
}

/// One image kept for the report: `samples/<file>.{image,truth,prediction}.png`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Image id in the dataset.
    pub id: String,
    /// Stem of the file names.
    pub file: String,
    /// `worst`, `median`, `best` or `other`.
    pub role: String,
    pub dice: f64,
}

/// One epoch of training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryRow {
    /// 1-based.
    pub epoch: usize,
    pub learning_rate: f64,
    pub loss: f64,
    pub bce: f64,
    pub dice_loss: f64,
    /// Mean Dice on the selection part, 0..1, in epochs that scored it; under
    /// `evaluate.empty = skip` an image that is empty in truth and prediction counts as 1.
    pub select_dice: Option<f64>,
    pub gradient_norm: f64,
    pub seconds: f64,
}

/// The scores of one image, 0..1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageScores {
    pub id: String,
    pub scores: BTreeMap<Metric, f64>,
}

/// Seconds since 1970, UTC.
pub fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs())
}
