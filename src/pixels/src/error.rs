//! Why an image, a phantom or a division cannot be had, with the remedy.

use std::io;
use std::path::PathBuf;

use dygl_base::words::did_you_mean;

use crate::split::SplitError;

/// An error on the way to pixels.
#[derive(Debug, thiserror::Error)]
pub enum PixelError {
    #[error("dataset `{dataset}` has no option `{option}`{}; {}", did_you_mean(.candidates), known(.options))]
    UnknownOption {
        dataset: String,
        option: String,
        /// Options that look alike, best first.
        candidates: Vec<String>,
        /// Every option that the dataset takes.
        options: Vec<String>,
    },
    #[error("option `{option}={value}` of dataset `{dataset}`: expected {expected}")]
    BadOption { dataset: String, option: String, value: String, expected: String },
    #[error("dataset `{dataset}` has {images} image(s), too few for {needed}")]
    TooFew { dataset: String, images: usize, needed: String },
    #[error("{}: {source}", .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: does not decode: {message}", .path.display())]
    Decode { path: PathBuf, message: String },
    #[error("{}: {message}", .path.display())]
    Unfit {
        path: PathBuf,
        /// What it holds that has no place, and the remedy.
        message: String,
    },
    #[error("{}: {width}x{height} pixels are more than the {limit} allowed", .path.display())]
    TooLarge { path: PathBuf, width: u32, height: u32, limit: String },
    #[error("{}: is {}x{}, but its image is {}x{}", .mask.display(), .mask_size.0, .mask_size.1, .image_size.0, .image_size.1)]
    SizeMismatch { mask: PathBuf, mask_size: (u32, u32), image_size: (u32, u32) },
    #[error(transparent)]
    Split(#[from] SplitError),
}

fn known(options: &[String]) -> String {
    if options.is_empty() { "it takes none".to_owned() } else { format!("it takes {}", options.join(", ")) }
}
