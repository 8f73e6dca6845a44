//! Taking files and folders out of the way where a file may still be open.
//!
//! A folder with an open file cannot be removed on a network file system: the
//! system keeps the file under a name like `.nfs0001` until it is closed. A
//! rename always works, so things vanish from their place at once and are
//! removed when that is possible.

use std::fs;
use std::io;
use std::path::Path;

use super::holder::nonce;

/// How the names of things begin that are only waiting to be removed.
const GONE: &str = ".gone-";

/// How a network file system calls a file that was removed while it was open.
const SILLY: &str = ".nfs";

/// Whether a name is no file of ours, but one that vanishes by itself.
pub(super) fn vanishes(name: &str) -> bool {
    name.starts_with(SILLY)
}

/// Takes a file, or a folder with all that is in it, out of the way, if it is
/// there. That its remains cannot be removed yet is no error.
///
/// # Errors
/// It cannot even be renamed; it is where it was.
pub fn discard(path: &Path) -> io::Result<()> {
    let aside = path.with_file_name(format!("{GONE}{}", nonce()));
    match fs::rename(path, &aside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => {
            remove(&aside);
            Ok(())
        }
    }
}

/// Removes what could not be removed earlier, as far as that is possible now.
pub fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(GONE) {
            remove(&entry.path());
        }
    }
}

fn remove(path: &Path) {
    // What is left is swept later.
    let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_are_gone_at_once_and_remains_are_swept() {
        let folder = tempfile::tempdir().expect("folder");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("a")).expect("made");
        fs::write(at("a/b"), "").expect("written");
        discard(&at("a")).expect("gone");
        discard(&at("a")).expect("gone before");
        fs::write(at("c"), "").expect("written");
        discard(&at("c")).expect("gone");
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 0);
        // As a folder stays in which a file is open.
        fs::create_dir(at(".gone-1")).expect("made");
        fs::write(at(".gone-1/.nfs01"), "").expect("written");
        fs::write(at("kept"), "").expect("written");
        sweep(folder.path());
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);
    }

    #[test]
    fn what_cannot_be_renamed_is_an_error() {
        let folder = tempfile::tempdir().expect("folder");
        fs::write(folder.path().join("file"), "").expect("written");
        assert!(discard(&folder.path().join("file/below")).is_err());
    }
}
