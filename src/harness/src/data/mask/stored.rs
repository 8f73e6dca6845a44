//! A decoded mask before any rule is asked.

use image::{DynamicImage, GenericImageView, ImageBuffer, Pixel};

use super::rule::MaskRule;

/// The pixels of a mask in the depth and with the channels that its file has.
#[derive(Debug)]
pub(in crate::data) struct Stored(DynamicImage);

/// What a rule compares, one value a pixel, rows from the top.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Values {
    /// On the scale 0..=255; of deeper files rounded up, so that a grey is above a
    /// bound exactly where the stored value is.
    Greys(Vec<u8>),
    /// Of objects: equal where the stored ones are, and 0 where those are.
    Labels(Vec<u32>),
}

impl Stored {
    pub fn of(decoded: DynamicImage) -> Self {
        Self(decoded)
    }

    /// Width and height, pixels.
    pub fn size(&self) -> (u32, u32) {
        self.0.dimensions()
    }

    /// The alpha channel as [`Values::Greys`].
    pub(super) fn alpha(&self) -> Option<Vec<u8>> {
        match &self.0 {
            DynamicImage::ImageLumaA8(pixels) => Some(channel(pixels, 1, |v| v)),
            DynamicImage::ImageRgba8(pixels) => Some(channel(pixels, 3, |v| v)),
            DynamicImage::ImageLumaA16(pixels) => Some(channel(pixels, 1, up)),
            DynamicImage::ImageRgba16(pixels) => Some(channel(pixels, 3, up)),
            DynamicImage::ImageRgba32F(pixels) => Some(channel(pixels, 3, up_float)),
            _ => None,
        }
    }

    /// Shows every pixel of a coloured picture as 8-bit RGB; of a grey one none.
    pub(super) fn each_colour(&self, mut see: impl FnMut([u8; 3])) {
        match &self.0 {
            DynamicImage::ImageRgb8(pixels) => pixels.pixels().for_each(|pixel| see(pixel.0)),
            DynamicImage::ImageRgba8(pixels) => {
                pixels.pixels().for_each(|pixel| see([pixel.0[0], pixel.0[1], pixel.0[2]]));
            }
            other if other.color().has_color() => {
                other.pixels().for_each(|(_, _, pixel)| see([pixel.0[0], pixel.0[1], pixel.0[2]]));
            }
            _ => {}
        }
    }

    /// The values that a rule compares.
    ///
    /// # Errors
    /// The mask has no such channel.
    pub(super) fn values(self, rule: MaskRule) -> Result<Values, String> {
        match rule {
            MaskRule::Grey { .. } => Ok(Values::Greys(self.greys())),
            MaskRule::Instances => Ok(Values::Labels(self.labels())),
            MaskRule::Alpha { .. } => self.alpha().map(Values::Greys).ok_or_else(|| {
                format!(
                    "it has no alpha channel, which the rule `{rule}` is about; write {}",
                    MaskRule::OF_LEVELS.line()
                )
            }),
        }
    }

    fn greys(self) -> Vec<u8> {
        match self.0 {
            DynamicImage::ImageLuma8(greys) => greys.into_raw(),
            DynamicImage::ImageLumaA8(pixels) => channel(&pixels, 0, |v| v),
            DynamicImage::ImageRgb8(pixels) => lumas(&pixels, |v| v),
            DynamicImage::ImageRgba8(pixels) => lumas(&pixels, |v| v),
            DynamicImage::ImageLuma16(greys) => channel(&greys, 0, up),
            DynamicImage::ImageLumaA16(pixels) => channel(&pixels, 0, up),
            DynamicImage::ImageRgb16(pixels) => lumas(&pixels, up),
            DynamicImage::ImageRgba16(pixels) => lumas(&pixels, up),
            DynamicImage::ImageRgb32F(pixels) => lumas(&pixels, up_float),
            DynamicImage::ImageRgba32F(pixels) => lumas(&pixels, up_float),
            other => lumas(&other.into_rgb8(), |v| v),
        }
    }

    fn labels(self) -> Vec<u32> {
        match self.0 {
            DynamicImage::ImageLuma8(labels) => channel(&labels, 0, u32::from),
            DynamicImage::ImageLumaA8(pixels) => channel(&pixels, 0, u32::from),
            DynamicImage::ImageLuma16(labels) => channel(&labels, 0, u32::from),
            DynamicImage::ImageLumaA16(pixels) => channel(&pixels, 0, u32::from),
            DynamicImage::ImageRgb8(pixels) => joined(&pixels, u32::from),
            DynamicImage::ImageRgba8(pixels) => joined(&pixels, u32::from),
            DynamicImage::ImageRgb16(pixels) => joined(&pixels, u32::from),
            DynamicImage::ImageRgba16(pixels) => joined(&pixels, u32::from),
            DynamicImage::ImageRgba32F(pixels) => joined(&pixels, label_of_float),
            other => joined(&other.into_rgb32f(), label_of_float),
        }
    }
}

fn channel<P: Pixel, T>(
    pixels: &ImageBuffer<P, Vec<P::Subpixel>>,
    place: usize,
    value: impl Fn(P::Subpixel) -> T,
) -> Vec<T> {
    pixels.pixels().map(|pixel| value(pixel.channels()[place])).collect()
}

fn lumas<P: Pixel>(pixels: &ImageBuffer<P, Vec<P::Subpixel>>, grey: impl Fn(P::Subpixel) -> u8) -> Vec<u8> {
    pixels.pixels().map(|pixel| luma([0, 1, 2].map(|place| grey(pixel.channels()[place])))).collect()
}

/// BT.601 luma, rounded; equal channels give their value.
pub(super) fn luma([r, g, b]: [u8; 3]) -> u8 {
    ((299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b) + 500) / 1000) as u8
}

/// A value of 16 bits on the scale 0..=255, rounded up.
fn up(word: u16) -> u8 {
    word.div_ceil(257) as u8
}

/// A share of the whole on the scale 0..=255, rounded up; what is nearly a grey is one.
fn up_float(share: f32) -> u8 {
    let grey = f64::from(share.clamp(0.0, 1.0)) * 255.0;
    let nearest = grey.round();
    if nearest > 0.0 && (grey - nearest).abs() < 1e-4 { nearest as u8 } else { grey.ceil() as u8 }
}

/// One label for the first three channels.
fn joined<P: Pixel>(
    pixels: &ImageBuffer<P, Vec<P::Subpixel>>,
    label: impl Fn(P::Subpixel) -> u32,
) -> Vec<u32> {
    let join = |pixel: &P| {
        let parts = [0, 1, 2].map(|place| label(pixel.channels()[place]));
        if parts == [0; 3] {
            return 0;
        }
        // Odd, so that the label of no colour becomes 0.
        let all = parts.iter().fold(0_u32, |all, part| all.wrapping_mul(0x01_00_01).wrapping_add(*part));
        (all << 1) | 1
    };
    pixels.pixels().map(join).collect()
}

/// Foreground is above 0; what is no number is not.
fn label_of_float(value: f32) -> u32 {
    if value > 0.0 { value.to_bits() } else { 0 }
}
