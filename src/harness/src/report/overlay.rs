//! Overlays as in the paper's Fig. 6: over-segmented pixels (false positives)
//! red, under-segmented ones (false negatives) green, agreed foreground a
//! light tint, over the image or over grey where the image may not be shown.
//!
//! Red and green are Okabe and Ito's vermilion and bluish green, which
//! colour-blind readers tell apart.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::imageops;
use image::{ExtendedColorType, GrayImage, ImageEncoder, Rgb, RgbImage};

/// Smaller sides are enlarged by a whole factor until they reach this.
const SMALLEST_SIDE: u32 = 192;
/// Larger sides are reduced: a report is not an archive.
const LARGEST_SIDE: u32 = 320;
/// Longer side of a picture in a list.
const THUMBNAIL_SIDE: u32 = 88;

const OVER: Rgb<u8> = Rgb([213, 60, 0]);
const UNDER: Rgb<u8> = Rgb([0, 158, 115]);
const AGREED: Rgb<u8> = Rgb([255, 255, 255]);
const GREY: Rgb<u8> = Rgb([96, 96, 96]);

/// Why an overlay could not be made.
#[derive(Debug, thiserror::Error)]
pub enum OverlayError {
    #[error("failed to draw the overlay: the prediction has {prediction:?} pixels, the truth {truth:?}")]
    Sizes { truth: (u32, u32), prediction: (u32, u32) },
    #[error("failed to encode the overlay as PNG")]
    Encode(#[from] image::ImageError),
}

/// Draws truth and prediction, foreground where they are not 0, over the image, or
/// over grey without one. An image of another size than the masks is resized to theirs.
pub fn overlay(
    image: Option<&RgbImage>,
    truth: &GrayImage,
    prediction: &GrayImage,
) -> Result<RgbImage, OverlayError> {
    let size = truth.dimensions();
    if prediction.dimensions() != size {
        return Err(OverlayError::Sizes { truth: size, prediction: prediction.dimensions() });
    }
    let mut canvas = match image {
        Some(image) if image.dimensions() == size => image.clone(),
        Some(image) => imageops::resize(image, size.0, size.1, imageops::FilterType::Triangle),
        None => RgbImage::from_pixel(size.0, size.1, GREY),
    };
    for ((pixel, truth), prediction) in canvas.pixels_mut().zip(truth.pixels()).zip(prediction.pixels()) {
        *pixel = match (truth.0[0] != 0, prediction.0[0] != 0) {
            (true, true) => blend(*pixel, AGREED, 0.30),
            (false, true) => blend(*pixel, OVER, 0.78),
            (true, false) => blend(*pixel, UNDER, 0.78),
            (false, false) => *pixel,
        };
    }
    Ok(canvas)
}

fn blend(below: Rgb<u8>, above: Rgb<u8>, share: f32) -> Rgb<u8> {
    let mut mixed = below;
    for (mixed, above) in mixed.0.iter_mut().zip(above.0) {
        *mixed = (f32::from(*mixed) * (1.0 - share) + f32::from(above) * share).round() as u8;
    }
    mixed
}

/// The picture at a size fit for a page, as a `data:image/png;base64,` URI.
pub(super) fn data_uri(picture: &RgbImage) -> Result<String, OverlayError> {
    encode(&fit(picture))
}

fn encode(picture: &RgbImage) -> Result<String, OverlayError> {
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
pub(super) fn thumbnail_uri(picture: &RgbImage) -> Result<String, OverlayError> {
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
    use image::Luma;

    fn mask(values: [u8; 4]) -> GrayImage {
        GrayImage::from_fn(2, 2, |x, y| Luma([values[(y * 2 + x) as usize]]))
    }

    #[test]
    fn the_four_cases_have_four_colours() {
        let truth = mask([255, 0, 255, 0]);
        let prediction = mask([255, 255, 0, 0]);
        let drawn = overlay(None, &truth, &prediction).expect("drawn");
        let [agreed, over, under, background] =
            [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(x, y)| drawn.get_pixel(x, y).0);
        assert_eq!(background, GREY.0);
        assert!(over[0] > over[1] + 80, "false positives are red: {over:?}");
        assert!(under[1] > under[0] + 80, "false negatives are green: {under:?}");
        assert!(agreed[0] > GREY.0[0] && agreed[0] == agreed[1] && agreed[1] == agreed[2]);
    }

    #[test]
    fn masks_of_different_sizes_are_refused() {
        let error = overlay(None, &GrayImage::new(2, 2), &GrayImage::new(2, 3));
        assert!(matches!(error, Err(OverlayError::Sizes { .. })));
    }

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
