//! What this program writes, so that no later command takes it for a photo.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The table of a folder of predictions.
pub const TABLE: &str = "predictions.csv";
/// What a folder of predictions was made by.
pub const PROVENANCE: &str = "provenance.json";
/// Where a call under way keeps what is done.
pub const JOURNAL: &str = ".predicting.jsonl";
/// Ends of the names of its pictures.
pub const PROBABILITY: &str = ".probability.png";
/// The image with prediction and truth drawn over it.
pub const OVERLAY: &str = ".overlay.png";
/// The predicted mask.
pub const MASK: &str = ".mask.png";

/// Whether a file's name ends as that of a prediction.
pub fn is_named_so(name: &str) -> bool {
    [PROBABILITY, OVERLAY, MASK].iter().any(|end| name.ends_with(end))
}

/// Whether the names in a folder say that predictions were written into it: the
/// table with its provenance, or the journal of a call that has not ended.
pub fn mark<'a>(mut names: impl Iterator<Item = &'a str>) -> bool {
    let (mut table, mut provenance) = (false, false);
    names.any(|name| {
        table |= name == TABLE;
        provenance |= name == PROVENANCE;
        name == JOURNAL || (table && provenance)
    })
}

/// The first bytes of a file, enough to know a picture and its signature by; none
/// where they cannot be read.
pub fn head(file: &Path) -> Vec<u8> {
    let mut head = Vec::new();
    let read = File::open(file).and_then(|file| file.take(64).read_to_end(&mut head));
    if read.is_ok() { head } else { Vec::new() }
}

/// Whether predictions were written into a folder of the disk.
pub fn are_in(folder: &Path) -> bool {
    mark([TABLE, PROVENANCE, JOURNAL].into_iter().filter(|name| folder.join(name).is_file()))
}

/// Whether a folder of the disk is a store, which keeps samples of its results.
pub fn is_store(folder: &Path) -> bool {
    folder.join("store/v1").is_dir()
}

/// The folders of a tree into which predictions were written.
#[derive(Debug, Default)]
pub(super) struct Folders(BTreeSet<String>);

impl Folders {
    /// Of the sorted paths of a tree's files.
    pub(super) fn of(files: &[String]) -> Self {
        let mut named: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for file in files {
            let (folder, name) = file.rsplit_once('/').unwrap_or(("", file));
            if [TABLE, PROVENANCE, JOURNAL].contains(&name) {
                named.entry(folder).or_default().push(name);
            }
        }
        let written = named.into_iter().filter(|(_, names)| mark(names.iter().copied()));
        Self(written.map(|(folder, _)| folder.to_owned()).collect())
    }

    /// Whether a file is a prediction: named so, and below such a folder.
    pub(super) fn wrote(&self, file: &str) -> bool {
        let above = |folder: &String| {
            folder.is_empty() || file.strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/'))
        };
        is_named_so(file) && self.0.iter().any(above)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predictions_are_known_by_their_folder_and_their_name() {
        let files = [
            "a/out/.predicting.jsonl",
            "images/out/deep/1.mask.png",
            "images/out/predictions.csv",
            "images/out/provenance.json",
            "other/provenance.json",
        ]
        .map(str::to_owned);
        let folders = Folders::of(&files);
        for (file, wrote) in [
            ("images/out/deep/1.mask.png", true),
            ("images/out/1.overlay.png", true),
            ("a/out/1.probability.png", true),
            ("images/out/1.png", false),
            ("images/output/1.mask.png", false),
            ("other/1.mask.png", false),
        ] {
            assert_eq!(folders.wrote(file), wrote, "{file}");
        }
    }
}
