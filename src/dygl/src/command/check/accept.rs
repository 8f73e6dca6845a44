//! `--accept`: today's results become the accepted ones.

use std::collections::{BTreeMap, BTreeSet};

use dygl_base::exit::{Exit, Failure};
use dygl_base::stats;
use dygl_spec::metric::Metric;
use dygl_spec::plan::{Identity, Plan, apart};
use serde::Serialize;

use super::compare::{PerImage, Today, commit_of, gone, same_experiment};
use super::lock::{
    FEW_ROWS, Keys, Lines, Lock, LockedCell, Place, Subject, Tolerance, base_of, scores_digest,
};
use super::verdict::percent;
use crate::cli::{Check, ToleranceRule};
use crate::command::context::{Chosen, Context};
use crate::command::read::{self, Reading, State};

/// No tolerance from seeds is smaller.
const LEAST: f64 = 0.002;
/// So many seeds say how far a score scatters.
const SEEDS: usize = 3;

/// What became of the cells of a lock.
#[derive(Debug, Default, Serialize)]
pub struct Outcome {
    pub experiment: String,
    /// The lock file.
    pub lock: String,
    pub added: Vec<String>,
    pub changed: Vec<Changed>,
    /// Read, and as they were accepted before.
    pub unchanged: Vec<String>,
    /// Not read.
    pub kept: Vec<String>,
    pub pruned: Vec<String>,
    /// Whether the scores of every image lie beside the lock.
    pub per_image: bool,
}

/// A cell that was accepted with other scores before.
#[derive(Debug, Serialize)]
pub struct Changed {
    pub cell: String,
    /// `Dice 61.53 -> 61.60`.
    pub what: Vec<String>,
}

impl Outcome {
    /// Lines for people.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let mut line = |word: &str, what: &str| out.push_str(&format!("{word}: {what}\n"));
        self.added.iter().for_each(|cell| line("added", cell));
        self.changed.iter().for_each(|it| line("changed", &format!("{}: {}", it.cell, it.what.join(", "))));
        self.kept.iter().for_each(|cell| line("kept", cell));
        self.pruned.iter().for_each(|cell| line("pruned", cell));
        let Self { added, changed, unchanged, kept, pruned, .. } = self;
        let counts = [
            (added.len(), "added"),
            (changed.len(), "changed"),
            (unchanged.len(), "unchanged"),
            (kept.len(), "kept"),
            (pruned.len(), "pruned"),
        ];
        let counts: Vec<String> = counts.map(|(count, word)| format!("{count} {word}")).into();
        line(&self.lock, &counts.join(", "));
        out
    }
}

/// A lock that is to be written.
pub struct Prepared {
    lock: Lock,
    place: Place,
    pub outcome: Outcome,
    pub notes: Vec<String>,
}

impl Prepared {
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self) -> Result<(), Failure> {
        self.lock.write(&self.place, self.outcome.per_image)
    }

    /// Whether there is nothing to write: no result was read, and nothing is dropped.
    pub fn is_idle(&self) -> bool {
        let Outcome { added, changed, unchanged, pruned, .. } = &self.outcome;
        added.is_empty() && changed.is_empty() && unchanged.is_empty() && pruned.is_empty()
    }
}

/// Merges the results of an experiment into its lock: cells that were read replace
/// theirs, others stay. Tolerances that somebody set are kept.
///
/// # Errors
/// A cell without a result, with the exit code of its state; a lock that cannot be read,
/// or of another profile.
pub fn prepare(
    context: &Context,
    chosen: &Chosen,
    readings: &[Reading],
    place: Place,
    arguments: &Check,
) -> Result<Prepared, Failure> {
    let experiment = &chosen.experiment;
    let todays = Today::all(chosen, readings);
    let mut fresh: Vec<LockedCell> = Vec::new();
    for today in &todays {
        let cell = accepted(context, today, readings)?;
        // A profile may put one dataset in the place of two: the same result twice.
        if !fresh.iter().any(|other| other.identity == cell.identity) {
            fresh.push(cell);
        }
    }
    let old = Lock::read(&place)?;
    let is_new = old.is_none();
    let mut lock = match old {
        Some(old) => {
            same_experiment(chosen, &old, &place)?;
            let mut old = renewed(old);
            old.settle(&base_of(experiment), &place)?;
            old
        }
        None => Lock::empty(&experiment.name, &experiment.profile.name),
    };
    let mut outcome =
        Outcome { experiment: experiment.name.clone(), lock: place.shown.clone(), ..Outcome::default() };
    // Without the filter: what it leaves out is in the experiment still.
    let plan: Vec<Subject> =
        Plan::expand(experiment).cells.iter().map(|planned| Subject::of(planned, experiment)).collect();
    let identities = lock.cells.iter().map(|cell| &cell.identity);
    let names = apart(identities.chain(plan.iter().map(|subject| &subject.identity)));
    let plan: Vec<&Subject> = plan.iter().collect();
    let lost: Vec<Identity> = gone(&lock, &plan, &context.filter, experiment)
        .into_iter()
        .map(|(cell, _)| cell.identity.clone())
        .collect();
    let replaced = |cell: &LockedCell| todays.iter().any(|today| cell.is_of(&today.subject));
    let (mut before, stay): (Vec<LockedCell>, Vec<LockedCell>) = lock.cells.into_iter().partition(replaced);
    let (dropped, stay): (Vec<LockedCell>, Vec<LockedCell>) =
        stay.into_iter().partition(|cell| arguments.prune && lost.contains(&cell.identity));
    outcome.pruned = dropped.iter().map(|cell| cell.describe(&names)).collect();
    outcome.kept = stay.iter().map(|cell| cell.describe(&names)).collect();
    for cell in &mut fresh {
        let name = cell.describe(&names);
        let old = before.iter().position(|old| {
            old.identity == cell.identity
                || old.identity.settings.is_none() && old.identity.is_namesake(&cell.identity)
        });
        let Some(old) = old.map(|place| before.remove(place)) else {
            outcome.added.push(name);
            continue;
        };
        cell.tolerance.clone_from(&old.tolerance);
        let what = differences(&old, cell);
        if what.is_empty() {
            outcome.unchanged.push(name);
        } else {
            outcome.changed.push(Changed { cell: name, what });
        }
    }
    // Entries of format 1 that one cell of today takes the place of.
    outcome.pruned.extend(before.iter().map(|cell| cell.describe(&names)));
    lock.cells = stay;
    lock.cells.append(&mut fresh);
    let mut notes = lock.fill_holes();
    if is_new {
        notes.clear();
    }
    if arguments.tolerance == Some(ToleranceRule::FromSeeds) {
        notes.push(from_seeds(&mut lock));
    }
    let rows = lock.images();
    outcome.per_image = rows > 0 && (rows < FEW_ROWS || arguments.per_image);
    if rows >= FEW_ROWS && !arguments.per_image {
        notes.push(format!(
            "{}: {rows} images, so their scores are not kept beside it; --per-image keeps them",
            place.shown
        ));
    }
    Ok(Prepared { lock, place, outcome, notes })
}

/// An old lock as it is written today. The relative part that format 1 wrote by default
/// never decided: no score is above 1.
fn renewed(mut lock: Lock) -> Lock {
    if lock.format < Lock::FORMAT {
        for tolerance in lock.tolerance.values_mut().filter(|t| t.relative <= t.absolute) {
            *tolerance = Tolerance::absolute(tolerance.absolute);
        }
        lock.format = Lock::FORMAT;
    }
    lock
}

/// What is accepted of a finished cell.
fn accepted(context: &Context, today: &Today<'_>, readings: &[Reading]) -> Result<LockedCell, Failure> {
    let Today { reading, subject } = today;
    let name = subject.describe(&BTreeSet::new());
    let State::Done(done) = &reading.state else {
        let message = format!(
            "{name} is {}: {}; only finished results can be accepted (--filter leaves cells out)",
            reading.word(),
            reading.reason()
        );
        return Err(Failure::new(read::exit_of(readings), message));
    };
    let per_image = PerImage::of(done, &reading.planned, &context.inputs)
        .map_err(|problem| Failure::new(Exit::Altered, problem))?;
    let scores = done.eval.mean.clone();
    if scores.is_empty() || scores.values().any(|score| !score.is_finite()) {
        let message = format!(
            "{name} has no finite score (all of its images may be left out of the means): nothing could be compared \
             with it"
        );
        return Err(Failure::new(Exit::Missing, message));
    }
    let metrics: BTreeSet<Metric> = scores.keys().copied().collect();
    let (training, evaluation) = (&done.train.provenance, &done.eval.provenance);
    Ok(LockedCell {
        identity: subject.identity.clone(),
        own: subject.own(),
        asked: subject.asked.clone(),
        numerics: evaluation.numerics.clone(),
        simd: Some(training.simd.clone()).filter(|simd| !simd.is_empty()),
        threads: Some(training.threads as u64).filter(|threads| *threads > 0),
        commit: commit_of(evaluation),
        date: (evaluation.finished > 0).then(|| dygl_report::utc(evaluation.finished)[..10].to_owned()),
        images: Some(per_image.scores.len() as u64),
        groups: groups(&per_image),
        scores_digest: Some(scores_digest(&per_image.scores, &metrics)),
        keys: Some(Keys { train: done.eval.train_key.clone(), evaluation: done.eval.key.clone() }),
        tolerance: BTreeMap::new(),
        scores,
        per_image: per_image.scores,
        lines: Lines::default(),
    })
}

/// How many independent units the images are; none where the dataset knows no groups.
fn groups(per_image: &PerImage) -> Option<u64> {
    let of = |id: &str| per_image.groups.get(id).cloned().unwrap_or_else(|| id.to_owned());
    let groups: BTreeSet<String> = per_image.scores.iter().map(|image| of(&image.id)).collect();
    (!per_image.groups.is_empty()).then_some(groups.len() as u64)
}

/// What a review should know of a cell that was accepted before.
fn differences(old: &LockedCell, new: &LockedCell) -> Vec<String> {
    let mut what = Vec::new();
    let metrics: BTreeSet<Metric> = old.scores.keys().chain(new.scores.keys()).copied().collect();
    let text = |score: Option<&f64>| score.map_or_else(|| "-".to_owned(), |score| percent(*score));
    for metric in metrics {
        let (then, now) = (old.scores.get(&metric), new.scores.get(&metric));
        if then != now {
            what.push(format!("{} {} -> {}", metric.label(), text(then), text(now)));
        }
    }
    if old.numerics != new.numerics {
        what.push(format!("class {} -> {}", old.numerics, new.numerics));
    }
    if what.is_empty() && old.scores_digest.is_some() && old.scores_digest != new.scores_digest {
        what.push("scores of single images".to_owned());
    }
    what
}

/// Gives cells of three and more seeds tolerances of their own: two standard deviations
/// over the seeds. Says what it did.
fn from_seeds(lock: &mut Lock) -> String {
    let (mut set, mut useless) = (0, 0);
    let all = lock.cells.clone();
    for cell in &mut lock.cells {
        let siblings: Vec<&LockedCell> = all
            .iter()
            .filter(|other| {
                let mut identity = other.identity.clone();
                identity.seed = cell.identity.seed;
                identity == cell.identity
            })
            .collect();
        let seeds: BTreeSet<u64> = siblings.iter().map(|other| other.identity.seed).collect();
        if seeds.len() < SEEDS {
            continue;
        }
        cell.tolerance.clear();
        for (metric, accepted) in &cell.scores {
            let scores: Vec<f64> =
                siblings.iter().filter_map(|other| other.scores.get(metric).copied()).collect();
            // Short enough to read; a millionth is no difference.
            let allowed = stats::std(&scores).map(|sd| ((2e6 * sd).round() / 1e6).max(LEAST));
            match allowed {
                Some(allowed) if Tolerance::absolute(allowed).allows_anything(*accepted) => useless += 1,
                Some(allowed) => drop(cell.tolerance.insert(*metric, allowed)),
                None => {}
            }
        }
        set += 1;
    }
    let useless = match useless {
        0 => String::new(),
        count => {
            format!("; {count} scores scatter so much that none could fail: they keep the lock's tolerance")
        }
    };
    match set {
        0 => format!("no network has {SEEDS} locked seeds on a dataset: the tolerances stay as they are"),
        set => format!(
            "tolerances of {set} cells are two standard deviations over their seeds, {LEAST} at least{useless}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(model: &str, seed: u64, dice: f64) -> LockedCell {
        LockedCell {
            identity: Identity {
                model: model.into(),
                dataset: "ph2".into(),
                seed,
                pretrained: None,
                settings: Some(BTreeMap::new()),
            },
            own: BTreeMap::new(),
            asked: None,
            numerics: "flex".into(),
            simd: None,
            threads: None,
            commit: None,
            date: None,
            images: None,
            groups: None,
            scores_digest: None,
            keys: None,
            tolerance: BTreeMap::new(),
            scores: [(Metric::Dice, dice), (Metric::Iou, 0.5)].into(),
            per_image: Vec::new(),
            lines: Lines::default(),
        }
    }

    #[test]
    fn three_seeds_give_a_tolerance_and_two_do_not() {
        let mut lock = Lock::empty("a", "paper");
        lock.cells =
            [("unet", 1, 0.60), ("unet", 2, 0.62), ("unet", 3, 0.64), ("swin", 1, 0.1), ("swin", 2, 0.9)]
                .map(|(model, seed, dice)| cell(model, seed, dice))
                .into();
        let said = from_seeds(&mut lock);
        assert!(said.starts_with("tolerances of 3 cells"), "{said}");
        for cell in &lock.cells[..3] {
            // The standard deviation is 0.02; equal scores take the least.
            assert_eq!(cell.tolerance, [(Metric::Dice, 0.04), (Metric::Iou, LEAST)].into());
        }
        assert!(lock.cells[3..].iter().all(|cell| cell.tolerance.is_empty()));
        lock.cells.truncate(2);
        assert!(from_seeds(&mut lock).starts_with("no network has 3 locked seeds"));
    }

    #[test]
    fn what_changed_is_told_from_old_to_new() {
        let (old, new) = (cell("unet", 1, 0.5), cell("unet", 1, 0.612_34));
        assert_eq!(differences(&old, &new), ["Dice 50.00 -> 61.23"]);
        assert!(differences(&old, &old).is_empty());
        let moved = LockedCell { numerics: "libtorch-cpu".into(), ..old.clone() };
        assert_eq!(differences(&old, &moved), ["class flex -> libtorch-cpu"]);
        let digest = |text: &str| LockedCell { scores_digest: Some(text.into()), ..old.clone() };
        assert_eq!(differences(&digest("a"), &digest("b")), ["scores of single images"]);
        // What the first format did not know is no change.
        assert!(differences(&old, &digest("b")).is_empty());
    }

    #[test]
    fn the_default_of_the_first_format_loses_its_relative_part() {
        let mut lock = Lock::empty("a", "paper");
        lock.format = 1;
        lock.tolerance.insert(Metric::Dice, Tolerance { absolute: 0.01, relative: 0.01 });
        lock.tolerance.insert(Metric::Iou, Tolerance { absolute: 0.01, relative: 0.05 });
        let lock = renewed(lock);
        assert_eq!(lock.tolerance[&Metric::Dice], Tolerance::absolute(0.01));
        assert_eq!(lock.tolerance[&Metric::Iou], Tolerance { absolute: 0.01, relative: 0.05 });
    }
}
