//! Small pictures of the images that a page shows, with the outline of the
//! mask; over grey where the terms do not allow to show the image.

use std::collections::{BTreeMap, BTreeSet};

use dygl_pixels::mask as truth;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use image::{ExtendedColorType, GrayImage, Rgb, RgbImage};
use rayon::prelude::*;

use crate::{DataError, Dataset};

/// Longest side, pixels.
const SIDE: u32 = 200;
const QUALITY: u8 = 82;
/// Stands for an image that may not be shown.
const GREY: Rgb<u8> = Rgb([96, 96, 96]);
const FOREGROUND: Rgb<u8> = Rgb([150, 150, 150]);
/// Okabe and Ito's yellow: visible on tissue, skin and scans.
const OUTLINE: Rgb<u8> = Rgb([240, 228, 66]);

/// A JPEG and its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// The encoded file.
    pub jpeg: Vec<u8>,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

/// Why a picture could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The image cannot be loaded.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The picture cannot be encoded as JPEG.
    #[error("failed to encode the picture of image `{id}`: {source}")]
    Encode {
        /// Id of the image.
        id: String,
        /// What the encoder says.
        source: image::ImageError,
    },
}

/// Pictures of images by id; `show` says whether the images themselves may be
/// shown.
///
/// # Errors
/// An image cannot be loaded or its picture not be encoded.
pub fn pictures(
    dataset: &Dataset,
    ids: &BTreeSet<&str>,
    show: bool,
) -> Result<BTreeMap<String, Picture>, PictureError> {
    let ids: Vec<&str> = ids.iter().copied().collect();
    ids.par_iter().map(|id| Ok(((*id).to_owned(), picture(dataset, id, show)?))).collect()
}

fn picture(dataset: &Dataset, id: &str, show: bool) -> Result<Picture, PictureError> {
    let sample = dataset.load(id)?;
    let (width, height) = fit(sample.image.dimensions());
    let mask = imageops::resize(&sample.mask, width, height, FilterType::Nearest);
    let is_foreground = |x: u32, y: u32| truth::is_foreground(mask.get_pixel(x, y).0[0]);
    let mut canvas = if show {
        imageops::resize(&sample.image, width, height, FilterType::Triangle)
    } else {
        RgbImage::from_fn(width, height, |x, y| if is_foreground(x, y) { FOREGROUND } else { GREY })
    };
    outline(&mut canvas, &mask);
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, QUALITY)
        .encode(canvas.as_raw(), width, height, ExtendedColorType::Rgb8)
        .map_err(|source| PictureError::Encode { id: id.to_owned(), source })?;
    Ok(Picture { jpeg, width, height })
}

/// Marks every foreground pixel that has a neighbour of the background.
fn outline(canvas: &mut RgbImage, mask: &GrayImage) {
    let (width, height) = mask.dimensions();
    let is_foreground = |x: u32, y: u32| truth::is_foreground(mask.get_pixel(x, y).0[0]);
    for y in 0..height {
        for x in 0..width {
            let near = [(x.wrapping_sub(1), y), (x + 1, y), (x, y.wrapping_sub(1)), (x, y + 1)];
            let at_border = || near.iter().any(|(x, y)| *x < width && *y < height && !is_foreground(*x, *y));
            if is_foreground(x, y) && at_border() {
                canvas.put_pixel(x, y, OUTLINE);
            }
        }
    }
}

fn fit((width, height): (u32, u32)) -> (u32, u32) {
    let side = width.max(height).max(1);
    let scaled = |length: u32| (u64::from(length) * u64::from(SIDE) / u64::from(side)).max(1) as u32;
    (scaled(width), scaled(height))
}

#[cfg(test)]
mod tests {
    use dygl_spec::name::Named;

    use super::*;
    use crate::Registry;

    #[test]
    fn a_restricted_image_is_not_in_its_picture() {
        let registry = Registry::at(std::path::Path::new("/nonexistent"));
        let named = Named::parse("phantom-polyp,count=2,size=64,seed=1").expect("a name");
        let dataset = Dataset::open(&named, &registry).expect("opens");
        let id = dataset.ids()[0].as_str();
        let greys = |show: bool| {
            let made = pictures(&dataset, &[id].into(), show).expect("made");
            let picture = image::load_from_memory(&made[id].jpeg).expect("a JPEG").into_rgb8();
            assert_eq!(picture.dimensions(), (200, 200));
            let is_grey =
                |pixel: &&Rgb<u8>| pixel.0.iter().all(|v| v.abs_diff(96) < 6 || v.abs_diff(150) < 6);
            picture.pixels().filter(is_grey).count() as f64 / 40_000.0
        };
        assert!(greys(false) > 0.7, "{}", greys(false));
        assert!(greys(true) < 0.2, "{}", greys(true));
    }

    #[test]
    fn sides_fit() {
        assert_eq!(fit((400, 100)), (200, 50));
        assert_eq!(fit((10, 20)), (100, 200));
        assert_eq!(fit((5000, 1)), (200, 1));
    }
}
