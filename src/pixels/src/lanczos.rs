//! Resizing by a Lanczos filter of three lobes, as the `image` crate does it but
//! for the sine: that one's is the C library's, and differs from one to the next.

use std::f32::consts::PI;

/// Lobes on either side.
const LOBES: f32 = 3.0;

/// The source pixels that an output pixel is made of: the first, and the weights
/// of it and its followers, of sum 1.
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

/// Resizes an image (RGB interleaved, `width` x `height`) to `size` x `size`
/// pixels, columns first. Support grows with the reduction; sums are in f32, in
/// the order of the pixels, and rounded half away from zero.
pub(super) fn resize(rgb: &[u8], (width, height): (u32, u32), size: u32) -> Vec<u8> {
    let line = 3 * width as usize;
    let across = taps(width, size);
    let mut column = vec![0f32; line];
    let mut to = Vec::with_capacity(3 * (size * size) as usize);
    for taps in taps(height, size) {
        column.fill(0.0);
        for (row, weight) in rgb[taps.first * line..].chunks_exact(line).zip(&taps.weights) {
            column.iter_mut().zip(row).for_each(|(sum, value)| *sum += f32::from(*value) * weight);
        }
        for taps in &across {
            let mut sums = [0f32; 3];
            for (pixel, weight) in column[3 * taps.first..].as_chunks::<3>().0.iter().zip(&taps.weights) {
                sums.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += value * weight);
            }
            to.extend(sums.map(|sum| sum.clamp(0.0, 255.0).round() as u8));
        }
    }
    to
}

/// The taps of each of `to` pixels along a side of `from`.
fn taps(from: u32, to: u32) -> Vec<Taps> {
    let ratio = from as f32 / to as f32;
    let stretch = ratio.max(1.0);
    let reach = LOBES * stretch;
    (0..to)
        .map(|index| {
            let centre = (index as f32 + 0.5) * ratio;
            let first = ((centre - reach).floor().max(0.0) as u32).min(from - 1);
            let end = ((centre + reach).ceil() as u32).clamp(first + 1, from);
            let mut weights: Vec<f32> =
                (first..end).map(|pixel| kernel((pixel as f32 - (centre - 0.5)) / stretch)).collect();
            let sum: f32 = weights.iter().sum();
            weights.iter_mut().for_each(|weight| *weight /= sum);
            Taps { first: first as usize, weights }
        })
        .collect()
}

fn kernel(x: f32) -> f32 {
    if x.abs() < LOBES { sinc(x) * sinc(x / LOBES) } else { 0.0 }
}

fn sinc(x: f32) -> f32 {
    let angle = x * PI;
    if x == 0.0 { 1.0 } else { libm::sinf(angle) / angle }
}

#[cfg(test)]
mod tests {
    use dygl_base::random::Stream;
    use image::RgbImage;
    use image::imageops::{self, FilterType};

    use super::*;

    fn noise(width: u32, height: u32) -> RgbImage {
        let mut stream = Stream::new(1, "lanczos", &[]);
        let bytes = (0..3 * width * height).map(|_| stream.below(256) as u8).collect();
        RgbImage::from_raw(width, height, bytes).expect("as long as its sides say")
    }

    #[test]
    fn it_is_the_filter_of_the_image_crate() {
        for (width, height, size) in [(97, 61, 32), (20, 33, 50), (64, 64, 48), (1, 3, 5), (5, 1, 2)] {
            let from = noise(width, height);
            let other = imageops::resize(&from, size, size, FilterType::Lanczos3).into_raw();
            let own = resize(from.as_raw(), (width, height), size);
            assert_eq!(own.len(), other.len());
            // A sine that is rounded otherwise may move a value across a half.
            let apart = own.iter().zip(&other).filter(|(a, b)| a != b).count();
            assert!(own.iter().zip(&other).all(|(a, b)| a.abs_diff(*b) <= 1), "{width}x{height} to {size}");
            assert!(apart * 1000 <= own.len(), "{width}x{height} to {size}: {apart} of {}", own.len());
        }
    }

    /// A change here moves every result with this filter.
    #[test]
    fn pixels_are_frozen() {
        let from = noise(97, 61);
        let digest = blake3::hash(&resize(from.as_raw(), (97, 61), 32)).to_hex();
        assert_eq!(digest[..16], *"17ab5daeda2ed385");
    }
}
