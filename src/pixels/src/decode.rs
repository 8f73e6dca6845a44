//! From bytes to pixels.
//!
//! The decoder is chosen by content, never by the file's name: the copy of
//! TNBC in circulation holds JPEG streams named `.png`. Sizes are bounded
//! before memory is taken, so that a small file cannot claim all of it.
//!
//! Nothing that a file holds is thrown away without a word. Samples of any
//! depth are scaled to 8 bits by one stated rule (`level.rs`); further pages
//! and channels that are no alpha are refused; what is left out or changed
//! (alpha, later frames of an animation, an orientation that is applied) is
//! told in [`Facts`]. Pixels lie as a viewer shows them: turned as the
//! orientation tag says, images and masks alike.
//!
//! Whatever the bytes, the answer is a picture or an error with the file's
//! name. A decoder that panics is caught (its message goes to standard error
//! and becomes the error's), and a JPEG cut short is refused, which its decoder
//! would fill up with grey.

mod facts;
mod foreign;
mod frames;
mod jpeg;
mod level;
#[cfg(test)]
mod tests;
mod tiff;

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage};

use super::PixelError;
use super::mask::{self, MaskRule, Reading, Scale};
use crate::ImageRule;
pub use facts::{Depth, Facts, Format, Held, HeldDepth, Kind};
pub(crate) use level::{Stored, luma};

/// Longest side, pixels.
const MAX_SIDE: u32 = 16_384;
/// Most memory that the pixels of one image may take, as stored or as RGB, bytes.
const MAX_BYTES: u64 = 256 << 20;
/// Most memory for what accompanies the pixels (profiles, texts), bytes.
const MAX_EXTRAS: u64 = 32 << 20;

/// Bound of the memory that [`rgb`] or [`mask()`] holds at any moment beside the
/// file's own bytes: the pixels as stored, a decoder's own copy or
/// coefficients (two bytes for each of at most four samples a pixel), the
/// pixels as RGB, and extras.
pub const MAX_MEMORY: u64 = 4 * MAX_BYTES + MAX_EXTRAS;

/// Formats that are read, for messages.
pub const FORMATS: &str = "PNG, JPEG, BMP, TIFF, GIF, WebP";

/// Endings that promise one of them, in small letters.
pub const ENDINGS: [&str; 8] = ["png", "jpg", "jpeg", "bmp", "tif", "tiff", "gif", "webp"];

/// Pixels with what their file holds beside them.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded<P> {
    /// The picture, or what was made of its samples.
    pub pixels: P,
    /// What the file holds beside it.
    pub facts: Facts,
}

/// Decodes a colour image to 8-bit RGB; grey becomes three equal channels, an
/// alpha channel is left out. `path` is for messages only.
///
/// # Errors
/// No picture of a known format, a damaged one, one above the limits, or one
/// that holds more than the rule has a place for.
pub fn rgb(bytes: &[u8], path: &Path, rule: ImageRule) -> Result<Decoded<RgbImage>, PixelError> {
    guarded(path, || {
        let (stored, facts) = decode(bytes, path)?;
        let pixels = stored.into_rgb(rule).map_err(unfit(path))?;
        let pixels = turned(DynamicImage::ImageRgb8(pixels), facts.orientation).into_rgb8();
        Ok(Decoded { pixels, facts })
    })
}

/// Decodes a mask to levels over the whole scale, labels of objects of any width
/// included; see [the rule of masks](mod@crate::mask).
///
/// # Errors
/// As [`rgb`], and a mask without the channel that the rule is about.
pub fn mask(bytes: &[u8], path: &Path, rule: MaskRule) -> Result<Decoded<GrayImage>, PixelError> {
    mask::read(bytes, path, &Reading::new(rule, Scale::WHOLE))
}

/// Decodes a picture and makes something of its samples as they are stored, which
/// lie as the file holds them: not turned.
///
/// # Errors
/// As [`rgb`], and those of `work`.
pub(crate) fn stored<T>(
    bytes: &[u8],
    path: &Path,
    work: impl FnOnce(Stored, &Facts) -> Result<T, String>,
) -> Result<Decoded<T>, PixelError> {
    guarded(path, || {
        let (stored, facts) = decode(bytes, path)?;
        let pixels = work(stored, &facts).map_err(unfit(path))?;
        Ok(Decoded { pixels, facts })
    })
}

/// Turns a mask as an orientation tag says.
pub fn turned_mask(mask: GrayImage, tag: u8) -> GrayImage {
    if tag == 1 { mask } else { turned(DynamicImage::ImageLuma8(mask), tag).into_luma8() }
}

/// Whether a file that begins so is of a format that is read; the first 16
/// bytes tell.
pub fn is_picture(head: &[u8]) -> bool {
    format(head).is_some()
}

/// Width and height of an image file as it is shown, pixels; no pixel is decoded.
pub fn dimensions(path: &Path) -> Result<(u32, u32), PixelError> {
    let bytes = std::fs::read(path).map_err(|source| PixelError::Read { path: path.to_owned(), source })?;
    guarded(path, || {
        let format = known(&bytes, path)?;
        let (width, height, tag) = if format == Format::Tiff {
            tiff::header(&bytes).map_err(refused(path))?
        } else {
            let mut decoder = begun(&bytes, path, format, &small())?;
            let (width, height) = decoder.dimensions();
            (width, height, orientation(&bytes, format, &mut decoder))
        };
        Ok(if tag >= 5 { (height, width) } else { (width, height) })
    })
}

/// Turns a decoder's panic into an error. The crates promise none, but each
/// has had some; the buffers of a decoder that panicked are gone with it.
fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T, PixelError>) -> Result<T, PixelError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let told = panic.downcast_ref::<String>().map(String::as_str);
        let told = told.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
        Err(refused(path)(format!("the decoder gave up: {told}")))
    })
}

fn refused(path: &Path) -> impl Fn(String) -> PixelError + Copy + '_ {
    |message| PixelError::Decode { path: path.to_owned(), message }
}

fn unfit(path: &Path) -> impl Fn(String) -> PixelError + Copy + '_ {
    |message| PixelError::Unfit { path: path.to_owned(), message }
}

/// The format by the first bytes.
fn format(bytes: &[u8]) -> Option<Format> {
    if tiff::is_tiff(bytes) {
        return Some(Format::Tiff);
    }
    match image::guess_format(bytes).ok()? {
        ImageFormat::Png => Some(Format::Png),
        ImageFormat::Jpeg => Some(Format::Jpeg),
        ImageFormat::Bmp => Some(Format::Bmp),
        ImageFormat::Gif => Some(Format::Gif),
        ImageFormat::WebP => Some(Format::Webp),
        _ => None,
    }
}

fn known(bytes: &[u8], path: &Path) -> Result<Format, PixelError> {
    format(bytes).ok_or_else(|| refused(path)(foreign::told(bytes)))
}

/// A picture as its file holds it, and what is to be told of it.
fn decode(bytes: &[u8], path: &Path) -> Result<(Stored, Facts), PixelError> {
    let format = known(bytes, path)?;
    let (stored, orientation) = match format {
        Format::Tiff => match tiff::read(bytes, path)? {
            (Some(stored), tag) => (stored, tag),
            (None, tag) => (general(bytes, path, format)?.0, tag),
        },
        _ => general(bytes, path, format)?,
    };
    let frames = match format {
        Format::Png => frames::of_png(bytes),
        Format::Gif => frames::of_gif(bytes),
        Format::Webp => frames::of_webp(bytes),
        Format::Jpeg | Format::Bmp | Format::Tiff => 1,
    };
    let (depth, largest, transparent) = (stored.depth, 0.0, false);
    let mut facts = Facts { format, depth, largest, orientation, frames, transparent };
    stored.tell(&mut facts);
    Ok((stored, facts))
}

fn small() -> Limits {
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_EXTRAS);
    limits
}

/// A decoder that has read the header.
fn begun<'a>(
    bytes: &'a [u8],
    path: &Path,
    format: Format,
    limits: &Limits,
) -> Result<impl ImageDecoder + 'a, PixelError> {
    let format = match format {
        Format::Png => ImageFormat::Png,
        Format::Jpeg => ImageFormat::Jpeg,
        Format::Bmp => ImageFormat::Bmp,
        Format::Tiff => ImageFormat::Tiff,
        Format::Gif => ImageFormat::Gif,
        Format::Webp => ImageFormat::WebP,
    };
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits.clone());
    reader.into_decoder().map_err(|error| refused(path)(words(&error)))
}

/// The picture by the general decoder, and its orientation tag.
fn general(bytes: &[u8], path: &Path, format: Format) -> Result<(Stored, u8), PixelError> {
    let failed = |error: ImageError| refused(path)(words(&error));
    let mut limits = small();
    let mut decoder = begun(bytes, path, format, &limits)?;
    let (width, height) = decoder.dimensions();
    within_limits(path, width, height, u64::from(decoder.color_type().bytes_per_pixel()))?;
    if format == Format::Jpeg {
        jpeg::ends(bytes).and_then(|()| jpeg::holds(bytes, width, height)).map_err(refused(path))?;
    }
    let tag = orientation(bytes, format, &mut decoder);
    limits.max_alloc = Some(2 * MAX_BYTES);
    decoder.set_limits(limits).map_err(failed)?;
    Ok((Stored::of(DynamicImage::from_decoder(decoder).map_err(failed)?), tag))
}

/// The orientation tag, 1..=8; 1 where there is none, or one that says nothing.
fn orientation(bytes: &[u8], format: Format, decoder: &mut impl ImageDecoder) -> u8 {
    let found = match format {
        Format::Png => frames::exif_of_png(bytes).and_then(Orientation::from_exif_chunk),
        _ => decoder.orientation().ok(),
    };
    found.unwrap_or(Orientation::NoTransforms).to_exif()
}

/// Turns pixels as an orientation tag says.
fn turned(mut pixels: DynamicImage, tag: u8) -> DynamicImage {
    if let Some(orientation) = Orientation::from_exif(tag) {
        pixels.apply_orientation(orientation);
    }
    pixels
}

fn words(error: &ImageError) -> String {
    match error {
        ImageError::Unsupported(_) => {
            format!("it is of a kind that is not read ({error}); convert it to PNG")
        }
        _ => error.to_string(),
    }
}

/// Refuses sizes of nothing and sizes that take more than [`MAX_BYTES`].
fn within_limits(path: &Path, width: u32, height: u32, bytes_per_pixel: u64) -> Result<(), PixelError> {
    if width == 0 || height == 0 {
        return Err(refused(path)(format!("its size is {width}x{height}: it has no pixels")));
    }
    let needed = u64::from(width) * u64::from(height) * bytes_per_pixel.max(3);
    if width > MAX_SIDE || height > MAX_SIDE || needed > MAX_BYTES {
        let limit = format!("{MAX_SIDE} a side and {} MiB", MAX_BYTES >> 20);
        return Err(PixelError::TooLarge { path: path.to_owned(), width, height, limit });
    }
    Ok(())
}
