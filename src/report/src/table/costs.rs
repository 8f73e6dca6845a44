//! The table of costs (Table 7, and the data of Figure 1): what each network
//! costs by the paper's way of counting and truly, beside what the paper prints
//! and the mean Dice over the datasets. It needs no run.

use std::collections::{BTreeMap, BTreeSet};

use dygl_spec::ledger::{Counted, Difference};
use dygl_spec::network::Group;
use dygl_spec::reported::Printed;
use serde::Serialize;

use super::build::Footnotes;
use super::heading::profile_lines;
use super::model::{Align, Block, Column, Row, RowGroup, Span, Table, TableCell};
use super::paper::PAPER_SIZE;
use super::rank::percent;
use super::results::Results;

/// A difference below this share of the true figure goes without a word.
const TOLD: f64 = 0.01;
/// As many differences are named below the table; `dygl cost` names all.
const NAMED: usize = 4;

/// What is known of one network. The command layer collects it. Its JSON names
/// are stable.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CostCard {
    /// NAME,option=value,...
    pub model: String,
    /// The network's name in its row.
    pub label: String,
    /// Family under which the row stands.
    pub group: Group,
    /// Side of the image that the operations are those of, pixels.
    pub size: usize,
    /// Trainable values, each once.
    pub parameters: u64,
    /// Multiply-accumulates that the logits depend on.
    pub operations: u64,
    /// Both by the rules of the paper's counter.
    pub published: Counted,
    /// The way from the true figures to those.
    pub differences: Vec<Difference>,
    /// What the paper prints; none where it prints nothing of such a network.
    pub paper: Option<PaperCost>,
    /// Its accuracy, as far as the store has it.
    pub dice: MeanDice,
}

/// The paper's figures for a network.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PaperCost {
    /// Millions.
    pub parameters: Printed,
    /// Thousand millions.
    pub operations: Printed,
    /// Percent.
    pub dice: Printed,
}

/// The mean Dice over the datasets, as far as the store has it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct MeanDice {
    /// 0..1; none unless every dataset has a result for every seed.
    pub value: Option<f64>,
    /// Datasets with a result, of so many.
    pub done: usize,
    /// Datasets that the mean is to be over.
    pub of: usize,
    /// Why it may not stand beside the paper's; empty if it may.
    pub departs: String,
    /// Images that the means behind it are over, in all datasets and runs.
    pub images: usize,
    /// Short keys of the evaluations behind it.
    pub keys: Vec<String>,
}

/// A mean Dice that may be shown for a network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ShownDice {
    /// Percent.
    pub percent: f64,
    /// Whether the paper says so and nobody here has repeated it.
    pub is_reported: bool,
}

/// What may be shown of each network: its result here, else what the paper
/// prints, but never that beside results under another protocol.
pub fn shown_dice(cards: &[CostCard]) -> Vec<Option<ShownDice>> {
    let departs = cards.iter().any(|card| card.dice.value.is_some() && !card.dice.departs.is_empty());
    let shown = |card: &CostCard| match (card.dice.value, &card.paper) {
        (Some(value), _) => Some(ShownDice { percent: value * 100.0, is_reported: false }),
        (None, Some(paper)) if !departs => Some(ShownDice { percent: paper.dice.value, is_reported: true }),
        _ => None,
    };
    cards.iter().map(shown).collect()
}

/// What the two ways of counting are, for captions and notes.
pub const PUBLISHED_RULE: &str = "the paper's counter (thop 0.1.1): modules that it has a rule for, as often as they \
                                  are registered; functions not at all";
/// The other of the two: the true one.
pub const TRUE_RULE: &str = "every multiply-accumulate that the logits depend on, each parameter once";

/// The table.
pub(super) fn table(results: &Results) -> Table {
    let mut footnotes = Footnotes::default();
    let mut groups: Vec<RowGroup> = Vec::new();
    for card in &results.costs {
        let row = row(card, &mut footnotes);
        match groups.last_mut() {
            Some(group) if group.label == card.group.label() => group.rows.push(row),
            _ => groups.push(RowGroup { label: card.group.label().to_owned(), rows: vec![row] }),
        }
    }
    let column = |header: &str| Column {
        header: header.to_owned(),
        metric: None,
        dataset: String::new(),
        align: Align::Right,
    };
    let costs = ["as published", "paper", "true", "off"];
    let columns = costs.iter().chain(&costs).chain(&["paper", "here"]).map(|header| column(header)).collect();
    let span = |title: &str, columns| Span { title: title.to_owned(), columns };
    let sizes: Vec<String> = sizes(results).iter().map(|size| format!("{size} x {size}")).collect();
    Table {
        name: results.name.clone(),
        number: results.paper_table,
        title: results.title.clone(),
        question: results.question.clone(),
        profile: results.profile.clone(),
        heading: heading(results),
        blocks: vec![Block {
            title: format!("Costs of one image of {}", sizes.join(", ")),
            stub: "Model",
            spans: vec![span("Parameters, M", 4), span("Operations, G", 4), span("mDice, %", 2)],
            columns,
            groups,
        }],
        footnotes: footnotes.texts,
        notes: notes(results),
        seeds: None,
        shows_reported: results.costs.iter().any(|card| card.paper.is_some()),
        datasets: Vec::new(),
        costs: results.costs.clone(),
    }
}

const NOTHING: &str = "-";

fn cell(text: impl Into<String>) -> TableCell {
    TableCell { text: text.into(), ..TableCell::default() }
}

fn row(card: &CostCard, footnotes: &mut Footnotes) -> Row {
    let paper = card.paper.as_ref();
    let parameters = [card.published.parameters, card.parameters].map(|count| count as f64 / 1e6);
    let operations = [card.published.operations, card.operations].map(|count| count as f64 / 1e9);
    let mut cells = figures(parameters, paper.map(|paper| &paper.parameters), "M", footnotes).to_vec();
    cells.extend(figures(operations, paper.map(|paper| &paper.operations), "G", footnotes));
    if let Some(text) = reasons(card) {
        let number = footnotes.number(text);
        cells[6].footnotes.push(number);
    }
    cells.push(cell(paper.map_or(NOTHING.to_owned(), |paper| paper.dice.text.clone())));
    let mut here = cell(card.dice.value.map_or(NOTHING.to_owned(), percent));
    here.keys = card.dice.keys.clone();
    let why = match card.dice.value {
        None if card.dice.done > 0 => {
            format!("{} of {} datasets have a result here", card.dice.done, card.dice.of)
        }
        Some(_) if !card.dice.departs.is_empty() => {
            format!("not comparable with the paper's: {}", card.dice.departs)
        }
        _ => String::new(),
    };
    if !why.is_empty() {
        let number = footnotes.number(why);
        here.footnotes.push(number);
    }
    cells.push(here);
    Row { label: card.label.clone(), model: card.model.clone(), settings: BTreeMap::new(), cells }
}

/// Published convention, the paper's print, the truth, and how far the print
/// is from it.
fn figures(
    [published, truth]: [f64; 2],
    paper: Option<&Printed>,
    unit: &str,
    footnotes: &mut Footnotes,
) -> [TableCell; 4] {
    let Some(paper) = paper else {
        return [cell(format!("{published:.2}")), cell(NOTHING), cell(format!("{truth:.2}")), cell(NOTHING)];
    };
    let mut printed = cell(&paper.text);
    if !rounds_to(published, paper) {
        let number = footnotes.number(format!(
            "the paper prints {} {unit}; its own counter gives {published:.2} {unit} for this network",
            paper.text
        ));
        printed.footnotes.push(number);
    }
    let off = (paper.value / truth - 1.0) * 100.0;
    [cell(format!("{published:.2}")), printed, cell(format!("{truth:.2}")), cell(signed(off, 1) + " %")]
}

/// Whether a figure prints as these digits.
fn rounds_to(value: f64, printed: &Printed) -> bool {
    // A hair more than half of the last digit: the figures are decimal.
    (value - printed.value).abs() <= printed.rounding() * (1.0 + 1e-6)
}

/// With its sign; what rounds to zero has none.
fn signed(value: f64, decimals: usize) -> String {
    let text = format!("{value:+.decimals$}");
    if text.chars().any(|c| ('1'..='9').contains(&c)) { text } else { text[1..].to_owned() }
}

/// Why the published figures are not the true ones: the larger differences.
fn reasons(card: &CostCard) -> Option<String> {
    let told = |of: fn(&Difference) -> i64, truth: u64, unit: &str, scale: f64| {
        let mut all: Vec<(&Difference, i64)> =
            card.differences.iter().map(|difference| (difference, of(difference))).collect();
        all.retain(|(_, count)| count.unsigned_abs() as f64 >= TOLD * truth as f64);
        all.sort_by_key(|(_, count)| std::cmp::Reverse(count.unsigned_abs()));
        let mut words: Vec<String> = all
            .iter()
            .take(NAMED)
            .map(|(difference, count)| {
                format!("{} {unit} {}", signed(*count as f64 / scale, 2), difference.what)
            })
            .collect();
        if all.len() > NAMED {
            words.push(format!("{} more", all.len() - NAMED));
        }
        words
    };
    let operations = told(|difference| difference.operations, card.operations, "G", 1e9);
    let parameters = told(|difference| difference.parameters, card.parameters, "M", 1e6);
    let parts = [("operations", operations), ("parameters", parameters)];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(_, words)| !words.is_empty())
        .map(|(name, words)| format!("{name}: {}", words.join("; ")))
        .collect();
    (!parts.is_empty()).then(|| format!("from true to published, {}", parts.join(". ")))
}

/// The sizes of the images that are counted, each once, rising.
pub(crate) fn sizes(results: &Results) -> Vec<usize> {
    let mut sizes: Vec<usize> = results.costs.iter().map(|card| card.size).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

fn heading(results: &Results) -> Vec<String> {
    let mut lines = profile_lines(results);
    let others: Vec<String> = sizes(results)
        .into_iter()
        .filter(|size| *size != PAPER_SIZE)
        .map(|size| format!("{size} x {size}"))
        .collect();
    if !others.is_empty() {
        lines.push(format!(
            "Image size {} (paper: {PAPER_SIZE} x {PAPER_SIZE}): no figure of the paper stands beside.",
            others.join(", ")
        ));
    }
    let reproduced = || results.costs.iter().map(|card| &card.dice).filter(|dice| dice.value.is_some());
    let images: BTreeSet<usize> = reproduced().map(|dice| dice.images).collect();
    if images.len() > 1 {
        let counts: Vec<String> = images.iter().map(usize::to_string).collect();
        lines.push(format!(
            "mDice: the networks' means are over different images (n = {}).",
            counts.join(", ")
        ));
    }
    let here = reproduced().count();
    let all = results.costs.len();
    lines.push(match here {
        0 => "No mDice was reproduced in this store: those shown are the paper's.".to_owned(),
        here if here < all => format!("mDice was reproduced for {here} of {all} networks."),
        _ => return lines,
    });
    lines
}

fn notes(results: &Results) -> Vec<String> {
    let mut notes = vec![
        format!("as published: counted here by the rules of {PUBLISHED_RULE}. true: {TRUE_RULE}."),
        "paper: as its Table 7 prints it. off: how far that is from the true figure. One operation is one \
         multiply-accumulate. `dygl cost MODEL --layers` shows what each layer takes."
            .to_owned(),
        "mDice: mean of the mean Dice of each dataset's test part.".to_owned(),
    ];
    notes.extend(results.notes.iter().cloned());
    notes
}

#[cfg(test)]
mod tests {
    use super::super::build;
    use super::super::samples::{self, Paper};
    use super::*;

    fn printed(text: &str) -> Printed {
        Printed::parse(text).expect("a number")
    }

    #[test]
    fn a_figure_rounds_to_its_print() {
        assert!(rounds_to(41.479340032, &printed("41.48")));
        assert!(!rounds_to(41.908600832, &printed("41.48")));
        assert!(rounds_to(2.5, &printed("2.50")) && rounds_to(0.125, &printed("0.13")));
        assert_eq!([signed(-0.004, 2), signed(0.3, 1), signed(-1.0, 0)], ["0.00", "+0.3", "-1"]);
    }

    #[test]
    fn the_prints_that_the_counter_does_not_give_are_named() {
        let table = build(&samples::costs(), &Paper);
        let row = &table.blocks[0].groups[0].rows[0];
        let texts: Vec<&str> = row.cells.iter().map(|cell| cell.text.as_str()).collect();
        assert_eq!(
            texts,
            ["31.04", "31.04", "31.04", "0.0 %", "41.91", "41.48", "36.97", "+12.2 %", "86.20", "-"]
        );
        let note = &table.footnotes[row.cells[5].footnotes[0] - 1];
        assert!(note.contains("prints 41.48 G") && note.contains("gives 41.91 G"), "{note}");
        let why = &table.footnotes[row.cells[6].footnotes[0] - 1];
        assert!(why.contains("+4.95 G transposed convolution: counted by another rule"), "{why}");
    }

    #[test]
    fn the_papers_dice_never_stands_beside_another_protocol() {
        let mut cards = samples::costs().costs;
        assert!(shown_dice(&cards).iter().all(|shown| shown.is_some_and(|shown| shown.is_reported)));
        cards[0].dice.value = Some(0.9);
        let shown = shown_dice(&cards);
        assert_eq!(shown[0], Some(ShownDice { percent: 90.0, is_reported: false }));
        assert!(shown[1].is_some_and(|shown| shown.is_reported), "the same protocol: both may stand");
        cards[0].dice.departs = "train.epochs = 3 instead of 200".into();
        assert_eq!(shown_dice(&cards)[1], None);
    }

    #[test]
    fn what_is_here_is_said_above() {
        let mut results = samples::costs();
        assert!(build(&results, &Paper).heading[0].contains("those shown are the paper's"));
        results.costs[0].dice = MeanDice { value: Some(0.9), done: 7, of: 7, ..MeanDice::default() };
        results.costs[1].dice = MeanDice { done: 3, of: 7, ..MeanDice::default() };
        let table = build(&results, &Paper);
        assert!(table.heading[0].contains("for 1 of 3 networks"), "{:?}", table.heading);
        assert!(table.footnotes.iter().any(|text| text == "3 of 7 datasets have a result here"));
    }
}
