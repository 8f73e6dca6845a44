//! What the store keeps of a run: the records, as JSON with stable names.

use std::collections::BTreeMap;

use dygl_spec::metric::Metric;
use dygl_spec::plan::Cell;
use serde::{Deserialize, Serialize};

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Outcome {
    /// It finished, and its result is there.
    Done,
    /// The worker stopped with an error.
    Failed {
        /// What went wrong, for people.
        message: String,
    },
    /// Loss or gradient became NaN or infinite, or the scores behind an epoch.
    Diverged {
        /// The epoch it happened in, from 1; of an evaluation the last.
        epoch: usize,
        /// 0 behind the last step of the epoch.
        step: usize,
        /// What is not finite, for people.
        message: String,
    },
    /// Stopped at its time limit (`ops.timeout_hours`).
    TimedOut {
        /// How long it had run.
        seconds: f64,
    },
    /// Ended for want of memory, of the machine or of a device.
    OutOfMemory {
        /// How it ended and what it held, for people.
        message: String,
    },
    /// An input changed while the run was under way: nothing is cached.
    Tainted {
        /// What changed, for people.
        message: String,
    },
}

impl Outcome {
    /// Whether the run finished and its result is there.
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
    /// Version of dygl that the run was made with.
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
    /// Vector instructions in use: `avx2`; empty where the worker could not tell.
    pub simd: String,
    /// Threads of the run.
    pub threads: usize,
    /// Name of the machine.
    pub host: String,
    /// Seconds since 1970, UTC.
    pub started: u64,
    /// When the run ended, seconds since 1970, UTC.
    pub finished: u64,
    /// Locked versions of the crates that compute.
    pub libraries: BTreeMap<String, String>,
}

/// The dataset of a run as it was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatasetFacts {
    /// `NAME,option=value`.
    pub id: String,
    /// Digest of the content, hex.
    pub digest: String,
    /// Digest of the ids of all parts, hex.
    pub split_digest: String,
    /// Images present.
    pub images: usize,
    /// Images of the whole dataset according to its manifest; equals `images` unless partial.
    pub expected: usize,
    /// Images of the training part.
    pub train: usize,
    /// Images of the validation part.
    pub validation: usize,
    /// Images of the test part.
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
    /// Whether images of the whole dataset are missing.
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
    /// The training key, 64 hex digits.
    pub key: String,
    /// What was trained.
    pub cell: Cell,
    /// Name of the profile that the run was started with.
    pub profile: String,
    /// How the training ended.
    pub outcome: Outcome,
    /// None where the dataset was not looked at.
    pub dataset: Option<DatasetFacts>,
    /// blake3 of `model.safetensors`; empty unless done.
    pub weights: String,
    /// Trainable values of the network; 0 unless done.
    pub parameters: u64,
    /// Epoch whose weights were kept, 1-based.
    pub selected_epoch: usize,
    /// Epochs trained, those before a resumption among them; 0 unless done.
    pub epochs_done: usize,
    /// Optimizer steps taken, those before a resumption among them; 0 unless done.
    pub steps_done: usize,
    /// Mean loss of the last epoch; 0 unless done.
    pub final_loss: f64,
    /// Seconds in all epochs, scoring the selection part included; 0 unless done.
    pub train_seconds: f64,
    /// Most resident memory of the worker since it last started; 0 where unknown.
    pub peak_memory_bytes: u64,
    /// How often the run was stopped and resumed.
    pub resumed: usize,
    /// None for the random start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Start>,
    /// Where the weights come from.
    pub provenance: Provenance,
}

/// Result of an evaluation: beside it lie `per_image.csv` and `samples/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvalRecord {
    /// The evaluation key, 64 hex digits.
    pub key: String,
    /// Key of the training that made the weights.
    pub train_key: String,
    /// blake3 of the `model.safetensors` that was scored.
    pub weights: String,
    /// blake3 of `per_image.csv`; empty unless done.
    pub scores: String,
    /// What was evaluated.
    pub cell: Cell,
    /// Name of the profile that the run was started with.
    pub profile: String,
    /// How the evaluation ended.
    pub outcome: Outcome,
    /// None where the dataset was not looked at.
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
    /// Images kept for the report; none unless done.
    pub samples: Vec<Sample>,
    /// Wall-clock seconds; 0 where the worker left no record.
    pub eval_seconds: f64,
    /// Where the scores come from.
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
    /// Dice of the image, 0..1.
    pub dice: f64,
}

/// One epoch of training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryRow {
    /// 1-based.
    pub epoch: usize,
    /// Of the last step of the epoch.
    pub learning_rate: f64,
    /// Training loss (eq. 15), mean over the images.
    pub loss: f64,
    /// Binary cross-entropy, unweighted, mean over the images.
    pub bce: f64,
    /// 1 - soft Dice, unweighted, mean over the images.
    pub dice_loss: f64,
    /// Mean Dice on the selection part, 0..1, in epochs that scored it; under
    /// `evaluate.empty = skip` an image that is empty in truth and prediction counts as 1.
    pub select_dice: Option<f64>,
    /// Global L2 norm of the gradient before clipping, mean over the images.
    pub gradient_norm: f64,
    /// Wall-clock time, scoring the selection part included.
    pub seconds: f64,
}

/// The scores of one image, 0..1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageScores {
    /// Image id in the dataset.
    pub id: String,
    /// Each score of the image by metric.
    pub scores: BTreeMap<Metric, f64>,
}

/// Seconds since 1970, UTC.
pub fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs())
}
