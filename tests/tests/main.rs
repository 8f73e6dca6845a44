//! The house as its users meet it: real processes, real files.

mod cli;
mod datasets;
mod matrix;
mod official;
mod parity;
mod runs;
mod tidy;
