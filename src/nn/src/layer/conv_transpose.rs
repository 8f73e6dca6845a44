//! Two-dimensional transposed convolution.

use burn::module::{Module, Param};
use burn::tensor::module::conv_transpose2d;
use burn::tensor::ops::ConvTransposeOptions;
use burn::tensor::{Device, Tensor};

use super::zeros;

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
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let options = ConvTransposeOptions::new([self.stride; 2], [self.padding; 2], [0; 2], [1; 2], 1);
        conv_transpose2d(x, self.weight.val(), Some(self.bias.val()), options)
    }
}
