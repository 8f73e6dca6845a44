//! Split files: lists of ids by part, to read and to write.
//!
//! | ending | form |
//! |---|---|
//! | `.toml` | `train = ["ID", ...]`, and the same for `validation`, `test`, `unused` |
//! | `.csv` | a header with the columns `id` and `part` (others are ignored), a line for each image |
//! | `.txt` | a line `[train]`, then an id a line, then the next part; `#` begins a comment; an id that a line cannot hold as it is stands in quotes, as in JSON |
//!
//! Every image of the dataset is named once. `unused` takes those that no part
//! shall have. In TOML, `dataset = "ID"` may say what the file is for; another
//! dataset then refuses it. Ids are compared as they are; where none is the same,
//! with accents composed (Unicode NFC) and without blanks around them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use dygl_base::words::alike;
use dygl_pixels::split::Mistake;
use dygl_pixels::{Partition, SplitError};
use dygl_spec::protocol::Part;

use crate::text;

/// One line of a split file: an id under the name of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listed {
    line: usize,
    id: String,
    part: String,
}

/// The lists' name for images that no part takes.
const UNUSED: &str = "unused";

/// How a split file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Toml,
    Csv,
    Text,
}

impl Form {
    fn of(path: &Path) -> Result<Self, SplitError> {
        let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_lowercase);
        match ending.as_deref() {
            Some("toml") => Ok(Form::Toml),
            Some("csv") => Ok(Form::Csv),
            Some("txt") => Ok(Form::Text),
            _ => Err(SplitError::FileType { path: path.to_owned() }),
        }
    }
}

/// Reads the split of a dataset whose sorted ids are given.
///
/// # Errors
/// The file cannot be read, or every mistake in it: ids that are unknown,
/// named twice or missing, parts that do not exist, parts that are empty.
pub fn read(path: &Path, dataset: &str, ids: &[String]) -> Result<Partition, SplitError> {
    let form = Form::of(path)?;
    let text =
        fs::read_to_string(path).map_err(|source| SplitError::Read { path: path.to_owned(), source })?;
    divide(form, &text, dataset, ids).map_err(|mut mistakes| {
        // Those about the whole file come last.
        mistakes.sort_by_key(|mistake| mistake.line.unwrap_or(usize::MAX));
        SplitError::File { path: path.to_owned(), dataset: dataset.to_owned(), mistakes }
    })
}

fn divide(form: Form, text: &str, dataset: &str, ids: &[String]) -> Result<Partition, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    // An editor's byte order mark is no part of the first word.
    let text = text.trim_start_matches('\u{feff}');
    let listed = match form {
        Form::Toml => of_toml(text, dataset, &mut mistakes),
        Form::Csv => of_csv(text, &mut mistakes),
        Form::Text => of_text(text, &mut mistakes),
    };
    let known: BTreeSet<&str> = ids.iter().map(String::as_str).collect();
    let mut seen: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    let mut parts: [Vec<String>; 3] = Default::default();
    let mut with_ending = Vec::new();
    for Listed { line, id, part } in &listed {
        let mut wrong = |message: String| mistakes.push(Mistake { line: Some(*line), message });
        let place = Part::ALL.iter().position(|known| known.name() == part);
        if place.is_none() && part != UNUSED {
            wrong(format!("there is no part `{part}`; parts are train, validation, test and unused"));
        }
        let Some(id) = meant(&known, id) else {
            if text::is_picture(id)
                && let Some(meant) = meant(&known, text::without_ending(id))
            {
                seen.insert(meant, (*line, part));
                with_ending.push((*line, id.as_str(), meant));
                continue;
            }
            let near = alike(id, known.iter().copied()).into_iter().next();
            let hint = near.map_or_else(String::new, |near| format!(" (did you mean `{near}`?)"));
            wrong(format!("`{dataset}` has no image `{id}`{hint}"));
            continue;
        };
        if let Some((first, before)) = seen.get(id) {
            wrong(format!("`{id}` is named twice: first in line {first}, as {before}"));
            continue;
        }
        seen.insert(id, (*line, part));
        if let Some(place) = place {
            parts[place].push(id.to_owned());
        }
    }
    if let Some((line, written, meant)) = with_ending.first() {
        let whose = match with_ending.len() - 1 {
            0 => format!("`{written}` is spelt with the ending of its file"),
            more => format!("`{written}` and {more} more are spelt with the endings of their files"),
        };
        let message = format!("{whose}; ids have none: write `{meant}`");
        mistakes.push(Mistake { line: Some(*line), message });
    }
    let missing: Vec<&str> = known.iter().copied().filter(|id| !seen.contains_key(id)).collect();
    // A file that does not parse says nothing about what it lacks.
    if !listed.is_empty() || mistakes.is_empty() {
        mistakes.extend(missing.iter().map(|id| Mistake {
            line: None,
            message: format!("`{id}` is missing; list it under a part or under `{UNUSED}`"),
        }));
        for (part, ids) in [(Part::Train, &parts[0]), (Part::Test, &parts[2])] {
            if ids.is_empty() && with_ending.is_empty() {
                let message = format!("the part {} holds no image of `{dataset}`", part.name());
                mistakes.push(Mistake { line: None, message });
            }
        }
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let [train, validation, test] = parts;
    Ok(Partition::new(train, validation, test))
}

/// The id of the dataset that a word of a file means.
fn meant<'a>(known: &BTreeSet<&'a str>, word: &str) -> Option<&'a str> {
    let ways = [word.into(), text::nfc(word), word.trim().into(), text::nfc(word.trim())];
    ways.iter().find_map(|way| known.get(way.as_ref()).copied())
}

fn of_toml(text: &str, dataset: &str, mistakes: &mut Vec<Mistake>) -> Vec<Listed> {
    let line =
        |start: usize| 1 + text.as_bytes()[..start.min(text.len())].iter().filter(|b| **b == b'\n').count();
    let table = match toml::de::DeTable::parse(text) {
        Ok(table) => table.into_inner(),
        Err(error) => {
            let message = format!("no TOML: {}", error.message());
            mistakes.push(Mistake { line: error.span().map(|span| line(span.start)), message });
            return Vec::new();
        }
    };
    let mut listed = Vec::new();
    for (key, value) in &table {
        let at = line(key.span().start);
        let mut wrong = |line: usize, message: String| mistakes.push(Mistake { line: Some(line), message });
        let name = key.get_ref().as_ref();
        match value.get_ref() {
            toml::de::DeValue::String(given) if name == "dataset" => {
                if given.as_ref() != dataset {
                    wrong(at, format!("the file is for dataset `{given}`"));
                }
            }
            toml::de::DeValue::Array(items) => {
                for item in items {
                    let at = line(item.span().start);
                    match item.get_ref() {
                        toml::de::DeValue::String(id) => {
                            listed.push(Listed { line: at, id: id.to_string(), part: name.to_owned() });
                        }
                        _ => wrong(at, format!("each entry of `{name}` must be an id in quotes")),
                    }
                }
                if items.is_empty() && name != UNUSED && !Part::ALL.iter().any(|part| part.name() == name) {
                    wrong(
                        at,
                        format!("there is no part `{name}`; parts are train, validation, test and unused"),
                    );
                }
            }
            _ => wrong(at, format!("`{name}` is no list of ids; write train = [\"ID\", ...]")),
        }
    }
    listed.sort_by_key(|listed| listed.line);
    listed
}

fn of_csv(text: &str, mistakes: &mut Vec<Mistake>) -> Vec<Listed> {
    // Blanks may belong to an id, so nothing is trimmed here.
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
    let header: Vec<String> = reader
        .headers()
        .map(|record| record.iter().map(|name| name.trim().to_lowercase()).collect())
        .unwrap_or_default();
    let mut lines = text::Lines::of(text);
    for name in ["id", "part"] {
        if header.iter().filter(|column| *column == name).count() > 1 {
            let message = format!("the header names the column `{name}` twice");
            mistakes.push(Mistake { line: Some(1), message });
            return Vec::new();
        }
    }
    let column = |name: &str| header.iter().position(|column| column == name);
    let (Some(id), Some(part)) = (column("id"), column("part")) else {
        let message = "the header must name the columns `id` and `part`".to_owned();
        mistakes.push(Mistake { line: Some(1), message });
        return Vec::new();
    };
    let mut listed = Vec::new();
    for record in reader.records() {
        match record {
            Ok(record) => {
                let line = record.position().map_or(0, |at| lines.at(at.byte()));
                match (record.get(id), record.get(part)) {
                    (Some(id), Some(part)) => {
                        listed.push(Listed { line, id: id.to_owned(), part: part.trim().to_owned() });
                    }
                    _ => mistakes.push(Mistake { line: Some(line), message: "lacks a column".to_owned() }),
                }
            }
            Err(error) => {
                let line = error.position().map(|at| lines.at(at.byte()));
                mistakes.push(Mistake { line, message: format!("no CSV: {error}") });
            }
        }
    }
    listed
}

fn of_text(text: &str, mistakes: &mut Vec<Mistake>) -> Vec<Listed> {
    let mut part: Option<String> = None;
    let mut listed = Vec::new();
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    for (line, content) in (1..).zip(text.lines()) {
        let content = content.trim();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let heading = content.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        match (heading, &part) {
            (Some(name), _) => part = Some(name.trim().to_owned()),
            (None, Some(part)) => {
                let quoted = content.starts_with('"').then(|| serde_json::from_str(content).ok()).flatten();
                let id = quoted.unwrap_or_else(|| content.to_owned());
                listed.push(Listed { line, id, part: part.clone() });
            }
            (None, None) => {
                let message = "an id before the first part; begin with a line [train]".to_owned();
                mistakes.push(Mistake { line: Some(line), message });
            }
        }
    }
    listed
}

/// Writes a partition of a dataset as a split file that [`read`] takes, whole
/// or not at all. Ids in no part are listed as unused; `origin` says in a
/// comment where the split comes from (CSV has no comments).
///
/// # Errors
/// The ending is none of the three, or the file cannot be written.
pub fn write(
    path: &Path,
    dataset: &str,
    ids: &[String],
    partition: &Partition,
    origin: &str,
) -> Result<(), SplitError> {
    let form = Form::of(path)?;
    let failed = |source: io::Error| SplitError::Write { path: path.to_owned(), source };
    let text = text(form, dataset, ids, partition, origin).map_err(failed)?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let written = || -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let mut file = dygl_base::atomic::temporary(folder)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        fs::File::open(folder)?.sync_all()
    };
    written().map_err(failed)
}

fn text(
    form: Form,
    dataset: &str,
    ids: &[String],
    partition: &Partition,
    origin: &str,
) -> io::Result<String> {
    let of = |part: Option<Part>| ids.iter().filter(move |id| partition.part_of(id) == part);
    let parts = || Part::ALL.into_iter().map(Some).chain([None]);
    let name = |part: Option<Part>| part.map_or(UNUSED, Part::name);
    // It stands in a comment, which ends with its line.
    let origin: String = origin.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut text = String::new();
    match form {
        Form::Csv => {
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(["id", "part"])?;
            for id in ids {
                writer.write_record([id.as_str(), name(partition.part_of(id))])?;
            }
            let bytes = writer.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
            text = String::from_utf8(bytes).map_err(io::Error::other)?;
        }
        Form::Toml => {
            text.push_str(&format!(
                "# Split of {dataset}: {origin}.\n# Its digest: {}.\n\n",
                partition.digest
            ));
            text.push_str(&format!("dataset = {}\n", toml::Value::from(dataset)));
            for part in parts() {
                text.push_str(&format!("{} = [\n", name(part)));
                of(part).for_each(|id| text.push_str(&format!("  {},\n", toml::Value::from(id.as_str()))));
                text.push_str("]\n");
            }
        }
        Form::Text => {
            text.push_str(&format!("# Split of {dataset}: {origin}.\n# Its digest: {}.\n", partition.digest));
            for part in parts() {
                text.push_str(&format!("\n[{}]\n", name(part)));
                for id in of(part) {
                    let line = if is_plain(id) { id.clone() } else { serde_json::to_string(id)? };
                    text.push_str(&line);
                    text.push('\n');
                }
            }
        }
    }
    Ok(text)
}

/// Whether a line of a `.txt` holds an id as it is.
fn is_plain(id: &str) -> bool {
    let is_another = id.starts_with(['#', '[', '"']);
    !id.is_empty() && id.trim() == id && !id.chars().any(char::is_control) && !is_another
}

#[cfg(test)]
mod tests;
