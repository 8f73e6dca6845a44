//! Resizing. Images go by the protocol's filter, masks always by nearest.
//!
//! Everything here works on a [`Window`] of a picture, so that a crop is
//! resized without being copied out first.

use dygl_base::vector::vectorised;
use dygl_spec::protocol::Filter;
use image::imageops::{self, FilterType};
use image::{GrayImage, RgbImage};

use super::lanczos;
use super::prepare::Picture;

/// A window in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Left edge, from the left of the picture.
    pub x: u32,
    /// Top edge, from the top of the picture.
    pub y: u32,
    /// Columns that it spans.
    pub width: u32,
    /// Rows that it spans.
    pub height: u32,
}

/// Resizes a window of an image to `size` x `size` pixels, RGB interleaved;
/// the aspect is not kept, as in the paper. The window must lie inside.
///
/// - `Nearest`: source pixel `floor((i + 0.5) * in / out)`.
/// - `Bilinear`: two taps a side at pixel centres, without anti-aliasing, in
///   f32 and rounded, half to even. It is OpenCV's INTER_LINEAR up to that
///   one's fixed-point weights (a difference of at most one grey level).
/// - `Triangle`, `Lanczos3`: support grows with the reduction, as in the `image`
///   crate.
pub fn rgb(from: Picture<'_>, window: Window, size: u32, filter: Filter) -> Vec<u8> {
    if (window.width, window.height) == (size, size) {
        return cut(from, window);
    }
    match filter {
        Filter::Nearest => nearest_rgb(from, window, size),
        Filter::Bilinear => {
            let mut lines = Bilinear::new(from, window, size);
            let mut row = vec![0; size as usize];
            let mut to = vec![0; 3 * (size * size) as usize];
            for (y, into) in to.chunks_exact_mut(3 * size as usize).enumerate() {
                lines.row(y, &mut row);
                unpack(&row, into);
            }
            to
        }
        Filter::Triangle => {
            let cut = RgbImage::from_raw(window.width, window.height, cut(from, window)).unwrap_or_default();
            imageops::resize(&cut, size, size, FilterType::Triangle).into_raw()
        }
        Filter::Lanczos3 => lanczos::resize(&cut(from, window), (window.width, window.height), size),
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

/// [`rgb`] and [`grey`] of a window at once, row by row from the top, without
/// an image between: `each` gets the number and the pixels of a row. A pixel is
/// one number: red in its lowest byte, then green, blue, and the mask's grey.
pub fn rows(
    from: Picture<'_>,
    window: Window,
    size: u32,
    filter: Filter,
    mut each: impl FnMut(usize, &mut [u32]),
) {
    let mut row = vec![0; size as usize];
    let (xs, ys) = (nearest(window.width, size), nearest(window.height, size));
    let mut with_mask = |y: usize, row: &mut [u32]| {
        let mask = from.mask_row(window, ys[y]);
        for (pixel, x) in row.iter_mut().zip(&xs) {
            *pixel |= u32::from(mask[*x as usize]) << 24;
        }
        each(y, row);
    };
    if filter == Filter::Bilinear {
        let mut lines = Bilinear::new(from, window, size);
        for y in 0..size as usize {
            lines.row(y, &mut row);
            with_mask(y, &mut row);
        }
    } else {
        let resized = rgb(from, window, size, filter);
        for (y, bytes) in resized.chunks_exact(3 * size as usize).enumerate() {
            for (pixel, [red, green, blue]) in row.iter_mut().zip(bytes.as_chunks().0) {
                *pixel = u32::from_le_bytes([*red, *green, *blue, 0]);
            }
            with_mask(y, &mut row);
        }
    }
}

/// The colours of pixels as in [`rows`], RGB interleaved.
pub fn unpack(pixels: &[u32], into: &mut [u8]) {
    for (rgb, pixel) in into.as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
        let [red, green, blue, _] = pixel.to_le_bytes();
        *rgb = [red, green, blue];
    }
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

/// First tap and weight of the second, its neighbour, for each of `to` pixels.
/// Where the neighbour lies beyond the end, its weight is 0.
fn taps(from: u32, to: u32) -> impl Iterator<Item = (u32, f32)> {
    let scale = f64::from(from) / f64::from(to);
    (0..to).map(move |i| {
        let at = ((f64::from(i) + 0.5) * scale - 0.5).clamp(0.0, f64::from(from - 1));
        (at as u32, (at - at.floor()) as f32)
    })
}

/// Bilinear rows of a window.
///
/// Each source row is spread out once: beside each other stand the two pixels
/// that an output pixel lies between. What is left to do for an output row
/// needs no look-up and runs in the widest vectors.
struct Bilinear<'a> {
    from: Picture<'a>,
    window: Window,
    /// Where the first tap of each column starts in a row, bytes.
    starts: Vec<usize>,
    weights: Vec<f32>,
    rows: Vec<(u32, f32)>,
    upper: Line,
    lower: Line,
    /// A source row, longer than it is: the last pixel has neighbours, too.
    bytes: Vec<u8>,
}

/// A source row spread out, colours packed as in [`rows`]; the highest byte
/// means nothing.
#[derive(Default)]
struct Line {
    y: Option<u32>,
    left: Vec<u32>,
    right: Vec<u32>,
}

impl<'a> Bilinear<'a> {
    fn new(from: Picture<'a>, window: Window, size: u32) -> Self {
        let (starts, weights) =
            taps(window.width, size).map(|(first, weight)| (3 * first as usize, weight)).unzip();
        Self {
            from,
            window,
            starts,
            weights,
            rows: taps(window.height, size).collect(),
            upper: Line::default(),
            lower: Line::default(),
            bytes: vec![0; 3 * window.width as usize + 5],
        }
    }

    /// Row `y` of the output, colours packed, highest byte 0.
    fn row(&mut self, y: usize, into: &mut [u32]) {
        let (first, wy) = self.rows[y];
        if self.lower.y == Some(first) {
            std::mem::swap(&mut self.upper, &mut self.lower);
        }
        let second = (first + 1).min(self.window.height - 1);
        for (line, y) in [(&mut self.upper, first), (&mut self.lower, second)] {
            if line.y != Some(y) {
                let row = self.from.rgb_row(self.window, y);
                self.bytes[..row.len()].copy_from_slice(row);
                line.spread(y, &self.bytes, &self.starts);
            }
        }
        let (upper, lower, weights) = (&self.upper, &self.lower, &self.weights);
        vectorised(
            #[inline(always)]
            || {
                // Lengths that the loop's compiler sees: no checks in it.
                let size = into.len();
                let [a, b] = [&upper.left[..size], &upper.right[..size]];
                let [c, d] = [&lower.left[..size], &lower.right[..size]];
                let (weights, into) = (&weights[..size], &mut into[..size]);
                for x in 0..size {
                    let corners = [a[x], b[x], c[x], d[x]];
                    into[x] = channel::<0>(corners, weights[x], wy)
                        | channel::<8>(corners, weights[x], wy)
                        | channel::<16>(corners, weights[x], wy);
                }
            },
        );
    }
}

impl Line {
    fn spread(&mut self, y: u32, bytes: &[u8], starts: &[usize]) {
        self.y = Some(y);
        self.left.resize(starts.len(), 0);
        self.right.resize(starts.len(), 0);
        for ((left, right), start) in self.left.iter_mut().zip(&mut self.right).zip(starts) {
            // Both pixels in one look.
            let pair = bytes[*start..].first_chunk().map_or(0, |both| u64::from_le_bytes(*both));
            *left = pair as u32;
            *right = (pair >> 24) as u32;
        }
    }
}

/// The mixture of four pixels in one channel, in its place: columns first.
#[inline(always)]
fn channel<const SHIFT: u32>(corners: [u32; 4], wx: f32, wy: f32) -> u32 {
    let value = |corner: u32| (corner >> SHIFT & 255) as f32;
    let [a, b, c, d] = [value(corners[0]), value(corners[1]), value(corners[2]), value(corners[3])];
    let (left, right) = (a + (c - a) * wy, b + (d - b) * wy);
    u32::from(byte(left + (right - left) * wx)) << SHIFT
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
