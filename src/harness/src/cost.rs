//! What one image costs a network, counted twice: as it is, and as the counter
//! counts it whose numbers the paper prints (thop). It is what an audit takes
//! from a [`Ledger`].

use serde::{Deserialize, Serialize};

use crate::ledger::{DifferenceKind, Ledger};
use crate::spec::name::{NameError, Named};

/// The entry of one network in the ledger of costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    pub model: Named,
    /// Side of the image, pixels; the operations are those of one such image.
    pub size: usize,
    /// Parameters, each tensor once.
    pub parameters: u64,
    /// Parameters as thop counts them.
    pub thop_parameters: u64,
    /// Operations as thop counts them; of the order of multiply-accumulates.
    pub thop_operations: u64,
    /// Multiply-accumulates that a forward pass carries out.
    pub true_operations: u64,
    /// Where the two counts part, largest first.
    pub notes: Vec<CostNote>,
}

/// One reason for which the two counts differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CostNote {
    pub kind: CostNoteKind,
    /// What thop's count lacks, or has too much; 0 where the note is not about parameters.
    pub parameters: u64,
    /// The same in operations.
    pub operations: u64,
    /// For people: `matrix products of the attention`.
    pub words: String,
}

/// Which way a count errs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CostNoteKind {
    /// thop leaves it out.
    NotCounted,
    /// thop counts it several times.
    CountedAgain,
}

impl CostNoteKind {
    pub fn words(self) -> &'static str {
        match self {
            CostNoteKind::NotCounted => "not counted",
            CostNoteKind::CountedAgain => "counted several times",
        }
    }
}

impl TryFrom<&Ledger> for Cost {
    type Error = NameError;

    fn try_from(ledger: &Ledger) -> Result<Self, Self::Error> {
        // What the counter has too much stands under one word, whether it counts
        // a module twice, a useless one, or each value by a larger factor.
        let notes = ledger.differences.iter().map(|difference| CostNote {
            kind: match difference.kind {
                DifferenceKind::NotCounted => CostNoteKind::NotCounted,
                _ if difference.operations < 0 => CostNoteKind::NotCounted,
                _ => CostNoteKind::CountedAgain,
            },
            parameters: difference.parameters.unsigned_abs(),
            operations: difference.operations.unsigned_abs(),
            words: difference.what.clone(),
        });
        Ok(Self {
            model: Named::parse(&ledger.model)?,
            size: ledger.size,
            parameters: ledger.parameters,
            thop_parameters: ledger.published.parameters,
            thop_operations: ledger.published.operations,
            true_operations: ledger.operations,
            notes: notes.collect(),
        })
    }
}
