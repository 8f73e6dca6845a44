//! The two-layer perceptron of a transformer block.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{Linear, LinearConfig};
use crate::op;

/// Configuration of an [`Mlp`].
#[derive(Debug, Clone, Copy)]
pub struct MlpConfig {
    features: usize,
    hidden: usize,
}

impl MlpConfig {
    /// `features` features, `hidden` of them inside.
    pub fn new(features: usize, hidden: usize) -> Self {
        Self { features, hidden }
    }

    /// The layer, all zeros.
    pub fn init(&self, device: &Device) -> Mlp {
        Mlp {
            fc1: LinearConfig::new(self.features, self.hidden).init(device),
            fc2: LinearConfig::new(self.hidden, self.features).init(device),
        }
    }
}

/// fc2(GELU(fc1(x))).
#[derive(Module, Debug)]
pub struct Mlp {
    /// Widens.
    pub fc1: Linear,
    /// Narrows.
    pub fc2: Linear,
}

impl Mlp {
    /// [B, N, features] to the same shape.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        self.fc2.forward(op::gelu(self.fc1.forward(x)))
    }
}
