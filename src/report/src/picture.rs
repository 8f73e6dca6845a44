//! Pictures of a page: as `data:` URIs, at a size fit for reading.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dygl_datasets::overlay::OverlayError;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::imageops;
use image::{ExtendedColorType, ImageEncoder, RgbImage};

/// Smaller sides are enlarged by a whole factor until they reach this.
const SMALLEST_SIDE: u32 = 192;
/// Larger sides are reduced: a report is not an archive.
const LARGEST_SIDE: u32 = 320;
/// Longer side of a picture in a list.
const THUMBNAIL_SIDE: u32 = 88;

/// Why a picture could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// Truth and prediction cannot be drawn over the image.
    #[error(transparent)]
    Overlay(#[from] OverlayError),
    /// The drawn picture cannot be encoded as PNG.
    #[error("failed to encode the overlay as PNG")]
    Encode(#[from] image::ImageError),
}

/// The picture at a size fit for a page, as a `data:image/png;base64,` URI.
pub(super) fn data_uri(picture: &RgbImage) -> Result<String, PictureError> {
    encode(&fit(picture))
}

fn encode(picture: &RgbImage) -> Result<String, PictureError> {
    let mut png = Vec::new();
    PngEncoder::new_with_quality(&mut png, CompressionType::Best, FilterType::Adaptive).write_image(
        picture.as_raw(),
        picture.width(),
        picture.height(),
        ExtendedColorType::Rgb8,
    )?;
    Ok(format!("data:image/png;base64,{}", STANDARD.encode(png)))
}

/// The picture small enough for a list, as a `data:` URI.
pub(super) fn thumbnail_uri(picture: &RgbImage) -> Result<String, PictureError> {
    let (width, height) = picture.dimensions();
    let side = width.max(height).max(1);
    let scaled = |length: u32| (length * THUMBNAIL_SIDE / side).max(1);
    encode(&imageops::resize(picture, scaled(width), scaled(height), imageops::FilterType::Triangle))
}

fn fit(picture: &RgbImage) -> RgbImage {
    let (width, height) = picture.dimensions();
    let side = width.max(height).max(1);
    if side < SMALLEST_SIDE {
        // Whole factors and nearest: pixels stay pixels.
        let factor = SMALLEST_SIDE.div_ceil(side);
        imageops::resize(picture, width * factor, height * factor, imageops::FilterType::Nearest)
    } else if side > LARGEST_SIDE {
        let scaled = |length: u32| (length * LARGEST_SIDE / side).max(1);
        imageops::resize(picture, scaled(width), scaled(height), imageops::FilterType::Triangle)
    } else {
        picture.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_fit_a_page() {
        assert_eq!(fit(&RgbImage::new(64, 64)).dimensions(), (192, 192));
        assert_eq!(fit(&RgbImage::new(224, 224)).dimensions(), (224, 224));
        assert_eq!(fit(&RgbImage::new(1000, 500)).dimensions(), (320, 160));
        assert_eq!(fit(&RgbImage::new(5000, 1)).dimensions(), (320, 1));
    }

    #[test]
    fn the_uri_holds_a_png() {
        let uri = data_uri(&RgbImage::new(8, 8)).expect("encoded");
        let data = uri.strip_prefix("data:image/png;base64,").expect("a data URI");
        let bytes = STANDARD.decode(data).expect("base64");
        assert_eq!(image::load_from_memory(&bytes).expect("a PNG").width(), 192);
    }
}
