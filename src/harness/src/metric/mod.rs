//! Per-image scores: pure functions over masks.

use serde::{Deserialize, Serialize};

/// The six scores of the paper, in its column order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    Dice,
    Iou,
    Precision,
    Recall,
    Specificity,
    Accuracy,
}

impl Metric {
    pub const ALL: [Metric; 6] = [
        Metric::Dice,
        Metric::Iou,
        Metric::Precision,
        Metric::Recall,
        Metric::Specificity,
        Metric::Accuracy,
    ];

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
