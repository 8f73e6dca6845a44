//! Efficient channel attention (Wang et al., CVPR 2020).

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use super::zeros;
use crate::op::{sigmoid, spread, sum_axes};
use crate::trace::{self, Kind};

/// Configuration of an [`EfficientChannelAttention`].
#[derive(Debug, Clone, Copy)]
pub struct EfficientChannelAttentionConfig {
    kernel: usize,
}

impl EfficientChannelAttentionConfig {
    /// Each channel looks at `kernel` (odd) channels around itself.
    pub fn new(kernel: usize) -> Self {
        Self { kernel }
    }

    /// The layer; its filter is zeros.
    pub fn init(&self, device: &Device) -> EfficientChannelAttention {
        EfficientChannelAttention { conv: Conv1d { weight: zeros([1, 1, self.kernel], device) } }
    }
}

/// How much each channel counts, judged by the means of its neighbours.
#[derive(Module, Debug)]
pub struct EfficientChannelAttention {
    /// Along the channels.
    pub conv: Conv1d,
}

impl EfficientChannelAttention {
    /// Means of channels [B, C] to factors in 0..1 of the same shape.
    pub fn gate(&self, means: Tensor<2>) -> Tensor<2> {
        sigmoid(self.conv.forward(means))
    }
}

/// One filter of one channel, zeros around, no bias.
#[derive(Module, Debug)]
pub struct Conv1d {
    /// [1, 1, k], k odd.
    pub weight: Param<Tensor<3>>,
}

impl Conv1d {
    /// Rows [B, N] to the same shape.
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let weight = self.weight.val();
        let [_, _, kernel] = weight.dims();
        let [rows, length] = x.dims();
        let around = kernel / 2;
        let x = x.pad((around, around, 0, 0), 0.0);
        let taps = (0..kernel).map(|tap| x.clone().narrow(1, tap, length)).collect();
        let taps: Tensor<3> = Tensor::stack(taps, 2); // [B, N, k]
        let shape = [rows, 1, length];
        trace::tell(Kind::Convolution1d, shape, shape, kernel, &[trace::of(&self.weight)]);
        let weight = spread(weight, [rows, length, kernel]);
        sum_axes(taps * weight, &[2]).reshape([rows, length])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_judged_by_its_neighbours() {
        let device = Device::flex();
        let mut layer = EfficientChannelAttentionConfig::new(3).init(&device);
        layer.conv.weight = Param::from_tensor(Tensor::from_floats([[[1.0, 10.0, 100.0]]], &device));
        let means = Tensor::<2>::from_floats([[0.01, 0.02, 0.03], [0.0, 0.0, -0.04]], &device);
        let gate: Vec<f32> = layer.gate(means).into_data().try_to_vec().expect("f32");
        let wanted = [2.1, 3.21, 0.32, 0.0, -4.0, -0.4].map(|sum: f32| 1.0 / (1.0 + (-sum).exp()));
        assert!(gate.iter().zip(wanted).all(|(gate, wanted)| (gate - wanted).abs() < 1e-6), "{gate:?}");
    }
}
