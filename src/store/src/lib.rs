//! The store: results that are verified whenever they are read.
//!
//! ```text
//! <root>/store/v1/<2 hex>/<key>/
//!     claim                    who is working on it (see [`Claim`])
//!     work.<nonce>/            the work of that claim: checkpoints, logs; survives a kill
//!     attempts/<digest>/       finished work, never changed:
//!         MANIFEST             blake3 of every file; its own blake3 is <digest>
//!         key.json record.json ...
//!     quarantine/<digest>.<n>/ attempts whose bytes no longer match
//!     stamps/<digest>.json     how the large files looked when they were last hashed
//! ```
//!
//! An attempt appears by one rename of a complete, synced folder; it is never
//! served without its files matching the manifest, and never deleted. At every
//! lookup small files are hashed, and large ones (weights) where size, times or
//! inode are not as stamped; before weights are used, every byte of them is.

mod attempt;
mod claim;
mod discard;
mod holder;
pub mod key;
mod lock;
mod probe;
mod publish;
pub mod record;
mod stamp;
mod work;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use attempt::{Attempt, Problem};
pub use claim::{Claim, Held};
pub use discard::{discard, sweep};
pub use holder::{Holder, host};
pub use probe::{Habits, probe};
use serde::Deserialize;
pub use work::CHECKPOINT;

use crate::key::{Key, Preimage};
use record::Outcome;

/// Why the store cannot do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refuses to read or write something.
    #[error("{}: {source}{}", path.display(), remedy(source))]
    Io {
        /// The file or folder in question.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Somebody may be at work on the key.
    #[error("another run is at work on {} ({held}); it ends by itself or with that process", key.short())]
    Held {
        /// The key that is claimed.
        key: Key,
        /// What is known of the claim.
        held: Box<Held>,
    },
    /// Somebody has taken the claim over, so that its work is not published.
    #[error(
        "{}: the claim on {} was taken over while the run was under way; nothing was published, its work stays in {}",
        file.display(), key.short(), work.display()
    )]
    Lost {
        /// The key that was claimed.
        key: Key,
        /// The claim's file.
        file: PathBuf,
        /// The folder that the work stays in.
        work: PathBuf,
    },
    /// What lies at the place of the store is no folder.
    #[error("{}: {}", path.display(), what)]
    NoFolder {
        /// The folder that `--store` names.
        path: PathBuf,
        /// What lies there, for people.
        what: String,
    },
    /// Something there cannot be read, or is not as the store needs it.
    #[error("{}: {message}", path.display())]
    Invalid {
        /// The file or folder in question.
        path: PathBuf,
        /// What is wrong, for people.
        message: String,
    },
}

impl StoreError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}

/// What to do about it, where that is known.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; a store of several users needs folders that their group may write (umask 002, `chmod -R g+w`)"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; make room, and the same command goes on"
        }
        _ => "",
    }
}

/// What the store knows of a key.
#[derive(Debug)]
pub enum Lookup {
    /// A finished attempt, its files verified (see the head of this file).
    Hit(Attempt),
    /// Finished attempts that contradict each other.
    Conflict(Vec<Attempt>),
    /// Only attempts that did not finish well; the latest.
    Failed(Attempt, Outcome),
    /// An attempt whose bytes do not match its manifest, and no sound one.
    Altered(Attempt, Problem),
    /// There is no attempt.
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

    /// The folder that `--store` names.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn version_folder(&self) -> PathBuf {
        self.root.join("store/v1")
    }

    /// Whether the store's folder is there.
    ///
    /// # Errors
    /// [`StoreError::NoFolder`] where something else lies there.
    pub fn is_there(&self) -> Result<bool, StoreError> {
        let no_folder = |what: String| StoreError::NoFolder { path: self.root.clone(), what };
        match fs::metadata(&self.root) {
            Ok(found) if found.is_dir() => Ok(true),
            Ok(_) => Err(no_folder("a store is a folder, and this is a file".into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::read_link(&self.root) {
                Ok(to) => Err(no_folder(format!("a link to {}, which is not there", to.display()))),
                Err(_) => Ok(false),
            },
            Err(source) => Err(StoreError::Io { path: self.root.clone(), source }),
        }
    }

    /// The folder of a key, whether it exists or not.
    pub fn folder(&self, key: &Key) -> PathBuf {
        self.version_folder().join(&key.as_str()[..2]).join(key.as_str())
    }

    /// Whether anybody has ever begun anything under a key.
    ///
    /// # Errors
    /// The folder of the store cannot be searched.
    pub fn knows(&self, key: &Key) -> Result<bool, StoreError> {
        let folder = self.folder(key);
        folder.try_exists().map_err(StoreError::io(&folder))
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

    /// Reads what is there of a key, verifying every file on the way. A sound
    /// attempt is preferred to an altered one beside it.
    ///
    /// # Errors
    /// I/O only: damage is a [`Lookup::Altered`], not an error.
    pub fn lookup(&self, key: &Key) -> Result<Lookup, StoreError> {
        let mut done: Vec<(Attempt, RecordHead)> = Vec::new();
        let mut failed: Vec<(Attempt, RecordHead)> = Vec::new();
        let mut altered = None;
        for attempt in self.attempts(key)? {
            let read = attempt.read_json::<RecordHead>("record.json");
            match read.and_then(|head| attempt.check().map(|()| head)) {
                Ok(head) if head.outcome.is_done() => done.push((attempt, head)),
                Ok(head) => failed.push((attempt, head)),
                Err(problem) if problem.is_damage() => altered = altered.or(Some((attempt, problem))),
                Err(problem) => {
                    let path = problem.path().to_owned();
                    return Err(StoreError::Invalid { path, message: unread(&problem) });
                }
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

    /// Takes the exclusive right to work on a key and to publish it.
    ///
    /// # Errors
    /// [`StoreError::Held`] while a living process has it.
    pub fn claim(&self, preimage: &Preimage) -> Result<Claim, StoreError> {
        Claim::take(self, preimage)
    }

    /// Who is at work on a key, if somebody may be.
    ///
    /// # Errors
    /// The claim's file cannot be looked at.
    pub fn holder(&self, key: &Key) -> Result<Option<Held>, StoreError> {
        claim::holder(&self.folder(key))
    }

    /// Takes the claim on a key away from whoever holds it; its work stays, and
    /// the next claim goes on from its checkpoint. None if nobody holds it.
    ///
    /// # Errors
    /// [`StoreError::Held`] while the holder is known to live on this machine.
    pub fn unlock(&self, key: &Key) -> Result<Option<Held>, StoreError> {
        claim::unlock(key, &self.folder(key))
    }

    /// The command line that takes the claim on a key away.
    pub fn unlock_command(&self, key: &Key) -> String {
        let root = self.root.display().to_string();
        let is_plain = root.chars().all(|c| c.is_alphanumeric() || "/._-+:@%,=".contains(c));
        let root = if is_plain { root } else { format!("'{}'", root.replace('\'', r"'\''")) };
        format!("dygl store unlock {} --store {root}", key.short())
    }

    /// The folders in which somebody works or has worked on a key and published
    /// nothing yet, oldest first.
    pub fn work_folders(&self, key: &Key) -> Vec<PathBuf> {
        work::folders(&self.folder(key))
    }

    /// Epochs of a training that a checkpoint holds, from which the next run
    /// goes on; 0 if there is none.
    pub fn epochs_kept(&self, key: &Key) -> usize {
        work::epochs_kept(&self.folder(key))
    }

    /// Puts an altered attempt aside. It is kept: the damage may be evidence.
    ///
    /// # Errors
    /// The folder cannot be moved.
    pub fn quarantine(&self, key: &Key, attempt: &Attempt) -> Result<PathBuf, StoreError> {
        quarantine(&self.folder(key), attempt.folder())
    }
}

/// Moves an attempt of a key into its quarantine, unless somebody else has done
/// so meanwhile; returns its new place.
fn quarantine(key: &Path, attempt: &Path) -> Result<PathBuf, StoreError> {
    let folder = key.join("quarantine");
    fs::create_dir_all(&folder).map_err(StoreError::io(&folder))?;
    let name = attempt.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut last = folder.join(&name);
    for number in 1.. {
        let target = folder.join(format!("{name}.{number}"));
        if fs::symlink_metadata(&target).is_ok() {
            last = target;
            continue;
        }
        match fs::rename(attempt, &target) {
            Ok(()) => return Ok(target),
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            // The name was taken a moment ago.
            Err(_) if fs::symlink_metadata(&target).is_ok() => last = target,
            Err(source) => return Err(StoreError::Io { path: attempt.to_owned(), source }),
        }
    }
    Ok(last)
}

fn unread(problem: &Problem) -> String {
    match problem {
        Problem::Inaccessible { message, .. } => format!("cannot be read: {message}"),
        other => other.to_string(),
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

#[cfg(test)]
mod tests;
