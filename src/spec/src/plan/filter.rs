//! `--filter 'model=unet|dyglnet,dataset=kvasir*,seed=42,optimizer.learning_rate=1e-3'`.
//!
//! Comma = and, bar = or, a repeated flag = union, `*` stands for any text. A model
//! or dataset matches by its name (then every variant matches) or in full
//! (`dyglnet,upsample=bilinear`); a dataset by the one asked for or the one used; a
//! setting of the protocol by its value, however that is spelt. Commas within brackets
//! and quotes belong to a value. Options contain commas too: a piece whose key is no
//! field of a cell belongs to the name before it.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value as Json;

use super::cell::Cell;
use super::expand::{Plan, PlannedCell};
use super::identity::Settings;
use crate::diagnostic::nearest;
use crate::experiment::plain;
use crate::name::Named;
use crate::protocol::Protocol;
use crate::schema::Setting;
use crate::source::At;
use crate::{DatasetChoice, Diagnostic, Diagnostics, Origin, network, schema, set};

/// What a clause looks at.
#[derive(Debug, Clone, Copy)]
enum Field {
    Model,
    Dataset,
    Seed,
    Setting(&'static Setting),
}

/// The fields that every cell has beside its settings.
const FIXED: [Field; 3] = [Field::Model, Field::Dataset, Field::Seed];

impl PartialEq for Field {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Field {
    fn find(name: &str) -> Option<Self> {
        let fixed = FIXED.into_iter().find(|field| field.name() == name);
        fixed.or_else(|| schema::setting(name).map(Field::Setting))
    }

    fn name(self) -> &'static str {
        match self {
            Field::Model => "model",
            Field::Dataset => "dataset",
            Field::Seed => "seed",
            Field::Setting(setting) => setting.path,
        }
    }

    /// The texts of a cell that a pattern may match.
    fn texts(self, cell: NamesOf<'_>) -> Vec<String> {
        let names = |named: &Named| [named.name.clone(), named.to_string()];
        let mut texts = match self {
            Field::Model => names(cell.model).to_vec(),
            Field::Dataset => [names(cell.dataset), names(cell.asked)].concat(),
            Field::Seed => vec![cell.seed.to_string()],
            Field::Setting(setting) => {
                cell.settings.get(setting).map(|value| plain(&value)).into_iter().collect()
            }
        };
        texts.dedup();
        texts
    }

    /// Whether a cell has what a pattern asks for.
    fn fits(self, pattern: &Pattern, cell: NamesOf<'_>) -> bool {
        match (self, pattern) {
            (Field::Setting(setting), Pattern::Value(wanted, _)) => {
                cell.settings.get(setting).is_some_and(|value| value == *wanted)
            }
            (_, Pattern::Text(text) | Pattern::Value(_, text)) => {
                self.texts(cell).iter().any(|found| glob(text, found))
            }
        }
    }
}

/// One of the values of a clause.
#[derive(Debug, Clone, PartialEq)]
enum Pattern {
    /// With `*` for any text.
    Text(String),
    /// A value of a setting, in canonical form and as it was written.
    Value(Json, String),
}

impl Pattern {
    fn text(&self) -> &str {
        match self {
            Pattern::Text(text) | Pattern::Value(_, text) => text,
        }
    }
}

/// What filters look at: of a cell of a plan, or of one that a file names.
#[derive(Debug, Clone, Copy)]
pub struct NamesOf<'a> {
    /// The network with its options.
    pub model: &'a Named,
    /// The dataset that is used.
    pub dataset: &'a Named,
    /// The dataset that was asked for, where another stands in its place.
    pub asked: &'a Named,
    /// Seed of the training.
    pub seed: u64,
    /// Where its settings are known from.
    pub settings: SettingsOf<'a>,
}

/// Where the settings of a cell are known from.
#[derive(Debug, Clone, Copy)]
pub enum SettingsOf<'a> {
    /// All of them stand in a protocol.
    Protocol(&'a Protocol),
    /// What differs from a protocol, with that protocol.
    Departures(&'a Settings, &'a Protocol),
    /// Nobody wrote them down: no value matches.
    Unknown,
}

impl SettingsOf<'_> {
    fn get(self, setting: &Setting) -> Option<Json> {
        match self {
            SettingsOf::Protocol(protocol) => Some(setting.value(protocol)),
            SettingsOf::Departures(settings, protocol) => {
                let own = settings.get(setting.path).cloned();
                Some(own.unwrap_or_else(|| setting.value(protocol)))
            }
            SettingsOf::Unknown => None,
        }
    }
}

impl<'a> From<&'a Cell> for NamesOf<'a> {
    fn from(cell: &'a Cell) -> Self {
        Self {
            model: &cell.model,
            dataset: &cell.dataset,
            asked: &cell.asked,
            seed: cell.seed,
            settings: SettingsOf::Protocol(&cell.protocol),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Clause {
    field: Field,
    /// Any of these.
    patterns: Vec<Pattern>,
}

/// All `--filter` flags; empty selects everything.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    /// Any of these, each a conjunction.
    flags: Vec<Vec<Clause>>,
}

/// What a filter left of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Selected {
    /// The cells that match, in the order of the plan.
    pub cells: Vec<Arc<PlannedCell>>,
    /// Patterns that match nothing, with a did-you-mean.
    pub notes: Vec<String>,
}

impl Filter {
    /// Reads all `--filter` arguments.
    ///
    /// # Errors
    /// Every mistake of every argument.
    pub fn parse(arguments: &[String]) -> Result<Self, Diagnostics> {
        let mut filter = Filter::default();
        let mut diagnostics = Diagnostics::default();
        for argument in arguments {
            let source = diagnostics.sources.add(Origin::Argument("--filter"), argument.as_str());
            let mut found = Vec::new();
            let clauses = read(argument, source, &mut found);
            if found.is_empty() {
                filter.flags.push(clauses);
            }
            diagnostics.list.append(&mut found);
        }
        if diagnostics.is_empty() { Ok(filter) } else { Err(diagnostics) }
    }

    /// Whether a cell is selected; without flags every one is.
    pub fn matches<'a>(&self, cell: impl Into<NamesOf<'a>>) -> bool {
        let cell = cell.into();
        let clause_matches =
            |clause: &Clause| clause.patterns.iter().any(|pattern| clause.field.fits(pattern, cell));
        self.flags.is_empty() || self.flags.iter().any(|clauses| clauses.iter().all(clause_matches))
    }

    /// Whether a dataset of a table without cells is kept: of each flag only
    /// what it says of datasets counts.
    pub fn keeps_dataset(&self, choice: &DatasetChoice) -> bool {
        self.keeps(choice, None)
    }

    /// The same of a dataset under a protocol: what a flag says of settings counts, too.
    pub fn keeps_division(&self, choice: &DatasetChoice, protocol: &Protocol) -> bool {
        self.keeps(choice, Some(protocol))
    }

    fn keeps(&self, choice: &DatasetChoice, protocol: Option<&Protocol>) -> bool {
        let nobody = Named::plain("");
        let cell = NamesOf {
            model: &nobody,
            dataset: &choice.used,
            asked: &choice.asked,
            seed: 0,
            settings: protocol.map_or(SettingsOf::Unknown, SettingsOf::Protocol),
        };
        let counts = |clause: &&Clause| match clause.field {
            Field::Dataset => true,
            Field::Setting(_) => protocol.is_some(),
            Field::Model | Field::Seed => false,
        };
        let matches =
            |clause: &Clause| clause.patterns.iter().any(|pattern| clause.field.fits(pattern, cell));
        self.flags.is_empty() || self.flags.iter().any(|clauses| clauses.iter().filter(counts).all(matches))
    }

    /// The cells that match, in the order of the plan.
    pub fn apply(&self, plan: &Plan) -> Selected {
        let cells = plan.cells.iter().filter(|planned| self.matches(&planned.cell)).cloned().collect();
        Selected { cells, notes: self.notes(plan) }
    }

    /// A word on each pattern that matches no value of its axis.
    fn notes(&self, plan: &Plan) -> Vec<String> {
        let mut notes = Vec::new();
        let mut asked: Vec<Field> = Vec::new();
        for clause in self.flags.iter().flatten() {
            if !asked.contains(&clause.field) {
                asked.push(clause.field);
            }
        }
        for field in asked {
            let clauses = self.flags.iter().flatten().filter(|clause| clause.field == field);
            let texts: BTreeSet<String> =
                plan.cells.iter().flat_map(|planned| field.texts((&planned.cell).into())).collect();
            for pattern in clauses.flat_map(|clause| &clause.patterns) {
                if plan.cells.iter().any(|planned| field.fits(pattern, (&planned.cell).into())) {
                    continue;
                }
                let pattern = pattern.text();
                let near = match field {
                    Field::Setting(_) => None,
                    _ => nearest(pattern, texts.iter().map(String::as_str)),
                };
                let hint = match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => {
                        let some: Vec<&str> = texts.iter().map(String::as_str).take(12).collect();
                        let rest = if texts.len() > some.len() { ", ..." } else { "" };
                        format!("there are {}{rest}", some.join(", "))
                    }
                };
                notes.push(format!("no cell has {} `{pattern}`: {hint}", field.name()));
            }
        }
        notes
    }
}

fn read(argument: &str, source: usize, found: &mut Vec<Diagnostic>) -> Vec<Clause> {
    let mut raw: Vec<(Field, String, At)> = Vec::new();
    for (start, end) in set::split(argument, 0) {
        let (at, piece) = (At::new(source, start..end), &argument[start..end]);
        let Some((key, value)) = piece.split_once('=') else {
            found.push(
                Diagnostic::new(at, format!("`{}` is not of the form field=value", piece.trim()))
                    .help("for example --filter 'model=unet|dyglnet,dataset=kvasir*,loss.lambda=0.3'"),
            );
            continue;
        };
        let (key, value) = (key.trim(), value.trim());
        if let Some(field) = Field::find(key) {
            raw.push((field, value.to_owned(), at));
            continue;
        }
        match raw.last_mut() {
            Some((field, text, whole)) if continues(*field, key) => {
                text.push_str(&format!(",{key}={value}"));
                whole.end = at.end;
            }
            _ => {
                let fields = FIXED.into_iter().map(Field::name).chain(schema::paths());
                found.push(
                    Diagnostic::new(at, format!("a cell has no field `{key}`"))
                        .label("neither model, dataset, seed nor a setting of the protocol")
                        .suggest(key, fields, "fields"),
                );
            }
        }
    }
    let mut clauses = Vec::new();
    for (field, text, at) in raw {
        let patterns: Vec<&str> = text.split('|').map(str::trim).collect();
        if patterns.iter().any(|pattern| pattern.is_empty()) {
            found.push(
                Diagnostic::new(at, format!("`{}` has an empty value", field.name()))
                    .help("`*` matches every value"),
            );
            continue;
        }
        let read = patterns.into_iter().filter_map(|text| pattern(field, text, at, found)).collect();
        clauses.push(Clause { field, patterns: read });
    }
    clauses
}

/// One pattern; a value that the setting cannot have is a mistake.
fn pattern(field: Field, text: &str, at: At, found: &mut Vec<Diagnostic>) -> Option<Pattern> {
    match field {
        Field::Setting(setting) if !text.contains('*') => {
            let value = set::value(setting, text, at).map_err(|mistake| found.push(mistake)).ok()?;
            Some(Pattern::Value(value, text.to_owned()))
        }
        Field::Setting(_) | Field::Seed => Some(Pattern::Text(text.to_owned())),
        Field::Model | Field::Dataset => Some(Pattern::Text(canonical(field, text))),
    }
}

/// Whether `key` is an option of the name before it rather than a misspelt field.
fn continues(field: Field, key: &str) -> bool {
    match field {
        Field::Model => network::NETWORKS.iter().flat_map(|n| n.options).any(|option| option.name == key),
        // The options of datasets are not known here; none has a dot.
        Field::Dataset => {
            !key.contains('.') && FIXED.iter().all(|field| strsim::levenshtein(field.name(), key) > 2)
        }
        Field::Seed | Field::Setting(_) => false,
    }
}

/// A full name in the form that cells hold; patterns and mere names stay as they are.
fn canonical(field: Field, pattern: &str) -> String {
    let named = match Named::parse(pattern) {
        Ok(named) if !named.options.is_empty() && !pattern.contains('*') => named,
        _ => return pattern.to_owned(),
    };
    match field {
        Field::Model => {
            network::resolve(&named).map_or_else(|_| named.to_string(), |(_, named)| named.to_string())
        }
        _ => named.to_string(),
    }
}

/// Whether `text` matches; `*` stands for any text, everything else for itself.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(i) => rest = &rest[i + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests;
