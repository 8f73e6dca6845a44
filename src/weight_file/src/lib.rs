//! Weight files of others: safetensors, and what `torch.save` writes, in its
//! zip format (since PyTorch 1.6) and in the one before.
//!
//! A `.pth` file is a pickle: a program for a virtual machine that may call any
//! function of Python. Nothing of it is executed here. [`pickle`] knows the
//! instructions and names that tensors and the plain values beside them need, which
//! build values in an arena; whatever asks for more is refused by name.
//!
//! A file may hold several dictionaries of tensors: at the top, under the key of a
//! wrapper, an average beside the weights. [`Contents`] lists them all, and who
//! knows the network says which to take and which prefix to take off. Then, before a
//! single value is read, every tensor of it is held against the bytes of its storage
//! ([`layout`]): types, shapes, strides, overlaps, bounds.
//!
//! Opening costs memory in proportion to the index alone, whose size is
//! limited ([`limits`]); reading a tensor costs its own storage, and its shape.

mod dtype;
mod error;
mod header;
mod layout;
mod legacy;
mod limits;
mod pickle;
mod shards;
mod state;
#[cfg(test)]
mod tests;
mod torch_zip;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use dygl_archive::Archive;
use layout::{Layout, Place, Storage};
use sha2::{Digest, Sha256};
use state::Found;

pub use dtype::Dtype;
pub use error::{Fault, WeightFileError};
pub use state::{WRAPPERS, behind, common_prefix};

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One file of the safetensors format.
    Safetensors,
    /// Several such files, and the index beside them.
    Shards,
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
            Format::Shards => "safetensors in shards",
            Format::TorchZip => "PyTorch, zip",
            Format::TorchLegacy => "PyTorch, legacy format",
        }
    }
}

/// A tensor of a file, its values unread.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Sides, the slowest first; empty for a single value.
    pub shape: Vec<usize>,
    /// Type of the values, as they lie in the file.
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

/// What a weight file holds, no value read.
#[derive(Debug)]
pub struct Contents {
    path: PathBuf,
    format: Format,
    /// The file; all of them, of weights in shards.
    files: Vec<PathBuf>,
    archive: Option<Archive>,
    index: Index,
}

/// A dictionary of tensors in a file.
#[derive(Debug, Clone, Copy)]
pub struct Dictionary<'a>(&'a Found);

/// Tensors of a weight file.
#[derive(Debug)]
pub struct WeightFile {
    path: PathBuf,
    format: Format,
    within: Vec<String>,
    prefix: String,
    beside: Vec<String>,
    others: Vec<String>,
    tensors: BTreeMap<String, Entry>,
    storages: Vec<Storage>,
    files: Vec<PathBuf>,
    archive: Option<Archive>,
    /// The storage that was read last.
    last: Option<(usize, Vec<u8>)>,
}

/// What a reader of one format finds.
#[derive(Debug, Default)]
struct Index {
    /// Each holds a tensor.
    dictionaries: Vec<Found>,
    /// The storages of the file by key.
    places: BTreeMap<String, Storage>,
}

impl<'a> Dictionary<'a> {
    /// The keys that lead to it, none at the top.
    pub fn within(self) -> &'a [String] {
        &self.0.within
    }

    /// Entries of it that are no tensors.
    pub fn others(self) -> &'a [String] {
        &self.0.others
    }

    /// Its tensors: name, shape, type.
    pub fn tensors(self) -> impl Iterator<Item = (&'a str, &'a [usize], Dtype)> {
        self.0.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.shape.as_slice(), tensor.dtype))
    }

    /// Whether another one names the same values in the same way.
    pub fn equals(self, other: Dictionary<'_>) -> bool {
        self.0.tensors == other.0.tensors
    }
}

/// A weight file, opened; its length in bytes, and the first of them, by which formats
/// are told apart.
fn open(path: &Path) -> Result<(File, u64, Vec<u8>), WeightFileError> {
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
    Ok((file, metadata.len(), head))
}

impl Contents {
    /// Reads what a file holds.
    ///
    /// # Errors
    /// The file is missing, in no format known here, damaged, holds no tensors, or
    /// asks for something that weights do not need.
    pub fn read(path: &Path) -> Result<Self, WeightFileError> {
        let (mut file, length, head) = open(path)?;
        let mut files = vec![path.to_owned()];
        let mut archive = None;
        let (format, index) = match &head[..] {
            head if header::is_one(head) => {
                let index = header::read(&mut file, length, 0).map_err(|fault| fault.of(path))?;
                (Format::Safetensors, index)
            }
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => {
                let (opened, index) = torch_zip::read(path)?;
                archive = Some(opened);
                (Format::TorchZip, index)
            }
            [0x80, 2..=5, ..] => {
                let index = legacy::read(&mut file, length).map_err(|fault| fault.of(path))?;
                (Format::TorchLegacy, index)
            }
            head if head.trim_ascii_start().starts_with(b"{") => {
                let (shards, index) = shards::read(path, &mut file, length)?;
                files = shards;
                (Format::Shards, index)
            }
            _ => return Err(error::refused(path, Fault::foreign(&head))),
        };
        Ok(Self { path: path.to_owned(), format, files, archive, index })
    }

    /// The file, as it was given; of shards the index.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The dictionaries of tensors, those near the top and under the usual keys
    /// first. There is one at least.
    pub fn dictionaries(&self) -> impl Iterator<Item = Dictionary<'_>> {
        self.index.dictionaries.iter().map(Dictionary)
    }

    /// Takes one of them, by its number, and a prefix off its names; names without
    /// it are left.
    ///
    /// # Errors
    /// A tensor lies outside its storage, a storage is missing, there is no such
    /// dictionary.
    pub fn take(self, number: usize, prefix: &str) -> Result<WeightFile, WeightFileError> {
        let Self { path, format, files, archive, mut index } = self;
        if number >= index.dictionaries.len() {
            return Err(error::refused(&path, Fault::NoTensors("no such dictionary".to_owned())));
        }
        let found = index.dictionaries.swap_remove(number);
        let taken = found.take(prefix, &index.places).map_err(|fault| fault.of(&path))?;
        let Found { within, others, .. } = found;
        let state::Taken { tensors, beside, storages } = taken;
        let prefix = prefix.to_owned();
        Ok(WeightFile {
            path,
            format,
            within,
            prefix,
            beside,
            others,
            tensors,
            storages,
            files,
            archive,
            last: None,
        })
    }
}

impl WeightFile {
    /// Opens the largest dictionary of tensors of a file, for who knows nothing of
    /// what it should be. What PyTorch's wrappers put before every name is taken off.
    ///
    /// # Errors
    /// See [`Contents::read`] and [`Contents::take`].
    pub fn open(path: &Path) -> Result<Self, WeightFileError> {
        let contents = Contents::read(path)?;
        let sizes: Vec<usize> = contents.dictionaries().map(|found| found.0.tensors.len()).collect();
        let largest = sizes.iter().copied().max().unwrap_or_default();
        let number = sizes.iter().position(|size| *size == largest).unwrap_or_default();
        let names: BTreeSet<&str> =
            contents.dictionaries().nth(number).into_iter().flat_map(|d| d.tensors()).map(|t| t.0).collect();
        let prefix = state::wrapped_by_torch(&names);
        contents.take(number, &prefix)
    }

    /// The file, as it was given; of shards the index.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How the file is written.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The keys that led to the tensors, e.g. `state_dict`.
    pub fn within(&self) -> &[String] {
        &self.within
    }

    /// What stood before the names and was taken off, e.g. `module.` of
    /// DataParallel.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Tensors whose names lack the prefix.
    pub fn beside(&self) -> &[String] {
        &self.beside
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
    /// The file cannot be read, has changed since it was opened, or the values are
    /// of a type that is not read ([`Dtype::is_read`]).
    pub fn values(&mut self, name: &str) -> Result<Option<Vec<f32>>, WeightFileError> {
        let Some(entry) = self.tensors.get(name).cloned() else { return Ok(None) };
        if !entry.dtype.is_read() {
            let reason = format!("values of type {} are not read", entry.dtype.word());
            let tensor = name.to_owned();
            return Err(error::refused(&self.path, Fault::Tensor { tensor, reason }));
        }
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
            (Place::At { file, start }, _) => {
                let path = self.files.get(*file).ok_or_else(changed)?;
                let failed = |source| WeightFileError::Read { path: path.clone(), source };
                let mut file = File::open(path).map_err(failed)?;
                file.seek(SeekFrom::Start(*start)).map_err(failed)?;
                let mut bytes = Vec::new();
                file.take(storage.bytes).read_to_end(&mut bytes).map_err(failed)?;
                bytes
            }
        };
        if bytes.len() as u64 == storage.bytes { Ok(bytes) } else { Err(changed()) }
    }
}
