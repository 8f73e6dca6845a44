//! The protocol of an experiment: each value with the mark that says who
//! decided it.

use std::collections::BTreeMap;

use dygl_spec::plan::Cell;
use serde::Serialize;

/// The protocol section of one experiment.
#[derive(Debug, Serialize)]
pub(super) struct Protocol {
    /// `4 stated by the paper · 3 assumed · ...`
    summary: String,
    groups: Vec<Group>,
}

/// The values under one first word of the path (`optimizer`, ...).
#[derive(Debug, Serialize)]
struct Group {
    name: String,
    values: Vec<Value>,
}

#[derive(Debug, Serialize)]
struct Value {
    path: String,
    value: String,
    mark: String,
    /// Class of the mark in the style sheet.
    class: &'static str,
}

/// The values by group, each with its mark, and how many have which.
pub(super) fn protocol(marks: &[(String, String, String)]) -> Protocol {
    let mut groups: Vec<Group> = Vec::new();
    let mut counts: BTreeMap<usize, (&str, usize)> = BTreeMap::new();
    for (path, value, mark) in marks {
        let name = path.split('.').next().unwrap_or(path);
        let value =
            Value { path: path.clone(), value: value.clone(), mark: mark.clone(), class: class(mark) };
        match groups.iter_mut().find(|group| group.name == name) {
            Some(group) => group.values.push(value),
            None => groups.push(Group { name: name.to_owned(), values: vec![value] }),
        }
        let known = ORDER.iter().position(|(known, ..)| known == mark);
        if let Some(index) = known {
            counts.entry(index).or_insert((ORDER[index].2, 0)).1 += 1;
        }
    }
    let summary: Vec<String> = counts.values().map(|(words, count)| format!("{count} {words}")).collect();
    Protocol { summary: summary.join(" · "), groups }
}

/// The settings of one cell: the experiment's marks with the cell's own values,
/// which differ where a setting is an axis of the matrix.
pub(super) fn of_cell(cell: &Cell, marks: &[(String, String, String)]) -> Protocol {
    let values = serde_json::to_value(&*cell.protocol).unwrap_or_default();
    let own = |path: &str, value: &str| {
        let leaf = path.split('.').fold(&values, |value, name| &value[name]);
        match leaf {
            serde_json::Value::Null => value.to_owned(),
            serde_json::Value::String(word) => word.clone(),
            other => other.to_string(),
        }
    };
    let marks: Vec<_> =
        marks.iter().map(|(path, value, mark)| (path.clone(), own(path, value), mark.clone())).collect();
    protocol(&marks)
}

/// Mark, its class, and how the summary words it.
const ORDER: [(&str, &str, &str); 5] = [
    ("paper", "paper", "stated by the paper"),
    ("assumed", "assumed", "assumed"),
    ("profile", "changed", "set by the profile"),
    ("experiment", "changed", "set by the experiment"),
    ("command line", "by-hand", "set on the command line"),
];

fn class(mark: &str) -> &'static str {
    ORDER.iter().find(|(known, ..)| *known == mark).map_or("changed", |(_, class, _)| class)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::samples;

    #[test]
    fn values_are_grouped_and_counted() {
        let protocol = protocol(&samples::done().marks);
        let names: Vec<&str> = protocol.groups.iter().map(|g| g.name.as_str()).collect();
        assert_eq!(names, ["image", "train", "optimizer", "augment", "selection", "split"]);
        assert!(protocol.summary.starts_with("4 stated by the paper · 3 assumed"), "{}", protocol.summary);
        let assumed = protocol.groups.iter().flat_map(|g| &g.values).filter(|v| v.class == "assumed");
        assert_eq!(assumed.count(), 3);
    }

    #[test]
    fn a_cell_shows_its_own_values() {
        let mut results = samples::done();
        results.cells[0].cell.protocol_mut().train.epochs = 7;
        let protocol = of_cell(&results.cells[0].cell, &results.marks);
        let values = || protocol.groups.iter().flat_map(|g| &g.values);
        let epochs = values().find(|v| v.path == "train.epochs").expect("listed");
        assert_eq!((epochs.value.as_str(), epochs.mark.as_str()), ("7", "paper"));
        assert!(values().any(|v| v.path == "selection.rule" && v.value == "last"));
    }
}
