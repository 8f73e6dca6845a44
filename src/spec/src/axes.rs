//! Reading `[matrix]`: the axes, their values with places, and `zip`.

use std::path::Path;

use serde_json::{Value as Json, json};

use super::choice::{self, DatasetNames};
use super::diagnostic::Diagnostic;
use super::experiment::Mark;
use super::kind::{Kind, wrong_type};
use super::layers::{self, Held, Layers};
use super::name::Named;
use super::pretrained::{self, Pretrained, Start};
use super::range;
use super::schema;
use super::set::Set;
use super::source::At;
use super::tree::{Node, Value};

const SEED: Kind = Kind::Count { low: 0, high: u64::MAX };
const ZIP_HELP: &str = "zip is a list of lists of axes, for example [[\"model\", \"seed\"]]";

/// An axis as it was written. A value that was refused leaves a gap, so that
/// positions and lengths stay those of the file.
#[derive(Debug, Clone)]
pub(super) struct RawAxis {
    /// `model`, `dataset`, `seed`, or a setting's path.
    pub(super) name: String,
    pub(super) at: At,
    pub(super) mark: Mark,
    pub(super) values: Vec<RawValue>,
}

#[derive(Debug, Clone)]
pub(super) struct RawValue {
    pub(super) at: At,
    /// Canonical: equal values mean the same cell.
    pub(super) value: Option<Json>,
    /// The row's name, for a model that gives one.
    pub(super) label: Option<String>,
    /// What a model starts from, where its entry says so.
    pub(super) start: Option<Start>,
    /// What a model starts from in the end.
    pub(super) pretrained: Option<Pretrained>,
}

impl RawValue {
    fn named(&self) -> Option<Named> {
        self.value.as_ref().and_then(Json::as_str).and_then(|text| Named::parse(text).ok())
    }
}

/// The axes that were found; the three fixed ones may be missing.
#[derive(Debug, Clone, Default)]
pub(super) struct RawMatrix {
    pub(super) axes: Vec<RawAxis>,
    pub(super) zip: Vec<Zip>,
}

#[derive(Debug, Clone)]
pub(super) struct Zip {
    pub(super) at: At,
    pub(super) names: Vec<(String, At)>,
}

impl RawMatrix {
    /// Reads `[matrix]` of an experiment file.
    pub(super) fn read(table: &Node, datasets: &dyn DatasetNames, found: &mut Vec<Diagnostic>) -> Self {
        let mut matrix = Self::default();
        if table.entries().is_none() {
            found.push(wrong_type("matrix", table, "a table"));
        }
        for leaf in table.leaves() {
            if leaf.path == "zip" {
                matrix.zip = read_zip(leaf.node, found);
                continue;
            }
            let Some(reader) = Reader::of(&leaf.path) else {
                found.push(unknown_axis(leaf.key_at, &leaf.path));
                continue;
            };
            if matrix.axis(&leaf.path).is_some() {
                found.push(Diagnostic::new(leaf.key_at, format!("the axis `{}` is given twice", leaf.path)));
                continue;
            }
            let Value::List(items) = &leaf.node.value else {
                found.push(
                    wrong_type(&format!("matrix.{}", leaf.path), leaf.node, "a list")
                        .help("an axis is a list, also of a single value: [42]"),
                );
                continue;
            };
            let values: Vec<RawValue> =
                items.iter().flat_map(|item| reader.values(&leaf.path, item, datasets, found)).collect();
            if values.is_empty() {
                found.push(
                    Diagnostic::new(leaf.node.at, format!("the axis `{}` is empty", leaf.path))
                        .label("no cell can come of it")
                        .help("give at least one value, or leave a setting's axis out"),
                );
            }
            matrix.axes.push(RawAxis { name: leaf.path, at: leaf.key_at, mark: Mark::Experiment, values });
        }
        matrix
    }

    pub(super) fn axis(&self, name: &str) -> Option<&RawAxis> {
        self.axes.iter().find(|axis| axis.name == name)
    }

    /// The models that are networks.
    pub(super) fn models(&self) -> impl Iterator<Item = Named> + '_ {
        let values = self.axis("model").map(|axis| axis.values.as_slice()).unwrap_or_default();
        values.iter().filter_map(RawValue::named)
    }

    /// Gives every model what it starts from: what its entry says, else its
    /// table's. Paths begin at `folder`.
    pub(super) fn start_from(&mut self, tables: &[(Named, Pretrained)], folder: &Path) {
        let Some(axis) = self.axes.iter_mut().find(|axis| axis.name == "model") else { return };
        for value in &mut axis.values {
            let Some(named) = value.named() else { continue };
            value.pretrained = match &value.start {
                Some(Start::None) => None,
                Some(Start::From(own)) => Some(own.clone()),
                None => pretrained::of_model(tables, &named).cloned(),
            };
            if let Some(pretrained) = &mut value.pretrained {
                pretrained.file = folder.join(&pretrained.file).display().to_string();
            }
        }
    }

    /// Names and lengths of all axes.
    pub(super) fn lengths(&self) -> Vec<(&str, usize)> {
        self.axes.iter().map(|axis| (axis.name.as_str(), axis.values.len())).collect()
    }

    /// Names of the zipped axes.
    pub(super) fn zip_names(&self) -> Vec<Vec<String>> {
        self.zip.iter().map(|zip| zip.names.iter().map(|(name, _)| name.clone()).collect()).collect()
    }

    /// Applies a `--set` whose path is an axis or a setting. Several values make or
    /// replace an axis; one value of a setting overrides it in every cell. An axis
    /// that is left with one value takes no part in a zip any more.
    pub(super) fn apply(
        &mut self,
        set: &Set,
        layers: &mut Layers,
        datasets: &dyn DatasetNames,
        found: &mut Vec<Diagnostic>,
    ) {
        let Some(reader) = Reader::of(&set.path) else {
            let mut diagnostic = layers::unknown(set.path_at, &set.path);
            if matches!(set.path.as_str(), "models" | "datasets" | "seeds") {
                diagnostic.help = vec![format!("did you mean `{}`?", set.path.trim_end_matches('s'))];
            }
            found.push(diagnostic);
            return;
        };
        let values: Vec<RawValue> = set
            .pieces
            .iter()
            .flat_map(|piece| reader.values(&set.path, &reader.node(piece), datasets, found))
            .collect();
        let position = self.axes.iter().position(|axis| axis.name == set.path);
        if let (Reader::Setting(setting), [single]) = (&reader, values.as_slice()) {
            if let Some(position) = position {
                self.axes.remove(position);
            }
            self.unzip(&set.path);
            if let Some(value) = &single.value {
                let held = Held { value: value.clone(), at: single.at, mark: Mark::CommandLine };
                layers.put_one(setting, held);
            }
            return;
        }
        if values.len() == 1 {
            self.unzip(&set.path);
        }
        let axis = RawAxis { name: set.path.clone(), at: set.path_at, mark: Mark::CommandLine, values };
        match position {
            Some(position) => self.axes[position] = axis,
            None => self.axes.push(axis),
        }
    }

    /// Applies `--set zip=...`, which takes the place of the file's zip. `a,b` and
    /// `["a","b"]` are one group of axes, `[["a","b"],["c","d"]]` are two, `[]` is none.
    pub(super) fn apply_zip(&mut self, set: &Set, found: &mut Vec<Diagnostic>) {
        let nodes: Vec<Node> = set.pieces.iter().map(|piece| piece.node(&Kind::Texts)).collect();
        let list = |items: Vec<Node>| Node { at: set.values_at, value: Value::List(items) };
        let is_text = |node: &Node| matches!(node.value, Value::Text(_));
        let groups = match nodes.as_slice() {
            [Node { value: Value::List(items), .. }] if !items.iter().any(is_text) => nodes[0].clone(),
            nodes if nodes.iter().any(is_text) => list(vec![list(nodes.to_vec())]),
            nodes => list(nodes.to_vec()),
        };
        self.zip = read_zip(&groups, found);
    }

    fn unzip(&mut self, name: &str) {
        for zip in &mut self.zip {
            zip.names.retain(|(member, _)| member != name);
        }
    }

    /// Refuses zips of unknown, repeated or unequally long axes.
    pub(super) fn check_zip(&self, found: &mut Vec<Diagnostic>) {
        let mut seen: Vec<(&str, At)> = Vec::new();
        for zip in &self.zip {
            let mut members: Vec<(&RawAxis, At)> = Vec::new();
            for (name, at) in &zip.names {
                if let Some((_, first)) = seen.iter().find(|(other, _)| other == name) {
                    found.push(
                        Diagnostic::new(*at, format!("the axis `{name}` is zipped twice"))
                            .related(*first, "first here")
                            .help("join the two lists of axes into one"),
                    );
                    continue;
                }
                seen.push((name, *at));
                match self.axis(name) {
                    Some(axis) => members.push((axis, *at)),
                    None => found.push(
                        Diagnostic::new(*at, format!("the matrix has no axis `{name}` to zip")).suggest(
                            name,
                            self.axes.iter().map(|axis| axis.name.as_str()),
                            "axes",
                        ),
                    ),
                }
            }
            let Some((first, rest)) = members.split_first() else { continue };
            if rest.iter().any(|(axis, _)| axis.values.len() != first.0.values.len()) {
                let lengths: Vec<String> = members
                    .iter()
                    .map(|(axis, _)| format!("`{}` has {}", axis.name, axis.values.len()))
                    .collect();
                let mut diagnostic = Diagnostic::new(zip.at, "zipped axes must be equally long")
                    .label(lengths.join(", "))
                    .help("give each the same number of values, or leave one out of the zip to multiply it");
                for (axis, _) in &members {
                    diagnostic = diagnostic.related(axis.at, format!("{} values", axis.values.len()));
                }
                found.push(diagnostic);
            }
        }
    }
}

/// How the values of an axis are read.
enum Reader {
    Model,
    Dataset,
    Seed,
    Setting(&'static schema::Setting),
}

impl Reader {
    fn of(name: &str) -> Option<Self> {
        match name {
            "model" => Some(Reader::Model),
            "dataset" => Some(Reader::Dataset),
            "seed" => Some(Reader::Seed),
            path => schema::setting(path).map(Reader::Setting),
        }
    }

    fn node(&self, piece: &super::set::Piece) -> Node {
        match self {
            Reader::Model | Reader::Dataset => piece.name(),
            Reader::Seed => piece.node(&SEED),
            Reader::Setting(setting) => piece.node(&setting.kind),
        }
    }

    /// The values that an item stands for: one, or those of a range of whole numbers.
    fn values(
        &self,
        path: &str,
        node: &Node,
        datasets: &dyn DatasetNames,
        found: &mut Vec<Diagnostic>,
    ) -> Vec<RawValue> {
        let takes_ranges = match self {
            Reader::Seed => true,
            Reader::Setting(setting) => matches!(setting.kind, Kind::Count { .. }),
            Reader::Model | Reader::Dataset => false,
        };
        match &node.value {
            Value::Text(text) if takes_ranges && range::is_meant(text) => {
                match range::nodes(path, node, text) {
                    Ok(nodes) => nodes.iter().map(|node| self.value(path, node, datasets, found)).collect(),
                    Err(mistake) => {
                        found.push(mistake);
                        let gap =
                            RawValue { at: node.at, value: None, label: None, start: None, pretrained: None };
                        vec![gap]
                    }
                }
            }
            _ => vec![self.value(path, node, datasets, found)],
        }
    }

    fn value(
        &self,
        path: &str,
        node: &Node,
        datasets: &dyn DatasetNames,
        found: &mut Vec<Diagnostic>,
    ) -> RawValue {
        let (mut label, mut start) = (None, None);
        let value = match self {
            Reader::Model => choice::read("model", node, found).and_then(|written| {
                label.clone_from(&written.label);
                start.clone_from(&written.start);
                choice::resolve_network(&written, found).map(|(_, named)| json!(named))
            }),
            Reader::Dataset => choice::read("dataset", node, found).and_then(|mut written| {
                // Only networks have labels: here it is an option like any other.
                if let Some(label) = written.label.take() {
                    written.named.options.insert("label".into(), label);
                }
                choice::resolve_dataset(&written, datasets, found).map(|named| json!(named))
            }),
            Reader::Seed => SEED.check("seed", node).map_err(|d| found.push(d)).ok(),
            Reader::Setting(setting) => {
                let checked = setting.kind.check(path, node).map_err(|mistake| match &node.value {
                    Value::Text(text) if range::is_meant(text) => {
                        mistake.help("only whole numbers have ranges: write the values, as 0.1,0.2,0.3")
                    }
                    _ => mistake,
                });
                checked.map_err(|mistake| found.push(mistake)).ok()
            }
        };
        RawValue { at: node.at, value, label, start, pretrained: None }
    }
}

fn unknown_axis(at: At, name: &str) -> Diagnostic {
    let candidates = ["model", "dataset", "seed", "zip"].into_iter().chain(schema::paths());
    Diagnostic::new(at, format!("unknown axis `{name}`"))
        .label("neither model, dataset, seed nor a setting of the protocol")
        .suggest(name, candidates, "axes")
}

fn read_zip(node: &Node, found: &mut Vec<Diagnostic>) -> Vec<Zip> {
    let Value::List(groups) = &node.value else {
        found.push(wrong_type("matrix.zip", node, "a list").help(ZIP_HELP));
        return Vec::new();
    };
    let mut zips = Vec::new();
    for group in groups {
        let Value::List(items) = &group.value else {
            found.push(wrong_type("each entry of matrix.zip", group, "a list").help(ZIP_HELP));
            continue;
        };
        if items.len() < 2 {
            found.push(Diagnostic::new(group.at, "a zip needs at least two axes").help(ZIP_HELP));
            continue;
        }
        let mut names = Vec::new();
        for item in items {
            match &item.value {
                Value::Text(name) => names.push((name.clone(), item.at)),
                _ => found.push(wrong_type("each axis of a zip", item, "a text")),
            }
        }
        zips.push(Zip { at: group.at, names });
    }
    zips
}
