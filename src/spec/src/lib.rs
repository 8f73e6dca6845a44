//! From TOML to a typed, fully resolved [`Experiment`].
//!
//! Three stages, three types: a tree of values that know their place ([`tree`]),
//! checked layers with marks ([`layers`], [`axes`]), and [`Experiment`], in which
//! nothing is left open. Mistakes are collected through all stages and shown at once
//! ([`Diagnostics`]). `experiments/*.toml` documents the formats for their authors,
//! [`load`](mod@load) for its readers.

mod axes;
mod check;
pub mod choice;
pub mod diagnostic;
mod division;
pub mod embedded;
pub mod experiment;
pub mod fields;
pub mod kind;
mod layers;
pub mod ledger;
mod load;
mod locate;
pub mod matrix;
pub mod metric;
pub mod name;
pub mod network;
pub mod ops;
pub mod plan;
pub mod pretrained;
mod profile;
pub mod project;
pub mod protocol;
mod range;
pub mod reported;
mod resolve;
pub mod schema;
pub mod selecting;
pub mod set;
pub mod source;
mod tables;
pub mod testing;
pub mod tree;

pub use choice::{DatasetNames, DatasetProblem};
pub use diagnostic::{Diagnostic, Diagnostics};
pub use experiment::{
    Arrange, Departure, Experiment, Mark, Marks, Profile, Substitute, TableKind, TableSpec,
};
pub use load::{Request, load, standard_protocol};
pub use locate::known_experiments;
pub use matrix::{DatasetChoice, Matrix, ModelChoice};
pub use ops::Ops;
pub use resolve::model_label;
pub use source::Origin;

#[cfg(test)]
mod tests;
