//! `--set path=value`: one value overrides, several make or replace an axis.
//!
//! `path` is a setting of the protocol, `model`, `dataset`, `seed`, `zip` or `ops.KEY`.
//! Whole numbers take ranges, both ends among their values: `seed=1..5`, `1..9..2`.
//! `zip=a,b` lets axes advance together.
//! Commas outside brackets and quotes separate values. Options of a network or
//! dataset contain commas too: a piece with `=` belongs to the name before it, so
//! `model=unet,dyglnet,upsample=bilinear` means two models.

use serde_json::Value as Json;

use super::diagnostic::Diagnostic;
use super::kind::Kind;
use super::project;
use super::schema::{self, Setting};
use super::source::{At, Origin, SourceMap};
use super::tree::{self, Node, Value};

/// One `--set`, cut into its pieces.
#[derive(Debug, Clone)]
pub(super) struct Set {
    pub(super) path: String,
    pub(super) path_at: At,
    /// At least one.
    pub(super) pieces: Vec<Piece>,
    /// Everything after the `=`.
    pub(super) values_at: At,
}

/// One value, unread: its type depends on the path.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) at: At,
}

impl Piece {
    /// The value as the kind reads it: bare words are texts where it takes texts.
    pub(super) fn node(&self, kind: &Kind) -> Node {
        let bare = Node { at: self.at, value: Value::Text(self.text.clone()) };
        match tree::parse_value(&self.text, self.at) {
            Some(node) if !kind.takes_text() || matches!(node.value, Value::Text(_) | Value::List(_)) => node,
            _ => bare,
        }
    }

    /// Makes a path that is meant from the working directory one that is meant from the
    /// project, as in files.
    fn anchor(&mut self) {
        if let Value::Text(path) = self.node(&Kind::Text).value {
            let named = project::name_of(&path);
            if named != path {
                self.text = named;
            }
        }
    }

    /// The value as a name, in either spelling.
    pub(super) fn name(&self) -> Node {
        match tree::parse_value(&self.text, self.at) {
            Some(node) if node.entries().is_some() => node,
            _ => self.node(&Kind::Text),
        }
    }
}

/// Cuts every argument; broken ones become diagnostics.
pub(super) fn read(arguments: &[String], sources: &mut SourceMap, found: &mut Vec<Diagnostic>) -> Vec<Set> {
    let mut sets = Vec::new();
    for argument in arguments {
        let source = sources.add(Origin::Argument("--set"), argument.as_str());
        match cut(argument, source) {
            Ok(mut set) => {
                if let Some(mistake) = list_without_brackets(&set) {
                    found.push(mistake);
                    continue;
                }
                if set.path == "split.file" {
                    set.pieces.iter_mut().for_each(Piece::anchor);
                }
                sets.push(set);
            }
            Err(diagnostic) => found.push(diagnostic),
        }
    }
    sets
}

/// `optimizer.betas=0.9,0.99` gives two values where one list is meant.
fn list_without_brackets(set: &Set) -> Option<Diagnostic> {
    let kind = &schema::setting(&set.path)?.kind;
    let takes_list = matches!(kind, Kind::Numbers { .. } | Kind::Bounds(_));
    let texts: Vec<&str> = set.pieces.iter().map(|piece| piece.text.as_str()).collect();
    let is_list = texts.len() > 1 && texts.iter().all(|text| text.parse::<f64>().is_ok());
    (takes_list && is_list).then(|| {
        Diagnostic::new(set.values_at, format!("`{}` must be {}", set.path, kind.words()))
            .label("these are several values, which would be an axis")
            .help(format!("a list stands in brackets: --set {}=[{}]", set.path, texts.join(",")))
    })
}

fn cut(argument: &str, source: usize) -> Result<Set, Diagnostic> {
    let whole = At::new(source, 0..argument.len());
    let Some(equals) = argument.find('=') else {
        return Err(Diagnostic::new(whole, "--set needs the form path=value")
            .label("there is no `=`")
            .help("for example --set train.epochs=6, or --set model=unet,dyglnet"));
    };
    let path_at = trimmed(argument, source, 0, equals);
    let path = argument[path_at.span()].to_owned();
    if path.is_empty() {
        return Err(Diagnostic::new(whole, "--set needs the form path=value").label("the path is empty"));
    }
    let named = matches!(path.as_str(), "model" | "dataset");
    let mut pieces: Vec<Piece> = Vec::new();
    for (start, end) in split(argument, equals + 1) {
        let at = trimmed(argument, source, start, end);
        let text = &argument[at.span()];
        if text.is_empty() {
            return Err(Diagnostic::new(
                At::new(source, start..end),
                format!("--set {path}: a value is empty"),
            )
            .help(format!("write {path}=VALUE, or {path}=VALUE,VALUE for an axis")));
        }
        match pieces.last_mut() {
            Some(last) if named && text.contains('=') && !text.starts_with(['{', '"', '\'']) => {
                last.text = format!("{},{text}", last.text);
                last.at.end = at.end;
            }
            _ => pieces.push(Piece { text: text.to_owned(), at }),
        }
    }
    Ok(Set { path, path_at, pieces, values_at: At::new(source, equals + 1..argument.len()) })
}

/// A value of a setting as an argument spells it, in canonical form.
///
/// # Errors
/// The setting cannot have it.
pub fn value(setting: &Setting, text: &str, at: At) -> Result<Json, Diagnostic> {
    let piece = Piece { text: text.to_owned(), at };
    setting.kind.check(setting.path, &piece.node(&setting.kind))
}

/// The spans between commas that stand outside brackets and quotes.
pub fn split(text: &str, from: usize) -> Vec<(usize, usize)> {
    let mut spans = Vec::new();
    let (mut start, mut depth, mut quote) = (from, 0_usize, None);
    for (i, c) in text.char_indices().filter(|(i, _)| *i >= from) {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 => {
                spans.push((start, i));
                start = i + 1;
            }
            _ => {}
        }
    }
    spans.push((start, text.len()));
    spans
}

/// The span without the blanks around it.
fn trimmed(text: &str, source: usize, start: usize, end: usize) -> At {
    let part = &text[start..end];
    let left = start + (part.len() - part.trim_start().len());
    At::new(source, left..left + part.trim().len())
}

#[cfg(test)]
mod tests {
    use super::super::kind::Range;
    use super::*;

    #[test]
    fn a_list_without_brackets_is_told_with_its_spelling() {
        let mut found = Vec::new();
        let arguments = ["optimizer.betas=0.9,0.99", "augment.crop.scale=0.5,1", "loss.lambda=0.3,0.5"];
        let sets = read(&arguments.map(str::to_owned), &mut SourceMap::default(), &mut found);
        assert_eq!((sets.len(), found.len()), (1, 2));
        assert_eq!(found[0].message, "`optimizer.betas` must be a list of 2 numbers");
        assert_eq!(found[0].help, ["a list stands in brackets: --set optimizer.betas=[0.9,0.99]"]);
        assert!(found[1].help[0].ends_with("augment.crop.scale=[0.5,1]"));
    }

    fn pieces(argument: &str) -> Vec<String> {
        cut(argument, 0).expect("well formed").pieces.into_iter().map(|p| p.text).collect()
    }

    #[test]
    fn commas_separate_values_but_not_options_or_lists() {
        assert_eq!(pieces("model=unet,dyglnet"), ["unet", "dyglnet"]);
        assert_eq!(
            pieces("model=unet,dyglnet,upsample=bilinear,norm=group,unet"),
            ["unet", "dyglnet,upsample=bilinear,norm=group", "unet"]
        );
        assert_eq!(pieces("augment.crop.scale=[0.5, 1.0],[0.7,1.0]"), ["[0.5, 1.0]", "[0.7,1.0]"]);
        assert_eq!(pieces("ops.data='a,b'"), ["'a,b'"]);
        assert_eq!(pieces(" loss.lambda = 0.3 , 0.5"), ["0.3", "0.5"]);
    }

    #[test]
    fn broken_arguments_are_refused() {
        for argument in ["", "train.epochs", "=3", "seed=", "seed=1,,2"] {
            assert!(cut(argument, 0).is_err(), "{argument}");
        }
    }

    #[test]
    fn bare_words_are_texts_where_texts_belong() {
        let piece = |text: &str| Piece { text: text.into(), at: At::new(0, 0..text.len()) };
        assert_eq!(piece("batch").node(&Kind::Text).value, Value::Text("batch".into()));
        assert_eq!(piece("12").node(&Kind::Text).value, Value::Text("12".into()));
        assert_eq!(piece("'12'").node(&Kind::Text).value, Value::Text("12".into()));
        assert_eq!(piece("12").node(&Kind::Number(Range::POSITIVE)).value, Value::Integer(12));
    }
}
