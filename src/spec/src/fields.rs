//! Reading a table key by key; whatever was not asked for is unknown.

use serde_json::Value as Json;

use super::diagnostic::Diagnostic;
use super::kind::{Kind, wrong_type};
use super::source::At;
use super::tree::{Entry, Node};

/// A table under its name, e.g. `[matrix]`.
#[derive(Debug)]
pub struct Fields<'a> {
    name: String,
    at: At,
    entries: &'a [Entry],
    asked: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// `name` is empty for the top of a file.
    pub fn new(name: &str, node: &'a Node, found: &mut Vec<Diagnostic>) -> Self {
        if node.entries().is_none() {
            found.push(wrong_type(name, node, "a table"));
        }
        let entries = node.entries().unwrap_or_default();
        Self { name: name.to_owned(), at: node.at, entries, asked: Vec::new() }
    }

    /// The entry of a key that may be left out.
    pub fn get(&mut self, key: &'static str) -> Option<&'a Entry> {
        self.asked.push(key);
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// The entry of a key that must be there.
    pub fn require(
        &mut self,
        key: &'static str,
        help: &str,
        found: &mut Vec<Diagnostic>,
    ) -> Option<&'a Entry> {
        let entry = self.get(key);
        if entry.is_none() {
            let place = if self.name.is_empty() { "the file".into() } else { format!("[{}]", self.name) };
            // A whole file as the place would be drawn in full; its start is enough.
            let at = if self.name.is_empty() { At { end: self.at.start, ..self.at } } else { self.at };
            found.push(Diagnostic::new(at, format!("{place} lacks `{key}`")).help(help));
        }
        entry
    }

    /// The checked value of a key that may be left out.
    pub fn value(&mut self, key: &'static str, kind: Kind, found: &mut Vec<Diagnostic>) -> Option<Json> {
        let entry = self.get(key)?;
        self.check(entry, kind, found)
    }

    /// A text that must be there.
    pub fn text(
        &mut self,
        key: &'static str,
        help: &str,
        found: &mut Vec<Diagnostic>,
    ) -> Option<(String, At)> {
        let entry = self.require(key, help, found)?;
        match self.check(entry, Kind::Text, found)? {
            Json::String(text) => Some((text, entry.node.at)),
            _ => None,
        }
    }

    fn check(&self, entry: &Entry, kind: Kind, found: &mut Vec<Diagnostic>) -> Option<Json> {
        let path = self.path(&entry.key);
        kind.check(&path, &entry.node).map_err(|diagnostic| found.push(diagnostic)).ok()
    }

    fn path(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    /// Reports every key that nobody asked for.
    pub fn finish(self, found: &mut Vec<Diagnostic>) {
        for entry in self.entries.iter().filter(|entry| !self.asked.contains(&entry.key.as_str())) {
            let path = self.path(&entry.key);
            found.push(
                Diagnostic::new(entry.key_at, format!("unknown key `{path}`"))
                    .label("not a key of this table")
                    .suggest(&entry.key, &self.asked, "keys"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::Origin;
    use super::super::tree::parse_text;
    use super::*;

    #[test]
    fn unknown_missing_and_mistyped_keys_are_all_reported() {
        let text = "[a]\ntitel = 'x'\nname = 3\n";
        let (node, _) = parse_text(text, Origin::Argument("test")).expect("valid");
        let mut found = Vec::new();
        let mut top = Fields::new("", &node, &mut found);
        let table = top.require("a", "", &mut found).expect("there");
        top.finish(&mut found);
        let mut fields = Fields::new("a", &table.node, &mut found);
        assert_eq!(fields.text("title", "write one", &mut found), None);
        assert_eq!(fields.text("name", "write one", &mut found), None);
        fields.finish(&mut found);
        let messages: Vec<&str> = found.iter().map(|d| d.message.as_str()).collect();
        assert_eq!(messages, ["[a] lacks `title`", "`a.name` must be a text", "unknown key `a.titel`"]);
        assert_eq!(found[2].help, ["did you mean `title`?"]);
    }
}
