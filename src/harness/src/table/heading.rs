//! What a reader has to know before a number: where the run departs from the
//! paper, and what the notation means. Also the one place that decides
//! whether a reported value may stand beside a number.

use std::collections::{BTreeMap, BTreeSet};

use super::model::Block;
use super::results::{CellResult, CellState, Finished, Results};
use super::warnings;
use crate::plan::Cell;
use crate::spec::protocol::{Exposure, Part, SplitSource};

/// Side of the network input in the paper, pixels.
pub(crate) const PAPER_SIZE: usize = 224;
const COMMAND_LINE: &str = "command line";

/// Whether the paper's value may stand beside this result: same dataset,
/// whole, same size, same profile, nothing set by hand.
pub(super) fn is_comparable(results: &Results, cell: &Cell, finished: &Finished) -> bool {
    results.paper_profile
        && results.paper_table.is_some()
        && !results.marks.iter().any(|(_, _, mark)| mark == COMMAND_LINE)
        && cell.protocol.image.size == PAPER_SIZE
        && cell.protocol.evaluate.part == Part::Test
        && !cell.is_substituted()
        && whole(finished)
}

/// A record that does not say how many images there were cannot vouch for
/// all of them.
fn whole(finished: &Finished) -> bool {
    [&finished.train.dataset, &finished.eval.dataset]
        .into_iter()
        .all(|facts| facts.as_ref().is_some_and(|facts| !facts.is_partial()))
}

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

/// Whether all finished cells saw the same images in the same split. Seeds
/// may bring splits of their own as long as every row has all of them.
pub(super) fn same_data<'a>(cells: impl Iterator<Item = &'a CellResult>) -> bool {
    let mut by_seed: BTreeMap<u64, BTreeSet<(String, String, Part)>> = BTreeMap::new();
    for cell in cells {
        for finished in cell.state.finished() {
            let facts = finished.eval.dataset.as_ref();
            by_seed.entry(cell.cell.seed).or_default().insert((
                facts.map(|f| f.digest.clone()).unwrap_or_default(),
                facts.map(|f| f.split_digest.clone()).unwrap_or_default(),
                cell.cell.protocol.evaluate.part,
            ));
        }
    }
    by_seed.values().all(|seen| seen.len() == 1)
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
    if !results.paper_profile {
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

/// The lines above the table.
pub(super) fn heading(results: &Results, shows_reported: bool) -> Vec<String> {
    let mut lines = profile_lines(results);
    let sizes: BTreeSet<usize> = results.cells.iter().map(|c| c.cell.protocol.image.size).collect();
    if sizes.iter().any(|size| *size != PAPER_SIZE) {
        let sizes = listed(sizes.iter().map(|size| format!("{size} x {size}")));
        lines.push(format!("Image size {sizes} (paper: {PAPER_SIZE} x {PAPER_SIZE})."));
    }
    lines.extend(dataset_lines(results));
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
        if finished.eval.skipped > 0 {
            let skipped = finished.eval.skipped;
            add(format!(
                "`{}`: {skipped} images with empty masks are left out of the means.",
                cell.cell.dataset
            ));
        }
    }
    let asked: BTreeSet<_> = results.cells.iter().map(|c| &c.cell.asked).collect();
    for asked in asked {
        if !same_data(results.cells.iter().filter(|c| c.cell.asked == *asked)) {
            add(format!("`{asked}`: rows were scored on different images and are not ranked."));
        }
    }
    lines
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
    let done = results.cells.iter().filter(|c| matches!(c.state, CellState::Done(_))).count();
    if done < all {
        lines.push(format!(
            "{} of {all} cells have no number; best and second are among the rest.",
            all - done
        ));
    }
    lines
}

/// How many runs a value rests on; none where nothing is done.
pub(super) fn seeds(results: &Results, blocks: &[Block]) -> Option<String> {
    let entries = || blocks.iter().flat_map(|b| &b.groups).flat_map(|g| &g.rows).flat_map(|r| &r.cells);
    let most = entries().map(|c| c.entries.iter().filter(|e| e.state == "done").count()).max();
    match most {
        Some(1) => {
            let seeds: BTreeSet<u64> = results.cells.iter().map(|c| c.cell.seed).collect();
            Some(format!(
                "n = 1 run per value (seed {}): how much another seed would change it was not measured.",
                listed(seeds)
            ))
        }
        Some(n) if n > 1 => {
            Some("Mean ± standard deviation over seeds (number of seeds); without ±, n = 1.".to_owned())
        }
        _ => None,
    }
}

/// The lines below the table.
pub(super) fn notes(results: &Results, seeds: Option<&String>, shows_reported: bool) -> Vec<String> {
    let parts: BTreeSet<Part> = results.cells.iter().map(|c| c.cell.protocol.evaluate.part).collect();
    let part = listed(parts.iter().map(|p| part_name(*p)));
    let mut notes = vec![
        format!("Percent, mean over the images of the {part} part."),
        "Bold: highest printed value; underlined: next. No significance test was made.".to_owned(),
    ];
    notes.extend(seeds.cloned());
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
    use super::super::samples;
    use super::*;
    use crate::spec::name::Named;
    use crate::spec::protocol::SelectionRule;

    fn text(results: &Results) -> String {
        heading(results, false).join("\n")
    }

    #[test]
    fn a_faithful_run_needs_no_heading() {
        assert_eq!(heading(&samples::done(), true), Vec::<String>::new());
    }

    #[test]
    fn every_departure_is_named() {
        let mut results = samples::done();
        results.profile = "smoke".into();
        results.paper_profile = false;
        for cell in &mut results.cells {
            cell.cell.dataset = Named::plain("phantom-polyp");
            cell.cell.protocol.image.size = 64;
            cell.cell.protocol.selection.rule = SelectionRule::BestDice;
            cell.cell.protocol.selection.part = Part::Test;
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
                cell.cell.protocol.selection.part = part;
                cell.cell.protocol.evaluate.part = reported;
                cell.cell.protocol.selection.every = every;
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
        results.cells[0].cell.protocol.split.source = SplitSource::GroupedKFold;
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

    #[test]
    fn an_unstated_dataset_is_not_comparable() {
        let mut results = samples::done();
        samples::each_finished(&mut results, |f| f.eval.dataset = None);
        let CellState::Done(finished) = &results.cells[0].state else { panic!("a done cell") };
        assert!(!is_comparable(&results, &results.cells[0].cell, finished));
    }
}
