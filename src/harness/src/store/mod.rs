//! The store: results that are verified whenever they are read.
//!
//! ```text
//! <root>/store/v1/<2 hex>/<key>/
//!     claim                    who is working on it (see [`Claim`])
//!     work/                    that work: checkpoints, logs; survives a kill
//!     attempts/<digest>/       finished work, never changed:
//!         MANIFEST             blake3 of every file; its own blake3 is <digest>
//!         key.json record.json ...
//!     quarantine/<digest>.<n>/ attempts whose bytes no longer match
//! ```
//!
//! An attempt appears by one rename of a complete, synced folder; it is never
//! served without its files matching the manifest, and never deleted.

mod attempt;
mod claim;
mod publish;
pub mod record;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use attempt::{Attempt, Problem};
pub use claim::{Claim, Holder, host};
pub use publish::CHECKPOINT;
use serde::Deserialize;

use crate::key::{Key, Preimage};
use record::Outcome;

/// Why the store cannot do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("another run is at work on {} ({holder}); it ends by itself or with that process", key.short())]
    Held { key: Key, holder: Holder },
    #[error("{}: {message}", path.display())]
    Invalid { path: PathBuf, message: String },
}

impl StoreError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}

/// What the store knows of a key.
#[derive(Debug)]
pub enum Lookup {
    /// A finished attempt, its small files verified.
    Hit(Attempt),
    /// Finished attempts that contradict each other.
    Conflict(Vec<Attempt>),
    /// Only attempts that did not finish well; the latest.
    Failed(Attempt, Outcome),
    /// An attempt whose bytes do not match its manifest, and no sound one.
    Altered(Attempt, Problem),
    Miss,
}

/// The two lines of a record that a lookup needs, whatever its kind.
#[derive(Deserialize)]
struct RecordHead {
    outcome: Outcome,
    /// What the attempt computed, for telling contradictions apart.
    #[serde(default)]
    weights: String,
    #[serde(default)]
    scores: String,
    provenance: Finished,
}

#[derive(Deserialize)]
struct Finished {
    finished: u64,
}

/// A folder of results.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// `root` is the folder that `--store` names (default `.dygl`); it is
    /// created when something is first written.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    fn version_folder(&self) -> PathBuf {
        self.root.join("store/v1")
    }

    /// The folder of a key, whether it exists or not.
    pub fn folder(&self, key: &Key) -> PathBuf {
        self.version_folder().join(&key.as_str()[..2]).join(key.as_str())
    }

    /// Every key that has a folder, sorted.
    ///
    /// # Errors
    /// A folder that cannot be listed.
    pub fn keys(&self) -> Result<Vec<Key>, StoreError> {
        let mut keys = Vec::new();
        for outer in list(&self.version_folder())? {
            for inner in list(&outer)? {
                let name = inner.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
                keys.extend(Key::parse(&name));
            }
        }
        keys.sort();
        Ok(keys)
    }

    /// The keys that start with `prefix` (at least 4 digits are wanted).
    ///
    /// # Errors
    /// As [`Store::keys`].
    pub fn keys_with_prefix(&self, prefix: &str) -> Result<Vec<Key>, StoreError> {
        Ok(self.keys()?.into_iter().filter(|key| key.as_str().starts_with(prefix)).collect())
    }

    /// All attempts of a key, by digest.
    ///
    /// # Errors
    /// A folder that cannot be listed.
    pub fn attempts(&self, key: &Key) -> Result<Vec<Attempt>, StoreError> {
        let folder = self.folder(key).join("attempts");
        let mut attempts: Vec<Attempt> = list(&folder)?.into_iter().filter_map(Attempt::at).collect();
        attempts.sort_by(|a, b| a.digest().cmp(b.digest()));
        Ok(attempts)
    }

    /// Reads what is there of a key, verifying every small file on the way.
    ///
    /// # Errors
    /// I/O only: damage is a [`Lookup::Altered`], not an error.
    pub fn lookup(&self, key: &Key) -> Result<Lookup, StoreError> {
        let mut done: Vec<(Attempt, RecordHead)> = Vec::new();
        let mut failed: Vec<(Attempt, RecordHead)> = Vec::new();
        let mut altered = None;
        for attempt in self.attempts(key)? {
            match attempt.read_json::<RecordHead>("record.json") {
                Ok(head) if head.outcome.is_done() => match attempt.verify_small() {
                    Ok(()) => done.push((attempt, head)),
                    Err(problem) => altered = altered.or(Some((attempt, problem))),
                },
                Ok(head) => failed.push((attempt, head)),
                Err(problem) => altered = altered.or(Some((attempt, problem))),
            }
        }
        done.sort_by(|a, b| {
            (a.1.provenance.finished, a.0.digest()).cmp(&(b.1.provenance.finished, b.0.digest()))
        });
        failed.sort_by_key(|(_, head)| head.provenance.finished);
        let contradict = done
            .windows(2)
            .any(|pair| (&pair[0].1.weights, &pair[0].1.scores) != (&pair[1].1.weights, &pair[1].1.scores));
        Ok(if contradict {
            Lookup::Conflict(done.into_iter().map(|(attempt, _)| attempt).collect())
        } else if let Some((attempt, _)) = done.into_iter().next() {
            Lookup::Hit(attempt)
        } else if let Some((attempt, problem)) = altered {
            Lookup::Altered(attempt, problem)
        } else if let Some((attempt, head)) = failed.pop() {
            Lookup::Failed(attempt, head.outcome)
        } else {
            Lookup::Miss
        })
    }

    /// Epochs that the newest checkpoint of a key holds; none if there is no checkpoint.
    pub fn checkpoint(&self, key: &Key) -> Option<usize> {
        let folder = self.folder(key).join("work").join(CHECKPOINT);
        let names = fs::read_dir(folder).into_iter().flatten().flatten();
        names.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).max()
    }

    /// Takes the exclusive right to work on a key and to publish it.
    ///
    /// # Errors
    /// [`StoreError::Held`] while a living process has it.
    pub fn claim(&self, preimage: &Preimage) -> Result<Claim, StoreError> {
        Claim::take(self, preimage)
    }

    /// Puts an altered attempt aside. It is kept: the damage may be evidence.
    ///
    /// # Errors
    /// The folder cannot be moved.
    pub fn quarantine(&self, key: &Key, attempt: &Attempt) -> Result<PathBuf, StoreError> {
        let folder = self.folder(key).join("quarantine");
        fs::create_dir_all(&folder).map_err(StoreError::io(&folder))?;
        for number in 1.. {
            let target = folder.join(format!("{}.{number}", attempt.digest()));
            if !target.exists() {
                fs::rename(attempt.folder(), &target).map_err(StoreError::io(attempt.folder()))?;
                return Ok(target);
            }
        }
        unreachable!("the numbers do not end")
    }
}

/// The entries of a folder, sorted; none if it does not exist. Names that
/// start with a dot are work in progress.
fn list(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(StoreError::Io { path: folder.to_owned(), source }),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(StoreError::io(folder))?.path();
        if path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.')) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
