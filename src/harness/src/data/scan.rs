//! Finding the image/mask pairs of a dataset's folder.

use std::collections::BTreeMap;
use std::path::Path;

use super::manifest::{Layout, Manifest, SplitKind};
use super::pattern::{Captures, Pattern};
use super::{DataError, Problem};
use crate::spec::protocol::Part;

/// One image with its mask; paths relative to the dataset's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pair {
    pub id: String,
    pub part: Option<Part>,
    pub image: String,
    pub mask: String,
}

/// What a folder holds under one layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scan {
    /// Place of the layout in its manifest.
    pub layout: usize,
    /// Sorted by id, in byte order.
    pub pairs: Vec<Pair>,
    pub problems: Vec<Problem>,
}

/// The first layout with a pair, or else the first with any file of its own.
pub(super) fn scan(manifest: &Manifest, root: &Path) -> Result<Scan, DataError> {
    let mut broken = None;
    for place in 0..manifest.layouts.len() {
        let scan = scan_layout(manifest, place, root)?;
        if !scan.pairs.is_empty() {
            return Ok(scan);
        }
        if !scan.problems.is_empty() && broken.is_none() {
            broken = Some(scan);
        }
    }
    broken.ok_or_else(|| DataError::NoLayout {
        name: manifest.id.clone(),
        path: root.to_owned(),
        looked_for: manifest.layouts.iter().map(|l| l.image().to_owned()).collect(),
    })
}

/// What the folder holds under the layout at `place` of the manifest.
pub(super) fn scan_layout(manifest: &Manifest, place: usize, root: &Path) -> Result<Scan, DataError> {
    let invalid = |message: String| DataError::Manifest { name: manifest.id.clone(), message };
    let layout: &Layout =
        manifest.layouts.get(place).ok_or_else(|| invalid(format!("it has no layout number {place}")))?;
    let (images, masks) = layout.patterns().map_err(invalid)?;
    let find = |pattern: &Pattern| -> Result<BTreeMap<Captures, String>, DataError> {
        let found = pattern.find(root).map_err(|source| DataError::Read { path: root.to_owned(), source })?;
        let known = |(captures, _): &(Captures, String)| {
            manifest.split == SplitKind::Seeded || part(captures).is_some()
        };
        Ok(found.into_iter().filter(known).collect())
    };
    let mut masks_found = find(&masks)?;
    let mut images_found = find(&images)?;
    // Where both lie in one folder, what is named as a mask is no image.
    images_found.retain(|_, path| !masks.matches(path));

    let mut problems = Vec::new();
    let mut pairs: BTreeMap<String, Pair> = BTreeMap::new();
    for (captures, image) in images_found {
        let Some(mask) = masks_found.remove(&captures) else {
            problems.push(Problem::MissingMask { image, expected: masks.fill(&captures) });
            continue;
        };
        let part = part(&captures);
        let stem = captures.get("id").map_or("", String::as_str);
        let id = part.map_or_else(|| stem.to_owned(), |p| format!("{}/{stem}", p.name()));
        if pairs.contains_key(&id) {
            problems.push(Problem::Duplicate { id, file: image });
        } else {
            pairs.insert(id.clone(), Pair { id, part, image, mask });
        }
    }
    for (captures, mask) in masks_found {
        problems.push(Problem::MissingImage { mask, expected: images.fill(&captures) });
    }
    Ok(Scan { layout: place, pairs: pairs.into_values().collect(), problems })
}

/// The part that a folder's name says.
fn part(captures: &Captures) -> Option<Part> {
    let name = captures.get("part")?;
    PARTS.into_iter().find(|p| p.name() == name)
}

/// All parts, in the order of their use.
pub(super) const PARTS: [Part; 3] = [Part::Train, Part::Validation, Part::Test];

/// The name of a part, as its folder and the TOML spell it.
pub(super) trait PartName {
    fn name(self) -> &'static str;
}

impl PartName for Part {
    fn name(self) -> &'static str {
        match self {
            Part::Train => "train",
            Part::Validation => "validation",
            Part::Test => "test",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("folder");
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().expect("parent")).expect("made");
            fs::write(path, "").expect("written");
        }
        root
    }

    fn manifest(id: &str) -> &'static Manifest {
        Manifest::find(id).expect("valid").expect("listed")
    }

    #[test]
    fn ids_are_in_byte_order_and_every_problem_is_listed() {
        let root = folder(&[
            "images/10.png",
            "images/9.png",
            "images/2.png",
            "masks/10.png",
            "masks/9.png",
            "masks/7.png",
        ]);
        let scan = scan(manifest("cvc-clinicdb"), root.path()).expect("a layout fits");
        assert_eq!(scan.pairs.iter().map(|p| p.id.as_str()).collect::<Vec<_>>(), ["10", "9"]);
        assert_eq!(
            scan.problems,
            [
                Problem::MissingMask { image: "images/2.png".into(), expected: "masks/2.png".into() },
                Problem::MissingImage { mask: "masks/7.png".into(), expected: "images/7.png".into() },
            ]
        );
    }

    #[test]
    fn later_layouts_are_found_and_parts_come_from_folders() {
        let root = folder(&["Original/1.tif", "Ground Truth/1.tif"]);
        assert_eq!(scan(manifest("cvc-clinicdb"), root.path()).expect("fits").layout, 2);
        let root = folder(&["Slide_01/01_1.png", "GT_01/01_1.png"]);
        assert_eq!(scan(manifest("tnbc"), root.path()).expect("fits").pairs[0].id, "01_1");
        let root = folder(&["test/images/3.jpg", "test/masks/3.jpg", "other/images/3.jpg"]);
        let found = scan(manifest("kvasir-seg-352"), root.path()).expect("fits");
        assert_eq!((found.pairs[0].id.as_str(), found.pairs[0].part), ("test/3", Some(Part::Test)));
        assert!(found.problems.is_empty());
    }

    #[test]
    fn a_foreign_folder_is_refused_with_what_was_looked_for() {
        let root = folder(&["a.txt"]);
        let error = scan(manifest("cvc-clinicdb"), root.path()).expect_err("refused");
        assert!(error.to_string().contains("Original/{id}.tif"), "{error}");
    }
}
