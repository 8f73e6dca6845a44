//! From samples as stored to levels of 8 bits: one linear rule for every depth.
//!
//! A level is `255 * sample / white`. Images are rounded to the nearest level.
//! Masks are rounded up, so that a grey is above a bound on the scale 0..=255
//! exactly where the stored value is. Values outside 0..=white, and what is no
//! number, are refused: they would be cut off.

use image::{DynamicImage, RgbImage};
use tiff::decoder::DecodingResult;

use super::facts::{Depth, Facts, Kind, remedy};
use crate::ImageRule;

/// A picture as its file holds it.
#[derive(Debug)]
pub(crate) struct Stored {
    pub width: u32,
    pub height: u32,
    /// Samples of a pixel that are colour: 1 (grey) or 3 (red, green, blue).
    pub colours: usize,
    /// Whether an alpha sample follows them.
    pub has_alpha: bool,
    /// Rows from the top, the samples of a pixel side by side.
    pub samples: Samples,
    pub depth: Depth,
}

/// Samples in the type that holds their depth.
#[derive(Debug)]
pub(crate) enum Samples {
    U8(Vec<u8>),
    U16(Vec<u16>),
    U32(Vec<u32>),
    U64(Vec<u64>),
    I8(Vec<i8>),
    I16(Vec<i16>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
}

/// Does the same with the samples whatever their type.
macro_rules! with {
    ($samples:expr, $values:ident => $work:expr) => {
        match $samples {
            Samples::U8($values) => $work,
            Samples::U16($values) => $work,
            Samples::U32($values) => $work,
            Samples::U64($values) => $work,
            Samples::I8($values) => $work,
            Samples::I16($values) => $work,
            Samples::I32($values) => $work,
            Samples::I64($values) => $work,
            Samples::F32($values) => $work,
            Samples::F64($values) => $work,
        }
    };
}

/// A sample as a number; integers beyond 2^53 lose their last digits, which no
/// level of 8 bits sees.
pub(super) trait Number: Copy {
    fn number(self) -> f64;
}

macro_rules! numbers {
    ($($of:ty),*) => { $(impl Number for $of {
        fn number(self) -> f64 {
            self as f64
        }
    })* };
}
numbers!(u8, u16, u32, u64, i8, i16, i32, i64, f32, f64);

impl From<DecodingResult> for Samples {
    fn from(read: DecodingResult) -> Self {
        match read {
            DecodingResult::U8(v) => Samples::U8(v),
            DecodingResult::U16(v) => Samples::U16(v),
            DecodingResult::U32(v) => Samples::U32(v),
            DecodingResult::U64(v) => Samples::U64(v),
            DecodingResult::I8(v) => Samples::I8(v),
            DecodingResult::I16(v) => Samples::I16(v),
            DecodingResult::I32(v) => Samples::I32(v),
            DecodingResult::I64(v) => Samples::I64(v),
            DecodingResult::F16(v) => Samples::F32(v.into_iter().map(|half| half.to_f32()).collect()),
            DecodingResult::F32(v) => Samples::F32(v),
            DecodingResult::F64(v) => Samples::F64(v),
        }
    }
}

impl Samples {
    pub fn len(&self) -> usize {
        with!(self, values => values.len())
    }

    /// Planes that stand one behind the other, interleaved.
    pub fn interleaved(self, planes: usize) -> Self {
        fn weave<T: Copy>(values: &[T], planes: usize) -> Vec<T> {
            let plane = values.len() / planes;
            (0..plane * planes).map(|at| values[at % planes * plane + at / planes]).collect()
        }
        match self {
            Samples::U8(v) => Samples::U8(weave(&v, planes)),
            Samples::U16(v) => Samples::U16(weave(&v, planes)),
            Samples::U32(v) => Samples::U32(weave(&v, planes)),
            Samples::U64(v) => Samples::U64(weave(&v, planes)),
            Samples::I8(v) => Samples::I8(weave(&v, planes)),
            Samples::I16(v) => Samples::I16(weave(&v, planes)),
            Samples::I32(v) => Samples::I32(weave(&v, planes)),
            Samples::I64(v) => Samples::I64(weave(&v, planes)),
            Samples::F32(v) => Samples::F32(weave(&v, planes)),
            Samples::F64(v) => Samples::F64(weave(&v, planes)),
        }
    }
}

/// Least and greatest of the colour samples, and whether some are no numbers.
struct Extent {
    least: f64,
    greatest: f64,
    has_others: bool,
}

impl Stored {
    /// What the general decoder gives.
    pub fn of(decoded: DynamicImage) -> Self {
        let (width, height) = (decoded.width(), decoded.height());
        let (colours, has_alpha, samples) = match decoded {
            DynamicImage::ImageLuma8(p) => (1, false, Samples::U8(p.into_raw())),
            DynamicImage::ImageLumaA8(p) => (1, true, Samples::U8(p.into_raw())),
            DynamicImage::ImageRgb8(p) => (3, false, Samples::U8(p.into_raw())),
            DynamicImage::ImageRgba8(p) => (3, true, Samples::U8(p.into_raw())),
            DynamicImage::ImageLuma16(p) => (1, false, Samples::U16(p.into_raw())),
            DynamicImage::ImageLumaA16(p) => (1, true, Samples::U16(p.into_raw())),
            DynamicImage::ImageRgb16(p) => (3, false, Samples::U16(p.into_raw())),
            DynamicImage::ImageRgba16(p) => (3, true, Samples::U16(p.into_raw())),
            DynamicImage::ImageRgb32F(p) => (3, false, Samples::F32(p.into_raw())),
            DynamicImage::ImageRgba32F(p) => (3, true, Samples::F32(p.into_raw())),
            // No other kind is made by the formats that are read.
            other => (3, false, Samples::U8(other.into_rgb8().into_raw())),
        };
        let depth = match samples {
            Samples::U8(_) => Depth::EIGHT,
            Samples::U16(_) => Depth { bits: 16, kind: Kind::Unsigned },
            _ => Depth { bits: 32, kind: Kind::Float },
        };
        Self { width, height, colours, has_alpha, samples, depth }
    }

    fn channels(&self) -> usize {
        self.colours + usize::from(self.has_alpha)
    }

    fn extent(&self) -> Extent {
        if let (Samples::U8(values), false) = (&self.samples, self.has_alpha) {
            let greatest = values.iter().fold(0, |most: u8, value| most.max(*value));
            return Extent { least: 0.0, greatest: greatest.number(), has_others: false };
        }
        let (channels, colours) = (self.channels(), self.colours);
        with!(&self.samples, values => {
            let mut extent = Extent { least: f64::INFINITY, greatest: f64::NEG_INFINITY, has_others: false };
            for pixel in values.chunks_exact(channels) {
                for value in &pixel[..colours] {
                    let value = value.number();
                    extent.has_others |= !value.is_finite();
                    extent.least = extent.least.min(value);
                    extent.greatest = extent.greatest.max(value);
                }
            }
            extent
        })
    }

    /// Refuses what lies outside 0..=white; not looked for where no sample can.
    fn check(&self, white: f64, is_stated: bool, remedy: impl FnOnce(f64) -> String) -> Result<(), String> {
        let greatest = match self.samples {
            Samples::U8(_) => f64::from(u8::MAX),
            Samples::U16(_) => f64::from(u16::MAX),
            Samples::U32(_) => f64::from(u32::MAX),
            _ => f64::INFINITY,
        };
        if greatest <= white && greatest.is_finite() {
            return Ok(());
        }
        self.extent().within(white, self.depth, is_stated, remedy)
    }

    /// Fills in what of the facts the pixels tell.
    pub fn tell(&self, facts: &mut Facts) {
        let greatest = self.extent().greatest;
        facts.depth = self.depth;
        facts.largest = if greatest.is_finite() { greatest } else { 0.0 };
        facts.transparent = self.has_alpha
            && {
                let (channels, full) = (self.channels(), self.depth.full());
                with!(&self.samples, values => values.chunks_exact(channels).any(|p| p[channels - 1].number() != full))
            };
    }

    /// 8-bit RGB; grey becomes three equal channels.
    ///
    /// # Errors
    /// Values that the range does not hold; the text names them and the remedy.
    pub fn into_rgb(self, rule: ImageRule) -> Result<RgbImage, String> {
        let (width, height, white) = (self.width, self.height, rule.white_of(self.depth));
        self.check(white, rule.white.is_some(), remedy)?;
        let (channels, colours, pixels) =
            (self.channels(), self.colours, self.samples.len() / self.channels());
        let rgb = match self.samples {
            Samples::U8(values) if white == 255.0 && channels == 3 => values,
            Samples::U8(values) if white == 255.0 => to_rgb(&values, channels, colours, pixels, |v| v),
            Samples::U16(values) if white == 65_535.0 => {
                to_rgb(&values, channels, colours, pixels, |v| ((u32::from(v) + 128) / 257) as u8)
            }
            samples => with!(&samples, values => to_rgb(values, channels, colours, pixels, |v| {
                (v.number() * 255.0 / white).round() as u8
            })),
        };
        RgbImage::from_raw(width, height, rgb).ok_or_else(|| "it holds too few samples".to_owned())
    }

    /// Width and height as stored, pixels.
    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// The samples of a mask as greys on the scale 0..=255, rounded up; colour by the
    /// BT.601 weights. One value a pixel, rows from the top.
    ///
    /// # Errors
    /// Values that the scale has no place for; the text names them and the remedy.
    pub fn into_greys(self) -> Result<Vec<u8>, String> {
        let (depth, channels, colours) = (self.depth, self.channels(), self.colours);
        self.check(depth.full(), false, |_| {
            "where every value but 0 is foreground, write mask = { kind = \"instances\" } in the manifest, else \
             save the masks as 8 bits"
                .to_owned()
        })?;
        Ok(match self.samples {
            Samples::U8(values) if channels == 1 => values,
            Samples::U8(values) if channels == 3 && are_grey(&values) => {
                values.as_chunks::<3>().0.iter().map(|pixel| pixel[0]).collect()
            }
            Samples::U8(values) => to_grey(&values, channels, colours, |v| v),
            samples => {
                with!(&samples, values => to_grey(values, channels, colours, |v| up(v.number(), depth)))
            }
        })
    }

    /// The alpha channel on the scale 0..=255, rounded up; `None` without one.
    pub fn alphas(&self) -> Option<Vec<u8>> {
        let (depth, channels) = (self.depth, self.channels());
        self.has_alpha.then(|| {
            with!(&self.samples, values => {
                values.chunks_exact(channels).map(|pixel| up(pixel[channels - 1].number(), depth)).collect()
            })
        })
    }

    /// Labels of objects: equal where the stored values are, and 0 where those are.
    ///
    /// # Errors
    /// Values that are no labels; the text names them.
    pub fn into_labels(self) -> Result<Vec<u32>, String> {
        let (channels, colours) = (self.channels(), self.colours);
        self.check(f64::INFINITY, false, |_| {
            "labels of objects are 0 for the background and greater for the rest".to_owned()
        })?;
        Ok(with!(&self.samples, values => {
            values.chunks_exact(channels).map(|pixel| label(&pixel[..colours])).collect()
        }))
    }

    /// Shows every pixel of a coloured picture as 8-bit RGB; of a grey one none.
    pub fn each_colour(&self, mut see: impl FnMut([u8; 3])) {
        let (depth, channels) = (self.depth, self.channels());
        match &self.samples {
            _ if self.colours == 1 => {}
            Samples::U8(values) if channels == 3 && are_grey(values) => {}
            Samples::U8(values) => values.chunks_exact(channels).for_each(|p| see([p[0], p[1], p[2]])),
            samples => with!(samples, values => values
                .chunks_exact(channels)
                .for_each(|p| see([0, 1, 2].map(|part| up(p[part].number(), depth))))),
        }
    }
}

/// Whether the three colours of every pixel are equal.
fn are_grey(values: &[u8]) -> bool {
    /// Sixteen pixels at a time.
    const BLOCK: usize = 48;
    /// 255 where a value and the next one are of one pixel.
    const WITHIN: [u8; BLOCK] = {
        let mut within = [u8::MAX; BLOCK];
        let mut last = 2;
        while last < BLOCK {
            within[last] = 0;
            last += 3;
        }
        within
    };
    let (blocks, rest) = values.as_chunks::<BLOCK>();
    let is_grey = |block: &[u8; BLOCK]| {
        let pairs = block.iter().zip(&block[1..]).zip(&WITHIN);
        pairs.fold(0, |apart, ((value, next), within)| apart | ((value ^ next) & within)) == 0
    };
    blocks.iter().all(is_grey) && rest.chunks_exact(3).all(|p| p[0] == p[1] && p[1] == p[2])
}

/// One label for the samples of a pixel.
fn label<T: Number>(pixel: &[T]) -> u32 {
    let single = |value: f64| {
        // Labels beyond 32 bits keep apart by their bits.
        let bits = value.to_bits();
        let is_small = value <= f64::from(u32::MAX >> 1) && value.fract() == 0.0;
        if is_small { value as u32 } else { (bits ^ (bits >> 32)) as u32 | 1 }
    };
    match pixel {
        [value] => single(value.number()),
        _ if pixel.iter().all(|value| value.number() == 0.0) => 0,
        _ => {
            let join =
                |all: u32, value: &T| all.wrapping_mul(0x01_00_01).wrapping_add(single(value.number()));
            // Odd, so that the label of no colour becomes 0.
            (pixel.iter().fold(0, join) << 1) | 1
        }
    }
}

impl Extent {
    /// Refuses what lies outside 0..=white.
    fn within(
        &self,
        white: f64,
        depth: Depth,
        is_stated: bool,
        remedy: impl FnOnce(f64) -> String,
    ) -> Result<(), String> {
        let (least, greatest) = (self.least, self.greatest);
        if self.has_others {
            return Err(format!(
                "holds {depth} samples that are no numbers (NaN or infinite); write numbers in their place"
            ));
        }
        if least < 0.0 {
            return Err(format!(
                "holds {depth} samples down to {least}, and what is below 0 would be cut off; shift the values \
                 so that 0 is black, and {}",
                remedy(greatest - least)
            ));
        }
        if greatest > white {
            let range =
                if is_stated { format!("the stated white of {white}") } else { format!("0..{white}") };
            return Err(format!(
                "holds {depth} samples up to {greatest}, beyond {range}; {}",
                remedy(greatest)
            ));
        }
        Ok(())
    }
}

fn to_rgb<T: Copy>(
    values: &[T],
    channels: usize,
    colours: usize,
    pixels: usize,
    level: impl Fn(T) -> u8,
) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(3 * pixels);
    for pixel in values.chunks_exact(channels) {
        if colours == 1 {
            rgb.extend([level(pixel[0]); 3]);
        } else {
            rgb.extend([level(pixel[0]), level(pixel[1]), level(pixel[2])]);
        }
    }
    rgb
}

fn to_grey<T: Copy>(values: &[T], channels: usize, colours: usize, level: impl Fn(T) -> u8) -> Vec<u8> {
    let grey = |pixel: &[T]| {
        if colours == 1 { level(pixel[0]) } else { luma([level(pixel[0]), level(pixel[1]), level(pixel[2])]) }
    };
    values.chunks_exact(channels).map(grey).collect()
}

/// BT.601 luma, rounded; equal channels give their value.
pub fn luma([r, g, b]: [u8; 3]) -> u8 {
    ((299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b) + 500) / 1000) as u8
}

/// The level of a mask's sample, rounded up.
pub(super) fn up(value: f64, depth: Depth) -> u8 {
    let level = value * 255.0 / depth.full();
    let nearest = level.round();
    // Floats, and integers that no f64 holds, miss the level they stand for by a little.
    let is_near = (depth.kind == Kind::Float || depth.bits > 32) && (level - nearest).abs() < 1e-4;
    if is_near && nearest > 0.0 { nearest as u8 } else { level.ceil() as u8 }
}
