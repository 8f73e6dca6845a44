//! What the parts of a split are for.
//!
//! A part is a list of ids; a role says what may be done with them. Training
//! gets [`ForTraining`], which does not hold the reported part at all unless
//! the protocol selects on it, and then the protocol's
//! [`exposure`](Protocol::exposure) is the note that stands above the numbers.
//! The constructors are the only way to a role.
//!
//! ```
//! use dygl_pixels::{Partition, Scored, Training};
//! use dygl_spec::protocol::Protocol;
//! fn train(_: Training<'_>) {}
//! fn score(_: &impl Scored) {}
//! fn right(partition: &Partition, protocol: &Protocol) {
//!     train(partition.for_training(protocol).training);
//!     score(&partition.for_report(protocol).reported);
//! }
//! ```
//!
//! What is reported does not train:
//!
//! ```compile_fail
//! use dygl_pixels::{Partition, Training};
//! use dygl_spec::protocol::Protocol;
//! fn train(_: Training<'_>) {}
//! fn wrong(partition: &Partition, protocol: &Protocol) {
//!     train(partition.for_report(protocol).reported);
//! }
//! ```
//!
//! What trains is not scored, and training holds no reported part:
//!
//! ```compile_fail
//! use dygl_pixels::{Partition, Scored};
//! use dygl_spec::protocol::Protocol;
//! fn score(_: &impl Scored) {}
//! fn wrong(partition: &Partition, protocol: &Protocol) {
//!     score(&partition.for_training(protocol).training);
//! }
//! ```
//!
//! ```compile_fail
//! use dygl_pixels::Partition;
//! use dygl_spec::protocol::Protocol;
//! fn wrong(partition: &Partition, protocol: &Protocol) {
//!     let _ = partition.for_training(protocol).reported;
//! }
//! ```

use dygl_spec::protocol::{Part, Protocol};

use super::Partition;

/// The images that train.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Training<'a>(&'a [String]);

/// The images that are scored while training goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selecting<'a>(&'a [String]);

/// The images whose scores are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reported<'a>(&'a [String]);

impl<'a> Training<'a> {
    /// In byte order.
    pub fn ids(self) -> &'a [String] {
        self.0
    }
}

impl Reported<'_> {
    /// The first `count` of them alone, to measure how long scoring takes.
    #[must_use]
    pub fn first(self, count: usize) -> Self {
        Self(&self.0[..count.min(self.0.len())])
    }
}

/// A role whose images may be scored.
pub trait Scored: sealed::Sealed {
    /// In byte order.
    fn ids(&self) -> &[String];
}

impl Scored for Selecting<'_> {
    fn ids(&self) -> &[String] {
        self.0
    }
}

impl Scored for Reported<'_> {
    fn ids(&self) -> &[String] {
        self.0
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Selecting<'_> {}
    impl Sealed for super::Reported<'_> {}
}

/// All that training may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForTraining<'a> {
    /// The images that the weights are fitted to.
    pub training: Training<'a>,
    /// `None` where no epoch is scored or the part holds no image.
    pub selecting: Option<Selecting<'a>>,
}

/// All that an evaluation may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForReport<'a> {
    /// The images whose scores are the result.
    pub reported: Reported<'a>,
    /// For the predictors that look at no image.
    pub training: Training<'a>,
}

impl Partition {
    /// The roles of a training under a protocol.
    pub fn for_training(&self, protocol: &Protocol) -> ForTraining<'_> {
        let ids = self.part(protocol.selection.part);
        let scores = protocol.selection.every > 0 && !ids.is_empty();
        ForTraining { training: self.training(), selecting: scores.then_some(Selecting(ids)) }
    }

    /// The roles of an evaluation under a protocol.
    pub fn for_report(&self, protocol: &Protocol) -> ForReport<'_> {
        ForReport { reported: Reported(self.part(protocol.evaluate.part)), training: self.training() }
    }

    fn training(&self) -> Training<'_> {
        Training(self.part(Part::Train))
    }
}

#[cfg(test)]
mod tests {
    use dygl_spec::protocol::Exposure;
    use dygl_spec::testing::protocol;

    use super::*;

    fn ids(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn roles_follow_the_protocol() {
        let partition = Partition::new(ids("a b"), ids("c"), ids("d e"));
        let mut protocol = protocol();
        let roles = partition.for_training(&protocol);
        assert_eq!(
            (roles.training.ids(), roles.selecting.map(|s| s.0)),
            (&ids("a b")[..], Some(&ids("c")[..]))
        );
        assert_eq!(partition.for_report(&protocol).reported.ids(), ids("d e"));
        protocol.selection.every = 0;
        assert_eq!(partition.for_training(&protocol).selecting, None);
        protocol.selection.every = 1;
        let without = Partition::new(ids("a b"), ids(""), ids("d e"));
        assert_eq!(without.for_training(&protocol).selecting, None);
    }

    #[test]
    fn the_reported_part_is_scored_in_training_only_under_a_note() {
        let partition = Partition::new(ids("a b"), ids("c"), ids("d e"));
        for part in [Part::Train, Part::Validation, Part::Test] {
            for reported in [Part::Train, Part::Validation, Part::Test] {
                for every in [0, 1] {
                    let mut protocol = protocol();
                    (protocol.selection.part, protocol.evaluate.part) = (part, reported);
                    protocol.selection.every = every;
                    let selecting = partition.for_training(&protocol).selecting;
                    let reported = partition.for_report(&protocol).reported;
                    let shared = selecting.is_some_and(|selecting| selecting.0 == reported.0);
                    let noted = matches!(protocol.exposure(), Some(Exposure::Watched | Exposure::Trained));
                    assert!(!shared || noted, "{part:?} {reported:?} {every}");
                }
            }
        }
    }
}
