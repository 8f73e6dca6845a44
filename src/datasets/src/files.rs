//! What is recorded of a file, and when that can be trusted without reading it.
//!
//! A file counts as unchanged when its size, both times and its inode are as
//! recorded. Times tick coarsely, so a file edited in the tick in which it was
//! hashed could keep them all (git calls such entries racy): the short cut is
//! taken only where the recorded ctime lies at least [`SETTLED_NS`] before the
//! moment the file was hashed. Nobody can set ctime, so restoring mtime after
//! an edit does not help.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Two seconds: the coarsest clock of a file system in use (FAT, old NFS).
const SETTLED_NS: i64 = 2_000_000_000;

/// One file as it was when its content was hashed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Relative to the dataset's folder, `/` between parts.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// When the content was last written, nanoseconds since 1970.
    pub mtime_ns: i64,
    /// When content or inode last changed, nanoseconds since 1970.
    pub ctime_ns: i64,
    /// Number of the file within its file system.
    pub inode: u64,
    /// When the hashing began, nanoseconds since 1970.
    pub hashed_ns: i64,
    /// blake3 of the content, hex.
    pub blake3: String,
}

/// How a file stands to its entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// The stat data settle it.
    Unchanged,
    /// The content is the same, the stat data had to be taken anew.
    Touched(FileEntry),
    Altered,
    Missing,
}

/// Whether the stat data may spare reading the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    Stat,
    Content,
}

impl FileEntry {
    /// Reads and hashes a file; also returns its bytes.
    pub(super) fn take(root: &Path, path: &str) -> io::Result<(Self, Vec<u8>)> {
        let full = root.join(path);
        // Before and after must agree, else somebody is writing.
        for _ in 0..5 {
            let hashed_ns = now_ns();
            let before = fs::metadata(&full)?;
            let bytes = fs::read(&full)?;
            let after = fs::metadata(&full)?;
            if stat(&before) == stat(&after) && after.len() == bytes.len() as u64 {
                let (size, mtime_ns, ctime_ns, inode) = stat(&after);
                let blake3 = blake3::hash(&bytes).to_hex().to_string();
                let path = path.to_owned();
                return Ok((Self { path, size, mtime_ns, ctime_ns, inode, hashed_ns, blake3 }, bytes));
            }
        }
        Err(io::Error::other("the file keeps changing while it is read"))
    }

    /// Compares the file with this entry.
    pub(super) fn state(&self, root: &Path, depth: Depth) -> io::Result<State> {
        let settled = self.ctime_ns.saturating_add(SETTLED_NS) <= self.hashed_ns;
        if depth == Depth::Stat && settled {
            match fs::metadata(root.join(&self.path)) {
                Ok(found) if stat(&found) == (self.size, self.mtime_ns, self.ctime_ns, self.inode) => {
                    return Ok(State::Unchanged);
                }
                Ok(_) => {}
                Err(error) if gone(&error) => return Ok(State::Missing),
                Err(error) => return Err(error),
            }
        }
        match Self::take(root, &self.path) {
            Ok((found, _)) if found.blake3 == self.blake3 => Ok(State::Touched(found)),
            Ok(_) => Ok(State::Altered),
            Err(error) if gone(&error) => Ok(State::Missing),
            Err(error) => Err(error),
        }
    }
}

fn gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Size, mtime, ctime (ns) and inode.
fn stat(found: &fs::Metadata) -> (u64, i64, i64, u64) {
    let ns = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
    (found.size(), ns(found.mtime(), found.mtime_nsec()), ns(found.ctime(), found.ctime_nsec()), found.ino())
}

fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry that looks as if the file had settled long before it was hashed.
    fn settled(root: &Path) -> FileEntry {
        let (entry, _) = FileEntry::take(root, "a").expect("readable");
        FileEntry { hashed_ns: entry.ctime_ns + SETTLED_NS, ..entry }
    }

    #[test]
    fn a_settled_file_is_trusted_and_a_racy_one_is_read() {
        let root = tempfile::tempdir().expect("folder");
        fs::write(root.path().join("a"), "one").expect("written");
        let entry = settled(root.path());
        assert_eq!(entry.state(root.path(), Depth::Stat).expect("readable"), State::Unchanged);
        let racy = FileEntry { hashed_ns: entry.ctime_ns + SETTLED_NS - 1, ..entry.clone() };
        assert!(matches!(racy.state(root.path(), Depth::Stat), Ok(State::Touched(_))));
        assert!(matches!(entry.state(root.path(), Depth::Content), Ok(State::Touched(_))));
        fs::remove_file(root.path().join("a")).expect("removed");
        assert_eq!(entry.state(root.path(), Depth::Stat).expect("gone"), State::Missing);
        assert_eq!(entry.state(root.path(), Depth::Content).expect("gone"), State::Missing);
    }

    #[test]
    fn an_edit_behind_a_restored_mtime_is_noticed() {
        let root = tempfile::tempdir().expect("folder");
        let path = root.path().join("a");
        fs::write(&path, "one").expect("written");
        let entry = settled(root.path());
        let modified = fs::metadata(&path).and_then(|m| m.modified()).expect("mtime");
        std::thread::sleep(std::time::Duration::from_millis(20));
        // Same size, same inode, mtime put back.
        fs::write(&path, "two").expect("written");
        fs::File::options().write(true).open(&path).and_then(|f| f.set_modified(modified)).expect("set");
        let (found, _) = FileEntry::take(root.path(), "a").expect("readable");
        assert_eq!((found.size, found.mtime_ns, found.inode), (entry.size, entry.mtime_ns, entry.inode));
        assert_eq!(entry.state(root.path(), Depth::Stat).expect("readable"), State::Altered);
    }

    #[test]
    fn an_edit_in_the_tick_of_the_hashing_is_noticed() {
        let root = tempfile::tempdir().expect("folder");
        let path = root.path().join("a");
        fs::write(&path, "one").expect("written");
        let (entry, _) = FileEntry::take(root.path(), "a").expect("readable");
        fs::write(&path, "two").expect("written");
        // The worst clock: every stat field reads as recorded.
        let (found, _) = FileEntry::take(root.path(), "a").expect("readable");
        let entry = FileEntry { blake3: entry.blake3, ..found };
        assert_eq!(entry.state(root.path(), Depth::Stat).expect("readable"), State::Altered);
    }
}
