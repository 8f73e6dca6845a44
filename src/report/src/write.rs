//! Files that appear whole or not at all.

use std::path::{Path, PathBuf};

use dygl_base::atomic;

use super::ReportError;

/// Makes the folder and those above it.
pub(super) fn folder(path: &Path) -> Result<(), ReportError> {
    std::fs::create_dir_all(path).map_err(|source| ReportError::Write { path: path.to_owned(), source })
}

/// Writes a text as [`bytes`] does.
pub(super) fn file(folder: &Path, name: &str, content: &str) -> Result<PathBuf, ReportError> {
    bytes(folder, name, content.as_bytes())
}

/// Writes a temporary sibling and renames it over `folder/name`.
pub(super) fn bytes(folder: &Path, name: &str, content: &[u8]) -> Result<PathBuf, ReportError> {
    let path = folder.join(name);
    atomic::write(&path, content).map_err(|source| ReportError::Write { path: path.clone(), source })?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().expect("a folder");
        file(folder.path(), "a.txt", "old").expect("written");
        let path = file(folder.path(), "a.txt", "new").expect("written");
        assert_eq!(std::fs::read_to_string(path).expect("readable"), "new");
        assert_eq!(std::fs::read_dir(folder.path()).expect("readable").count(), 1);
    }

    #[test]
    fn the_path_is_named_in_errors() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = file(&folder.path().join("absent"), "a.txt", "").expect_err("no folder");
        assert!(error.to_string().contains("a.txt"));
    }
}
