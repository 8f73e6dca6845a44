//! From a sample to network input.
//!
//! The trainer's chain per image: a dataset (`Dataset::look`) shows a [`Picture`]
//! in a [`Form`], the augmentation (or [`resized`]) makes it a [`Resized`], and
//! [`Resized::write_input`] and [`Resized::write_target`] put that into the
//! batch.

use std::fmt;

use dygl_spec::protocol::{CropFrom, Filter, Image, MaskMode, Protocol};

use super::resize::{self, Window};
use super::{Sample, mask};

/// What images are kept as between decoding and augmentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As decoded.
    Stored,
    /// Resized to `size` x `size` pixels; masks by nearest.
    Resized {
        /// Side, pixels.
        size: usize,
        /// Of the images; masks always go by nearest.
        filter: Filter,
    },
}

impl Form {
    /// The form that training under a protocol starts from: what the crop is
    /// cut from, or the network's size where nothing is ever cropped.
    pub fn of(protocol: &Protocol) -> Self {
        let crop = &protocol.augment.crop;
        if crop.from == CropFrom::Stored && crop.probability > 0.0 {
            Form::Stored
        } else {
            Self::resized(&protocol.image)
        }
    }

    /// The network's own size.
    pub fn resized(image: &Image) -> Self {
        Form::Resized { size: image.size, filter: image.filter }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Form::Stored => f.write_str("stored"),
            Form::Resized { size, filter } => write!(f, "{size} px, {}", filter.word()),
        }
    }
}

/// A look at an image with its truth, both of the same size: bytes of a
/// [`Sample`], of a [`Resized`], or of a packed file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Picture<'a> {
    /// Of image and mask, pixels.
    pub width: u32,
    /// Of image and mask, pixels.
    pub height: u32,
    /// `width * height * 3` bytes: rows from the top, RGB interleaved.
    pub rgb: &'a [u8],
    /// `width * height` bytes, levels of the [`mask`].
    pub mask: &'a [u8],
}

impl<'a> Picture<'a> {
    /// All of it.
    pub fn whole(&self) -> Window {
        Window { x: 0, y: 0, width: self.width, height: self.height }
    }

    /// Row `y` of a window of the image, `3 * window.width` bytes.
    pub fn rgb_row(self, window: Window, y: u32) -> &'a [u8] {
        let start = ((window.y + y) as usize * self.width as usize + window.x as usize) * 3;
        &self.rgb[start..start + 3 * window.width as usize]
    }

    /// Row `y` of a window of the mask, `window.width` bytes.
    pub fn mask_row(self, window: Window, y: u32) -> &'a [u8] {
        let start = (window.y + y) as usize * self.width as usize + window.x as usize;
        &self.mask[start..start + window.width as usize]
    }
}

impl Sample {
    /// A look at image and mask, without a copy.
    pub fn picture(&self) -> Picture<'_> {
        let (width, height) = self.image.dimensions();
        Picture { width, height, rgb: self.image.as_raw(), mask: self.mask.as_raw() }
    }
}

/// An image with its mask at the network's size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resized {
    /// Side, pixels.
    pub size: usize,
    /// `size * size * 3` bytes: rows from the top, RGB interleaved.
    pub rgb: Vec<u8>,
    /// `size * size` bytes, levels of the [`mask`].
    pub mask: Vec<u8>,
}

/// Resizes a sample by the protocol: the image by its filter, the mask by nearest.
pub fn resized(sample: &Sample, image: &Image) -> Resized {
    let picture = sample.picture();
    window(picture, picture.whole(), image.size, image.filter)
}

/// Shows a picture that is kept in the form `from` as it is in the form `to`.
pub fn show<T>(picture: Picture<'_>, from: Form, to: Form, see: impl FnOnce(Picture<'_>) -> T) -> T {
    match to {
        Form::Resized { size, filter } if from != to => {
            see(window(picture, picture.whole(), size, filter).picture())
        }
        _ => see(picture),
    }
}

/// Resizes a window of a picture to `size` x `size` pixels: the image by the
/// filter, the mask by nearest. The window must lie inside.
pub fn window(picture: Picture<'_>, window: Window, size: usize, filter: Filter) -> Resized {
    Resized {
        size,
        rgb: resize::rgb(picture, window, size as u32, filter),
        mask: resize::grey(picture, window, size as u32),
    }
}

impl Resized {
    /// A look at image and mask, without a copy.
    pub fn picture(&self) -> Picture<'_> {
        let side = self.size as u32;
        Picture { width: side, height: side, rgb: &self.rgb, mask: &self.mask }
    }

    /// Writes the normalised image, `(v / 255 - mean) / std`, as planes R, G, B.
    /// `into` has length `3 * size * size`; what is beyond the shorter is left alone.
    pub fn write_input(&self, image: &Image, into: &mut [f32]) {
        let [reds, greens, blues] = normalisation(image);
        let area = self.size * self.size;
        let (red, rest) = into.split_at_mut(area.min(into.len()));
        let (green, blue) = rest.split_at_mut(area.min(rest.len()));
        let planes = red.iter_mut().zip(green).zip(blue);
        for (((r, g), b), pixel) in planes.zip(self.rgb.as_chunks::<3>().0) {
            *r = reds[usize::from(pixel[0])];
            *g = greens[usize::from(pixel[1])];
            *b = blues[usize::from(pixel[2])];
        }
    }

    /// Writes the training target of each pixel ([`mask::target`]). `into` has
    /// length `size * size`.
    pub fn write_target(&self, mode: MaskMode, into: &mut [f32]) {
        for (value, level) in into.iter_mut().zip(&self.mask) {
            *value = mask::target(mode, *level);
        }
    }

    /// The truth for scoring: one bool a pixel, rows from the top.
    pub fn truth(&self) -> Vec<bool> {
        self.mask.iter().map(|level| mask::is_foreground(*level)).collect()
    }
}

/// The normalised value of each level of the three channels.
fn normalisation(image: &Image) -> [Levels; 3] {
    std::array::from_fn(|channel| {
        std::array::from_fn(|v| ((v as f64 / 255.0 - image.mean[channel]) / image.std[channel]) as f32)
    })
}

/// What stands in the batch for each of 256 levels.
type Levels = [f32; 256];

/// Writes packed pixels ([`resize::rows`]) to the batch, as
/// [`Resized::write_input`] and [`Resized::write_target`] write bytes.
#[derive(Debug, Clone)]
pub struct Writer {
    colours: [Levels; 3],
    target: Levels,
}

impl Writer {
    /// A writer by mean, standard deviation and kind of targets of a protocol.
    pub fn new(image: &Image) -> Self {
        let target = std::array::from_fn(|level| mask::target(image.training_masks, level as u8));
        Self { colours: normalisation(image), target }
    }

    /// The writer of colours that a table of levels has changed before.
    pub fn after(&self, table: &[u8; 256]) -> Self {
        let colours = self.colours.each_ref().map(|levels| table.map(|level| levels[usize::from(level)]));
        Self { colours, target: self.target }
    }

    /// Writes row `y` of an image whose side is the row's length: planes R, G,
    /// B of `input`, [3, S, S], and `target`, [S, S].
    pub fn write_row(&self, y: usize, pixels: &[u32], input: &mut [f32], target: &mut [f32]) {
        let size = pixels.len();
        let row = y * size..(y + 1) * size;
        let (red, rest) = input.split_at_mut(size * size);
        let (green, blue) = rest.split_at_mut(size * size);
        let (red, green, blue) = (&mut red[row.clone()], &mut green[row.clone()], &mut blue[row.clone()]);
        let [reds, greens, blues] = &self.colours;
        let planes = red.iter_mut().zip(green).zip(blue).zip(&mut target[row]);
        for ((((r, g), b), t), pixel) in planes.zip(pixels) {
            let [red, green, blue, grey] = pixel.to_le_bytes().map(usize::from);
            (*r, *g, *b, *t) = (reds[red], greens[green], blues[blue], self.target[grey]);
        }
    }
}

#[cfg(test)]
mod tests {
    use dygl_spec::protocol::Filter;
    use image::{GrayImage, Luma, Rgb, RgbImage};

    use super::*;

    fn protocol(size: usize) -> Image {
        Image {
            size,
            filter: Filter::Bilinear,
            mean: [0.0, 0.5, 0.25],
            std: [1.0, 0.5, 0.25],
            training_masks: MaskMode::Soft,
        }
    }

    #[test]
    fn input_is_planar_and_normalised() {
        let sample = Sample {
            image: RgbImage::from_fn(2, 2, |x, _| Rgb([255 * x as u8, 255, 0])),
            mask: GrayImage::from_fn(2, 2, |x, y| Luma([[[0, 127], [128, 255]][y as usize][x as usize]])),
        };
        let image = protocol(2);
        let resized = resized(&sample, &image);
        let mut input = [0.0; 12];
        resized.write_input(&image, &mut input);
        assert_eq!(input, [0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0, -1.0]);
        let mut target = [0.0; 4];
        resized.write_target(MaskMode::Threshold, &mut target);
        assert_eq!(target, [0.0, 0.0, 1.0, 1.0]);
        resized.write_target(MaskMode::Soft, &mut target);
        assert_eq!(target, [0.0, 127.0 / 255.0, 128.0 / 255.0, 1.0]);
        assert_eq!(resized.truth(), [false, false, true, true]);
    }
}
