//! The residual blocks of ResNet (He et al. 2016), as torchvision builds and
//! names them.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{BatchNorm2d, BatchNorm2dConfig, Conv2d, Conv2dConfig};
use crate::op::{Activation, relu};

/// A 1 x 1 convolution (no bias) and a batch norm beside a block that changes
/// channels or size. Reference names: `downsample.0`, `downsample.1`.
#[derive(Module, Debug)]
pub struct Shortcut {
    /// Strided like the block.
    pub conv: Conv2d,
    /// Behind it.
    pub norm: BatchNorm2d,
}

impl Shortcut {
    /// What turns field names into reference names.
    pub const NAMES: [(&'static str, &'static str); 2] =
        [("downsample.conv", "downsample.0"), ("downsample.norm", "downsample.1")];

    fn new(input: usize, output: usize, stride: usize, device: &Device) -> Option<Self> {
        (input != output || stride != 1).then(|| Self {
            conv: Conv2dConfig::new(input, output, 1).stride(stride).no_bias().init(device),
            norm: BatchNorm2dConfig::new(output).init(device),
        })
    }

    fn beside(shortcut: &Option<Self>, x: Tensor<4>) -> Tensor<4> {
        match shortcut {
            Some(shortcut) => shortcut.conv.forward_then(x, &shortcut.norm, Activation::Identity),
            None => x,
        }
    }
}

/// Configuration of a [`BasicBlock`].
#[derive(Debug, Clone, Copy)]
pub struct BasicBlockConfig {
    input: usize,
    output: usize,
    stride: usize,
}

impl BasicBlockConfig {
    /// `input` to `output` channels, the first convolution `stride` apart.
    pub fn new(input: usize, output: usize, stride: usize) -> Self {
        Self { input, output, stride }
    }

    /// `depth` blocks: the first as configured, the others keep their shape.
    pub fn stage(self, depth: usize, device: &Device) -> Vec<BasicBlock> {
        let next = Self::new(self.output, self.output, 1);
        (0..depth).map(|index| if index == 0 { self } else { next }.init(device)).collect()
    }

    /// The block, its convolutions zero.
    pub fn init(&self, device: &Device) -> BasicBlock {
        let Self { input, output, stride } = *self;
        let conv = |input, stride| {
            Conv2dConfig::new(input, output, 3).stride(stride).padding(1).no_bias().init(device)
        };
        let norm = || BatchNorm2dConfig::new(output).init(device);
        BasicBlock {
            conv1: conv(input, stride),
            bn1: norm(),
            conv2: conv(output, 1),
            bn2: norm(),
            downsample: Shortcut::new(input, output, stride, device),
        }
    }
}

/// ReLU(x + f(x)), f two 3 x 3 convolutions: the block of ResNet-18 and 34.
#[derive(Module, Debug)]
pub struct BasicBlock {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    downsample: Option<Shortcut>,
}

impl BasicBlock {
    /// [B, in, H, W] to [B, out, H / stride, W / stride].
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = self.conv1.forward_then(x.clone(), &self.bn1, Activation::Relu);
        let y = self.conv2.forward_then(y, &self.bn2, Activation::Identity);
        relu(y + Shortcut::beside(&self.downsample, x))
    }
}

/// Configuration of a [`Bottleneck`].
#[derive(Debug, Clone, Copy)]
pub struct BottleneckConfig {
    input: usize,
    width: usize,
    stride: usize,
}

impl BottleneckConfig {
    /// `input` to 4 `width` channels, the 3 x 3 convolution `stride` apart
    /// (version 1.5).
    pub fn new(input: usize, width: usize, stride: usize) -> Self {
        Self { input, width, stride }
    }

    /// `depth` blocks: the first as configured, the others keep their shape.
    pub fn stage(self, depth: usize, device: &Device) -> Vec<Bottleneck> {
        let next = Self::new(4 * self.width, self.width, 1);
        (0..depth).map(|index| if index == 0 { self } else { next }.init(device)).collect()
    }

    /// The block, its convolutions zero.
    pub fn init(&self, device: &Device) -> Bottleneck {
        let Self { input, width, stride } = *self;
        let norm = |channels| BatchNorm2dConfig::new(channels).init(device);
        Bottleneck {
            conv1: Conv2dConfig::new(input, width, 1).no_bias().init(device),
            bn1: norm(width),
            conv2: Conv2dConfig::new(width, width, 3).stride(stride).padding(1).no_bias().init(device),
            bn2: norm(width),
            conv3: Conv2dConfig::new(width, 4 * width, 1).no_bias().init(device),
            bn3: norm(4 * width),
            downsample: Shortcut::new(input, 4 * width, stride, device),
        }
    }
}

/// ReLU(x + f(x)), f convolutions of 1 x 1, 3 x 3 and 1 x 1: the block of
/// ResNet-50 and deeper.
#[derive(Module, Debug)]
pub struct Bottleneck {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    conv3: Conv2d,
    bn3: BatchNorm2d,
    downsample: Option<Shortcut>,
}

impl Bottleneck {
    /// [B, in, H, W] to [B, 4 width, H / stride, W / stride].
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = self.conv1.forward_then(x.clone(), &self.bn1, Activation::Relu);
        let y = self.conv2.forward_then(y, &self.bn2, Activation::Relu);
        let y = self.conv3.forward_then(y, &self.bn3, Activation::Identity);
        relu(y + Shortcut::beside(&self.downsample, x))
    }
}
