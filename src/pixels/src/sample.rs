//! One image with its truth, out of stored files.

use std::path::PathBuf;

use image::{GrayImage, RgbImage};

use crate::mask::Reading;
use crate::rule::ImageRule;
use crate::{PixelError, decode, mask, merge};

/// One image with its truth, both of the same size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// 8-bit RGB.
    pub image: RgbImage,
    /// Levels: see [`mask`].
    pub mask: GrayImage,
}

impl Sample {
    /// Decodes an image and its masks, each with the place it was read from, by the rules
    /// of their dataset. Of several masks the union is the truth; without one `None`.
    ///
    /// # Errors
    /// A file that does not decode, or a mask of another size than its image.
    pub fn decode(
        image: &(PathBuf, Vec<u8>),
        masks: &[(PathBuf, Vec<u8>)],
        rule: ImageRule,
        reading: &Reading,
    ) -> Result<Option<Self>, PixelError> {
        let image = decode::rgb(&image.1, &image.0, rule)?.pixels;
        let mut levels = Vec::with_capacity(masks.len());
        for (path, bytes) in masks {
            let mask = mask::read(bytes, path, reading)?.pixels;
            if image.dimensions() != mask.dimensions() {
                return Err(PixelError::SizeMismatch {
                    mask: path.clone(),
                    mask_size: mask.dimensions(),
                    image_size: image.dimensions(),
                });
            }
            levels.push(mask);
        }
        Ok(merge::union(levels).map(|mask| Self { image, mask }))
    }
}
