//! What a rule compares.

use super::rule::MaskRule;
use crate::decode::Stored;

/// One value a pixel, rows from the top, as the file holds them.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Values {
    /// On the scale 0..=255; of deeper files rounded up, so that a grey is above a
    /// bound exactly where the stored value is.
    Greys(Vec<u8>),
    /// Of objects: equal where the stored ones are, and 0 where those are.
    Labels(Vec<u32>),
}

impl Values {
    /// The values of a picture that a rule is about.
    ///
    /// # Errors
    /// The picture has no such channel, or values that the rule has no place for.
    pub(super) fn of(stored: Stored, rule: MaskRule) -> Result<Self, String> {
        match rule {
            MaskRule::Grey { .. } => stored.into_greys().map(Values::Greys),
            MaskRule::Instances => stored.into_labels().map(Values::Labels),
            MaskRule::Alpha { .. } => stored.alphas().map(Values::Greys).ok_or_else(|| {
                format!(
                    "has no alpha channel, which the rule `{rule}` is about; write {}",
                    MaskRule::OF_LEVELS.line()
                )
            }),
        }
    }
}
