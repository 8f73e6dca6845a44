//! Reading one profile of `profiles.toml`.

use super::choice::{self, DatasetNames};
use super::diagnostic::Diagnostic;
use super::experiment::{Profile, Substitute};
use super::fields::Fields;
use super::kind::{Kind, wrong_type};
use super::name::Named;
use super::source::At;
use super::tree::{Node, Value};

/// The profile whose `[ops]` gives every default.
pub(super) const DEFAULT: &str = "paper";

/// A profile with its layers, which are merged elsewhere.
#[derive(Debug)]
pub(super) struct RawProfile<'a> {
    pub(super) profile: Profile,
    pub(super) protocol: Option<&'a Node>,
    pub(super) ops: Option<&'a Node>,
}

/// Reads the profile of that name; `name_at` is where the name was written.
pub(super) fn read<'a>(
    document: &'a Node,
    name: &str,
    name_at: At,
    datasets: &dyn DatasetNames,
    found: &mut Vec<Diagnostic>,
) -> Option<RawProfile<'a>> {
    let entries = document.entries().unwrap_or_default();
    let Some(entry) = entries.iter().find(|entry| entry.key == name) else {
        found.push(Diagnostic::new(name_at, format!("unknown profile `{name}`")).suggest(
            name,
            entries.iter().map(|entry| entry.key.as_str()),
            "profiles",
        ));
        return None;
    };
    let mut fields = Fields::new(name, &entry.node, found);
    let description = fields.text("description", "say in one sentence what the profile is for", found);
    let partial = fields.value("partial", Kind::Flag, found);
    let substitute = fields.get("substitute");
    let protocol = fields.get("protocol").map(|entry| &entry.node);
    let ops = fields.get("ops").map(|entry| &entry.node);
    fields.finish(found);
    let substitutes =
        substitute.map(|entry| read_substitutes(&entry.node, datasets, found)).unwrap_or_default();
    let profile = Profile {
        name: name.to_owned(),
        description: description?.0,
        partial: partial.is_some_and(|flag| flag == true),
        substitutes,
    };
    Some(RawProfile { profile, protocol, ops })
}

fn read_substitutes(
    node: &Node,
    datasets: &dyn DatasetNames,
    found: &mut Vec<Diagnostic>,
) -> Vec<Substitute> {
    let Some(entries) = node.entries() else {
        found.push(wrong_type("substitute", node, "a table of dataset = dataset"));
        return Vec::new();
    };
    let mut substitutes = Vec::new();
    for entry in entries {
        // The asked dataset is a key: read it as if it stood there as a text.
        let key = Node { at: entry.key_at, value: Value::Text(entry.key.clone()) };
        let mut resolve = |node: &Node| -> Option<Named> {
            let written = choice::read("substitute", node, found)?;
            choice::resolve_dataset(&written, datasets, found)
        };
        let (asked, used) = (resolve(&key), resolve(&entry.node));
        if let (Some(asked), Some(used)) = (asked, used) {
            substitutes.push(Substitute { asked, used });
        }
    }
    substitutes
}
