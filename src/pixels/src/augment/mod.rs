//! Training-time augmentation: pure functions over bytes.
//!
//! [`draw`] takes every number that one image needs in one epoch from its
//! streams, [`apply`] does with them what they say; nothing else is random.
//! Each step draws from the stream (seed, "augment", epoch, image id, step):
//! switching one step off leaves the draws of the others alone, and neither
//! threads nor order matter.
//!
//! Steps, in this order, each beside what albumentations 2.0.8 (with OpenCV
//! 4.12) does for it; `tests/golden/augment` holds this code against that
//! library, step by step, with the same numbers:
//!
//! | step | here | albumentations |
//! |---|---|---|
//! | resize (`crop.from = "resized"`) | to the network size, before anything else; bilinear, two taps, no anti-aliasing | `Resize`: the same, in fixed point |
//! | crop | area uniform in `scale`, aspect log-uniform in `aspect`, ten tries, then the largest central window of an allowed aspect; place uniform; resized back, bilinear | `RandomResizedCrop`: the same rule |
//! | flips | left-right, then top-bottom | `HorizontalFlip`, `VerticalFlip`: the same |
//! | rotation | angle uniform in +-`degrees`, counter-clockwise, about the centre of the pixel grid, size kept | `Rotate`: the same |
//! | elastic | noise uniform in -1..1, Gaussian `sigma` cut at four sigma, times `alpha` | `ElasticTransform(noise_distribution="uniform")`: the same inside, another field near the border (see `elastic.rs`); its default noise is Gaussian, divided by its largest value |
//! | brightness, contrast | `x * (1 + c) + b * 255`, clamped, rounded | `RandomBrightnessContrast`: the same, cut off instead of rounded |
//! | normalisation | `(x / 255 - mean) / std` | `Normalize`: the same |
//!
//! Warps (rotation, elastic) are bilinear at exact positions; OpenCV rounds
//! positions to 1/32 pixel, which is a grey level or less where an image
//! changes by less than 64 levels a pixel. Beyond the border they find what
//! `augment.border` says: mirrored without the edge pixel (`reflect`,
//! albumentations before version 2) or black and background (`zero`, its
//! default since). Values are rounded to bytes after each step, half to even.
//!
//! Masks go through the same geometry by nearest. For resizing that is the
//! pixel under the centre (OpenCV's INTER_NEAREST_EXACT): albumentations'
//! default, INTER_NEAREST, shifts masks by up to half a pixel against images.

mod canvas;
mod colour;
mod crop;
mod elastic;
mod rotate;
mod warp;

use std::cell::RefCell;

use canvas::Canvas;
use dygl_base::random::Stream;
use dygl_spec::protocol::{CropFrom, Protocol};

use crate::prepare::{self, Picture, Resized, Writer};
use crate::resize::{self, Window};
pub use colour::Tone;
pub use elastic::Noise;

/// All that was drawn for one image in one epoch; `None` leaves a step out.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawn {
    /// A window of the image that the crop is cut from.
    pub crop: Option<Window>,
    /// Whether left and right change places.
    pub horizontal_flip: bool,
    /// Whether top and bottom change places, after the former.
    pub vertical_flip: bool,
    /// Angle of the rotation, degrees, counter-clockwise.
    pub degrees: Option<f64>,
    /// The raw noise of the elastic deformation, not yet smoothed.
    pub elastic: Option<Noise>,
    /// Change of brightness and contrast.
    pub tone: Option<Tone>,
}

/// Draws for an image in an epoch (counted from 0). `width` and `height` are
/// those of what the crop is cut from, pixels.
pub fn draw(width: u32, height: u32, id: &str, seed: u64, epoch: usize, protocol: &Protocol) -> Drawn {
    let epoch = epoch.to_string();
    let stream = |step: &str| Stream::new(seed, "augment", &[&epoch, id, step]);
    let steps = &protocol.augment;
    Drawn {
        crop: crop::draw(width, height, &steps.crop, stream("crop")),
        horizontal_flip: stream("horizontal-flip").chance(steps.horizontal_flip),
        vertical_flip: stream("vertical-flip").chance(steps.vertical_flip),
        degrees: rotate::draw(&steps.rotate, stream("rotate")),
        elastic: elastic::draw(protocol.image.size, &steps.elastic, stream("elastic")),
        tone: colour::draw(&steps.brightness_contrast, stream("brightness-contrast")),
    }
}

/// What the steps of one image are made in: megabytes, kept from image to image.
struct Workplace {
    size: usize,
    first: Canvas,
    second: Canvas,
    row: warp::Row,
}

impl Workplace {
    fn new(size: usize) -> Self {
        Self { size, first: Canvas::new(size), second: Canvas::new(size), row: warp::Row::new(size) }
    }
}

thread_local! {
    static WORKPLACE: RefCell<Workplace> = RefCell::new(Workplace::new(0));
}

/// Crops, resizes, flips and deforms a picture as drawn and calls `each` with
/// the rows of packed pixels ([`resize::rows`]), not always from the top.
/// Colours are left alone. The picture is what the crop is cut from.
fn deform(picture: Picture<'_>, drawn: &Drawn, protocol: &Protocol, mut each: impl FnMut(usize, &[u32])) {
    let (size, steps) = (protocol.image.size, &protocol.augment);
    let upright = |into: &mut dyn FnMut(usize, &[u32])| {
        let window = drawn.crop.unwrap_or(picture.whole());
        resize::rows(picture, window, size as u32, protocol.image.filter, |y, pixels| {
            if drawn.horizontal_flip {
                pixels.reverse();
            }
            into(if drawn.vertical_flip { size - 1 - y } else { y }, pixels);
        });
    };
    WORKPLACE.with_borrow_mut(|workplace| {
        if workplace.size != size {
            *workplace = Workplace::new(size);
        }
        let Workplace { first, second, row, .. } = workplace;
        match (drawn.degrees, &drawn.elastic) {
            (None, None) => upright(&mut each),
            (Some(degrees), None) => {
                upright(&mut |y, pixels| first.set_row(y, pixels));
                rotate::apply(first, degrees, steps.border, row, each);
            }
            (degrees, Some(noise)) => {
                upright(&mut |y, pixels| first.set_row(y, pixels));
                let mut turned = first;
                if let Some(degrees) = degrees {
                    rotate::apply(turned, degrees, steps.border, row, |y, pixels| second.set_row(y, pixels));
                    turned = second;
                }
                elastic::apply(turned, noise, &steps.elastic, steps.border, row, each);
            }
        }
    });
}

/// Crops, resizes and perturbs a picture as drawn. The picture is what the
/// crop is cut from.
pub fn apply(picture: Picture<'_>, drawn: &Drawn, protocol: &Protocol) -> Resized {
    let size = protocol.image.size;
    let mut image = Resized { size, rgb: vec![0; 3 * size * size], mask: vec![0; size * size] };
    deform(picture, drawn, protocol, |y, pixels| {
        resize::unpack(pixels, &mut image.rgb[3 * y * size..3 * (y + 1) * size]);
        for (grey, pixel) in image.mask[y * size..(y + 1) * size].iter_mut().zip(pixels) {
            *grey = (pixel >> 24) as u8;
        }
    });
    if let Some(tone) = drawn.tone {
        let table = colour::table(tone);
        image.rgb.iter_mut().for_each(|level| *level = table[usize::from(*level)]);
    }
    image
}

/// Draws and applies. The picture may be of any size: where the crop is cut
/// from the resized image, it is resized first. With all probabilities 0 this
/// is [`crate::prepare::resized`].
pub fn augment(picture: Picture<'_>, id: &str, seed: u64, epoch: usize, protocol: &Protocol) -> Resized {
    drawn(picture, id, seed, epoch, protocol, |picture, drawn| apply(picture, &drawn, protocol))
}

/// [`augment`], written to the batch without an image between.
pub fn augment_into(
    picture: Picture<'_>,
    (id, seed, epoch): (&str, u64, usize),
    protocol: &Protocol,
    writer: &Writer,
    input: &mut [f32],
    target: &mut [f32],
) {
    drawn(picture, id, seed, epoch, protocol, |picture, drawn| {
        let toned = drawn.tone.map(|tone| writer.after(&colour::table(tone)));
        let writer = toned.as_ref().unwrap_or(writer);
        deform(picture, &drawn, protocol, |y, pixels| writer.write_row(y, pixels, input, target));
    });
}

/// Calls `then` with what the crop is cut from, and with what was drawn for it.
fn drawn<T>(
    picture: Picture<'_>,
    id: &str,
    seed: u64,
    epoch: usize,
    protocol: &Protocol,
    then: impl FnOnce(Picture<'_>, Drawn) -> T,
) -> T {
    let side = protocol.image.size as u32;
    let is_ready = (picture.width, picture.height) == (side, side);
    if protocol.augment.crop.from == CropFrom::Resized && !is_ready {
        let first = prepare::window(picture, picture.whole(), protocol.image.size, protocol.image.filter);
        return then(first.picture(), draw(side, side, id, seed, epoch, protocol));
    }
    then(picture, draw(picture.width, picture.height, id, seed, epoch, protocol))
}

#[cfg(test)]
pub(crate) mod tests;
