//! The revisions that this program was built from.

use std::collections::BTreeMap;

mod built {
    include!(concat!(env!("OUT_DIR"), "/revisions.rs"));
}

pub use built::{COMMIT, DIRTY};

/// Revision name -> digest. [`Revisions::of_this_build`] unless a test says
/// otherwise.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Revisions(BTreeMap<String, String>);

impl Revisions {
    /// The revisions that were taken when this program was built.
    pub fn of_this_build() -> Self {
        Self(built::REVISIONS.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    /// The digest of that name, or `absent`.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("absent", String::as_str)
    }

    /// The digest of a network's sources.
    pub fn network(&self, name: &str) -> &str {
        self.get(&format!("network.{name}"))
    }

    /// The same revisions with one replaced: for tests of what moves.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.0.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Name of the revision that only classes of libtorch are keyed with.
    pub const LIBTORCH: &str = "library.libtorch";

    /// What computes in a class of libtorch, given the version of the library
    /// that is loaded: that, and the crates that bind it.
    pub fn libtorch(&self, version: &str) -> String {
        format!("libtorch {version}, {}", self.get(Self::LIBTORCH))
    }

    /// The crates that compute, by name: `tensor`, `libtorch` and `image`.
    pub fn libraries(&self) -> BTreeMap<String, String> {
        self.0
            .iter()
            .filter_map(|(name, value)| Some((name.strip_prefix("library.")?.to_owned(), value.clone())))
            .collect()
    }

    /// Names whose digests differ between the two, for one network.
    pub fn differences(&self, other: &Self, network: &str) -> Vec<String> {
        let network = format!("network.{network}");
        ["pixels", "train", "metric", "library.tensor", Self::LIBTORCH, "library.image", network.as_str()]
            .into_iter()
            .filter(|name| self.get(name) != other.get(name))
            .map(str::to_owned)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_network_has_a_revision() {
        let revisions = Revisions::of_this_build();
        for network in dygl_spec::network::NETWORKS {
            assert_ne!(revisions.network(network.name), "absent", "{}", network.name);
        }
        for name in
            ["pixels", "pack", "train", "metric", "library.tensor", "library.libtorch", "library.image"]
        {
            assert_ne!(revisions.get(name), "absent", "{name}");
        }
    }
}
