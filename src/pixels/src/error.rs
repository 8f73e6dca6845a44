//! Why an image, a phantom or a division cannot be had, with the remedy.

use std::io;
use std::path::PathBuf;

use dygl_base::words::did_you_mean;

use crate::split::SplitError;

/// An error on the way to pixels.
#[derive(Debug, thiserror::Error)]
pub enum PixelError {
    /// The dataset takes no such option.
    #[error("dataset `{dataset}` has no option `{option}`{}; {}", did_you_mean(.candidates), known(.options))]
    UnknownOption {
        /// Id of the dataset, without options.
        dataset: String,
        /// The unknown option, as written.
        option: String,
        /// Options that look alike, best first.
        candidates: Vec<String>,
        /// Every option that the dataset takes.
        options: Vec<String>,
    },
    /// An option has a value that it cannot have.
    #[error("option `{option}={value}` of dataset `{dataset}`: expected {expected}")]
    BadOption {
        /// Id of the dataset, without options.
        dataset: String,
        /// Name of the option.
        option: String,
        /// As written.
        value: String,
        /// What it may be, in words.
        expected: String,
    },
    /// There are not enough images for what is asked.
    #[error("dataset `{dataset}` has {images} image(s), too few for {needed}")]
    TooFew {
        /// Id of the dataset.
        dataset: String,
        /// How many images there are.
        images: usize,
        /// What they are too few for, in words.
        needed: String,
    },
    /// The file cannot be read.
    #[error("{}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is no picture of a known format, or a damaged one.
    #[error("{}: does not decode: {message}", .path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// What the decoder says.
        message: String,
    },
    /// The file decodes, but holds what the rules have no place for.
    #[error("{}: {message}", .path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// What it holds that has no place, and the remedy.
        message: String,
    },
    /// The picture is above the limits of what is decoded.
    #[error("{}: {width}x{height} pixels are more than the {limit} allowed", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// As the file states it, pixels.
        width: u32,
        /// As the file states it, pixels.
        height: u32,
        /// The limit that it breaks, in words.
        limit: String,
    },
    /// Image and mask differ in size.
    #[error("{}: is {}x{}, but its image is {}x{}", .mask.display(), .mask_size.0, .mask_size.1, .image_size.0, .image_size.1)]
    SizeMismatch {
        /// The mask's file.
        mask: PathBuf,
        /// Width and height of the mask, pixels.
        mask_size: (u32, u32),
        /// Width and height of the image, pixels.
        image_size: (u32, u32),
    },
    /// The dataset cannot be divided as asked.
    #[error(transparent)]
    Split(#[from] SplitError),
}

fn known(options: &[String]) -> String {
    if options.is_empty() { "it takes none".to_owned() } else { format!("it takes {}", options.join(", ")) }
}
