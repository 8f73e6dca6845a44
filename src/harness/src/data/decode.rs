//! From bytes to pixels.
//!
//! The decoder is chosen by content, never by the file's name: the copy of
//! TNBC in circulation holds JPEG streams named `.png`. Sizes are bounded
//! before memory is taken, so that a small file cannot claim all of it. EXIF
//! orientation is not applied: image and mask are taken as stored.
//!
//! Whatever the bytes, the answer is a picture or an error with the file's
//! name. A decoder that panics is caught (its message goes to standard error
//! and becomes the error's), and a JPEG cut short is refused, which its decoder
//! would fill up with grey.

mod jpeg;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{BufReader, Cursor};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use image::{DynamicImage, GrayImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};
use tiff::tags::Tag;

use super::DataError;
use super::mask::{MaskRule, Reading, Scale, Stored};

/// Longest side, pixels.
const MAX_SIDE: u32 = 16_384;
/// Most memory that the pixels of one image may take, as stored or as RGB, bytes.
const MAX_BYTES: u64 = 256 << 20;
/// Most memory for what accompanies the pixels (profiles, texts), bytes.
const MAX_EXTRAS: u64 = 32 << 20;

/// Bound of the memory that [`rgb`] or [`mask`] holds at any moment beside the
/// file's own bytes: the pixels as stored, a decoder's own copy or
/// coefficients (two bytes for each of at most four samples a pixel), the
/// pixels as RGB, and extras.
pub const MAX_MEMORY: u64 = 4 * MAX_BYTES + MAX_EXTRAS;

/// Decodes a colour image to 8-bit RGB; grey becomes three equal channels, an
/// alpha channel is dropped. `path` is for messages only.
///
/// # Errors
/// No picture of a known format, a damaged one, or one above the limits.
pub fn rgb(bytes: &[u8], path: &Path) -> Result<RgbImage, DataError> {
    guarded(path, || Ok(decode(bytes, path)?.into_rgb8()))
}

/// Decodes a mask to levels over the whole scale; see [`mask`](super::mask).
///
/// # Errors
/// As [`rgb`], and a mask without the channel that the rule is about.
pub fn mask(bytes: &[u8], path: &Path, rule: MaskRule) -> Result<GrayImage, DataError> {
    super::mask::read(bytes, path, &Reading::new(rule, Scale::WHOLE))
}

/// Decodes a mask in the depth and with the channels of its file.
///
/// # Errors
/// As [`rgb`].
pub(super) fn stored(bytes: &[u8], path: &Path) -> Result<Stored, DataError> {
    guarded(path, || Ok(Stored::of(decode(bytes, path)?)))
}

/// Whether the bytes begin as a JPEG does.
pub(super) fn is_jpeg(bytes: &[u8]) -> bool {
    image::guess_format(bytes).is_ok_and(|format| format == ImageFormat::Jpeg)
}

/// Turns a decoder's panic into an error. The crates promise none, but each
/// has had some; the buffers of a decoder that panicked are gone with it.
fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T, DataError>) -> Result<T, DataError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let told = panic.downcast_ref::<String>().map(String::as_str);
        let told = told.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
        let message = format!("the decoder gave up: {told}");
        Err(DataError::Decode { path: path.to_owned(), message })
    })
}

fn decode(bytes: &[u8], path: &Path) -> Result<DynamicImage, DataError> {
    let refused = |message: String| DataError::Decode { path: path.to_owned(), message };
    let format = image::guess_format(bytes).ok().filter(|format| {
        matches!(format, ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::Bmp | ImageFormat::Tiff)
    });
    let format = format.ok_or_else(|| refused("neither PNG, JPEG, BMP nor TIFF".to_owned()))?;
    // The general decoder has no word for three samples tagged as grey.
    if format == ImageFormat::Tiff {
        let (width, height) = tiff_size(bytes).map_err(refused)?;
        within_limits(path, width, height, 3)?;
        if let Some(image) = tiff_tagged_grey(bytes).map_err(refused)? {
            return Ok(DynamicImage::ImageRgb8(image));
        }
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_EXTRAS);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder().map_err(|e| refused(e.to_string()))?;
    let (width, height) = decoder.dimensions();
    within_limits(path, width, height, u64::from(decoder.color_type().bytes_per_pixel()))?;
    if format == ImageFormat::Jpeg {
        jpeg::ends(bytes).and_then(|()| jpeg::holds(bytes, width, height)).map_err(refused)?;
    }
    limits.max_alloc = Some(2 * MAX_BYTES);
    decoder.set_limits(limits).map_err(|e| refused(e.to_string()))?;
    DynamicImage::from_decoder(decoder).map_err(|e| refused(e.to_string()))
}

/// Refuses sizes of nothing and sizes that take more than [`MAX_BYTES`].
fn within_limits(path: &Path, width: u32, height: u32, bytes_per_pixel: u64) -> Result<(), DataError> {
    if width == 0 || height == 0 {
        let message = format!("its size is {width}x{height}: it has no pixels");
        return Err(DataError::Decode { path: path.to_owned(), message });
    }
    let needed = u64::from(width) * u64::from(height) * bytes_per_pixel.max(3);
    if width > MAX_SIDE || height > MAX_SIDE || needed > MAX_BYTES {
        let limit = format!("{MAX_SIDE} a side and {} MiB", MAX_BYTES >> 20);
        return Err(DataError::TooLarge { path: path.to_owned(), width, height, limit });
    }
    Ok(())
}

/// Width and height of an image file, pixels, from its header.
pub(super) fn dimensions(path: &Path) -> Result<(u32, u32), DataError> {
    guarded(path, || header(path))
}

fn header(path: &Path) -> Result<(u32, u32), DataError> {
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
    limits.intermediate_buffer_size = MAX_BYTES as usize;
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
