//! The protocol of an experiment: each value with the mark that says who
//! decided it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::table::results::Results;

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

pub(super) fn protocol(results: &Results) -> Protocol {
    let mut groups: Vec<Group> = Vec::new();
    let mut counts: BTreeMap<usize, (&str, usize)> = BTreeMap::new();
    for (path, value, mark) in &results.marks {
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
        let protocol = protocol(&samples::done());
        let names: Vec<&str> = protocol.groups.iter().map(|g| g.name.as_str()).collect();
        assert_eq!(names, ["image", "train", "optimizer", "augment", "selection", "split"]);
        assert!(protocol.summary.starts_with("4 stated by the paper · 3 assumed"), "{}", protocol.summary);
        let assumed = protocol.groups.iter().flat_map(|g| &g.values).filter(|v| v.class == "assumed");
        assert_eq!(assumed.count(), 3);
    }
}
