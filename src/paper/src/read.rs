//! `claims.toml` -> [`Claims`](super::Claims): every mistake at once, each with its place.

use dygl_spec::diagnostic::Diagnostic;
use dygl_spec::fields::Fields;
use dygl_spec::kind::wrong_type;
use dygl_spec::name::Named;
use dygl_spec::reported::Reported;
use dygl_spec::source::{At, SourceMap};
use dygl_spec::tree::{Node, Value as Tree};

use super::predicate::{Check, Claim, Names, Predicate};
use super::row::Row;

/// The words that a claim may use, from the printed numbers.
pub(super) struct Known {
    models: Vec<String>,
    datasets: Vec<String>,
    pub groups: Vec<String>,
    metrics: Vec<String>,
}

impl Known {
    pub fn of(reported: &Reported) -> Self {
        let mut known =
            Self { models: Vec::new(), datasets: Vec::new(), groups: Vec::new(), metrics: Vec::new() };
        let add = |list: &mut Vec<String>, word: &str| {
            if !list.iter().any(|known| known == word) {
                list.push(word.to_owned());
            }
        };
        for model in &reported.models {
            add(&mut known.models, &model.id.to_string());
            model.also.iter().for_each(|also| add(&mut known.models, &also.to_string()));
            add(&mut known.groups, &model.group);
        }
        reported.datasets.iter().for_each(|dataset| add(&mut known.datasets, &dataset.id));
        for value in reported.iter() {
            add(&mut known.datasets, value.dataset);
            add(&mut known.metrics, value.metric);
        }
        known
    }
}

/// What a word may be.
#[derive(Clone, Copy)]
pub(super) enum Word {
    Model,
    Rival,
    Dataset,
    Group,
    Metric,
    /// A metric, printed or not.
    Free,
}

/// The parts of a file.
pub(super) struct File {
    pub title: String,
    pub selection: Option<String>,
    pub claims: Vec<Claim>,
    pub names: Vec<Names>,
}

pub(super) struct Reader<'k> {
    pub known: &'k Known,
    pub found: Vec<Diagnostic>,
}

impl Reader<'_> {
    pub fn file(&mut self, sources: &SourceMap, source: usize) -> Option<File> {
        let node = dygl_spec::tree::parse(sources, source, &mut self.found)?;
        let mut top = Fields::new("", &node, &mut self.found);
        let paper = top.require("paper", "start with [paper] title", &mut self.found);
        let claims = top.get("claim");
        let names = top.get("names");
        top.finish(&mut self.found);
        let (title, selection) = paper.map(|entry| self.paper(&entry.node)).unwrap_or_default();
        let mut file = File { title, selection, claims: Vec::new(), names: Vec::new() };
        let mut places: Vec<At> = Vec::new();
        for node in self.tables("claim", claims.map(|entry| &entry.node)) {
            let Some((claim, at)) = self.claim(node) else { continue };
            if let Some(first) = file.claims.iter().position(|other| other.id == claim.id) {
                self.found.push(
                    Diagnostic::new(at, format!("two claims have the id `{}`", claim.id))
                        .label("again")
                        .related(places[first], "first here")
                        .help("give one of them another id"),
                );
            }
            places.push(at);
            file.claims.push(claim);
        }
        for node in self.tables("names", names.map(|entry| &entry.node)) {
            file.names.extend(self.names(node));
        }
        Some(file)
    }

    /// The items of an array of tables.
    fn tables<'n>(&mut self, path: &str, node: Option<&'n Node>) -> &'n [Node] {
        match node.map(|node| (node, &node.value)) {
            None => &[],
            Some((_, Tree::List(items))) => items,
            Some((node, _)) => {
                self.found.push(wrong_type(path, node, &format!("a list of tables: write [[{path}]]")));
                &[]
            }
        }
    }

    fn paper(&mut self, node: &Node) -> (String, Option<String>) {
        let mut fields = Fields::new("paper", node, &mut self.found);
        let title = fields.text("title", "add title = \"...\"", &mut self.found);
        let selection = fields.get("selection");
        fields.finish(&mut self.found);
        let selection = selection.and_then(|entry| self.text("paper.selection", &entry.node));
        (title.map(|(text, _)| text).unwrap_or_default(), selection)
    }

    fn claim(&mut self, node: &Node) -> Option<(Claim, At)> {
        let mut fields = Fields::new("claim", node, &mut self.found);
        let id = fields.text("id", "add id = \"...\": a short name for the sentence", &mut self.found);
        let section = fields.text("section", "add section = \"4.2\"", &mut self.found);
        let quote = fields.text("quote", "add quote = \"...\": the sentence as printed", &mut self.found);
        let checks = fields.require("check", "add check = [{ says = \"value\", ... }]", &mut self.found);
        fields.finish(&mut self.found);
        let checks: Vec<Check> = self
            .tables("claim.check", checks.map(|entry| &entry.node))
            .iter()
            .filter_map(|node| self.check(node))
            .collect();
        let (id, at) = id?;
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if id.is_empty() || !id.chars().all(fits) {
            self.found.push(
                Diagnostic::new(at, format!("`{id}` cannot name a claim"))
                    .help("use small letters, digits and `-`"),
            );
        }
        Some((Claim { id, section: section?.0, quote: quote?.0, checks }, at))
    }

    fn check(&mut self, node: &Node) -> Option<Check> {
        let mut fields = Fields::new("check", node, &mut self.found);
        let (says, at) = fields.text("says", "say what kind of check it is", &mut self.found)?;
        if !Predicate::WORDS.contains(&says.as_str()) {
            self.found.push(Diagnostic::new(at, format!("no check says `{says}`")).suggest(
                &says,
                Predicate::WORDS,
                "checks",
            ));
            return None;
        }
        let mut row = Row { reader: self, fields, at: node.at };
        let predicate = row.predicate(&says);
        let fields = row.fields;
        fields.finish(&mut self.found);
        Some(Check { predicate: predicate?, at: node.at })
    }

    fn names(&mut self, node: &Node) -> Option<Names> {
        let mut fields = Fields::new("names", node, &mut self.found);
        let place = fields.text("place", "add place = \"Table 2\"", &mut self.found);
        let mut forms = Vec::new();
        for (key, what, word) in [
            ("datasets", "dataset", Word::Dataset),
            ("models", "network", Word::Model),
            ("metrics", "metric", Word::Metric),
            ("terms", "term", Word::Free),
        ] {
            let Some(entry) = fields.get(key) else { continue };
            let path = format!("names.{key}");
            let Some(entries) = entry.node.entries() else {
                self.found.push(wrong_type(&path, &entry.node, "a table of ids and spellings"));
                continue;
            };
            for form in entries {
                let id = self.known(&form.key, form.key_at, word);
                let spelling = self.text(&path, &form.node);
                forms.extend(id.zip(spelling).map(|(id, spelling)| (what, id, spelling)));
            }
        }
        fields.finish(&mut self.found);
        Some(Names { place: place?.0, forms })
    }

    pub fn text(&mut self, path: &str, node: &Node) -> Option<String> {
        match &node.value {
            Tree::Text(text) => Some(text.clone()),
            _ => {
                self.found.push(wrong_type(path, node, "a text"));
                None
            }
        }
    }

    /// A word if it is known; else says what may have been meant.
    pub fn known(&mut self, text: &str, at: At, word: Word) -> Option<String> {
        let known = self.known;
        let (kind, plural, lists): (_, _, Vec<&Vec<String>>) = match word {
            Word::Free => return Some(text.to_owned()),
            Word::Model => ("network", "networks", vec![&known.models]),
            Word::Rival => ("network or group", "networks and groups", vec![&known.models, &known.groups]),
            Word::Dataset => ("dataset", "datasets", vec![&known.datasets]),
            Word::Group => ("group", "groups", vec![&known.groups]),
            Word::Metric => ("metric", "metrics", vec![&known.metrics]),
        };
        let canonical = match word {
            Word::Model | Word::Rival => {
                Named::parse(text).map_or_else(|_| text.to_owned(), |named| named.to_string())
            }
            _ => text.to_owned(),
        };
        if lists.iter().any(|list| list.contains(&canonical)) {
            return Some(canonical);
        }
        self.found.push(Diagnostic::new(at, format!("the printed numbers know no {kind} `{text}`")).suggest(
            text,
            lists.into_iter().flatten(),
            plural,
        ));
        None
    }
}
