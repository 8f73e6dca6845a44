//! Finding the image/mask pairs of a dataset in a folder or an archive's list.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::manifest::{Layout, Manifest};
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

/// What a tree holds under one layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scan {
    /// The folder of the tree that the paths are relative to: empty, or with `/` at its end.
    pub base: String,
    /// Place of the layout in its manifest.
    pub layout: usize,
    /// Sorted by id, in byte order.
    pub pairs: Vec<Pair>,
    pub problems: Vec<Problem>,
}

/// Where files are looked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Tree<'a> {
    Folder(&'a Path),
    /// Files of an archive: relative paths with `/` between parts.
    Names {
        archive: &'a Path,
        names: &'a [String],
    },
}

/// How many folders around the dataset are looked through, each the only one
/// in its place.
const WRAPPERS: usize = 3;

impl Tree<'_> {
    fn path(&self) -> PathBuf {
        match self {
            Tree::Folder(root) => root.to_path_buf(),
            Tree::Names { archive, .. } => archive.to_path_buf(),
        }
    }

    /// Every file below `base` that fits, with its path relative to `base`.
    fn find(&self, base: &str, pattern: &Pattern) -> Result<Vec<(Captures, String)>, DataError> {
        match self {
            Tree::Folder(root) => pattern
                .find(&root.join(base))
                .map_err(|source| DataError::Read { path: root.join(base), source }),
            Tree::Names { names, .. } => {
                let inside = names.iter().filter_map(|name| name.strip_prefix(base));
                let seen = inside.filter(|name| !name.split('/').any(|part| part.starts_with('.')));
                Ok(seen.filter_map(|n| Some((pattern.captures(n)?, n.to_owned()))).collect())
            }
        }
    }

    /// The folders in which the layouts are tried: the tree itself, then its
    /// only subfolder, and so on.
    fn bases(&self) -> Vec<String> {
        let mut bases = vec![String::new()];
        while bases.len() <= WRAPPERS {
            let last = &bases[bases.len() - 1];
            let mut below = self.subfolders(last);
            below.retain(|name| !name.starts_with('.') && name != "__MACOSX");
            let [only] = &below[..] else { break };
            bases.push(format!("{last}{only}/"));
        }
        bases
    }

    fn subfolders(&self, base: &str) -> Vec<String> {
        let mut found: Vec<String> = match self {
            Tree::Folder(root) => std::fs::read_dir(root.join(base))
                .into_iter()
                .flatten()
                .flatten()
                .filter(|entry| entry.path().is_dir())
                .filter_map(|entry| entry.file_name().into_string().ok())
                .collect(),
            Tree::Names { names, .. } => names
                .iter()
                .filter_map(|name| Some(name.strip_prefix(base)?.split_once('/')?.0.to_owned()))
                .collect(),
        };
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// The first layout with a pair, or else the first with any file of its own.
pub(super) fn scan(manifest: &Manifest, tree: Tree<'_>) -> Result<Scan, DataError> {
    let mut broken = None;
    for base in tree.bases() {
        for place in 0..manifest.layouts.len() {
            let scan = scan_layout(manifest, place, tree, &base)?;
            if !scan.pairs.is_empty() {
                return Ok(scan);
            }
            if !scan.problems.is_empty() && broken.is_none() {
                broken = Some(scan);
            }
        }
    }
    broken.ok_or_else(|| DataError::NoLayout {
        name: manifest.id.clone(),
        path: tree.path(),
        looked_for: manifest.layouts.iter().map(|l| l.image().to_owned()).collect(),
    })
}

/// What the tree holds below `base` under the layout at `place` of the manifest.
pub(super) fn scan_layout(
    manifest: &Manifest,
    place: usize,
    tree: Tree<'_>,
    base: &str,
) -> Result<Scan, DataError> {
    let invalid = |message: String| DataError::Manifest { name: manifest.id.clone(), message };
    let layout: &Layout =
        manifest.layouts.get(place).ok_or_else(|| invalid(format!("it has no layout number {place}")))?;
    let (images, masks) = layout.patterns().map_err(invalid)?;
    let part = |captures: &Captures| manifest.parts.as_ref().and_then(|rule| rule.part(captures));
    let find = |pattern: &Pattern| -> Result<BTreeMap<Captures, String>, DataError> {
        let found = tree.find(base, pattern)?;
        let known = |(captures, _): &(Captures, String)| manifest.parts.is_none() || part(captures).is_some();
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
        let id = manifest.image_id(&captures);
        if pairs.contains_key(&id) {
            problems.push(Problem::Duplicate { id, file: image });
        } else {
            pairs.insert(id.clone(), Pair { id, part, image, mask });
        }
    }
    for (captures, mask) in masks_found {
        problems.push(Problem::MissingImage { mask, expected: images.fill(&captures) });
    }
    Ok(Scan { base: base.to_owned(), layout: place, pairs: pairs.into_values().collect(), problems })
}

impl Manifest {
    /// The id of an image by what its layout's placeholders stand for.
    pub(super) fn image_id(&self, captures: &Captures) -> String {
        let stem = captures.get("id").map_or("", String::as_str);
        let before = self.parts.as_ref().filter(|rule| rule.in_id).and_then(|rule| rule.part(captures));
        before.map_or_else(|| stem.to_owned(), |part| format!("{}/{stem}", part.name()))
    }
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
        let scan = scan(manifest("cvc-clinicdb"), Tree::Folder(root.path())).expect("a layout fits");
        assert_eq!(scan.pairs.iter().map(|p| p.id.as_str()).collect::<Vec<_>>(), ["10", "9"]);
        assert_eq!(
            scan.problems,
            [
                Problem::MissingMask { image: "images/2.png".into(), expected: "masks/2.png".into() },
                Problem::MissingImage { mask: "masks/7.png".into(), expected: "images/7.png".into() },
            ]
        );
    }

    fn names_of(files: &[&str]) -> Vec<String> {
        files.iter().map(|file| (*file).to_owned()).collect()
    }

    /// The scan of a folder, which must equal that of a list of the same names.
    fn both(id: &str, files: &[&str]) -> Scan {
        let root = folder(files);
        let found = scan(manifest(id), Tree::Folder(root.path())).expect("fits");
        let names = names_of(files);
        let listed = Tree::Names { archive: Path::new("a.zip"), names: &names };
        assert_eq!(found, scan(manifest(id), listed).expect("fits"));
        found
    }

    #[test]
    fn later_layouts_are_found_and_parts_come_from_folders() {
        let found = both("cvc-clinicdb", &["Original/1.tif", "Ground Truth/1.tif"]);
        assert_eq!((found.layout, found.base.as_str()), (3, ""));
        assert_eq!(both("tnbc", &["Slide_01/01_1.png", "GT_01/01_1.png"]).pairs[0].id, "01_1");
        let found = both("kvasir-seg-352", &["test/images/3.jpg", "test/masks/3.jpg", "other/images/3.jpg"]);
        assert_eq!((found.pairs[0].id.as_str(), found.pairs[0].part), ("test/3", Some(Part::Test)));
        assert!(found.problems.is_empty());
    }

    #[test]
    fn isic_and_glas_carry_official_parts() {
        let found = both(
            "isic2016",
            &[
                "ISBI2016_ISIC_Part1_Test_Data/ISIC_0000003.jpg",
                "ISBI2016_ISIC_Part1_Test_GroundTruth/ISIC_0000003_Segmentation.png",
                "ISBI2016_ISIC_Part1_Training_Data/ISIC_0000000.jpg",
                "ISBI2016_ISIC_Part1_Training_GroundTruth/ISIC_0000000_Segmentation.png",
            ],
        );
        let told: Vec<_> = found.pairs.iter().map(|p| (p.id.as_str(), p.part)).collect();
        assert_eq!(told, [("ISIC_0000000", Some(Part::Train)), ("ISIC_0000003", Some(Part::Test))]);
        let folder = "Warwick QU Dataset (Released 2016_07_08)";
        let files = ["Grade.csv", "testB_2.bmp", "testB_2_anno.bmp", "notes.bmp"]
            .map(|file| format!("{folder}/{file}"));
        let found = both("glas", &files.each_ref().map(String::as_str));
        assert_eq!(found.base, format!("{folder}/"));
        assert_eq!((found.pairs[0].id.as_str(), found.pairs[0].part), ("testB_2", Some(Part::Test)));
        assert_eq!((found.pairs.len(), found.problems.len()), (1, 0));
    }

    #[test]
    fn a_tree_that_stands_twice_is_taken_once() {
        let slice = "kaggle_3m/TCGA_A/TCGA_A_1";
        let files: Vec<String> = ["", "lgg-mri-segmentation/"]
            .iter()
            .flat_map(|top| [".tif", "_mask.tif"].map(|end| format!("{top}{slice}{end}")))
            .collect();
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        let found = both("brain-mri", &files);
        assert_eq!((found.pairs.len(), found.problems.len()), (1, 0));
        assert_eq!(found.pairs[0].image, "kaggle_3m/TCGA_A/TCGA_A_1.tif");
    }

    #[test]
    fn regions_and_other_copies_are_passed_over() {
        let lesion = "PH2Dataset/PH2 Dataset images/IMD002";
        let files = [
            "IMD002_Dermoscopic_Image/IMD002.bmp",
            "IMD002_lesion/IMD002_lesion.bmp",
            "IMD002_lesion/IMD002_lesion.jpg",
            "IMD002_roi/IMD002_R1_Label4.bmp",
        ]
        .map(|file| format!("{lesion}/{file}"));
        let found = both("ph2", &files.each_ref().map(String::as_str));
        assert_eq!((found.pairs.len(), found.problems.len()), (1, 0));
        assert_eq!(found.pairs[0].id, "IMD002");
    }

    #[test]
    fn a_foreign_folder_is_refused_with_what_was_looked_for() {
        let root = folder(&["a.txt"]);
        let error = scan(manifest("cvc-clinicdb"), Tree::Folder(root.path())).expect_err("refused");
        assert!(error.to_string().contains("Original/{id}.tif"), "{error}");
    }
}
