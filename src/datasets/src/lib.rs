//! Datasets: manifests, registration, packs, audits.
//!
//! `datasets/*.toml` -> [`Manifest`] -> [`Registry::add_from`] -> [`Registration`]
//! -> [`Dataset`] -> [`Sample`](dygl_pixels::Sample) -> [`Resized`](dygl_pixels::prepare::Resized). Phantoms enter at
//! [`Dataset`]. What is loaded is what was registered: the bytes of each file
//! are hashed as they are read. [`pack`] keeps decoded images between runs.

use dygl_base::words::alike;
use dygl_pixels::phantom;

pub mod audit;
pub mod manifest;
pub mod pack;

mod dataset;
mod error;
mod facts;
mod files;
mod group_table;
mod ingest;
mod left_over;
mod looked;
mod names;
pub mod official;
pub mod outputs;
pub mod overlay;
pub mod pattern;
mod problem;
mod registry;
pub mod rules;
mod scan;
pub mod split_file;
#[cfg(test)]
mod tests;
pub mod text;
mod tree;
mod unpack;
pub mod user;

pub use dataset::{CatalogueEntry, Dataset, catalogue, catalogue_in};
pub use error::DataError;
pub use facts::{Concern, Extreme, Facts, MaskFacts, Sizes};
pub use files::FileEntry;
pub use ingest::{ArchiveFacts, Entry, Progress, Registration, Terms};
pub use left_over::{LeftOver, Reason};
pub use manifest::Manifest;
pub use names::KnownDatasets;
pub use problem::Problem;
pub use registry::Registry;
pub use unpack::Addition;

/// The manifest of a dataset of files; `None` for phantoms and unknown names.
pub fn manifest(id: &str) -> Option<&'static Manifest> {
    Manifest::find(id).ok().flatten()
}

/// Every dataset id, in listing order.
fn known_ids() -> Vec<&'static str> {
    let folders = Manifest::all().unwrap_or_default().into_iter().map(|m| m.id.as_str());
    folders.chain(phantom::Family::ALL.map(phantom::Family::id)).collect()
}

fn unknown_dataset(name: &str) -> DataError {
    DataError::UnknownDataset { name: name.to_owned(), candidates: alike(name, known_ids()) }
}
