//! From a sample to network input.
//!
//! The trainer's chain per image: [`super::Dataset::load`], then [`resized`]
//! (or the augmentation, which resizes on its own), then
//! [`Resized::write_input`] and [`Resized::write_target`] into the batch.

use super::{Sample, resize};
use crate::spec::protocol::{Image, MaskMode};

/// An image with its mask at the network's size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resized {
    /// Side, pixels.
    pub size: usize,
    /// `size * size * 3` bytes: rows from the top, RGB interleaved.
    pub rgb: Vec<u8>,
    /// `size * size` bytes, grey as stored (0..=255).
    pub mask: Vec<u8>,
}

/// Resizes a sample by the protocol: the image by its filter, the mask by nearest.
pub fn resized(sample: &Sample, image: &Image) -> Resized {
    let size = image.size as u32;
    Resized {
        size: image.size,
        rgb: resize::image(&sample.image, size, image.filter).into_raw(),
        mask: resize::mask(&sample.mask, size).into_raw(),
    }
}

impl Resized {
    /// Writes the normalised image, `(v / 255 - mean) / std`, as planes R, G, B.
    /// `into` has length `3 * size * size`; what is beyond the shorter is left alone.
    pub fn write_input(&self, image: &Image, into: &mut [f32]) {
        for (channel, plane) in into.chunks_exact_mut(self.size * self.size).take(3).enumerate() {
            let table: [f32; 256] = std::array::from_fn(|v| {
                ((v as f64 / 255.0 - image.mean[channel]) / image.std[channel]) as f32
            });
            for (value, pixel) in plane.iter_mut().zip(self.rgb.chunks_exact(3)) {
                *value = table[usize::from(pixel[channel])];
            }
        }
    }

    /// Writes the training target: grey / 255 for soft masks, else 1 where the
    /// mask is greater than `threshold` and 0 elsewhere. `into` has length
    /// `size * size`.
    pub fn write_target(&self, mode: MaskMode, threshold: u8, into: &mut [f32]) {
        for (value, grey) in into.iter_mut().zip(&self.mask) {
            *value = match mode {
                MaskMode::Soft => f32::from(*grey) / 255.0,
                MaskMode::Threshold => f32::from(u8::from(*grey > threshold)),
            };
        }
    }

    /// The truth for scoring, always thresholded: one bool a pixel, rows from the top.
    pub fn truth(&self, threshold: u8) -> Vec<bool> {
        self.mask.iter().map(|grey| *grey > threshold).collect()
    }
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, Luma, Rgb, RgbImage};

    use super::*;
    use crate::spec::protocol::Filter;

    fn protocol(size: usize) -> Image {
        Image {
            size,
            filter: Filter::Bilinear,
            mean: [0.0, 0.5, 0.25],
            std: [1.0, 0.5, 0.25],
            training_masks: MaskMode::Soft,
        }
    }

    #[test]
    fn input_is_planar_and_normalised() {
        let sample = Sample {
            image: RgbImage::from_fn(2, 2, |x, _| Rgb([255 * x as u8, 255, 0])),
            mask: GrayImage::from_fn(2, 2, |x, y| Luma([[[0, 127], [128, 255]][y as usize][x as usize]])),
        };
        let image = protocol(2);
        let resized = resized(&sample, &image);
        let mut input = [0.0; 12];
        resized.write_input(&image, &mut input);
        assert_eq!(input, [0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0, -1.0]);
        let mut target = [0.0; 4];
        resized.write_target(MaskMode::Threshold, 127, &mut target);
        assert_eq!(target, [0.0, 0.0, 1.0, 1.0]);
        resized.write_target(MaskMode::Soft, 127, &mut target);
        assert_eq!(target, [0.0, 127.0 / 255.0, 128.0 / 255.0, 1.0]);
        assert_eq!(resized.truth(127), [false, false, true, true]);
    }
}
