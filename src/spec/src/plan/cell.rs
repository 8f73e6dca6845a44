//! One cell of a matrix: what is trained and evaluated once.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::identity::sentence;
use crate::name::Named;
use crate::pretrained::Pretrained;
use crate::protocol::Protocol;

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
    /// Of the random draws of training; the split has a seed of its own.
    pub seed: u64,
    /// The protocol with this cell's own settings applied; cells of the same settings share one.
    #[serde(with = "shared")]
    pub protocol: Arc<Protocol>,
    /// What the weights start from; none is the random start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pretrained: Option<Pretrained>,
}

/// A value behind an `Arc`, written and read as itself.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<T: Serialize, S: Serializer>(value: &Arc<T>, to: S) -> Result<S::Ok, S::Error> {
        value.as_ref().serialize(to)
    }

    pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Arc<T>, D::Error> {
        T::deserialize(from).map(Arc::new)
    }
}

impl Cell {
    /// The protocol, for a change of this cell alone.
    pub fn protocol_mut(&mut self) -> &mut Protocol {
        Arc::make_mut(&mut self.protocol)
    }

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
