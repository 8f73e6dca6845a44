//! Finding the image/mask pairs of a dataset in a folder or an archive's list.
//!
//! Every picture below the folder ends in one of three places: in a pair, in a
//! problem that names it, or among those left over, which are counted with their
//! reasons. A pairing is one to one: a second claim on an image, a mask or an id
//! is a problem that names both claimants.

mod claims;

use std::collections::BTreeSet;

use claims::Claims;
use dygl_spec::protocol::Part;

use super::left_over::{self, Heap, LeftOver, Reason};
use super::manifest::{Layout, Manifest, Taken};
use super::outputs::{self, Folders};
use super::pattern::{Captures, Pattern};
pub(super) use super::tree::Tree;
use super::tree::{Listing, is_hidden};
use super::{DataError, Problem, text};

/// One image with its masks; paths relative to the dataset's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pair {
    pub id: String,
    pub part: Option<Part>,
    /// What `{group}` stands for in the layout.
    pub group: Option<String>,
    pub image: String,
    /// One, or several that together mark the foreground; sorted.
    pub masks: Vec<String>,
}

/// What a tree holds of a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scan {
    /// The folder of the tree that the paths are relative to: empty, or with `/` at its end.
    pub base: String,
    /// Place in the manifest of the first layout with a pair.
    pub layout: usize,
    /// Sorted by id, in byte order.
    pub pairs: Vec<Pair>,
    pub problems: Vec<Problem>,
    /// Pictures in no pair and no problem.
    pub left_over: Vec<LeftOver>,
    /// Files of pairs whose names were not in the form that names are compared in.
    pub recomposed: usize,
}

/// A layout with its patterns read.
#[derive(Debug)]
pub(super) struct Reader {
    /// In the manifest.
    pub(super) place: usize,
    pub(super) name: String,
    images: Pattern,
    masks: Vec<Pattern>,
}

impl Reader {
    fn all(manifest: &Manifest) -> Result<Vec<Self>, DataError> {
        let invalid = |message: String| DataError::Manifest { name: manifest.id.clone(), message };
        let read = |(place, layout): (usize, &Layout)| {
            let (images, masks) = layout.patterns().map_err(invalid)?;
            Ok(Self { place, name: layout.name.clone(), images, masks })
        };
        manifest.layouts.iter().enumerate().map(read).collect()
    }

    /// Of the images, then of the masks.
    pub(super) fn patterns(&self) -> impl Iterator<Item = &Pattern> {
        std::iter::once(&self.images).chain(&self.masks)
    }

    /// Whether several masks of one image are meant, and not a mistake.
    fn merges(&self) -> bool {
        self.masks.len() > 1 || self.masks[0].has_star()
    }
}

/// The pairs of the tree: where the manifest takes its first layout alone, those
/// of the first with a pair; where it joins its layouts, those of all. Wrapping
/// folders are looked through. Where there are none, the first problems that were met.
///
/// # Errors
/// Nothing of the dataset is there, or the folder cannot be read.
pub(super) fn scan(manifest: &Manifest, tree: Tree<'_>) -> Result<Scan, DataError> {
    let listing = tree.list()?;
    let readers = Reader::all(manifest)?;
    let choices: Vec<Vec<usize>> = match manifest.taken {
        Taken::First => (0..readers.len()).map(|place| vec![place]).collect(),
        Taken::All => vec![(0..readers.len()).collect()],
    };
    let mut broken = None;
    for base in listing.bases() {
        for taken in &choices {
            let found = find(manifest, &readers, taken, &listing, &base);
            if !found.pairs.is_empty() {
                return Ok(finish(manifest, &readers, taken, tree, &listing, found));
            }
            if !found.problems.is_empty() && broken.is_none() {
                broken = Some(finish(manifest, &readers, taken, tree, &listing, found));
            }
        }
    }
    broken.ok_or_else(|| DataError::NoLayout {
        name: manifest.id.clone(),
        path: tree.path(),
        looked_for: manifest.layouts.iter().map(|l| l.image().to_owned()).collect(),
        there: what_is_there(manifest, &readers, &listing),
    })
}

/// What the tree holds now of a dataset that was registered by `layout`.
pub(super) fn scan_again(manifest: &Manifest, layout: usize, tree: Tree<'_>) -> Result<Scan, DataError> {
    let listing = tree.list()?;
    let readers = Reader::all(manifest)?;
    let taken: Vec<usize> = match manifest.taken {
        Taken::First => vec![layout],
        Taken::All => (0..readers.len()).collect(),
    };
    if taken.iter().any(|place| *place >= readers.len()) {
        let (name, message) = (manifest.id.clone(), format!("it has no layout number {layout}"));
        return Err(DataError::Manifest { name, message });
    }
    Ok(find(manifest, &readers, &taken, &listing, ""))
}

/// Pairs and problems below `base`.
fn find(manifest: &Manifest, readers: &[Reader], taken: &[usize], listing: &Listing, base: &str) -> Scan {
    let predicted = Folders::of(&listing.files);
    let mut claims = Claims::default();
    for reader in readers.iter().filter(|reader| taken.contains(&reader.place)) {
        // Who names predictions in a layout means them: pseudo-labels are trained on.
        let means_predictions = reader.patterns().any(|pattern| outputs::is_named_so(pattern.text()));
        let inside = listing.files.iter().filter_map(|file| Some((file, file.strip_prefix(base)?)));
        let inside = inside.filter(|(_, path)| !is_hidden(path));
        let inside = inside.filter(|(file, _)| means_predictions || !predicted.wrote(file));
        claims.take(manifest, reader, inside.map(|(_, path)| path));
    }
    let (pairs, layout, problems) = claims.settle();
    let layout = layout.or(taken.first().copied()).unwrap_or_default();
    let files = pairs.iter().flat_map(Pair::files);
    let recomposed = files.filter(|file| text::nfc(file) != *file).count();
    Scan { base: base.to_owned(), layout, pairs, problems, left_over: Vec::new(), recomposed }
}

/// Adds the pictures that are in no pair and no problem.
fn finish(
    manifest: &Manifest,
    readers: &[Reader],
    taken: &[usize],
    tree: Tree<'_>,
    listing: &Listing,
    found: Scan,
) -> Scan {
    let base = found.base.as_str();
    let of_pairs = found.pairs.iter().flat_map(Pair::files);
    let of_problems = found.problems.iter().flat_map(Problem::files);
    let known: BTreeSet<String> = of_pairs.chain(of_problems).map(|file| format!("{base}{file}")).collect();
    let is_picture = |file: &&String| text::is_picture(file) || tree.is_picture_inside(file);
    let unknown = listing.files.iter().filter(|file| !known.contains(*file));
    let mut left: Vec<String> = unknown.filter(is_picture).cloned().collect();
    tree.without_copies(listing, &mut left, &known);

    let predicted = Folders::of(&listing.files);
    let mut heap = Heap::default();
    for file in left {
        let reason = match file.strip_prefix(base) {
            _ if predicted.wrote(&file) || tree.is_signed(&file) => Some(Reason::Written),
            Some(inside) => left_over::reason(manifest, readers, taken, inside),
            // Beside the folder of the dataset.
            None if manifest.taken == Taken::All => Some(Reason::NoLayout),
            None => left_over::reason(manifest, readers, &[], &file),
        };
        if let Some(reason) = reason {
            heap.add(reason, relative(base, &file));
        }
    }
    for file in &listing.unnameable {
        heap.add(Reason::NotText, relative(base, file));
    }
    for (folder, why) in &listing.closed {
        heap.add(Reason::Closed { why: why.clone() }, relative(base, folder));
    }
    Scan { left_over: heap.sorted(), ..found }
}

/// The pictures of a tree in which no layout found anything.
fn what_is_there(manifest: &Manifest, readers: &[Reader], listing: &Listing) -> Vec<LeftOver> {
    let mut heap = Heap::default();
    let places: Vec<usize> = readers.iter().map(|reader| reader.place).collect();
    let bases = listing.bases();
    for file in listing.files.iter().filter(|file| text::is_picture(file)) {
        let inside = bases.iter().rev().find_map(|base| file.strip_prefix(base.as_str()));
        let reason = left_over::reason(manifest, readers, &places, inside.unwrap_or(file));
        heap.add(reason.unwrap_or(Reason::NoLayout), file.clone());
    }
    for file in &listing.unnameable {
        heap.add(Reason::NotText, file.clone());
    }
    heap.sorted()
}

/// A file of the tree as seen from the folder of the dataset.
fn relative(base: &str, file: &str) -> String {
    match file.strip_prefix(base) {
        Some(inside) => inside.to_owned(),
        None => format!("{}{file}", "../".repeat(base.matches('/').count())),
    }
}

impl Pair {
    /// Its image, then its masks.
    pub(super) fn files(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.image.as_str()).chain(self.masks.iter().map(String::as_str))
    }
}

impl Scan {
    /// What of the left over has to be said before the dataset can be taken:
    /// nothing where the manifest states the number of pairs and they are that
    /// many, or where the caller knows that not all is there.
    pub(super) fn objections(&self, manifest: &Manifest, partial: bool) -> Vec<Problem> {
        let is_stated = manifest.images != Manifest::ANY && self.pairs.len() == manifest.images;
        if partial || is_stated {
            return Vec::new();
        }
        let mistakes = self.left_over.iter().filter(|left| left.is_mistake());
        mistakes.map(|left| Problem::LeftOver { left: left.clone(), pairs: self.pairs.len() }).collect()
    }
}

impl Manifest {
    /// The id of an image by what its layout's placeholders stand for.
    pub(super) fn image_id(&self, captures: &Captures) -> String {
        let stem = captures.get("id").map_or("", String::as_str);
        let part = self.parts.as_ref().filter(|rule| rule.in_id).and_then(|rule| rule.part(captures));
        let group = self.group.as_ref().filter(|rule| rule.in_id()).and_then(|_| captures.get("group"));
        let before = part.map(Part::name).into_iter().chain(group.map(String::as_str));
        before.map(|word| format!("{word}/")).collect::<String>() + stem
    }
}

#[cfg(test)]
mod tests;
