//! What a reader has to know before a number: where the run departs from the
//! paper, and what the notation means.

use std::collections::{BTreeMap, BTreeSet};

use dygl_spec::protocol::{Exposure, Part, SplitSource};

use super::model::{Block, Column, TableCell};
use super::paper::PAPER_SIZE;
use super::results::{CellResult, CellState, Finished, Results};
use super::warnings;

const COMMAND_LINE: &str = "command line";

/// What a title has to add about the data under it: a substitute, a part.
pub(super) fn qualifiers<'a>(cells: impl Iterator<Item = &'a CellResult>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for cell in cells {
        let substitute =
            cell.cell.is_substituted().then(|| format!("{} for {}", cell.cell.dataset, cell.cell.asked));
        let parts =
            cell.state.finished().iter().filter_map(|f| f.eval.dataset.as_ref()).filter(|f| f.is_partial());
        for text in
            substitute.into_iter().chain(parts.map(|f| format!("{} of {} images", f.images, f.expected)))
        {
            if !all.contains(&text) {
                all.push(text);
            }
        }
    }
    all
}

fn finished(results: &Results) -> impl Iterator<Item = (&CellResult, &Finished)> {
    results.cells.iter().flat_map(|cell| cell.state.finished().iter().map(move |f| (cell, f)))
}

fn listed<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

/// Which profile, and what was set by hand.
pub(super) fn profile_lines(results: &Results) -> Vec<String> {
    let mut lines = Vec::new();
    if !results.is_papers_protocol() {
        lines.push(match results.profile.as_str() {
            // The experiment itself departs from the protocol that its profile leaves alone.
            "paper" => "Not the paper's training protocol: the experiment changes it.".to_owned(),
            profile => format!("Profile `{profile}`: not the paper's training protocol."),
        });
    }
    let by_hand = results.marks.iter().filter(|(_, _, mark)| mark == COMMAND_LINE);
    let by_hand: Vec<String> = by_hand.map(|(path, value, _)| format!("{path} = {value}")).collect();
    if !by_hand.is_empty() {
        lines.push(format!("Set on the command line: {}.", by_hand.join(", ")));
    }
    lines
}

/// The lines above the table. `unranked` are the datasets, as asked for, whose numbers
/// are not means over the same images.
pub(super) fn heading(results: &Results, shows_reported: bool, unranked: &BTreeSet<String>) -> Vec<String> {
    let mut lines = profile_lines(results);
    let sizes: BTreeSet<usize> = results.cells.iter().map(|c| c.cell.protocol.image.size).collect();
    if sizes.iter().any(|size| *size != PAPER_SIZE) {
        let sizes = listed(sizes.iter().map(|size| format!("{size} x {size}")));
        lines.push(format!("Image size {sizes} (paper: {PAPER_SIZE} x {PAPER_SIZE})."));
    }
    lines.extend(dataset_lines(results));
    lines.extend(skipped_lines(results));
    lines.extend(unranked.iter().map(|asked| {
        format!("`{asked}`: rows are means over different images or runs, and are not ranked.")
    }));
    lines.extend(warnings::lines(results));
    lines.extend(scoring_lines(results));
    lines.extend(origin_lines(results));
    if let Some(table) = results.paper_table.filter(|_| !shows_reported) {
        lines.push(format!("No reported value (Table {table}) stands beside these numbers."));
    }
    lines
}

/// Substitutes, partial datasets, mixed contents.
fn dataset_lines(results: &Results) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut add = |line: String| {
        if !lines.contains(&line) {
            lines.push(line);
        }
    };
    for cell in results.cells.iter().filter(|c| c.cell.is_substituted()) {
        add(format!("`{}` stands in for `{}`.", cell.cell.dataset, cell.cell.asked));
    }
    for (cell, finished) in finished(results) {
        for facts in [&finished.train.dataset, &finished.eval.dataset] {
            match facts {
                Some(facts) if facts.is_partial() => {
                    add(format!("`{}` is partial: {} of {} images.", facts.id, facts.images, facts.expected));
                }
                Some(_) => {}
                None => add(format!("`{}`: the record does not state what data it saw.", cell.cell.dataset)),
            }
        }
    }
    lines
}

/// Images that the empty-mask rule left out, once for each dataset.
fn skipped_lines(results: &Results) -> Vec<String> {
    let mut by_dataset: BTreeMap<String, BTreeSet<(usize, usize)>> = BTreeMap::new();
    for (cell, finished) in finished(results) {
        let counts = (finished.eval.skipped, finished.eval.images);
        by_dataset.entry(cell.cell.dataset.to_string()).or_default().insert(counts);
    }
    let line = |(dataset, counts): (String, BTreeSet<(usize, usize)>)| {
        let (least, most) = (counts.first()?.0, counts.last()?.0);
        let images: BTreeSet<usize> = counts.iter().map(|(_, images)| *images).collect();
        let images = listed(images.iter());
        let why = "empty in truth and prediction alike";
        match (least, most) {
            (_, 0) => None,
            _ if counts.iter().all(|(skipped, images)| skipped == images) => Some(format!(
                "`{dataset}`: all {images} images are {why} and left out of the means (evaluate.empty = `skip`): \
                 there is no number."
            )),
            (least, most) if least == most => {
                Some(format!("`{dataset}`: {most} of {images} images, {why}, are left out of the means."))
            }
            (least, most) => Some(format!(
                "`{dataset}`: {least} to {most} of {images} images, {why}, are left out of the means; n stands \
                 beside each value."
            )),
        }
    };
    by_dataset.into_iter().filter_map(line).collect()
}

/// Which part is scored, how images were divided, and whether the part was seen before.
fn scoring_lines(results: &Results) -> Vec<String> {
    let mut lines = Vec::new();
    let parts: BTreeSet<Part> = results.cells.iter().map(|c| c.cell.protocol.evaluate.part).collect();
    if parts.iter().any(|part| *part != Part::Test) {
        lines.push(format!("Scores are on: {}.", listed(parts.iter().map(|p| part_name(*p)))));
    }
    let sources: BTreeSet<&str> = results
        .cells
        .iter()
        .map(|c| c.cell.protocol.split.source)
        .filter(|source| *source != SplitSource::Manifest)
        .map(SplitSource::name)
        .collect();
    if !sources.is_empty() {
        lines.push(format!("Images are divided by: {}.", listed(sources)));
    }
    let exposures: BTreeSet<Exposure> =
        results.cells.iter().filter_map(|c| c.cell.protocol.exposure()).collect();
    lines.extend(exposures.into_iter().map(|exposure| exposure.note().to_owned()));
    lines
}

/// Mixed numerics, uncommitted programs, cells without a number.
fn origin_lines(results: &Results) -> Vec<String> {
    let mut lines = Vec::new();
    let mut classes: BTreeMap<&str, usize> = BTreeMap::new();
    let mut dirty = 0;
    for (_, finished) in finished(results) {
        *classes.entry(&finished.eval.provenance.numerics).or_default() += 1;
        let is_dirty = finished.train.provenance.dirty || finished.eval.provenance.dirty;
        dirty += usize::from(is_dirty);
    }
    if classes.len() > 1 {
        let counts = listed(classes.iter().map(|(class, count)| format!("{class} ({count})")));
        lines.push(format!("Several numerics classes: {counts}."));
    }
    if dirty > 0 {
        let all = classes.values().sum::<usize>();
        lines.push(format!("{dirty} of {all} results come from a program with uncommitted changes."));
    }
    let all = results.cells.len();
    let has_number = |cell: &&CellResult| match &cell.state {
        CellState::Done(finished) => results.metrics.iter().any(|metric| finished.value(*metric).is_some()),
        _ => false,
    };
    let done = results.cells.iter().filter(has_number).count();
    if done < all {
        lines.push(format!(
            "{} of {all} cells have no number; best and second are among the rest.",
            all - done
        ));
    }
    lines
}

/// How many runs a value rests on; of `validations` rows, folds. None where nothing is
/// done.
pub(super) fn runs(results: &Results, blocks: &[Block], validations: usize) -> Vec<String> {
    let with_number = |cell: &TableCell| cell.entries.iter().filter(|e| e.state == "done").count();
    let mut lines = match cells(blocks).map(|(_, cell)| with_number(cell)).max() {
        Some(1) => {
            let seeds: BTreeSet<u64> = results.cells.iter().map(|c| c.cell.seed).collect();
            vec![format!(
                "n = 1 run per value (seed {}): how much another seed would change it was not measured.",
                listed(seeds)
            )]
        }
        Some(n) if n > 1 => {
            vec!["Mean ± standard deviation over seeds (number of seeds); without ±, n = 1.".to_owned()]
        }
        _ => return Vec::new(),
    };
    if validations > 0 {
        lines.push(
            "Mean over folds: mean ± standard deviation of the folds' values (number of folds); best and second are \
             among these rows."
                .to_owned(),
        );
    }
    lines
}

fn cells(blocks: &[Block]) -> impl Iterator<Item = (&Column, &TableCell)> {
    blocks.iter().flat_map(|block| {
        let rows = block.groups.iter().flat_map(|group| &group.rows);
        rows.flat_map(|row| block.columns.iter().zip(&row.cells))
    })
}

/// Over how many images each value is a mean.
fn images(blocks: &[Block]) -> String {
    let mut by_dataset: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for (column, cell) in cells(blocks) {
        let single = cell.entries.iter().filter(|entry| entry.value.is_some() && entry.seed.is_some());
        by_dataset.entry(&column.dataset).or_default().extend(single.filter_map(|entry| entry.images));
    }
    by_dataset.retain(|_, counts| !counts.is_empty());
    let all: BTreeSet<usize> = by_dataset.values().flatten().copied().collect();
    match all.len() {
        0 => "the images".to_owned(),
        1 => format!("the {} images", listed(all)),
        _ => {
            let each: Vec<String> = by_dataset
                .iter()
                .map(|(dataset, counts)| match (counts.first(), counts.last()) {
                    (Some(least), Some(most)) if least < most => format!("`{dataset}` {least} to {most}"),
                    (least, _) => format!("`{dataset}` {}", listed(least)),
                })
                .collect();
            format!("the images ({})", each.join(", "))
        }
    }
}

/// The lines below the table.
pub(super) fn notes(
    results: &Results,
    blocks: &[Block],
    runs: &[String],
    shows_reported: bool,
) -> Vec<String> {
    let parts: BTreeSet<Part> = results.cells.iter().map(|c| c.cell.protocol.evaluate.part).collect();
    let part = listed(parts.iter().map(|p| part_name(*p)));
    let mut notes = vec![
        format!("Percent, mean over {} of the {part} part.", images(blocks)),
        "Bold: highest printed value; underlined: next. No significance test was made.".to_owned(),
    ];
    notes.extend_from_slice(runs);
    if let Some(table) = results.paper_table.filter(|_| shows_reported) {
        notes.push(format!("In brackets: the value that the paper prints in Table {table}."));
    }
    notes.extend(results.notes.iter().cloned());
    notes
}

/// The part of a split, for people.
pub(crate) fn part_name(part: Part) -> &'static str {
    match part {
        Part::Train => "training",
        Part::Validation => "validation",
        Part::Test => "test",
    }
}

#[cfg(test)]
mod tests {
    use dygl_spec::name::Named;
    use dygl_spec::protocol::SelectionRule;

    use super::super::samples;
    use super::*;

    fn text(results: &Results) -> String {
        heading(results, false, &BTreeSet::new()).join("\n")
    }

    #[test]
    fn a_faithful_run_needs_no_heading() {
        assert_eq!(heading(&samples::done(), true, &BTreeSet::new()), Vec::<String>::new());
    }

    #[test]
    fn every_departure_is_named() {
        let mut results = samples::done();
        results.profile = "smoke".into();
        samples::depart(&mut results);
        for cell in &mut results.cells {
            cell.cell.dataset = Named::plain("phantom-polyp");
            cell.cell.protocol_mut().image.size = 64;
            cell.cell.protocol_mut().selection.rule = SelectionRule::BestDice;
            cell.cell.protocol_mut().selection.part = Part::Test;
        }
        samples::each_finished(&mut results, |f| {
            samples::facts(f).images = 62;
            f.eval.provenance.dirty = true;
        });
        let text = text(&results);
        for expected in [
            "Profile `smoke`",
            "64 x 64",
            "`phantom-polyp` stands in for `kvasir-seg`",
            "62 of 1000",
            "optimistic",
            "uncommitted",
            "No reported value (Table 2)",
        ] {
            assert!(text.contains(expected), "{expected} not in:\n{text}");
        }
    }

    #[test]
    fn a_reported_part_that_was_seen_in_training_is_named() {
        let told = |part: Part, reported: Part, every: usize| {
            let mut results = samples::done();
            for cell in &mut results.cells {
                cell.cell.protocol_mut().selection.part = part;
                cell.cell.protocol_mut().evaluate.part = reported;
                cell.cell.protocol_mut().selection.every = every;
            }
            text(&results)
        };
        assert!(told(Part::Test, Part::Test, 1).contains("was scored during training"));
        assert!(told(Part::Train, Part::Train, 0).contains("say nothing about new images"));
        for text in [told(Part::Test, Part::Test, 0), told(Part::Validation, Part::Test, 1)] {
            assert!(!text.contains("during training"), "{text}");
        }
    }

    #[test]
    fn a_division_of_ones_own_is_named() {
        let mut results = samples::done();
        results.cells[0].cell.protocol_mut().split.source = SplitSource::GroupedKFold;
        assert!(text(&results).contains("Images are divided by: grouped-k-fold."));
    }

    #[test]
    fn mixed_numerics_are_counted() {
        let mut results = samples::done();
        let mut first = true;
        samples::each_finished(&mut results, |f| {
            if std::mem::take(&mut first) {
                f.eval.provenance.numerics = "libtorch-cpu".into();
            }
        });
        assert!(text(&results).contains("libtorch-cpu (1)"));
    }

    #[test]
    fn one_seed_is_called_one_seed() {
        let results = samples::done();
        let table = super::super::build(&results, &samples::Paper);
        assert!(table.notes.iter().any(|n| n.contains("n = 1 run per value (seed 42)")));
    }
}
