//! The house as its users meet it: real processes, real files.

mod cli;
mod datasets;
mod matrix;
mod parity;
mod predict;
mod preflight;
mod runs;
mod tidy;
