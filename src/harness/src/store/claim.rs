//! The claim: the exclusive right to work on a key.
//!
//! A claim is a file that appears by a hard link, so that it is either absent
//! or complete, and whoever links first has it. It names the holding process
//! by host, boot, process id and that process's start time; when no such
//! process lives, the claim is void and the next comer takes it over without
//! anybody's help. A claim from another host is respected.

use std::fmt;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use super::{Store, StoreError};
use crate::key::{Key, Preimage};

/// Who holds a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub host: String,
    /// Identity of the boot: process ids start anew with each.
    pub boot: String,
    pub pid: u32,
    /// Start of the process in clock ticks since boot: process ids are reused.
    pub start: u64,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {}", self.pid, self.host)
    }
}

impl Holder {
    /// This process.
    pub fn me() -> Self {
        let pid = std::process::id();
        Self { host: host(), boot: boot(), pid, start: start_of(pid).unwrap_or_default() }
    }

    /// Whether the holder may still be at work.
    fn may_live(&self) -> bool {
        if self.host != host() {
            return true;
        }
        self.boot == boot() && start_of(self.pid) == Some(self.start)
    }
}

/// Name of this machine.
pub fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|s| s.trim().to_owned()).unwrap_or_default()
}

/// Field 22 of /proc/<pid>/stat; none if there is no such process or it is a
/// zombie.
fn start_of(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the command in parentheses and may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// The right to work on a key; given up when dropped.
#[derive(Debug)]
pub struct Claim {
    key: Key,
    folder: PathBuf,
    holder: Holder,
}

impl Claim {
    pub(super) fn take(store: &Store, preimage: &Preimage) -> Result<Self, StoreError> {
        let key = preimage.key();
        let folder = store.folder(&key);
        fs::create_dir_all(&folder).map_err(StoreError::io(&folder))?;
        let holder = Holder::me();
        let path = folder.join("claim");
        loop {
            if link(&path, &holder)? {
                break;
            }
            match read(&path)? {
                // Given up since: try again.
                None => {}
                Some(other) if other.may_live() => return Err(StoreError::Held { key, holder: other }),
                Some(dead) => take_away(&path, &dead)?,
            }
        }
        let claim = Self { key, folder, holder };
        let work = claim.work();
        fs::create_dir_all(&work).map_err(StoreError::io(&work))?;
        let path = work.join("key.json");
        let text = serde_json::to_string_pretty(preimage)
            .map_err(|error| StoreError::Invalid { path: path.clone(), message: error.to_string() })?;
        fs::write(&path, text).map_err(StoreError::io(&path))?;
        Ok(claim)
    }

    pub fn key(&self) -> &Key {
        &self.key
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the work is done; a later claim of the same key finds it again.
    pub fn work(&self) -> PathBuf {
        self.folder.join("work")
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let path = self.folder.join("claim");
        // Someone may have judged us dead and taken over.
        if read(&path).ok().flatten().as_ref() == Some(&self.holder) {
            // Whoever comes next finds that this process is gone.
            let _ = fs::remove_file(&path);
        }
    }
}

/// Makes the claim file, complete, unless there is one.
fn link(path: &Path, holder: &Holder) -> Result<bool, StoreError> {
    let folder = path.parent().unwrap_or(path);
    let mut file =
        tempfile::Builder::new().prefix(".claim-").tempfile_in(folder).map_err(StoreError::io(folder))?;
    serde_json::to_writer(&mut file, holder)
        .map_err(|error| StoreError::Invalid { path: path.to_owned(), message: error.to_string() })?;
    file.flush().map_err(StoreError::io(path))?;
    match fs::hard_link(file.path(), path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(source) => Err(StoreError::Io { path: path.to_owned(), source }),
    }
}

fn read(path: &Path) -> Result<Option<Holder>, StoreError> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| StoreError::Invalid {
            path: path.to_owned(),
            message: format!("no claim: {error}; remove the file if no run is under way"),
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StoreError::Io { path: path.to_owned(), source }),
    }
}

/// Removes a dead claim. Two comers may try at once: each moves what it finds
/// to a name of its own and looks whether it was the dead one.
fn take_away(path: &Path, dead: &Holder) -> Result<(), StoreError> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let aside = path.with_file_name(format!(".claim-void-{}-{number}", std::process::id()));
    match fs::rename(path, &aside) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        other => other.map_err(StoreError::io(path))?,
    }
    if read(&aside)?.as_ref() != Some(dead) {
        // A living claim was caught: give it its name back, unless a third
        // has taken the place meanwhile.
        match fs::hard_link(&aside, path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            other => other.map_err(StoreError::io(path))?,
        }
    }
    fs::remove_file(&aside).map_err(StoreError::io(&aside))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preimage() -> Preimage {
        let mut preimage = Preimage::new("test");
        preimage.put("a", "1");
        preimage
    }

    #[test]
    fn one_holder_at_a_time() {
        let dir = tempfile::tempdir().expect("folder");
        let store = Store::at(dir.path());
        let claim = store.claim(&preimage()).expect("free");
        assert!(matches!(store.claim(&preimage()), Err(StoreError::Held { .. })));
        drop(claim);
        store.claim(&preimage()).expect("free again");
    }

    #[test]
    fn the_claim_of_a_dead_process_is_void() {
        let dir = tempfile::tempdir().expect("folder");
        let store = Store::at(dir.path());
        drop(store.claim(&preimage()).expect("free"));
        let path = store.folder(&preimage().key()).join("claim");
        // The same process id, another start: the id was reused.
        let dead = Holder { start: 1, ..Holder::me() };
        fs::write(&path, serde_json::to_vec(&dead).expect("json")).expect("written");
        store.claim(&preimage()).expect("taken over");
    }

    #[test]
    fn a_claim_from_another_host_is_respected() {
        let dir = tempfile::tempdir().expect("folder");
        let store = Store::at(dir.path());
        drop(store.claim(&preimage()).expect("free"));
        let path = store.folder(&preimage().key()).join("claim");
        let far = Holder { host: "elsewhere".into(), ..Holder::me() };
        fs::write(&path, serde_json::to_vec(&far).expect("json")).expect("written");
        assert!(matches!(store.claim(&preimage()), Err(StoreError::Held { .. })));
    }

    #[test]
    fn only_one_of_many_comers_gets_a_void_claim() {
        let dir = tempfile::tempdir().expect("folder");
        let store = Store::at(dir.path());
        drop(store.claim(&preimage()).expect("free"));
        let dead = Holder { start: 1, ..Holder::me() };
        let path = store.folder(&preimage().key()).join("claim");
        fs::write(&path, serde_json::to_vec(&dead).expect("json")).expect("written");
        let won: Vec<Claim> = std::thread::scope(|scope| {
            let comers: Vec<_> = (0..8).map(|_| scope.spawn(|| store.claim(&preimage()).ok())).collect();
            comers.into_iter().filter_map(|comer| comer.join().expect("no panic")).collect()
        });
        assert_eq!(won.len(), 1);
    }
}
