//! Reading a dataset's folder for the first time: every file is hashed and
//! decoded once, and all problems are told together.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::files::FileEntry;
use super::manifest::Manifest;
use super::scan::{Pair, PartName, scan};
use super::{DataError, Problem, decode};
use crate::spec::protocol::Part;

/// Called with (pairs done, pairs in all), from several threads.
pub type Progress<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// A dataset's folder as it was when it was registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// Version of this file format.
    pub format: u32,
    pub dataset: String,
    /// Absolute path of the folder.
    pub root: PathBuf,
    /// Place of the layout in the manifest.
    pub layout: usize,
    /// Pairs present.
    pub images: usize,
    /// Pairs of the whole dataset.
    pub expected: usize,
    /// blake3 over ids, parts and contents; independent of where the files lie.
    pub digest: String,
    /// Sorted by id, in byte order.
    pub entries: Vec<Entry>,
}

/// One registered pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub id: String,
    /// The part whose folder it lies in, for datasets with such folders.
    pub part: Option<Part>,
    pub image: FileEntry,
    pub mask: FileEntry,
}

/// Version of [`Registration`] as written.
pub(super) const FORMAT: u32 = 1;

impl Registration {
    /// Whether the folder holds less than the whole dataset.
    pub fn is_partial(&self) -> bool {
        self.images < self.expected
    }

    /// `62 of 612`, or `612` when whole.
    pub fn coverage(&self) -> String {
        if self.is_partial() {
            format!("{} of {}", self.images, self.expected)
        } else {
            self.images.to_string()
        }
    }

    /// The digest that the entries give.
    pub(super) fn content_digest(&self) -> String {
        digest(&self.dataset, &self.entries)
    }
}

/// Digest of a dataset's content: the id of the dataset, then for each pair in
/// order of id: id, part, hash of the image, hash of the mask. Each word is
/// preceded by its length.
fn digest(dataset: &str, entries: &[Entry]) -> String {
    let mut words = vec![dataset];
    for entry in entries {
        let part = entry.part.map_or("", PartName::name);
        words.extend([entry.id.as_str(), part, entry.image.blake3.as_str(), entry.mask.blake3.as_str()]);
    }
    super::digest_of("dygl dataset 1", words)
}

/// Reads the folder. Problems of any kind end it, all listed at once; with
/// `partial` a smaller count is none.
pub(super) fn ingest(
    manifest: &Manifest,
    path: &Path,
    partial: bool,
    progress: Progress<'_>,
) -> Result<Registration, DataError> {
    let read = |source| DataError::Read { path: path.to_owned(), source };
    let root = path.canonicalize().map_err(read)?;
    if root.to_str().is_none() {
        return Err(read(std::io::Error::other("the folder's name is not UTF-8")));
    }
    let scan = scan(manifest, &root)?;
    let mut problems = scan.problems;

    let total = scan.pairs.len();
    let done = AtomicUsize::new(0);
    let read: Vec<Result<Entry, Vec<Problem>>> = scan
        .pairs
        .into_par_iter()
        .map(|pair| {
            let entry = read_pair(manifest, &root, pair);
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
            entry
        })
        .collect();
    let mut entries = Vec::with_capacity(total);
    for result in read {
        match result {
            Ok(entry) => entries.push(entry),
            Err(found) => problems.extend(found),
        }
    }
    if total > manifest.images || (total != manifest.images && !partial) {
        problems.push(Problem::WrongCount { found: total, expected: manifest.images });
    }
    if !problems.is_empty() {
        return Err(DataError::Problems { name: manifest.id.clone(), path: root, problems });
    }
    Ok(Registration {
        format: FORMAT,
        dataset: manifest.id.clone(),
        root,
        layout: scan.layout,
        images: entries.len(),
        expected: manifest.images,
        digest: digest(&manifest.id, &entries),
        entries,
    })
}

/// Hashes and decodes both files of a pair.
fn read_pair(manifest: &Manifest, root: &Path, pair: Pair) -> Result<Entry, Vec<Problem>> {
    let take = |path: &str| {
        FileEntry::take(root, path)
            .map_err(|e| Problem::Unreadable { file: path.to_owned(), message: e.to_string() })
    };
    let undecodable = |file: &str, error: DataError| {
        let message = match error {
            DataError::Decode { message, .. } => message,
            other => other.to_string(),
        };
        Problem::Undecodable { file: file.to_owned(), message }
    };
    let image = take(&pair.image).and_then(|(entry, bytes)| {
        let decoded = decode::rgb(&bytes, Path::new(&pair.image)).map_err(|e| undecodable(&pair.image, e))?;
        Ok((entry, decoded.dimensions()))
    });
    let mask = take(&pair.mask).and_then(|(entry, bytes)| {
        let decoded = decode::mask(&bytes, Path::new(&pair.mask), manifest.mask);
        Ok((entry, decoded.map_err(|e| undecodable(&pair.mask, e))?.dimensions()))
    });
    match (image, mask) {
        (Ok((image, image_size)), Ok((mask, mask_size))) => {
            if image_size != mask_size {
                let (image, mask) = (pair.image, pair.mask);
                return Err(vec![Problem::SizeMismatch { image, image_size, mask, mask_size }]);
            }
            Ok(Entry { id: pair.id, part: pair.part, image, mask })
        }
        (image, mask) => Err([image.err(), mask.err()].into_iter().flatten().collect()),
    }
}

/// Files of the layout that are not registered.
pub(super) fn extras(manifest: &Manifest, registration: &Registration) -> Result<Vec<Problem>, DataError> {
    let scan = super::scan::scan_layout(manifest, registration.layout, &registration.root)?;
    let known: BTreeSet<&str> =
        registration.entries.iter().flat_map(|e| [e.image.path.as_str(), e.mask.path.as_str()]).collect();
    let paired = scan.pairs.iter().flat_map(|p| [p.image.as_str(), p.mask.as_str()]);
    let lonely = scan.problems.iter().filter_map(|p| match p {
        Problem::MissingMask { image: file, .. }
        | Problem::MissingImage { mask: file, .. }
        | Problem::Duplicate { file, .. } => Some(file.as_str()),
        _ => None,
    });
    let extra: BTreeSet<&str> = paired.chain(lonely).filter(|f| !known.contains(f)).collect();
    Ok(extra.into_iter().map(|file| Problem::Extra { file: file.to_owned() }).collect())
}
