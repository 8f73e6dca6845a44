//! Reading a dataset's folder for the first time: every file is hashed and
//! decoded once, and all problems are told together.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::decode::{Facts, Held};
use super::files::FileEntry;
use super::manifest::{Keep, Manifest};
use super::scan::{Pair, PartName, Tree, scan, scan_layout};
use super::{DataError, Problem, decode};
use crate::archive::ArchiveError;
use crate::spec::protocol::Part;

/// Called with (pairs done, pairs in all), from several threads.
pub type Progress<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// A dataset's folder as it was when it was registered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// Version of this file format.
    pub format: u32,
    pub dataset: String,
    /// The user's own manifest (TOML), for a dataset that is not built in.
    #[serde(default)]
    pub manifest: Option<String>,
    /// The archives that the folder was unpacked from; none for a folder of the user's.
    #[serde(default)]
    pub archives: Vec<ArchiveFacts>,
    /// Absolute path of the folder.
    pub root: PathBuf,
    /// Place of the layout in the manifest.
    pub layout: usize,
    /// Pairs present.
    pub images: usize,
    /// Pairs of the whole dataset.
    pub expected: usize,
    /// blake3 over the mask rule, ids, parts, groups and contents; independent
    /// of where the files lie.
    pub digest: String,
    /// Sorted by id, in byte order.
    pub entries: Vec<Entry>,
    /// Pairs of the files that the manifest's `keep` leaves out, sorted by id.
    #[serde(default)]
    pub left_out: Vec<Entry>,
    /// What all image files hold beside their pixels, and what was done about it.
    #[serde(default)]
    pub image_files: Held,
    /// The same of all mask files.
    #[serde(default)]
    pub mask_files: Held,
}

/// An archive as it was when its files were unpacked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveFacts {
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the content, hex.
    pub sha256: String,
}

/// One registered pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub id: String,
    /// The official part, for datasets that have official parts.
    pub part: Option<Part>,
    /// What it shares a patient, slide or video with, where that is known.
    #[serde(default)]
    pub group: Option<String>,
    pub image: FileEntry,
    pub mask: FileEntry,
}

/// Version of [`Registration`] as written.
pub(super) const FORMAT: u32 = 2;

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

    /// The digest that the entries give under a manifest.
    pub(super) fn content_digest(&self, manifest: &Manifest) -> String {
        digest(manifest, &self.entries)
    }

    /// Every pair of the files: those of the dataset and those left out of it.
    pub(super) fn all_entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().chain(&self.left_out)
    }
}

/// Digest of a dataset's content: the id of the dataset, how masks and images are read,
/// then for each pair in order of id: id, part, group, hash of the image, hash
/// of the mask. Each word is preceded by its length.
fn digest(manifest: &Manifest, entries: &[Entry]) -> String {
    let rule = manifest.mask.words() + &manifest.image.words();
    let mut words = vec![manifest.id.as_str(), rule.as_str()];
    for entry in entries {
        let part = entry.part.map_or("", PartName::name);
        let group = entry.group.as_deref().unwrap_or("");
        words.extend([entry.id.as_str(), part, group]);
        words.extend([entry.image.blake3.as_str(), entry.mask.blake3.as_str()]);
    }
    super::digest_of("dygl dataset 2", words)
}

/// Reads the folder. Problems of any kind end it, all listed at once; with
/// `partial` a smaller count is none. The registration names the folder in
/// which the layout was found, which may lie below `path`. Setting `stop` ends
/// the reading.
pub(super) fn ingest(
    manifest: &Manifest,
    path: &Path,
    partial: bool,
    progress: Progress<'_>,
    stop: &AtomicBool,
) -> Result<Registration, DataError> {
    let read = |source| DataError::Read { path: path.to_owned(), source };
    let root = path.canonicalize().map_err(read)?;
    if root.to_str().is_none() {
        return Err(read(std::io::Error::other("the folder's name is not UTF-8")));
    }
    let scan = scan(manifest, Tree::Folder(&root))?;
    let root = root.join(scan.base.trim_end_matches('/'));
    let mut problems = scan.problems;

    let total = scan.pairs.len();
    let done = AtomicUsize::new(0);
    let read: Vec<Result<Read, Vec<Problem>>> = scan
        .pairs
        .into_par_iter()
        .map(|pair| {
            if stop.load(Ordering::Relaxed) {
                return Err(Vec::new());
            }
            let entry = read_pair(manifest, &root, pair);
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
            entry
        })
        .collect();
    if stop.load(Ordering::Relaxed) {
        return Err(ArchiveError::Stopped.into());
    }
    let (mut entries, mut left_out) = (Vec::with_capacity(total), Vec::new());
    let (mut image_files, mut mask_files) = (Held::default(), Held::default());
    for result in read {
        match result {
            Ok(read) => {
                image_files.add(&read.entry.image.path, &read.image);
                mask_files.add(&read.entry.mask.path, &read.mask);
                if read.is_kept { entries.push(read.entry) } else { left_out.push(read.entry) }
            }
            Err(found) => problems.extend(found),
        }
    }
    // What one file cannot tell: whether a depth is filled, by all files together.
    let ranges = [image_files.too_dark(manifest.image), mask_files.unreached(manifest.mask)];
    problems.extend(ranges.into_iter().flatten().map(|(file, message)| Problem::Unfit { file, message }));
    problems.extend(read_groups(manifest, &root, &mut entries));
    let found = total - left_out.len();
    let expected = if manifest.images == Manifest::ANY { found } else { manifest.images };
    if found > expected || (found != expected && !partial) {
        problems.push(Problem::WrongCount { found, expected });
    }
    if found == 0 && problems.is_empty() {
        problems.push(Problem::NothingKept { left_out: left_out.len() });
    }
    if !problems.is_empty() {
        return Err(DataError::Problems { name: manifest.id.clone(), path: root, problems });
    }
    Ok(Registration {
        format: FORMAT,
        dataset: manifest.id.clone(),
        manifest: None,
        archives: Vec::new(),
        root,
        layout: scan.layout,
        images: entries.len(),
        expected,
        digest: digest(manifest, &entries),
        entries,
        left_out,
        image_files,
        mask_files,
    })
}

/// Gives each pair its group; returns what stands in the way.
fn read_groups(manifest: &Manifest, root: &Path, entries: &mut [Entry]) -> Vec<Problem> {
    let groups = match manifest.group.as_ref().map(|rule| rule.read(root)) {
        None => return Vec::new(),
        Some(Ok(groups)) => groups,
        Some(Err(problem)) => return vec![problem],
    };
    let mut problems = Vec::new();
    for entry in entries {
        match groups.of(&entry.id) {
            Ok(group) => entry.group = group,
            Err(problem) => problems.push(problem),
        }
    }
    problems
}

/// A pair that was read.
struct Read {
    entry: Entry,
    /// Whether the dataset keeps it.
    is_kept: bool,
    image: Facts,
    mask: Facts,
}

/// Hashes and decodes both files of a pair, and says whether the dataset keeps it.
fn read_pair(manifest: &Manifest, root: &Path, pair: Pair) -> Result<Read, Vec<Problem>> {
    let take = |path: &str| {
        FileEntry::take(root, path)
            .map_err(|e| Problem::Unreadable { file: path.to_owned(), message: e.to_string() })
    };
    let undecodable = |file: &str, error: DataError| {
        let file = file.to_owned();
        match error {
            DataError::Decode { message, .. } => Problem::Undecodable { file, message },
            DataError::Unfit { message, .. } => Problem::Unfit { file, message },
            other => Problem::Undecodable { file, message: other.to_string() },
        }
    };
    let image = take(&pair.image).and_then(|(entry, bytes)| {
        let decoded = decode::rgb(&bytes, Path::new(&pair.image), manifest.image)
            .map_err(|e| undecodable(&pair.image, e))?;
        Ok((entry, decoded.pixels.dimensions(), decoded.facts))
    });
    let mask = take(&pair.mask).and_then(|(entry, bytes)| {
        let decoded = decode::mask(&bytes, Path::new(&pair.mask), manifest.mask)
            .map_err(|e| undecodable(&pair.mask, e))?;
        let threshold = manifest.mask.threshold();
        let is_kept =
            manifest.keep == Keep::All || decoded.pixels.pixels().any(|pixel| pixel.0[0] > threshold);
        Ok((entry, decoded.pixels.dimensions(), decoded.facts, is_kept))
    });
    match (image, mask) {
        (Ok((image, image_size, image_facts)), Ok((mask, mask_size, mask_facts, is_kept))) => {
            if image_size != mask_size {
                let image = (pair.image.as_str(), image_size, &image_facts);
                return Err(vec![Problem::of_sizes(image, (&pair.mask, mask_size, &mask_facts))]);
            }
            let entry = Entry { id: pair.id, part: pair.part, group: None, image, mask };
            Ok(Read { entry, is_kept, image: image_facts, mask: mask_facts })
        }
        (image, mask) => Err([image.err(), mask.err()].into_iter().flatten().collect()),
    }
}

/// Files of the layout that are not registered.
pub(super) fn extras(manifest: &Manifest, registration: &Registration) -> Result<Vec<Problem>, DataError> {
    let scan = scan_layout(manifest, registration.layout, Tree::Folder(&registration.root), "")?;
    let known: BTreeSet<&str> =
        registration.all_entries().flat_map(|e| [e.image.path.as_str(), e.mask.path.as_str()]).collect();
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
