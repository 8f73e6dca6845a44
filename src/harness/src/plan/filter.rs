//! `--filter 'model=unet|dyglnet,dataset=kvasir*,seed=42'`.
//!
//! Comma = and, bar = or, a repeated flag = union, `*` stands for any text. A model
//! or dataset matches by its name (then every variant matches) or in full
//! (`dyglnet,upsample=bilinear`); a dataset by the one asked for or the one used.
//! Options contain commas too: a piece whose key is none of model, dataset and seed
//! belongs to the name before it.

use std::collections::BTreeSet;

use super::cell::Cell;
use super::expand::{Plan, PlannedCell};
use crate::spec::diagnostic::nearest;
use crate::spec::name::Named;
use crate::spec::source::At;
use crate::spec::{DatasetChoice, Diagnostic, Diagnostics, Origin, network};

/// What a clause looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Model,
    Dataset,
    Seed,
}

impl Field {
    const ALL: [Field; 3] = [Field::Model, Field::Dataset, Field::Seed];

    fn name(self) -> &'static str {
        match self {
            Field::Model => "model",
            Field::Dataset => "dataset",
            Field::Seed => "seed",
        }
    }

    /// The texts of a cell that a pattern may match.
    fn texts(self, cell: NamesOf<'_>) -> Vec<String> {
        let names = |named: &Named| [named.name.clone(), named.to_string()];
        let mut texts = match self {
            Field::Model => names(cell.model).to_vec(),
            Field::Dataset => [names(cell.dataset), names(cell.asked)].concat(),
            Field::Seed => vec![cell.seed.to_string()],
        };
        texts.dedup();
        texts
    }
}

/// What filters look at: of a cell of a plan, or of one that a file names.
#[derive(Debug, Clone, Copy)]
pub struct NamesOf<'a> {
    pub model: &'a Named,
    pub dataset: &'a Named,
    /// The dataset that was asked for, where another stands in its place.
    pub asked: &'a Named,
    pub seed: u64,
}

impl<'a> From<&'a Cell> for NamesOf<'a> {
    fn from(cell: &'a Cell) -> Self {
        Self { model: &cell.model, dataset: &cell.dataset, asked: &cell.asked, seed: cell.seed }
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Clause {
    field: Field,
    /// Any of these.
    patterns: Vec<String>,
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
    pub cells: Vec<PlannedCell>,
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

    pub fn matches<'a>(&self, cell: impl Into<NamesOf<'a>>) -> bool {
        let cell = cell.into();
        let clause_matches = |clause: &Clause| {
            let texts = clause.field.texts(cell);
            clause.patterns.iter().any(|pattern| texts.iter().any(|text| glob(pattern, text)))
        };
        self.flags.is_empty() || self.flags.iter().any(|clauses| clauses.iter().all(clause_matches))
    }

    /// Whether a dataset of a table without cells is kept: of each flag only
    /// what it says of datasets counts.
    pub fn keeps_dataset(&self, choice: &DatasetChoice) -> bool {
        let names =
            [&choice.asked, &choice.used].map(|named| [named.name.clone(), named.to_string()]).concat();
        let matches = |clause: &Clause| {
            clause.field != Field::Dataset
                || clause.patterns.iter().any(|pattern| names.iter().any(|name| glob(pattern, name)))
        };
        self.flags.is_empty() || self.flags.iter().any(|clauses| clauses.iter().all(matches))
    }

    /// The cells that match, in the order of the plan.
    pub fn apply(&self, plan: &Plan) -> Selected {
        let cells = plan.cells.iter().filter(|planned| self.matches(&planned.cell)).cloned().collect();
        Selected { cells, notes: self.notes(plan) }
    }

    /// A word on each pattern that matches no value of its axis.
    fn notes(&self, plan: &Plan) -> Vec<String> {
        let mut notes = Vec::new();
        for field in Field::ALL {
            let clauses = self.flags.iter().flatten().filter(|clause| clause.field == field);
            let patterns: Vec<&String> = clauses.flat_map(|clause| &clause.patterns).collect();
            if patterns.is_empty() {
                continue;
            }
            let texts: BTreeSet<String> =
                plan.cells.iter().flat_map(|planned| field.texts((&planned.cell).into())).collect();
            for pattern in patterns {
                if texts.iter().any(|text| glob(pattern, text)) {
                    continue;
                }
                let hint = match nearest(pattern, texts.iter().map(String::as_str)) {
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
    let mut start = 0;
    for piece in argument.split(',') {
        let at = At::new(source, start..start + piece.len());
        start += piece.len() + 1;
        let Some((key, value)) = piece.split_once('=') else {
            found.push(
                Diagnostic::new(at, format!("`{}` is not of the form field=value", piece.trim()))
                    .help("for example --filter 'model=unet|dyglnet,dataset=kvasir*'"),
            );
            continue;
        };
        let (key, value) = (key.trim(), value.trim());
        if let Some(field) = Field::ALL.into_iter().find(|field| field.name() == key) {
            raw.push((field, value.to_owned(), at));
            continue;
        }
        match raw.last_mut() {
            Some((field, text, whole)) if continues(*field, key) => {
                text.push_str(&format!(",{key}={value}"));
                whole.end = at.end;
            }
            _ => found.push(Diagnostic::new(at, format!("a cell has no field `{key}`")).suggest(
                key,
                Field::ALL.map(Field::name),
                "fields",
            )),
        }
    }
    let mut clauses = Vec::new();
    for (field, text, at) in raw {
        let patterns: Vec<String> = text.split('|').map(|pattern| canonical(field, pattern.trim())).collect();
        if patterns.iter().any(String::is_empty) {
            found.push(
                Diagnostic::new(at, format!("`{}` has an empty value", field.name()))
                    .help("`*` matches every value"),
            );
            continue;
        }
        clauses.push(Clause { field, patterns });
    }
    clauses
}

/// Whether `key` is an option of the name before it rather than a misspelt field.
fn continues(field: Field, key: &str) -> bool {
    match field {
        Field::Model => network::NETWORKS.iter().flat_map(|n| n.options).any(|option| option.name == key),
        // The options of datasets are not known here.
        Field::Dataset => Field::ALL.iter().all(|field| strsim::levenshtein(field.name(), key) > 2),
        Field::Seed => false,
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
mod tests {
    use super::*;
    use crate::spec::testing::experiment;
    use crate::testing::draws;

    fn filter(flags: &[&str]) -> Filter {
        let flags: Vec<String> = flags.iter().map(ToString::to_string).collect();
        Filter::parse(&flags).expect("well formed")
    }

    fn selected(flags: &[&str]) -> Vec<String> {
        let plan = Plan::expand(&experiment("table2", Some("smoke"), &["model=unet,dyglnet", "seed=42,43"]));
        filter(flags)
            .apply(&plan)
            .cells
            .iter()
            .map(|p| format!("{} {} {}", p.cell.model, p.cell.asked, p.cell.seed))
            .collect()
    }

    #[test]
    fn comma_is_and_bar_is_or_repetition_is_union() {
        assert_eq!(selected(&[]).len(), 8);
        assert_eq!(selected(&["model=unet|dyglnet,seed=42"]).len(), 4);
        assert_eq!(selected(&["model=unet,dataset=kvasir*,seed=42"]), ["unet kvasir-seg 42"]);
        assert_eq!(selected(&["model=unet,seed=42", "model=dyglnet,seed=43"]).len(), 4);
        assert_eq!(selected(&["dataset=phantom-*"]).len(), 8);
        assert_eq!(selected(&["dataset=phantom-polyp,count=40,size=64,seed=2", "model=x*"]).len(), 0);
    }

    #[test]
    fn a_seed_after_a_dataset_is_the_cells_seed() {
        assert_eq!(selected(&["dataset=*seg,seed=43"]).len(), 2);
    }

    #[test]
    fn variants_match_by_name_and_in_full() {
        let plan = Plan::expand(&experiment("table2", None, &["model=unet,unet,variant=table-exact"]));
        let count = |flag: &str| filter(&[flag]).apply(&plan).cells.len();
        assert_eq!(count("model=unet"), 4);
        assert_eq!(count("model=unet,variant=table-exact"), 2);
        assert_eq!(count("model=dyglnet|unet,variant=table-exact,dataset=kvasir-seg"), 1);
    }

    #[test]
    fn a_pattern_that_matches_nothing_is_worth_a_word() {
        let plan = Plan::expand(&experiment("table2", None, &["model=unet,dyglnet"]));
        let selected = filter(&["model=dyglnett"]).apply(&plan);
        assert_eq!(selected.notes, ["no cell has model `dyglnett`: did you mean `dyglnet`?"]);
        assert!(selected.cells.is_empty());
        let both = filter(&["model=unet|zzz"]).apply(&plan);
        assert_eq!(both.notes, ["no cell has model `zzz`: there are dyglnet, unet"]);
        assert_eq!(both.cells.len(), 2);
    }

    #[test]
    fn every_mistake_of_a_filter_is_shown() {
        let flags = ["mdoel=unet,seed".to_owned(), "model=|unet".to_owned()];
        let diagnostics = Filter::parse(&flags).expect_err("three mistakes");
        let messages: Vec<&str> = diagnostics.list.iter().map(|d| d.message.as_str()).collect();
        assert_eq!(
            messages,
            [
                "a cell has no field `mdoel`",
                "`seed` is not of the form field=value",
                "`model` has an empty value"
            ]
        );
        assert_eq!(diagnostics.list[0].help, ["did you mean `model`?"]);
    }

    proptest::proptest! {
        #![proptest_config(draws(256))]

        #[test]
        fn no_text_breaks_a_filter(text in "[model=|,*\\PC]{0,24}") {
            match Filter::parse(&[text]) {
                Ok(filter) => drop(filter.apply(&Plan::default())),
                Err(diagnostics) => proptest::prop_assert!(diagnostics.render(false).contains("mistake")),
            }
        }
    }

    #[test]
    fn globs() {
        for (pattern, text) in
            [("*", ""), ("a*c", "abc"), ("a*b*c", "a1b2b3c"), ("abc", "abc"), ("*-seg", "x-seg")]
        {
            assert!(glob(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a*a", "a"), ("ab", "abc"), ("", "a"), ("a*d", "abc"), ("*b", "abc")] {
            assert!(!glob(pattern, text), "{pattern} {text}");
        }
    }
}
