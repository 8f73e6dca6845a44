//! A table (CSV) in a dataset's folder that names the group of each image.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Problem, text};

/// Image id -> group, `None` where the table leaves it blank.
#[derive(Debug, Default)]
pub(super) struct Table {
    groups: BTreeMap<String, Option<String>>,
}

/// `None` if the table is not there. Records may end in CR alone, and blanks
/// around values do not count: both occur in Grade.csv.
///
/// # Errors
/// The table cannot be read or lacks a column, or it gives an image two groups.
pub(super) fn read(root: &Path, file: &str, id: &str, group: &str) -> Result<Option<Table>, Vec<Problem>> {
    let wrong = |message: String| vec![Problem::Unreadable { file: file.to_owned(), message }];
    let bytes = match std::fs::read(root.join(file)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(error.to_string())),
    };
    let content = std::str::from_utf8(&bytes)
        .map_err(|_| wrong("it is not UTF-8; save it as CSV in UTF-8".to_owned()))?;
    let content = content.trim_start_matches('\u{feff}');
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_reader(content.as_bytes());
    let headers = reader.headers().map_err(|e| wrong(e.to_string()))?.clone();
    let column = |name: &str| {
        let found: Vec<usize> =
            (0..headers.len()).filter(|at| text::nfc(&headers[*at]) == text::nfc(name)).collect();
        match found[..] {
            [one] => Ok(one),
            [] => {
                let there: Vec<&str> = headers.iter().collect();
                Err(wrong(format!("it has no column `{name}`; its columns are {}", there.join(", "))))
            }
            _ => Err(wrong(format!("it has {} columns `{name}`; rename all but one", found.len()))),
        }
    };
    let (id, group) = (column(id)?, column(group)?);
    let mut lines = text::Lines::of(content);
    let mut seen: BTreeMap<String, (usize, String)> = BTreeMap::new();
    let mut problems = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|e| wrong(e.to_string()))?;
        let line = record.position().map_or(0, |at| lines.at(at.byte()));
        let (Some(id), group) = (record.get(id), record.get(group).unwrap_or_default()) else { continue };
        if id.is_empty() {
            continue;
        }
        let id = text::nfc(id).into_owned();
        match seen.get_mut(&id) {
            // A blank says nothing, and so contradicts nothing.
            Some((_, known)) if group.is_empty() || known == group => {}
            Some(first) if first.1.is_empty() => *first = (line, group.to_owned()),
            Some((first, known)) => problems.push(Problem::TwoGroups {
                table: file.to_owned(),
                id,
                lines: [*first, line],
                groups: [known.clone(), group.to_owned()],
            }),
            None => {
                seen.insert(id, (line, group.to_owned()));
            }
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let named = seen.into_iter().map(|(id, (_, group))| (id, (!group.is_empty()).then_some(group)));
    Ok(Some(Table { groups: named.collect() }))
}

impl Table {
    pub(super) fn group(&self, id: &str) -> Option<String> {
        self.groups.get(id).cloned().flatten()
    }

    /// The images that the table does not name: those that it names with an
    /// ending are told once, the others each.
    pub(super) fn unnamed<'a>(&self, table: &str, ids: impl Iterator<Item = &'a str>) -> Vec<Problem> {
        let with_ending: BTreeMap<&str, &String> = self
            .groups
            .keys()
            .filter(|id| text::is_picture(id))
            .map(|id| (text::without_ending(id), id))
            .collect();
        let (mut problems, mut spelt) = (Vec::new(), Vec::new());
        for id in ids.filter(|id| !self.groups.contains_key(*id)) {
            match with_ending.get(id) {
                Some(written) => spelt.push((id.to_owned(), (*written).clone())),
                None => problems.push(Problem::NoGroup { id: id.to_owned(), table: table.to_owned() }),
            }
        }
        if let Some((id, written)) = spelt.first().cloned() {
            let count = spelt.len();
            problems.push(Problem::IdsWithEnding { table: table.to_owned(), written, id, count });
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(content: &str) -> Result<Option<Table>, Vec<Problem>> {
        let root = tempfile::tempdir().expect("folder");
        std::fs::write(root.path().join("G.csv"), content).expect("written");
        read(root.path(), "G.csv", "name", "patient ID")
    }

    #[test]
    fn tables_may_end_their_lines_in_cr_alone() {
        let root = tempfile::tempdir().expect("folder");
        assert!(read(root.path(), "G.csv", "name", "patient ID").expect("absent").is_none());
        let found = table("name,patient ID, grade\ra,4, benign\rb,10, malignant\r").expect("a table");
        let found = found.expect("there");
        assert_eq!(found.group("b"), Some("10".into()));
        let unnamed = found.unnamed("G.csv", ["a", "c"].into_iter());
        assert_eq!(unnamed, [Problem::NoGroup { id: "c".into(), table: "G.csv".into() }]);
        let problem = table("name\ra\r").expect_err("no column").remove(0);
        assert!(problem.to_string().contains("`patient ID`; its columns are name"), "{problem}");
    }

    #[test]
    fn a_blank_is_unknown_and_a_contradiction_names_both_lines() {
        let found = table("\u{feff}name,patient ID\r\na, \r\nb,1\r\nb,1\r\na,2\r\nc\r\n").expect("a table");
        let found = found.expect("there");
        let groups = ["a", "b", "c"].map(|id| found.group(id));
        assert_eq!(groups, [Some("2".into()), Some("1".into()), None]);
        assert_eq!(found.unnamed("G.csv", ["a", "b", "c"].into_iter()), []);
        let twice = table("name,patient ID,name\na,1,b\n").expect_err("two columns").remove(0);
        assert!(twice.to_string().contains("2 columns `name`"), "{twice}");
        let problems = table("name,patient ID\r\n\r\na,1\r\nb,1\r\na,2\r\n").expect_err("two groups");
        assert_eq!(
            problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["G.csv: gives the image `a` two groups: `1` in line 3, `2` in line 5"]
        );
    }

    #[test]
    fn ids_spelt_with_an_ending_are_told_once() {
        let found = table("name,patient ID\n1.png,a\n2.PNG,a\nx,b\n").expect("a table").expect("there");
        let told = found.unnamed("G.csv", ["1", "2", "3", "x"].into_iter());
        let told: Vec<String> = told.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "G.csv: does not name the image `3`",
                "G.csv: names 2 image(s) with the endings of their files (`1.png`); ids have none: write `1`",
            ]
        );
    }
}
