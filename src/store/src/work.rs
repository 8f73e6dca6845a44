//! Work under way: a folder for each claim, and what the next claim of the key
//! takes over from it.
//!
//! A complete checkpoint is never written to again, so it is moved; whoever
//! still works in the old folder, though its claim is gone, loses nothing that
//! it could yet spoil. Its logs are copied, because it may be appending to them.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::holder::nonce;
use super::{StoreError, discard};

/// The folder in which a worker keeps what it needs to resume: one folder for
/// each number of epochs done, complete under that name.
pub const CHECKPOINT: &str = "checkpoint";

/// Where a checkpoint waits while its folder becomes an attempt.
pub(super) const SPARED: &str = ".checkpoint-";

/// Files that a later claim goes on with.
const LOGS: [&str; 2] = ["log.txt", "events.jsonl"];

/// Name of the work folder of a claim. A name is never given twice: a process
/// that has lost its claim without noticing shares it with nobody.
pub(super) fn name(nonce: &str) -> String {
    format!("work.{nonce}")
}

/// The folders in which somebody works or has worked on a key, oldest first.
pub(super) fn folders(key: &Path) -> Vec<PathBuf> {
    let mut found: Vec<(SystemTime, PathBuf)> = fs::read_dir(key)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            // Earlier versions had one folder for all claims.
            name == "work" || name.starts_with("work.")
        })
        .map(|entry| {
            let changed = entry.metadata().and_then(|found| found.modified());
            (changed.unwrap_or(SystemTime::UNIX_EPOCH), entry.path())
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

/// The newest complete checkpoint in a folder of checkpoints, with its epochs.
fn newest(checkpoints: &Path) -> Option<(usize, PathBuf)> {
    let entries = fs::read_dir(checkpoints).ok()?.flatten();
    let numbered = entries.filter_map(|entry| {
        let epochs = entry.file_name().to_str()?.parse().ok()?;
        Some((epochs, entry.path()))
    });
    numbered.max()
}

/// Every checkpoint that is kept of a key, with its epochs.
fn checkpoints(key: &Path) -> impl Iterator<Item = (usize, PathBuf)> {
    let spared = fs::read_dir(key).into_iter().flatten().flatten();
    let spared = spared.filter(|entry| entry.file_name().to_string_lossy().starts_with(SPARED));
    let spared: Vec<PathBuf> = spared.map(|entry| entry.path()).collect();
    let of_work = folders(key).into_iter().map(|folder| folder.join(CHECKPOINT));
    spared.into_iter().chain(of_work).filter_map(|folder| newest(&folder))
}

/// Epochs that the newest checkpoint of a key holds; 0 if there is none.
pub(super) fn epochs_kept(key: &Path) -> usize {
    checkpoints(key).map(|(epochs, _)| epochs).max().unwrap_or(0)
}

/// Takes over what earlier claims of the key have left: the newest checkpoint
/// and the logs that lead up to it. What cannot be taken over is left where it
/// is; the work then begins anew.
///
/// # Errors
/// The work folder itself cannot be written.
pub(super) fn adopt(key: &Path, work: &Path) -> Result<(), StoreError> {
    let earlier: Vec<PathBuf> = folders(key).into_iter().filter(|folder| folder != work).collect();
    let found = checkpoints(key).max();
    // The logs that belong to it; those of the last try, where there is none.
    let of = found.as_ref().and_then(|(_, path)| path.parent()?.parent());
    let source = of.filter(|of| earlier.iter().any(|folder| folder == of)).map(Path::to_owned);
    if let Some(source) = source.or_else(|| earlier.last().cloned()) {
        for name in LOGS {
            match fs::copy(source.join(name), work.join(name)) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                // Another user's, perhaps. The work does not depend on it.
                Err(_) => drop(fs::remove_file(work.join(name))),
            }
        }
    }
    if let Some((epochs, path)) = found {
        let folder = work.join(CHECKPOINT);
        fs::create_dir_all(&folder).map_err(StoreError::io(&folder))?;
        let target = folder.join(format!("{epochs:06}"));
        if fs::rename(&path, &target).is_err() && copy(&path, &folder.join(".new"), &target).is_err() {
            // Nothing half copied is taken for a checkpoint.
            let _ = discard::discard(&folder.join(".new"));
        }
    }
    let entries = fs::read_dir(key).into_iter().flatten().flatten();
    let spared = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(SPARED));
    for folder in earlier.into_iter().chain(spared.map(|entry| entry.path())) {
        // Another user's folder stays; it is passed over as long as it is older.
        let _ = discard::discard(&folder);
    }
    Ok(())
}

/// Copies a folder of files, whole or not at all.
fn copy(from: &Path, through: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(through)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        fs::copy(&path, through.join(name))?;
    }
    fs::rename(through, to)
}

/// Puts the checkpoint of a work folder aside, if there is one.
pub(super) fn spare(key: &Path, work: &Path) -> Result<Option<PathBuf>, StoreError> {
    let (checkpoint, aside) = (work.join(CHECKPOINT), key.join(format!("{SPARED}{}", nonce())));
    match fs::rename(&checkpoint, &aside) {
        Ok(()) => Ok(Some(aside)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StoreError::Io { path: checkpoint, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: PathBuf, text: &str) {
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }

    fn read(path: PathBuf) -> String {
        fs::read_to_string(path).expect("read")
    }

    #[test]
    fn the_newest_complete_checkpoint_and_its_logs_are_taken_over() {
        let root = tempfile::tempdir().expect("folder");
        let key = root.path();
        // Of an earlier version, of a killed run, and one that was being published.
        write(key.join("work/checkpoint/000003/state.json"), "three");
        write(key.join("work.aa/checkpoint/000012/state.json"), "twelve");
        write(key.join("work.aa/checkpoint/.new/state.json"), "half");
        write(key.join("work.aa/log.txt"), "log of twelve");
        write(key.join(".checkpoint-bb/000009/state.json"), "nine");
        assert_eq!(epochs_kept(key), 12);
        let work = key.join("work.cc");
        fs::create_dir(&work).expect("made");
        adopt(key, &work).expect("adopted");
        assert_eq!(read(work.join("checkpoint/000012/state.json")), "twelve");
        assert_eq!(read(work.join("log.txt")), "log of twelve");
        assert!(!work.join("events.jsonl").exists());
        assert_eq!(folders(key), [work]);
        assert_eq!(fs::read_dir(key).expect("listed").count(), 1, "nothing else is left");
        assert_eq!(epochs_kept(key), 12);
    }

    #[test]
    fn a_folder_without_a_checkpoint_leaves_its_log() {
        let root = tempfile::tempdir().expect("folder");
        write(root.path().join("work.aa/events.jsonl"), "begun");
        write(root.path().join("work.aa/model.safetensors"), "half");
        let work = root.path().join("work.bb");
        fs::create_dir(&work).expect("made");
        adopt(root.path(), &work).expect("adopted");
        assert_eq!(read(work.join("events.jsonl")), "begun");
        assert_eq!(fs::read_dir(&work).expect("listed").count(), 1);
        assert_eq!(epochs_kept(root.path()), 0);
    }
}
