//! The claim: the exclusive right to work on a key.
//!
//! A claim is a file that appears by a hard link, so that it is either absent
//! or complete, and whoever links first has it. Where a file system has no hard
//! links, it is made exclusively and then written: an unfinished one is held.
//! It names the holding process ([`Holder`]), which keeps a kernel lock on it as
//! long as it lives. When the holder is known to be gone, the claim is void and
//! the next comer takes it over without anybody's help. Where nothing proves its
//! end, the claim is respected until somebody takes it away
//! ([`Store::unlock`]).
//!
//! Each holder works in a folder of its own. Even a process that was judged
//! dead and is not, as one of a virtual machine that was restored, writes into
//! no folder of its successor, and it publishes nothing.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use dygl_base::atomic;

use super::holder::{Holder, nonce};
use super::lock::{self, Lock};
use super::{Store, StoreError, discard, work};
use crate::key::{Key, Preimage};

/// Name of a claim's file in the folder of its key.
pub(super) const FILE: &str = "claim";

/// The right to work on a key; given up when dropped.
#[derive(Debug)]
pub struct Claim {
    key: Key,
    folder: PathBuf,
    holder: Holder,
    /// Keeps the kernel's lock.
    _file: File,
}

/// A claim that somebody has, as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The claim's file.
    pub file: PathBuf,
    /// None where the file does not say it; `why` then does.
    pub holder: Option<Holder>,
    /// Why the file names no holder; empty where it does.
    pub why: String,
    /// How long ago the claim was made.
    pub age: Duration,
    /// Whether the holder is known to be at work on this machine.
    pub lives_here: bool,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.holder {
            Some(holder) => holder.fmt(f),
            None => write!(f, "somebody ({})", self.why),
        }
    }
}

impl Claim {
    pub(super) fn take(store: &Store, preimage: &Preimage) -> Result<Self, StoreError> {
        let key = preimage.key().clone();
        let folder = store.folder(&key);
        fs::create_dir_all(&folder).map_err(StoreError::io(&folder))?;
        let path = folder.join(FILE);
        let mut holder = Holder::me();
        let file = loop {
            if let Some(file) = link(&path, &mut holder)? {
                break file;
            }
            match Found::at(&path)? {
                // Given up since: try again.
                None => {}
                Some(found) if found.may_live() => {
                    return Err(StoreError::Held { key, held: Box::new(found.into_held(path)) });
                }
                Some(found) => found.take_away(&path)?,
            }
        };
        let claim = Self { key, folder, holder, _file: file };
        discard::sweep(&claim.folder);
        let work = claim.work();
        fs::create_dir_all(&work).map_err(StoreError::io(&work))?;
        work::adopt(&claim.folder, &work)?;
        let path = work.join("key.json");
        let text = serde_json::to_string_pretty(preimage)
            .map_err(|error| StoreError::Invalid { path: path.clone(), message: error.to_string() })?;
        fs::write(&path, text).map_err(StoreError::io(&path))?;
        Ok(claim)
    }

    /// The key that may be worked on.
    pub fn key(&self) -> &Key {
        &self.key
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the work is done: a folder of this claim alone. Checkpoints of
    /// earlier claims of the key are in it.
    pub fn work(&self) -> PathBuf {
        self.folder.join(work::name(&self.holder.nonce))
    }

    /// Whether the claim is still there.
    ///
    /// # Errors
    /// [`StoreError::Lost`] if somebody has taken it over.
    pub(super) fn still_ours(&self) -> Result<(), StoreError> {
        let file = self.folder.join(FILE);
        match Found::at(&file)? {
            Some(found) if found.holder.as_ref() == Some(&self.holder) => Ok(()),
            _ => Err(StoreError::Lost { key: self.key.clone(), file, work: self.work() }),
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.still_ours().is_ok() {
            // Whoever comes next finds that this process is gone.
            let _ = fs::remove_file(self.folder.join(FILE));
        }
    }
}

/// Who has a key, if somebody may be at work on it.
pub(super) fn holder(folder: &Path) -> Result<Option<Held>, StoreError> {
    let path = folder.join(FILE);
    Ok(Found::at(&path)?.filter(Found::may_live).map(|found| found.into_held(path)))
}

/// Takes a claim away from its holder, unless that process is known to live on
/// this machine. None if there is no claim.
pub(super) fn unlock(key: &Key, folder: &Path) -> Result<Option<Held>, StoreError> {
    let path = folder.join(FILE);
    let Some(found) = Found::at(&path)? else { return Ok(None) };
    let held = found.into_held(path.clone());
    if held.lives_here {
        return Err(StoreError::Held { key: key.clone(), held: Box::new(held) });
    }
    discard::discard(&path).map_err(StoreError::io(&path))?;
    Ok(Some(held))
}

/// A claim's file as it was found.
struct Found {
    file: Option<File>,
    /// None if the file does not name one.
    holder: Option<Holder>,
    /// Why it names none.
    why: String,
    lock: Lock,
    is_local: bool,
    age: Duration,
}

impl Found {
    /// None if there is no claim.
    fn at(path: &Path) -> Result<Option<Self>, StoreError> {
        let stat = match fs::metadata(path) {
            Ok(stat) => stat,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(StoreError::Io { path: path.to_owned(), source }),
        };
        let age = stat.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        let mut found = Self {
            file: None,
            holder: None,
            why: String::new(),
            lock: Lock::Unknown,
            is_local: false,
            age: age.unwrap_or_default(),
        };
        // A lock on a network needs a file that may be written.
        let opened = OpenOptions::new().read(true).write(true).open(path).or_else(|_| File::open(path));
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            // Somebody's of whom nothing more can be known is somebody's.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                found.why = format!("its file cannot be read: {error}");
                if lock::is_listed(&stat) {
                    (found.lock, found.is_local) = (Lock::Held, true);
                }
                return Ok(Some(found));
            }
            Err(source) => return Err(StoreError::Io { path: path.to_owned(), source }),
        };
        found.lock = lock::look(&file);
        found.is_local = lock::is_local(&file);
        let text = std::io::read_to_string(&file).map_err(StoreError::io(path))?;
        match serde_json::from_str(&text) {
            Ok(holder) => found.holder = Some(holder),
            Err(_) => "its file is unfinished".clone_into(&mut found.why),
        }
        found.file = Some(file);
        Ok(Some(found))
    }

    fn may_live(&self) -> bool {
        self.holder.as_ref().is_none_or(|holder| holder.may_live(self.lock, self.is_local))
    }

    fn into_held(self, file: PathBuf) -> Held {
        let lives_here = match &self.holder {
            Some(holder) => holder.lives_here(self.lock),
            None => self.lock == Lock::Held && self.is_local,
        };
        Held { file, holder: self.holder, why: self.why, age: self.age, lives_here }
    }

    /// Removes this claim, whose holder is dead. Several comers may try at
    /// once, and one of them may have made a claim of its own meanwhile.
    fn take_away(self, path: &Path) -> Result<(), StoreError> {
        let Some(file) = &self.file else { return Ok(()) };
        if self.lock == Lock::Unknown {
            return self.take_away_without_lock(path);
        }
        // Whoever has the lock of the dead one's file may remove it.
        if lock::take(file) && is_at(file, path) {
            match fs::remove_file(path) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                other => other.map_err(StoreError::io(path))?,
            }
        }
        Ok(())
    }

    /// Moves what lies there to a name of its own and looks whether it was the
    /// dead one.
    fn take_away_without_lock(self, path: &Path) -> Result<(), StoreError> {
        let aside = path.with_file_name(format!(".claim-void-{}", nonce()));
        match fs::rename(path, &aside) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            other => other.map_err(StoreError::io(path))?,
        }
        let caught = Self::at(&aside)?;
        if caught.is_some_and(|caught| caught.holder != self.holder) {
            // A living claim was caught: give it its name back, unless a third
            // has taken the place meanwhile.
            match fs::hard_link(&aside, path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Ok(()) => {}
                Err(_) if !path.exists() => return fs::rename(&aside, path).map_err(StoreError::io(path)),
                Err(_) => {}
            }
        }
        fs::remove_file(&aside).map_err(StoreError::io(&aside))
    }
}

/// Whether the file of that name is this one.
fn is_at(file: &File, path: &Path) -> bool {
    let same = |a: fs::Metadata, b: fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    file.metadata().is_ok_and(|own| fs::metadata(path).is_ok_and(|there| same(own, there)))
}

/// Makes the claim file, complete, unless there is one.
fn link(path: &Path, holder: &mut Holder) -> Result<Option<File>, StoreError> {
    let folder = atomic::folder_of(path);
    let temporary =
        atomic::builder().prefix(".claim-").tempfile_in(folder).map_err(StoreError::io(folder))?;
    fill(temporary.as_file(), holder).map_err(StoreError::io(temporary.path()))?;
    match fs::hard_link(temporary.path(), path) {
        Ok(()) => {}
        // The answer of a file server may be lost, and the second one says that
        // the name is taken: by the first.
        Err(_) if temporary.as_file().metadata().is_ok_and(|found| found.nlink() == 2) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(None),
        // Whatever the reason: the other way tells whether claims can be made here.
        Err(_) => return exclusive(path, holder),
    }
    Ok(Some(temporary.into_file()))
}

/// Makes the claim file where there are no hard links: first the name, then
/// what it says. Until that is there, nobody takes it away.
fn exclusive(path: &Path, holder: &mut Holder) -> Result<Option<File>, StoreError> {
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(file) => {
            if let Err(source) = fill(&file, holder) {
                // Otherwise it would be held for ever.
                let _ = fs::remove_file(path);
                return Err(StoreError::Io { path: path.to_owned(), source });
            }
            Ok(Some(file))
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(None),
        Err(source) => Err(StoreError::Io { path: path.to_owned(), source }),
    }
}

/// Locks a file and writes its holder into it.
fn fill(mut file: &File, holder: &mut Holder) -> std::io::Result<()> {
    holder.locked = lock::take(file);
    file.write_all(&serde_json::to_vec(holder)?)?;
    file.flush()
}

#[cfg(test)]
mod tests;
