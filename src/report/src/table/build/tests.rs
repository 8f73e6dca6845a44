//! Tables of made-up results, against what they may claim.

use dygl_base::random::Stream;
use dygl_testing::draws;
use proptest::prelude::*;

use super::super::markup::{Markup, Style};
use super::super::model::Emphasis;
use super::super::results::CellState;
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
    let spoil: [(&str, Spoil); 7] = [
        ("another profile", samples::depart),
        ("no table", |r| r.paper_table = None),
        ("another size", |r| r.cells.iter_mut().for_each(|c| c.cell.protocol_mut().image.size = 64)),
        ("substituted", |r| r.cells.iter_mut().for_each(|c| c.cell.dataset = Named::plain("phantom"))),
        ("partial", |r| samples::each_finished(r, |f| samples::facts(f).images = 62)),
        ("partial in training", |r| {
            samples::each_finished(r, |f| f.train.dataset.as_mut().expect("facts").images = 62);
        }),
        ("unstated", |r| samples::each_finished(r, |f| f.eval.dataset = None)),
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
    results.cells[1].cell.protocol_mut().optimizer.learning_rate = 1.0;
    let table = build(&results, &Paper);
    let rows = &table.blocks[0].groups[0].rows;
    assert_eq!(rows.len(), 3);
    assert!(rows[1].label.ends_with(']'));
}

/// The lines of a CSV by the names of its header.
fn csv(table: &Table) -> Vec<BTreeMap<String, String>> {
    let text = Markup::Csv.render(table).expect("renders");
    csv::Reader::from_reader(text.as_bytes()).deserialize().map(|line| line.expect("a line")).collect()
}

#[test]
fn means_over_different_images_are_not_ranked_and_say_their_n() {
    let mut results = samples::done();
    samples::skip(samples::finished(&mut results, 1), 0..5);
    let table = build(&results, &Paper);
    assert!(cells(&table).iter().all(|cell| cell.emphasis == Emphasis::None));
    let texts: Vec<&str> = table.blocks[0].groups.iter().map(|g| g.rows[0].cells[0].text.as_str()).collect();
    assert!(texts[0].ends_with(", n = 100") && texts[1].ends_with(", n = 95"), "{texts:?}");
    for told in ["not ranked", "0 to 5 of 100 images, empty in truth and prediction alike"] {
        assert!(table.heading.iter().any(|line| line.contains(told)), "{told}: {:?}", table.heading);
    }
    assert!(table.notes[0].contains("(`kvasir-seg` 95 to 100)"), "{:?}", table.notes);
    // In every notation, and in CSV and JSON as a number of its own.
    let style = Style { ansi: false, width: None };
    for markup in [Markup::Terminal(style), Markup::Markdown, Markup::Html, Markup::Latex] {
        assert!(markup.render(&table).expect("renders").contains("n = 95"), "{markup:?}");
    }
    let lines = csv(&table);
    let counts: Vec<[&str; 2]> =
        lines.iter().step_by(6).map(|line| ["images", "skipped"].map(|name| line[name].as_str())).collect();
    assert_eq!(counts, [["100", "0"], ["95", "5"], ["100", "0"]]);
}

#[test]
fn as_many_but_other_images_are_not_ranked_either() {
    let mut results = samples::done();
    for place in 0..3 {
        samples::skip(samples::finished(&mut results, place), place..place + 5);
    }
    let table = build(&results, &Paper);
    assert!(cells(&table).iter().all(|cell| cell.emphasis == Emphasis::None && !cell.text.contains("n =")));
    // The same five are the same.
    let mut results = samples::done();
    samples::each_finished(&mut results, |finished| samples::skip(finished, 0..5));
    let table = build(&results, &Paper);
    assert!(cells(&table).iter().any(|cell| cell.emphasis == Emphasis::Best));
    assert!(
        table.heading.iter().any(|line| line.contains("`kvasir-seg`: 5 of 100 images")),
        "{:?}",
        table.heading
    );
    assert!(table.notes[0].contains("the 95 images"), "{:?}", table.notes);
}

#[test]
fn a_mean_over_fewer_seeds_is_not_ranked_against_one_over_all() {
    let table = build(&samples::seeds(), &Paper);
    assert!(cells(&table).iter().all(|cell| cell.emphasis == Emphasis::None));
    assert!(
        table.heading.iter().any(|line| line.contains("different images or runs")),
        "{:?}",
        table.heading
    );
    let mut whole = samples::seeds();
    whole.cells.truncate(5);
    whole.cells.remove(2);
    assert!(cells(&build(&whole, &Paper)).iter().any(|cell| cell.emphasis == Emphasis::Best));
}

#[test]
fn a_table_of_which_every_image_was_left_out_says_so_once() {
    let mut results = samples::done();
    samples::each_finished(&mut results, |finished| samples::skip(finished, 0..100));
    let table = build(&results, &Paper);
    assert!(cells(&table).iter().all(|cell| cell.text == "-" && cell.footnotes.is_empty()));
    let told: Vec<&String> = table.heading.iter().filter(|line| line.contains("all 100 images")).collect();
    assert_eq!(told.len(), 1, "{:?}", table.heading);
    assert!(csv(&table).iter().all(|line| line["images"] == "0" && line["value"].is_empty()));
    // Of one row it is a footnote, the same under every metric.
    let mut results = samples::done();
    samples::skip(samples::finished(&mut results, 0), 0..100);
    let table = build(&results, &Paper);
    assert_eq!(table.footnotes.len(), 1, "{:?}", table.footnotes);
    assert!(table.footnotes[0].starts_with("all 100 images were left out"), "{:?}", table.footnotes);
}

#[test]
fn folds_have_a_row_of_their_mean_and_only_means_are_ranked() {
    let table = build(&samples::folds(), &Paper);
    let rows: Vec<&Row> = table.blocks[0].groups.iter().flat_map(|group| &group.rows).collect();
    let labels: Vec<&str> = rows.iter().map(|row| row.label.as_str()).collect();
    assert_eq!(labels.len(), 8);
    assert_eq!(
        labels[2..5],
        ["Unet (lambda 0.3, fold 2)", "Unet (lambda 0.3, mean over 3 folds)", "DyGLNet (lambda 0.3, fold 0)"]
    );
    let dice: Vec<(&str, Emphasis)> =
        rows.iter().map(|row| (row.cells[0].text.as_str(), row.cells[0].emphasis)).collect();
    assert_eq!(dice[3], ("81.00 ± 1.00 (3)", Emphasis::Second));
    assert_eq!(dice[7], ("91.00 ± 1.00 (3)", Emphasis::Best));
    assert!(dice.iter().filter(|(_, emphasis)| *emphasis != Emphasis::None).count() == 2, "{dice:?}");
    assert!(!table.heading.iter().any(|line| line.contains("not ranked")), "{:?}", table.heading);
    assert!(table.notes.iter().any(|line| line.starts_with("Mean over folds")), "{:?}", table.notes);
    let mean = &rows[3].cells[0].entries[0];
    assert_eq!((mean.seed, mean.state.as_str(), mean.images), (None, "mean", Some(300)));
    // The setting is a column of the CSV, and no fold that of the mean.
    let lines = csv(&table);
    let of_dice: Vec<[&str; 5]> = lines
        .iter()
        .filter(|line| line["metric"] == "dice")
        .map(|line| ["seed", "state", "split.fold", "loss.lambda", "images"].map(|name| line[name].as_str()))
        .collect();
    assert_eq!(
        of_dice[..4],
        [
            ["42", "done", "0", "0.3", "100"],
            ["42", "done", "1", "0.3", "100"],
            ["42", "done", "2", "0.3", "100"],
            ["", "mean", "", "0.3", "300"],
        ]
    );
}

#[test]
fn a_fold_without_a_number_is_named_and_its_mean_not_ranked() {
    let mut results = samples::folds();
    results.cells[1].state = CellState::Missing { reason: "not run yet".into() };
    let table = build(&results, &Paper);
    let rows: Vec<&Row> = table.blocks[0].groups.iter().flat_map(|group| &group.rows).collect();
    assert_eq!(rows[3].cells[0].text, "81.00 ± 1.41 (2), n = 200");
    assert!(
        table.footnotes.iter().any(|text| text.starts_with("fold 1, seed 42 left out: not run")),
        "{:?}",
        table.footnotes
    );
    assert!(cells(&table).iter().all(|cell| cell.emphasis == Emphasis::None));
    // A single fold, or other protocols, are no cross-validation.
    results.cells.drain(4..);
    results.cells.drain(1..3);
    assert!(
        !build(&results, &Paper).blocks[0]
            .groups
            .iter()
            .flat_map(|g| &g.rows)
            .any(|r| r.label.contains("mean"))
    );
    let mut results = samples::folds();
    results.cells[0].cell.protocol_mut().train.epochs = 7;
    let table = build(&results, &Paper);
    let labels: Vec<&str> =
        table.blocks[0].groups.iter().flat_map(|g| &g.rows).map(|r| r.label.as_str()).collect();
    assert!(labels.contains(&"Unet (lambda 0.3, mean over 2 of 3 folds)"), "{labels:?}");
}

proptest! {
    #![proptest_config(draws(24))]

    /// Whatever was left out, the n beside a value is that of the images that it is the mean of,
    /// and best and second stand only where these are the same in every row.
    #[test]
    fn every_n_of_a_table_is_the_n_of_its_mean(seed in 0_u64..1_000_000, with_folds: bool, density in 0_u8..4) {
        let mut results = if with_folds { samples::folds() } else { samples::seeds() };
        let mut stream = Stream::new(seed, "left out", &[]);
        samples::each_finished(&mut results, |finished| {
            let share = f64::from(density) / 3.0 * stream.unit();
            let places: Vec<usize> = (0..100).filter(|_| stream.unit() < share).collect();
            samples::skip(finished, places);
        });
        let table = build(&results, &Paper);
        for block in &table.blocks {
            for (place, column) in block.columns.iter().enumerate() {
                let metric = column.metric.expect("a table of scores");
                let mut ranked = BTreeSet::new();
                for row in block.groups.iter().flat_map(|group| &group.rows) {
                    let cell = &row.cells[place];
                    let mut behind = Vec::new();
                    for entry in cell.entries.iter().filter(|entry| entry.seed.is_some()) {
                        let finished = results
                            .cells
                            .iter()
                            .find(|cell| cell.eval_key == entry.eval_key)
                            .and_then(|cell| cell.state.finished().first());
                        let Some(finished) = finished else { continue };
                        let scored: Vec<(&str, f64)> = finished
                            .per_image
                            .iter()
                            .filter_map(|image| Some((image.id.as_str(), *image.scores.get(&metric)?)))
                            .collect();
                        prop_assert_eq!(entry.images, Some(scored.len()));
                        prop_assert_eq!(entry.skipped, Some(100 - scored.len()));
                        let mean = scored.iter().map(|(_, score)| score).sum::<f64>() / scored.len() as f64;
                        prop_assert_eq!(entry.value.is_some(), !scored.is_empty());
                        prop_assert!(entry.value.is_none_or(|value| (value - mean).abs() < 1e-12));
                        if !scored.is_empty() {
                            behind.push(scored.iter().map(|(id, _)| (*id).to_owned()).collect::<Vec<_>>());
                        }
                    }
                    behind.sort();
                    if cell.emphasis != Emphasis::None && !behind.is_empty() {
                        ranked.insert(behind);
                    }
                }
                prop_assert!(ranked.len() <= 1, "ranked together over {} sets of images", ranked.len());
            }
        }
    }
}
