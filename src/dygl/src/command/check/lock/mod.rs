//! Lock files: accepted results with their tolerances, as TOML that people
//! review in a diff, and beside them the scores of every image as CSV.

mod identity;
mod images;
mod read;
mod whole;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use dygl_base::exit::{Exit, Failure};
use dygl_spec::metric::Metric;
use dygl_spec::name::Named;
use dygl_spec::plan::{Filter, Identity, NamesOf, Settings, SettingsOf};
use dygl_spec::protocol::Protocol;
use dygl_spec::{Experiment, Origin, project, schema};
use dygl_store::record::ImageScores;

pub use identity::Subject;
pub use images::{FEW_ROWS, rounded, scores_digest};
pub use whole::of_score;

/// The accepted results of one experiment.
#[derive(Debug, Clone)]
pub struct Lock {
    /// 1 or 2. A lock of format 1 knows means alone: neither settings nor images.
    pub format: u64,
    pub experiment: String,
    pub profile: String,
    /// By metric: how far a mean score (0..1) may move.
    pub tolerance: BTreeMap<Metric, Tolerance>,
    /// Where in the file they stand, from 1.
    pub tolerance_lines: BTreeMap<Metric, usize>,
    pub cells: Vec<LockedCell>,
}

/// A score moved if it differs by more than both allow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerance {
    /// In units of the score, 0..1.
    pub absolute: f64,
    /// As a part of the accepted value; 0 unless somebody wrote one.
    pub relative: f64,
}

impl Tolerance {
    pub const fn absolute(absolute: f64) -> Self {
        Self { absolute, relative: 0.0 }
    }

    /// Whether no score in 0..1 could fail at this value: such a tolerance compares nothing.
    pub fn allows_anything(&self, accepted: f64) -> bool {
        self.allows(accepted) >= accepted.max(1.0 - accepted)
    }

    /// The larger of the two allowances at this value.
    pub fn allows(&self, accepted: f64) -> f64 {
        self.absolute.max(self.relative * accepted.abs())
    }
}

/// What was accepted of a cell, and where it came from.
#[derive(Debug, Clone)]
pub struct LockedCell {
    pub identity: Identity,
    /// Settings at the protocol's own value, written down because the cell's experiment
    /// sweeps them. They are no part of its identity as long as the protocol keeps them;
    /// see [`Lock::settle`].
    pub own: Settings,
    /// The dataset that the experiment asked for, where a profile put another in its place.
    pub asked: Option<String>,
    pub numerics: String,
    /// Vector width and threads of the training.
    pub simd: Option<String>,
    pub threads: Option<u64>,
    /// Of the program that evaluated, and the day (UTC).
    pub commit: Option<String>,
    pub date: Option<String>,
    /// Images of the reported part; what they share a patient with, counted.
    pub images: Option<u64>,
    pub groups: Option<u64>,
    /// See [`scores_digest`].
    pub scores_digest: Option<String>,
    pub keys: Option<Keys>,
    /// Tolerances of this cell alone, before those of the lock.
    pub tolerance: BTreeMap<Metric, f64>,
    /// Mean scores, 0..1.
    pub scores: BTreeMap<Metric, f64>,
    /// The scores of its images to five decimals; empty where they were not kept.
    pub per_image: Vec<ImageScores>,
    pub lines: Lines,
}

/// The keys of the accepted training and evaluation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    pub train: String,
    pub evaluation: String,
}

/// Where in the file a cell and its scores stand, from 1.
#[derive(Debug, Clone, Default)]
pub struct Lines {
    pub cell: usize,
    pub scores: BTreeMap<Metric, usize>,
}

impl LockedCell {
    /// Whether this was accepted of that cell.
    pub fn is_of(&self, subject: &Subject) -> bool {
        let same =
            |other: &Identity| self.identity.settings == other.settings && self.identity.is_namesake(other);
        // What format 1 accepted has settings that nobody knows: those of the experiment's file.
        let unsure = self.identity.settings.is_none()
            && !subject.has_own_settings
            && self.identity.is_namesake(&subject.identity);
        same(&subject.identity) || unsure
    }

    /// For people; `apart` are the settings that tell cells apart.
    pub fn describe(&self, apart: &BTreeSet<String>) -> String {
        self.identity.describe_with(&self.settings(), &apart.iter().chain(self.own.keys()).cloned().collect())
    }

    /// All settings that the lock holds of it.
    pub fn settings(&self) -> Settings {
        let mut settings = self.own.clone();
        settings.extend(self.identity.settings.clone().unwrap_or_default());
        settings
    }

    /// Whether it passes a filter of the command line; `base` is the protocol that its
    /// settings depart from.
    pub fn passes(&self, filter: &Filter, base: &Protocol) -> bool {
        let named = |text: &str| Named::parse(text).unwrap_or_else(|_| Named::plain(text));
        let (model, dataset) = (named(&self.identity.model), named(&self.identity.dataset));
        let asked = self.asked.as_deref().map(named);
        filter.matches(NamesOf {
            model: &model,
            dataset: &dataset,
            asked: asked.as_ref().unwrap_or(&dataset),
            seed: self.identity.seed,
            settings: match &self.identity.settings {
                Some(settings) => SettingsOf::Departures(settings, base),
                None => SettingsOf::Unknown,
            },
        })
    }
}

/// The protocol that the settings of an experiment's cells depart from.
pub fn base_of(experiment: &Experiment) -> Protocol {
    let mut base = experiment.protocol.clone();
    for departure in &experiment.departures {
        if let Some(setting) = schema::setting(&departure.path) {
            // A value of the protocol's own file, which fits.
            let _ = setting.assign(&mut base, &departure.base);
        }
    }
    base
}

/// A lock and its images as files, with the names that messages give them.
#[derive(Debug, Clone)]
pub struct Place {
    pub path: PathBuf,
    /// The same as people and annotations see it: relative to the working directory
    /// where it lies below that.
    pub shown: String,
}

impl Place {
    /// Where the lock of an experiment lies: beside its file and called as that, by
    /// whatever name the file was asked for; of a built-in one in the project's
    /// `experiments/`.
    pub fn of(root: &Path, experiment: &Experiment) -> Self {
        let path = match experiment.sources.first() {
            Some(Origin::File(file)) => root.join(file).with_extension("lock.toml"),
            _ => {
                let experiments = root.join(project::of(root)).join(project::EXPERIMENTS);
                experiments.join(format!("{}.lock.toml", experiment.name))
            }
        };
        let shown = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        Self { path, shown }
    }

    /// The scores of every image, beside it.
    pub fn images(&self) -> Self {
        let shown = Path::new(&self.shown).with_extension("csv").display().to_string();
        Self { path: self.path.with_extension("csv"), shown }
    }

    /// Exit 7, with the command that writes the lock of that experiment.
    pub fn is_missing(&self, experiment: &str) -> Failure {
        let remedy = format!("`dygl check {experiment} --accept` writes it");
        Failure::new(Exit::Missing, format!("{} does not exist; {remedy}", self.shown))
    }

    /// The file's text, if there is a file.
    fn text(&self) -> Result<Option<String>, Failure> {
        match fs::read_to_string(&self.path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::new(Exit::Environment, format!("{}: {error}", self.shown))),
        }
    }
}

impl Lock {
    /// The format that is written.
    pub const FORMAT: u64 = 2;

    pub fn empty(experiment: &str, profile: &str) -> Self {
        Self {
            format: Self::FORMAT,
            experiment: experiment.to_owned(),
            profile: profile.to_owned(),
            tolerance: Self::default_tolerance(),
            tolerance_lines: BTreeMap::new(),
            cells: Vec::new(),
        }
    }

    /// Tolerances for a new lock: about what one image of a hundred moves.
    pub fn default_tolerance() -> BTreeMap<Metric, Tolerance> {
        Metric::ALL.iter().map(|metric| (*metric, Tolerance::absolute(0.01))).collect()
    }

    /// The file with the images beside it, if there is one.
    ///
    /// # Errors
    /// Exit 2 with line and column of every mistake in either file.
    pub fn read(place: &Place) -> Result<Option<Self>, Failure> {
        let Some(text) = place.text()? else { return Ok(None) };
        let mut lock = read::lock(&text, &place.shown)?;
        let beside = place.images();
        if let Some(text) = beside.text()? {
            images::read(&mut lock, &text, &beside.shown)?;
        }
        Ok(Some(lock))
    }

    /// Images of all cells, as far as they are known.
    pub fn images(&self) -> u64 {
        self.cells.iter().filter_map(|cell| cell.images).sum()
    }

    /// Whether any cell has a score of this metric.
    pub fn has(&self, metric: Metric) -> bool {
        self.cells.iter().any(|cell| cell.scores.contains_key(&metric))
    }

    /// How far a score of a cell may move; none if nobody said.
    pub fn tolerance(&self, cell: &LockedCell, metric: Metric) -> Option<Tolerance> {
        let own = cell.tolerance.get(&metric).map(|absolute| Tolerance::absolute(*absolute));
        own.or_else(|| self.tolerance.get(&metric).copied())
    }
}

#[cfg(test)]
mod tests {
    use dygl_spec::testing::experiment;

    use super::*;

    #[test]
    fn a_departure_leads_back_to_the_protocol() {
        let changed = experiment("table2", None, &["loss.lambda=0.3,0.7", "train.epochs=50"]);
        assert_eq!(base_of(&changed), dygl_spec::testing::protocol());
    }

    #[test]
    fn the_larger_allowance_counts() {
        let tolerance = Tolerance { absolute: 0.01, relative: 0.1 };
        assert!((tolerance.allows(0.9) - 0.09).abs() < 1e-12);
        assert!((tolerance.allows(0.05) - 0.01).abs() < 1e-12);
        assert!(
            Tolerance::absolute(1.0).allows_anything(0.8) && Tolerance::absolute(0.8).allows_anything(0.8)
        );
        assert!(Tolerance { absolute: 0.0, relative: 9.0 }.allows_anything(0.2));
        assert!(!Tolerance::absolute(0.79).allows_anything(0.8) && !tolerance.allows_anything(0.9));
    }

    #[test]
    fn locks_lie_beside_their_experiments() {
        let root = tempfile::tempdir().expect("folder");
        let built_in = experiment("smoke", None, &[]);
        let place = Place::of(root.path(), &built_in);
        assert_eq!(place.shown, "experiments/smoke.lock.toml");
        assert_eq!(place.images().shown, "experiments/smoke.lock.csv");
        // The file's name counts, not the one within it, and not the one it was asked by.
        let mut own = built_in;
        own.sources[0] = Origin::File("experiments/other.toml".into());
        assert_eq!(Place::of(root.path(), &own).shown, "experiments/other.lock.toml");
        own.sources[0] = Origin::File("own.toml".into());
        assert_eq!(Place::of(root.path(), &own).shown, "own.lock.toml");
        assert!(Lock::read(&place).expect("no mistake").is_none());
        assert_eq!(place.is_missing("a").exit, Exit::Missing);
    }
}
