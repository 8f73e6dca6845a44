//! From logits to pictures.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use dygl_nn::op::sigmoid;
use image::codecs::png::PngEncoder;
use image::{EncodableLayout, GrayImage, ImageBuffer, PixelWithColorType, Rgb, RgbImage};

/// Probabilities are taken of at most so many logits at once.
const BAND: usize = 1 << 22;

/// Okabe and Ito's sky blue: it is no colour of tissue.
const FOUND: Rgb<u8> = Rgb([86, 180, 233]);
/// How much of the colour lies over what was found; its outline is all colour.
const TINT: f32 = 0.35;

/// A tensor's values on the host, row-major.
pub(super) fn values<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, String> {
    let data = tensor.try_into_data().map_err(|error| format!("the output cannot be read back: {error}"))?;
    data.try_to_vec::<f32>().map_err(|error| format!("the output cannot be read back: {error:?}"))
}

/// Resizes a square of logits bilinearly: two taps a side at pixel centres,
/// without anti-aliasing (PyTorch's `interpolate(mode="bilinear",
/// align_corners=False)`). The same size gives the same values.
pub(super) fn resize(logits: &[f32], side: u32, width: u32, height: u32) -> Vec<f32> {
    if (width, height) == (side, side) {
        return logits.to_vec();
    }
    let (xs, ys) = (taps(side, width), taps(side, height));
    let mut resized = Vec::with_capacity(width as usize * height as usize);
    for (upper, lower, down) in ys {
        let row = |y: usize| &logits[y * side as usize..][..side as usize];
        let (upper, lower) = (row(upper), row(lower));
        resized.extend(xs.iter().map(|&(left, right, along)| {
            let mix = |row: &[f32]| row[left] + (row[right] - row[left]) * along;
            let (top, bottom) = (mix(upper), mix(lower));
            top + (bottom - top) * down
        }));
    }
    resized
}

/// Both taps and the weight of the second, for each of `to` positions.
fn taps(from: u32, to: u32) -> Vec<(usize, usize, f32)> {
    let scale = f64::from(from) / f64::from(to);
    let last = from.saturating_sub(1);
    (0..to)
        .map(|i| {
            let at = ((f64::from(i) + 0.5) * scale - 0.5).clamp(0.0, f64::from(last));
            let first = at.floor();
            (first as usize, (first as usize + 1).min(last as usize), (at - first) as f32)
        })
        .collect()
}

/// The sigmoid of logits as an evaluation computes it.
pub(super) fn probabilities(logits: Vec<f32>, device: &Device) -> Result<Vec<f32>, String> {
    let mut found = Vec::with_capacity(logits.len());
    for band in logits.chunks(BAND) {
        let band = TensorData::new(band.to_vec(), [band.len()]);
        found.extend(values(sigmoid(Tensor::<1>::from_data(band, device)))?);
    }
    Ok(found)
}

/// The mask over the image: against a true mask in the colours of the
/// reports, else tinted with an outline.
pub(super) fn overlay(
    mut image: RgbImage,
    mask: &GrayImage,
    truth: Option<&GrayImage>,
) -> Result<RgbImage, String> {
    if let Some(truth) = truth {
        return dygl_datasets::overlay::overlay(Some(&image), truth, mask).map_err(|error| error.to_string());
    }
    let (width, height) = mask.dimensions();
    let reach = (width.min(height) / 256).max(1);
    for (x, y, pixel) in image.enumerate_pixels_mut() {
        if mask.get_pixel(x, y).0[0] == 0 {
            continue;
        }
        let (left, up) = (x.saturating_sub(reach), y.saturating_sub(reach));
        let (right, down) = ((x + reach).min(width - 1), (y + reach).min(height - 1));
        let is_edge =
            [(left, y), (right, y), (x, up), (x, down)].iter().any(|&(x, y)| mask.get_pixel(x, y).0[0] == 0);
        let share = if is_edge { 1.0 } else { TINT };
        for (value, colour) in pixel.0.iter_mut().zip(FOUND.0) {
            *value = (f32::from(*value) * (1.0 - share) + f32::from(colour) * share).round() as u8;
        }
    }
    Ok(image)
}

/// Writes a PNG whole or not at all: into a sibling, synced, then renamed.
pub(super) fn save<P>(path: &Path, picture: ImageBuffer<P, Vec<u8>>) -> Result<(), String>
where
    P: PixelWithColorType<Subpixel = u8>,
    [u8]: EncodableLayout,
{
    let failed = |error: &dyn std::fmt::Display| format!("{}: cannot be written: {error}", path.display());
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(failed(&"it names no file"));
    };
    fs::create_dir_all(folder).map_err(|error| failed(&error))?;
    let aside = folder.join(format!(".{}.new", name.to_string_lossy()));
    let written = File::create(&aside).map_err(|error| failed(&error)).and_then(|file| {
        let mut writer = BufWriter::new(file);
        picture.write_with_encoder(PngEncoder::new(&mut writer)).map_err(|error| failed(&error))?;
        writer.flush().map_err(|error| failed(&error))?;
        writer.get_ref().sync_all().map_err(|error| failed(&error))?;
        fs::rename(&aside, path).map_err(|error| failed(&error))
    });
    if written.is_err() {
        // It holds nothing that anybody could use.
        let _ = fs::remove_file(&aside);
    }
    written
}

#[cfg(test)]
mod tests {
    use image::Luma;

    use super::*;

    #[test]
    fn resizing_has_its_taps_at_pixel_centres() {
        let square = [0.0, 100.0, 0.0, 100.0];
        assert_eq!(resize(&square, 2, 2, 2), square);
        // Positions -0.25, 0.25, 0.75, 1.25 of the two columns, in each of three rows.
        assert_eq!(resize(&square, 2, 4, 3), [0.0, 25.0, 75.0, 100.0].repeat(3));
        // One pixel is the mean of the middle four; a flat square stays flat.
        assert_eq!(resize(&square, 2, 1, 1), [50.0]);
        assert!(resize(&[3.5; 9], 3, 7, 5).iter().all(|value| *value == 3.5));
    }

    #[test]
    fn resizing_agrees_with_the_data_rooms_bilinear_filter() {
        let side = 16;
        let picture = RgbImage::from_fn(side, side, |x, y| Rgb([(x * 15) as u8, (y * 15) as u8, 90]));
        let expected = dygl_pixels::resize::image(&picture, 40, dygl_spec::protocol::Filter::Bilinear);
        let red: Vec<f32> = picture.pixels().map(|pixel| f32::from(pixel.0[0])).collect();
        for (value, pixel) in resize(&red, side, 40, 40).iter().zip(expected.pixels()) {
            assert_eq!(value.round(), f32::from(pixel.0[0]));
        }
    }

    #[test]
    fn probabilities_are_the_same_in_one_band_and_in_many() {
        let device = crate::device::parse("flex").expect("flex").device;
        let logits: Vec<f32> = (0..1000).map(|i| (i as f32 - 500.0) / 50.0).collect();
        let found = probabilities(logits.clone(), &device).expect("read back");
        for (p, logit) in found.iter().zip(&logits) {
            assert!((f64::from(*p) - 1.0 / (1.0 + (-f64::from(*logit)).exp())).abs() < 1e-6);
        }
    }

    #[test]
    fn an_overlay_tints_what_was_found_and_leaves_the_rest() {
        let image = RgbImage::from_pixel(9, 9, Rgb([10, 10, 10]));
        let inside = |x: u32, y: u32| (2..7).contains(&x) && (2..7).contains(&y);
        let mask = GrayImage::from_fn(9, 9, |x, y| Luma([if inside(x, y) { 255 } else { 0 }]));
        let drawn = overlay(image, &mask, None).expect("drawn");
        assert_eq!(drawn.get_pixel(0, 0).0, [10, 10, 10]);
        assert_eq!(drawn.get_pixel(2, 4).0, FOUND.0, "the outline");
        let middle = drawn.get_pixel(4, 4).0;
        assert!(middle[2] > 10 && middle[2] < FOUND.0[2], "{middle:?}");
    }

    #[test]
    fn a_picture_is_written_whole_or_not_at_all() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a/b.mask.png");
        save(&path, GrayImage::from_pixel(5, 3, Luma([255]))).expect("written");
        let read = image::open(&path).expect("a PNG").into_luma8();
        assert_eq!((read.dimensions(), read.as_raw()[0]), ((5, 3), 255));
        // A folder stands where the file should be.
        let blocked = folder.path().join("c.png");
        fs::create_dir(&blocked).expect("folder");
        let error = save(&blocked, GrayImage::new(2, 2)).expect_err("refused");
        assert!(error.contains("c.png: cannot be written"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 2, "nothing is left beside");
    }
}
