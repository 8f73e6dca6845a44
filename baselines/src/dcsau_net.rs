//! DCSAU-Net (Xu, Ma, He & Duan, Computers in Biology and Medicine 2023), as
//! xq141839's DCSAU-Net builds it: a U-Net of residual blocks with
//! split-attention units behind a stem of large kernels.
//!
//! | level | channels | width of the units | side at 224 |
//! |---|---|---|---|
//! | `pfc` | 64 | | 224 |
//! | `down1` .. `down4` | 128, 256, 512, 512 | 32, 64, 128, 128 | 112, 56, 28, 14 |
//! | `up1` .. `up4` | 256, 128, 64, 64 | 64, 32, 16, 16 | 28, 56, 112, 224 |
//! | `output` | 1 | | 224 |
//!
//! Quirks, reproduced: in the stem, and only there, the norm stands behind the
//! ReLU; the first and last stage lack the mean filter of the others, and
//! `down4` the convolution on its shortcut; maps are enlarged with the corners
//! aligned. A unit's attention is normalised over the images of the batch
//! alone: two of them give about +1 and -1 in each channel whatever they show,
//! and a single one (which PyTorch refuses) its shift. The reference's dropout
//! of 0.2 is built and never called, and its stages, which belong to the
//! program and are shared by all networks in it, belong to the network here.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use dygl_nn::layer::{
    BatchNorm2d, BatchNorm2dConfig, Conv2d, Conv2dConfig, Shortcut, avg_pool_3x3, global_average_double,
    max_pool, pad_to,
};
use dygl_nn::network::{Initial, Network, Options};
use dygl_nn::op::{Activation, Corners, relu, scale_channels, softmax, upsample_bilinear};
use dygl_nn::trace::{self, Kind, Standing};

/// Channels of the stem.
const STEM: usize = 64;

/// Configuration of a [`DcsauNet`]; there is nothing to choose.
#[derive(Debug, Clone, Copy, Default)]
pub struct DcsauNetConfig;

impl DcsauNetConfig {
    /// What the options of an experiment stand for.
    pub fn of_options(_: &Options<'_>) -> Self {
        Self
    }

    /// The network; the convolutions are zero until initialised or loaded.
    pub fn init(&self, device: &Device) -> DcsauNet {
        let stage =
            |input, width, smooth, project| StageConfig { input, width, smooth, project }.init(device);
        DcsauNet {
            pfc: Stem::new(device),
            down1: stage(STEM, 32, false, true),
            down2: stage(128, 64, true, true),
            down3: stage(256, 128, true, true),
            down4: stage(512, 128, true, false),
            up1: stage(1024, 64, true, true),
            up2: stage(512, 32, true, true),
            up3: stage(256, 16, true, true),
            up4: stage(128, 16, false, true),
            output: Conv2dConfig::new(64, 1, 1).init(device),
        }
    }
}

/// The network.
#[derive(Module, Debug)]
pub struct DcsauNet {
    pfc: Stem,
    down1: Vec<Block>,
    down2: Vec<Block>,
    down3: Vec<Block>,
    down4: Vec<Block>,
    up1: Vec<Block>,
    up2: Vec<Block>,
    up3: Vec<Block>,
    up4: Vec<Block>,
    output: Conv2d,
}

impl Network for DcsauNet {
    const NAMES: &'static [(&'static str, &'static str)] = &[
        ("input.conv", "input_layer.0"),
        ("input.norm", "input_layer.2"),
        ("depthwise.conv", "depthwise.0"),
        ("depthwise.norm", "depthwise.2"),
        ("pointwise.conv", "pointwise.0"),
        ("pointwise.norm", "pointwise.2"),
        ("reduce", "conv1"),
        ("reduce_norm", "bn1"),
        ("expand", "conv3"),
        ("expand_norm", "bn3"),
        ("downsample.conv", "downsample.1"),
        ("downsample.norm", "downsample.2"),
        ("attention.split", "conv2.conv"),
        ("attention.split_norm", "conv2.bn0"),
        ("attention.second", "conv2.conv2"),
        ("attention.second_norm", "conv2.bn2"),
        ("attention.squeeze", "conv2.fc1"),
        ("attention.squeeze_norm", "conv2.bn1"),
        ("attention.excite", "conv2.fc2"),
        ("output", "out_conv"),
    ];

    // The convolutions of the stages; stem and output have the default.
    const INITIAL: &'static [(&'static str, Initial)] = &[
        ("conv1.weight", Initial::KaimingNormalFanOut),
        ("conv2.weight", Initial::KaimingNormalFanOut),
        ("conv3.weight", Initial::KaimingNormalFanOut),
        ("conv2.conv.weight", Initial::KaimingNormalFanOut),
        ("conv2.fc1.weight", Initial::KaimingNormalFanOut),
        ("conv2.fc2.weight", Initial::KaimingNormalFanOut),
        ("downsample.1.weight", Initial::KaimingNormalFanOut),
    ];

    /// In training sixteen norms over the batch alone stand behind each other.
    /// With the fixtures' batch of two, one unit in the last place of the
    /// input moves a gradient of this network in f32 by up to 70 %.
    const ILL_CONDITIONED: bool = true;

    fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        let x1 = self.pfc.forward(images); // [B, 64, H, W]
        let x3 = stage(&self.down1, max_pool(x1.clone(), 2)); // [B, 128, H/2, W/2]
        let x5 = stage(&self.down2, max_pool(x3.clone(), 2)); // [B, 256, H/4, W/4]
        let x7 = stage(&self.down3, max_pool(x5.clone(), 2)); // [B, 512, H/8, W/8]
        let x9 = stage(&self.down4, max_pool(x7.clone(), 2)); // [B, 512, H/16, W/16]
        let x = stage(&self.up1, join(x9, x7)); // [B, 256, H/8, W/8]
        let x = stage(&self.up2, join(x, x5)); // [B, 128, H/4, W/4]
        let x = stage(&self.up3, join(x, x3)); // [B, 64, H/2, W/2]
        let x = stage(&self.up4, join(x, x1)); // [B, 64, H, W]
        self.output.forward(x) // [B, 1, H, W]
    }
}

fn stage(blocks: &[Block], x: Tensor<4>) -> Tensor<4> {
    blocks.iter().fold(x, |x, block| block.forward(x))
}

/// Enlarges x [B, C, h, w] to the size of the skip [B, D, H, W] and puts it
/// behind: [B, D + C, H, W].
fn join(x: Tensor<4>, skip: Tensor<4>) -> Tensor<4> {
    let x = pad_to(upsample_bilinear(x, 2, Corners::Aligned), &skip);
    Tensor::cat(vec![skip, x], 1)
}

/// The paper's primary feature conservation: two convolutions of 7 x 7, the
/// second one depthwise with a residual, and one of 1 x 1.
#[derive(Module, Debug)]
struct Stem {
    input: ConvReluNorm,
    depthwise: ConvReluNorm,
    pointwise: ConvReluNorm,
}

impl Stem {
    fn new(device: &Device) -> Self {
        let large = |input| Conv2dConfig::new(input, STEM, 7).padding(3);
        Self {
            input: ConvReluNorm::new(large(3), device),
            depthwise: ConvReluNorm::new(large(STEM).groups(STEM), device),
            pointwise: ConvReluNorm::new(Conv2dConfig::new(STEM, STEM, 1), device),
        }
    }

    /// [B, 3, H, W] to [B, 64, H, W].
    fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        let x = self.input.forward(images);
        self.pointwise.forward(self.depthwise.forward(x.clone()) + x)
    }
}

/// Convolution, ReLU, batch norm.
#[derive(Module, Debug)]
struct ConvReluNorm {
    conv: Conv2d,
    norm: BatchNorm2d,
}

impl ConvReluNorm {
    fn new(conv: Conv2dConfig, device: &Device) -> Self {
        Self { conv: conv.init(device), norm: BatchNorm2dConfig::new(STEM).init(device) }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.norm.forward(relu(self.conv.forward(x)))
    }
}

/// Two blocks; what is special about a stage is about its first.
struct StageConfig {
    input: usize,
    width: usize,
    smooth: bool,
    project: bool,
}

impl StageConfig {
    fn init(&self, device: &Device) -> Vec<Block> {
        let second = Self { input: 4 * self.width, width: self.width, smooth: false, project: false };
        vec![self.block(device), second.block(device)]
    }

    fn block(&self, device: &Device) -> Block {
        let Self { input, width, smooth, project } = *self;
        let pointwise = |input, output| Conv2dConfig::new(input, output, 1).no_bias().init(device);
        let norm = |channels| BatchNorm2dConfig::new(channels).init(device);
        Block {
            reduce: pointwise(input, width),
            reduce_norm: norm(width),
            attention: SplitAttention::new(width, device),
            expand: pointwise(width, 4 * width),
            expand_norm: norm(4 * width),
            downsample: project
                .then(|| Shortcut { conv: pointwise(input, 4 * width), norm: norm(4 * width) }),
            smooth,
        }
    }
}

/// A bottleneck with a split-attention unit in the place of its 3 x 3
/// convolution; all strides are 1.
#[derive(Module, Debug)]
struct Block {
    reduce: Conv2d,
    reduce_norm: BatchNorm2d,
    attention: SplitAttention,
    expand: Conv2d,
    expand_norm: BatchNorm2d,
    downsample: Option<Shortcut>,
    smooth: bool,
}

impl Block {
    /// [B, I, H, W] to [B, 4W, H, W].
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = self.reduce.forward_then(x.clone(), &self.reduce_norm, Activation::Relu); // [B, W, H, W]
        let mut y = self.attention.forward(y); // [B, W, H, W]
        if self.smooth {
            y = avg_pool_3x3(y, 1);
        }
        let y = self.expand.forward_then(y, &self.expand_norm, Activation::Identity); // [B, 4W, H, W]
        let x = match &self.downsample {
            Some(shortcut) => {
                // The reference pools windows of one pixel first.
                let tell = || trace::tell(Kind::AveragePool, x.dims(), x.dims(), 1, &[]);
                trace::besides(Standing::Identity, tell);
                shortcut.conv.forward_then(x, &shortcut.norm, Activation::Identity)
            }
            None => x,
        };
        relu(y + x)
    }
}

/// Split attention (Zhang et al. 2022, radix 2) whose second half is convolved
/// once more, with the first half added.
#[derive(Module, Debug)]
struct SplitAttention {
    split: Conv2d,
    split_norm: BatchNorm2d,
    second: Conv2d,
    second_norm: BatchNorm2d,
    squeeze: Conv2d,
    squeeze_norm: BatchNorm2d,
    excite: Conv2d,
}

impl SplitAttention {
    fn new(width: usize, device: &Device) -> Self {
        let inner = (2 * width / 4).max(32);
        let grouped =
            |output| Conv2dConfig::new(width, output, 3).padding(1).groups(2).no_bias().init(device);
        let norm = |channels| BatchNorm2dConfig::new(channels).init(device);
        Self {
            split: grouped(2 * width),
            split_norm: norm(2 * width),
            second: grouped(width),
            second_norm: norm(width),
            squeeze: Conv2dConfig::new(width, inner, 1).init(device),
            squeeze_norm: norm(inner),
            excite: Conv2dConfig::new(inner, 2 * width, 1).init(device),
        }
    }

    /// [B, W, H, W] to the same shape: the two maps, weighted by a softmax
    /// between them for each image and channel.
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, width, ..] = x.dims();
        let both = self.split.forward_then(x, &self.split_norm, Activation::Relu); // [B, 2W, H, W]
        let first = both.clone().narrow(1, 0, width);
        let second = both.narrow(1, width, width) + first.clone();
        let second = self.second.forward_then(second, &self.second_norm, Activation::Relu);

        // In f64: behind sixteen norms over the batch alone the last bit of a
        // mean would decide over the gradient.
        let means = trace::functional(|| global_average_double(first.clone() + second.clone()));
        let inner = relu(self.squeeze_norm.forward_double(self.squeeze.forward_double(means))); // [B, M]
        let scores = self.excite.forward_double(inner).reshape([batch, 2, width]);
        trace::functional(|| trace::tell(Kind::Softmax, scores.dims(), scores.dims(), 2, &[]));
        let weights = softmax(scores.swap_dims(1, 2)).cast(first.dtype()); // [B, W, 2]
        let weight = |index| weights.clone().narrow(2, index, 1).reshape([batch, width]);
        scale_channels(first, weight(0)) + scale_channels(second, weight(1))
    }
}
