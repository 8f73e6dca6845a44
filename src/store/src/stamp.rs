//! Stamps: what large files looked like when their bytes were last hashed.
//!
//! ```text
//! <key>/stamps/<attempt>.json   by file: size, times, inode, moment, blake3
//! ```
//!
//! A large file whose size, times and inode are as stamped is not read again.
//! Times tick coarsely, so a file that was written in the tick in which it was
//! hashed could be written once more and keep them: a stamp is trusted only
//! where the file had rested for [`SETTLED_NS`] before. Nobody can set the time
//! of the last change (ctime), so bringing back the time of the last writing
//! does not help. Stamps can be deleted at any time; the files are hashed then.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use dygl_base::atomic;
use serde::{Deserialize, Serialize};

/// Two seconds: the coarsest clock of a file system in use (FAT, old NFS).
const SETTLED_NS: i64 = 2_000_000_000;

/// A file as it was when it was hashed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    size: u64,
    mtime_ns: i64,
    ctime_ns: i64,
    inode: u64,
    /// When the hashing began, by the clock of the file system.
    hashed_ns: i64,
    blake3: String,
}

impl Stamp {
    fn of(found: &Metadata, hashed_ns: i64, blake3: &str) -> Self {
        Self {
            size: found.size(),
            mtime_ns: ns(found.mtime(), found.mtime_nsec()),
            ctime_ns: ns(found.ctime(), found.ctime_nsec()),
            inode: found.ino(),
            hashed_ns,
            blake3: blake3.to_owned(),
        }
    }

    fn is_settled(&self) -> bool {
        self.ctime_ns.max(self.mtime_ns).saturating_add(SETTLED_NS) <= self.hashed_ns
    }
}

/// The stamps of one attempt.
#[derive(Debug)]
pub(super) struct Stamps {
    path: PathBuf,
    known: BTreeMap<String, Stamp>,
    is_new: bool,
    /// The file system's time when it was first asked for.
    began: Option<i64>,
}

impl Stamps {
    /// Those of the attempt with that digest in the folder of a key.
    pub(super) fn of(key: &Path, digest: &str) -> Self {
        let path = key.join("stamps").join(format!("{digest}.json"));
        let known = fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        Self { path, known: known.unwrap_or_default(), is_new: false, began: None }
    }

    /// Whether the file is known to hold those bytes without reading it.
    pub(super) fn vouch(&self, name: &str, found: &Metadata, blake3: &str) -> bool {
        self.known
            .get(name)
            .is_some_and(|stamp| stamp.is_settled() && *stamp == Stamp::of(found, stamp.hashed_ns, blake3))
    }

    /// To be called before files are hashed: asks the file system for the time.
    pub(super) fn begin(&mut self) {
        if self.began.is_some() {
            return;
        }
        // The clock of a file server differs from that of this machine.
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let now = fs::create_dir_all(folder)
            .and_then(|()| atomic::temporary(folder)?.as_file().metadata())
            .map(|found| ns(found.ctime(), found.ctime_nsec()));
        // Where nothing can be written, nothing can be remembered either.
        self.began = Some(now.unwrap_or(i64::MIN));
    }

    /// Remembers what a file looked like before and after its bytes were hashed.
    pub(super) fn record(&mut self, name: &str, before: &Metadata, after: &Metadata, blake3: &str) {
        let Some(began) = self.began else { return };
        let stamp = Stamp::of(after, began, blake3);
        if stamp == Stamp::of(before, began, blake3) && stamp.is_settled() {
            self.known.insert(name.to_owned(), stamp);
            self.is_new = true;
        }
    }

    /// Writes what is new. What cannot be written is hashed again next time.
    pub(super) fn keep(&self) {
        if self.is_new
            && let Ok(text) = serde_json::to_vec(&self.known)
        {
            let _ = atomic::write(&self.path, &text);
        }
    }
}

fn ns(seconds: i64, rest: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_vouches_for_a_settled_file_alone() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a");
        fs::write(&path, "one").expect("written");
        let found = fs::metadata(&path).expect("there");
        let mut stamps = Stamps::of(folder.path(), "digest");
        stamps.begin();
        stamps.record("a", &found, &found, "1");
        assert!(!stamps.vouch("a", &found, "1"), "it was written a moment ago");
        stamps.began = Some(ns(found.ctime(), found.ctime_nsec()) + SETTLED_NS);
        stamps.record("a", &found, &found, "1");
        stamps.keep();
        let again = Stamps::of(folder.path(), "digest");
        assert!(again.vouch("a", &found, "1"));
        assert!(!again.vouch("a", &found, "2"), "the manifest names other bytes");
        assert!(!again.vouch("b", &found, "1"));
        // Written again, with the old time of writing brought back.
        let written = found.modified().expect("a time");
        std::thread::sleep(std::time::Duration::from_millis(50));
        fs::write(&path, "two").expect("written");
        fs::File::options()
            .write(true)
            .open(&path)
            .and_then(|file| file.set_modified(written))
            .expect("the time is set");
        let touched = fs::metadata(&path).expect("there");
        assert_eq!(touched.modified().expect("a time"), written);
        assert!(!again.vouch("a", &touched, "1"));
    }

    #[test]
    fn damaged_stamps_vouch_for_nothing() {
        let folder = tempfile::tempdir().expect("folder");
        fs::create_dir(folder.path().join("stamps")).expect("made");
        fs::write(folder.path().join("stamps/digest.json"), "{\"a\":").expect("written");
        let found = fs::metadata(folder.path()).expect("there");
        assert!(!Stamps::of(folder.path(), "digest").vouch("a", &found, "1"));
    }
}
