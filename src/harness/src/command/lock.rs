//! Lock files: accepted results with their tolerances, as TOML that people
//! review in a diff.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::exit::{Exit, Failure, OrExit};
use crate::metric::Metric;
use crate::plan::Cell;

/// The accepted results of one experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    pub experiment: String,
    pub profile: String,
    /// By metric: how far a mean score (0..1) may move.
    pub tolerance: BTreeMap<Metric, Tolerance>,
    #[serde(default, rename = "cell")]
    pub cells: Vec<LockedCell>,
}

/// A score moved if it differs by more than both allow.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tolerance {
    /// In units of the score, 0..1.
    pub absolute: f64,
    /// As a part of the accepted value.
    pub relative: f64,
}

impl Tolerance {
    /// The larger of the two allowances at this value.
    pub fn allows(&self, accepted: f64) -> f64 {
        self.absolute.max(self.relative * accepted.abs())
    }
}

/// Accepted mean scores of a cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedCell {
    pub model: String,
    pub dataset: String,
    pub seed: u64,
    /// SHA-256 of the weights that training started from, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pretrained: Option<String>,
    pub numerics: String,
    pub scores: BTreeMap<Metric, f64>,
}

impl LockedCell {
    pub fn is_of(&self, cell: &Cell) -> bool {
        self.model == cell.model.to_string()
            && self.dataset == cell.dataset.to_string()
            && self.seed == cell.seed
            && self.pretrained.as_ref() == cell.pretrained.as_ref().map(|pretrained| &pretrained.sha256)
    }
}

impl Lock {
    /// Where the lock of an experiment lies: beside it, else in `experiments/`.
    pub fn path(root: &Path, asked: &str, name: &str) -> PathBuf {
        let file = root.join(asked);
        if asked.ends_with(".toml") && file.is_file() {
            file.with_extension("lock.toml")
        } else {
            root.join("experiments").join(format!("{name}.lock.toml"))
        }
    }

    /// # Errors
    /// Exit 7 if there is none; exit 2 with line and column if it is no lock.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let text = fs::read_to_string(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Failure::new(
                Exit::Missing,
                format!("{} does not exist; `dygl check EXP --accept` writes it", path.display()),
            ),
            _ => Failure::new(Exit::Environment, format!("{}: {error}", path.display())),
        })?;
        let lock: Self = toml::from_str(&text)
            .map_err(|error| Failure::new(Exit::Usage, format!("{}: {error}", path.display())))?;
        for (metric, tolerance) in &lock.tolerance {
            if !(tolerance.absolute >= 0.0 && tolerance.relative >= 0.0) {
                let message =
                    format!("{}: tolerance of {} is negative or no number", path.display(), metric.name());
                return Err(Failure::new(Exit::Usage, message));
            }
        }
        Ok(lock)
    }

    /// Tolerances for a new lock: about what one image of a hundred moves.
    pub fn default_tolerance() -> BTreeMap<Metric, Tolerance> {
        Metric::ALL.iter().map(|metric| (*metric, Tolerance { absolute: 0.01, relative: 0.01 })).collect()
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Failure> {
        let body = toml::to_string_pretty(self).or_exit(Exit::Failed)?;
        let text = format!(
            "# Accepted results of `{0}`, written by `dygl check {0} --accept`.\n\
             # Scores are means over the test images, 0..1. A check fails when one differs from\n\
             # its accepted value by more than max(absolute, relative * value), up or down.\n\n{body}",
            self.experiment
        );
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).or_exit(Exit::Environment)?;
        let file = tempfile::NamedTempFile::new_in(folder).or_exit(Exit::Environment)?;
        fs::write(file.path(), text).or_exit(Exit::Environment)?;
        file.persist(path).or_exit(Exit::Environment)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_larger_allowance_counts() {
        let tolerance = Tolerance { absolute: 0.01, relative: 0.1 };
        assert!((tolerance.allows(0.9) - 0.09).abs() < 1e-12);
        assert!((tolerance.allows(0.05) - 0.01).abs() < 1e-12);
    }

    #[test]
    fn a_lock_round_trips_and_a_mistake_names_its_line() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("a.lock.toml");
        let lock = Lock {
            experiment: "a".into(),
            profile: "smoke".into(),
            tolerance: Lock::default_tolerance(),
            cells: vec![LockedCell {
                model: "unet".into(),
                dataset: "phantom-polyp,count=8,seed=1,size=32".into(),
                seed: 42,
                pretrained: None,
                numerics: "flex".into(),
                scores: [(Metric::Dice, 0.5)].into(),
            }],
        };
        lock.write(&path).expect("written");
        assert_eq!(Lock::read(&path).expect("read"), lock);
        let text = fs::read_to_string(&path).expect("read").replace("numerics", "numbers");
        fs::write(&path, text).expect("written");
        let failure = Lock::read(&path).expect_err("unknown field");
        assert!(failure.exit == Exit::Usage && failure.message.contains("line"), "{}", failure.message);
        assert_eq!(Lock::read(&dir.path().join("no")).expect_err("absent").exit, Exit::Missing);
    }
}
