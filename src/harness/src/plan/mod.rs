//! From an experiment to the sorted list of cells that it asks for.

mod cell;

pub use cell::Cell;
