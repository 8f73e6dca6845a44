//! A copy of the paper that can be altered, and a small paper for the predicates.

mod paper;
mod planted;
mod predicates;

use dygl_spec::embedded;
use dygl_spec::ledger::{Counted, Ledger};
use dygl_spec::reported::Reported;
use dygl_spec::source::Origin;
use toml::{Table, Value};

use super::{Audit, Cell, Claims, Finding, Severity, audit, networks_to_count};

/// Numbers and sentences as documents.
#[derive(Clone)]
struct Copy {
    numbers: Table,
    sentences: Table,
}

/// What an audit takes from a ledger; `published` are parameters and operations.
fn ledger(model: &str, parameters: u64, published: [u64; 2], operations: u64) -> Ledger {
    let [counted, published] = published;
    Ledger {
        model: model.to_owned(),
        size: 224.into(),
        parameters,
        published: Counted { parameters: counted, operations: published },
        operations,
        ..Ledger::default()
    }
}

impl Copy {
    fn of(numbers: &str, sentences: &str) -> Self {
        Self {
            numbers: numbers.parse().expect("valid TOML"),
            sentences: sentences.parse().expect("valid TOML"),
        }
    }

    fn of_the_paper() -> Self {
        Self::of(embedded::REPORTED, embedded::CLAIMS)
    }

    fn reported(&self) -> Reported {
        Reported::parse(&toml::to_string(&self.numbers).expect("TOML")).expect("readable")
    }

    fn claims(&self, reported: &Reported) -> Claims {
        let text = toml::to_string(&self.sentences).expect("TOML");
        Claims::parse(Origin::Argument("test"), &text, reported)
            .unwrap_or_else(|mistakes| panic!("{mistakes}"))
    }

    fn audit(&self, costs: Option<&[Ledger]>) -> Audit {
        let reported = self.reported();
        audit(&self.claims(&reported), &reported, costs).unwrap_or_else(|mistakes| panic!("{mistakes}"))
    }

    /// The place of one printed number.
    fn number(&mut self, table: u8, dataset: &str, model: &str, metric: &str) -> &mut String {
        let block = tables(&mut self.numbers, "table")
            .find(|block| {
                block["number"].as_integer() == Some(i64::from(table))
                    && block["dataset"].as_str() == Some(dataset)
            })
            .expect("a block");
        let metrics = block["metrics"].as_array().expect("a list");
        let column = metrics.iter().position(|name| name.as_str() == Some(metric)).expect("a column");
        let rows = block["rows"].as_array_mut().expect("a list").iter_mut();
        let row = rows
            .map(|row| row.as_array_mut().expect("a list"))
            .find(|row| row[0].as_str() == Some(model))
            .expect("a row");
        let Value::String(text) = &mut row[column + 1] else { panic!("a text") };
        text
    }

    fn set(&mut self, table: u8, dataset: &str, model: &str, metric: &str, text: &str) {
        text.clone_into(self.number(table, dataset, model, metric));
    }

    /// A row of table 1.
    fn dataset(&mut self, id: &str) -> &mut Table {
        tables(&mut self.numbers, "dataset").find(|row| row["id"].as_str() == Some(id)).expect("a row")
    }

    /// Goes over the checks of all sentences and keeps those that `keep` says.
    fn checks(&mut self, mut keep: impl FnMut(&str, &str, &mut Table) -> bool) {
        for claim in tables(&mut self.sentences, "claim") {
            let id = claim["id"].as_str().expect("a text").to_owned();
            let checks = claim["check"].as_array_mut().expect("a list");
            checks.retain_mut(|check| {
                let check = check.as_table_mut().expect("a table");
                let says = check["says"].as_str().expect("a text").to_owned();
                keep(&id, &says, check)
            });
        }
    }
}

fn tables<'t>(document: &'t mut Table, key: &str) -> impl Iterator<Item = &'t mut Table> {
    let list = document.get_mut(key).and_then(Value::as_array_mut).expect("a list");
    list.iter_mut().map(|item| item.as_table_mut().expect("a table"))
}

#[track_caller]
fn finding<'a>(audit: &'a Audit, id: &str) -> &'a Finding {
    let ids: Vec<&str> = audit.findings.iter().map(|finding| finding.id.as_str()).collect();
    audit.findings.iter().find(|finding| finding.id == id).unwrap_or_else(|| panic!("no {id} in {ids:#?}"))
}

fn cell(table: u8, dataset: &str, model: &str, metric: &str, printed: &str) -> Cell {
    Cell {
        table,
        dataset: dataset.into(),
        model: model.into(),
        metric: metric.into(),
        printed: printed.into(),
    }
}

impl Finding {
    /// Holds a computed number against the expected one.
    #[track_caller]
    fn has(&self, name: &str, value: f64) -> &Self {
        let found =
            self.figures.get(name).unwrap_or_else(|| panic!("{}: no {name} in {:?}", self.id, self.figures));
        assert!((found - value).abs() < 1e-6, "{}: {name} is {found}, not {value}", self.id);
        self
    }

    #[track_caller]
    fn rests_on(&self, cells: &[Cell]) -> &Self {
        for cell in cells {
            assert!(self.cells.contains(cell), "{}: {cell:?} is not in {:#?}", self.id, self.cells);
        }
        self
    }

    #[track_caller]
    fn is(&self, severity: Severity) -> &Self {
        assert_eq!(self.severity, severity, "{}", self.id);
        self
    }
}
