//! Tables as data, and their markups.
//!
//! [`results`] is the input, [`Table`] the one value that [`build()`] makes of
//! it, and each file of [`markup`] writes that value in one notation. What a
//! table may claim (which digits are best, whether a reported value may stand
//! beside a number, what the reader has to be told first) is decided in `build`,
//! `rank`, `paper` and `heading`, never in a markup.

mod basis;
mod build;
pub mod costs;
pub mod datasets;
mod heading;
pub mod markup;
mod model;
mod paper;
mod rank;
pub mod results;
#[cfg(test)]
pub(crate) mod samples;
pub(crate) mod warnings;

pub use build::build;
pub(crate) use heading::part_name;
pub use markup::Markup;
pub use model::{Align, Block, Column, Emphasis, Entry, Row, RowGroup, Span, Table, TableCell};
pub use paper::{PAPER_SIZE, not_the_papers};
