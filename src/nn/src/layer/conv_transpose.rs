//! Two-dimensional transposed convolution.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use super::zeros;
use crate::op::{self, Convolution};
use crate::trace::{self, Kind};

/// Configuration of a [`ConvTranspose2d`] (with bias).
#[derive(Debug, Clone, Copy)]
pub struct ConvTranspose2dConfig {
    input: usize,
    output: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
}

impl ConvTranspose2dConfig {
    /// `input` to `output` channels, square kernel.
    pub fn new(input: usize, output: usize, kernel: usize, stride: usize) -> Self {
        Self { input, output, kernel, stride, padding: 0 }
    }

    /// Pixels cut from each side of the result.
    pub fn padding(self, padding: usize) -> Self {
        Self { padding, ..self }
    }

    /// The layer, all zeros.
    pub fn init(&self, device: &Device) -> ConvTranspose2d {
        ConvTranspose2d {
            weight: zeros([self.input, self.output, self.kernel, self.kernel], device),
            bias: zeros([self.output], device),
            stride: self.stride,
            padding: self.padding,
        }
    }
}

/// The adjoint of a convolution, used to enlarge maps.
#[derive(Module, Debug)]
pub struct ConvTranspose2d {
    /// [in, out, k, k].
    pub weight: Param<Tensor<4>>,
    /// [out].
    pub bias: Param<Tensor<1>>,
    stride: usize,
    padding: usize,
}

impl ConvTranspose2d {
    /// [B, in, H, W] to [B, out, H', W'] with H' = (H - 1) stride - 2 padding + k.
    /// In mixed precision inside [`op::autocast`].
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let Self { stride, padding, .. } = *self;
        let form = Convolution { stride, padding, dilation: 1, groups: 1, transposed: true };
        let (weight, bias) = (self.weight.val(), self.bias.val());
        let input = x.dims();
        let y = if op::is_autocast() {
            let y = op::widen(op::convolution(op::narrow(x), op::narrow(weight), None, form));
            y + bias.reshape([1, -1, 1, 1])
        } else {
            op::convolution(x, weight, Some(bias), form)
        };
        let [input_channels, _, kernel, _] = self.weight.dims();
        let terms = input_channels * kernel * kernel;
        let parameters = [trace::of(&self.weight), trace::of(&self.bias)];
        trace::tell(Kind::ConvolutionTransposed, input, y.dims(), terms, &parameters);
        y
    }
}
