//! The table of the datasets (Table 1): of each, what the paper prints, what
//! its manifest defines and what is registered here, as three rows under the
//! paper's columns. It needs no run and no data; what is not known is a dash
//! with the reason below the table.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::build::Footnotes;
use super::heading::profile_lines;
use super::model::{Align, Block, Column, Row, RowGroup, Table, TableCell};
use super::paper::PAPER_SIZE;
use super::results::{Results, short};

/// What is known of one dataset, from three sources, each as far as it goes.
/// The command layer collects it. Its JSON names are stable.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DatasetCard {
    /// Dataset that was asked for, `NAME,option=value`.
    pub asked: String,
    /// Dataset that is used; differs where the profile puts a substitute in
    /// its place.
    pub used: String,
    /// As the paper's tables print it.
    pub title: String,
    /// What the paper's Table 1 prints of the asked dataset.
    pub paper: Option<Numbers>,
    /// What the manifest of the used dataset defines; none for phantoms.
    pub defined: Option<Numbers>,
    /// The settings that `size` and the parts of `here` are those of, where the
    /// experiment has several: `size 64, fold 1`; else empty. Only the first card of a
    /// dataset holds what the paper prints and what is defined.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// Side of the network input under this experiment's protocol, pixels.
    pub size: usize,
    /// What there is of the used dataset in this store.
    pub here: Here,
}

/// The numbers of a dataset in one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Numbers {
    /// Images of the whole dataset.
    pub images: usize,
    /// How the source divides them.
    pub parts: Parts,
    /// Width and height of the network input where the source states it.
    pub resize: Option<[usize; 2]>,
    /// What the images show, in the source's words: `Dermoscopy images`.
    pub modality: String,
}

/// Images of each part; 0 where there is no such part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Parts {
    /// Images of the training part.
    pub train: usize,
    /// Images of the validation part.
    pub validation: usize,
    /// Images of the test part.
    pub test: usize,
}

impl Parts {
    /// Images of all three parts.
    pub fn sum(self) -> usize {
        self.train + self.validation + self.test
    }

    /// `1098 + 137 + 138`, without empty parts.
    fn listed(self) -> String {
        let parts = [self.train, self.validation, self.test].into_iter().filter(|part| *part > 0);
        parts.map(|part| part.to_string()).collect::<Vec<_>>().join(" + ")
    }
}

/// What there is of a dataset in this store.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Here {
    /// Registered, or drawn by the program.
    #[serde(rename = "registered")]
    Found {
        /// Images that are here.
        images: usize,
        /// Images of the whole dataset.
        expected: usize,
        /// The parts as the protocol's split makes them; none with `trouble`.
        parts: Option<Parts>,
        /// Why it cannot be divided; empty if it can.
        trouble: String,
        /// Sizes of the stored images, for people (`384 x 288`); empty where
        /// they could not be read.
        sizes: String,
        /// Digest of the dataset's content.
        digest: String,
        /// Digest of the division; empty where it cannot be divided.
        split_digest: String,
        /// Drawn on demand, by this program.
        built_in: bool,
    },
    /// Not registered; the command that would do it.
    Missing {
        /// The command, with PATH for the folder or archives.
        command: String,
        /// Where the dataset can be had; empty where its manifest names no page.
        page: String,
    },
    /// Its registration cannot be read.
    Damaged {
        /// Why, for people.
        reason: String,
    },
}

/// The table.
pub(super) fn table(results: &Results) -> Table {
    let mut footnotes = Footnotes::default();
    let mut groups: Vec<RowGroup> = Vec::new();
    for card in &results.datasets {
        let group = group(card, &mut footnotes);
        match groups.last_mut() {
            Some(last) if !card.variant.is_empty() && last.label == group.label => {
                last.rows.extend(group.rows)
            }
            _ => groups.push(group),
        }
    }
    let column = |header: &str, align| Column {
        header: header.to_owned(),
        metric: None,
        dataset: String::new(),
        align,
    };
    let mut columns: Vec<Column> =
        ["Count", "Resize", "Train", "Valid", "Test"].map(|header| column(header, Align::Right)).into();
    columns.push(column("Modality", Align::Left));
    Table {
        name: results.name.clone(),
        number: results.paper_table,
        title: results.title.clone(),
        question: results.question.clone(),
        profile: results.profile.clone(),
        heading: heading(results),
        blocks: vec![Block {
            title: "Datasets".to_owned(),
            stub: "Dataset",
            spans: Vec::new(),
            columns,
            groups,
        }],
        footnotes: footnotes.texts,
        notes: notes(results),
        seeds: None,
        shows_reported: false,
        datasets: results.datasets.clone(),
        costs: Vec::new(),
    }
}

const NOTHING: &str = "-";
const NO_PART: &str = "N/A";

fn group(card: &DatasetCard, footnotes: &mut Footnotes) -> RowGroup {
    let mut rows = Vec::new();
    if let Some(paper) = &card.paper {
        let mut cells = numbers(paper);
        if let Some(text) = contradiction(paper, card.defined.as_ref()) {
            let number = footnotes.number(text);
            cells[0].footnotes.push(number);
        }
        rows.push(row("paper", &card.asked, cells));
    }
    if let Some(defined) = &card.defined {
        let cells = numbers(defined);
        rows.push(row("manifest", &card.used, cells));
    }
    rows.push(row(&card.source(), &card.used, here(card, footnotes)));
    let label = if card.is_substituted() {
        format!("{} ({} for {})", card.title, card.used, card.asked)
    } else {
        card.title.clone()
    };
    RowGroup { label, rows }
}

fn row(label: &str, dataset: &str, cells: Vec<TableCell>) -> Row {
    Row { label: label.to_owned(), model: dataset.to_owned(), settings: BTreeMap::new(), cells }
}

impl DatasetCard {
    fn is_substituted(&self) -> bool {
        self.used != self.asked
    }

    /// `here`, with the settings behind it where there are several.
    pub(super) fn source(&self) -> String {
        let variant = &self.variant;
        if variant.is_empty() { "here".to_owned() } else { format!("here ({variant})") }
    }
}

fn cell(text: impl ToString) -> TableCell {
    TableCell { text: text.to_string(), ..TableCell::default() }
}

fn numbers(numbers: &Numbers) -> Vec<TableCell> {
    let resize = numbers.resize.map_or(NOTHING.to_owned(), |[width, height]| format!("{width} x {height}"));
    let mut cells = vec![cell(numbers.images), cell(resize)];
    cells.extend(parts(Some(numbers.parts)));
    cells.push(cell(&numbers.modality));
    cells
}

fn parts(parts: Option<Parts>) -> [TableCell; 3] {
    let Some(parts) = parts else { return [(); 3].map(|()| cell(NOTHING)) };
    [parts.train, parts.validation, parts.test]
        .map(|images| if images == 0 { cell(NO_PART) } else { cell(images) })
}

/// The paper's parts that do not add up to its own count, and what is taken.
fn contradiction(paper: &Numbers, defined: Option<&Numbers>) -> Option<String> {
    let parts = paper.parts;
    if parts.sum() == paper.images {
        return None;
    }
    let text = format!(
        "the paper's parts add up to {} ({}), not to its {} images",
        parts.sum(),
        parts.listed(),
        paper.images
    );
    Some(match defined.map(|defined| defined.parts) {
        Some(taken) if taken.sum() == paper.images => format!("{text}; taken here: {}", taken.listed()),
        _ => format!("{text}; divided in proportion to them"),
    })
}

/// What is here, with one footnote that says where it comes from.
fn here(card: &DatasetCard, footnotes: &mut Footnotes) -> Vec<TableCell> {
    let size = cell(format!("{0} x {0}", card.size));
    let mut cells = match &card.here {
        Here::Found { images, expected, parts: found, .. } => {
            let count =
                if images < expected { cell(format!("{images} of {expected}")) } else { cell(images) };
            let mut cells = vec![count, size];
            cells.extend(parts(*found));
            cells
        }
        Here::Missing { .. } | Here::Damaged { .. } => {
            let mut cells = vec![cell(NOTHING), size];
            cells.extend(parts(None));
            cells
        }
    };
    cells.push(cell(""));
    let mut note = |column: usize, text: String| {
        let number = footnotes.number(text);
        cells[column].footnotes.push(number);
    };
    match &card.here {
        Here::Found { trouble, sizes, digest, split_digest, built_in, .. } => {
            let mut words =
                vec![if *built_in { "drawn by this program".to_owned() } else { "registered".to_owned() }];
            if !sizes.is_empty() {
                words.push(format!("images of {sizes}"));
            }
            words.push(format!("content {}", short(digest)));
            if !split_digest.is_empty() {
                words.push(format!("split {}", short(split_digest)));
            }
            note(0, words.join(", "));
            if !trouble.is_empty() {
                note(2, trouble.clone());
            }
        }
        Here::Missing { command, page } => {
            let source = if page.is_empty() { String::new() } else { format!("; from {page}") };
            note(0, format!("not registered: {command}{source}"));
        }
        Here::Damaged { reason } => note(0, reason.clone()),
    }
    cells
}

fn heading(results: &Results) -> Vec<String> {
    let mut lines = profile_lines(results);
    let sizes: BTreeSet<usize> = results.datasets.iter().map(|card| card.size).collect();
    if sizes.iter().any(|size| *size != PAPER_SIZE) {
        let sizes: Vec<String> = sizes.iter().map(|size| format!("{size} x {size}")).collect();
        lines.push(format!("Image size {} (paper: {PAPER_SIZE} x {PAPER_SIZE}).", sizes.join(", ")));
    }
    let mut add = |line: String| {
        if !lines.contains(&line) {
            lines.push(line);
        }
    };
    for card in &results.datasets {
        if card.is_substituted() {
            add(format!("`{}` stands in for `{}`.", card.used, card.asked));
        }
        match &card.here {
            Here::Found { images, expected, .. } if images < expected => {
                add(format!("`{}` is partial: {images} of {expected} images.", card.used));
            }
            Here::Damaged { .. } => add(format!("`{}`: its registration is damaged.", card.used)),
            Here::Found { .. } | Here::Missing { .. } => {}
        }
    }
    let names = |cards: &mut dyn Iterator<Item = &DatasetCard>| {
        cards.map(|card| card.asked.clone()).collect::<BTreeSet<String>>().len()
    };
    let is_missing = |card: &&DatasetCard| matches!(card.here, Here::Missing { .. });
    let missing = names(&mut results.datasets.iter().filter(is_missing));
    if missing > 0 {
        let all = names(&mut results.datasets.iter());
        lines.push(format!("{missing} of {all} datasets are not registered in this store."));
    }
    lines
}

fn notes(results: &Results) -> Vec<String> {
    let mut notes = vec![
        "paper: as its Table 1 prints it. manifest: what `datasets/*.toml` defines for the whole dataset. \
         here: what is registered in this store, divided as the protocol says."
            .to_owned(),
        format!("Resize: width x height of the network input. {NO_PART}: the division has no such part."),
    ];
    notes.extend(results.notes.iter().cloned());
    notes
}

#[cfg(test)]
mod tests {
    use super::super::build;
    use super::super::samples::{self, Paper};
    use super::*;

    fn row<'a>(table: &'a Table, dataset: &str, label: &str) -> Vec<&'a str> {
        let group = table.blocks[0].groups.iter().find(|g| g.label.starts_with(dataset)).expect("a group");
        let row = group.rows.iter().find(|r| r.label == label).expect("a row");
        row.cells.iter().map(|c| c.text.as_str()).collect()
    }

    #[test]
    fn three_sources_stand_below_each_other() {
        let table = build(&samples::datasets(), &Paper);
        assert_eq!(
            row(&table, "CVC-ClinicDB", "paper"),
            ["612", "224 x 224", "489", "61", "62", "Colon polyp images"]
        );
        assert_eq!(row(&table, "CVC-ClinicDB", "here"), ["62 of 612", "224 x 224", "50", "6", "6", ""]);
        assert_eq!(row(&table, "ISIC2016", "paper")[3], "N/A");
        assert_eq!(row(&table, "ISIC2016", "here"), ["-", "224 x 224", "-", "-", "-", ""]);
        assert!(table.footnotes.iter().any(|t| t.contains("dygl dataset add isic2016 PATH")));
        assert!(table.footnotes.iter().any(|t| t.contains("images of 384 x 288")), "{:?}", table.footnotes);
    }

    #[test]
    fn the_papers_contradiction_is_stated_with_the_choice_made() {
        let table = build(&samples::datasets(), &Paper);
        let expected = "the paper's parts add up to 1364 (1089 + 137 + 138), not to its 1373 images; \
                        taken here: 1098 + 137 + 138";
        assert!(table.footnotes.iter().any(|t| t == expected), "{:?}", table.footnotes);
    }

    #[test]
    fn every_size_and_fold_has_its_row() {
        let mut results = samples::datasets();
        let mut second = results.datasets[0].clone();
        (second.paper, second.defined, second.size) = (None, None, 64);
        second.variant = "size 64, fold 1".into();
        results.datasets[0].variant = "size 224, fold 0".into();
        results.datasets.insert(1, second);
        let table = build(&results, &Paper);
        let labels: Vec<&str> = table.blocks[0].groups[0].rows.iter().map(|row| row.label.as_str()).collect();
        assert_eq!(labels, ["paper", "manifest", "here (size 224, fold 0)", "here (size 64, fold 1)"]);
        assert_eq!(row(&table, "Kvasir-SEG", "here (size 64, fold 1)")[1], "64 x 64");
        assert!(table.heading[0].contains("64 x 64, 224 x 224"), "{:?}", table.heading);
        assert_eq!(table.blocks[0].groups.len(), 4);
        assert!(table.heading.iter().any(|line| line.starts_with("2 of 4 datasets")), "{:?}", table.heading);
    }

    #[test]
    fn every_departure_is_named_above() {
        let mut results = samples::datasets();
        results.profile = "quick".into();
        samples::depart(&mut results);
        for card in &mut results.datasets {
            card.size = 64;
        }
        results.datasets[0].used = "kvasir-seg-352".into();
        let heading = build(&results, &Paper).heading.join("\n");
        for expected in [
            "Profile `quick`",
            "64 x 64",
            "`kvasir-seg-352` stands in for `kvasir-seg`",
            "`cvc-clinicdb` is partial: 62 of 612",
            "2 of 4 datasets are not registered",
        ] {
            assert!(heading.contains(expected), "{expected} not in:\n{heading}");
        }
    }
}
