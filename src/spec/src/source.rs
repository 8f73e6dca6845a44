//! The texts that an experiment is read from, and places in them.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

/// Where a text comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A file, as it was found.
    File(PathBuf),
    /// Built into the program: the path in the repository.
    Embedded(&'static str),
    /// An argument of the command line: `--set`, `--filter`, `--profile`.
    Argument(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File(path) => write!(f, "{}", path.display()),
            Origin::Embedded(path) => write!(f, "built-in:{path}"),
            Origin::Argument(flag) => f.write_str(flag),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A span of bytes in one of the texts of a [`SourceMap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At {
    /// Index of the text in the map.
    pub source: usize,
    /// Offset of its first byte in the text.
    pub start: usize,
    /// Offset behind its last byte.
    pub end: usize,
}

impl At {
    /// The place of a span in the text of that index.
    pub fn new(source: usize, span: Range<usize>) -> Self {
        Self { source, start: span.start, end: span.end }
    }

    /// Its bytes, as a range of the text.
    pub fn span(self) -> Range<usize> {
        self.start..self.end
    }
}

/// All texts that one loading reads; an index stays valid for its lifetime.
#[derive(Debug, Clone, Default)]
pub struct SourceMap {
    texts: Vec<(Origin, String)>,
}

impl SourceMap {
    /// Keeps a text and returns its index.
    pub fn add(&mut self, origin: Origin, text: impl Into<String>) -> usize {
        self.texts.push((origin, text.into()));
        self.texts.len() - 1
    }

    /// The text of that index; empty if there is none.
    pub fn text(&self, source: usize) -> &str {
        self.texts.get(source).map_or("", |(_, text)| text)
    }

    /// Where the text of that index comes from; `None` if there is none.
    pub fn origin(&self, source: usize) -> Option<&Origin> {
        self.texts.get(source).map(|(origin, _)| origin)
    }

    /// The whole of a text.
    pub fn whole(&self, source: usize) -> At {
        At::new(source, 0..self.text(source).len())
    }

    /// Every text and where it comes from, in the order of the indices.
    pub fn iter(&self) -> impl Iterator<Item = (&Origin, &str)> {
        self.texts.iter().map(|(origin, text)| (origin, text.as_str()))
    }

    /// Line and column (characters) of the start of a place, both from 1.
    pub fn position(&self, at: At) -> (usize, usize) {
        let before = self.text(at.source).get(..at.start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        (line, column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_from_one() {
        let mut sources = SourceMap::default();
        let id = sources.add(Origin::Argument("--set"), "a = 1\nü = 2\n");
        assert_eq!(sources.position(At::new(id, 0..1)), (1, 1));
        assert_eq!(sources.position(At::new(id, 9..10)), (2, 3));
    }
}
