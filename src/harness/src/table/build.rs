//! From [`Results`] to a [`Table`] in the paper's layout: a block per dataset
//! with the metrics as columns (Tables 2 and 3), one block with the datasets
//! beside each other (Tables 4 and 5), or, for the ablation (Table 6), a block
//! per metric with the datasets as columns.

use std::collections::BTreeMap;

use super::costs;
use super::datasets;
use super::heading;
use super::model::{Align, Block, Column, Row, RowGroup, Span, Table, TableCell};
use super::rank;
use super::results::{CellResult, Reported, Results, short};
use crate::metric::Metric;
use crate::spec::name::Named;
use crate::spec::network::Group;
use crate::spec::{Arrange, TableKind};

mod cell;

/// Makes the table.
pub fn build(results: &Results, reported: &dyn Reported) -> Table {
    match results.kind {
        TableKind::Datasets => return datasets::table(results),
        TableKind::Cost | TableKind::Bubble => return costs::table(results),
        TableKind::Results | TableKind::Ablation => {}
    }
    let matrix = Matrix::new(results);
    let mut footnotes = Footnotes::default();
    let blocks: Vec<Block> = layout(results, &matrix)
        .into_iter()
        .map(|plan| block(results, reported, &matrix, plan, &mut footnotes))
        .collect();
    let shows_reported = blocks
        .iter()
        .flat_map(|b| &b.groups)
        .flat_map(|g| &g.rows)
        .flat_map(|r| &r.cells)
        .any(|c| c.reported.is_some());
    let seeds = heading::seeds(results, &blocks);
    Table {
        name: results.name.clone(),
        number: results.paper_table,
        title: results.title.clone(),
        question: results.question.clone(),
        profile: results.profile.clone(),
        heading: heading::heading(results, shows_reported),
        notes: heading::notes(results, seeds.as_ref(), shows_reported),
        seeds,
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
        Self { rows, datasets, places }
    }

    fn members(&self, row: usize, dataset: usize) -> &[&'a CellResult] {
        self.places.get(&(row, dataset)).map_or(&[], Vec::as_slice)
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

fn block(
    results: &Results,
    reported: &dyn Reported,
    matrix: &Matrix<'_>,
    plan: BlockPlan,
    footnotes: &mut Footnotes,
) -> Block {
    let present = |row: usize| plan.columns.iter().any(|(_, d, _)| !matrix.members(row, *d).is_empty());
    let mut order: Vec<usize> = (0..matrix.rows.len()).filter(|row| present(*row)).collect();
    // Stable: within a group the order of the experiment remains.
    order.sort_by_key(|row| matrix.rows[*row].group);

    let mut groups: Vec<RowGroup> = Vec::new();
    let mut printed: Vec<Vec<Option<String>>> = vec![Vec::new(); plan.columns.len()];
    for index in &order {
        let id = &matrix.rows[*index];
        let cells = plan
            .columns
            .iter()
            .zip(&mut printed)
            .map(|((_, dataset, metric), printed)| {
                let members = matrix.members(*index, *dataset);
                let (cell, digits) = cell::cell(results, reported, members, *metric, footnotes);
                printed.push(digits);
                cell
            })
            .collect::<Vec<TableCell>>();
        let label = match id.variant {
            0 => id.label.to_owned(),
            // The labels ought to tell such rows apart; the key always does.
            _ => format!("{} [{}]", id.label, distinguishing_key(matrix, *index)),
        };
        let row = Row { label, model: id.model.to_string(), cells };
        let family = family(results.kind, id);
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
    for (column, (_, dataset, _)) in plan.columns.iter().enumerate() {
        let asked = matrix.datasets[*dataset].0;
        if heading::same_data(results.cells.iter().filter(|c| c.cell.asked == *asked)) {
            rank::apply(&mut block, column, &printed[column]);
        }
    }
    block
}

/// Heading of a row's group: in an ablation the variants are told from the
/// network that they vary.
fn family(kind: TableKind, row: &RowId<'_>) -> &'static str {
    let is_variant = kind == TableKind::Ablation && !row.model.options.is_empty();
    if is_variant { "Variants" } else { row.group.label() }
}

fn distinguishing_key(matrix: &Matrix<'_>, row: usize) -> String {
    let mut keys = matrix.places.range((row, 0)..(row + 1, 0)).flat_map(|(_, members)| members);
    keys.next().map(|c| short(&c.train_key).to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::model::Emphasis;
    use super::super::samples::{self, Paper};
    use super::*;

    fn cells(table: &Table) -> Vec<&TableCell> {
        table.blocks.iter().flat_map(|b| &b.groups).flat_map(|g| &g.rows).flat_map(|r| &r.cells).collect()
    }

    #[test]
    fn rows_are_grouped_as_in_the_paper() {
        let table = build(&samples::mixed(), &Paper);
        let groups: Vec<&str> = table.blocks[0].groups.iter().map(|g| g.label.as_str()).collect();
        assert_eq!(groups, ["CNN-based", "Trans-based", "Hybrid", "Ours"]);
        assert_eq!(table.blocks[0].columns.len(), 6);
    }

    #[test]
    fn tied_best_are_both_best_and_second_is_the_next_distinct_value() {
        let table = build(&samples::mixed(), &Paper);
        let dice: Vec<(&str, Emphasis)> = table.blocks[0]
            .groups
            .iter()
            .flat_map(|g| &g.rows)
            .map(|r| (r.cells[0].text.as_str(), r.cells[0].emphasis))
            .filter(|(text, _)| text.len() == 5)
            .collect();
        assert!(dice.iter().filter(|(_, e)| *e == Emphasis::Best).count() == 2, "{dice:?}");
        assert!(dice.iter().filter(|(_, e)| *e == Emphasis::Second).count() == 1, "{dice:?}");
    }

    #[test]
    fn reported_values_stand_beside_comparable_numbers_only() {
        let table = build(&samples::done(), &Paper);
        assert!(table.shows_reported);
        assert!(cells(&table).iter().all(|c| c.reported.is_some()));

        type Spoil = fn(&mut Results);
        let spoil: [(&str, Spoil); 6] = [
            ("another profile", |r| r.paper_profile = false),
            ("no table", |r| r.paper_table = None),
            ("another size", |r| r.cells.iter_mut().for_each(|c| c.cell.protocol.image.size = 64)),
            ("substituted", |r| r.cells.iter_mut().for_each(|c| c.cell.dataset = Named::plain("phantom"))),
            ("partial", |r| samples::each_finished(r, |f| samples::facts(f).images = 62)),
            ("command line", |r| r.marks.push(("train.epochs".into(), "3".into(), "command line".into()))),
        ];
        for (name, spoil) in spoil {
            let mut results = samples::done();
            spoil(&mut results);
            let table = build(&results, &Paper);
            assert!(!table.shows_reported && cells(&table).iter().all(|c| c.reported.is_none()), "{name}");
            if name != "no table" {
                assert!(table.heading.iter().any(|line| line.contains("No reported value")), "{name}");
            }
        }
    }

    #[test]
    fn no_number_is_printed_for_altered_cells() {
        let table = build(&samples::mixed(), &Paper);
        let altered: Vec<_> = cells(&table).into_iter().filter(|c| c.text == "altered").collect();
        assert!(!altered.is_empty());
        for cell in altered {
            assert!(cell.reported.is_none() && cell.emphasis == Emphasis::None);
            assert!(cell.entries.iter().all(|e| e.value.is_none()));
            assert!(!cell.footnotes.is_empty());
        }
    }

    #[test]
    fn a_conflict_shows_both_and_wins_nothing() {
        let table = build(&samples::mixed(), &Paper);
        let cell = cells(&table).into_iter().find(|c| c.text.contains(" / ")).expect("a conflict");
        assert_eq!((cell.entries.len(), cell.emphasis), (2, Emphasis::None));
    }

    #[test]
    fn seeds_are_summarized_and_a_failed_one_is_named() {
        let table = build(&samples::seeds(), &Paper);
        let all = cells(&table);
        assert_eq!(all[0].text, "90.00 ± 1.00 (3)");
        assert_eq!(all[0].keys.len(), 3);
        let second_row = &table.blocks[0].groups[0].rows[1].cells[0];
        assert_eq!(second_row.text, "91.00 ± 1.41 (2)");
        assert!(table.footnotes[0].contains("seed 3"), "{:?}", table.footnotes);
        assert!(!table.notes.iter().any(|n| n.contains("n = 1 run")));
    }

    #[test]
    fn rows_on_different_data_are_not_ranked() {
        let mut results = samples::done();
        let mut first = true;
        samples::each_finished(&mut results, |f| {
            if std::mem::take(&mut first) {
                samples::facts(f).digest = "other".into();
            }
        });
        let table = build(&results, &Paper);
        assert!(cells(&table).iter().all(|c| c.emphasis == Emphasis::None));
        assert!(table.heading.iter().any(|line| line.contains("not ranked")));
    }

    #[test]
    fn a_title_names_the_substitute() {
        let table = build(&samples::smoke(), &Paper);
        assert_eq!(table.blocks[0].title, "Kvasir-SEG (phantom-polyp for kvasir-seg)");
        let mut results = samples::done();
        samples::each_finished(&mut results, |f| samples::facts(f).images = 62);
        assert_eq!(build(&results, &Paper).blocks[0].title, "Kvasir-SEG (62 of 1000 images)");
    }

    #[test]
    fn the_ablation_has_datasets_as_columns() {
        let mut results = samples::done();
        results.kind = TableKind::Ablation;
        results.paper_table = Some(6);
        let table = build(&results, &Paper);
        assert_eq!(table.blocks.len(), results.metrics.len());
        assert_eq!(table.blocks[0].title, "Dice");
        results.cells[2].cell.model = Named::parse("dyglnet,norm=group").expect("valid");
        let groups = &build(&results, &Paper).blocks[0].groups;
        assert_eq!(groups.last().map(|group| group.label.as_str()), Some("Variants"));
    }

    #[test]
    fn datasets_stand_beside_each_other_and_are_ranked_each_on_its_own() {
        let table = build(&samples::beside(), &Paper);
        let [block] = table.blocks.as_slice() else { panic!("one block: {}", table.blocks.len()) };
        let titles: Vec<&str> = block.spans.iter().map(|s| s.title.as_str()).collect();
        assert_eq!(titles, ["ISIC2016", "PH2"]);
        assert_eq!(block.columns.len(), block.spans.iter().map(|s| s.columns).sum::<usize>());
        for column in 0..block.columns.len() {
            let cells = block.groups.iter().flat_map(|g| &g.rows).map(|r| &r.cells[column]);
            assert_eq!(cells.filter(|c| c.emphasis == Emphasis::Best).count(), 1, "column {column}");
        }
        // A network that ran on one of the two still has its row.
        let mut results = samples::beside();
        results.cells.remove(0);
        let table = build(&results, &Paper);
        let rows = &table.blocks[0].groups[0].rows;
        let unet = rows.iter().find(|row| row.label == "Unet").expect("a row");
        assert_eq!((unet.cells[0].text.as_str(), unet.cells[4].text.as_str()), ("-", "92.96"));
        assert!(table.footnotes.iter().any(|text| text.contains("not part of this experiment")));
    }

    #[test]
    fn protocols_are_never_averaged() {
        let mut results = samples::seeds();
        results.cells[1].cell.protocol.optimizer.learning_rate = 1.0;
        let table = build(&results, &Paper);
        let rows = &table.blocks[0].groups[0].rows;
        assert_eq!(rows.len(), 3);
        assert!(rows[1].label.ends_with(']'));
    }
}
