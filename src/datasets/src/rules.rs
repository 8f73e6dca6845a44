//! What an image's id says of it: its group and its official part.

use std::collections::BTreeMap;
use std::path::Path;

use dygl_pixels::split::Grouping;
use dygl_spec::protocol::Part;
use serde::Deserialize;

use super::pattern::Captures;
use super::{Problem, group_table, text};

/// Which images share a patient, slide or video.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum GroupRule {
    /// The start of the id, up to the first (or the last) place of a text.
    Start {
        /// The text before which the group ends.
        before: String,
        /// Whether its last place in the id counts, not its first.
        #[serde(default)]
        last: bool,
        /// Whether what `{group}` stands for is put before the id.
        #[serde(default)]
        in_id: bool,
    },
    /// Ids are numbers; each range (first and last) is a group, named by its
    /// place from 1. A number in no range has no group.
    Ranges {
        /// First and last number of each group, in ascending order, without overlap.
        ranges: Vec<[u64; 2]>,
    },
    /// A column of a table (CSV) in the dataset's folder; `id` is the column
    /// that names the image.
    Table {
        /// Name of the table, without folders.
        file: String,
        /// Head of the column that names the image.
        id: String,
        /// Head of the column that names its group.
        group: String,
        /// Whether what `{group}` stands for is put before the id.
        #[serde(default)]
        in_id: bool,
    },
    /// What `{group}` stands for in the layout.
    Folder {
        /// Whether what `{group}` stands for is put before the id.
        #[serde(default)]
        in_id: bool,
    },
}

impl GroupRule {
    /// What is wrong with the rule itself.
    pub(super) fn contradiction(&self) -> Option<&'static str> {
        match self {
            GroupRule::Start { before, .. } if before.is_empty() => Some("group.before is empty"),
            GroupRule::Ranges { ranges } => {
                let ordered = ranges.iter().all(|[first, last]| first <= last)
                    && ranges.windows(2).all(|pair| pair[0][1] < pair[1][0]);
                (!ordered).then_some("group.ranges overlap or are not in order")
            }
            GroupRule::Table { file, .. } if file.contains(['/', '\\']) || file.starts_with('.') => {
                Some("group.file names a file in the dataset's folder itself")
            }
            _ => None,
        }
    }

    /// Whether what `{group}` stands for is put before the id (`p1/3`), because
    /// names repeat in the folders.
    pub(super) fn in_id(&self) -> bool {
        match self {
            GroupRule::Start { in_id, .. } | GroupRule::Table { in_id, .. } | GroupRule::Folder { in_id } => {
                *in_id
            }
            GroupRule::Ranges { .. } => false,
        }
    }

    /// Whether the layouts have to hold `{group}`.
    pub(super) fn needs_placeholder(&self) -> bool {
        self.in_id() || matches!(self, GroupRule::Folder { .. })
    }

    /// The table that the rule reads, if it reads one.
    pub(super) fn table(&self) -> Option<&str> {
        match self {
            GroupRule::Table { file, .. } => Some(file),
            _ => None,
        }
    }

    /// The groups of ids by this rule. A table that is not in the folder gives
    /// none: copies of a dataset often lack it, and their pixels are as good.
    pub(super) fn read(&self, root: &Path) -> Result<Groups<'_>, Vec<Problem>> {
        let table = match self {
            GroupRule::Table { file, id, group, .. } => group_table::read(root, file, id, group)?,
            _ => None,
        };
        Ok(Groups { rule: self, table })
    }

    /// What speaks against the rule once the images are seen: that it leaves
    /// some without a group, or groups nothing. `None` where it groups them all.
    pub fn doubt<'a>(
        &self,
        images: impl Iterator<Item = (&'a str, Option<&'a str>)> + Clone,
    ) -> Option<String> {
        let grouping = Grouping::of(images.clone().map(|(_, group)| group));
        let all = images.clone().count();
        let first = images.clone().find(|(_, group)| group.is_none()).map_or("", |(id, _)| id);
        if grouping.unknown == 0 {
            return (grouping.largest == 1 && all > 1)
                .then(|| format!("every group is one image ({}): the rule groups nothing", self.words()));
        }
        let whose = format!(
            "the group (patient, slide, video) of {} of {all} images is not known, for example of `{first}`",
            grouping.unknown
        );
        let why = match self {
            GroupRule::Start { before, .. } if grouping.unknown == all => {
                format!("`{before}` of group.before is in no id; write what stands behind the group's name")
            }
            GroupRule::Start { before, .. } => format!("`{before}` of group.before is not in such an id"),
            GroupRule::Ranges { .. } => {
                "it is in none of group.ranges, which are of ids that are numbers".to_owned()
            }
            GroupRule::Table { file, .. } if grouping.unknown == all => {
                format!("the table {file} is not in the dataset's folder, or names no group")
            }
            GroupRule::Table { file, group, .. } => format!("the column `{group}` of {file} is blank there"),
            GroupRule::Folder { .. } => "the layout has no {group}".to_owned(),
        };
        Some(format!("{whose}: {why}"))
    }

    /// The rule as the manifest writes it, in short.
    fn words(&self) -> String {
        match self {
            GroupRule::Start { before, last: false, .. } => format!("before = \"{before}\""),
            GroupRule::Start { before, .. } => format!("before = \"{before}\", last = true"),
            GroupRule::Ranges { ranges } => format!("{} ranges", ranges.len()),
            GroupRule::Table { file, group, .. } => format!("the column `{group}` of {file}"),
            GroupRule::Folder { .. } => "the folder {group}".to_owned(),
        }
    }
}

/// A rule at work.
#[derive(Debug)]
pub(super) struct Groups<'a> {
    rule: &'a GroupRule,
    table: Option<group_table::Table>,
}

impl Groups<'_> {
    /// The group of an image, of whose layout `{group}` stands for `folder`; none
    /// where it is not known.
    pub(super) fn of(&self, id: &str, folder: Option<&str>) -> Option<String> {
        let found = match self.rule {
            GroupRule::Start { before, last, .. } => {
                let before = text::nfc(before);
                let parts = if *last { id.rsplit_once(&*before) } else { id.split_once(&*before) };
                parts.map(|(group, _)| group.to_owned())
            }
            GroupRule::Ranges { ranges } => {
                let number: Option<u64> = id.parse().ok();
                let place = number
                    .and_then(|n| ranges.iter().position(|[first, last]| (*first..=*last).contains(&n)));
                place.map(|place| (place + 1).to_string())
            }
            GroupRule::Table { .. } => self.table.as_ref().and_then(|table| table.group(id)),
            GroupRule::Folder { .. } => folder.map(str::to_owned),
        };
        // What has no name is nobody's group.
        found.filter(|group| !group.trim().is_empty())
    }

    /// The images that a table should name and does not.
    pub(super) fn unnamed<'a>(&self, ids: impl Iterator<Item = &'a str>) -> Vec<Problem> {
        match (self.rule, &self.table) {
            (GroupRule::Table { file, .. }, Some(table)) => table.unnamed(file, ids),
            _ => Vec::new(),
        }
    }
}

/// Where the official part of an image is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartSource {
    /// What `{part}` stands for in the layout.
    Folder,
    /// The id up to its first `_`.
    Id,
}

/// Which official part an image belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartRule {
    /// Where the word of the part is found.
    pub from: PartSource,
    /// Whether the part is put before the id (`train/3`), because names repeat in the folders.
    #[serde(default)]
    pub in_id: bool,
    /// The dataset's own words -> parts. Files under other words are not the dataset's.
    pub names: BTreeMap<String, Part>,
}

impl PartRule {
    /// What is wrong with the rule itself.
    pub(super) fn contradiction(&self) -> Option<&'static str> {
        if self.names.is_empty() {
            return Some("parts.names is empty");
        }
        (self.in_id && self.from == PartSource::Id).then_some("parts.in_id goes with from = \"folder\"")
    }

    pub(super) fn is_by_folder(&self) -> bool {
        self.from == PartSource::Folder
    }

    /// The part that a file's captures tell; `None` if the file is not the dataset's.
    pub(super) fn part(&self, captures: &Captures) -> Option<Part> {
        let word = self.word(captures)?;
        let known = self.names.get(word).copied();
        known.or_else(|| self.names.iter().find(|(name, _)| text::nfc(name) == word).map(|(_, part)| *part))
    }

    /// The word that tells the part.
    pub(super) fn word<'a>(&self, captures: &'a Captures) -> Option<&'a str> {
        match self.from {
            PartSource::Folder => captures.get("part").map(String::as_str),
            PartSource::Id => captures.get("id")?.split('_').next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(rule: &GroupRule, id: &str) -> Option<String> {
        rule.read(Path::new("/nonexistent")).expect("needs no file").of(id, Some("p1"))
    }

    fn start(before: &str, last: bool) -> GroupRule {
        GroupRule::Start { before: before.into(), last, in_id: false }
    }

    #[test]
    fn the_group_is_the_start_of_the_id() {
        assert_eq!(group(&start("_", false), "04_3"), Some("04".into()));
        let slice = "TCGA_CS_4941_19960909_14";
        assert_eq!(group(&start("_", true), slice), Some("TCGA_CS_4941_19960909".into()));
        // Without the separator, or with nothing before it, there is no group.
        for id in ["7", "p0-0", "_7"] {
            assert_eq!(group(&start("_", false), id), None, "{id}");
        }
        assert_eq!(group(&GroupRule::Folder { in_id: true }, "p1/3"), Some("p1".into()));
    }

    #[test]
    fn ranges_name_video_sequences() {
        let rule = GroupRule::Ranges { ranges: vec![[1, 25], [26, 50]] };
        assert_eq!(group(&rule, "25"), Some("1".into()));
        assert_eq!(group(&rule, "26"), Some("2".into()));
        assert_eq!((group(&rule, "51"), group(&rule, "frame_3")), (None, None));
        assert!(GroupRule::Ranges { ranges: vec![[1, 5], [5, 9]] }.contradiction().is_some());
    }

    #[test]
    fn a_rule_that_does_not_group_is_doubted() {
        let doubt = |rule: &GroupRule, ids: &[&str]| {
            let groups: Vec<Option<String>> = ids.iter().map(|id| group(rule, id)).collect();
            rule.doubt(ids.iter().copied().zip(groups.iter().map(Option::as_deref)))
        };
        let none = doubt(&start("_", false), &["p0-0", "p0-1"]).expect("a doubt");
        assert!(
            none.contains("of 2 of 2 images") && none.contains("`_` of group.before is in no id"),
            "{none}"
        );
        let some = doubt(&start("_", false), &["a_1", "a_2", "b"]).expect("a doubt");
        assert!(some.contains("of 1 of 3 images") && some.contains("`b`"), "{some}");
        let single = doubt(&start("_", true), &["a_1_x", "a_2_x"]).expect("a doubt");
        assert!(single.contains("every group is one image (before = \"_\", last = true)"), "{single}");
        assert_eq!(doubt(&start("_", false), &["a_1_x", "a_2_x", "b_1"]), None);
    }

    #[test]
    fn parts_come_from_folders_or_ids() {
        let names = BTreeMap::from([("testA".to_owned(), Part::Test), ("train".to_owned(), Part::Train)]);
        let rule = PartRule { from: PartSource::Id, in_id: false, names };
        let captures = |id: &str| Captures::from([("id".to_owned(), id.to_owned())]);
        assert_eq!(rule.part(&captures("testA_3")), Some(Part::Test));
        assert_eq!(rule.part(&captures("other_3")), None);
    }
}
