//! From stored greys to levels.

use image::GrayImage;
use serde::{Deserialize, Serialize};

use super::rule::MaskRule;
use super::stored::Values;
use super::{FULL, HALF, level};
use crate::decode::Stored;

/// Between which stored greys the soft targets of a dataset lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// The least grey stored in any mask; its target is 0.
    pub low: u8,
    /// The greatest one; its target is 1.
    pub high: u8,
    /// No mask holds more than one grey on either side of the rule: every target
    /// is 0 or 1.
    pub two_valued: bool,
}

impl Scale {
    /// Masks over the whole scale.
    pub const WHOLE: Self = Self { low: 0, high: FULL, two_valued: false };
}

/// How the masks of a dataset are read: by its rule, and over the scale of its greys.
#[derive(Debug, Clone)]
pub struct Reading {
    rule: MaskRule,
    /// The level of each grey.
    levels: [u8; 256],
}

impl Reading {
    /// Reads by a rule, with soft targets over a scale.
    pub fn new(rule: MaskRule, scale: Scale) -> Self {
        Self { rule, levels: std::array::from_fn(|grey| level_of(rule, scale, grey as u8)) }
    }

    /// Reads the masks of a dataset: soft targets lie over the scale that was `found` in
    /// them; over the whole one where its authors published it so, or where the masks are
    /// labels of objects.
    ///
    /// # Errors
    /// Those of `found`.
    pub fn of_dataset<E>(
        rule: MaskRule,
        is_published_whole: bool,
        found: impl FnOnce() -> Result<Scale, E>,
    ) -> Result<Self, E> {
        let is_whole = is_published_whole || rule == MaskRule::Instances;
        Ok(Self::new(rule, if is_whole { Scale::WHOLE } else { found()? }))
    }

    /// The rule that decides what is foreground.
    pub fn rule(&self) -> MaskRule {
        self.rule
    }

    /// The levels of a mask, which lies as its file holds it.
    ///
    /// # Errors
    /// As [`Values::of`].
    pub(crate) fn levels(&self, stored: Stored) -> Result<GrayImage, String> {
        let (width, height) = stored.size();
        let levels = match Values::of(stored, self.rule)? {
            Values::Greys(mut greys) => {
                greys.iter_mut().for_each(|grey| *grey = self.levels[usize::from(*grey)]);
                greys
            }
            Values::Labels(labels) => labels.iter().map(|label| level(*label > 0)).collect(),
        };
        GrayImage::from_raw(width, height, levels).ok_or_else(|| "the mask has too few pixels".to_owned())
    }
}

/// The level of a grey: piecewise linear from 0 at the scale's low through one
/// half right above the rule to 255 at its high.
///
/// Greys that span the whole scale under `grey > 127` are their own levels.
fn level_of(rule: MaskRule, scale: Scale, grey: u8) -> u8 {
    let cut = rule.above();
    let is_foreground = grey > cut;
    if scale.two_valued || rule == MaskRule::Instances {
        return level(is_foreground);
    }
    let (low, middle, high) = (f64::from(scale.low), f64::from(cut) + 0.5, f64::from(scale.high));
    let share = if is_foreground {
        if high > middle { 0.5 + 0.5 * (f64::from(grey) - middle) / (high - middle) } else { 1.0 }
    } else if middle > low {
        0.5 * (f64::from(grey) - low) / (middle - low)
    } else {
        0.0
    };
    let found = (share.clamp(0.0, 1.0) * f64::from(FULL)).round() as u8;
    // Rounding never carries a grey across the rule.
    if is_foreground { found.max(HALF + 1) } else { found.min(HALF) }
}

#[cfg(test)]
mod tests {
    use super::super::is_foreground;
    use super::*;

    #[test]
    fn the_whole_scale_keeps_its_greys() {
        let reading = Reading::new(MaskRule::Grey { above: 127 }, Scale::WHOLE);
        assert!((0..=255).all(|grey: u8| reading.levels[usize::from(grey)] == grey));
    }

    #[test]
    fn levels_rise_and_part_at_the_rule_whatever_rule_and_scale() {
        for above in 0..=254_u8 {
            for (low, high) in [(0, 255), (0, 1), (1, 2), (30, 220), (100, 101), (128, 255), (0, 127), (9, 9)]
            {
                for two_valued in [false, true] {
                    let scale = Scale { low, high, two_valued };
                    let reading = Reading::new(MaskRule::Grey { above }, scale);
                    for grey in 0..=255_u8 {
                        let level = reading.levels[usize::from(grey)];
                        assert_eq!(is_foreground(level), grey > above, "{above} {scale:?} {grey}");
                        let before = reading.levels[usize::from(grey.saturating_sub(1))];
                        assert!(level >= before, "{above} {scale:?} {grey}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_ends_of_the_scale_are_0_and_1() {
        let scale = Scale { low: 30, high: 220, two_valued: false };
        let reading = Reading::new(MaskRule::Grey { above: 100 }, scale);
        let at = |grey: usize| reading.levels[grey];
        assert_eq!((at(0), at(30), at(220), at(255)), (0, 0, 255, 255));
        assert_eq!((at(100), at(101)), (127, 128));
        assert_eq!((at(65), at(160)), (63, 191));
    }
}
