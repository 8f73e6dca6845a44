//! The verb `views`: what the network sees of an image in an epoch, as
//! pictures. `dygl dataset preview --augment` asks for it.

use std::path::{Path, PathBuf};

use dygl_base::exit::Exit;
use dygl_datasets::{DataError, Dataset, Registry};
use dygl_exec::views::{FILE, Views, image_name, mask_name};
use dygl_pixels::augment;
use dygl_pixels::prepare::Form;
use image::{GrayImage, ImageError, RgbImage};
use rayon::prelude::*;

/// Why there are no views; completes "failed to".
#[derive(Debug, thiserror::Error)]
pub enum ViewsError {
    /// The request cannot be read.
    #[error("read {}: {source}", path.display())]
    Read {
        /// Its file, `views.json`.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The request does not parse.
    #[error("read {}: {source}", path.display())]
    Request {
        /// Its file, `views.json`.
        path: PathBuf,
        /// What is wrong in it.
        source: serde_json::Error,
    },
    /// The dataset or an image of it cannot be loaded.
    #[error("load the image: {0}")]
    Data(#[from] DataError),
    /// A picture cannot be written.
    #[error("write {}: {source}", path.display())]
    Write {
        /// The picture, of the image or of its mask.
        path: PathBuf,
        /// What the encoder or the system says.
        source: ImageError,
    },
    /// A view has not as many values as a picture of its size.
    #[error("write {}: the view has {found} values, {expected} are needed", path.display())]
    Shape {
        /// The picture that was to be written.
        path: PathBuf,
        /// Values that the view has.
        found: usize,
        /// Values that its size needs: three a pixel of an image, one of a mask.
        expected: usize,
    },
}

impl ViewsError {
    /// The exit code that says what kind of failure it is.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Data(DataError::Altered { .. }) => Exit::Altered,
            Self::Request { .. } => Exit::Usage,
            _ => Exit::Environment,
        }
    }
}

/// Draws the views that the file in `folder` asks for.
///
/// # Errors
/// See [`ViewsError`].
pub fn run(folder: &Path) -> Result<(), ViewsError> {
    let path = folder.join(FILE);
    let text = std::fs::read(&path).map_err(|source| ViewsError::Read { path: path.clone(), source })?;
    let asked: Views =
        serde_json::from_slice(&text).map_err(|source| ViewsError::Request { path, source })?;
    let dataset = Dataset::open(&asked.dataset, &Registry::at(&asked.root))?;
    asked.views.par_iter().enumerate().try_for_each(|(view, (id, epoch))| {
        let seen = dataset.look(id, Form::of(&asked.protocol), |picture| {
            augment::augment(picture, id, asked.seed, *epoch, &asked.protocol)
        })?;
        let size = seen.size as u32;
        let (image_path, mask_path) = (folder.join(image_name(view)), folder.join(mask_name(view)));
        let shape = |path: &Path, found, channels| ViewsError::Shape {
            path: path.to_owned(),
            found,
            expected: channels * seen.size * seen.size,
        };
        let (values, grey) = (seen.rgb.len(), seen.mask.len());
        let image = RgbImage::from_raw(size, size, seen.rgb).ok_or_else(|| shape(&image_path, values, 3))?;
        let mask = GrayImage::from_raw(size, size, seen.mask).ok_or_else(|| shape(&mask_path, grey, 1))?;
        image.save(&image_path).map_err(|source| ViewsError::Write { path: image_path, source })?;
        mask.save(&mask_path).map_err(|source| ViewsError::Write { path: mask_path, source })
    })
}
