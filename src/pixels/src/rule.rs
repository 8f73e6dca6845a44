//! What a dataset's manifest states of its values.

use serde::{Deserialize, Serialize};

use crate::decode::Depth;

/// How stored image values become levels of 8 bits: 0 is black, `white` is
/// white, linear between.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageRule {
    /// Left out, it is the greatest value that the depth of a file can hold, 1
    /// for floats. Greater than 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub white: Option<f64>,
}

// Its number is checked where it is read: it is never NaN.
impl Eq for ImageRule {}

impl ImageRule {
    /// The stored value that is white at a depth.
    pub fn white_of(self, depth: Depth) -> f64 {
        self.white.unwrap_or_else(|| depth.full())
    }

    /// Whether nothing is stated.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Why a value cannot be white; `None` if it can.
    pub fn refuse(white: f64) -> Option<String> {
        let is_good = white.is_finite() && white > 0.0;
        (!is_good).then(|| format!("white = {white}: the stored value that is white is greater than 0"))
    }

    /// The rule in words, for digests; empty where nothing is stated.
    pub fn words(self) -> String {
        self.white.map_or_else(String::new, |white| format!("; image white {white}"))
    }
}
