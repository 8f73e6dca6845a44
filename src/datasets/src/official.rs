//! Whether files are those that a dataset's authors published.
//!
//! A registration says what files were; it cannot say that they were the right
//! ones. Lists of SHA-256 can: compact ones are built in for the datasets of
//! which full lists are known (`datasets/checksums/`, made by `make.py` there),
//! and users may bring their own in the form of `sha256sum`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use dygl_base::digest::hex;
use rayon::prelude::*;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::DataError;
use super::files::FileEntry;
use super::ingest::{Entry, Progress, Registration};
use super::manifest::{Keep, Manifest};

/// Built-in lists: dataset id, text.
const BUILT_IN: [(&str, &str); 5] = [
    ("kvasir-seg", include_str!("../../../datasets/checksums/kvasir-seg.txt")),
    ("cvc-clinicdb", include_str!("../../../datasets/checksums/cvc-clinicdb.txt")),
    ("brain-mri", include_str!("../../../datasets/checksums/brain-mri.txt")),
    ("ph2", include_str!("../../../datasets/checksums/ph2.txt")),
    ("glas", include_str!("../../../datasets/checksums/glas.txt")),
];

/// Which of a pair's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The picture.
    Image,
    /// Its truth, or one of several masks.
    Mask,
}

/// Known content of a dataset's files. A file may have several (PNG and TIFF
/// of one image); a hash may be shortened to its first digits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct List {
    /// (image id, role) -> SHA-256 or their beginnings, hex.
    known: BTreeMap<(String, Role), Vec<String>>,
}

/// How registered files stand to a list. Files are named by their path
/// relative to the dataset's folder, missing ones by id and role.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Comparison {
    /// Pairs whose image and mask are both the list's.
    pub official: usize,
    /// Pairs of the whole dataset.
    pub expected: usize,
    /// Files whose content is another one than the list's.
    pub differing: Vec<String>,
    /// Files that the list does not know.
    pub unknown: Vec<String>,
    /// What the list has and the registration lacks.
    pub missing: Vec<String>,
}

impl List {
    /// The built-in list of a dataset; `None` where none is known.
    pub fn built_in(id: &str) -> Result<Option<Self>, DataError> {
        let Some((_, text)) = BUILT_IN.iter().find(|(known, _)| *known == id) else { return Ok(None) };
        let invalid = |message: String| DataError::Manifest { name: format!("checksums of {id}"), message };
        Self::compact(text).map(Some).map_err(invalid)
    }

    /// Reads the compact form: `id image mask [image mask ...]` a line, `#` before comments.
    fn compact(text: &str) -> Result<Self, String> {
        let mut list = Self::default();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.starts_with('#')) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [id, hashes @ ..] = &words[..] else { continue };
            if hashes.is_empty() || !hashes.len().is_multiple_of(2) {
                return Err(format!("line {}: expected an id and pairs of hashes", number + 1));
            }
            for (place, hash) in hashes.iter().enumerate() {
                let role = if place % 2 == 0 { Role::Image } else { Role::Mask };
                list.known.entry(((*id).to_owned(), role)).or_default().push((*hash).to_owned());
            }
        }
        Ok(list)
    }

    /// Reads the form of `sha256sum`: a line for each file, 64 digits, two
    /// characters, the path. A path belongs to the image that it names under
    /// any of the manifest's layouts, wherever the dataset's folder stood;
    /// other files of the list do not matter.
    ///
    /// # Errors
    /// Every line that is none, or no line that belongs to the dataset.
    pub fn sha256sum(manifest: &Manifest, origin: &Path, text: &str) -> Result<Self, DataError> {
        let mut list = Self::default();
        let mut mistakes = Vec::new();
        for (number, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
            let hash = line.get(..64).filter(|hash| hash.chars().all(|c| c.is_ascii_hexdigit()));
            let path = line.get(64..).and_then(|rest| rest.strip_prefix("  ").or(rest.strip_prefix(" *")));
            match (hash, path) {
                (Some(hash), Some(path)) => {
                    for key in places(manifest, path) {
                        list.known.entry(key).or_default().push(hash.to_lowercase());
                    }
                }
                _ => mistakes.push(format!("{}:{}", origin.display(), number + 1)),
            }
        }
        let say = |place: String| Err(DataError::List { place });
        if let Some(first) = mistakes.first() {
            let more = mistakes.len() - 1;
            let also = if more > 0 { format!(" (and {more} more lines)") } else { String::new() };
            return say(format!(
                "{first}: not of the form of sha256sum, 64 hexadecimal digits, two blanks, a path{also}"
            ));
        }
        if list.known.is_empty() {
            let looked: Vec<&str> = manifest.layouts.iter().map(|layout| layout.image()).collect();
            let (place, id) = (origin.display(), &manifest.id);
            return say(format!("{place}: no file of dataset `{id}`; looked for {}", looked.join(", ")));
        }
        Ok(list)
    }

    /// Files that it knows.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether it knows no file.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Hashes every registered file and compares.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn compare(
        &self,
        manifest: &Manifest,
        registration: &Registration,
        progress: Progress<'_>,
    ) -> Result<Comparison, DataError> {
        let total = registration.entries.len();
        let done = AtomicUsize::new(0);
        let verdicts: Vec<Vec<Verdict>> = registration
            .entries
            .par_iter()
            .map(|entry| {
                let roles = std::iter::once(Role::Image).chain(std::iter::repeat(Role::Mask));
                let found = entry.files().zip(roles);
                let found = found
                    .map(|(file, role)| self.judge(registration, entry, file, role))
                    .collect::<Result<Vec<_>, _>>()?;
                progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
                Ok(found)
            })
            .collect::<Result<_, DataError>>()?;
        let mut comparison = Comparison { expected: registration.expected, ..Comparison::default() };
        for (entry, verdicts) in registration.entries.iter().zip(verdicts) {
            comparison.official += usize::from(verdicts.iter().all(|found| *found == Verdict::Official));
            for (verdict, file) in verdicts.iter().zip(entry.files()) {
                match verdict {
                    Verdict::Official => {}
                    Verdict::Differs => comparison.differing.push(file.path.clone()),
                    Verdict::Unknown => comparison.unknown.push(file.path.clone()),
                }
            }
        }
        comparison.missing = self.missing(manifest, registration);
        Ok(comparison)
    }

    fn judge(
        &self,
        of: &Registration,
        entry: &Entry,
        file: &FileEntry,
        role: Role,
    ) -> Result<Verdict, DataError> {
        let Some(known) = self.known.get(&(entry.id.clone(), role)) else { return Ok(Verdict::Unknown) };
        let path = of.root.join(&file.path);
        let read = |source| DataError::Read { path: path.clone(), source };
        let mut hasher = Sha256::new();
        io::copy(&mut File::open(&path).map_err(read)?, &mut hasher).map_err(read)?;
        let found = hex(&hasher.finalize());
        let is_one = known.iter().any(|hash| found.starts_with(hash.as_str()));
        Ok(if is_one { Verdict::Official } else { Verdict::Differs })
    }

    /// Where a dataset keeps only some pairs, a list of all files cannot say
    /// which of the others are missing.
    fn missing(&self, manifest: &Manifest, registration: &Registration) -> Vec<String> {
        if manifest.keep != Keep::All {
            return Vec::new();
        }
        let here: BTreeSet<&str> = registration.entries.iter().map(|entry| entry.id.as_str()).collect();
        let lacking = self.known.keys().filter(|(id, _)| !here.contains(id.as_str()));
        lacking
            .map(|(id, role)| format!("{id} ({})", if *role == Role::Image { "image" } else { "mask" }))
            .collect()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Official,
    Differs,
    Unknown,
}

/// The image and role that a path names, by the first tail of it that fits a
/// layout; several layouts may read one path alike.
fn places(manifest: &Manifest, path: &str) -> BTreeSet<(String, Role)> {
    let tails = std::iter::once(0).chain(path.match_indices('/').map(|(at, _)| at + 1));
    for tail in tails.map(|at| &path[at..]) {
        let mut found = BTreeSet::new();
        for (images, masks) in manifest.layouts.iter().filter_map(|layout| layout.patterns().ok()) {
            // As in a folder: what is named as a mask is no image.
            let mask = masks.iter().find_map(|pattern| pattern.captures(tail).into_iter().next());
            let (role, captures) = match mask {
                Some(captures) => (Role::Mask, captures),
                None => match images.captures(tail).into_iter().next() {
                    Some(captures) => (Role::Image, captures),
                    None => continue,
                },
            };
            if manifest.parts.as_ref().is_none_or(|rule| rule.part(&captures).is_some()) {
                found.insert((manifest.image_id(&captures), role));
            }
        }
        if !found.is_empty() {
            return found;
        }
    }
    BTreeSet::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(id: &str) -> &'static Manifest {
        Manifest::find(id).expect("valid").expect("listed")
    }

    #[test]
    fn built_in_lists_are_whole() {
        for (id, files) in
            [("kvasir-seg", 2000), ("cvc-clinicdb", 1224), ("brain-mri", 7858), ("ph2", 400), ("glas", 330)]
        {
            let list = List::built_in(id).expect("valid").expect("there");
            assert_eq!(list.len(), files, "{id}");
            let short = |hash: &String| hash.len() == 16 && hash.chars().all(|c| c.is_ascii_hexdigit());
            assert!(list.known.values().flatten().all(short), "{id}");
        }
        assert!(List::built_in("kvasir-seg-352").expect("valid").is_none());
    }

    #[test]
    fn paths_are_matched_by_their_tail() {
        let of = |id: &str, path: &str| places(manifest(id), path).into_iter().collect::<Vec<_>>();
        let image = |id: &str| vec![(id.to_owned(), Role::Image)];
        let mask = |id: &str| vec![(id.to_owned(), Role::Mask)];
        assert_eq!(of("kvasir-seg", "x/Kvasir-SEG/masks/a.jpg"), mask("a"));
        assert_eq!(of("cvc-clinicdb", "TIF/Ground Truth/7.tif"), mask("7"));
        assert_eq!(of("brain-mri", "kaggle_3m/TCGA_A/TCGA_A_1.tif"), image("TCGA_A_1"));
        assert_eq!(of("ph2", "IMD002/IMD002_lesion/IMD002_lesion.bmp"), mask("IMD002"));
        assert_eq!(of("ph2", "IMD002/IMD002_roi/IMD002_R1_Label4.bmp"), []);
        assert_eq!(of("glas", "any/train_1.bmp"), image("train_1"));
        assert_eq!(of("glas", "Grade.csv"), []);
    }

    #[test]
    fn lines_that_are_none_are_named() {
        let path = Path::new("list.sha256");
        let error = List::sha256sum(manifest("glas"), path, "\nabc  x\nnope\n").expect_err("refused");
        assert!(
            error.to_string().starts_with("list.sha256:2: ") && error.to_string().contains("1 more"),
            "{error}"
        );
        let line = format!("{}  other.txt\n", "0".repeat(64));
        let error = List::sha256sum(manifest("glas"), path, &line).expect_err("refused");
        assert!(error.to_string().contains("no file of dataset `glas`"), "{error}");
    }
}
