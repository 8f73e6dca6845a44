//! Pictures below a dataset's folder that are in no pair: how many, which, and why.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::manifest::Manifest;
use super::pattern::Fit;
use super::scan::Reader;
use super::text;
use super::tree::is_hidden;

/// Pictures that are in no pair for one reason.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeftOver {
    /// Why they are in no pair.
    pub reason: Reason,
    /// How many pictures; of [`Reason::Closed`] how many folders.
    pub count: usize,
    /// The first in byte order, relative to the dataset's folder.
    pub examples: Vec<String>,
}

/// Why a picture is in no pair.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Reason {
    /// It fits a pattern but for capital and small letters.
    LetterCase {
        /// The pattern of a layout, as written.
        pattern: String,
    },
    /// It fits a pattern but for the ending.
    Ending {
        /// The pattern of a layout, as written.
        pattern: String,
    },
    /// Its format is none that is read.
    Format {
        /// End of the file's name, without its dot.
        ending: String,
    },
    /// `parts.names` lacks the word of its part.
    Part {
        /// What stands in the place of `{part}`.
        word: String,
    },
    /// Its name, or that of a folder around it, begins with a dot.
    Hidden,
    /// Its name, or that of a folder around it, is not UTF-8.
    NotText,
    /// The folder cannot be read.
    Closed {
        /// What the system says.
        why: String,
    },
    /// Its name holds a backslash: a zip of Windows, unpacked by a program that does not know them.
    Backslash,
    /// It fits no pattern of any layout.
    NoLayout,
    /// It fits a layout that is not taken: `layouts = "first"` takes one.
    OtherLayout {
        /// Name of the layout that it fits.
        layout: String,
    },
    /// This program wrote it: a prediction, a sheet, a figure.
    Written,
}

/// Examples that are kept of each reason.
const KEPT: usize = 10;
/// Examples that a message names.
const SHOWN: usize = 3;

impl LeftOver {
    /// Whether somebody has to say that these pictures are not meant. Those of
    /// another layout and what this program wrote itself need no such word.
    pub fn is_mistake(&self) -> bool {
        !matches!(self.reason, Reason::OtherLayout { .. } | Reason::Written)
    }

    /// What would bring them in; empty where nothing is amiss.
    fn remedy(&self) -> String {
        match &self.reason {
            Reason::LetterCase { .. } => "write the layout as the files are named".to_owned(),
            Reason::Ending { .. } => "`{id}.*` takes any ending, `{id}.{png,jpg}` two".to_owned(),
            Reason::Format { .. } => "convert them to PNG".to_owned(),
            Reason::Part { word } => {
                format!("add `{word} = \"train\"` (or validation, test) to parts.names")
            }
            Reason::Hidden => "rename them without the dot".to_owned(),
            Reason::NotText => "rename them, for example by `convmv -f latin1 -t utf8`".to_owned(),
            Reason::Closed { .. } => "let it be read".to_owned(),
            Reason::Backslash => "unpack the archive by another program, or give the archive".to_owned(),
            Reason::NoLayout => "add a [[layout]] for them".to_owned(),
            Reason::OtherLayout { .. } | Reason::Written => String::new(),
        }
    }
}

impl fmt::Display for LeftOver {
    /// With what would bring them in.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words())?;
        match self.remedy() {
            remedy if remedy.is_empty() => Ok(()),
            remedy => write!(f, " ({remedy})"),
        }
    }
}

impl LeftOver {
    /// How many, why and which.
    pub fn words(&self) -> String {
        let is_one = self.count == 1;
        let noun = match (&self.reason, is_one) {
            (Reason::Closed { .. }, true) => "folder",
            (Reason::Closed { .. }, false) => "folders",
            (_, true) => "picture",
            (_, false) => "pictures",
        };
        let fits = if is_one { "matches" } else { "match" };
        let why = match &self.reason {
            Reason::LetterCase { pattern } => format!("{fits} `{pattern}` but for capital and small letters"),
            Reason::Ending { pattern } => format!("{fits} `{pattern}` but for the ending"),
            Reason::Format { ending } => format!("of a format that is not read (.{ending})"),
            Reason::Part { word } => format!("of the part `{word}`, which parts.names lacks"),
            Reason::Hidden => "under names that begin with a dot".to_owned(),
            Reason::NotText => "under names that are not UTF-8".to_owned(),
            Reason::Closed { why } => format!("cannot be read ({why})"),
            Reason::Backslash => "with a backslash in the name".to_owned(),
            Reason::NoLayout => format!("{fits} no layout"),
            Reason::OtherLayout { layout } => format!("of the layout `{layout}`, which is not taken"),
            Reason::Written => "written by dygl itself".to_owned(),
        };
        let shown: Vec<&str> = self.examples.iter().take(SHOWN).map(String::as_str).collect();
        let more = match self.count - shown.len() {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        format!("{} {noun} {why}: {}{more}", self.count, shown.join(", "))
    }
}

/// Collects pictures by their reasons.
#[derive(Debug, Default)]
pub(super) struct Heap(BTreeMap<Reason, Vec<String>>);

impl Heap {
    pub(super) fn add(&mut self, reason: Reason, file: String) {
        self.0.entry(reason).or_default().push(file);
    }

    pub(super) fn sorted(self) -> Vec<LeftOver> {
        let each = self.0.into_iter().map(|(reason, mut files)| {
            files.sort_unstable();
            let count = files.len();
            files.truncate(KEPT);
            LeftOver { reason, count, examples: files }
        });
        each.collect()
    }
}

/// Why a picture is in no pair. `readers` are the manifest's layouts, `taken`
/// the places of those that were tried; `None` for a picture that one of these
/// took, and of which a problem tells.
pub(super) fn reason(manifest: &Manifest, readers: &[Reader], taken: &[usize], file: &str) -> Option<Reason> {
    if is_hidden(file) {
        return Some(Reason::Hidden);
    }
    let is_taken = |reader: &&Reader| taken.contains(&reader.place);
    let others = readers.iter().filter(|reader| !is_taken(reader));
    for reader in readers.iter().filter(is_taken).chain(others) {
        for pattern in reader.patterns() {
            let options = pattern.captures(file);
            let Some(first) = options.first() else { continue };
            if let Some(rule) = &manifest.parts
                && options.iter().all(|captures| rule.part(captures).is_none())
            {
                let word = rule.word(first).unwrap_or_default().to_owned();
                return Some(Reason::Part { word });
            }
            let layout = reader.name.clone();
            return (!is_taken(&reader)).then_some(Reason::OtherLayout { layout });
        }
    }
    let loosely = |fit: Fit| {
        let mut patterns = readers.iter().flat_map(Reader::patterns);
        patterns.find(|pattern| !pattern.captures_by(file, fit).is_empty()).map(|p| p.text().to_owned())
    };
    if let Some(pattern) = loosely(Fit::AnyCase) {
        return Some(Reason::LetterCase { pattern });
    }
    if file.contains('\\') {
        return Some(Reason::Backslash);
    }
    if !text::is_read(file)
        && let Some(ending) = text::ending(file)
    {
        return Some(Reason::Format { ending });
    }
    Some(loosely(Fit::AnyEnding).map_or(Reason::NoLayout, |pattern| Reason::Ending { pattern }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_told_with_examples_and_a_remedy() {
        let mut heap = Heap::default();
        for number in (0..12).rev() {
            heap.add(Reason::NoLayout, format!("x/{number:02}.png"));
        }
        heap.add(Reason::Part { word: "val".into() }, "val/images/1.png".into());
        heap.add(Reason::Written, "out/1.mask.png".into());
        let told: Vec<String> = heap.sorted().iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "1 picture of the part `val`, which parts.names lacks: val/images/1.png \
                 (add `val = \"train\"` (or validation, test) to parts.names)",
                "12 pictures match no layout: x/00.png, x/01.png, x/02.png, and 9 more \
                 (add a [[layout]] for them)",
                "1 picture written by dygl itself: out/1.mask.png",
            ]
        );
    }
}
