//! The house as its users meet it: real processes, real files.

mod cli;
mod datasets;
mod devices;
mod matrix;
mod parity;
mod runs;
mod tidy;
