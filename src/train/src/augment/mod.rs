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

mod colour;
mod crop;
mod elastic;
mod flip;
mod rotate;
mod warp;

use dygl::data::prepare::{self, Picture, Resized};
use dygl::data::resize::Window;
use dygl::random::Stream;
use dygl::spec::protocol::{CropFrom, Protocol};

pub use colour::Tone;
pub use elastic::Noise;

/// All that was drawn for one image in one epoch; `None` leaves a step out.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawn {
    /// A window of the image that the crop is cut from.
    pub crop: Option<Window>,
    pub horizontal_flip: bool,
    pub vertical_flip: bool,
    /// Angle of the rotation, degrees, counter-clockwise.
    pub degrees: Option<f64>,
    pub elastic: Option<Noise>,
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

/// Crops, resizes and perturbs a picture as drawn. The picture is what the
/// crop is cut from.
pub fn apply(picture: Picture<'_>, drawn: &Drawn, protocol: &Protocol) -> Resized {
    let (size, steps) = (protocol.image.size, &protocol.augment);
    let window = drawn.crop.unwrap_or(picture.whole());
    let mut image = prepare::window(picture, window, size, protocol.image.filter);
    if drawn.horizontal_flip {
        flip::horizontal(&mut image);
    }
    if drawn.vertical_flip {
        flip::vertical(&mut image);
    }
    if let Some(degrees) = drawn.degrees {
        rotate::apply(&mut image, degrees, steps.border);
    }
    if let Some(noise) = &drawn.elastic {
        elastic::apply(&mut image, noise, &steps.elastic, steps.border);
    }
    if let Some(tone) = drawn.tone {
        colour::apply(&mut image, tone);
    }
    image
}

/// Draws and applies. The picture may be of any size: where the crop is cut
/// from the resized image, it is resized first. With all probabilities 0 this
/// is [`dygl::data::prepare::resized`].
pub fn augment(picture: Picture<'_>, id: &str, seed: u64, epoch: usize, protocol: &Protocol) -> Resized {
    let side = protocol.image.size as u32;
    let is_ready = (picture.width, picture.height) == (side, side);
    if protocol.augment.crop.from == CropFrom::Resized && !is_ready {
        let first = prepare::window(picture, picture.whole(), protocol.image.size, protocol.image.filter);
        return apply(first.picture(), &draw(side, side, id, seed, epoch, protocol), protocol);
    }
    apply(picture, &draw(picture.width, picture.height, id, seed, epoch, protocol), protocol)
}

#[cfg(test)]
pub(crate) mod tests;
