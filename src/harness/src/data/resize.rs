//! Resizing. Images go by the protocol's filter, masks always by nearest.
//!
//! Everything here works on a [`Window`] of a picture, so that a crop is
//! resized without being copied out first.

use image::imageops::{self, FilterType};
use image::{GrayImage, RgbImage};

use super::prepare::Picture;
use crate::spec::protocol::Filter;

/// A window in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

/// Resizes a window of an image to `size` x `size` pixels, RGB interleaved;
/// the aspect is not kept, as in the paper. The window must lie inside.
///
/// - `Nearest`: source pixel `floor((i + 0.5) * in / out)`.
/// - `Bilinear`: two taps a side at pixel centres, without anti-aliasing, in
///   f32 and rounded, half to even. It is OpenCV's INTER_LINEAR up to that
///   one's fixed-point weights (a difference of at most one grey level).
/// - `Triangle`, `Lanczos3`: support grows with the reduction; `image` crate.
pub fn rgb(from: Picture<'_>, window: Window, size: u32, filter: Filter) -> Vec<u8> {
    if (window.width, window.height) == (size, size) {
        return cut(from, window);
    }
    let smooth = |kind| {
        let cut = RgbImage::from_raw(window.width, window.height, cut(from, window)).unwrap_or_default();
        imageops::resize(&cut, size, size, kind).into_raw()
    };
    match filter {
        Filter::Nearest => nearest_rgb(from, window, size),
        Filter::Bilinear => bilinear(from, window, size),
        Filter::Triangle => smooth(FilterType::Triangle),
        Filter::Lanczos3 => smooth(FilterType::Lanczos3),
    }
}

/// Resizes a window of a mask to `size` x `size` pixels by nearest: no new
/// values appear. Taken is the pixel under the centre (OpenCV's
/// INTER_NEAREST_EXACT, Pillow's NEAREST). OpenCV's INTER_NEAREST takes
/// `floor(i * in / out)` instead, which shifts the mask against its image by
/// up to half a pixel.
pub fn grey(from: Picture<'_>, window: Window, size: u32) -> Vec<u8> {
    let (xs, ys) = (nearest(window.width, size), nearest(window.height, size));
    let mut to = Vec::with_capacity((size * size) as usize);
    for y in ys {
        let row = from.mask_row(window, y);
        to.extend(xs.iter().map(|x| row[*x as usize]));
    }
    to
}

/// [`rgb`] of a whole image.
pub fn image(from: &RgbImage, size: u32, filter: Filter) -> RgbImage {
    let picture = Picture { width: from.width(), height: from.height(), rgb: from.as_raw(), mask: &[] };
    RgbImage::from_raw(size, size, rgb(picture, picture.whole(), size, filter)).unwrap_or_default()
}

/// [`grey`] of a whole mask.
pub fn mask(from: &GrayImage, size: u32) -> GrayImage {
    let picture = Picture { width: from.width(), height: from.height(), rgb: &[], mask: from.as_raw() };
    GrayImage::from_raw(size, size, grey(picture, picture.whole(), size)).unwrap_or_default()
}

/// The window's pixels, copied.
fn cut(from: Picture<'_>, window: Window) -> Vec<u8> {
    (0..window.height).flat_map(|y| from.rgb_row(window, y)).copied().collect()
}

/// Source pixel of each of `to` pixels: `floor((i + 0.5) * from / to)`, in integers.
fn nearest(from: u32, to: u32) -> Vec<u32> {
    let (from, to) = (u64::from(from), u64::from(to));
    (0..to).map(|i| ((2 * i + 1) * from / (2 * to)) as u32).collect()
}

fn nearest_rgb(from: Picture<'_>, window: Window, size: u32) -> Vec<u8> {
    let (xs, ys) = (nearest(window.width, size), nearest(window.height, size));
    let mut to = Vec::with_capacity(3 * (size * size) as usize);
    for y in ys {
        let row = from.rgb_row(window, y);
        for x in &xs {
            to.extend_from_slice(&row[3 * *x as usize..3 * *x as usize + 3]);
        }
    }
    to
}

/// Both taps and the weight of the second, for each of `to` pixels.
fn taps(from: u32, to: u32) -> Vec<(usize, usize, f32)> {
    let scale = f64::from(from) / f64::from(to);
    (0..to)
        .map(|i| {
            let at = ((f64::from(i) + 0.5) * scale - 0.5).clamp(0.0, f64::from(from - 1));
            let first = at.floor();
            let second = (first as usize + 1).min(from as usize - 1);
            (first as usize, second, (at - first) as f32)
        })
        .collect()
}

/// Columns first (one row of the source's width, which vectorises), then rows.
fn bilinear(from: Picture<'_>, window: Window, size: u32) -> Vec<u8> {
    let xs = taps(window.width, size);
    let mut line = vec![0.0_f32; 3 * window.width as usize];
    let mut to = vec![0; 3 * (size * size) as usize];
    let rows = to.chunks_exact_mut(3 * size as usize);
    for ((y0, y1, wy), into) in taps(window.height, size).into_iter().zip(rows) {
        let (upper, lower) = (from.rgb_row(window, y0 as u32), from.rgb_row(window, y1 as u32));
        for ((mixed, a), b) in line.iter_mut().zip(upper).zip(lower) {
            *mixed = f32::from(*a) + (f32::from(*b) - f32::from(*a)) * wy;
        }
        let pixels = line.as_chunks::<3>().0;
        for (pixel, (x0, x1, wx)) in into.as_chunks_mut::<3>().0.iter_mut().zip(&xs) {
            let ([r0, g0, b0], [r1, g1, b1]) = (pixels[*x0], pixels[*x1]);
            *pixel = [byte(r0 + (r1 - r0) * wx), byte(g0 + (g1 - g0) * wx), byte(b0 + (b1 - b0) * wx)];
        }
    }
    to
}

/// Rounds a value in 0..=255, half to even: added to 2^23 no fraction is left
/// in a float, and the lowest bits are the number. (`round` is a call into
/// the C library on processors without SSE 4.1.)
#[inline(always)]
pub fn byte(value: f32) -> u8 {
    (value + 8_388_608.0).to_bits() as u8
}

#[cfg(test)]
mod tests {
    use image::{Luma, Rgb};

    use super::*;

    fn row(values: &[u8]) -> RgbImage {
        RgbImage::from_fn(values.len() as u32, values.len() as u32, |x, _| Rgb([values[x as usize]; 3]))
    }

    fn first_row(image: &RgbImage) -> Vec<u8> {
        (0..image.width()).map(|x| image.get_pixel(x, 0).0[0]).collect()
    }

    #[test]
    fn bilinear_has_its_taps_at_pixel_centres() {
        // Positions -0.25, 0.25, 0.75, 1.25 of the two source pixels.
        assert_eq!(first_row(&image(&row(&[0, 100]), 4, Filter::Bilinear)), [0, 25, 75, 100]);
        // Position 0.5 and 2.5: means of neighbours, without anti-aliasing.
        assert_eq!(first_row(&image(&row(&[0, 100, 50, 70]), 2, Filter::Bilinear)), [50, 60]);
    }

    #[test]
    fn nearest_takes_the_pixel_under_the_centre() {
        assert_eq!(nearest(4, 2), [1, 3]);
        assert_eq!(nearest(2, 4), [0, 0, 1, 1]);
        assert_eq!(nearest(5, 3), [0, 2, 4]);
        assert_eq!(first_row(&image(&row(&[1, 2, 3, 4]), 2, Filter::Nearest)), [2, 4]);
        let grey = GrayImage::from_fn(4, 4, |x, _| Luma([x as u8]));
        assert_eq!(mask(&grey, 2).into_raw(), [1, 3, 1, 3]);
    }

    #[test]
    fn every_filter_keeps_a_flat_image_and_an_equal_size() {
        let flat = RgbImage::from_pixel(13, 7, Rgb([10, 200, 30]));
        for filter in [Filter::Nearest, Filter::Bilinear, Filter::Triangle, Filter::Lanczos3] {
            let to = image(&flat, 9, filter);
            assert!(to.dimensions() == (9, 9) && to.pixels().all(|p| p.0 == [10, 200, 30]), "{filter:?}");
            assert_eq!(image(&row(&[1, 2, 3]), 3, filter), row(&[1, 2, 3]));
        }
    }

    #[test]
    fn a_window_is_resized_as_if_it_were_cut_out() {
        let whole = RgbImage::from_fn(31, 23, |x, y| Rgb([(x * 7) as u8, (y * 11) as u8, (x * y) as u8]));
        let grey = GrayImage::from_fn(31, 23, |x, y| Luma([(x * y % 251) as u8]));
        let picture = Picture { width: 31, height: 23, rgb: whole.as_raw(), mask: grey.as_raw() };
        for window in
            [Window { x: 3, y: 5, width: 17, height: 9 }, Window { x: 0, y: 0, width: 8, height: 8 }]
        {
            let Window { x, y, width, height } = window;
            let cut = imageops::crop_imm(&whole, x, y, width, height).to_image();
            for filter in [Filter::Nearest, Filter::Bilinear, Filter::Triangle, Filter::Lanczos3] {
                assert_eq!(rgb(picture, window, 8, filter), image(&cut, 8, filter).into_raw(), "{filter:?}");
            }
            let cut = imageops::crop_imm(&grey, x, y, width, height).to_image();
            assert_eq!(super::grey(picture, window, 8), mask(&cut, 8).into_raw());
        }
    }

    #[test]
    fn bytes_are_rounded_half_to_even() {
        for value in 0..=2550 {
            let value = value as f32 / 10.0;
            assert_eq!(byte(value), value.round_ties_even() as u8, "{value}");
        }
        assert_eq!([0.5, 1.5, 254.5, 254.50002, 255.0].map(byte), [0, 2, 254, 255, 255]);
    }
}
