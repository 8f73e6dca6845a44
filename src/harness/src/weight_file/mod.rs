//! Weight files of others: safetensors, and what `torch.save` writes, in its
//! zip format (since PyTorch 1.6) and in the one before.
//!
//! A `.pth` file is a pickle: a program for a virtual machine that may call any
//! function of Python. Nothing of it is executed here. [`pickle`] knows the few
//! instructions and the six names that tensors need, which build values in an
//! arena; whatever asks for more is refused by name. Then, before a single
//! value is read, every tensor is held against the bytes of its storage
//! ([`layout`]): types, shapes, strides, overlaps, bounds.
//!
//! Opening costs memory in proportion to the index alone, whose size is
//! limited ([`limits`]); reading a tensor costs its own storage.

mod dtype;
mod error;
mod header;
mod layout;
mod legacy;
mod limits;
mod pickle;
mod state;
#[cfg(test)]
mod tests;
mod torch_zip;
mod value;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

pub use dtype::Dtype;
pub use error::{Fault, WeightFileError};
use layout::{Layout, Place, Storage};

use crate::archive::Archive;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Safetensors,
    /// `torch.save` since PyTorch 1.6.
    TorchZip,
    /// `torch.save` before.
    TorchLegacy,
}

impl Format {
    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Format::Safetensors => "safetensors",
            Format::TorchZip => "PyTorch, zip",
            Format::TorchLegacy => "PyTorch, legacy format",
        }
    }
}

/// A tensor of a file, its values unread.
#[derive(Debug, Clone)]
pub struct Entry {
    pub shape: Vec<usize>,
    pub dtype: Dtype,
    layout: Layout,
}

/// SHA-256 of a file's bytes as 64 hex digits: what identifies weights.
///
/// # Errors
/// The file cannot be read.
pub fn sha256(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(format!("{:x}", hasher.finalize()))
}

/// The same of bytes.
pub fn sha256_of(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// The index of a weight file.
#[derive(Debug)]
pub struct WeightFile {
    path: PathBuf,
    format: Format,
    within: Vec<String>,
    prefix: String,
    others: Vec<String>,
    tensors: BTreeMap<String, Entry>,
    storages: Vec<Storage>,
    archive: Option<Archive>,
    /// The storage that was read last.
    last: Option<(usize, Vec<u8>)>,
}

/// What a reader of one format finds.
#[derive(Debug, Default)]
struct Index {
    /// Keys that led to the dictionary of tensors: `state_dict`.
    within: Vec<String>,
    /// Entries of that dictionary that are no tensors.
    others: Vec<String>,
    tensors: BTreeMap<String, Entry>,
    storages: Vec<Storage>,
}

impl WeightFile {
    /// Reads the index of a file and checks every tensor of it.
    ///
    /// # Errors
    /// The file is missing, in no format known here, damaged, or asks for
    /// something that tensors do not need.
    pub fn open(path: &Path) -> Result<Self, WeightFileError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => WeightFileError::Missing { path: path.to_owned() },
            _ => WeightFileError::Read { path: path.to_owned(), source },
        };
        let mut file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(error::refused(path, Fault::NoFile));
        }
        let mut head = Vec::new();
        file.by_ref().take(9).read_to_end(&mut head).map_err(failed)?;
        let (format, archive, index) = match &head[..] {
            // A length, then JSON. The length may begin with the bytes of a pickle.
            [_, _, _, _, 0, 0, 0, 0, b'{'] | [0, .., b'{'] => {
                let index = header::read(&mut file, metadata.len()).map_err(|fault| fault.of(path))?;
                (Format::Safetensors, None, index)
            }
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => {
                let (archive, index) = torch_zip::read(path)?;
                (Format::TorchZip, Some(archive), index)
            }
            [0x80, 2..=5, ..] => {
                let index = legacy::read(&mut file, metadata.len()).map_err(|fault| fault.of(path))?;
                (Format::TorchLegacy, None, index)
            }
            _ => return Err(error::refused(path, Fault::foreign(&head))),
        };
        let Index { within, others, tensors, storages } = index;
        let (prefix, tensors) = state::strip(tensors);
        let path = path.to_owned();
        Ok(Self { path, format, within, prefix, others, tensors, storages, archive, last: None })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn format(&self) -> Format {
        self.format
    }

    /// The keys that led to the tensors, e.g. `state_dict`.
    pub fn within(&self) -> &[String] {
        &self.within
    }

    /// What stood before every name and was taken off: `module.` of
    /// DataParallel, else empty.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Entries beside the tensors that are none.
    pub fn others(&self) -> &[String] {
        &self.others
    }

    /// The tensors by name.
    pub fn tensors(&self) -> &BTreeMap<String, Entry> {
        &self.tensors
    }

    /// The values of a tensor in row-major order, as f32. `None` if there is no
    /// such tensor.
    ///
    /// # Errors
    /// The file cannot be read, or has changed since it was opened.
    pub fn values(&mut self, name: &str) -> Result<Option<Vec<f32>>, WeightFileError> {
        let Some(entry) = self.tensors.get(name).cloned() else { return Ok(None) };
        let at = entry.layout.storage;
        if self.last.as_ref().is_none_or(|(last, _)| *last != at) {
            self.last = None;
            self.last = Some((at, self.storage(at)?));
        }
        let bytes = self.last.as_ref().map(|(_, bytes)| bytes.as_slice()).unwrap_or_default();
        Ok(Some(entry.layout.gather(&entry.shape, entry.dtype, bytes)))
    }

    fn storage(&self, at: usize) -> Result<Vec<u8>, WeightFileError> {
        let changed = || error::refused(&self.path, Fault::Changed);
        let storage = self.storages.get(at).ok_or_else(changed)?;
        let bytes = match (&storage.place, &self.archive) {
            (Place::Member(name), Some(archive)) => archive.read(name)?,
            (Place::Member(_), None) => return Err(changed()),
            (Place::At(start), _) => {
                let failed = |source| WeightFileError::Read { path: self.path.clone(), source };
                let mut file = File::open(&self.path).map_err(failed)?;
                file.seek(SeekFrom::Start(*start)).map_err(failed)?;
                let mut bytes = Vec::new();
                file.take(storage.bytes).read_to_end(&mut bytes).map_err(failed)?;
                bytes
            }
        };
        if bytes.len() as u64 == storage.bytes { Ok(bytes) } else { Err(changed()) }
    }
}
