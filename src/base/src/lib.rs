//! What every crate of the house stands on: random streams, statistics of samples,
//! files that appear whole, digests, vector loops, words of messages, the mark in pictures
//! that are drawn here, exit codes.

pub mod atomic;
pub mod digest;
pub mod exit;
pub mod random;
pub mod signature;
pub mod stats;
pub mod vector;
pub mod words;
