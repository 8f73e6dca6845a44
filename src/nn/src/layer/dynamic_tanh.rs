//! Dynamic tanh (Zhu et al. 2025), the normalisation-free stand-in for layer norm.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use super::{ones, zeros};
use crate::op::{spread, tanh};
use crate::trace::{self, Kind};

/// Configuration of a [`DynamicTanh`].
#[derive(Debug, Clone, Copy)]
pub struct DynamicTanhConfig {
    channels: usize,
}

impl DynamicTanhConfig {
    /// Over `channels` channels.
    pub fn new(channels: usize) -> Self {
        Self { channels }
    }

    /// Alpha 0.5, scale 1, shift 0.
    pub fn init(&self, device: &Device) -> DynamicTanh {
        DynamicTanh {
            alpha: Param::from_tensor(Tensor::full([1], 0.5, device)),
            weight: ones([self.channels], device),
            bias: zeros([self.channels], device),
        }
    }
}

/// y = weight_c tanh(alpha x) + bias_c.
#[derive(Module, Debug)]
pub struct DynamicTanh {
    /// Slope at zero, shared by all channels `[1]`.
    pub alpha: Param<Tensor<1>>,
    /// Scale `[C]`.
    pub weight: Param<Tensor<1>>,
    /// Shift `[C]`.
    pub bias: Param<Tensor<1>>,
}

impl DynamicTanh {
    /// [B, C, H, W] to the same shape.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [_, channels, _, _] = x.dims();
        let parameters = [trace::of(&self.alpha), trace::of(&self.weight), trace::of(&self.bias)];
        trace::tell(Kind::DynamicTanh, x.dims(), x.dims(), 1, &parameters);
        let shape = x.dims();
        let alpha = spread(self.alpha.val().reshape([1, 1, 1, 1]), shape);
        let channel = |x: Tensor<1>| spread(x.reshape([1, channels, 1, 1]), shape);
        tanh(x * alpha) * channel(self.weight.val()) + channel(self.bias.val())
    }
}
