//! The house as its users meet it: real processes, real files.

mod cli;
mod datasets;
mod matrix;
mod packs;
mod parity;
mod runs;
mod tidy;
