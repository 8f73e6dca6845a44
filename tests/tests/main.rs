//! The house as its users meet it: real processes, real files.

mod audit;
mod bits;
mod check;
mod cli;
mod cost;
mod datasets;
mod decoding;
mod devices;
mod forward;
mod import;
mod malformed;
mod matrix;
mod official;
mod ops;
mod own;
mod packs;
mod paper;
mod parity;
mod predict;
mod preflight;
mod runs;
mod splits;
mod tables;
mod tidy;
mod trajectory;
