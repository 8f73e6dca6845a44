//! Datasets of the user's own: a manifest as a file, with every mistake at its
//! place. `datasets/own-dataset.example` documents the keys.

use std::collections::BTreeMap;

use dygl_spec::fields::Fields;
use dygl_spec::kind::{Kind, wrong_type};
use dygl_spec::source::{At, Origin, SourceMap};
use dygl_spec::tree::{self, Node, Value};
use dygl_spec::{Diagnostic, Diagnostics};
use serde::Deserialize;
use serde_json::Value as Json;

use dygl_pixels::mask::MaskRule;
use dygl_pixels::{Counts, ImageRule};

use super::manifest::{Keep, Layout, Manifest, OneOrMore, SplitKind, Taken};
use super::rules::{GroupRule, PartRule};

/// A manifest to start from, with every key explained.
pub const TEMPLATE: &str = include_str!("../../../datasets/own-dataset.example");

/// Whether a text may be the id of a dataset: it is a file name, and a word of
/// `--filter`.
pub(super) fn is_valid_id(id: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    id.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && id.len() <= 64
        && id.chars().all(word)
}

/// Why an id cannot name a dataset of the user's own; `None` if it can.
pub fn refuse_id(id: &str) -> Option<String> {
    if super::known_ids().contains(&id) || id.starts_with("phantom-") {
        return Some(format!("`{id}` is a built-in dataset; give your own another name"));
    }
    let help = "use small letters, digits, `-`, `_` and `.`, at most 64, a letter or digit first";
    (!is_valid_id(id)).then(|| format!("`{id}` cannot name a dataset; {help}"))
}

impl Manifest {
    /// Reads the manifest of a user's own dataset from a file's text.
    ///
    /// # Errors
    /// Every mistake, each with its place.
    pub fn read_user(id: &str, origin: Origin, text: &str) -> Result<Self, Diagnostics> {
        let mut sources = SourceMap::default();
        let file = origin.to_string();
        let source = sources.add(origin, text);
        let mut list = Vec::new();
        let top = tree::parse(&sources, source, &mut list);
        let manifest = top.as_ref().and_then(|top| read(id, top, &mut list));
        match manifest {
            Some(mut manifest) if list.is_empty() => {
                let entries = top.iter().filter_map(Node::entries).flatten();
                let line = |at: At| format!("{file}:{}", sources.position(at).0);
                manifest.places = entries.map(|entry| (entry.key.clone(), line(entry.key_at))).collect();
                manifest.places.insert(String::new(), file);
                Ok(manifest)
            }
            _ => {
                let mut diagnostics = Diagnostics { sources, list };
                diagnostics.sort();
                Err(diagnostics)
            }
        }
    }

    /// The same for the text that a registration keeps.
    pub(super) fn of_user(id: &str, text: &str) -> Result<Self, Diagnostics> {
        Self::read_user(id, Origin::Argument("the registered manifest"), text)
    }
}

fn read(id: &str, top: &Node, found: &mut Vec<Diagnostic>) -> Option<Manifest> {
    let mut fields = Fields::new("", top, found);
    let title = fields.text("title", "add title = \"...\": one line for people", found);
    let text = |key, fields: &mut Fields<'_>, found: &mut Vec<Diagnostic>| match fields.value(
        key,
        Kind::Text,
        found,
    ) {
        Some(Json::String(text)) => text,
        _ => String::new(),
    };
    let modality = text("modality", &mut fields, found);
    let terms = text("terms", &mut fields, found);
    let citation = text("citation", &mut fields, found);
    let page = text("page", &mut fields, found);
    let redistributable = fields.value("redistributable", Kind::Flag, found).is_some_and(|flag| flag == true);
    let count = Kind::Count { low: 1, high: 100_000_000 };
    let images = fields.value("images", count, found).and_then(|n| n.as_u64());
    let help = "add mask = { kind = \"grey\", above = 127 }, { kind = \"alpha\", above = 127 } or \
                { kind = \"instances\" }";
    let mut places = Vec::new();
    let mut place = |key: &'static str, at: At| places.push((key, at));
    let mask: Option<MaskRule> = fields.require("mask", help, found).and_then(|entry| {
        place("mask", entry.node.at);
        rule("mask", &entry.node, found)
    });
    let image: Option<ImageRule> = fields.get("image").and_then(|entry| {
        place("image", entry.node.at);
        rule("image", &entry.node, found)
    });
    let keep: Option<Keep> = fields.get("keep").and_then(|entry| rule("keep", &entry.node, found));
    let split: Option<SplitKind> = fields.get("split").and_then(|entry| {
        place("split", entry.node.at);
        rule("split", &entry.node, found)
    });
    let counts: Option<Counts> = fields.get("counts").and_then(|entry| {
        let counts: Counts = rule("counts", &entry.node, found)?;
        if counts.train == 0 || counts.test == 0 {
            found.push(
                Diagnostic::new(entry.node.at, "counts.train and counts.test must not be 0")
                    .help("for example counts = { train = 8, validation = 1, test = 1 }"),
            );
        }
        Some(counts)
    });
    let group: Option<GroupRule> = fields.get("group").and_then(|entry| {
        place("group", entry.node.at);
        rule("group", &entry.node, found)
    });
    let parts: Option<PartRule> = fields.get("parts").and_then(|entry| {
        place("parts", entry.node.at);
        rule("parts", &entry.node, found)
    });
    let taken: Option<Taken> = fields.get("layouts").and_then(|entry| rule("layouts", &entry.node, found));
    let help = "add [[layout]] with image = \"images/{id}.png\" and mask = \"masks/{id}.png\"";
    let layouts = fields.require("layout", help, found).map(|entry| read_layouts(&entry.node, found));
    fields.finish(found);
    if !found.is_empty() {
        return None;
    }
    let (title, _) = title?;
    let layouts = layouts?;
    let manifest = Manifest {
        id: id.to_owned(),
        name: title.clone(),
        title,
        modality,
        page,
        terms,
        redistributable,
        citation,
        images: images.map_or(Manifest::ANY, |n| usize::try_from(n).unwrap_or(Manifest::ANY)),
        paper: counts.unwrap_or(Counts { train: 8, validation: 1, test: 1 }),
        used: None,
        image: image.unwrap_or_default(),
        mask: mask?,
        keep: keep.unwrap_or_default(),
        group,
        parts,
        split: split.unwrap_or(SplitKind::Seeded),
        // Of a user's own dataset several layouts are parts: nothing is passed over.
        taken: taken.unwrap_or(Taken::All),
        layouts: layouts.iter().map(|(layout, _)| layout.clone()).collect(),
        places: BTreeMap::new(),
    };
    for (key, message) in manifest.contradictions() {
        let of_layout =
            key.strip_prefix("layout.").and_then(|place| layouts.get(place.parse::<usize>().ok()?));
        let at = match of_layout {
            Some((_, at)) => *at,
            None => places.iter().find(|(name, _)| *name == key).map_or(top.at, |(_, at)| *at),
        };
        found.push(Diagnostic::new(at, message).help("`dygl dataset template` shows every key"));
    }
    Some(manifest)
}

fn read_layouts(node: &Node, found: &mut Vec<Diagnostic>) -> Vec<(Layout, At)> {
    let Value::List(items) = &node.value else {
        found.push(wrong_type("layout", node, "a list of tables: [[layout]]"));
        return Vec::new();
    };
    let mut layouts = Vec::new();
    for (place, item) in items.iter().enumerate() {
        let mut fields = Fields::new("layout", item, found);
        let name = match fields.value("name", Kind::Text, found) {
            Some(Json::String(name)) => name,
            _ => format!("layout {}", place + 1),
        };
        let image = fields.text("image", "add image = \"images/{id}.png\"", found);
        let help = "add mask = \"masks/{id}.png\", or a list of such texts";
        let mask = fields.require("mask", help, found).and_then(|entry| masks(&entry.node, found));
        fields.finish(found);
        if let (Some((image, at)), Some(mask)) = (image, mask) {
            layouts.push((Layout { name, image, mask }, at));
        }
    }
    layouts
}

/// `mask` of a layout: a text or a list of texts.
fn masks(node: &Node, found: &mut Vec<Diagnostic>) -> Option<OneOrMore> {
    let texts = match &node.value {
        Value::List(items) => items.iter().map(text_of).collect::<Option<Vec<_>>>().map(OneOrMore::More),
        _ => text_of(node).map(OneOrMore::One),
    };
    if texts.is_none() {
        found.push(wrong_type("layout.mask", node, "a text or a list of texts"));
    }
    texts
}

fn text_of(node: &Node) -> Option<String> {
    match &node.value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    }
}

/// A value in the form that the built-in manifests have it. What it lacks or
/// has too much is said by its type.
fn rule<T: for<'de> Deserialize<'de>>(path: &str, node: &Node, found: &mut Vec<Diagnostic>) -> Option<T> {
    match serde_json::from_value(json(node)) {
        Ok(value) => Some(value),
        Err(error) => {
            found.push(
                Diagnostic::new(node.at, format!("`{path}`: {error}"))
                    .help("`dygl dataset template` shows every key"),
            );
            None
        }
    }
}

fn json(node: &Node) -> Json {
    match &node.value {
        Value::Text(text) | Value::Date(text) => Json::String(text.clone()),
        Value::Integer(whole) => i64::try_from(*whole).map_or(Json::Null, Json::from),
        // JSON has no NaN; as a text it is refused where a number is wanted.
        Value::Number(number) => serde_json::Number::from_f64(*number)
            .map_or_else(|| Json::String(number.to_string()), Json::Number),
        Value::Flag(flag) => Json::Bool(*flag),
        Value::List(items) => Json::Array(items.iter().map(json).collect()),
        Value::Table(entries) => {
            Json::Object(entries.iter().map(|entry| (entry.key.clone(), json(&entry.node))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Manifest, Diagnostics> {
        Manifest::read_user("my-polyps", Origin::File("my-polyps.toml".into()), text)
    }

    #[test]
    fn the_template_is_a_manifest_and_so_are_its_comments() {
        let manifest = parse(TEMPLATE).expect("valid");
        assert_eq!((manifest.layouts.len(), manifest.mask), (1, MaskRule::Grey { above: 127 }));
        // Every optional key, switched on.
        let on: Vec<&str> = TEMPLATE
            .lines()
            .map(|line| {
                let bare = line.strip_prefix("# ").unwrap_or(line);
                let key = bare.split_once(" = ").map_or("", |(key, _)| key);
                let is_key = !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c == '_');
                if is_key && key != "parts" { bare } else { line }
            })
            .collect();
        let manifest = parse(&on.join("\n")).unwrap_or_else(|all| panic!("{all}"));
        assert_eq!((manifest.images, manifest.keep), (120, Keep::All));
        assert!(manifest.group.is_some());
    }

    #[test]
    fn all_mistakes_stand_at_their_places() {
        let text = "titel = \"x\"\nmask = { kind = \"gray\", above = 127 }\ncounts = { train = 0, validation = 1, test = 1 }\n\
                    [[layout]]\nimage = 3\n";
        let all = parse(text).expect_err("mistakes");
        let told: Vec<(usize, String)> = all.entries().into_iter().map(|e| (e.line, e.message)).collect();
        let about = |line: usize, word: &str| told.iter().any(|(l, m)| *l == line && m.contains(word));
        assert!(about(1, "unknown key `titel`") && about(1, "lacks `title`"), "{told:?}");
        assert!(about(2, "gray") && about(3, "must not be 0"), "{told:?}");
        assert!(about(5, "layout.image") && told.iter().any(|(_, m)| m.contains("lacks `mask`")), "{told:?}");
        assert!(all.to_string().contains("my-polyps.toml:2:8"), "{all}");
    }

    #[test]
    fn contradictions_stand_at_the_layout() {
        let text = "title = \"x\"\nmask = { kind = \"instances\" }\nsplit = \"folders\"\n\
                    [[layout]]\nimage = \"a/{id}.png\"\nmask = \"a/{id}.png\"\n";
        let all = parse(text).expect_err("contradictions");
        let lines: Vec<usize> = all.entries().iter().map(|entry| entry.line).collect();
        assert_eq!(lines, [3, 5], "{all}");
    }

    #[test]
    fn ids_do_not_collide() {
        assert!(refuse_id("tnbc").expect("taken").contains("built-in"));
        assert!(refuse_id("phantom-x").is_some() && refuse_id("../x").is_some() && refuse_id("Ä").is_some());
        assert_eq!(refuse_id("my-polyps"), None);
    }
}
