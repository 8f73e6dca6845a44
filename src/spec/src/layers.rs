//! Stage two: the protocol as layers of checked values, each with its place and
//! the mark of who gave it.
//!
//! `protocol.toml` is the lowest layer. Its two tables `[paper]` and `[assumed]`
//! together give every setting exactly once. Above it: profile, experiment file,
//! command line. A layer that repeats the value below it changes nothing, and the
//! mark stays: what counts is where a value comes from, not who wrote it last.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::diagnostic::Diagnostic;
use super::experiment::{Departure, Mark, Marks};
use super::protocol::Protocol;
use super::schema::{self, Setting};
use super::source::At;
use super::tree::{Leaf, Node, Value};

/// A value of one setting.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) value: Json,
    pub(super) at: At,
    pub(super) mark: Mark,
}

/// The merged values.
#[derive(Debug, Clone, Default)]
pub(super) struct Layers {
    base: BTreeMap<&'static str, Held>,
    top: BTreeMap<&'static str, Held>,
}

impl Layers {
    /// Reads `protocol.toml`.
    pub(super) fn from_protocol(document: &Node, found: &mut Vec<Diagnostic>) -> Self {
        let mut base: BTreeMap<&'static str, Held> = BTreeMap::new();
        for entry in document.entries().unwrap_or_default() {
            let mark = match entry.key.as_str() {
                "paper" => Mark::Paper,
                "assumed" => Mark::Assumed,
                other => {
                    found.push(
                        Diagnostic::new(entry.key_at, format!("unknown table `{other}`"))
                            .label("the mark of a value is the table that it stands in")
                            .suggest(other, ["paper", "assumed"], "tables"),
                    );
                    continue;
                }
            };
            read(&entry.node, mark, found, &mut base);
        }
        // A value that is there but wrong has had its own diagnostic.
        let given: Vec<String> = document
            .entries()
            .unwrap_or_default()
            .iter()
            .flat_map(|entry| entry.node.leaves().into_iter().map(|leaf| leaf.path))
            .collect();
        for path in schema::paths().filter(|path| !given.iter().any(|g| g == path)) {
            let table = path.rsplit_once('.').map_or(path, |(table, _)| table);
            let start = At { end: document.at.start, ..document.at };
            found.push(Diagnostic::new(start, format!("the protocol lacks `{path}`")).help(format!(
                "add it under [paper.{table}] if the paper states it, else under [assumed.{table}]"
            )));
        }
        Self { base, top: BTreeMap::new() }
    }

    /// Puts a table of overrides on top.
    pub(super) fn put(&mut self, table: &Node, mark: Mark, found: &mut Vec<Diagnostic>) {
        let mut layer = BTreeMap::new();
        read(table, mark, found, &mut layer);
        self.top.append(&mut layer);
    }

    /// Puts one checked value on top.
    pub(super) fn put_one(&mut self, setting: &'static Setting, held: Held) {
        self.top.insert(setting.path, held);
    }

    /// The value in force.
    pub(super) fn get(&self, path: &str) -> Option<&Held> {
        self.top.get(path).or_else(|| self.base.get(path))
    }

    /// The place of a value that a layer of this mark gave.
    pub(super) fn given_by(&self, path: &str, mark: Mark) -> Option<At> {
        self.top.get(path).filter(|held| held.mark == mark).map(|held| held.at)
    }

    /// Whether a place lies in `protocol.toml`, where a mistake is least likely made.
    pub(super) fn is_base(&self, at: At) -> bool {
        self.base.values().next().is_some_and(|held| held.at.source == at.source)
    }

    /// The protocol, if every setting has a value.
    pub(super) fn protocol(&self) -> Option<Protocol> {
        let mut values = Vec::new();
        for path in schema::paths() {
            values.push((path, &self.get(path)?.value));
        }
        serde_json::from_value(schema::nest(values)).ok()
    }

    /// Who gave each value; `axes` vary from cell to cell and are marked as given.
    pub(super) fn marks(&self, axes: &[(String, Mark, Vec<Json>)]) -> Marks {
        let mut marks: BTreeMap<String, Mark> =
            self.base.iter().map(|(path, held)| ((*path).to_owned(), held.mark)).collect();
        for (path, held) in self.changed() {
            marks.insert(path.to_owned(), held.mark);
        }
        for (path, mark, _) in axes {
            marks.insert(path.clone(), *mark);
        }
        Marks(marks)
    }

    /// Every setting that differs from `protocol.toml`, in the order of the protocol.
    pub(super) fn departures(&self, axes: &[(String, Mark, Vec<Json>)]) -> Vec<Departure> {
        let mut departures = Vec::new();
        for path in schema::paths() {
            let Some(base) = self.base.get(path) else { continue };
            let (values, by) = match axes.iter().find(|(axis, ..)| axis == path) {
                Some((_, mark, values)) => (values.clone(), *mark),
                None => match self.top.get(path) {
                    Some(held) => (vec![held.value.clone()], held.mark),
                    None => continue,
                },
            };
            if values.iter().any(|value| *value != base.value) {
                departures.push(Departure { path: path.to_owned(), base: base.value.clone(), values, by });
            }
        }
        departures
    }

    fn changed(&self) -> impl Iterator<Item = (&'static str, &Held)> {
        self.top
            .iter()
            .filter(|(path, held)| self.base.get(*path).is_none_or(|base| base.value != held.value))
            .map(|(path, held)| (*path, held))
    }
}

/// Checks every leaf below a table into `layer`, which must not hold it yet.
fn read(table: &Node, mark: Mark, found: &mut Vec<Diagnostic>, layer: &mut BTreeMap<&'static str, Held>) {
    if table.entries().is_none() {
        found.push(super::kind::wrong_type("protocol", table, "a table"));
    }
    for leaf in table.leaves() {
        let Some(setting) = find(&leaf, found) else { continue };
        if let Some(first) = layer.get(setting.path) {
            found.push(
                Diagnostic::new(leaf.key_at, format!("`{}` is given twice", leaf.path))
                    .label("given again")
                    .related(first.at, "first given here")
                    .help("keep one of the two"),
            );
            continue;
        }
        match setting.kind.check(setting.path, leaf.node) {
            Ok(value) => {
                layer.insert(setting.path, Held { value, at: leaf.node.at, mark });
            }
            Err(diagnostic) => found.push(diagnostic),
        }
    }
}

fn find(leaf: &Leaf<'_>, found: &mut Vec<Diagnostic>) -> Option<&'static Setting> {
    let setting = schema::setting(&leaf.path);
    if setting.is_some() {
        return setting;
    }
    let below = format!("{}.", leaf.path);
    let is_table = schema::paths().any(|path| path.starts_with(&below));
    match &leaf.node.value {
        // An empty table says nothing, so it is no mistake where a table belongs.
        Value::Table(_) if is_table => {}
        _ if is_table => found.push(super::kind::wrong_type(&leaf.path, leaf.node, "a table")),
        _ => found.push(unknown(leaf.key_at, &leaf.path)),
    }
    None
}

/// No setting has this path.
pub(super) fn unknown(at: At, path: &str) -> Diagnostic {
    Diagnostic::new(at, format!("the protocol has no setting `{path}`")).label("unknown setting").suggest(
        path,
        schema::paths(),
        "settings",
    )
}

#[cfg(test)]
mod tests {
    use super::super::embedded;
    use super::super::source::Origin;
    use super::super::tree::parse_text;
    use super::*;

    fn node(text: &str) -> Node {
        parse_text(text, Origin::Argument("test")).expect("valid").0
    }

    fn shipped() -> Layers {
        let mut found = Vec::new();
        let layers = Layers::from_protocol(&node(embedded::PROTOCOL), &mut found);
        assert_eq!(found, []);
        layers
    }

    #[test]
    fn the_shipped_protocol_states_the_papers_numbers() {
        let protocol = shipped().protocol().expect("complete");
        assert_eq!(protocol.image.size, 224);
        assert_eq!(protocol.train.epochs, 130);
        assert_eq!(protocol.train.batch_size, 16);
        assert_eq!(protocol.optimizer.learning_rate, 1e-3);
        assert_eq!(protocol.optimizer.weight_decay, 3e-5);
        assert_eq!(protocol.augment.crop.scale, [0.5, 1.0]);
        assert_eq!(protocol.schedule.warmup_epochs, 10);
    }

    #[test]
    fn missing_doubled_and_unknown_leaves_are_refused() {
        let text = embedded::PROTOCOL
            .replace("lambda = 0.5", "lamda = 0.5")
            .replace("[assumed.train]", "[assumed.train]\nepochs = 130");
        let mut found = Vec::new();
        Layers::from_protocol(&node(&text), &mut found);
        let messages: Vec<&str> = found.iter().map(|d| d.message.as_str()).collect();
        assert_eq!(
            messages,
            [
                "the protocol has no setting `loss.lamda`",
                "`train.epochs` is given twice",
                "the protocol lacks `loss.lambda`"
            ]
        );
    }

    #[test]
    fn a_layer_marks_what_it_changes_and_nothing_else() {
        let mut layers = shipped();
        let mut found = Vec::new();
        layers.put(&node("[train]\nepochs = 6\nbatch_size = 16\n"), Mark::Profile, &mut found);
        assert_eq!(found, []);
        let marks = layers.marks(&[]);
        assert_eq!(marks.get("train.epochs"), Some(Mark::Profile));
        assert_eq!(marks.get("train.batch_size"), Some(Mark::Paper));
        assert_eq!(marks.get("schedule.power"), Some(Mark::Assumed));
        let departures = layers.departures(&[]);
        assert_eq!(departures.len(), 1);
        assert_eq!(departures[0].to_string(), "train.epochs = 6 instead of 130");
    }

    #[test]
    fn a_value_in_the_place_of_a_table_is_named() {
        let mut found = Vec::new();
        shipped().put(&node("train = 3\n[trian]\n[loss]\n"), Mark::Experiment, &mut found);
        let messages: Vec<&str> = found.iter().map(|d| d.message.as_str()).collect();
        assert_eq!(messages, ["`train` must be a table", "the protocol has no setting `trian`"]);
    }
}
