//! `dygl`: reproducible experiment orchestration for medical image
//! segmentation. This crate is the command line: what a verb is given ([`cli`]),
//! and what it does with the crates below ([`command`]).

// Its comments are the help that users read.
#[allow(missing_docs)]
pub mod cli;
pub mod command;
