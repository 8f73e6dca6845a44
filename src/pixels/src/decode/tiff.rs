//! TIFF, classic and big: grey, RGB, either with alpha, integers and floats of
//! any width, planes side by side or one behind the other.

use std::io::Cursor;
use std::path::Path;

use tiff::decoder::{Decoder, DecodingResult, Limits};
use tiff::tags::{PhotometricInterpretation, Tag};
use tiff::{ColorType, TiffError};

use super::facts::{Depth, Kind};
use super::level::{Samples, Stored};
use super::{MAX_BYTES, within_limits};
use crate::PixelError;

type Reader<'a> = Decoder<Cursor<&'a [u8]>>;

/// Pages that are counted; more are told as so many.
const MANY_PAGES: usize = 10_000;

/// What to do with a TIFF of a kind that is not read.
const CONVERT: &str = "convert it to PNG, or to a TIFF of grey or RGB";

/// Whether the bytes begin as a TIFF does; big TIFFs have a signature of their own.
pub(super) fn is_tiff(bytes: &[u8]) -> bool {
    [&b"II*\0"[..], b"MM\0*", b"II+\0", b"MM\0+"].iter().any(|magic| bytes.starts_with(magic))
}

fn open(bytes: &[u8]) -> Result<Reader<'_>, TiffError> {
    let mut limits = Limits::default();
    limits.decoding_buffer_size = MAX_BYTES as usize;
    limits.intermediate_buffer_size = MAX_BYTES as usize;
    Ok(Decoder::new(Cursor::new(bytes))?.with_limits(limits))
}

fn words(error: &TiffError) -> String {
    match error {
        TiffError::UnsupportedError(_) => {
            format!("it is a TIFF of a kind that is not read ({error}); {CONVERT}")
        }
        _ => error.to_string(),
    }
}

/// Width and height as stored, and the orientation tag.
pub(super) fn header(bytes: &[u8]) -> Result<(u32, u32, u8), String> {
    let mut reader = open(bytes).map_err(|e| words(&e))?;
    let (width, height) = reader.dimensions().map_err(|e| words(&e))?;
    Ok((width, height, orientation(&mut reader)))
}

/// The orientation tag, 1..=8; 1 where there is none or it says nothing.
fn orientation(reader: &mut Reader<'_>) -> u8 {
    let tag = reader.find_tag_unsigned::<u8>(Tag::Orientation).ok().flatten();
    tag.filter(|tag| (1..=8).contains(tag)).unwrap_or(1)
}

/// What a pixel consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    colours: usize,
    has_alpha: bool,
    bits: u8,
}

/// Reads the picture; `None` for colours that the general decoder has to
/// convert (CMYK). Also returns the orientation tag.
///
/// # Errors
/// No such picture, a damaged one, one above the limits, or one that holds more
/// than a picture of grey or RGB: pages, further channels.
pub(super) fn read(bytes: &[u8], path: &Path) -> Result<(Option<Stored>, u8), PixelError> {
    let refused = |message: String| PixelError::Decode { path: path.to_owned(), message };
    let unfit = |message: String| PixelError::Unfit { path: path.to_owned(), message };
    let broken = |error: TiffError| refused(words(&error));
    let mut reader = open(bytes).map_err(broken)?;
    let (width, height) = reader.dimensions().map_err(broken)?;
    within_limits(path, width, height, 3)?;
    match pages(bytes).map_err(broken)? {
        1 => {}
        pages => {
            return Err(unfit(format!(
                "holds {pages} pages, and only one picture can be taken; save each page that is meant as a file \
                 of its own"
            )));
        }
    }
    let turned = orientation(&mut reader);
    if reader.find_tag_unsigned::<u16>(Tag::FillOrder).map_err(broken)? == Some(2) {
        return Err(refused(format!("it is a TIFF with the bits of each byte in reverse order; {CONVERT}")));
    }
    let samples = reader.find_tag_unsigned(Tag::SamplesPerPixel).map_err(broken)?.unwrap_or(1);
    let extra: Vec<u16> =
        reader.find_tag_unsigned_vec(Tag::ExtraSamples).map_err(broken)?.unwrap_or_default();
    let colours = match reader.colortype() {
        Ok(colours) => colours,
        Err(error) => return Err(refused(named(&mut reader).unwrap_or_else(|| words(&error)))),
    };
    let layout = match layout(colours, samples, &extra) {
        Ok(Some(layout)) => layout,
        Ok(None) => return Ok((None, turned)),
        Err(message) => return Err(unfit(message)),
    };
    let channels = layout.colours + usize::from(layout.has_alpha);
    within_limits(path, width, height, (channels as u64 * u64::from(layout.bits)).div_ceil(8))?;
    let format: Option<Vec<u16>> = reader.find_tag_unsigned_vec(Tag::SampleFormat).map_err(broken)?;
    let kind = match format.as_ref().and_then(|format| format.first().copied()) {
        Some(2) => Kind::Signed,
        Some(3) => Kind::Float,
        _ => Kind::Unsigned,
    };
    let mut read = DecodingResult::U8(Vec::new());
    let whole = reader.read_image_to_buffer(&mut read).map_err(broken)?;
    if read.as_buffer(0).byte_len() < whole.complete_len {
        return Err(refused("its planes take more memory than is allowed".to_owned()));
    }
    let mut samples = Samples::from(read);
    if whole.planes > 1 {
        samples = samples.interleaved(whole.planes);
    }
    let mut depth = Depth { bits: layout.bits, kind };
    if let (Samples::U8(packed), true) = (&samples, layout.bits < 8) {
        samples = Samples::U8(unpacked(packed, width as usize, layout.bits));
        depth = Depth::EIGHT;
    }
    if samples.len() != width as usize * height as usize * channels {
        return Err(refused("it holds another number of samples than its size says".to_owned()));
    }
    let Layout { colours, has_alpha, .. } = layout;
    Ok((Some(Stored { width, height, colours, has_alpha, samples, depth }), turned))
}

/// Pages that are pictures of their own: not previews, not transparency masks.
fn pages(bytes: &[u8]) -> Result<usize, TiffError> {
    let mut reader = open(bytes)?;
    let mut pages = 1;
    while reader.more_images() && pages < MANY_PAGES {
        if reader.next_image().is_err() {
            // It cannot be read, but it is there.
            return Ok(pages + 1);
        }
        let kind = reader.find_tag_unsigned::<u32>(Tag::NewSubfileType).ok().flatten();
        pages += usize::from(kind.unwrap_or(0) & 0b101 == 0);
    }
    Ok(pages)
}

/// What the samples of a pixel are; `None` where the general decoder converts them.
fn layout(colours: ColorType, samples: u16, extra: &[u16]) -> Result<Option<Layout>, String> {
    let is_alpha = |kind: Option<&u16>| matches!(kind, Some(1 | 2));
    let of = |colours, has_alpha, bits| Ok(Some(Layout { colours, has_alpha, bits }));
    match colours {
        ColorType::Gray(bits @ (1 | 2 | 4 | 8..)) => of(1, false, bits),
        ColorType::RGB(bits) if samples == 3 => of(3, false, bits),
        ColorType::RGBA(bits) if samples == 4 => of(3, true, bits),
        // Three samples tagged as grey: so are the official files of CVC-ClinicDB.
        ColorType::Multiband { bit_depth, num_samples: 3 } if bit_depth >= 8 && !is_alpha(extra.first()) => {
            of(3, false, bit_depth)
        }
        ColorType::Multiband { bit_depth, num_samples: 2 } if bit_depth >= 8 && is_alpha(extra.first()) => {
            of(1, true, bit_depth)
        }
        ColorType::Multiband { bit_depth, num_samples: 4 } if bit_depth >= 8 && is_alpha(extra.last()) => {
            of(3, true, bit_depth)
        }
        ColorType::CMYK(8 | 16) if samples == 4 => Ok(None),
        ColorType::RGB(_) | ColorType::RGBA(_) | ColorType::CMYK(_) | ColorType::CMYKA(_) => Err(format!(
            "holds {samples} samples a pixel, and those beyond the {} are no alpha channel; save the three that \
             are meant as an RGB picture",
            if matches!(colours, ColorType::RGB(_) | ColorType::RGBA(_)) { "third" } else { "fourth" }
        )),
        ColorType::Multiband { bit_depth, num_samples } if bit_depth >= 8 => Err(format!(
            "holds {num_samples} samples a pixel, which are neither grey nor RGB, with or without an alpha \
             channel; save the one or the three that are meant as a picture"
        )),
        other => Err(format!("is a TIFF of a kind that is not read ({other:?}); {CONVERT}")),
    }
}

/// What a TIFF is whose colours are not read, by its photometric tag.
fn named(reader: &mut Reader<'_>) -> Option<String> {
    let tag = reader.find_tag_unsigned::<u16>(Tag::PhotometricInterpretation).ok().flatten()?;
    let kind = match PhotometricInterpretation::from_u16(tag)? {
        PhotometricInterpretation::RGBPalette => "with a palette",
        PhotometricInterpretation::TransparencyMask => "that is a transparency mask",
        PhotometricInterpretation::CIELab
        | PhotometricInterpretation::IccLab
        | PhotometricInterpretation::ItuLab => "in L*a*b*",
        _ => return None,
    };
    Some(format!("it is a TIFF {kind}, which is not read; {CONVERT}"))
}

/// Samples of 1, 2 or 4 bits, each row padded to whole bytes, on the scale 0..=255.
fn unpacked(packed: &[u8], width: usize, bits: u8) -> Vec<u8> {
    let bits = usize::from(bits);
    let (full, per_byte) = ((1usize << bits) - 1, 8 / bits);
    let row = |row: &[u8]| {
        let sample = |x: usize| {
            let value = usize::from(row[x / per_byte]) >> (8 - bits - x % per_byte * bits) & full;
            (value * 255 / full) as u8
        };
        (0..width).map(sample).collect::<Vec<u8>>()
    };
    packed.chunks_exact((width * bits).div_ceil(8)).flat_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_below_a_byte_are_unpacked_row_by_row() {
        assert_eq!(unpacked(&[0b1010_0000, 0b0100_0000], 3, 1), [255, 0, 255, 0, 255, 0]);
        assert_eq!(unpacked(&[0b0001_1011, 0b1100_0000], 5, 2), [0, 85, 170, 255, 255]);
        assert_eq!(unpacked(&[0x0F, 0x80], 3, 4), [0, 255, 136]);
    }
}
