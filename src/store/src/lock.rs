//! The kernel's lock on a claim: it ends with the process that holds it,
//! whatever that process is called and in whatever container it runs.

use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// File systems that one kernel alone has mounted, by the type that `statfs`
/// gives: ext, XFS, Btrfs, tmpfs, ramfs, overlay, F2FS, ZFS, bcachefs, JFS,
/// ReiserFS.
const LOCAL: [u64; 11] = [
    0xEF53,
    0x5846_5342,
    0x9123_683E,
    0x0102_1994,
    0x8584_58F6,
    0x794C_7630,
    0xF2F5_2010,
    0x2FC1_2FC1,
    0xCA45_1A4E,
    0x3153_464A,
    0x5265_4973,
];

/// What the kernel says of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lock {
    Held,
    Free,
    /// This file system knows no locks.
    Unknown,
}

/// Takes the lock for as long as the file is open. Whoever looks at a lock has
/// it for a moment, so it is asked for more than once.
pub(super) fn take(file: &File) -> bool {
    for _ in 0..40 {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return true,
            Err(Errno::WOULDBLOCK) => std::thread::sleep(Duration::from_millis(2)),
            Err(_) => return false,
        }
    }
    false
}

/// Whether somebody has the lock. The lock itself is not kept.
pub(super) fn look(file: &File) -> Lock {
    // Shared, because a network file system gives an exclusive lock to those alone
    // who may write.
    match flock(file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => {
            let _ = flock(file, FlockOperation::Unlock);
            Lock::Free
        }
        Err(Errno::WOULDBLOCK) => Lock::Held,
        Err(_) => Lock::Unknown,
    }
}

/// Whether one kernel alone can have mounted the file system of a file.
pub(super) fn is_local(file: &File) -> bool {
    // The type is a signed word on some machines.
    rustix::fs::fstatfs(file).is_ok_and(|found| LOCAL.contains(&(found.f_type as u64 & 0xFFFF_FFFF)))
}

/// Whether a process of this machine has the lock of a file that cannot be
/// opened, by the kernel's list (`man 5 proc_locks`). It leaves out processes
/// of other containers, so that a file that is not listed proves nothing.
pub(super) fn is_listed(found: &Metadata) -> bool {
    let device = found.dev();
    let of = format!("{:02x}:{:02x}:{}", rustix::fs::major(device), rustix::fs::minor(device), found.ino());
    std::fs::read_to_string("/proc/locks").is_ok_and(|list| {
        list.lines().any(|line| {
            let mut words = line.split_whitespace();
            words.any(|word| word == "FLOCK") && words.any(|word| word == of)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_seen_by_others_and_ends_with_its_file() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a");
        let mine = File::create(&path).expect("made");
        let other = File::open(&path).expect("opened");
        assert_eq!(look(&other), Lock::Free);
        assert!(take(&mine));
        assert_eq!(look(&other), Lock::Held);
        assert!(!take(&other));
        drop(mine);
        assert_eq!(look(&other), Lock::Free);
        assert!(!is_listed(&other.metadata().expect("there")));
    }
}
