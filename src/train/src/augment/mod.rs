//! Training-time augmentation: pure functions over bytes.
//!
//! Steps, in this order: random resized crop (from the stored resolution to
//! the network's), left-right flip, top-bottom flip, rotation, elastic
//! deformation, brightness and contrast. Each step draws from the stream
//! (seed, "augment", epoch, image id, step) and from nothing else: switching
//! one step off leaves the draws of the others alone, and neither threads nor
//! order matter. Images are bilinear, masks nearest, both through the same
//! geometry; values are rounded to bytes after each step.

mod colour;
mod crop;
mod elastic;
mod flip;
mod rotate;
mod warp;

use dygl::data::Sample;
use dygl::data::prepare::Resized;
use dygl::random::Stream;
use dygl::spec::protocol::Protocol;

/// Crops, resizes and perturbs one image for one epoch (counted from 0). With
/// all probabilities 0 it is [`dygl::data::prepare::resized`].
pub fn augment(sample: &Sample, id: &str, seed: u64, epoch: usize, protocol: &Protocol) -> Resized {
    let epoch = epoch.to_string();
    let stream = |step: &str| Stream::new(seed, "augment", &[&epoch, id, step]);
    let steps = &protocol.augment;
    let mut image = crop::crop(sample, &steps.crop, &protocol.image, stream("crop"));
    if stream("horizontal-flip").chance(steps.horizontal_flip) {
        flip::horizontal(&mut image);
    }
    if stream("vertical-flip").chance(steps.vertical_flip) {
        flip::vertical(&mut image);
    }
    rotate::rotate(&mut image, &steps.rotate, stream("rotate"));
    elastic::elastic(&mut image, &steps.elastic, stream("elastic"));
    colour::brightness_contrast(&mut image, &steps.brightness_contrast, stream("brightness-contrast"));
    image
}

#[cfg(test)]
mod tests;
