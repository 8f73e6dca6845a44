//! `dygl`: reproducible experiment orchestration for medical image
//! segmentation. This crate holds everything that needs no tensors.
//!
//! The rooms, and the only direction in which they may look:
//! `command -> report, exec -> store, table -> key, stats, plot -> plan -> spec`.
//! `data` and `metric` stand beside them and look at `spec` alone (which in
//! turn knows the names of the scores); `data` also looks at `archive`, which
//! looks at nothing, and `audit` looks at `data`. `weight_file` looks at
//! `archive`. `claims` looks at `spec`, `metric` and `cost` alone. `exec` brings
//! `data` and `store` together.

pub mod archive;
pub mod audit;
pub mod claims;
pub mod cli;
pub mod command;
pub mod data;
pub mod exec;
pub mod exit;
pub mod key;
pub mod ledger;
pub mod metric;
pub mod plan;
pub mod plot;
pub mod random;
pub mod report;
pub mod signature;
pub mod spec;
pub mod stats;
pub mod store;
pub mod table;
#[cfg(test)]
mod testing;
pub mod weight_file;
