//! From [`Results`] to a [`Table`] in the paper's layout: a block per dataset
//! with the metrics as columns (Tables 2 and 3), one block with the datasets
//! beside each other (Tables 4 and 5), or, for the ablation (Table 6), a block
//! per metric with the datasets as columns.

use std::collections::{BTreeMap, BTreeSet};

use dygl_spec::metric::Metric;
use dygl_spec::name::Named;
use dygl_spec::network::Group;
use dygl_spec::{Arrange, TableKind};

use super::costs;
use super::datasets;
use super::heading;
use super::model::{Align, Block, Column, Row, RowGroup, Span, Table, TableCell};
use super::rank::{self, Role, Standing};
use super::results::{CellResult, Reported, Results, short};

mod cell;
mod folds;

use folds::Folds;

/// Makes the table.
pub fn build(results: &Results, reported: &dyn Reported) -> Table {
    match results.kind {
        TableKind::Datasets => return datasets::table(results),
        TableKind::Cost | TableKind::Bubble => return costs::table(results),
        TableKind::Results | TableKind::Ablation => {}
    }
    let matrix = Matrix::new(results);
    let mut footnotes = Footnotes::default();
    let mut unranked = BTreeSet::new();
    let blocks: Vec<Block> = layout(results, &matrix)
        .into_iter()
        .map(|plan| block(results, reported, &matrix, plan, &mut footnotes, &mut unranked))
        .collect();
    let shows_reported = blocks
        .iter()
        .flat_map(|b| &b.groups)
        .flat_map(|g| &g.rows)
        .flat_map(|r| &r.cells)
        .any(|c| c.reported.is_some());
    let runs = heading::runs(results, &blocks, matrix.folds.len());
    Table {
        name: results.name.clone(),
        number: results.paper_table,
        title: results.title.clone(),
        question: results.question.clone(),
        profile: results.profile.clone(),
        heading: heading::heading(results, shows_reported, &unranked),
        notes: heading::notes(results, &blocks, &runs, shows_reported),
        seeds: runs.into_iter().next(),
        blocks,
        footnotes: footnotes.texts,
        shows_reported,
        datasets: Vec::new(),
        costs: Vec::new(),
    }
}

/// Footnotes in order of first use; the same text has the same number.
#[derive(Default)]
pub(super) struct Footnotes {
    pub(super) texts: Vec<String>,
}

impl Footnotes {
    /// The number of a text, 1-based.
    pub(super) fn number(&mut self, text: String) -> usize {
        match self.texts.iter().position(|t| *t == text) {
            Some(index) => index + 1,
            None => {
                self.texts.push(text);
                self.texts.len()
            }
        }
    }
}

/// A row before it has cells. Cells that share label and network but not the
/// protocol are different rows, told apart by `variant`: their mean would be
/// the mean of nothing.
struct RowId<'a> {
    group: Group,
    label: &'a str,
    model: &'a Named,
    variant: usize,
}

/// The cells by row and dataset.
struct Matrix<'a> {
    rows: Vec<RowId<'a>>,
    /// The rows that are the folds of one cross-validation.
    folds: Vec<Folds>,
    /// Asked dataset and its title.
    datasets: Vec<(&'a Named, &'a str)>,
    /// Several seeds share a place.
    places: BTreeMap<(usize, usize), Vec<&'a CellResult>>,
}

impl<'a> Matrix<'a> {
    fn new(results: &'a Results) -> Self {
        let mut rows: Vec<RowId<'a>> = Vec::new();
        let mut datasets: Vec<(&Named, &str)> = Vec::new();
        let mut places: BTreeMap<(usize, usize), Vec<&CellResult>> = BTreeMap::new();
        for cell in &results.cells {
            let column = datasets.iter().position(|(asked, _)| **asked == cell.cell.asked);
            let column = column.unwrap_or_else(|| {
                datasets.push((&cell.cell.asked, &cell.dataset_title));
                datasets.len() - 1
            });
            let same_row = |row: &RowId<'_>| {
                row.group == cell.group && row.label == cell.label && *row.model == cell.cell.model
            };
            let fits = |row: usize| {
                places.get(&(row, column)).is_none_or(|members| {
                    members
                        .iter()
                        .all(|m| m.cell.protocol == cell.cell.protocol && m.cell.dataset == cell.cell.dataset)
                })
            };
            let row = (0..rows.len()).find(|row| same_row(&rows[*row]) && fits(*row));
            let row = row.unwrap_or_else(|| {
                let variant = rows.iter().filter(|row| same_row(row)).count();
                rows.push(RowId { group: cell.group, label: &cell.label, model: &cell.cell.model, variant });
                rows.len() - 1
            });
            places.entry((row, column)).or_default().push(cell);
        }
        let mut matrix = Self { rows, folds: Vec::new(), datasets, places };
        matrix.folds = folds::find(&matrix);
        matrix
    }

    fn members(&self, row: usize, dataset: usize) -> &[&'a CellResult] {
        self.places.get(&(row, dataset)).map_or(&[], Vec::as_slice)
    }

    /// The cells of a row on all datasets.
    fn of_row(&self, row: usize) -> impl Iterator<Item = &'a CellResult> + '_ {
        self.places.range((row, 0)..(row + 1, 0)).flat_map(|(_, members)| members).copied()
    }

    /// The cells of several rows on one dataset.
    fn of_rows(&self, rows: &[usize], dataset: usize) -> Vec<&'a CellResult> {
        rows.iter().flat_map(|row| self.members(*row, dataset)).copied().collect()
    }
}

/// A block before it has rows: its title and (header, dataset, metric) of its
/// columns.
struct BlockPlan {
    title: String,
    spans: Vec<Span>,
    columns: Vec<(String, usize, Metric)>,
}

fn layout(results: &Results, matrix: &Matrix<'_>) -> Vec<BlockPlan> {
    let title = |(asked, title): &(&Named, &str)| {
        let qualifiers = heading::qualifiers(results.cells.iter().filter(|c| c.cell.asked == **asked));
        match qualifiers.as_slice() {
            [] => (*title).to_owned(),
            qualifiers => format!("{title} ({})", qualifiers.join("; ")),
        }
    };
    let titles = || matrix.datasets.iter().map(title).enumerate();
    if results.kind == TableKind::Ablation {
        let columns = |metric| titles().map(|(dataset, title)| (title, dataset, metric)).collect();
        results
            .metrics
            .iter()
            .map(|metric| BlockPlan {
                title: metric.label().to_owned(),
                spans: Vec::new(),
                columns: columns(*metric),
            })
            .collect()
    } else {
        let columns = |dataset| results.metrics.iter().map(move |m| (m.label().to_owned(), dataset, *m));
        if results.arrange == Arrange::Beside && matrix.datasets.len() > 1 {
            let names: Vec<&str> = matrix.datasets.iter().map(|(_, title)| *title).collect();
            let plan = BlockPlan {
                title: names.join(" and "),
                spans: titles().map(|(_, title)| Span { title, columns: results.metrics.len() }).collect(),
                columns: titles().flat_map(|(dataset, _)| columns(dataset)).collect(),
            };
            return vec![plan];
        }
        titles()
            .map(|(dataset, title)| BlockPlan {
                title,
                spans: Vec::new(),
                columns: columns(dataset).collect(),
            })
            .collect()
    }
}

/// A line of a block.
#[derive(Clone, Copy)]
enum Line<'m> {
    Row(usize),
    /// The mean over the folds above it.
    Mean(&'m Folds),
}

/// The lines of a block: the rows by group, and behind the last fold of each
/// cross-validation the mean over all of them.
fn lines<'m>(matrix: &'m Matrix<'_>, plan: &BlockPlan) -> Vec<Line<'m>> {
    let present = |row: &usize| plan.columns.iter().any(|(_, d, _)| !matrix.members(*row, *d).is_empty());
    let mut order: Vec<usize> = (0..matrix.rows.len()).filter(present).collect();
    // Stable: within a group the order of the experiment remains.
    order.sort_by_key(|row| matrix.rows[*row].group);
    let mut lines: Vec<Line<'m>> = order.iter().map(|row| Line::Row(*row)).collect();
    for folds in &matrix.folds {
        let is_fold = |line: &Line<'_>| matches!(line, Line::Row(row) if folds.rows.contains(row));
        if let Some(last) = lines.iter().rposition(is_fold) {
            lines.insert(last + 1, Line::Mean(folds));
        }
    }
    lines
}

fn block(
    results: &Results,
    reported: &dyn Reported,
    matrix: &Matrix<'_>,
    plan: BlockPlan,
    footnotes: &mut Footnotes,
    unranked: &mut BTreeSet<String>,
) -> Block {
    let lines = lines(matrix, &plan);
    let mut groups: Vec<RowGroup> = Vec::new();
    let mut standing: Vec<Vec<Option<Standing<'_>>>> = plan.columns.iter().map(|_| Vec::new()).collect();
    for line in &lines {
        let cells = plan
            .columns
            .iter()
            .zip(&mut standing)
            .map(|((_, dataset, metric), standing)| {
                let mut made = match line {
                    Line::Row(row) => {
                        cell::cell(results, reported, matrix.members(*row, *dataset), *metric, footnotes)
                    }
                    Line::Mean(folds) => folds.cell(results, matrix, *dataset, *metric, footnotes),
                };
                if let (Line::Row(row), Some(standing)) = (line, &mut made.standing)
                    && matrix.folds.iter().any(|folds| folds.rows.contains(row))
                {
                    standing.role = Role::Fold;
                }
                standing.push(made.standing);
                made.cell
            })
            .collect::<Vec<TableCell>>();
        let (row, family) = row(results, matrix, *line, cells);
        match groups.last_mut() {
            Some(group) if group.label == family => group.rows.push(row),
            _ => groups.push(RowGroup { label: family.to_owned(), rows: vec![row] }),
        }
    }
    let columns: Vec<Column> = plan
        .columns
        .iter()
        .map(|(header, dataset, metric)| Column {
            header: header.clone(),
            metric: Some(*metric),
            dataset: matrix.datasets[*dataset].0.to_string(),
            align: Align::Right,
        })
        .collect();
    let mut block = Block { title: plan.title, stub: "Model", spans: plan.spans, columns, groups };
    for (column, standing) in standing.iter().enumerate() {
        if !rank::apply(&mut block, column, standing) {
            unranked.insert(block.columns[column].dataset.clone());
        }
    }
    block
}

/// A line with its cells, and the heading of its group.
fn row(results: &Results, matrix: &Matrix<'_>, line: Line<'_>, cells: Vec<TableCell>) -> (Row, &'static str) {
    let first = match line {
        Line::Row(row) => row,
        Line::Mean(folds) => folds.rows[0],
    };
    let id = &matrix.rows[first];
    let (label, settings) = match line {
        Line::Mean(folds) => (folds.label.clone(), folds.settings.clone()),
        Line::Row(row) => {
            let settings = matrix.of_row(row).next().map(|cell| cell.settings.clone()).unwrap_or_default();
            let label = match id.variant {
                0 => id.label.to_owned(),
                // The labels ought to tell such rows apart; the key always does.
                _ => format!("{} [{}]", id.label, distinguishing_key(matrix, row)),
            };
            (label, settings)
        }
    };
    (Row { label, model: id.model.to_string(), settings, cells }, family(results.kind, id))
}

/// Heading of a row's group: in an ablation the variants are told from the
/// network that they vary.
fn family(kind: TableKind, row: &RowId<'_>) -> &'static str {
    let is_variant = kind == TableKind::Ablation && !row.model.options.is_empty();
    if is_variant { "Variants" } else { row.group.label() }
}

fn distinguishing_key(matrix: &Matrix<'_>, row: usize) -> String {
    matrix.of_row(row).next().map(|cell| short(&cell.train_key).to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
