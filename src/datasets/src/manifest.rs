//! What is known of a dataset before any file is seen: `datasets/*.toml`.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use dygl_pixels::mask::MaskRule;
use dygl_pixels::{Counts, ImageRule};
use serde::Deserialize;

use super::DataError;
use super::pattern::Pattern;
use super::rules::{GroupRule, PartRule};

/// Every manifest, in the order of the lists that people see. A test fails
/// when a file of `datasets/` is missing here.
const SOURCES: [(&str, &str); 9] = [
    ("kvasir-seg", include_str!("../../../datasets/kvasir-seg.toml")),
    ("kvasir-seg-352", include_str!("../../../datasets/kvasir-seg-352.toml")),
    ("cvc-clinicdb", include_str!("../../../datasets/cvc-clinicdb.toml")),
    ("brain-mri", include_str!("../../../datasets/brain-mri.toml")),
    ("isic2016", include_str!("../../../datasets/isic2016.toml")),
    ("isic2016-ids-512", include_str!("../../../datasets/isic2016-ids-512.toml")),
    ("ph2", include_str!("../../../datasets/ph2.toml")),
    ("glas", include_str!("../../../datasets/glas.toml")),
    ("tnbc", include_str!("../../../datasets/tnbc.toml")),
];

/// Those that were asked for: a plan of two datasets reads two of them.
static MANIFESTS: [OnceLock<Result<Manifest, String>>; SOURCES.len()] =
    [const { OnceLock::new() }; SOURCES.len()];

/// One dataset of folders and files.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// As in `--filter dataset=...`; equals the file's stem.
    pub id: String,
    /// As the paper's tables print it.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// Way of imaging, for people.
    pub modality: String,
    /// Where to get it.
    pub page: String,
    /// Terms of use, in words.
    pub terms: String,
    /// Whether its terms allow showing its images to others.
    pub redistributable: bool,
    /// The publication to cite.
    pub citation: String,
    /// Image/mask pairs of the whole dataset.
    pub images: usize,
    /// Parts according to the paper's Table 1; 0 where it prints N/A.
    pub paper: Counts,
    /// The counts of the parts as used, where the paper's contradict its own
    /// total; see [`Manifest::counts`].
    pub used: Option<Counts>,
    /// How stored image values become levels of 8 bits.
    #[serde(default)]
    pub image: ImageRule,
    /// How stored mask values become foreground.
    pub mask: MaskRule,
    /// Which pairs belong to the dataset; all unless stated.
    #[serde(default)]
    pub keep: Keep,
    /// Which images belong together (one patient, slide or video), where that is known.
    pub group: Option<GroupRule>,
    /// Which official part an image belongs to, where there are official parts.
    pub parts: Option<PartRule>,
    /// Where the parts come from unless an experiment says otherwise.
    pub split: SplitKind,
    /// What several layouts are to each other.
    #[serde(rename = "layouts", default)]
    pub taken: Taken,
    /// Where files stand below the dataset's folder.
    #[serde(rename = "layout")]
    pub layouts: Vec<Layout>,
    /// Where the keys of a user's own manifest stand, `my-polyps.toml:4`; under no
    /// key the file.
    #[serde(skip)]
    pub places: BTreeMap<String, String>,
}

/// Which of its layouts a dataset is read by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Taken {
    /// They are one dataset as several publishers pack it: the first with a pair.
    #[default]
    First,
    /// They are parts of one dataset: what all find together.
    All,
}

/// Which pairs of the files belong to the dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// Whatever is found.
    #[default]
    All,
    /// Those whose mask holds foreground.
    Foreground,
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
    /// As messages name it.
    pub name: String,
    pub(super) image: String,
    pub(super) mask: OneOrMore,
}

/// Patterns of the masks: one, or several whose masks are merged.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    fn texts(&self) -> &[String] {
        match self {
            OneOrMore::One(text) => std::slice::from_ref(text),
            OneOrMore::More(texts) => texts,
        }
    }
}

impl Layout {
    /// Pattern of the images, as written.
    pub fn image(&self) -> &str {
        &self.image
    }

    /// Patterns of the masks, as written; at least one.
    pub fn masks(&self) -> &[String] {
        self.mask.texts()
    }

    /// The patterns of the images and of the masks, of which there is at least one.
    pub(super) fn patterns(&self) -> Result<(Pattern, Vec<Pattern>), String> {
        let masks: Vec<Pattern> =
            self.masks().iter().map(|text| Pattern::parse(text)).collect::<Result<_, _>>()?;
        if masks.is_empty() {
            return Err(format!("layout `{}`: its list of masks is empty", self.name));
        }
        Ok((Pattern::parse(&self.image)?, masks))
    }

    /// Whether both patterns fit each other and the rule for the parts.
    fn check(&self, parts_by_folder: bool, needs_group: bool) -> Result<(), String> {
        let (image, masks) = self.patterns()?;
        if masks.iter().any(|mask| image.placeholders() != mask.placeholders()) {
            return Err(format!("layout `{}`: image and mask use different placeholders", self.name));
        }
        if masks.iter().any(|mask| image.text() == mask.text()) {
            return Err(format!("layout `{}`: image and mask are the same files", self.name));
        }
        if needs_group && !image.placeholders().contains(&"group") {
            return Err(format!("layout `{}`: has no {{group}}, which the rule of `group` needs", self.name));
        }
        if image.placeholders().contains(&"part") != parts_by_folder {
            return Err(format!("layout `{}`: {{part}} goes with [parts] from = \"folder\"", self.name));
        }
        Ok(())
    }
}

impl Manifest {
    /// As `images`: however many are found. For datasets of the user's own.
    pub const ANY: usize = usize::MAX;

    /// Every manifest, in listing order.
    pub fn all() -> Result<Vec<&'static Manifest>, DataError> {
        (0..SOURCES.len()).map(Self::built_in).collect()
    }

    /// The manifest of an id, if there is one.
    pub fn find(id: &str) -> Result<Option<&'static Manifest>, DataError> {
        SOURCES.iter().position(|(name, _)| *name == id).map(Self::built_in).transpose()
    }

    /// The one at a place of [`SOURCES`].
    fn built_in(at: usize) -> Result<&'static Manifest, DataError> {
        let (id, text) = SOURCES[at];
        let parsed = MANIFESTS[at].get_or_init(|| Self::parse(id, text));
        parsed
            .as_ref()
            .map_err(|message| DataError::Manifest { name: id.to_owned(), message: message.clone() })
    }

    /// How many images each part gets: the paper's counts, or `used` where the
    /// paper's do not add up.
    pub fn counts(&self) -> Counts {
        self.used.unwrap_or(self.paper)
    }

    /// Where a key of a user's own manifest stands, file and line, or would stand;
    /// `None` for built-in manifests.
    pub fn place(&self, key: &str) -> Option<&str> {
        self.places.get(key).or_else(|| self.places.get("")).map(String::as_str)
    }

    /// Whether the user wrote it.
    pub fn is_own(&self) -> bool {
        !self.places.is_empty()
    }

    /// Reads a manifest and checks what TOML cannot say.
    fn parse(id: &str, text: &str) -> Result<Self, String> {
        let manifest: Self = toml::from_str(text).map_err(|e| e.to_string())?;
        if manifest.id != id {
            return Err(format!("its id is `{}`", manifest.id));
        }
        if manifest.paper.train == 0 || manifest.paper.test == 0 {
            return Err("the paper's train and test parts are not empty".to_owned());
        }
        match manifest.contradictions().into_iter().next() {
            Some((_, message)) => Err(message),
            None => Ok(manifest),
        }
    }

    /// What contradicts what, with the key at fault (`layout.2` is the third layout).
    pub(super) fn contradictions(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut say = |key: &str, message: &str| found.push((key.to_owned(), message.to_owned()));
        if self.layouts.is_empty() || self.images == 0 {
            say("layout", "it needs a layout and images");
        }
        if let Some(message) = self.mask.contradiction() {
            say("mask", &message);
        }
        if let Some(message) = self.image.white.and_then(ImageRule::refuse) {
            say("image", &message);
        }
        if let Some(message) = self.group.as_ref().and_then(GroupRule::contradiction) {
            say("group", message);
        }
        if let Some(message) = self.parts.as_ref().and_then(PartRule::contradiction) {
            say("parts", message);
        }
        let by_folder = self.parts.as_ref().is_some_and(PartRule::is_by_folder);
        if self.split == SplitKind::Folders && !by_folder {
            say("split", "split = \"folders\" needs parts from folders: {part} in the layouts and [parts]");
        }
        let needs_group = self.group.as_ref().is_some_and(GroupRule::needs_placeholder);
        for (place, layout) in self.layouts.iter().enumerate() {
            if let Err(message) = layout.check(by_folder, needs_group) {
                say(&format!("layout.{place}"), &message);
            }
        }
        found
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
        for (id, train, validation, test) in [
            ("kvasir-seg", 800, 100, 100),
            ("cvc-clinicdb", 489, 61, 62),
            ("isic2016", 900, 0, 379),
            ("ph2", 160, 20, 20),
            ("glas", 132, 16, 17),
            ("tnbc", 40, 0, 10),
        ] {
            let manifest = Manifest::find(id).expect("valid").expect("listed");
            assert_eq!(manifest.paper, Counts { train, validation, test });
            assert_eq!(manifest.counts(), manifest.paper);
            assert_eq!(manifest.images, train + validation + test);
        }
        let brain = Manifest::find("brain-mri").expect("valid").expect("listed");
        assert_eq!(brain.paper, Counts { train: 1089, validation: 137, test: 138 });
        let used = brain.counts();
        assert_eq!((used.train, used.validation, used.test), (1098, 137, 138));
        assert_eq!(used.train + used.validation + used.test, brain.images);
    }

    #[test]
    fn mistakes_are_refused() {
        let good = SOURCES[0].1;
        assert!(Manifest::parse("other", good).expect_err("id").contains("kvasir-seg"));
        for (from, to, word) in [
            ("images = 1000", "images = 0", "needs"),
            ("masks/{id}.jpg", "masks/{group}/{id}.jpg", "different placeholders"),
            ("split = \"seeded\"", "split = \"folders\"", "{part}"),
            (
                "split = \"seeded\"",
                "split = \"seeded\"\ngroup = { kind = \"ranges\", ranges = [[3, 1]] }",
                "group",
            ),
            ("images = 1000", "images = 1000\ncolour = 1", "unknown field"),
        ] {
            let error = Manifest::parse("kvasir-seg", &good.replacen(from, to, 1)).expect_err("refused");
            assert!(error.contains(word), "{error}");
        }
    }
}
