//! Reading a dataset's folder for the first time: every file is hashed and
//! decoded once, and all problems are told together.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use dygl_archive::ArchiveError;
use dygl_pixels::decode::Held;
use dygl_pixels::mask::{self, Case};
use dygl_spec::protocol::Part;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::facts::{Concern, Facts};
use super::files::FileEntry;
use super::looked::{Looked, held, read_pair};
use super::manifest::Manifest;
use super::scan::{Pair, Tree, scan, scan_again};
use super::{DataError, LeftOver, Problem};

/// Called with (pairs done, pairs in all), from several threads.
pub type Progress<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// What is accepted of a dataset, and what ends its registration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Terms {
    /// Fewer images than the dataset has are accepted.
    pub partial: bool,
    /// Masks that the rule does not fit are accepted; they are told.
    pub accept_masks: bool,
    /// Whatever would only be told ends the registration.
    pub strict: bool,
}

/// A dataset's folder as it was when it was registered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// Version of this file format.
    pub format: u32,
    /// Id of the dataset.
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
    /// What was found in the files; none in registrations of earlier versions.
    #[serde(default)]
    pub facts: Option<Facts>,
    /// Pictures of the folder or archives that are in no pair, as they were registered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_over: Vec<LeftOver>,
    /// Files of pairs whose names hold accents in another form than the one that
    /// names are compared in (Unicode NFC).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub recomposed: usize,
    /// What all image files hold beside their pixels, and what was done about it.
    #[serde(default)]
    pub image_files: Held,
    /// The same of all mask files.
    #[serde(default)]
    pub mask_files: Held,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// An archive as it was when its files were unpacked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveFacts {
    /// Name of the file, without folders.
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
    /// Id of the image, unique in the dataset.
    pub id: String,
    /// The official part, for datasets that have official parts.
    pub part: Option<Part>,
    /// What it shares a patient, slide or video with, where that is known.
    #[serde(default)]
    pub group: Option<String>,
    /// The file of the image.
    pub image: FileEntry,
    /// The file of the mask, or of the first of several.
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

    /// What speaks against the dataset as it was registered.
    pub fn concerns(&self) -> &[Concern] {
        self.facts.as_ref().map_or(&[], |facts| &facts.concerns)
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
    let rule = manifest.mask.to_string() + &manifest.image.words();
    let masks: Vec<String> = entries.iter().map(Entry::mask_digest).collect();
    let mut words = vec![manifest.id.as_str(), rule.as_str()];
    for (entry, mask) in entries.iter().zip(&masks) {
        let part = entry.part.map_or("", Part::name);
        let group = entry.group.as_deref().unwrap_or("");
        words.extend([entry.id.as_str(), part, group]);
        words.extend([entry.image.blake3.as_str(), mask.as_str()]);
    }
    dygl_base::digest::digest_of("dygl dataset 2", words)
}

/// Reads the folder. Problems of any kind end it, all listed at once, but for what
/// the terms accept. The registration names the folder in which the layout was
/// found, which may lie below `path`. Setting `stop` ends the reading.
pub(super) fn ingest(
    manifest: &Manifest,
    path: &Path,
    terms: Terms,
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
    problems.extend(scan.objections(manifest, terms.partial));

    let total = scan.pairs.len();
    let done = AtomicUsize::new(0);
    let read: Vec<Result<Looked, Vec<Problem>>> = scan
        .pairs
        .into_par_iter()
        .map(|pair| {
            if stop.load(Ordering::Relaxed) {
                return Err(Vec::new());
            }
            let looked = read_pair(manifest, &root, pair);
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
            looked
        })
        .collect();
    if stop.load(Ordering::Relaxed) {
        return Err(ArchiveError::Stopped.into());
    }
    let mut all: Vec<Looked> = Vec::with_capacity(total);
    for result in read {
        match result {
            Ok(looked) => all.push(looked),
            Err(found) => problems.extend(found),
        }
    }
    let (image_files, mask_files) = held(manifest, &all);
    // What one file cannot tell: whether a depth is filled, by all files together.
    let too_dark = image_files.too_dark(manifest.image);
    problems.extend(too_dark.map(|(file, message)| Problem::Unfit { file, message }));
    problems.extend(read_groups(manifest, &root, &mut all));
    let left_out = all.iter().filter(|looked| !looked.kept).count();
    let found = total - left_out;
    let expected = if manifest.images == Manifest::ANY { found } else { manifest.images };
    if found > expected || (found != expected && !terms.partial) {
        problems.push(Problem::WrongCount { found, expected });
    }
    let (refused, concerns) = concerns(manifest, terms, &all, &image_files);
    problems.extend(refused);
    if found == 0 && problems.is_empty() {
        problems.push(Problem::NothingKept { left_out });
    }
    if !problems.is_empty() {
        return Err(DataError::Problems { name: manifest.id.clone(), path: root, problems });
    }
    let facts = Facts::of(manifest, &all).map(|facts| Facts { concerns, ..facts });
    let (kept, left_out): (Vec<Looked>, Vec<Looked>) = all.into_iter().partition(|looked| looked.kept);
    let entries = |of: Vec<Looked>| of.into_iter().map(|looked| looked.entry).collect::<Vec<Entry>>();
    let (entries, left_out) = (entries(kept), entries(left_out));
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
        image_files,
        mask_files,
        facts,
    })
}

/// What ends the registration under the terms, and what is told.
fn concerns(
    manifest: &Manifest,
    terms: Terms,
    looked: &[Looked],
    images: &Held,
) -> (Vec<Problem>, Vec<Concern>) {
    let cases: Vec<Case<'_>> = looked.iter().flat_map(Looked::cases).collect();
    let (mut refused, mut told) = (Vec::new(), Vec::new());
    for sign in mask::signs(manifest.mask, &cases, !manifest.is_own()) {
        let message = sign.in_manifest(manifest.place(sign.place()));
        if sign.is_certain && !terms.accept_masks {
            refused.push(Problem::UnfitMasks { message });
        } else {
            told.push(Concern { key: sign.key.to_owned(), accepted: sign.is_certain, message });
        }
    }
    if let Some(message) = images.faint(manifest.image) {
        told.push(Concern { key: "image".to_owned(), accepted: false, message });
    }
    let kept = looked.iter().filter(|looked| looked.kept).map(|looked| &looked.entry);
    let groups = kept.map(|entry| (entry.id.as_str(), entry.group.as_deref()));
    if let Some(doubt) = manifest.group.as_ref().and_then(|rule| rule.doubt(groups)) {
        let at = manifest.place("group").map_or_else(String::new, |place| format!(" ({place})"));
        told.push(Concern { key: "group".to_owned(), accepted: false, message: format!("{doubt}{at}") });
    }
    if terms.strict {
        let strict = told.iter().filter(|concern| !concern.accepted);
        refused.extend(strict.map(|concern| Problem::Strict { message: concern.message.clone() }));
    }
    (refused, told)
}

/// Gives each pair its group; returns what stands in the way.
fn read_groups(manifest: &Manifest, root: &Path, all: &mut [Looked]) -> Vec<Problem> {
    let folders: Vec<Option<String>> = all.iter_mut().map(|looked| looked.entry.group.take()).collect();
    let groups = match manifest.group.as_ref().map(|rule| rule.read(root)) {
        None => return Vec::new(),
        Some(Ok(groups)) => groups,
        Some(Err(problems)) => return problems,
    };
    // Of those that are left out no table need know.
    for (looked, folder) in all.iter_mut().zip(folders).filter(|(looked, _)| looked.kept) {
        looked.entry.group = groups.of(&looked.entry.id, folder.as_deref());
    }
    groups.unnamed(all.iter().filter(|looked| looked.kept).map(|looked| looked.entry.id.as_str()))
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
