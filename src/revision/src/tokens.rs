//! The token stream of a source file, without what does not compute.

use std::collections::BTreeSet;
use std::str::FromStr;

use proc_macro2::{Delimiter, LexError, Spacing, TokenStream, TokenTree};

/// A source file as its tokens.
#[derive(Debug, Clone)]
pub struct Source {
    pub(crate) label: String,
    tokens: Vec<String>,
    names: BTreeSet<String>,
    defines: BTreeSet<String>,
    extends: BTreeSet<String>,
}

impl Source {
    /// `label` names the file inside the workspace and is part of the digest.
    ///
    /// # Errors
    /// The text is no Rust.
    pub fn parse(label: &str, text: &str) -> Result<Self, LexError> {
        let stream = TokenStream::from_str(text)?;
        let mut source = Self {
            label: label.to_owned(),
            tokens: Vec::new(),
            names: BTreeSet::new(),
            defines: BTreeSet::new(),
            extends: BTreeSet::new(),
        };
        source.take(&stream.into_iter().collect::<Vec<_>>(), true);
        Ok(source)
    }

    /// Adds what a C++ file says, word by word, without its line comments.
    pub(crate) fn add_foreign(&mut self, text: &str) {
        let code = text.lines().filter_map(|line| line.split("//").next());
        self.tokens.extend(code.flat_map(str::split_whitespace).map(str::to_owned));
    }

    /// Every identifier that the file speaks.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// The names in the heads of its `impl` blocks: what it adds to.
    pub(crate) fn extends(&self) -> impl Iterator<Item = &str> {
        self.extends.iter().map(String::as_str)
    }

    /// The names of its public items (not of their methods and fields).
    pub(crate) fn defines(&self) -> impl Iterator<Item = &str> {
        self.defines.iter().map(String::as_str)
    }

    /// `at_top` where items of the file itself are looked at.
    fn take(&mut self, trees: &[TokenTree], at_top: bool) {
        let mut at = 0;
        while at < trees.len() {
            match attribute(trees, at) {
                Some((Attribute::Doc, next)) => at = next,
                Some((Attribute::Test, next)) => at = after_item(trees, next),
                _ => {
                    if at_top && let Some(end) = reexport(trees, at) {
                        self.take_unspoken(&trees[at..end]);
                        at = end;
                        continue;
                    }
                    if at_top {
                        self.note_definition(trees, at);
                        self.note_extension(trees, at);
                    }
                    self.take_one(&trees[at]);
                    at += 1;
                }
            }
        }
    }

    /// Part of the digest, but no use of what is named: a crate's or room's
    /// door lists everything behind it.
    fn take_unspoken(&mut self, trees: &[TokenTree]) {
        let names = self.names.clone();
        self.take(trees, false);
        self.names = names;
    }

    fn take_one(&mut self, tree: &TokenTree) {
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("<", ">"),
                };
                self.tokens.push(open.to_owned());
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                self.take(without_trailing_comma(&inner, group.delimiter()), false);
                self.tokens.push(close.to_owned());
            }
            TokenTree::Ident(ident) => {
                let name = ident.to_string();
                self.names.insert(name.clone());
                self.tokens.push(name);
            }
            TokenTree::Punct(punct) => {
                let joint = if punct.spacing() == Spacing::Joint { "+" } else { "" };
                self.tokens.push(format!("{}{joint}", punct.as_char()));
            }
            TokenTree::Literal(literal) => self.tokens.push(literal.to_string()),
        }
    }

    /// `pub struct Name` and its like: the name becomes one that others may use.
    fn note_definition(&mut self, trees: &[TokenTree], at: usize) {
        const ITEMS: [&str; 7] = ["struct", "enum", "fn", "trait", "type", "const", "static"];
        let is_pub = matches!(&trees[at], TokenTree::Ident(ident) if ident == "pub");
        if !is_pub {
            return;
        }
        for pair in trees[at..].windows(2).take(5) {
            if let [TokenTree::Ident(item), TokenTree::Ident(name)] = pair
                && ITEMS.contains(&item.to_string().as_str())
            {
                self.defines.insert(name.to_string());
                return;
            }
        }
    }

    /// `impl Trait for Type {`: each name in it.
    fn note_extension(&mut self, trees: &[TokenTree], at: usize) {
        if !matches!(&trees[at], TokenTree::Ident(ident) if ident == "impl") {
            return;
        }
        for tree in &trees[at + 1..] {
            match tree {
                TokenTree::Ident(name) => {
                    self.extends.insert(name.to_string());
                }
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => return,
                _ => {}
            }
        }
    }
}

/// blake3 over the files' labels and tokens, each length-prefixed.
pub fn digest(sources: &[Source]) -> String {
    let mut sorted: Vec<&Source> = sources.iter().collect();
    sorted.sort_by(|a, b| a.label.cmp(&b.label));
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"dygl revision 1\0");
    let mut put = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    for source in sorted {
        put(&source.label);
        put(&source.tokens.len().to_string());
        source.tokens.iter().for_each(|token| put(token));
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

/// The end of the `pub use ...;` that starts at `at`.
fn reexport(trees: &[TokenTree], at: usize) -> Option<usize> {
    let is =
        |index: usize, word: &str| matches!(trees.get(index), Some(TokenTree::Ident(ident)) if ident == word);
    if !is(at, "pub") {
        return None;
    }
    // `pub use` or `pub(crate) use`.
    let is_use =
        is(at + 1, "use") || (matches!(trees.get(at + 1), Some(TokenTree::Group(_))) && is(at + 2, "use"));
    let is_semicolon = |tree: &TokenTree| matches!(tree, TokenTree::Punct(punct) if punct.as_char() == ';');
    let end = trees[at..].iter().position(is_semicolon).map(|offset| at + offset + 1);
    if is_use { end } else { None }
}

enum Attribute {
    Doc,
    Test,
    Other,
}

/// The attribute that starts at `at`, and where it ends.
fn attribute(trees: &[TokenTree], at: usize) -> Option<(Attribute, usize)> {
    let is = |index: usize, sign: char| matches!(trees.get(index), Some(TokenTree::Punct(p)) if p.as_char() == sign);
    if !is(at, '#') {
        return None;
    }
    let group_at = if is(at + 1, '!') { at + 2 } else { at + 1 };
    let Some(TokenTree::Group(group)) = trees.get(group_at) else { return None };
    if group.delimiter() != Delimiter::Bracket {
        return None;
    }
    let text = group.stream().to_string().replace(' ', "");
    let kind = if text.starts_with("doc=") {
        Attribute::Doc
    } else if text == "cfg(test)" || text.starts_with("cfg(all(test,") {
        Attribute::Test
    } else {
        Attribute::Other
    };
    Some((kind, group_at + 1))
}

/// The end of the item that starts at `at`: behind its braces or semicolon.
fn after_item(trees: &[TokenTree], at: usize) -> usize {
    for (offset, tree) in trees[at..].iter().enumerate() {
        let ends = match tree {
            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
            TokenTree::Punct(punct) => punct.as_char() == ';',
            _ => false,
        };
        if ends {
            return at + offset + 1;
        }
    }
    trees.len()
}

/// rustfmt adds and removes trailing commas as it breaks lines. `(a,)` is a
/// tuple, though: a sole comma in parentheses stays.
fn without_trailing_comma(trees: &[TokenTree], delimiter: Delimiter) -> &[TokenTree] {
    let is_comma = |tree: &TokenTree| matches!(tree, TokenTree::Punct(p) if p.as_char() == ',');
    let commas = trees.iter().filter(|tree| is_comma(tree)).count();
    match trees.split_last() {
        Some((last, rest)) if is_comma(last) && (delimiter != Delimiter::Parenthesis || commas > 1) => rest,
        _ => trees,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> String {
        digest(&[Source::parse("a.rs", text).expect("Rust")])
    }

    #[test]
    fn a_changed_number_counts_and_a_broken_line_does_not() {
        assert_ne!(of("fn f() -> f32 { 1.0 }"), of("fn f() -> f32 { 1.1 }"));
        assert_eq!(of("f(a, b)"), of("f(\n    a,\n    b,\n)"));
        assert_ne!(of("let t = (a,);"), of("let t = (a);"));
        assert_ne!(of("a && b"), of("a & & b"));
    }

    #[test]
    fn public_names_are_known() {
        let text =
            "pub struct Conv; pub(crate) fn erf() {} fn own() {} impl Layer for Conv { pub fn new() {} }";
        let source = Source::parse("a.rs", text).expect("Rust");
        assert_eq!(source.defines().collect::<Vec<_>>(), ["Conv", "erf"]);
        assert!(source.extends().any(|name| name == "Layer"));
    }
}
