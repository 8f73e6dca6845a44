//! From TOML to a typed, fully resolved [`Experiment`].

pub mod name;
pub mod network;
pub mod protocol;
