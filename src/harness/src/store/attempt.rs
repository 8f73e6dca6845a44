//! A finished attempt: a folder whose files are held against its manifest
//! each time they are read.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// Files above this size are left to `store verify`: a report reads records
/// and scores, not weights.
const SMALL: u64 = 4 << 20;

/// What is wrong with a stored file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("{0}: its bytes were altered (they do not match the manifest)")]
    Altered(PathBuf),
    #[error("{0}: the file is missing")]
    Missing(PathBuf),
    #[error("{0}: not listed in the manifest")]
    Unlisted(PathBuf),
    #[error("{path}: cannot be read: {message}")]
    Unreadable { path: PathBuf, message: String },
}

impl Problem {
    /// The file in question.
    pub fn path(&self) -> &Path {
        match self {
            Problem::Altered(path) | Problem::Missing(path) | Problem::Unlisted(path) => path,
            Problem::Unreadable { path, .. } => path,
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

    /// Verifies all files but the large ones.
    ///
    /// # Errors
    /// The first problem.
    pub fn verify_small(&self) -> Result<(), Problem> {
        match self.problems(SMALL)?.into_iter().next() {
            None => Ok(()),
            Some(problem) => Err(problem),
        }
    }

    /// Verifies every file: all problems.
    pub fn verify(&self) -> Vec<Problem> {
        self.problems(u64::MAX).unwrap_or_else(|problem| vec![problem])
    }

    fn problems(&self, largest: u64) -> Result<Vec<Problem>, Problem> {
        let mut problems = Vec::new();
        for (name, expected) in self.manifest()? {
            let path = self.folder.join(&name);
            match fs::metadata(&path) {
                Err(_) => problems.push(Problem::Missing(path)),
                Ok(metadata) if metadata.len() > largest => {}
                Ok(_) => match hash_file(&path) {
                    Ok(found) if found == expected => {}
                    Ok(_) => problems.push(Problem::Altered(path)),
                    Err(problem) => problems.push(problem),
                },
            }
        }
        Ok(problems)
    }
}

/// blake3 of a file, as hex.
pub(super) fn hash_file(path: &Path) -> Result<String, Problem> {
    let unreadable =
        |error: std::io::Error| Problem::Unreadable { path: path.to_owned(), message: error.to_string() };
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(fs::File::open(path).map_err(unreadable)?).map_err(unreadable)?;
    Ok(hasher.finalize().to_hex().to_string())
}

fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Problem::Missing(path.to_owned()),
        _ => Problem::Unreadable { path: path.to_owned(), message: error.to_string() },
    })
}
