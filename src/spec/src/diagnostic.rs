//! Mistakes in what the user wrote: each points into a file or an argument, all
//! are shown at once, and each says what to write instead.

use std::fmt;

use serde::Serialize;

use super::source::{At, SourceMap};

/// One mistake.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnostic {
    /// What is wrong, without place and remedy.
    pub message: String,
    /// The place of the mistake; none if the mistake is that a file is missing.
    pub at: Option<At>,
    /// What to say under the caret.
    pub label: Box<str>,
    /// Further places, with a word on each.
    pub related: Vec<(At, String)>,
    /// Remedies.
    pub help: Vec<String>,
}

impl Diagnostic {
    /// A mistake at a place; label, further places and remedies can follow.
    pub fn new(at: At, message: impl Into<String>) -> Self {
        Self { at: Some(at), ..Self::nowhere(message) }
    }

    /// A mistake without a place.
    pub fn nowhere(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            at: None,
            label: Box::default(),
            related: Vec::new(),
            help: Vec::new(),
        }
    }

    /// Sets what to say under the caret.
    pub fn label(mut self, text: impl Into<String>) -> Self {
        self.label = text.into().into_boxed_str();
        self
    }

    /// Adds a further place, with a word on it.
    pub fn related(mut self, at: At, text: impl Into<String>) -> Self {
        self.related.push((at, text.into()));
        self
    }

    /// Adds a remedy.
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help.push(text.into());
        self
    }

    /// Adds a did-you-mean if a candidate is near, else lists the candidates
    /// if they are few.
    pub fn suggest<I, S>(self, word: &str, candidates: I, kind: &str) -> Self
    where
        I: IntoIterator<Item = S>,
        S: AsRef<str>,
    {
        let candidates: Vec<String> = candidates.into_iter().map(|c| c.as_ref().to_owned()).collect();
        match nearest(word, candidates.iter().map(String::as_str)) {
            Some(near) => self.help(format!("did you mean `{near}`?")),
            None if candidates.is_empty() => self,
            None if candidates.len() <= 16 => self.help(format!("{kind}: {}", candidates.join(", "))),
            None => self,
        }
    }
}

/// The candidate that `word` most likely meant: near in spelling, or equal to a
/// candidate's last dotted component.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let score = |candidate: &str| {
        let last = candidate.rsplit('.').next().unwrap_or(candidate);
        let tail = word.rsplit('.').next().unwrap_or(&word);
        let whole = strsim::jaro_winkler(&word, candidate);
        // A right last component in a wrong table is nearer than any misspelling of the whole.
        if tail == last { whole.max(0.95) } else { whole }
    };
    let mut best: Option<(f64, &str)> = None;
    for candidate in candidates {
        let score = score(candidate);
        if score >= 0.8 && best.is_none_or(|(high, _)| score > high) {
            best = Some((score, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// All mistakes of one loading, with the texts that they point into. Never empty
/// when returned as an error.
#[derive(Debug, Clone, Default)]
pub struct Diagnostics {
    /// The texts, by the index that places name.
    pub sources: SourceMap,
    /// In the order in which they were found, until they are sorted.
    pub list: Vec<Diagnostic>,
}

/// A mistake for machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiagnosticEntry {
    /// Path, `built-in:PATH`, or the flag; empty if there is no place.
    pub file: String,
    /// From 1; 0 if there is no place.
    pub line: usize,
    /// In characters, from 1; 0 if there is no place.
    pub column: usize,
    /// What is wrong, without place and remedy.
    pub message: String,
    /// Remedies; empty if none is known.
    pub help: Vec<String>,
}

impl Diagnostics {
    /// Adds a mistake behind the others.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.list.push(diagnostic);
    }

    /// Whether no mistake was found.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Number of mistakes.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// In the order of the texts, then of the places in them.
    pub fn sort(&mut self) {
        self.list.sort_by_key(|d| d.at.map(|at| (at.source, at.start)));
    }

    /// For JSON output.
    pub fn entries(&self) -> Vec<DiagnosticEntry> {
        let entry = |d: &Diagnostic| {
            let (file, line, column) = d.at.map_or_else(Default::default, |at| {
                let (line, column) = self.sources.position(at);
                (self.sources.origin(at.source).map(ToString::to_string).unwrap_or_default(), line, column)
            });
            DiagnosticEntry { file, line, column, message: d.message.clone(), help: d.help.clone() }
        };
        self.list.iter().map(entry).collect()
    }
}

/// A line for each mistake with its place and its remedies, then a count.
impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for entry in self.entries() {
            if entry.line > 0 {
                write!(f, "{}:{}:{}: ", entry.file, entry.line, entry.column)?;
            }
            f.write_str(&entry.message)?;
            for help in &entry.help {
                write!(f, "; {help}")?;
            }
            f.write_str("\n")?;
        }
        match self.list.len() {
            1 => f.write_str("1 mistake"),
            n => write!(f, "{n} mistakes"),
        }
    }
}

impl std::error::Error for Diagnostics {}

#[cfg(test)]
mod tests {
    use super::super::source::Origin;
    use super::*;

    #[test]
    fn a_mistake_is_shown_with_its_line_and_remedy() {
        let mut diagnostics = Diagnostics::default();
        let text = "[train]\nepoch = 3\n";
        let id = diagnostics.sources.add(Origin::Embedded("x.toml"), text);
        let at = At::new(id, 8..13);
        let words = ["epochs", "batch_size"];
        diagnostics.push(Diagnostic::new(at, "unknown key `epoch`").suggest("epoch", words, "keys"));
        let shown = diagnostics.to_string();
        assert!(shown.contains("built-in:x.toml:2:1"), "{shown}");
        assert!(shown.contains("did you mean `epochs`?"), "{shown}");
        assert!(shown.ends_with("1 mistake"), "{shown}");
        assert_eq!(diagnostics.entries()[0].line, 2);
    }

    #[test]
    fn a_place_outside_the_text_does_not_hide_the_message() {
        let mut diagnostics = Diagnostics::default();
        diagnostics.push(Diagnostic::new(At::new(7, 0..3), "lost"));
        assert!(diagnostics.to_string().contains("lost"));
    }

    #[test]
    fn nearest_prefers_the_right_last_component() {
        let paths = ["train.epochs", "schedule.warmup_epochs", "train.batch_size"];
        assert_eq!(nearest("epochs", paths), Some("train.epochs"));
        assert_eq!(nearest("schedule.epochs", paths), Some("train.epochs"));
        assert_eq!(nearest("zebra", paths), None);
    }
}
