//! Per-image scores: pure functions over masks.
//!
//! [`Counts`] of one image give its [`Scores`]; the scores of a part give a
//! [`Summary`] per metric. Every score is per image: nothing is pooled over
//! images before the mean.

mod counts;
mod scores;
mod summary;

pub use counts::Counts;
pub use scores::{Scores, scores};
pub use summary::{Summary, summarise};

use serde::{Deserialize, Serialize};

/// Two masks that do not belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the prediction has {predicted} pixels, the truth {truth}")]
pub struct LengthMismatch {
    /// Pixels of the prediction.
    pub predicted: usize,
    /// Pixels of the truth.
    pub truth: usize,
}

/// The six scores of the paper, in its column order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// 2 TP / (2 TP + FP + FN), the overlap relative to both masks together.
    Dice,
    /// TP / (TP + FP + FN), the intersection over the union.
    Iou,
    /// TP / (TP + FP), the share of the predicted foreground that is true.
    Precision,
    /// TP / (TP + FN), the share of the true foreground that is found.
    Recall,
    /// TN / (TN + FP), the share of the true background that is left alone.
    Specificity,
    /// (TP + TN) / all, the share of pixels that are right.
    Accuracy,
}

impl Metric {
    /// All six, in the paper's column order.
    pub const ALL: [Metric; 6] =
        [Metric::Dice, Metric::Iou, Metric::Precision, Metric::Recall, Metric::Specificity, Metric::Accuracy];

    /// `dice`, `iou`, ... as in TOML, CSV and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Dice => "dice",
            Metric::Iou => "iou",
            Metric::Precision => "precision",
            Metric::Recall => "recall",
            Metric::Specificity => "specificity",
            Metric::Accuracy => "accuracy",
        }
    }

    /// As the paper's tables print it.
    pub fn label(self) -> &'static str {
        match self {
            Metric::Dice => "Dice",
            Metric::Iou => "IoU",
            Metric::Precision => "Prec",
            Metric::Recall => "Recall",
            Metric::Specificity => "Spec",
            Metric::Accuracy => "Acc",
        }
    }
}
