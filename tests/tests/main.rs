//! The house as its users meet it: real processes, real files.

mod audit;
mod cli;
mod datasets;
mod matrix;
mod parity;
mod runs;
mod splits;
mod tidy;
