//! Files that appear whole or not at all, and that others may read.
//!
//! Whatever the program leaves for people or for other processes is written
//! beside its place and renamed into it. Temporary files are private by the
//! habit of the system (mode 0600), and a rename keeps the mode: the files made
//! here obey the umask instead, as any file that a user makes.

use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::{Builder, NamedTempFile};

/// How the names of files under way begin. Names that begin with a dot are
/// passed over wherever folders are listed.
const PREFIX: &str = ".new-";

/// A maker of temporary files whose mode the umask decides.
pub fn builder() -> Builder<'static, 'static> {
    let mut builder = Builder::new();
    builder.prefix(PREFIX).permissions(Permissions::from_mode(0o666));
    builder
}

/// A temporary file that is to be renamed to a name in `folder`.
///
/// # Errors
/// The folder cannot be written.
pub fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    builder().tempfile_in(folder)
}

/// Puts `bytes` in the place of `path` by one rename, synced before.
///
/// # Errors
/// The folder is not there or cannot be written; the old content stays.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = temporary(folder_of(path))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// The folder that a path lies in; of a bare name the working directory.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_replaced_and_has_the_mode_of_any_other() {
        let folder = tempfile::tempdir().expect("folder");
        let plain = folder.path().join("plain");
        fs::write(&plain, "").expect("written");
        let path = folder.path().join("a");
        for text in ["one", "two"] {
            write(&path, text.as_bytes()).expect("written");
            assert_eq!(fs::read_to_string(&path).expect("read"), text);
        }
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode();
        assert_eq!(mode(&path), mode(&plain));
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 2, "nothing is left beside it");
        assert!(write(&folder.path().join("absent/a"), b"").is_err());
    }
}
