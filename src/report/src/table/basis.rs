//! What a printed number is a mean over. Numbers are ranked together only where
//! that is the same: the same images of the same data, divided alike, in as many
//! runs. A threshold, a network that finds nothing, a seed that diverged or a fold
//! may each leave out others.

use std::collections::BTreeSet;

use dygl_spec::metric::Metric;
use dygl_spec::protocol::Part;

use super::results::{CellResult, CellState};

/// The images behind one printed number, run by run, in no order of their own.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Basis<'a>(Vec<Run<'a>>);

/// What the mean of one run is over.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Run<'a> {
    /// Digests of the content and of its division; empty where the record states
    /// neither.
    data: &'a str,
    split: &'a str,
    part: Part,
    /// Images in the mean.
    n: usize,
    /// Their ids, sorted, as far as the scores of single images were kept.
    images: Vec<&'a str>,
}

impl<'a> Basis<'a> {
    /// What the summary of these runs is over: of those that have a number of
    /// `metric`.
    pub(super) fn of(members: &[&'a CellResult], metric: Metric) -> Self {
        let mut runs: Vec<Run<'a>> = members.iter().filter_map(|member| Run::of(member, metric)).collect();
        runs.sort();
        Self(runs)
    }

    /// Images behind the number, each once whatever the number of its runs.
    pub(super) fn images(&self) -> usize {
        let known: BTreeSet<(&str, &str)> =
            self.0.iter().flat_map(|run| run.images.iter().map(|id| (run.data, *id))).collect();
        // Where single scores were not kept, the runs' own counts are all there is.
        let unknown = self.0.iter().filter(|run| run.images.is_empty()).map(|run| run.n);
        known.len() + unknown.sum::<usize>()
    }

    /// Images of each run: `11`, or `6..11` where they differ.
    pub(super) fn of_each(&self) -> String {
        let all = || self.0.iter().map(|run| run.n);
        match (all().min(), all().max()) {
            (Some(least), Some(most)) if least < most => format!("{least}..{most}"),
            (Some(n), _) => n.to_string(),
            _ => "0".to_owned(),
        }
    }
}

impl<'a> Run<'a> {
    fn of(member: &'a CellResult, metric: Metric) -> Option<Self> {
        let CellState::Done(finished) = &member.state else { return None };
        finished.value(metric)?;
        let facts = finished.eval.dataset.as_ref();
        let scored = finished.per_image.iter().filter(|image| image.scores.contains_key(&metric));
        let mut images: Vec<&str> = scored.map(|image| image.id.as_str()).collect();
        images.sort_unstable();
        Some(Self {
            data: facts.map_or("", |facts| facts.digest.as_str()),
            split: facts.map_or("", |facts| facts.split_digest.as_str()),
            part: member.cell.protocol.evaluate.part,
            n: finished.eval.averaged(),
            images,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn other_images_other_runs_and_other_divisions_are_another_basis() {
        let results = samples::seeds();
        let all: Vec<&CellResult> = results.cells.iter().collect();
        let basis = |take: &[usize]| take.iter().map(|index| all[*index]).collect::<Vec<_>>();
        // The order of the runs and their seeds are no difference, their number is.
        assert_eq!(Basis::of(&basis(&[0, 1]), Metric::Dice), Basis::of(&basis(&[4, 3]), Metric::Dice));
        assert_ne!(Basis::of(&basis(&[0, 1]), Metric::Dice), Basis::of(&basis(&[0]), Metric::Dice));
        // The last run has failed.
        assert_eq!(Basis::of(&basis(&[3, 4, 5]), Metric::Dice), Basis::of(&basis(&[3, 4]), Metric::Dice));
        assert_eq!(Basis::of(&basis(&[0, 1, 2]), Metric::Dice).images(), 100, "three runs, the same images");

        let mut other = results.clone();
        let finished = samples::finished(&mut other, 0);
        finished.per_image[7].scores.clear();
        (finished.eval.skipped, finished.eval.images) = (1, 100);
        let changed = Basis::of(&[&other.cells[0], &other.cells[1]], Metric::Dice);
        assert_ne!(changed, Basis::of(&basis(&[0, 1]), Metric::Dice));
        assert_eq!((changed.of_each().as_str(), changed.images()), ("99..100", 100));
        // As many, but others.
        samples::finished(&mut other, 1).per_image[8].scores.clear();
        samples::finished(&mut other, 1).eval.skipped = 1;
        assert_ne!(Basis::of(&[&other.cells[0]], Metric::Dice), Basis::of(&[&other.cells[1]], Metric::Dice));
    }
}
