//! What is known of a dataset before any file is seen: `datasets/*.toml`.

use std::sync::LazyLock;

use serde::Deserialize;

use super::DataError;
use super::pattern::Pattern;

/// Every manifest, in the order of the lists that people see. A test fails
/// when a file of `datasets/` is missing here.
const SOURCES: [(&str, &str); 8] = [
    ("kvasir-seg", include_str!("../../../../datasets/kvasir-seg.toml")),
    ("kvasir-seg-352", include_str!("../../../../datasets/kvasir-seg-352.toml")),
    ("cvc-clinicdb", include_str!("../../../../datasets/cvc-clinicdb.toml")),
    ("brain-mri", include_str!("../../../../datasets/brain-mri.toml")),
    ("isic2016", include_str!("../../../../datasets/isic2016.toml")),
    ("ph2", include_str!("../../../../datasets/ph2.toml")),
    ("glas", include_str!("../../../../datasets/glas.toml")),
    ("tnbc", include_str!("../../../../datasets/tnbc.toml")),
];

static MANIFESTS: LazyLock<Result<Vec<Manifest>, (String, String)>> = LazyLock::new(|| {
    SOURCES
        .iter()
        .map(|(id, text)| Manifest::parse(id, text).map_err(|message| ((*id).to_owned(), message)))
        .collect()
});

/// One dataset of folders and files.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// As in `--filter dataset=...`; equals the file's stem.
    pub id: String,
    /// As the paper's tables print it.
    pub name: String,
    /// One line for people.
    pub title: String,
    pub modality: String,
    /// Where to get it.
    pub page: String,
    pub terms: String,
    /// Whether its terms allow showing its images to others.
    pub redistributable: bool,
    pub citation: String,
    /// Image/mask pairs of the whole dataset.
    pub images: usize,
    /// Parts according to the paper's Table 1; 0 where it prints N/A.
    pub paper: Counts,
    pub mask: MaskRule,
    /// Which images belong together (one patient, one slide), where ids tell.
    pub group: Option<GroupRule>,
    pub split: SplitKind,
    /// Where files stand below the dataset's folder; the first that fits is used.
    #[serde(rename = "layout")]
    pub layouts: Vec<Layout>,
}

/// Images of each part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    pub train: usize,
    pub validation: usize,
    pub test: usize,
}

/// How stored mask values become foreground.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum MaskRule {
    /// Grey values; foreground is `> above` on the scale 0..=255.
    Grey { above: u8 },
    /// Labels of objects, 8 or 16 bit; foreground is `> 0`.
    Instances,
}

impl MaskRule {
    /// The threshold for masks as [`super::Sample`] holds them: foreground is
    /// what is greater.
    pub fn threshold(self) -> u8 {
        match self {
            MaskRule::Grey { above } => above,
            MaskRule::Instances => 127,
        }
    }
}

/// The group of an image is the start of its id.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupRule {
    /// The group ends before the first place where this text stands.
    pub before: String,
}

impl GroupRule {
    /// The group of an image id.
    pub fn group<'a>(&self, id: &'a str) -> &'a str {
        id.split_once(&self.before).map_or(id, |(group, _)| group)
    }
}

/// Where the parts come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SplitKind {
    /// The layouts' `{part}` folders: train, validation, test.
    Folders,
    /// A seeded shuffle with the paper's counts.
    Seeded,
}

/// One way in which the files may lie: patterns with `{id}` and optionally
/// `{part}` or `{group}`, relative to the dataset's folder.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    pub name: String,
    image: String,
    mask: String,
}

impl Layout {
    /// Pattern of the images, as written.
    pub fn image(&self) -> &str {
        &self.image
    }

    /// Pattern of the masks, as written.
    pub fn mask(&self) -> &str {
        &self.mask
    }

    pub(super) fn patterns(&self) -> Result<(Pattern, Pattern), String> {
        Ok((Pattern::parse(&self.image)?, Pattern::parse(&self.mask)?))
    }
}

impl Manifest {
    /// Every manifest, in listing order.
    pub fn all() -> Result<&'static [Manifest], DataError> {
        match &*MANIFESTS {
            Ok(manifests) => Ok(manifests),
            Err((name, message)) => Err(DataError::Manifest { name: name.clone(), message: message.clone() }),
        }
    }

    /// The manifest of an id, if there is one.
    pub fn find(id: &str) -> Result<Option<&'static Manifest>, DataError> {
        Ok(Self::all()?.iter().find(|m| m.id == id))
    }

    /// Reads a manifest and checks what TOML cannot say.
    fn parse(id: &str, text: &str) -> Result<Self, String> {
        let manifest: Self = toml::from_str(text).map_err(|e| e.to_string())?;
        if manifest.id != id {
            return Err(format!("its id is `{}`", manifest.id));
        }
        if manifest.layouts.is_empty() || manifest.images == 0 {
            return Err("it needs a layout and images".to_owned());
        }
        if manifest.paper.train == 0 || manifest.paper.test == 0 {
            return Err("the paper's train and test parts are not empty".to_owned());
        }
        if manifest.group.as_ref().is_some_and(|g| g.before.is_empty()) {
            return Err("group.before is empty".to_owned());
        }
        for layout in &manifest.layouts {
            let (image, mask) = layout.patterns()?;
            if image.placeholders() != mask.placeholders() {
                return Err(format!("layout `{}`: image and mask use different placeholders", layout.name));
            }
            if image.text() == mask.text() {
                return Err(format!("layout `{}`: image and mask are the same files", layout.name));
            }
            let folders = manifest.split == SplitKind::Folders;
            if image.placeholders().contains(&"part") != folders {
                return Err(format!("layout `{}`: {{part}} goes with split = \"folders\"", layout.name));
            }
        }
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_manifest_parses_and_every_file_is_listed() {
        let listed: Vec<&str> = Manifest::all().expect("valid").iter().map(|m| m.id.as_str()).collect();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets");
        for entry in fs::read_dir(folder).expect("folder") {
            let path = entry.expect("entry").path();
            if path.extension().is_some_and(|e| e == "toml") {
                let stem = path.file_stem().and_then(|s| s.to_str()).expect("UTF-8");
                assert!(listed.contains(&stem), "datasets/{stem}.toml is not listed in SOURCES");
            }
        }
    }

    #[test]
    fn the_counts_are_those_of_table_1() {
        for (id, train, validation, test) in
            [("kvasir-seg", 800, 100, 100), ("cvc-clinicdb", 489, 61, 62), ("tnbc", 40, 0, 10)]
        {
            let manifest = Manifest::find(id).expect("valid").expect("listed");
            assert_eq!(manifest.paper, Counts { train, validation, test });
            assert_eq!(manifest.images, train + validation + test);
        }
    }

    #[test]
    fn mistakes_are_refused() {
        let good = SOURCES[0].1;
        assert!(Manifest::parse("other", good).expect_err("id").contains("kvasir-seg"));
        for (from, to, word) in [
            ("images = 1000", "images = 0", "needs"),
            ("masks/{id}.jpg", "masks/{group}/{id}.jpg", "different placeholders"),
            ("split = \"seeded\"", "split = \"folders\"", "{part}"),
            ("images = 1000", "images = 1000\ncolour = 1", "unknown field"),
        ] {
            let error = Manifest::parse("kvasir-seg", &good.replacen(from, to, 1)).expect_err("refused");
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn the_group_is_the_start_of_the_id() {
        let rule = GroupRule { before: "_".into() };
        assert_eq!((rule.group("04_3"), rule.group("7")), ("04", "7"));
    }
}
