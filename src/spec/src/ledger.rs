//! The cost ledger of a network: what it computes, what the paper's counter
//! would make of it, and where the two part.
//!
//! A worker folds it from a forward pass of the network itself
//! (`dygl-worker cost`); here it is only read.

mod size;

use std::collections::BTreeMap;

pub use size::{NoSize, Size};

use serde::{Deserialize, Serialize};

/// Costs of one image through a network.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Ledger {
    /// NAME or NAME,option=value,...
    pub model: String,
    /// Of the image.
    pub size: Size,
    /// Trainable values, each counted once.
    pub parameters: u64,
    /// As thop 0.1.1 counts, which made the paper's Table 7.
    pub published: Counted,
    /// As fvcore counts: a second opinion, for comparison with its totals.
    pub fvcore: u64,
    /// Multiply-accumulates of what the logits depend on.
    pub operations: u64,
    /// The same by kind, largest first.
    pub by_kind: Vec<KindCost>,
    /// What the published convention leaves out or counts too often.
    pub differences: Vec<Difference>,
    /// Values that the forward pass of a training step of one image leaves for
    /// its backward pass, as f32.
    pub activations: u64,
    /// What a pass must hold.
    pub memory: Memory,
    /// Each thing that was done, in order.
    pub layers: Vec<LayerCost>,
}

/// What a network holds in memory on the CPU, bytes, computed from the pass.
/// The workspace of kernels, the loss and the gradients on their way back are
/// not in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Memory {
    /// Images at once.
    pub batch: usize,
    /// Inference: the most activations that are alive at once, each from where
    /// it is computed to its last reader, the images among them.
    pub inference: u64,
    /// Training: the activations that the forward pass leaves for the backward
    /// pass.
    pub kept: u64,
    /// Parameters and running statistics.
    pub weights: u64,
    /// Gradients of the parameters.
    pub gradients: u64,
    /// The two moments of AdamW.
    pub optimizer: u64,
}

impl Memory {
    /// What a training step holds when its forward pass ends, with what the
    /// optimizer holds between steps.
    pub fn training(&self) -> u64 {
        self.kept + self.weights + self.gradients + self.optimizer
    }
}

/// Parameters and operations by a convention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counted {
    /// Parameters, as the convention counts them.
    pub parameters: u64,
    /// Operations, as the convention counts them.
    pub operations: u64,
}

/// What a kind of operation costs in all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KindCost {
    /// In words: `convolution`, `layer norm`.
    pub kind: String,
    /// How often it is done on the way to the logits.
    pub calls: u64,
    /// Multiply-accumulates of those calls.
    pub operations: u64,
    /// What the published convention counts for all calls, those in vain included.
    pub published: u64,
}

/// A reason why the published figures are not the true ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// In which way the figures part.
    pub kind: DifferenceKind,
    /// In words, with what it concerns.
    pub what: String,
    /// Published minus true.
    pub operations: i64,
    /// Published minus true.
    pub parameters: i64,
}

/// How the published convention parts from what is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DifferenceKind {
    /// The convention has no rule for it, or cannot see it.
    NotCounted,
    /// Counted once for every name under which it is registered.
    RegisteredTwice,
    /// The rule gives another figure than the operation takes.
    OtherRule,
    /// The reference computes it in vain.
    InVain,
}

impl DifferenceKind {
    /// What the convention does, before what it does it to.
    pub fn words(self) -> &'static str {
        match self {
            DifferenceKind::NotCounted => "not counted",
            DifferenceKind::RegisteredTwice => "counted for each name",
            DifferenceKind::OtherRule => "counted by another rule",
            DifferenceKind::InVain => "counted, though in vain",
        }
    }
}

/// One thing that was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerCost {
    /// Reference name of the layer, empty for what has no parameters.
    pub name: String,
    /// What was done, in words: `convolution`, `layer norm`.
    pub kind: String,
    /// Shape of what it reads, of a batch of one.
    pub input: Vec<usize>,
    /// Shape of what it gives, of a batch of one.
    pub output: Vec<usize>,
    /// Values of its parameters.
    pub parameters: u64,
    /// Multiply-accumulates that it takes, whatever its standing.
    pub operations: u64,
    /// What the published convention counts for it.
    pub published: u64,
    /// live, repeated, identity, ineffective or unread.
    pub standing: String,
}

impl Ledger {
    /// Sums of a breakdown by the first component of the layers' names.
    pub fn by_part(&self) -> BTreeMap<&str, u64> {
        let mut parts = BTreeMap::new();
        for layer in self.layers.iter().filter(|layer| layer.standing == "live") {
            let part = layer.name.split('.').next().unwrap_or_default();
            *parts.entry(part).or_default() += layer.operations;
        }
        parts
    }
}
