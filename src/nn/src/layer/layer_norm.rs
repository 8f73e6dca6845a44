//! Layer normalisation (Ba, Kiros & Hinton 2016).

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use super::{ones, zeros};
use crate::op;
use crate::trace::{self, Kind};

/// Configuration of a [`LayerNorm`].
#[derive(Debug, Clone, Copy)]
pub struct LayerNormConfig {
    features: usize,
    epsilon: f64,
}

impl LayerNormConfig {
    /// Over `features` features; eps 1e-5.
    pub fn new(features: usize) -> Self {
        Self { features, epsilon: 1e-5 }
    }

    /// Added to the variance.
    pub fn epsilon(self, epsilon: f64) -> Self {
        Self { epsilon, ..self }
    }

    /// Scale 1, shift 0.
    pub fn init(&self, device: &Device) -> LayerNorm {
        LayerNorm {
            weight: ones([self.features], device),
            bias: zeros([self.features], device),
            epsilon: self.epsilon,
        }
    }
}

/// Normalises the last axis (biased variance), then scales and shifts each
/// feature.
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// Scale `[features]`.
    pub weight: Param<Tensor<1>>,
    /// Shift `[features]`.
    pub bias: Param<Tensor<1>>,
    epsilon: f64,
}

impl LayerNorm {
    /// [..., features] to the same shape.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        trace::tell(
            Kind::LayerNorm,
            x.dims(),
            x.dims(),
            1,
            &[trace::of(&self.weight), trace::of(&self.bias)],
        );
        op::layer_norm(x, self.weight.val(), self.bias.val(), self.epsilon)
    }
}
