//! Stage one: TOML as a tree of values that know their place.

use toml::de::{DeTable, DeValue};

use super::diagnostic::Diagnostic;
use super::source::{At, SourceMap};

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where the value is written.
    pub at: At,
    /// What is written there.
    pub value: Value,
}

/// TOML's values. Integers keep more bits than TOML promises, so that a large one
/// is refused for its range and not for its type.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A string, its escapes resolved.
    Text(String),
    /// A whole number; `i128::MAX` stands for what is larger still.
    Integer(i128),
    /// A float, NaN and infinities among them.
    Number(f64),
    /// True or false.
    Flag(bool),
    /// A date, a time or both, as TOML writes it.
    Date(String),
    /// An array.
    List(Vec<Node>),
    /// A table, or an inline one; also the whole document.
    Table(Vec<Entry>),
}

/// A key of a table with its value, in the order of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// One component, without quotes: of `a.b` there are two entries.
    pub key: String,
    /// Where the key is written.
    pub key_at: At,
    /// The value behind the key.
    pub node: Node,
}

impl Node {
    /// What the value is, in words.
    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            Value::Text(_) => "a text",
            Value::Integer(_) => "a whole number",
            Value::Number(_) => "a decimal number",
            Value::Flag(_) => "true or false",
            Value::Date(_) => "a date",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        }
    }

    /// The entries, if this is a table.
    pub fn entries(&self) -> Option<&[Entry]> {
        match &self.value {
            Value::Table(entries) => Some(entries),
            _ => None,
        }
    }

    /// The leaves below a table, each under its dotted path. An empty table counts
    /// as a leaf, so that nobody overlooks it.
    pub fn leaves(&self) -> Vec<Leaf<'_>> {
        let mut leaves = Vec::new();
        collect(self, "", &mut leaves);
        leaves
    }
}

/// A value below a table that is no table itself.
#[derive(Debug, Clone)]
pub struct Leaf<'a> {
    /// `train.epochs`
    pub path: String,
    /// Where the last component of the path is written.
    pub key_at: At,
    /// The value, no table unless it is an empty one.
    pub node: &'a Node,
}

fn collect<'a>(node: &'a Node, prefix: &str, leaves: &mut Vec<Leaf<'a>>) {
    for entry in node.entries().unwrap_or_default() {
        let path = if prefix.is_empty() { entry.key.clone() } else { format!("{prefix}.{}", entry.key) };
        if entry.node.entries().is_some_and(|below| !below.is_empty()) {
            collect(&entry.node, &path, leaves);
        } else {
            leaves.push(Leaf { path, key_at: entry.key_at, node: &entry.node });
        }
    }
}

/// Reads a document; `None` if its syntax is broken (every place is reported).
pub fn parse(sources: &SourceMap, source: usize, found: &mut Vec<Diagnostic>) -> Option<Node> {
    let text = sources.text(source);
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        let at = At::new(source, table.span());
        return Some(Node { at, value: Value::Table(entries(table.get_ref(), source, 0)) });
    }
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        // A mistake at the end of the text still needs something to point at.
        let end = span.end.min(text.len());
        let at = At::new(source, span.start.min(end)..end);
        found.push(
            Diagnostic::new(at, format!("not valid TOML: {}", error.message()))
                .help("further mistakes in this file are looked for once its syntax is right"),
        );
    }
    None
}

/// Reads a single value out of a longer text; `None` if it is not TOML.
pub(super) fn parse_value(text: &str, at: At) -> Option<Node> {
    let value = DeValue::parse(text).ok()?;
    Some(node(value.get_ref(), At::new(at.source, shift(value.span(), at.start)), at.start))
}

/// For tests that hold only a text.
pub(super) fn parse_text(
    text: &str,
    origin: super::source::Origin,
) -> Result<(Node, SourceMap), super::diagnostic::Diagnostics> {
    let mut sources = SourceMap::default();
    let source = sources.add(origin, text);
    let mut list = Vec::new();
    match parse(&sources, source, &mut list) {
        Some(node) => Ok((node, sources)),
        None => Err(super::diagnostic::Diagnostics { sources, list }),
    }
}

fn shift(span: std::ops::Range<usize>, offset: usize) -> std::ops::Range<usize> {
    span.start + offset..span.end + offset
}

fn entries(table: &DeTable<'_>, source: usize, offset: usize) -> Vec<Entry> {
    let mut list: Vec<Entry> = table
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            key_at: At::new(source, shift(key.span(), offset)),
            node: node(value.get_ref(), At::new(source, shift(value.span(), offset)), offset),
        })
        .collect();
    list.sort_by_key(|entry| entry.key_at.start);
    list
}

fn node(value: &DeValue<'_>, at: At, offset: usize) -> Node {
    let value = match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(integer) => {
            Value::Integer(i128::from_str_radix(integer.as_str(), integer.radix()).unwrap_or(i128::MAX))
        }
        DeValue::Float(float) => Value::Number(float.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(flag) => Value::Flag(*flag),
        DeValue::Datetime(date) => Value::Date(date.to_string()),
        DeValue::Array(items) => Value::List(
            items
                .iter()
                .map(|item| node(item.get_ref(), At::new(at.source, shift(item.span(), offset)), offset))
                .collect(),
        ),
        DeValue::Table(table) => Value::Table(entries(table, at.source, offset)),
    };
    Node { at, value }
}

#[cfg(test)]
mod tests {
    use super::super::source::Origin;
    use super::*;

    #[test]
    fn leaves_have_dotted_paths_and_places() {
        let text = "[train]\nepochs = 3\n[a.b]\nc = { d = [1.5, true] }\n";
        let (node, sources) = parse_text(text, Origin::Argument("test")).expect("valid");
        let leaves = node.leaves();
        let paths: Vec<&str> = leaves.iter().map(|leaf| leaf.path.as_str()).collect();
        assert_eq!(paths, ["train.epochs", "a.b.c.d"]);
        assert_eq!(leaves[0].node.value, Value::Integer(3));
        assert_eq!(sources.position(leaves[0].node.at), (2, 10));
        let Value::List(items) = &leaves[1].node.value else { panic!("a list") };
        assert_eq!(&text[items[1].at.span()], "true");
    }

    #[test]
    fn every_syntax_mistake_is_reported() {
        let mistakes = parse_text("a = \nb = 2\nc = [1,\n", Origin::Argument("test")).expect_err("broken");
        assert!(mistakes.len() >= 2, "{mistakes}");
    }

    #[test]
    fn a_value_within_an_argument_keeps_its_place() {
        let at = At::new(0, 5..15);
        let node = parse_value("[0.5, 1.0]", at).expect("valid");
        let Value::List(items) = &node.value else { panic!("a list") };
        assert_eq!(items[1].at.span(), 11..14);
        assert!(parse_value("bilinear", at).is_none());
    }
}
