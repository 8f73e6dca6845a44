//! The step that most convolutional networks are made of.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{BatchNorm2d, BatchNorm2dConfig, Conv2d, Conv2dConfig};
use crate::op::Activation;

/// Configuration of a [`ConvNormRelu`].
#[derive(Debug, Clone, Copy)]
pub struct ConvNormReluConfig {
    conv: Conv2dConfig,
    output: usize,
}

impl ConvNormReluConfig {
    /// `input` to `output` channels by 3 x 3 windows; the size stays. With a
    /// bias, which the norm takes out again, unless said otherwise.
    pub fn new(input: usize, output: usize) -> Self {
        Self { conv: Conv2dConfig::new(input, output, 3).padding(1), output }
    }

    /// No bias.
    pub fn no_bias(self) -> Self {
        Self { conv: self.conv.no_bias(), ..self }
    }

    /// The layer, its convolution zero.
    pub fn init(&self, device: &Device) -> ConvNormRelu {
        ConvNormRelu { conv: self.conv.init(device), norm: BatchNorm2dConfig::new(self.output).init(device) }
    }
}

/// 3 x 3 convolution, batch norm, ReLU.
#[derive(Module, Debug)]
pub struct ConvNormRelu {
    conv: Conv2d,
    norm: BatchNorm2d,
}

impl ConvNormRelu {
    /// [B, in, H, W] to [B, out, H, W].
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.conv.forward_then(x, &self.norm, Activation::Relu)
    }
}

/// Configuration of a [`DoubleConv`].
#[derive(Debug, Clone, Copy)]
pub struct DoubleConvConfig {
    first: ConvNormReluConfig,
    second: ConvNormReluConfig,
}

impl DoubleConvConfig {
    /// `input` to `output` channels, then `output` to `output`.
    pub fn new(input: usize, output: usize) -> Self {
        Self {
            first: ConvNormReluConfig::new(input, output),
            second: ConvNormReluConfig::new(output, output),
        }
    }

    /// No bias in either convolution.
    pub fn no_bias(self) -> Self {
        Self { first: self.first.no_bias(), second: self.second.no_bias() }
    }

    /// The layer, its convolutions zero.
    pub fn init(&self, device: &Device) -> DoubleConv {
        DoubleConv { first: self.first.init(device), second: self.second.init(device) }
    }
}

/// Twice 3 x 3 convolution, batch norm, ReLU: the block of the U-Nets.
#[derive(Module, Debug)]
pub struct DoubleConv {
    first: ConvNormRelu,
    second: ConvNormRelu,
}

impl DoubleConv {
    /// [B, in, H, W] to [B, out, H, W].
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.second.forward(self.first.forward(x))
    }
}
