//! The weights that cells start from: are they there, and the right ones?
//! Asked before anything runs, of cells that would train.

use std::collections::BTreeMap;
use std::io;

use dygl_spec::plan::Cell;
use dygl_spec::pretrained::Pretrained;

/// A file of weights that cannot be started from.
#[derive(Debug, thiserror::Error)]
pub enum PretrainedError {
    /// There is no such file.
    #[error(
        "{file}: there is no such file, and {cell} starts from it; `dygl model import` makes it from published \
         weights, or mend the path under [pretrained]"
    )]
    Missing {
        /// Path as the experiment gives it.
        file: String,
        /// Network of a cell that starts from it.
        cell: String,
    },
    /// The file is there and cannot be read.
    #[error("{file}: {source} ({cell} starts from it)")]
    Read {
        /// Path as the experiment gives it.
        file: String,
        /// Network of a cell that starts from it.
        cell: String,
        /// What the system said.
        source: io::Error,
    },
    /// The file's digest is not the one that the experiment states.
    #[error(
        "{file}: its sha256 is {found}, and the experiment says {expected} for {cell}; bring the right file, or \
         write the new digest under [pretrained] (which trains anew)"
    )]
    Changed {
        /// Path as the experiment gives it.
        file: String,
        /// Network of a cell that starts from it.
        cell: String,
        /// SHA-256 of the file, hex.
        found: String,
        /// The one that the experiment states, hex.
        expected: String,
    },
}

impl PretrainedError {
    /// Whether the file is there, with another content.
    pub fn is_changed(&self) -> bool {
        matches!(self, Self::Changed { .. })
    }
}

/// Reads every file once and returns all that is wrong.
pub fn check<'a>(cells: impl IntoIterator<Item = &'a Cell>) -> Vec<PretrainedError> {
    let mut files: BTreeMap<(&str, &str), &Cell> = BTreeMap::new();
    for cell in cells {
        if let Some(Pretrained { file, sha256 }) = &cell.pretrained {
            files.entry((file, sha256)).or_insert(cell);
        }
    }
    files
        .into_iter()
        .filter_map(|((file, expected), cell)| {
            let (file, cell) = (file.to_owned(), cell.model.to_string());
            match dygl_weight_file::sha256(file.as_ref()) {
                Ok(found) if found == expected => None,
                Ok(found) => {
                    Some(PretrainedError::Changed { file, cell, found, expected: expected.to_owned() })
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    Some(PretrainedError::Missing { file, cell })
                }
                Err(source) => Some(PretrainedError::Read { file, cell, source }),
            }
        })
        .collect()
}
