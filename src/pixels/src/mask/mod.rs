//! What of a mask is foreground: decided here and nowhere else.
//!
//! Stored values are seen by this module alone. When a mask is decoded, a
//! [`Reading`] turns them into levels, 0..=255, and those are what training,
//! selection, evaluation, audit, preview and predictions work on: a pixel is
//! foreground where [`is_foreground`] says so, and its soft target is its level
//! as a share of 255. So the same truth, stored in two ways, is the same mask
//! to every part of the program.
//!
//! | rule | what is compared |
//! |---|---|
//! | `grey > N` | grey on the scale 0..=255 (colour by the BT.601 weights, deeper files rounded up) |
//! | `alpha > N` | the alpha channel, likewise |
//! | `instances > 0` | labels of objects: whatever is not 0 in all channels |
//!
//! What was found in the masks of a dataset ([`Found`]) is held against the rule
//! when it is registered ([`mod@signs`]), and so is the truth of a prediction.

mod found;
mod reading;
mod rule;
mod signs;
mod stored;
#[cfg(test)]
mod tests;

use std::path::Path;

use dygl_spec::protocol::MaskMode;
use image::GrayImage;

use super::PixelError;
use super::decode::{self, Decoded, Facts};
pub use found::{Alpha, Colours, Found};
pub use reading::{Reading, Scale};
pub use rule::{MaskRule, RuleError};
pub use signs::{Case, Sign, signs};

/// The greatest level of the background; one half lies right above it.
const HALF: u8 = 127;
/// The level of pixels that are no doubt foreground.
const FULL: u8 = 255;

/// Whether a level is foreground.
pub fn is_foreground(level: u8) -> bool {
    level > HALF
}

/// The level of what is foreground and of what is not.
pub fn level(is_foreground: bool) -> u8 {
    if is_foreground { FULL } else { 0 }
}

/// A mask of levels with nothing between background and foreground.
pub fn hard(levels: &GrayImage) -> GrayImage {
    let mut hard = levels.clone();
    hard.iter_mut().for_each(|value| *value = level(is_foreground(*value)));
    hard
}

/// What a level is as a training target, 0..=1: above 1/2 exactly where the
/// truth is foreground.
pub fn target(mode: MaskMode, level: u8) -> f32 {
    match mode {
        MaskMode::Soft => f32::from(level) / f32::from(FULL),
        MaskMode::Threshold => f32::from(u8::from(is_foreground(level))),
    }
}

/// The levels of a mask file, as a viewer shows it. `path` is for messages only.
///
/// # Errors
/// As [`decode::rgb`], and a mask without the channel that the rule is about.
pub fn read(bytes: &[u8], path: &Path, reading: &Reading) -> Result<Decoded<GrayImage>, PixelError> {
    let Decoded { pixels, facts } = decode::stored(bytes, path, |stored, _| reading.levels(stored))?;
    Ok(Decoded { pixels: decode::turned_mask(pixels, facts.orientation), facts })
}

/// A mask file that was looked at under a rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// Width and height as a viewer shows it, pixels.
    pub size: (u32, u32),
    /// What the mask holds under the rule.
    pub found: Found,
    /// What the file holds beside its pixels.
    pub facts: Facts,
}

/// Looks at a mask file.
///
/// # Errors
/// As [`read`].
pub fn look(bytes: &[u8], path: &Path, rule: MaskRule) -> Result<Look, PixelError> {
    let Decoded { pixels: (size, found), facts } = decode::stored(bytes, path, |stored, facts| {
        let size = stored.size();
        Ok((size, Found::of(stored, rule, facts)?))
    })?;
    // Turning is its own inverse as far as the size goes.
    Ok(Look { size: facts.stored_size(size), found, facts })
}
