//! Res2Net-50 v1b, width 26, scale 4 (Gao et al., TPAMI 2021): a ResNet-50
//! with three 3x3 convolutions as stem and average pooling in front of the
//! shortcuts, whose blocks split the channels into four parts that are
//! convolved one after the other, each adding the result of the one before.
//!
//! Quirk kept: the first block of a stage does not add, and pools its last
//! part even where nothing is strided.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use dygl_nn::layer::{
    BatchNorm2d, BatchNorm2dConfig, Conv2d, Conv2dConfig, Linear, LinearConfig, Shortcut, avg_pool_3x3,
    avg_pool_ceil, max_pool_stem,
};
use dygl_nn::op::{Activation, relu};
use dygl_nn::trace::{self, Kind, Standing};

/// Planes of the four stages, and their blocks.
const PLANES: [usize; 4] = [64, 128, 256, 512];
const DEPTHS: [usize; 4] = [3, 4, 6, 3];
/// Channels of a block's output per plane.
const EXPANSION: usize = 4;
/// Parts of a block, and the channels of one for 64 planes.
const SCALE: usize = 4;
const WIDTH: usize = 26;

/// Configuration of a [`Res2Net`].
pub(super) struct Res2NetConfig;

impl Res2NetConfig {
    /// Channels of the maps that [`Res2Net::forward`] gives.
    pub(super) const CHANNELS: [usize; 5] = [64, 256, 512, 1024, 2048];

    /// The network, its convolutions zero.
    pub(super) fn init(&self, device: &Device) -> Res2Net {
        let conv = |input, output, stride| {
            Conv2dConfig::new(input, output, 3).stride(stride).padding(1).no_bias().init(device)
        };
        let norm = |channels| BatchNorm2dConfig::new(channels).init(device);
        let stage = |index: usize| {
            let (planes, stride) = (PLANES[index], if index == 0 { 1 } else { 2 });
            let first = BlockConfig { input: Self::CHANNELS[index], planes, stride, first: true };
            let next = BlockConfig { input: EXPANSION * planes, planes, stride: 1, first: false };
            (0..DEPTHS[index]).map(|block| if block == 0 { &first } else { &next }.init(device)).collect()
        };
        Res2Net {
            stem1: conv(3, 32, 2),
            stem_norm1: norm(32),
            stem2: conv(32, 32, 1),
            stem_norm2: norm(32),
            stem3: conv(32, 64, 1),
            bn1: norm(64),
            layer1: stage(0),
            layer2: stage(1),
            layer3: stage(2),
            layer4: stage(3),
            fc: LinearConfig::new(2048, 1000).init(device),
        }
    }
}

/// The network. Its classifier is carried along and never called.
#[derive(Module, Debug)]
pub(super) struct Res2Net {
    stem1: Conv2d,
    stem_norm1: BatchNorm2d,
    stem2: Conv2d,
    stem_norm2: BatchNorm2d,
    stem3: Conv2d,
    bn1: BatchNorm2d,
    layer1: Vec<Block>,
    layer2: Vec<Block>,
    layer3: Vec<Block>,
    layer4: Vec<Block>,
    fc: Linear,
}

impl Res2Net {
    /// [B, 3, H, W] to the maps of the pooled stem and the four stages:
    /// [B, 64, H/4, W/4], [B, 256, H/4, W/4], [B, 512, H/8, W/8],
    /// [B, 1024, H/16, W/16], [B, 2048, H/32, W/32]; all sides are rounded up.
    pub(super) fn forward(&self, images: Tensor<4>) -> [Tensor<4>; 5] {
        let through = |stage: &[Block], x| stage.iter().fold(x, |x, block| block.forward(x));
        let x = self.stem1.forward_then(images, &self.stem_norm1, Activation::Relu); // [B, 32, H/2, W/2]
        let x = self.stem2.forward_then(x, &self.stem_norm2, Activation::Relu); // [B, 32, H/2, W/2]
        let x = self.stem3.forward_then(x, &self.bn1, Activation::Relu); // [B, 64, H/2, W/2]
        let x1 = max_pool_stem(x);
        let x2 = through(&self.layer1, x1.clone());
        let x3 = through(&self.layer2, x2.clone());
        let x4 = through(&self.layer3, x3.clone());
        let x5 = through(&self.layer4, x4.clone());
        [x1, x2, x3, x4, x5]
    }
}

struct BlockConfig {
    input: usize,
    planes: usize,
    stride: usize,
    first: bool,
}

impl BlockConfig {
    fn init(&self, device: &Device) -> Block {
        let Self { input, planes, stride, first } = *self;
        let width = planes * WIDTH / 64;
        let output = EXPANSION * planes;
        let pointwise = |input, output| Conv2dConfig::new(input, output, 1).no_bias().init(device);
        let norm = |channels| BatchNorm2dConfig::new(channels).init(device);
        let conv = || Conv2dConfig::new(width, width, 3).stride(stride).padding(1).no_bias().init(device);
        Block {
            conv1: pointwise(input, SCALE * width),
            bn1: norm(SCALE * width),
            convs: (1..SCALE).map(|_| conv()).collect(),
            bns: (1..SCALE).map(|_| norm(width)).collect(),
            conv3: pointwise(SCALE * width, output),
            bn3: norm(output),
            shortcut: first.then(|| Shortcut { conv: pointwise(input, output), norm: norm(output) }),
            stride,
        }
    }
}

/// ReLU(x + f(x)), f being 1x1 convolution, the parts, 1x1 convolution.
#[derive(Module, Debug)]
struct Block {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    convs: Vec<Conv2d>,
    bns: Vec<BatchNorm2d>,
    conv3: Conv2d,
    bn3: BatchNorm2d,
    /// Of the first block of a stage.
    shortcut: Option<Shortcut>,
    stride: usize,
}

impl Block {
    /// [B, in, H, W] to [B, 4 planes, ceil(H / stride), ceil(W / stride)].
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let parts = self.conv1.forward_then(x.clone(), &self.bn1, Activation::Relu).chunk(SCALE, 1);
        let mut done: Vec<Tensor<4>> = Vec::with_capacity(SCALE);
        let mut parts = parts.into_iter();
        for ((conv, norm), part) in self.convs.iter().zip(&self.bns).zip(parts.by_ref()) {
            let part = match done.last() {
                Some(before) if self.shortcut.is_none() => before.clone() + part,
                _ => part,
            };
            done.push(conv.forward_then(part, norm, Activation::Relu));
        }
        // The last part has no convolution.
        let first = self.shortcut.is_some();
        done.extend(parts.map(|part| if first { avg_pool_3x3(part, self.stride) } else { part }));
        let y = self.conv3.forward_then(Tensor::cat(done, 1), &self.bn3, Activation::Identity);
        relu(y + self.beside(x))
    }

    fn beside(&self, x: Tensor<4>) -> Tensor<4> {
        let Some(Shortcut { conv, norm }) = &self.shortcut else {
            return x;
        };
        let x = if self.stride == 1 {
            // The reference pools windows of one pixel.
            let tell = || trace::tell(Kind::AveragePool, x.dims(), x.dims(), 1, &[]);
            trace::besides(Standing::Identity, tell);
            x
        } else {
            avg_pool_ceil(x, self.stride)
        };
        conv.forward_then(x, norm, Activation::Identity)
    }
}
