//! What golden files keep of large tensors.

use anyhow::{Result, ensure};
use serde::Deserialize;

use crate::arrays::Array;

/// Shape and norm of a tensor, and values spread over all of it.
#[derive(Debug, Deserialize)]
pub struct Kept {
    /// Sizes of the dimensions of the whole tensor, outermost first.
    pub shape: Vec<usize>,
    /// Of all values, Euclidean.
    norm: f64,
    /// The largest magnitude.
    largest: f64,
    /// Value i stands at i * 2 654 435 761 modulo their number: no row, column
    /// or channel is preferred.
    values: Vec<f64>,
}

impl Kept {
    /// The largest difference of a value, in parts of the largest one, or of
    /// the norm, in parts of it.
    ///
    /// # Errors
    /// The shape is another, or a value is not finite.
    pub fn difference(&self, found: &Array) -> Result<f64> {
        let values: Vec<f64> = found.values.iter().map(|value| f64::from(*value)).collect();
        self.difference_of(&found.shape, &values)
    }

    /// The same of values in f64. From a tensor of zeros everything else is
    /// infinitely far.
    ///
    /// # Errors
    /// The shape is another, or a value is not finite.
    pub fn difference_of(&self, shape: &[usize], values: &[f64]) -> Result<f64> {
        ensure!(shape == self.shape, "the shape is {shape:?} instead of {:?}", self.shape);
        ensure!(values.iter().all(|value| value.is_finite()), "a value is not finite");
        let relative = |apart: f64, of: f64| if apart == 0.0 { 0.0 } else { apart / of };
        let norm = values.iter().map(|value| value.powi(2)).sum::<f64>().sqrt();
        let at = |index: usize| values[index * 2_654_435_761 % values.len()];
        let apart = self.values.iter().enumerate().map(|(index, value)| (at(index) - value).abs());
        let most = relative(apart.fold(0.0, f64::max), self.largest);
        Ok(most.max(relative((norm - self.norm).abs(), self.norm)))
    }
}
