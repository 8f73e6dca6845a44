//! Minimum and median of repeats.

use serde::{Deserialize, Serialize};

/// What is told of repeated measurements of one thing. On a machine with other
/// work the minimum says what the thing takes, the median what one gets.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Smallest of the values, in their unit.
    pub min: f64,
    /// Middle of the values, in their unit; the mean of the middle two where their number is even.
    pub median: f64,
}

impl Spread {
    /// Of these values; none of none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            0 => (sorted.get(middle.checked_sub(1)?)? + sorted[middle]) / 2.0,
            _ => sorted[middle],
        };
        Some(Self { min: sorted[0], median })
    }
}
