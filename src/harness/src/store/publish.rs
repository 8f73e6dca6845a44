//! Publication: finished work becomes an attempt by one rename.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::attempt::hash_file;
use super::{Attempt, Claim, StoreError};

/// The folder in which a worker keeps what it needs to resume.
pub const CHECKPOINT: &str = "checkpoint";

impl Claim {
    /// Makes the files in the work folder an attempt. Only the holder of the
    /// claim can do this. The checkpoint is no part of it: it is dropped, or
    /// stays for a later try where `keep_checkpoint` says so.
    ///
    /// # Errors
    /// A file cannot be read or moved. The work folder then still holds all.
    pub fn publish(&self, keep_checkpoint: bool) -> Result<Attempt, StoreError> {
        let attempts = self.folder().join("attempts");
        fs::create_dir_all(&attempts).map_err(StoreError::io(&attempts))?;
        let work = self.work();
        let checkpoint = work.join(CHECKPOINT);
        let aside = self.folder().join(".checkpoint");
        if keep_checkpoint && checkpoint.exists() {
            fs::rename(&checkpoint, &aside).map_err(StoreError::io(&checkpoint))?;
        } else {
            remove(&checkpoint)?;
        }
        remove(&work.join("job.json"))?;
        let mut names = Vec::new();
        collect(&work, &work, &mut names)?;
        names.sort();
        let mut manifest = String::new();
        for name in &names {
            let path = work.join(name);
            let hash = hash_file(&path).map_err(|problem| StoreError::Invalid {
                path: path.clone(),
                message: problem.to_string(),
            })?;
            manifest.push_str(&format!("{hash}  {name}\n"));
            File::open(&path).and_then(|file| file.sync_all()).map_err(StoreError::io(&path))?;
        }
        let digest = blake3::hash(manifest.as_bytes()).to_hex().to_string();
        let path = work.join("MANIFEST");
        File::create(&path)
            .and_then(|mut file| {
                file.write_all(manifest.as_bytes())?;
                file.sync_all()
            })
            .map_err(StoreError::io(&path))?;
        sync_folder(&work)?;

        let target = attempts.join(&digest);
        // The target's name is the digest of its content: if it is there
        // already, the same attempt was published before.
        match rustix::fs::renameat_with(
            rustix::fs::CWD,
            &work,
            rustix::fs::CWD,
            &target,
            rustix::fs::RenameFlags::NOREPLACE,
        ) {
            Ok(()) => {}
            Err(rustix::io::Errno::EXIST) => remove(&work)?,
            // Some network file systems know no NOREPLACE; a rename onto a
            // folder that is not empty fails there, too.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                fs::rename(&work, &target).map_err(StoreError::io(&target))?;
            }
            Err(error) => return Err(StoreError::Io { path: target, source: error.into() }),
        }
        sync_folder(&attempts)?;
        if aside.exists() {
            fs::create_dir_all(&work).map_err(StoreError::io(&work))?;
            fs::rename(&aside, &checkpoint).map_err(StoreError::io(&checkpoint))?;
        }
        Attempt::at(target.clone()).ok_or(StoreError::Invalid { path: target, message: "no digest".into() })
    }
}

fn collect(root: &Path, folder: &Path, names: &mut Vec<String>) -> Result<(), StoreError> {
    for entry in fs::read_dir(folder).map_err(StoreError::io(folder))? {
        let path = entry.map_err(StoreError::io(folder))?.path();
        if path.is_dir() {
            collect(root, &path, names)?;
        } else if path.file_name().is_some_and(|name| name != "MANIFEST") {
            let relative = path.strip_prefix(root).unwrap_or(&path);
            names.push(relative.to_string_lossy().into_owned());
        }
    }
    Ok(())
}

/// Removes a file or a folder with all that is in it, if it is there.
pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    let result = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(StoreError::io(path)),
    }
}

fn sync_folder(folder: &PathBuf) -> Result<(), StoreError> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(StoreError::io(folder))
}
