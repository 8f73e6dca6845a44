//! Overlays as in the paper's Fig. 6: over-segmented pixels (false positives)
//! red, under-segmented ones (false negatives) green, agreed foreground a
//! light tint, over the image or over grey where the image may not be shown.
//!
//! Red and green are Okabe and Ito's vermilion and bluish green, which
//! colour-blind readers tell apart.

use image::imageops::{self, FilterType};
use image::{GrayImage, Rgb, RgbImage};

const OVER: Rgb<u8> = Rgb([213, 60, 0]);
const UNDER: Rgb<u8> = Rgb([0, 158, 115]);
const AGREED: Rgb<u8> = Rgb([255, 255, 255]);
const GREY: Rgb<u8> = Rgb([96, 96, 96]);

/// The masks are of different sizes, (width, height) in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("failed to draw the overlay: the prediction has {prediction:?} pixels, the truth {truth:?}")]
pub struct OverlayError {
    /// Of the true mask.
    pub truth: (u32, u32),
    /// Of the predicted mask.
    pub prediction: (u32, u32),
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
        return Err(OverlayError { truth: size, prediction: prediction.dimensions() });
    }
    let mut canvas = match image {
        Some(image) if image.dimensions() == size => image.clone(),
        Some(image) => imageops::resize(image, size.0, size.1, FilterType::Triangle),
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

#[cfg(test)]
mod tests {
    use image::Luma;

    use super::*;

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
        assert_eq!(error, Err(OverlayError { truth: (2, 2), prediction: (2, 3) }));
    }
}
