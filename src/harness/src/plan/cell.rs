//! One cell of a matrix: what is trained and evaluated once.

use serde::{Deserialize, Serialize};

use super::identity::sentence;
use crate::spec::name::Named;
use crate::spec::pretrained::Pretrained;
use crate::spec::protocol::Protocol;

/// A network on a dataset with a seed under a protocol.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Canonical: defaults left out.
    pub model: Named,
    /// The dataset that is used.
    pub dataset: Named,
    /// The dataset that the experiment asked for; differs from `dataset`
    /// where the profile puts a substitute in its place.
    pub asked: Named,
    pub seed: u64,
    /// The protocol with this cell's own settings applied.
    pub protocol: Protocol,
    /// What the weights start from; none is the random start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pretrained: Option<Pretrained>,
}

impl Cell {
    /// Whether the profile put another dataset in the place of the asked one.
    pub fn is_substituted(&self) -> bool {
        self.dataset != self.asked
    }

    /// `dyglnet on kvasir-seg, seed 42`, for people. Where there are several cells,
    /// [`names`](super::names) tells them apart by their settings.
    pub fn describe(&self) -> String {
        let start = self.pretrained.as_ref().map(|pretrained| pretrained.sha256.as_str());
        sentence(&self.model.to_string(), start, &self.dataset.to_string(), self.seed, "")
    }
}
