//! Reading a dataset's folder for the first time: every file is hashed and
//! decoded once, and all problems are told together.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::files::FileEntry;
use super::manifest::{Keep, Manifest};
use super::scan::{Pair, PartName, Tree, scan, scan_again};
use super::{DataError, LeftOver, Problem, decode, merge};
use crate::archive::ArchiveError;
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
    /// Pictures of the folder or archives that are in no pair, as they were registered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_over: Vec<LeftOver>,
    /// Files of pairs whose names hold accents in another form than the one that
    /// names are compared in (Unicode NFC).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub recomposed: usize,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
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
    /// Further masks, where several mark the foreground together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more_masks: Vec<FileEntry>,
}

impl Entry {
    /// Every mask; at least one.
    pub fn masks(&self) -> impl Iterator<Item = &FileEntry> {
        std::iter::once(&self.mask).chain(&self.more_masks)
    }

    /// The image, then the masks.
    pub fn files(&self) -> impl Iterator<Item = &FileEntry> {
        std::iter::once(&self.image).chain(self.masks())
    }

    pub(super) fn files_mut(&mut self) -> impl Iterator<Item = &mut FileEntry> {
        [&mut self.image, &mut self.mask].into_iter().chain(&mut self.more_masks)
    }

    /// What the content of the masks is known by: the hash of one, or those of several.
    pub fn mask_digest(&self) -> String {
        let hashes: Vec<&str> = self.masks().map(|mask| mask.blake3.as_str()).collect();
        hashes.join("+")
    }
}

/// Version of [`Registration`] as written.
pub(super) const FORMAT: u32 = 2;

impl Registration {
    /// Whether the folder holds less than the whole dataset.
    pub fn is_partial(&self) -> bool {
        self.images < self.expected
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

/// Digest of a dataset's content: the id of the dataset, how masks are read,
/// then for each pair in order of id: id, part, group, hash of the image, hash
/// of the mask. Each word is preceded by its length.
fn digest(manifest: &Manifest, entries: &[Entry]) -> String {
    let rule = manifest.mask.words();
    let masks: Vec<String> = entries.iter().map(Entry::mask_digest).collect();
    let mut words = vec![manifest.id.as_str(), rule.as_str()];
    for (entry, mask) in entries.iter().zip(&masks) {
        let part = entry.part.map_or("", PartName::name);
        let group = entry.group.as_deref().unwrap_or("");
        words.extend([entry.id.as_str(), part, group]);
        words.extend([entry.image.blake3.as_str(), mask.as_str()]);
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
    let mut problems = scan.problems.clone();
    problems.extend(scan.objections(manifest, partial));

    let total = scan.pairs.len();
    let done = AtomicUsize::new(0);
    let read: Vec<Result<(Entry, bool), Vec<Problem>>> = scan
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
    for result in read {
        match result {
            Ok((entry, true)) => entries.push(entry),
            Ok((entry, false)) => left_out.push(entry),
            Err(found) => problems.extend(found),
        }
    }
    problems.extend(read_groups(manifest, &root, &mut entries));
    // Of those that are left out no table need know.
    left_out.iter_mut().for_each(|entry| entry.group = None);
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
        left_over: scan.left_over,
        recomposed: scan.recomposed,
    })
}

/// Gives each pair its group; returns what stands in the way.
fn read_groups(manifest: &Manifest, root: &Path, entries: &mut [Entry]) -> Vec<Problem> {
    let folders: Vec<Option<String>> = entries.iter_mut().map(|entry| entry.group.take()).collect();
    let groups = match manifest.group.as_ref().map(|rule| rule.read(root)) {
        None => return Vec::new(),
        Some(Ok(groups)) => groups,
        Some(Err(problems)) => return problems,
    };
    for (entry, folder) in entries.iter_mut().zip(folders) {
        entry.group = groups.of(&entry.id, folder.as_deref());
    }
    groups.unnamed(entries.iter().map(|entry| entry.id.as_str()))
}

/// Hashes and decodes both files of a pair, and says whether the dataset keeps it.
fn read_pair(manifest: &Manifest, root: &Path, pair: Pair) -> Result<(Entry, bool), Vec<Problem>> {
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
    let (mut problems, mut masks, mut merged) = (Vec::new(), Vec::new(), None);
    for file in &pair.masks {
        let mask = take(file).and_then(|(entry, bytes)| {
            let decoded = decode::mask(&bytes, Path::new(file), manifest.mask);
            Ok((entry, decoded.map_err(|e| undecodable(file, e))?))
        });
        match mask {
            Ok((entry, decoded)) => masks.push((entry, decoded)),
            Err(problem) => problems.push(problem),
        }
    }
    match image {
        Err(problem) => problems.insert(0, problem),
        Ok((image, image_size)) => {
            for (mask, decoded) in &masks {
                if decoded.dimensions() != image_size {
                    let (image, mask, mask_size) =
                        (pair.image.clone(), mask.path.clone(), decoded.dimensions());
                    problems.push(Problem::SizeMismatch { image, image_size, mask, mask_size });
                }
            }
            if problems.is_empty() {
                let (entries, decoded): (Vec<_>, Vec<_>) = masks.into_iter().unzip();
                merged = merge::union(decoded).map(|union| (image, entries, union));
            }
        }
    }
    let Some((image, masks, union)) = merged else { return Err(problems) };
    let mut masks = masks.into_iter();
    let Some(mask) = masks.next() else { return Err(problems) };
    let threshold = manifest.mask.threshold();
    let kept = manifest.keep == Keep::All || union.pixels().any(|pixel| pixel.0[0] > threshold);
    let Pair { id, part, group, .. } = pair;
    Ok((Entry { id, part, group, image, mask, more_masks: masks.collect() }, kept))
}

/// Files of the layout that are not registered.
pub(super) fn extras(manifest: &Manifest, registration: &Registration) -> Result<Vec<Problem>, DataError> {
    let scan = scan_again(manifest, registration.layout, Tree::Folder(&registration.root))?;
    let known: BTreeSet<&str> =
        registration.all_entries().flat_map(Entry::files).map(|file| file.path.as_str()).collect();
    let paired = scan.pairs.iter().flat_map(Pair::files);
    let lonely = scan.problems.iter().flat_map(Problem::files);
    let extra: BTreeSet<&str> = paired.chain(lonely).filter(|f| !known.contains(f)).collect();
    Ok(extra.into_iter().map(|file| Problem::Extra { file: file.to_owned() }).collect())
}
