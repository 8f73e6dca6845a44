//! Squeeze-and-excitation (Hu et al. 2018).

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{Conv2d, Conv2dConfig};
use crate::op::{mean_axes, relu, sigmoid, spread};
use crate::trace::{self, Kind};

/// Configuration of a [`SqueezeExcitation`].
#[derive(Debug, Clone, Copy)]
pub struct SqueezeExcitationConfig {
    channels: usize,
    reduced: usize,
}

impl SqueezeExcitationConfig {
    /// `channels` channels squeezed to `reduced`.
    pub fn new(channels: usize, reduced: usize) -> Self {
        Self { channels, reduced }
    }

    /// A quarter of the channels, rounded to the nearest multiple of eight
    /// (halves up), at least eight: timm's `SEModule(c, rd_ratio=1/4)` without
    /// its 90 % guard.
    pub fn quarter(channels: usize) -> Self {
        Self::new(channels, ((channels / 4 + 4) / 8 * 8).max(8))
    }

    /// The layer, all zeros.
    pub fn init(&self, device: &Device) -> SqueezeExcitation {
        SqueezeExcitation {
            fc1: Conv2dConfig::new(self.channels, self.reduced, 1).init(device),
            fc2: Conv2dConfig::new(self.reduced, self.channels, 1).init(device),
        }
    }
}

/// x * sigmoid(fc2(relu(fc1(mean of x over its pixels)))).
#[derive(Module, Debug)]
pub struct SqueezeExcitation {
    /// Squeeze.
    pub fc1: Conv2d,
    /// Excite.
    pub fc2: Conv2d,
}

impl SqueezeExcitation {
    /// [B, C, H, W] to the same shape.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, channels, height, width] = x.dims();
        trace::tell(Kind::Mean, x.dims(), [batch, channels], height * width, &[]);
        let mean = mean_axes(x.clone(), &[2, 3]); // [B, C, 1, 1]
        let gate = sigmoid(self.fc2.forward(relu(self.fc1.forward(mean)))); // [B, C, 1, 1]
        x * spread(gate, [batch, channels, height, width])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_is_rounded_to_eights() {
        let widths =
            [(64, 16), (128, 32), (176, 48), (252, 64), (256, 64), (448, 112), (512, 128), (896, 224)];
        for (channels, reduced) in widths {
            assert_eq!(SqueezeExcitationConfig::quarter(channels).reduced, reduced, "{channels}");
        }
    }
}
