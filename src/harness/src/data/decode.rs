//! From bytes to pixels.
//!
//! The decoder is chosen by content, never by the file's name: the copy of
//! TNBC in circulation holds JPEG streams named `.png`. Sizes are bounded
//! before memory is taken, so that a small file cannot claim all of it. EXIF
//! orientation is not applied: image and mask are taken as stored.

use std::fs::File;
use std::io::{BufReader, Cursor};
use std::path::Path;

use image::{DynamicImage, GrayImage, ImageFormat, ImageReader, Limits, RgbImage};
use tiff::tags::Tag;

use super::DataError;
use super::manifest::MaskRule;

/// Longest side, pixels.
const MAX_SIDE: u32 = 16_384;
/// Most memory that one decoded image may take, bytes.
const MAX_BYTES: u64 = 512 << 20;

/// Decodes a colour image to 8-bit RGB; grey becomes three equal channels, an
/// alpha channel is dropped. `path` is for messages only.
pub fn rgb(bytes: &[u8], path: &Path) -> Result<RgbImage, DataError> {
    Ok(decode(bytes, path)?.into_rgb8())
}

/// Decodes a mask to the scale 0..=255: grey values as stored (colour by the
/// BT.601 weights, 16 bit scaled to 8), labels of objects as 0 and 255.
pub fn mask(bytes: &[u8], path: &Path, rule: MaskRule) -> Result<GrayImage, DataError> {
    let decoded = decode(bytes, path)?;
    Ok(match rule {
        MaskRule::Grey { .. } => match decoded {
            DynamicImage::ImageLuma8(grey) => grey,
            DynamicImage::ImageLuma16(_) | DynamicImage::ImageLumaA8(_) | DynamicImage::ImageLumaA16(_) => {
                decoded.into_luma8()
            }
            coloured => map(&coloured.into_rgb8(), |[r, g, b]: [u8; 3]| luma(r, g, b)),
        },
        MaskRule::Instances => {
            let labels = decoded.into_rgb16();
            map(&labels, |pixel: [u16; 3]| if pixel.iter().any(|v| *v > 0) { 255 } else { 0 })
        }
    })
}

/// BT.601 luma, rounded; equal channels give their value.
fn luma(r: u8, g: u8, b: u8) -> u8 {
    ((299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b) + 500) / 1000) as u8
}

fn map<T: image::Primitive>(
    from: &image::ImageBuffer<image::Rgb<T>, Vec<T>>,
    value: impl Fn([T; 3]) -> u8,
) -> GrayImage
where
    image::Rgb<T>: image::Pixel<Subpixel = T>,
{
    let mut to = GrayImage::new(from.width(), from.height());
    for (into, pixel) in to.pixels_mut().zip(from.pixels()) {
        into.0 = [value(pixel.0)];
    }
    to
}

fn decode(bytes: &[u8], path: &Path) -> Result<DynamicImage, DataError> {
    let refused = |message: String| DataError::Decode { path: path.to_owned(), message };
    let format =
        image::guess_format(bytes).map_err(|_| refused("neither PNG, JPEG, BMP nor TIFF".to_owned()))?;
    let (width, height) = if format == ImageFormat::Tiff {
        tiff_size(bytes)
    } else {
        ImageReader::with_format(Cursor::new(bytes), format).into_dimensions().map_err(|e| e.to_string())
    }
    .map_err(refused)?;
    if width > MAX_SIDE || height > MAX_SIDE || u64::from(width) * u64::from(height) * 3 > MAX_BYTES {
        let limit = format!("{MAX_SIDE} a side and {} MiB", MAX_BYTES >> 20);
        return Err(DataError::TooLarge { path: path.to_owned(), width, height, limit });
    }
    if format == ImageFormat::Tiff
        && let Some(image) = tiff_tagged_grey(bytes).map_err(refused)?
    {
        return Ok(DynamicImage::ImageRgb8(image));
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_BYTES);
    reader.limits(limits);
    reader.decode().map_err(|e| refused(e.to_string()))
}

/// Width and height of an image file, pixels, from its header.
pub(super) fn dimensions(path: &Path) -> Result<(u32, u32), DataError> {
    let open = || File::open(path).map(BufReader::new);
    let read = |source| DataError::Read { path: path.to_owned(), source };
    let refused = |message: String| DataError::Decode { path: path.to_owned(), message };
    let reader = ImageReader::new(open().map_err(read)?).with_guessed_format().map_err(read)?;
    if reader.format() == Some(ImageFormat::Tiff) {
        let mut reader =
            tiff::decoder::Decoder::new(open().map_err(read)?).map_err(|e| refused(e.to_string()))?;
        return reader.dimensions().map_err(|e| refused(e.to_string()));
    }
    reader.into_dimensions().map_err(|e| refused(e.to_string()))
}

fn tiff_reader(bytes: &[u8]) -> Result<tiff::decoder::Decoder<Cursor<&[u8]>>, String> {
    let mut limits = tiff::decoder::Limits::default();
    limits.decoding_buffer_size = MAX_BYTES as usize;
    let reader = tiff::decoder::Decoder::new(Cursor::new(bytes)).map_err(|e| e.to_string())?;
    Ok(reader.with_limits(limits))
}

fn tiff_size(bytes: &[u8]) -> Result<(u32, u32), String> {
    tiff_reader(bytes)?.dimensions().map_err(|e| e.to_string())
}

/// Reads a TIFF of three interleaved 8-bit samples whose photometric tag says
/// grey, as the official files of CVC-ClinicDB are; `None` for any other.
fn tiff_tagged_grey(bytes: &[u8]) -> Result<Option<RgbImage>, String> {
    let mut reader = tiff_reader(bytes)?;
    let colours = reader.colortype().map_err(|e| e.to_string())?;
    if colours != (tiff::ColorType::Multiband { bit_depth: 8, num_samples: 3 }) {
        return Ok(None);
    }
    let planar = reader.find_tag_unsigned::<u16>(Tag::PlanarConfiguration).map_err(|e| e.to_string())?;
    if planar.unwrap_or(1) != 1 {
        return Err("TIFF with separate colour planes".to_owned());
    }
    let (width, height) = reader.dimensions().map_err(|e| e.to_string())?;
    let tiff::decoder::DecodingResult::U8(samples) = reader.read_image().map_err(|e| e.to_string())? else {
        return Err("TIFF samples are not 8-bit".to_owned());
    };
    RgbImage::from_raw(width, height, samples).map(Some).ok_or_else(|| "TIFF with too few samples".to_owned())
}

#[cfg(test)]
mod tests {
    use image::{ImageBuffer, Luma, Rgb};

    use super::*;
    use crate::random::Stream;

    fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).expect("encodes");
        bytes.into_inner()
    }

    fn colours() -> RgbImage {
        RgbImage::from_fn(9, 7, |x, y| Rgb([x as u8 * 20, y as u8 * 30, (x * y) as u8]))
    }

    #[test]
    fn content_decides_and_not_the_name() {
        let image = DynamicImage::ImageRgb8(colours());
        for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Tiff] {
            let decoded = rgb(&encoded(&image, format), Path::new("image.jpg")).expect("decodes");
            assert_eq!(decoded, colours(), "{format:?}");
        }
        assert!(rgb(&encoded(&image, ImageFormat::Jpeg), Path::new("image.png")).is_ok());
    }

    #[test]
    fn instance_labels_of_16_bits_become_0_and_255() {
        let labels: ImageBuffer<Luma<u16>, _> =
            ImageBuffer::from_fn(3, 1, |x, _| Luma([[0, 1, 300][x as usize]]));
        let bytes = encoded(&DynamicImage::ImageLuma16(labels), ImageFormat::Png);
        let mask = mask(&bytes, Path::new("m.png"), MaskRule::Instances).expect("decodes");
        assert_eq!(mask.into_raw(), [0, 255, 255]);
    }

    #[test]
    fn grey_masks_keep_their_values() {
        let rule = MaskRule::Grey { above: 127 };
        let grey = GrayImage::from_fn(256, 1, |x, _| Luma([x as u8]));
        let path = Path::new("m.png");
        let single = encoded(&DynamicImage::ImageLuma8(grey.clone()), ImageFormat::Png);
        assert_eq!(mask(&single, path, rule).expect("decodes"), grey);
        let triple = encoded(
            &DynamicImage::ImageRgb8(DynamicImage::ImageLuma8(grey.clone()).into_rgb8()),
            ImageFormat::Bmp,
        );
        assert_eq!(mask(&triple, path, rule).expect("decodes"), grey);
    }

    #[test]
    fn bombs_are_refused_before_memory_is_taken() {
        // A PNG header that claims 60000 x 60000 pixels.
        let mut bytes = encoded(&DynamicImage::ImageRgb8(colours()), ImageFormat::Png);
        bytes[16..24].copy_from_slice(&[0, 0, 0xEA, 0x60, 0, 0, 0xEA, 0x60]);
        let mut crc = !0u32;
        for byte in &bytes[12..29] {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
            }
        }
        bytes[29..33].copy_from_slice(&(!crc).to_be_bytes());
        let error = rgb(&bytes, Path::new("bomb.png")).expect_err("refused");
        assert!(matches!(error, DataError::TooLarge { width: 60_000, .. }), "{error}");
    }

    #[test]
    fn damaged_files_are_errors_and_never_panics() {
        let image = DynamicImage::ImageRgb8(colours());
        let mut stream = Stream::new(1, "damage", &[]);
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::Tiff] {
            let good = encoded(&image, format);
            for _ in 0..500 {
                let mut bytes = good.clone();
                bytes.truncate(1 + stream.below(good.len() as u64) as usize);
                for _ in 0..stream.below(4) {
                    let place = stream.below(bytes.len() as u64) as usize;
                    bytes[place] = stream.next_u64() as u8;
                }
                let _ = rgb(&bytes, Path::new("x"));
                let _ = mask(&bytes, Path::new("x"), MaskRule::Instances);
            }
        }
        let error = rgb(b"no image", Path::new("a/b.png")).expect_err("refused");
        assert!(error.to_string().starts_with("a/b.png: does not decode"));
    }

    #[test]
    fn the_official_tiffs_hold_the_pixels_of_the_pngs() {
        let Some(shared) = crate::data::shared_for_tests() else { return };
        let root = shared.join("cvc-clinicdb");
        let rule = MaskRule::Grey { above: 127 };
        let mut compared = 0;
        for entry in std::fs::read_dir(root.join("tif_sample/Original")).expect("folder") {
            let tif = entry.expect("entry").path();
            let stem = tif.file_stem().and_then(|s| s.to_str()).expect("UTF-8").to_owned();
            let png = root.join(format!("images/{stem}.png"));
            let bytes = |path: &Path| std::fs::read(path).expect("readable");
            let image = rgb(&bytes(&tif), &tif).expect("decodes");
            assert_eq!(image.dimensions(), (384, 288));
            let truth = root.join(format!("tif_sample/Ground Truth/{stem}.tif"));
            let truth = mask(&bytes(&truth), &truth, rule).expect("decodes");
            if png.exists() {
                assert_eq!(image, rgb(&bytes(&png), &png).expect("decodes"), "{stem}");
                let png = root.join(format!("masks/{stem}.png"));
                assert_eq!(truth, mask(&bytes(&png), &png, rule).expect("decodes"), "{stem}");
                compared += 1;
            }
        }
        assert!(compared > 0);
    }
}
