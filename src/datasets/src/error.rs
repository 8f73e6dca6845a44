//! Why a dataset cannot be used, with the remedy.

use std::io;
use std::path::PathBuf;

use dygl_archive::ArchiveError;
use dygl_base::words::did_you_mean;
use dygl_pixels::{PixelError, SplitError};

use super::{LeftOver, Problem};

/// An error of this room.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// No dataset has this id.
    #[error("there is no dataset `{name}`{}; `dygl dataset list` shows all", did_you_mean(.candidates))]
    UnknownDataset {
        /// As written.
        name: String,
        /// Ids that look alike, best first.
        candidates: Vec<String>,
    },
    /// The dataset consists of files, and no folder is known that holds them.
    #[error("dataset `{name}` is not registered: dygl dataset add {name} PATH")]
    NotRegistered {
        /// Id of the dataset.
        name: String,
    },
    /// No layout of the manifest finds a file below the folder.
    #[error(
        "{}: no files of dataset `{name}` found; looked for {}{}",
        .path.display(), .looked_for.join(", or "), instead_of_these(.there)
    )]
    NoLayout {
        /// Id of the dataset.
        name: String,
        /// The folder or archive that was looked through.
        path: PathBuf,
        /// Patterns of the images, one for each layout.
        looked_for: Vec<String>,
        /// The pictures that are there instead.
        there: Vec<LeftOver>,
    },
    /// The folder holds archives of the dataset instead of its files.
    #[error(
        "{}: holds no files of dataset `{name}`, but archives: {}; \
         take them out and give them all: dygl dataset add {name} ARCHIVE...",
        .path.display(), .inner.join(", ")
    )]
    Nested {
        /// Id of the dataset.
        name: String,
        /// The folder or archive that was looked through.
        path: PathBuf,
        /// The archives in it.
        inner: Vec<String>,
    },
    /// What was given is neither one folder nor archives alone.
    #[error("dataset `{name}`: give one folder that holds it, or one or more archives, not both")]
    Sources {
        /// Id of the dataset.
        name: String,
    },
    /// An archive cannot be read, or is refused.
    #[error("{}{}", .0, instead(.0))]
    Archive(#[from] ArchiveError),
    /// A list of checksums is malformed, or names no file of the dataset.
    #[error("{}", .place)]
    List {
        /// The whole message: file and line, and what is wrong there.
        place: String,
    },
    /// The files are not as the manifest or the registration has them.
    #[error("dataset `{name}` in {} has {} problem(s):{}", .path.display(), .problems.len(), list(.problems, SHOWN))]
    Problems {
        /// Id of the dataset.
        name: String,
        /// The folder that was read.
        path: PathBuf,
        /// All that is wrong; at least one.
        problems: Vec<Problem>,
    },
    /// The dataset has no image of this id.
    #[error("dataset `{dataset}` has no image `{id}`")]
    UnknownImage {
        /// Id of the dataset.
        dataset: String,
        /// As written.
        id: String,
    },
    /// A file cannot be read.
    #[error("{}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The content of a file is not what was registered.
    #[error(
        "{}: altered since dataset `{name}` was registered; restore it, or register anew: \
         dygl dataset add {name} PATH", .path.display()
    )]
    Altered {
        /// Id of the dataset.
        name: String,
        /// The file.
        path: PathBuf,
    },
    /// The record of a registration cannot be used.
    #[error("{}: the registration is damaged ({message}); register anew: dygl dataset add {name} PATH", .path.display())]
    Registration {
        /// Id of the dataset.
        name: String,
        /// Where the record lies.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A file or folder cannot be written.
    #[error("{}: cannot be written: {source}", .path.display())]
    Write {
        /// What was to be written.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A manifest, or a built-in list of checksums, is malformed.
    #[error("manifest `{name}`: {message}")]
    Manifest {
        /// Id of the dataset, or the list in words.
        name: String,
        /// What is wrong with it.
        message: String,
    },
    /// A picture, a phantom or a division cannot be had.
    #[error(transparent)]
    Pixels(#[from] PixelError),
}

impl From<SplitError> for DataError {
    fn from(error: SplitError) -> Self {
        PixelError::from(error).into()
    }
}

impl DataError {
    /// Names that look like the unknown one, best first; empty for other errors.
    pub fn candidates(&self) -> Vec<String> {
        match self {
            DataError::UnknownDataset { candidates, .. }
            | DataError::Pixels(PixelError::UnknownOption { candidates, .. }) => candidates.clone(),
            _ => Vec::new(),
        }
    }

    /// The message with every problem of a folder, however many: for whoever
    /// has to mend them.
    pub fn in_full(&self) -> String {
        let text = self.to_string();
        match self {
            DataError::Problems { problems, .. } => {
                let head = text.lines().next().unwrap_or_default();
                format!("{head}{}", list(problems, usize::MAX))
            }
            _ => text,
        }
    }

    /// Whether the manifest or the command line is to be changed, and not the files.
    pub fn is_of_the_manifest(&self) -> bool {
        match self {
            DataError::Problems { problems, .. } => problems.iter().all(Problem::is_of_the_manifest),
            _ => false,
        }
    }

    /// The word of the dataset's name (`NAME,option=value`) that is wrong: the
    /// name, an option or a value; empty for errors that are not about one.
    pub fn word(&self) -> &str {
        match self {
            DataError::UnknownDataset { name, .. } => name,
            DataError::Pixels(PixelError::UnknownOption { option, .. }) => option,
            DataError::Pixels(PixelError::BadOption { value, .. }) => value,
            _ => "",
        }
    }
}

/// What to do with an archive that is refused though it may be sound.
fn instead(error: &ArchiveError) -> &'static str {
    match error {
        ArchiveError::Refused { .. } => {
            "\n  if the archive is sound all the same, unpack it yourself into an empty folder, look at what \
             came out, and give that folder"
        }
        ArchiveError::Bomb { .. } | ArchiveError::Program { .. } => {
            "; if it is sound all the same, unpack it yourself and give the folder"
        }
        _ => "",
    }
}

/// The pictures that a folder holds instead, one reason a line.
fn instead_of_these(left: &[LeftOver]) -> String {
    if left.is_empty() {
        return "; it holds no pictures at all".to_owned();
    }
    left.iter().map(|left| format!("\n  {left}")).collect()
}

/// Problems that a message lists before it only counts.
const SHOWN: usize = 20;

/// The first problems, one a line.
fn list(problems: &[Problem], shown: usize) -> String {
    let mut text: String = problems.iter().take(shown).map(|p| format!("\n  {p}")).collect();
    if problems.len() > shown {
        text.push_str(&format!("\n  and {} more", problems.len() - shown));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_to_do() {
        let error = DataError::NotRegistered { name: "cvc-clinicdb".into() };
        assert_eq!(
            error.to_string(),
            "dataset `cvc-clinicdb` is not registered: dygl dataset add cvc-clinicdb PATH"
        );
    }

    #[test]
    fn a_long_list_is_cut() {
        let problems = (0..25).map(|i| Problem::Missing { file: format!("{i}.png") }).collect();
        let error = DataError::Problems { name: "x".into(), path: "/x".into(), problems };
        let text = error.to_string();
        assert_eq!(text.lines().count(), 22);
        assert!(text.ends_with("and 5 more"));
        let text = error.in_full();
        assert!(text.lines().count() == 26 && text.ends_with("24.png: missing"), "{text}");
    }
}
