//! A finished attempt: a folder whose files are held against its manifest
//! each time they are read.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::stamp::Stamps;

/// Files up to this size are hashed at every lookup; larger ones where they do
/// not look as they did when they were last hashed.
const SMALL: u64 = 4 << 20;

/// What is wrong with a stored file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not what the manifest says, or no plain file; also a manifest of another digest.
    #[error("{0}: its bytes were altered (they do not match the manifest)")]
    Altered(PathBuf),
    /// Nothing lies there.
    #[error("{0}: the file is missing")]
    Missing(PathBuf),
    /// The manifest does not name the file that was asked for.
    #[error("{0}: not listed in the manifest")]
    Unlisted(PathBuf),
    /// Its bytes are not of the form that was expected.
    #[error("{path}: cannot be read: {message}")]
    Unreadable {
        /// The file in question.
        path: PathBuf,
        /// What is wrong with its form, for people.
        message: String,
    },
    /// The system does not give its bytes, whatever they are: no damage.
    #[error("{path}: cannot be read: {message}")]
    Inaccessible {
        /// The file in question.
        path: PathBuf,
        /// The system's reason.
        message: String,
    },
}

impl Problem {
    /// The file in question.
    pub fn path(&self) -> &Path {
        match self {
            Problem::Altered(path) | Problem::Missing(path) | Problem::Unlisted(path) => path,
            Problem::Unreadable { path, .. } | Problem::Inaccessible { path, .. } => path,
        }
    }

    /// Whether the stored bytes are not what they were. Else nobody can say:
    /// another user's files, or a disk that does not answer.
    pub fn is_damage(&self) -> bool {
        !matches!(self, Problem::Inaccessible { .. })
    }

    fn reading(path: &Path, error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => Problem::Missing(path.to_owned()),
            ErrorKind::IsADirectory => Problem::Altered(path.to_owned()),
            _ => Problem::Inaccessible { path: path.to_owned(), message: error.to_string() },
        }
    }
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    folder: PathBuf,
    digest: String,
}

impl Attempt {
    /// The attempt in that folder, if its name is a digest.
    pub(super) fn at(folder: PathBuf) -> Option<Self> {
        let digest = folder.file_name()?.to_str()?.to_owned();
        (digest.len() == 64).then_some(Self { folder, digest })
    }

    /// Where its files lie; the folder is named by the digest.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// blake3 of the manifest.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The first 12 digits, for people.
    pub fn short(&self) -> &str {
        &self.digest[..12]
    }

    /// Relative path -> blake3, from the manifest, itself verified.
    ///
    /// # Errors
    /// A manifest that does not match the folder's name.
    pub fn manifest(&self) -> Result<BTreeMap<String, String>, Problem> {
        let path = self.folder.join("MANIFEST");
        let bytes = read(&path)?;
        if blake3::hash(&bytes).to_hex().as_str() != self.digest {
            return Err(Problem::Altered(path));
        }
        let text = String::from_utf8(bytes).map_err(|_| Problem::Altered(path.clone()))?;
        Ok(text
            .lines()
            .filter_map(|line| line.split_once("  ").map(|(hash, name)| (name.to_owned(), hash.to_owned())))
            .collect())
    }

    /// The bytes of a file, verified.
    ///
    /// # Errors
    /// The bytes do not match, or the file is not there.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, Problem> {
        let path = self.folder.join(name);
        let manifest = self.manifest()?;
        let expected = manifest.get(name).ok_or_else(|| Problem::Unlisted(path.clone()))?;
        let bytes = read(&path)?;
        if blake3::hash(&bytes).to_hex().as_str() == expected {
            Ok(bytes)
        } else {
            Err(Problem::Altered(path))
        }
    }

    /// A JSON file, verified and parsed.
    ///
    /// # Errors
    /// As [`Attempt::read`], or JSON of another shape.
    pub fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<T, Problem> {
        let bytes = self.read(name)?;
        serde_json::from_slice(&bytes)
            .map_err(|error| Problem::Unreadable { path: self.folder.join(name), message: error.to_string() })
    }

    /// Verifies every file at the price of a look: small ones are hashed, large
    /// ones where their size, times or inode are not as stamped.
    ///
    /// # Errors
    /// The first problem.
    pub fn check(&self) -> Result<(), Problem> {
        match self.problems(Depth::Look)?.into_iter().next() {
            None => Ok(()),
            Some(problem) => Err(problem),
        }
    }

    /// Verifies every byte of every file: all problems.
    pub fn verify(&self) -> Vec<Problem> {
        self.problems(Depth::Bytes).unwrap_or_else(|problem| vec![problem])
    }

    fn problems(&self, depth: Depth) -> Result<Vec<Problem>, Problem> {
        let key = self.folder.ancestors().nth(2).unwrap_or(&self.folder);
        let mut stamps = Stamps::of(key, &self.digest);
        let mut problems = Vec::new();
        for (name, expected) in self.manifest()? {
            let path = self.folder.join(&name);
            let before = match fs::metadata(&path) {
                Err(error) => {
                    problems.push(Problem::reading(&path, &error));
                    continue;
                }
                // Reading something else might never end.
                Ok(found) if !found.is_file() => {
                    problems.push(Problem::Altered(path));
                    continue;
                }
                Ok(found) => found,
            };
            let is_large = before.len() > SMALL;
            if is_large && depth == Depth::Look && stamps.vouch(&name, &before, &expected) {
                continue;
            }
            if is_large {
                stamps.begin();
            }
            match hash_file(&path) {
                Ok(found) if found == expected => {
                    if is_large && let Ok(after) = fs::metadata(&path) {
                        stamps.record(&name, &before, &after, &expected);
                    }
                }
                Ok(_) => problems.push(Problem::Altered(path)),
                Err(problem) => problems.push(problem),
            }
        }
        stamps.keep();
        Ok(problems)
    }
}

/// How closely files are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    Look,
    Bytes,
}

/// blake3 of a file, as hex.
pub(super) fn hash_file(path: &Path) -> Result<String, Problem> {
    let mut hasher = blake3::Hasher::new();
    fs::File::open(path)
        .and_then(|file| hasher.update_reader(file).map(drop))
        .map_err(|error| Problem::reading(path, &error))?;
    Ok(hasher.finalize().to_hex().to_string())
}

fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    fs::read(path).map_err(|error| Problem::reading(path, &error))
}
