//! One packed file: images back to back, then an index, then its digest.
//!
//! ```text
//! HEAD      16 bytes
//! images    for each: width * height * 3 bytes RGB, width * height bytes mask
//! index     JSON: the pack's name, and of each image id, size, place, blake3
//! tail      length of the index (8 bytes, little endian), its blake3, TAIL
//! ```
//!
//! The index comes last, so a file that was cut off has none and is refused.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use dygl_pixels::prepare::{Form, Picture};
use memmap2::Mmap;
use serde::{Deserialize, Serialize};

use super::PackError;

const HEAD: &[u8; 16] = b"dygl images 1\n\0\0";
const TAIL: &[u8; 8] = b"dyglpack";
/// Length and digest of the index, and [`TAIL`].
const TAIL_BYTES: usize = 8 + 32 + 8;

/// Bytes of a file beyond images and their entries, at most.
pub(super) const OVERHEAD: u64 = 256;
/// Bytes of an image's entry in the index beyond its id, at most.
pub(super) const ENTRY: u64 = 220;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Index {
    name: String,
    images: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    width: u32,
    height: u32,
    offset: u64,
    /// Of image and mask, hex.
    blake3: String,
}

impl Entry {
    fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }
}

/// Writes a packed file, image by image.
#[derive(Debug)]
pub(super) struct Writer<W> {
    into: W,
    at: u64,
    index: Index,
}

impl<W: Write> Writer<W> {
    pub fn begin(mut into: W, name: &str) -> io::Result<Self> {
        into.write_all(HEAD)?;
        Ok(Self { into, at: HEAD.len() as u64, index: Index { name: name.to_owned(), images: Vec::new() } })
    }

    pub fn add(&mut self, id: &str, picture: Picture<'_>) -> io::Result<()> {
        self.into.write_all(picture.rgb)?;
        self.into.write_all(picture.mask)?;
        let entry = Entry {
            id: id.to_owned(),
            width: picture.width,
            height: picture.height,
            offset: self.at,
            blake3: digest(picture),
        };
        self.at += 4 * entry.pixels();
        self.index.images.push(entry);
        Ok(())
    }

    /// Writes index and tail.
    pub fn finish(mut self) -> io::Result<W> {
        let index = serde_json::to_vec(&self.index)?;
        self.into.write_all(&index)?;
        self.into.write_all(&(index.len() as u64).to_le_bytes())?;
        self.into.write_all(blake3::hash(&index).as_bytes())?;
        self.into.write_all(TAIL)?;
        self.into.flush()?;
        Ok(self.into)
    }
}

fn digest(picture: Picture<'_>) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(picture.rgb).update(picture.mask);
    hasher.finalize().to_hex().to_string()
}

/// An image that was not looked at yet, that is whole, that is damaged.
const NEW: u8 = 0;
const WHOLE: u8 = 1;
const DAMAGED: u8 = 2;

/// An opened pack; shared between threads.
#[derive(Debug)]
pub struct Pack {
    path: PathBuf,
    form: Form,
    map: Mmap,
    entries: Vec<Entry>,
    places: HashMap<String, usize>,
    states: Vec<AtomicU8>,
    is_damaged: AtomicBool,
}

impl Pack {
    /// Opens a file that must be complete, of that name, and hold just these
    /// images in this order. Their bytes are checked when they are first read.
    ///
    /// # Errors
    /// `NotFound`; `InvalidData` if it is anything else than that.
    pub(super) fn open(path: &Path, name: &str, form: Form, ids: &[String]) -> io::Result<Self> {
        let map = map(&File::open(path)?)?;
        let index = index(&map).map_err(|message| io::Error::new(io::ErrorKind::InvalidData, message))?;
        let wrong = |message: &str| Err(io::Error::new(io::ErrorKind::InvalidData, message));
        if index.name != name {
            return wrong("it is of another name");
        }
        if !index.images.iter().map(|entry| &entry.id).eq(ids) {
            return wrong("it holds other images");
        }
        if let Form::Resized { size, .. } = form
            && index.images.iter().any(|e| (e.width as usize, e.height as usize) != (size, size))
        {
            return wrong("it holds images of another size");
        }
        let places = ids.iter().cloned().zip(0..).collect();
        let states = ids.iter().map(|_| AtomicU8::new(NEW)).collect();
        let (path, entries) = (path.to_owned(), index.images);
        Ok(Self { path, form, map, entries, places, states, is_damaged: AtomicBool::new(false) })
    }

    /// The form of its images.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether an image's bytes turned out to be altered; such images are
    /// never served.
    pub fn is_damaged(&self) -> bool {
        self.is_damaged.load(Ordering::Relaxed)
    }

    /// An image, checked against its digest when it is first read; `None` if
    /// it is altered or there is none of that id. An altered file is removed.
    pub fn get(&self, id: &str) -> Option<Picture<'_>> {
        let place = *self.places.get(id)?;
        let (entry, state) = (&self.entries[place], &self.states[place]);
        let picture = self.picture(entry)?;
        let known = match state.load(Ordering::Relaxed) {
            NEW => {
                let found = if digest(picture) == entry.blake3 { WHOLE } else { DAMAGED };
                state.store(found, Ordering::Relaxed);
                if found == DAMAGED && !self.is_damaged.swap(true, Ordering::Relaxed) {
                    // Should that fail, the next reader notices again.
                    let _ = fs::remove_file(&self.path);
                }
                found
            }
            known => known,
        };
        (known == WHOLE).then_some(picture)
    }

    fn picture(&self, entry: &Entry) -> Option<Picture<'_>> {
        let pixels = usize::try_from(entry.pixels()).ok()?;
        let start = usize::try_from(entry.offset).ok()?;
        let bytes = self.map.get(start..start.checked_add(4 * pixels)?)?;
        let (rgb, mask) = bytes.split_at(3 * pixels);
        Some(Picture { width: entry.width, height: entry.height, rgb, mask })
    }
}

#[allow(unsafe_code)]
fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: the mapped bytes must not change, nor the file become shorter,
    // while the map lives. A pack is written under a temporary name and made
    // read-only before it gets its own; this program never opens it for
    // writing again, and replaces or removes it by its name alone, which
    // leaves the mapped file as it is.
    unsafe { Mmap::map(file) }
}

/// The index of a complete file, its entries inside the file.
fn index(bytes: &[u8]) -> Result<Index, String> {
    let body = bytes.len().checked_sub(TAIL_BYTES).ok_or("it is too short")?;
    if !bytes.starts_with(HEAD) || !bytes.ends_with(TAIL) {
        return Err("it is cut off, or no pack".to_owned());
    }
    let tail = &bytes[body..];
    let mut length = [0; 8];
    length.copy_from_slice(&tail[..8]);
    let start = usize::try_from(u64::from_le_bytes(length)).ok().and_then(|length| body.checked_sub(length));
    let start = start.filter(|start| *start >= HEAD.len()).ok_or("its index is longer than the file")?;
    let text = &bytes[start..body];
    if blake3::hash(text).as_bytes() != &tail[8..40] {
        return Err("its index is altered".to_owned());
    }
    let index: Index = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let mut at = HEAD.len() as u64;
    for entry in &index.images {
        if entry.offset != at {
            return Err("its index contradicts itself".to_owned());
        }
        at = entry
            .pixels()
            .checked_mul(4)
            .and_then(|bytes| at.checked_add(bytes))
            .ok_or("an image is too large")?;
    }
    if at != start as u64 {
        return Err("its index is not that of its images".to_owned());
    }
    Ok(index)
}

/// Removes a file; that it is gone already is as good.
pub(super) fn remove(path: &Path) -> Result<(), PackError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(PackError::Io { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}
