//! Datasets: manifests, ingestion, splits, roles, phantoms.
//!
//! `datasets/*.toml` -> [`Manifest`] -> [`Registry::add_from`] -> [`Registration`]
//! -> [`Dataset`] -> [`Sample`] -> [`prepare::Resized`]. Phantoms enter at
//! [`Dataset`]. What is loaded is what was registered: the bytes of each file
//! are hashed as they are read. [`pack`] keeps decoded images between runs.

pub mod decode;
pub mod manifest;
pub mod mask;
pub mod pack;
pub mod phantom;
pub mod prepare;
pub mod resize;

mod dataset;
mod error;
mod facts;
mod files;
mod group_table;
mod ingest;
mod lanczos;
mod left_over;
mod looked;
mod merge;
mod names;
pub mod official;
pub mod outputs;
pub(crate) mod pattern;
mod problem;
mod registry;
mod role;
pub mod rules;
mod scan;
pub mod split;
#[cfg(test)]
mod tests;
pub(crate) mod text;
mod tree;
mod unpack;
pub mod user;
pub mod vector;

pub use dataset::{CatalogueEntry, Dataset, Sample, catalogue, catalogue_in};
pub use error::DataError;
pub use facts::{Concern, Extreme, Facts, MaskFacts, Sizes};
pub use files::FileEntry;
pub use ingest::{ArchiveFacts, Entry, Progress, Registration, Terms};
pub use left_over::{LeftOver, Reason};
pub use manifest::{Counts, ImageRule, Manifest};
pub use names::KnownDatasets;
pub use problem::Problem;
pub use registry::Registry;
pub use role::{ForReport, ForTraining, Reported, Scored, Selecting, Training};
pub use split::{Partition, SplitError};
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
    DataError::UnknownDataset { name: name.to_owned(), candidates: error::alike(name, known_ids()) }
}

/// Bytes in hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// blake3 over a domain and words, each preceded by its length, hex.
fn digest_of<'a>(domain: &'a str, words: impl IntoIterator<Item = &'a str>) -> String {
    let mut hasher = blake3::Hasher::new();
    for word in std::iter::once(domain).chain(words) {
        hasher.update(&(word.len() as u64).to_le_bytes());
        hasher.update(word.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// The folder with the real images, or a printed skip.
#[cfg(test)]
fn shared_for_tests() -> Option<std::path::PathBuf> {
    let folder = std::env::var_os("DYGL_SHARED").map(|shared| std::path::Path::new(&shared).join("data"));
    if folder.is_none() {
        println!("skipped: DYGL_SHARED is not set");
    }
    folder
}
