//! Resizing. Images go by the protocol's filter, masks always by nearest.

use image::imageops::{self, FilterType};
use image::{GrayImage, Rgb, RgbImage};

use crate::spec::protocol::Filter;

/// Resizes an image to `size` x `size` pixels; the aspect is not kept, as in
/// the paper.
///
/// - `Nearest`: source pixel `floor((i + 0.5) * in / out)`.
/// - `Bilinear`: two taps a side at pixel centres, without anti-aliasing, in
///   f32 and rounded. It is OpenCV's INTER_LINEAR up to that one's fixed-point
///   weights (a difference of at most one grey level).
/// - `Triangle`, `Lanczos3`: support grows with the reduction; `image` crate.
pub fn image(from: &RgbImage, size: u32, filter: Filter) -> RgbImage {
    if from.dimensions() == (size, size) {
        return from.clone();
    }
    match filter {
        Filter::Nearest => {
            let (xs, ys) = (nearest(from.width(), size), nearest(from.height(), size));
            RgbImage::from_fn(size, size, |x, y| *from.get_pixel(xs[x as usize], ys[y as usize]))
        }
        Filter::Bilinear => bilinear(from, size),
        Filter::Triangle => imageops::resize(from, size, size, FilterType::Triangle),
        Filter::Lanczos3 => imageops::resize(from, size, size, FilterType::Lanczos3),
    }
}

/// Resizes a mask to `size` x `size` pixels by nearest: no new values appear.
pub fn mask(from: &GrayImage, size: u32) -> GrayImage {
    if from.dimensions() == (size, size) {
        return from.clone();
    }
    let (xs, ys) = (nearest(from.width(), size), nearest(from.height(), size));
    GrayImage::from_fn(size, size, |x, y| *from.get_pixel(xs[x as usize], ys[y as usize]))
}

/// Source pixel of each of `to` pixels: `floor((i + 0.5) * from / to)`, in integers.
fn nearest(from: u32, to: u32) -> Vec<u32> {
    let (from, to) = (u64::from(from), u64::from(to));
    (0..to).map(|i| ((2 * i + 1) * from / (2 * to)) as u32).collect()
}

/// Both taps and the weight of the second, for each of `to` pixels.
fn taps(from: u32, to: u32) -> Vec<(u32, u32, f32)> {
    let scale = f64::from(from) / f64::from(to);
    (0..to)
        .map(|i| {
            let at = ((f64::from(i) + 0.5) * scale - 0.5).clamp(0.0, f64::from(from - 1));
            let first = at.floor();
            let second = (first as u32 + 1).min(from - 1);
            (first as u32, second, (at - first) as f32)
        })
        .collect()
}

fn bilinear(from: &RgbImage, size: u32) -> RgbImage {
    let (xs, ys) = (taps(from.width(), size), taps(from.height(), size));
    RgbImage::from_fn(size, size, |x, y| {
        let (x0, x1, wx) = xs[x as usize];
        let (y0, y1, wy) = ys[y as usize];
        let corner = |x, y| from.get_pixel(x, y).0.map(f32::from);
        let (a, b, c, d) = (corner(x0, y0), corner(x1, y0), corner(x0, y1), corner(x1, y1));
        Rgb(std::array::from_fn(|channel| {
            let mix = |p: [f32; 3], q: [f32; 3]| p[channel] + (q[channel] - p[channel]) * wx;
            let (top, bottom) = (mix(a, b), mix(c, d));
            (top + (bottom - top) * wy).round() as u8
        }))
    })
}

#[cfg(test)]
mod tests {
    use image::Luma;

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
}
