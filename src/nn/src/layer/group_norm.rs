//! Group normalisation (Wu & He 2018).

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use super::{ones, zeros};
use crate::op;
use crate::trace::{self, Kind};

/// Added to the variance.
const EPSILON: f64 = 1e-5;

/// Configuration of a [`GroupNorm`].
#[derive(Debug, Clone, Copy)]
pub struct GroupNormConfig {
    groups: usize,
    channels: usize,
}

impl GroupNormConfig {
    /// `channels` channels in `groups` equal groups; eps 1e-5.
    pub fn new(groups: usize, channels: usize) -> Self {
        Self { groups, channels }
    }

    /// Scale 1, shift 0.
    pub fn init(&self, device: &Device) -> GroupNorm {
        GroupNorm {
            weight: ones([self.channels], device),
            bias: zeros([self.channels], device),
            groups: self.groups,
        }
    }
}

/// Normalises each image over the channels of a group and all pixels (biased
/// variance), then scales and shifts each channel.
#[derive(Module, Debug)]
pub struct GroupNorm {
    /// Scale `[C]`.
    pub weight: Param<Tensor<1>>,
    /// Shift `[C]`.
    pub bias: Param<Tensor<1>>,
    groups: usize,
}

impl GroupNorm {
    /// [B, C, H, W] to the same shape.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        trace::tell(
            Kind::GroupNorm,
            x.dims(),
            x.dims(),
            1,
            &[trace::of(&self.weight), trace::of(&self.bias)],
        );
        let [batch, channels, height, width] = x.dims();
        let shape = x.dims();
        let x = x.reshape([batch, self.groups, channels / self.groups * height * width]);
        let all = x.dims();
        let centre = |x: Tensor<3>| x.clone() - op::spread(op::mean_axes(x, &[2]), all);
        let rounds = op::has_flex_kernel(&x);
        let mut centred = centre(x); // [B, G, n]
        if rounds {
            // Twice: a mean's rounding moves every value the same way, which the
            // weight's gradient adds up.
            centred = centre(centred);
        }
        let variance = op::mean_axes(centred.clone() * centred.clone(), &[2]); // [B, G, 1]
        let normal = centred * op::spread(op::inverse_root(variance + EPSILON), all);
        let channel = |x: Tensor<1>| op::spread(x.reshape([1, channels, 1, 1]), shape);
        normal.reshape(shape) * channel(self.weight.val()) + channel(self.bias.val())
    }
}
