//! What an image's id says of it: its group and its official part.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::Problem;
use super::pattern::Captures;
use crate::spec::protocol::Part;

/// Which images share a patient, slide or video.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum GroupRule {
    /// The start of the id, up to the first (or the last) place of a text.
    Start {
        before: String,
        #[serde(default)]
        last: bool,
    },
    /// Ids are numbers; each range (first and last) is a group, named by its
    /// place from 1. A number in no range has no group.
    Ranges { ranges: Vec<[u64; 2]> },
    /// A column of a table (CSV) in the dataset's folder; `id` is the column
    /// that names the image.
    Table { file: String, id: String, group: String },
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

    /// The table that the rule reads, if it reads one.
    pub(super) fn table(&self) -> Option<&str> {
        match self {
            GroupRule::Table { file, .. } => Some(file),
            _ => None,
        }
    }

    /// The groups of ids by this rule. A table that is not in the folder gives
    /// none: copies of a dataset often lack it, and their pixels are as good.
    pub(super) fn read(&self, root: &Path) -> Result<Groups<'_>, Problem> {
        let table = match self {
            GroupRule::Table { file, id, group } => read_table(root, file, id, group)?,
            _ => None,
        };
        Ok(Groups { rule: self, table })
    }
}

/// A rule at work.
#[derive(Debug)]
pub(super) struct Groups<'a> {
    rule: &'a GroupRule,
    table: Option<BTreeMap<String, String>>,
}

impl Groups<'_> {
    /// The group of an image; an error where the rule should know it and does not.
    pub(super) fn of(&self, id: &str) -> Result<Option<String>, Problem> {
        match self.rule {
            GroupRule::Start { before, last } => {
                let parts = if *last { id.rsplit_once(before) } else { id.split_once(before) };
                Ok(Some(parts.map_or(id, |(group, _)| group).to_owned()))
            }
            GroupRule::Ranges { ranges } => {
                let number: Option<u64> = id.parse().ok();
                let place = number
                    .and_then(|n| ranges.iter().position(|[first, last]| (*first..=*last).contains(&n)));
                Ok(place.map(|place| (place + 1).to_string()))
            }
            GroupRule::Table { file, .. } => match &self.table {
                Some(table) => match table.get(id) {
                    Some(group) => Ok(Some(group.clone())),
                    None => Err(Problem::NoGroup { id: id.to_owned(), table: file.clone() }),
                },
                None => Ok(None),
            },
        }
    }
}

/// Image id -> group; `None` if the table is not there. Records may end in CR
/// alone, and blanks around values do not count: both occur in Grade.csv.
fn read_table(
    root: &Path,
    file: &str,
    id: &str,
    group: &str,
) -> Result<Option<BTreeMap<String, String>>, Problem> {
    let wrong = |message: String| Problem::Unreadable { file: file.to_owned(), message };
    let bytes = match std::fs::read(root.join(file)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(error.to_string())),
    };
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_reader(&bytes[..]);
    let headers = reader.headers().map_err(|e| wrong(e.to_string()))?.clone();
    let column = |name: &str| {
        let found = headers.iter().position(|header| header.trim_start_matches('\u{feff}') == name);
        found.ok_or_else(|| wrong(format!("it has no column `{name}`")))
    };
    let (id, group) = (column(id)?, column(group)?);
    let mut table = BTreeMap::new();
    for record in reader.records() {
        let record = record.map_err(|e| wrong(e.to_string()))?;
        if let (Some(id), Some(group)) = (record.get(id), record.get(group))
            && !id.is_empty()
        {
            table.insert(id.to_owned(), group.to_owned());
        }
    }
    Ok(Some(table))
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
        let word = match self.from {
            PartSource::Folder => captures.get("part")?.as_str(),
            PartSource::Id => captures.get("id")?.split('_').next()?,
        };
        self.names.get(word).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(rule: &GroupRule, id: &str) -> Result<Option<String>, Problem> {
        rule.read(Path::new("/nonexistent")).expect("needs no file").of(id)
    }

    #[test]
    fn the_group_is_the_start_of_the_id() {
        let rule = |last| GroupRule::Start { before: "_".into(), last };
        assert_eq!(group(&rule(false), "04_3"), Ok(Some("04".into())));
        assert_eq!(group(&rule(false), "7"), Ok(Some("7".into())));
        let slice = "TCGA_CS_4941_19960909_14";
        assert_eq!(group(&rule(true), slice), Ok(Some("TCGA_CS_4941_19960909".into())));
    }

    #[test]
    fn ranges_name_video_sequences() {
        let rule = GroupRule::Ranges { ranges: vec![[1, 25], [26, 50]] };
        assert_eq!(group(&rule, "25"), Ok(Some("1".into())));
        assert_eq!(group(&rule, "26"), Ok(Some("2".into())));
        assert_eq!(group(&rule, "51"), Ok(None));
        assert!(GroupRule::Ranges { ranges: vec![[1, 5], [5, 9]] }.contradiction().is_some());
    }

    #[test]
    fn tables_may_end_their_lines_in_cr_alone() {
        let root = tempfile::tempdir().expect("folder");
        let rule = GroupRule::Table { file: "G.csv".into(), id: "name".into(), group: "patient ID".into() };
        assert_eq!(rule.read(root.path()).expect("absent").of("a"), Ok(None));
        std::fs::write(root.path().join("G.csv"), "name,patient ID, grade\ra,4, benign\rb,10, malignant\r")
            .expect("written");
        let groups = rule.read(root.path()).expect("a table");
        assert_eq!(groups.of("b"), Ok(Some("10".into())));
        assert!(groups.of("c").is_err());
        std::fs::write(root.path().join("G.csv"), "name\ra\r").expect("written");
        let problem = rule.read(root.path()).expect_err("no column");
        assert!(problem.to_string().contains("patient ID"), "{problem}");
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
