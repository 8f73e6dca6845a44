//! From an experiment to the sorted list of cells that it asks for.
//!
//! The order is that of the tables: by dataset, model, further settings (by path)
//! and seed, each in the order of its list in the experiment file. It does not
//! depend on the order in which the axes are written.

mod cell;
mod expand;
mod filter;
mod identity;

pub use cell::Cell;
pub use expand::{Plan, PlannedCell};
pub use filter::{Filter, NamesOf, Selected, SettingsOf};
pub use identity::{CellName, Identity, Settings, apart, names};
