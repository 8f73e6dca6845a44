//! Packed images: decoded once, read by every run after that.
//!
//! Decoding and resizing take longer than everything that augmentation does,
//! and give the same bytes in each epoch and each run. A [`Cache`] keeps them
//! in the folder `cache/images` of a store, one file for each dataset and
//! [`Form`]. The file is named by a digest of all that its bytes depend on:
//! the dataset's content, the form, and the code that decodes and resizes. It
//! is never changed, only written anew.
//!
//! | what may happen | what follows |
//! |---|---|
//! | the builder is killed | finished parts stay and are not made again (`build.rs`) |
//! | two processes build at once | they share the parts; either's file is the same bytes |
//! | the file is truncated, or its index altered | refused when it is opened, and built anew |
//! | an image's bytes are altered | noticed when it is first read: that image is loaded from its source, and the file is removed, so that the next run builds it anew |
//! | the file is deleted, at any time | a reader keeps its own; the next run builds it anew |
//! | the folder cannot be written, or the disk is nearly full | a warning; images are loaded as without a cache |
//!
//! What comes out of a pack is what [`Dataset::load`] and the resize give, to
//! the byte: results do not know whether there was one.

mod build;
mod file;

use std::io;
use std::path::{Path, PathBuf};

use dygl_base::digest::digest_of;
use dygl_pixels::prepare::Form;

use super::ingest::Progress;
use super::{DataError, Dataset};
pub use file::Pack;

/// Largest share of the free disk space that building a pack may take.
const SHARE: u64 = 2;

/// The packed images of a store.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
}

/// A dataset with its images packed, or why they are not.
#[derive(Debug)]
pub struct Attached {
    /// Serves its images from the pack, or from its files where there is none.
    pub dataset: Dataset,
    /// To be told once; the dataset serves its images all the same.
    pub warning: Option<String>,
}

/// Why there is no pack.
#[derive(Debug, thiserror::Error)]
enum PackError {
    #[error(transparent)]
    Data(#[from] DataError),
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} MiB are needed, {} MiB are free in {}", needed >> 20, free >> 20, folder.display())]
    Space { needed: u64, free: u64, folder: PathBuf },
}

impl Cache {
    /// The cache of a store. Nothing is created until something is packed.
    pub fn at(store_root: &Path) -> Self {
        Self { folder: store_root.join("cache/images") }
    }

    /// The dataset, its images served from a pack in the form; the pack is
    /// built where it is missing or damaged. `code` tells versions of the
    /// decoding and resizing code apart. `progress` is called with (images
    /// packed, images in all), from several threads, while one is built.
    ///
    /// # Errors
    /// An image cannot be loaded. A cache that cannot be used is no error but
    /// a warning.
    pub fn attach(
        &self,
        dataset: &Dataset,
        form: Form,
        code: &str,
        progress: Progress<'_>,
    ) -> Result<Attached, DataError> {
        match self.open(dataset, form, code, progress) {
            Ok(pack) => Ok(Attached { dataset: dataset.with_pack(pack), warning: None }),
            Err(PackError::Data(error)) => Err(error),
            Err(error) => {
                let warning = format!(
                    "images are decoded anew in each epoch, because they cannot be packed: {error}; \
                     a writable store with free space makes runs faster"
                );
                Ok(Attached { dataset: dataset.clone(), warning: Some(warning) })
            }
        }
    }

    /// Where the pack of a dataset in a form lies, whether it is there or not.
    pub fn path(&self, dataset: &Dataset, form: Form, code: &str) -> PathBuf {
        self.folder.join(format!("{}.pack", name(dataset, form, code)))
    }

    fn open(
        &self,
        dataset: &Dataset,
        form: Form,
        code: &str,
        progress: Progress<'_>,
    ) -> Result<Pack, PackError> {
        let name = name(dataset, form, code);
        let path = self.path(dataset, form, code);
        match Pack::open(&path, &name, form, dataset.ids()) {
            Ok(pack) => return Ok(pack),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // Truncated, altered, or of another program: built anew.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => file::remove(&path)?,
            Err(source) => return Err(PackError::Io { path, source }),
        }
        std::fs::create_dir_all(&self.folder)
            .map_err(|source| PackError::Io { path: self.folder.clone(), source })?;
        self.check_space(dataset, form)?;
        build::build(&build::Plan { dataset, form, name: &name, path: &path, progress })
    }

    fn check_space(&self, dataset: &Dataset, form: Form) -> Result<(), PackError> {
        // The parts and the file assembled from them.
        let needed = 2 * pack_bytes(dataset, form)?;
        let free = match rustix::fs::statvfs(&self.folder) {
            Ok(found) => found.f_bavail.saturating_mul(found.f_frsize),
            // A system that does not tell: writing will.
            Err(_) => return Ok(()),
        };
        if needed > free / SHARE {
            return Err(PackError::Space { needed, free, folder: self.folder.clone() });
        }
        Ok(())
    }
}

/// Size of a dataset's pack in a form, bytes, rounded up by a few hundred
/// bytes an image; while it is built, twice that lies on the disk. For
/// [`Form::Stored`] the header of each image is read.
///
/// # Errors
/// An image's header cannot be read.
pub fn pack_bytes(dataset: &Dataset, form: Form) -> Result<u64, DataError> {
    let mut total = file::OVERHEAD;
    for id in dataset.ids() {
        let (width, height) = match form {
            Form::Resized { size, .. } => (size as u64, size as u64),
            Form::Stored => {
                let (width, height) = dataset.dimensions(id)?;
                (u64::from(width), u64::from(height))
            }
        };
        total += 4 * width * height + file::ENTRY + id.len() as u64;
    }
    Ok(total)
}

/// What the bytes depend on, as a digest.
fn name(dataset: &Dataset, form: Form, code: &str) -> String {
    let dataset_name = dataset.id().to_string();
    digest_of("dygl pack 1", [dataset_name.as_str(), dataset.digest(), &form.to_string(), code])
}

#[cfg(test)]
mod tests;
