//! Publication: finished work becomes an attempt by one rename.
//!
//! Every step up to that rename can be taken again, and nothing behind it fails
//! a result that is there.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::attempt::hash_file;
use super::work::{self, CHECKPOINT};
use super::{Attempt, Claim, Problem, StoreError, discard, quarantine};

/// Names in a work folder that are no part of its result.
const NO_PART: [&str; 3] = ["MANIFEST", "job.json", CHECKPOINT];

impl Claim {
    /// Makes the files in the work folder an attempt. Only the holder of the
    /// claim can do this. The checkpoint is no part of it: it is dropped, or
    /// stays for a later try where `keep_checkpoint` says so.
    ///
    /// # Errors
    /// A file cannot be read or moved, or the claim was lost. The work folder
    /// then still holds all, and the same call may succeed later.
    pub fn publish(&self, keep_checkpoint: bool) -> Result<Attempt, StoreError> {
        self.publish_by(keep_checkpoint, &rename_new)
    }

    /// The same by a rename of one's own, for file systems of other habits.
    fn publish_by(&self, keep_checkpoint: bool, rename: Rename<'_>) -> Result<Attempt, StoreError> {
        self.still_ours()?;
        let attempts = self.folder().join("attempts");
        fs::create_dir_all(&attempts).map_err(StoreError::io(&attempts))?;
        let work = self.work();
        let digest = seal(&work)?;
        let target = attempts.join(&digest);
        let checkpoint = work::spare(self.folder(), &work)?;
        // It tells the worker what to do and nobody what was done; nobody misses
        // it, and nobody minds where it cannot be removed.
        let _ = fs::remove_file(work.join("job.json"));
        if let Err(error) = place(self.folder(), &work, &target, rename) {
            if let Some(checkpoint) = &checkpoint {
                let _ = fs::rename(checkpoint, work.join(CHECKPOINT));
            }
            return Err(error);
        }
        let attempt = Attempt::at(target.clone());
        let attempt = attempt.ok_or(StoreError::Invalid { path: target, message: "no digest".into() })?;
        // The attempt is there: what follows may fail, and costs at most time.
        let _ = sync_folder(&attempts);
        if let Some(checkpoint) = checkpoint {
            let kept = keep_checkpoint
                && fs::create_dir_all(&work).is_ok()
                && fs::rename(&checkpoint, work.join(CHECKPOINT)).is_ok();
            if !kept && !keep_checkpoint {
                let _ = discard::discard(&checkpoint);
            }
        }
        discard::sweep(self.folder());
        Ok(attempt)
    }
}

/// A rename that takes no name that is taken.
type Rename<'a> = &'a dyn Fn(&Path, &Path) -> io::Result<()>;

/// Lists the files of a folder with their digests in its manifest; returns the
/// digest of that.
fn seal(work: &Path) -> Result<String, StoreError> {
    let mut names = Vec::new();
    collect(work, work, &mut names)?;
    names.sort();
    let mut manifest = String::new();
    for name in &names {
        let path = work.join(name);
        let hash = hash_file(&path)
            .map_err(|problem| StoreError::Invalid { path: path.clone(), message: reason(&problem) })?;
        manifest.push_str(&format!("{hash}  {name}\n"));
        File::open(&path).and_then(|file| sync(&file)).map_err(StoreError::io(&path))?;
    }
    let path = work.join("MANIFEST");
    File::create(&path)
        .and_then(|mut file| {
            file.write_all(manifest.as_bytes())?;
            sync(&file)
        })
        .map_err(StoreError::io(&path))?;
    sync_folder(work)?;
    Ok(blake3::hash(manifest.as_bytes()).to_hex().to_string())
}

fn reason(problem: &Problem) -> String {
    match problem {
        Problem::Unreadable { message, .. } | Problem::Inaccessible { message, .. } => message.clone(),
        _ => "it vanished while it was read".to_owned(),
    }
}

fn collect(root: &Path, folder: &Path, names: &mut Vec<String>) -> Result<(), StoreError> {
    for entry in fs::read_dir(folder).map_err(StoreError::io(folder))? {
        let entry = entry.map_err(StoreError::io(folder))?;
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if discard::vanishes(&name) || (folder == root && NO_PART.contains(&name.as_str())) {
            continue;
        }
        if path.is_dir() {
            collect(root, &path, names)?;
        } else {
            let relative = path.strip_prefix(root).unwrap_or(&path);
            names.push(relative.to_string_lossy().into_owned());
        }
    }
    Ok(())
}

/// Gives the sealed folder its name. The name is the digest of the manifest: a
/// sound attempt under it is this one, published before. Anything else under it
/// is put aside.
fn place(key: &Path, work: &Path, target: &Path, rename: Rename<'_>) -> Result<(), StoreError> {
    let mut last = None;
    // Twice: something may be put aside in between.
    for _ in 0..2 {
        let error = match rename(work, target) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let is_there = fs::symlink_metadata(target).is_ok();
        last = Some(StoreError::Io { path: target.to_owned(), source: error });
        if !is_there {
            break;
        }
        match Attempt::at(target.to_owned()) {
            Some(before) if before.verify().is_empty() => {
                let _ = discard::discard(work);
                return Ok(());
            }
            _ => drop(quarantine(key, target)?),
        }
    }
    last.map_or(Ok(()), Err)
}

fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Some network file systems know no NOREPLACE; a rename onto a folder
        // that is not empty fails there, too, and an empty one is no loss.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => fs::rename(from, to),
        other => other.map_err(Into::into),
    }
}

/// Some file systems cannot sync, folders above all; their users know.
fn sync(file: &File) -> io::Result<()> {
    match file.sync_all() {
        Err(error)
            if [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP]
                .iter()
                .any(|errno| error.raw_os_error() == Some(errno.raw_os_error())) =>
        {
            Ok(())
        }
        other => other,
    }
}

fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    File::open(folder).and_then(|file| sync(&file)).map_err(StoreError::io(folder))
}

#[cfg(test)]
mod tests;
