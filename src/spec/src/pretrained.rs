//! Weights to start from: `[pretrained.NETWORK]`, and `pretrained` in an entry
//! of the models.
//!
//! A file of weights fits one network, so the tables are named by networks:
//!
//! ```toml
//! [pretrained.fat_net]             # every entry of that network in the matrix
//! file = "weights/fat_net.safetensors"
//! sha256 = "9f86d081..."
//!
//! [pretrained."dyglnet,norm=group"]  # only that entry; goes before the plain name
//! ```
//!
//! An entry of the matrix may say otherwise, so that one experiment can compare
//! with and without:
//!
//! ```toml
//! model = ["fat_net", { name = "fat_net", pretrained = "none", label = "FAT-Net (scratch)" }]
//! ```
//!
//! The digest is what counts: it is in the key and is checked before training.
//! The path only says where the file lies today.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::axes::RawMatrix;
use super::choice;
use super::diagnostic::Diagnostic;
use super::fields::Fields;
use super::kind::wrong_type;
use super::name::Named;
use super::tree::{Node, Value};

/// The word for no file, where a table would give one.
const NONE: &str = "none";

/// Weights to start from.
#[derive(Debug, Clone, Eq, Serialize, Deserialize)]
pub struct Pretrained {
    /// Safetensors under the reference's names; relative to the working directory.
    pub file: String,
    /// SHA-256 of the file, 64 hex digits.
    pub sha256: String,
}

/// Equal content is equal, wherever it lies.
impl PartialEq for Pretrained {
    fn eq(&self, other: &Self) -> bool {
        self.sha256 == other.sha256
    }
}

impl Pretrained {
    /// The first digits of the digest, for people.
    pub fn short(&self) -> &str {
        self.sha256.get(..12).unwrap_or(&self.sha256)
    }
}

/// What an entry of the models says of its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Start {
    None,
    From(Pretrained),
}

/// Reads the value of `pretrained` in an entry.
pub(super) fn read_entry(node: &Node, found: &mut Vec<Diagnostic>) -> Option<Start> {
    match &node.value {
        Value::Text(word) if word == NONE => Some(Start::None),
        Value::Table(_) => read_file("pretrained", node, found).map(Start::From),
        _ => {
            found.push(wrong_type(
                "pretrained",
                node,
                "{ file = \"FILE\", sha256 = \"DIGITS\" }, or \"none\"",
            ));
            None
        }
    }
}

/// Reads `[pretrained]`: a table for each network.
pub(super) fn read(table: &Node, raw: &RawMatrix, found: &mut Vec<Diagnostic>) -> Vec<(Named, Pretrained)> {
    let Some(entries) = table.entries() else {
        found.push(wrong_type("pretrained", table, "a table for each network"));
        return Vec::new();
    };
    let mut tables = Vec::new();
    for entry in entries {
        // As `file = "..."` right under `[pretrained]`: for which network?
        if entry.node.entries().is_none() && matches!(entry.key.as_str(), "file" | "sha256") {
            found.push(
                Diagnostic::new(
                    entry.key_at,
                    format!("`pretrained.{}` does not say for which network", entry.key),
                )
                .help("a file fits one network: write [pretrained.NETWORK]"),
            );
            continue;
        }
        let file = read_file(&format!("pretrained.{}", entry.key), &entry.node, found);
        let key = Node { at: entry.key_at, value: Value::Text(entry.key.clone()) };
        let written = choice::read("pretrained", &key, found);
        let Some((_, named)) = written.and_then(|written| choice::resolve_network(&written, found)) else {
            continue;
        };
        if !raw.models().any(|model| applies(&named, &model)) {
            let models: Vec<String> = raw.models().map(|model| model.to_string()).collect();
            found.push(
                Diagnostic::new(
                    entry.key_at,
                    format!("the matrix has no model `{named}` to start from these weights"),
                )
                .suggest(&named.to_string(), models, "models of the matrix"),
            );
            continue;
        }
        if tables.iter().any(|(other, _)| *other == named) {
            found.push(Diagnostic::new(entry.key_at, format!("`pretrained` is given twice for `{named}`")));
            continue;
        }
        if let Some(file) = file {
            tables.push((named, file));
        }
    }
    tables
}

/// Whether a table of that name is for a model.
fn applies(table: &Named, model: &Named) -> bool {
    table == model || (table.options.is_empty() && table.name == model.name)
}

/// The table for a model: its own with all options, else the network's.
pub(super) fn of_model<'a>(tables: &'a [(Named, Pretrained)], model: &Named) -> Option<&'a Pretrained> {
    let exact = tables.iter().find(|(named, _)| named == model);
    let found = exact.or_else(|| tables.iter().find(|(named, _)| applies(named, model)));
    found.map(|(_, file)| file)
}

fn read_file(path: &str, node: &Node, found: &mut Vec<Diagnostic>) -> Option<Pretrained> {
    let mut fields = Fields::new(path, node, found);
    let help = "`dygl model import` prints both lines";
    let file = fields.text("file", help, found);
    let sha256 = fields.text("sha256", help, found);
    fields.finish(found);
    if let Some((file, at)) = &file {
        let ending = Path::new(file).extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if ending != "safetensors" {
            found.push(
                Diagnostic::new(*at, format!("`{path}.file` must be a safetensors file"))
                    .label("under the reference's names")
                    .help(format!("convert it: dygl model import {file} --model NAME [--backbone NAME]")),
            );
        }
    }
    let (sha256, at) = sha256?;
    let sha256 = sha256.to_ascii_lowercase();
    if sha256.len() != 64 || !sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        found.push(
            Diagnostic::new(at, format!("`{path}.sha256` must be 64 hexadecimal digits"))
                .help("`dygl model import` prints it; so does sha256sum FILE"),
        );
        return None;
    }
    Some(Pretrained { file: file?.0, sha256 })
}

#[cfg(test)]
mod tests {
    use super::super::experiment::{Experiment, Mark};
    use super::super::testing::{load_text, load_with};
    use crate::plan::Plan;

    const ONE: &str = "1111111111111111111111111111111111111111111111111111111111111111";
    const TWO: &str = "2222222222222222222222222222222222222222222222222222222222222222";

    fn text(models: &str, tables: &str) -> String {
        format!(
            "{tables}\n[experiment]\nname='x'\ntitle='x'\nquestion='x'\n\
             [matrix]\nmodel={models}\ndataset=['ph2']\nseed=[1]\n"
        )
        .replace("ONE", ONE)
        .replace("TWO", TWO)
    }

    /// Model and first digit of the digest of each cell.
    fn starts(experiment: &Experiment) -> Vec<(String, String)> {
        let start = |cell: &crate::plan::Cell| match &cell.pretrained {
            Some(pretrained) => format!("{} {}", pretrained.file, &pretrained.sha256[..1]),
            None => "-".to_owned(),
        };
        Plan::expand(experiment).cells.iter().map(|p| (p.cell.model.to_string(), start(&p.cell))).collect()
    }

    fn messages(models: &str, tables: &str) -> Vec<String> {
        let diagnostics = load_text(&text(models, tables)).expect_err("refused");
        diagnostics.list.iter().map(|d| format!("{} {}", d.message, d.help.join(" "))).collect()
    }

    #[test]
    fn each_model_has_its_own_file() {
        let tables = "[pretrained.dyglnet]\nfile='w/d.safetensors'\nsha256='ONE'\n\
                      [pretrained.'dyglnet,norm=group']\nfile='/abs/g.safetensors'\nsha256='TWO'\n";
        let models = "['unet', 'dyglnet', 'dyglnet,norm=group', 'dyglnet,local=none']";
        let experiment = load_text(&text(models, tables)).expect("valid");
        let found = starts(&experiment);
        let expected = [
            ("unet", "-"),
            ("dyglnet", "experiments/w/d.safetensors 1"),
            ("dyglnet,norm=group", "/abs/g.safetensors 2"),
            ("dyglnet,local=none", "experiments/w/d.safetensors 1"),
        ];
        assert_eq!(found, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
        let departures: Vec<String> = experiment.departures.iter().map(ToString::to_string).collect();
        assert_eq!(experiment.departures[0].by, Mark::Experiment);
        assert!(departures[0].starts_with("pretrained.dyglnet = w/d.safetensors"), "{departures:?}");
    }

    #[test]
    fn an_entry_says_otherwise_and_the_command_line_keeps_the_tables() {
        let tables = "[pretrained.unet]\nfile='a.safetensors'\nsha256='ONE'\n";
        let models = "['unet', { name = 'unet', pretrained = 'none', label = 'scratch' }, \
                      { name = 'unet', pretrained = { file = 'b.safetensors', sha256 = 'TWO' }, label = 'b' }]";
        let found = starts(&load_text(&text(models, tables)).expect("valid"));
        let files: Vec<&str> = found.iter().map(|(_, start)| start.as_str()).collect();
        assert_eq!(files, ["experiments/a.safetensors 1", "-", "experiments/b.safetensors 2"]);
        let set = load_with(&text(models, tables), None, &["model=unet,dyglnet"]).expect("valid");
        assert_eq!(starts(&set)[0].1, "experiments/a.safetensors 1");
        assert_eq!(starts(&set)[1].1, "-");
    }

    #[test]
    fn rows_that_differ_only_in_their_start_need_labels() {
        let tables = "[pretrained.unet]\nfile='a.safetensors'\nsha256='ONE'\n";
        let found = messages("['unet', { name = 'unet', pretrained = 'none' }]", tables);
        assert!(found[0].contains("have the label `Unet`"), "{found:?}");
        // The same start twice is the same cells twice.
        let same = "['unet', { name = 'unet', pretrained = { file = 'b.safetensors', sha256 = 'ONE' }, label = 'b' }]";
        assert!(messages(same, tables)[0].contains("the same cells twice"));
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let tables = "[pretrained]\nfile='x.safetensors'\n\
                      [pretrained.dyglent]\nfile='a.safetensors'\nsha256='ONE'\n\
                      [pretrained.dyglnet]\nfile='a.safetensors'\nsha256='ONE'\n\
                      [pretrained.unet]\nfile='a.pth'\nsha='ONE'\n\
                      [pretrained.'unet,variant=table-exact']\nfile='a.safetensors'\nsha256='zz'\n";
        let models = "['unet', 'unet,variant=table-exact', { name = 'unet', pretrained = 3, label = 'x' }]";
        let found = messages(models, tables);
        for part in [
            "`pretrained.file` does not say for which network",
            "unknown network `dyglent` did you mean `dyglnet`?",
            "the matrix has no model `dyglnet`",
            "must be a safetensors file convert it: dygl model import a.pth",
            "lacks `sha256`",
            "unknown key `pretrained.unet.sha` did you mean `sha256`?",
            "must be 64 hexadecimal digits",
            "`pretrained` must be { file",
        ] {
            assert!(found.iter().any(|message| message.contains(part)), "{part}: {found:#?}");
        }
        assert_eq!(found.len(), 8, "{found:#?}");
        let dataset = text("['unet']", "").replace("['ph2']", "[{ name = 'ph2', pretrained = 'none' }]");
        assert!(load_text(&dataset).is_err());
    }
}
