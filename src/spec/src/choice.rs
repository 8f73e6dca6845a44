//! Reading the name of a network or dataset with its options from TOML.
//!
//! Two spellings mean the same: the text `"dyglnet,upsample=bilinear"` and the
//! table `{ name = "dyglnet", upsample = "bilinear", label = "w BiIn" }`, where
//! `label` (networks only) is the row's name in tables. `pretrained` (likewise)
//! is what the weights start from: see [`pretrained`].

use std::collections::BTreeMap;

use super::diagnostic::Diagnostic;
use super::kind::wrong_type;
use super::name::{NameError, Named};
use super::network::{self, Network, NetworkError};
use super::pretrained::{self, Start};
use super::protocol::{Part, Split};
use super::source::At;
use super::tree::{Node, Value};

/// The datasets as the loader needs to know them. The data room provides it.
pub trait DatasetNames {
    /// The canonical form: defaults left out, options checked.
    fn resolve(&self, named: &Named) -> Result<Named, DatasetProblem>;

    /// Every id, for suggestions.
    fn known_ids(&self) -> Vec<String>;

    /// Whether a division is known to leave a part without images. Where that cannot be
    /// known yet, as of a dataset that is not there, it is not.
    fn lacks_part(&self, dataset: &Named, split: &Split, part: Part) -> bool;
}

/// Why a dataset's name or options are refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetProblem {
    /// For people, complete: "unknown dataset `kvasir`".
    pub message: String,
    /// The word at fault: the name, an option's name or its value.
    pub word: String,
    /// What could stand in its place.
    pub candidates: Vec<String>,
}

/// A name as it was written.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub(super) named: Named,
    pub(super) at: At,
    pub(super) label: Option<String>,
    /// Of a model: what it starts from, if the entry says so.
    pub(super) start: Option<Start>,
    /// Where the table spelling puts the name and each option's key and value.
    places: BTreeMap<String, At>,
}

impl Written {
    /// The place of a word of the name; the whole name if it is not known.
    fn place(&self, word: &str) -> At {
        self.places.get(word).copied().unwrap_or(self.at)
    }
}

/// Reads either spelling.
pub(super) fn read(path: &str, node: &Node, found: &mut Vec<Diagnostic>) -> Option<Written> {
    match &node.value {
        Value::Text(text) => match Named::parse(text) {
            Ok(named) => {
                Some(Written { named, at: node.at, label: None, start: None, places: BTreeMap::new() })
            }
            Err(error) => {
                found.push(malformed(node.at, path, &error));
                None
            }
        },
        Value::Table(entries) => {
            let mut name = None;
            let mut label = None;
            let mut start = None;
            let mut options = BTreeMap::new();
            let mut places = BTreeMap::new();
            let mut sound = true;
            for entry in entries {
                if path == "model" && entry.key == "pretrained" {
                    start = pretrained::read_entry(&entry.node, found);
                    sound &= start.is_some();
                    continue;
                }
                let value = match &entry.node.value {
                    Value::Text(text) => text.trim().to_owned(),
                    Value::Integer(i) => i.to_string(),
                    Value::Number(x) => x.to_string(),
                    Value::Flag(flag) => flag.to_string(),
                    _ => {
                        found.push(wrong_type(
                            &format!("{path}.{}", entry.key),
                            &entry.node,
                            "a text or a number",
                        ));
                        sound = false;
                        continue;
                    }
                };
                if value.is_empty() {
                    found.push(
                        Diagnostic::new(entry.node.at, format!("`{}` is empty", entry.key))
                            .label("no text")
                            .help(format!("write a text, or leave `{}` out", entry.key)),
                    );
                    sound = false;
                    continue;
                }
                if value.contains([',', '=']) && entry.key != "label" {
                    found.push(
                        Diagnostic::new(
                            entry.node.at,
                            format!("`{}` must be a word without `,` and `=`", entry.key),
                        )
                        .label("not a word"),
                    );
                    sound = false;
                    continue;
                }
                match entry.key.as_str() {
                    "name" => {
                        places.insert(value.clone(), entry.node.at);
                        name = Some(value);
                    }
                    "label" => label = Some(value),
                    key => {
                        places.insert(key.to_owned(), entry.key_at);
                        places.insert(value.clone(), entry.node.at);
                        options.insert(key.to_owned(), value);
                    }
                }
            }
            if name.is_none() && sound {
                found.push(
                    Diagnostic::new(node.at, format!("an entry of `{path}` lacks `name`"))
                        .help("write { name = \"NAME\", option = \"value\" }"),
                );
            }
            let named = Named { name: name?, options };
            sound.then_some(Written { named, at: node.at, label, start, places })
        }
        _ => {
            found.push(wrong_type(
                &format!("each entry of {path}"),
                node,
                "a text `NAME,option=value` or a table { name = \"NAME\", option = \"value\" }",
            ));
            None
        }
    }
}

fn malformed(at: At, path: &str, error: &NameError) -> Diagnostic {
    let diagnostic = Diagnostic::new(at, format!("not a name for `{path}`: {error}"));
    match error {
        NameError::NotAnOption(_) => {
            diagnostic.help("write NAME or NAME,option=value; further names are further entries of the list")
        }
        _ => diagnostic.help("write NAME or NAME,option=value"),
    }
}

/// Checks a network's name and options.
pub(super) fn resolve_network(
    written: &Written,
    found: &mut Vec<Diagnostic>,
) -> Option<(&'static Network, Named)> {
    let error = match network::resolve(&written.named) {
        Ok(resolved) => return Some(resolved),
        Err(error) => error,
    };
    let (word, kind) = match &error {
        NetworkError::Unknown(name) => (name, "networks"),
        NetworkError::UnknownOption { option, .. } => (option, "options"),
        NetworkError::UnknownValue { value, .. } => (value, "values"),
    };
    let mut diagnostic = Diagnostic::new(written.place(word), error.to_string());
    if matches!(&error, NetworkError::UnknownOption { .. }) && error.candidates().is_empty() {
        diagnostic = diagnostic.help(format!("`{}` has no options", written.named.name));
    }
    found.push(diagnostic.suggest(word, error.candidates(), kind));
    None
}

/// Checks a dataset's name and options.
pub(super) fn resolve_dataset(
    written: &Written,
    datasets: &dyn DatasetNames,
    found: &mut Vec<Diagnostic>,
) -> Option<Named> {
    match datasets.resolve(&written.named) {
        Ok(named) => Some(named),
        Err(problem) => {
            let said = problem.message.contains("did you mean");
            let mut diagnostic = Diagnostic::new(written.place(&problem.word), problem.message);
            if !said {
                diagnostic = diagnostic.suggest(&problem.word, &problem.candidates, "known");
            }
            found.push(diagnostic);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::Origin;
    use super::super::tree::parse_text;
    use super::*;

    fn first(text: &str) -> (Option<Written>, Vec<Diagnostic>) {
        let (node, _) = parse_text(text, Origin::Argument("test")).expect("valid");
        let mut found = Vec::new();
        let entry = &node.entries().expect("table")[0];
        let written = read("matrix.model", &entry.node, &mut found);
        (written, found)
    }

    #[test]
    fn both_spellings_mean_the_same() {
        let (text, found) = first("m = 'unet,variant=table-exact'");
        assert_eq!(found, []);
        let (table, found) = first("m = { name = 'unet', variant = 'table-exact', label = 'U, exact' }");
        assert_eq!(found, []);
        let (text, table) = (text.expect("read"), table.expect("read"));
        assert_eq!(text.named, table.named);
        assert_eq!(table.label.as_deref(), Some("U, exact"));
    }

    #[test]
    fn a_wrong_value_is_pointed_at() {
        let (written, _) = first("m = { name = 'unet', variant = 'tabel-exact' }");
        let mut found = Vec::new();
        assert!(resolve_network(&written.expect("read"), &mut found).is_none());
        assert_eq!(found[0].message, "option `variant` of `unet` has no value `tabel-exact`");
        assert_eq!(found[0].at.map(At::span), Some(31..44));
        assert_eq!(found[0].help, ["did you mean `table-exact`?"]);
    }

    #[test]
    fn entries_that_are_no_names_are_refused() {
        for text in ["m = 3", "m = ''", "m = 'a,b'", "m = { variant = 'x' }", "m = { name = ['x'] }"] {
            let (written, found) = first(text);
            assert!(written.is_none(), "{text}");
            assert_eq!(found.len(), 1, "{text}");
        }
    }
}
