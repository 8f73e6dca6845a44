//! Path patterns of a layout: `Slide_{group}/{id}.png`.
//!
//! A pattern is a relative path whose segments hold at most one placeholder
//! each. A placeholder takes one or more characters, never a `/`; where it
//! stands twice, both places must read the same.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

/// What the placeholders stood for.
pub(super) type Captures = BTreeMap<String, String>;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Open { prefix: String, placeholder: String, suffix: String },
}

/// A parsed pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    text: String,
    segments: Vec<Segment>,
}

/// Placeholders that a pattern may use.
const PLACEHOLDERS: [&str; 3] = ["id", "part", "group"];

impl Pattern {
    /// Reads a pattern; the error says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let segments = text.split('/').map(segment).collect::<Result<Vec<_>, _>>();
        let pattern =
            Self { text: text.to_owned(), segments: segments.map_err(|e| format!("`{text}`: {e}"))? };
        if !pattern.placeholders().contains(&"id") {
            return Err(format!("`{text}`: has no {{id}}"));
        }
        Ok(pattern)
    }

    /// As written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Names of the placeholders, sorted, each once.
    pub(super) fn placeholders(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .segments
            .iter()
            .filter_map(|s| match s {
                Segment::Open { placeholder, .. } => Some(placeholder.as_str()),
                Segment::Literal(_) => None,
            })
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The path with the placeholders filled in; one without value stays as it is.
    pub(super) fn fill(&self, captures: &Captures) -> String {
        let mut text = self.text.clone();
        for (name, value) in captures {
            text = text.replace(&format!("{{{name}}}"), value);
        }
        text
    }

    /// Whether a relative path fits.
    pub(super) fn matches(&self, path: &str) -> bool {
        self.captures(path).is_some()
    }

    /// What the placeholders stand for in a relative path that fits.
    pub(super) fn captures(&self, path: &str) -> Option<Captures> {
        let mut captures = Captures::new();
        let mut parts = path.split('/');
        let fits = self
            .segments
            .iter()
            .all(|segment| parts.next().is_some_and(|part| take(segment, part, &mut captures)));
        (fits && parts.next().is_none()).then_some(captures)
    }

    /// Every file below `root` that fits, with its relative path; hidden files
    /// are passed over. A folder that is not there holds no files.
    pub(super) fn find(&self, root: &Path) -> io::Result<Vec<(Captures, String)>> {
        let mut found = Vec::new();
        walk(root, &self.segments, "", &Captures::new(), &mut found)?;
        Ok(found)
    }
}

fn segment(text: &str) -> Result<Segment, String> {
    if text.is_empty() || text == "." || text == ".." {
        return Err("empty, `.` and `..` are no parts of a pattern".to_owned());
    }
    let Some((prefix, rest)) = text.split_once('{') else {
        return Ok(Segment::Literal(text.to_owned()));
    };
    let (placeholder, suffix) = rest.split_once('}').ok_or("a brace is not closed")?;
    if suffix.contains('{') {
        return Err(format!("`{text}` has more than one placeholder"));
    }
    if !PLACEHOLDERS.contains(&placeholder) {
        return Err(format!("`{{{placeholder}}}` is no placeholder; known: {}", PLACEHOLDERS.join(", ")));
    }
    Ok(Segment::Open {
        prefix: prefix.to_owned(),
        placeholder: placeholder.to_owned(),
        suffix: suffix.to_owned(),
    })
}

/// Whether `name` fits the segment and agrees with what was captured so far.
fn take(segment: &Segment, name: &str, captures: &mut Captures) -> bool {
    match segment {
        Segment::Literal(text) => name == text,
        Segment::Open { prefix, placeholder, suffix } => {
            let inner = name.strip_prefix(prefix.as_str()).and_then(|n| n.strip_suffix(suffix.as_str()));
            let Some(inner) = inner.filter(|i| !i.is_empty()) else { return false };
            let earlier = captures.entry(placeholder.clone()).or_insert_with(|| inner.to_owned());
            earlier == inner
        }
    }
}

fn walk(
    folder: &Path,
    segments: &[Segment],
    prefix: &str,
    captures: &Captures,
    found: &mut Vec<(Captures, String)>,
) -> io::Result<()> {
    let Some((first, rest)) = segments.split_first() else { return Ok(()) };
    if let (Segment::Literal(name), false) = (first, rest.is_empty()) {
        return walk(&folder.join(name), rest, &format!("{prefix}{name}/"), captures, found);
    }
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    for entry in entries {
        let name = entry?.file_name();
        // A name that is no UTF-8 cannot be an id.
        let Some(name) = name.to_str().filter(|n| !n.starts_with('.')) else { continue };
        let mut captures = captures.clone();
        if !take(first, name, &mut captures) {
            continue;
        }
        if rest.is_empty() {
            found.push((captures, format!("{prefix}{name}")));
        } else {
            walk(&folder.join(name), rest, &format!("{prefix}{name}/"), &captures, found)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_and_fill() {
        let pattern = Pattern::parse("Slide_{group}/{id}.png").expect("valid");
        assert!(pattern.matches("Slide_01/01_1.png"));
        assert!(!pattern.matches("Slide_/01_1.png") && !pattern.matches("01_1.png"));
        assert!(!pattern.matches("Slide_01/x/01_1.png"));
        let captures = Captures::from([("group".into(), "01".into()), ("id".into(), "01_1".into())]);
        assert_eq!(pattern.fill(&captures), "Slide_01/01_1.png");
        assert_eq!(pattern.placeholders(), ["group", "id"]);
    }

    #[test]
    fn a_repeated_placeholder_must_agree() {
        let pattern = Pattern::parse("{id}/{id}_lesion/{id}.bmp").expect("valid");
        assert!(pattern.matches("IMD1/IMD1_lesion/IMD1.bmp"));
        assert!(!pattern.matches("IMD1/IMD1_lesion/IMD2.bmp"));
    }

    #[test]
    fn bad_patterns_are_explained() {
        for (text, word) in [
            ("images/x.png", "{id}"),
            ("{id", "not closed"),
            ("{id}{part}", "more than one"),
            ("{name}", "no placeholder"),
            ("../{id}", "`..`"),
        ] {
            let error = Pattern::parse(text).expect_err("invalid");
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn files_are_found_by_folder() {
        let root = tempfile::tempdir().expect("folder");
        for file in ["a/images/1.png", "a/images/.2.png", "a/images/3.txt", "b/images/4.png", "b/5.png"] {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().expect("parent")).expect("made");
            fs::write(path, "").expect("written");
        }
        let mut found: Vec<String> = Pattern::parse("{part}/images/{id}.png")
            .expect("valid")
            .find(root.path())
            .expect("readable")
            .into_iter()
            .map(|(_, path)| path)
            .collect();
        found.sort();
        assert_eq!(found, ["a/images/1.png", "b/images/4.png"]);
        assert!(Pattern::parse("none/{id}.png").expect("valid").find(root.path()).expect("empty").is_empty());
    }
}
