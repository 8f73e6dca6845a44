//! CMUNeXt-L (Tang et al., ISBI 2024), the large preset of FengheTan9's
//! CMUNeXt: large depthwise kernels in the encoder, and skips that are fused by
//! a convolution of two groups.
//!
//! | level | channels | depth | kernel | side at 224 |
//! |---|---|---|---|---|
//! | `stem` | 32 | | 3 | 224 |
//! | `encoder1` | 32 | 1 | 3 | 224 |
//! | `encoder2` | 64 | 1 | 3 | 112 |
//! | `encoder3` | 128 | 1 | 7 | 56 |
//! | `encoder4` | 256 | 6 | 7 | 28 |
//! | `encoder5` | 512 | 3 | 7 | 14 |
//! | `level5` .. `level2` | 256, 128, 64, 32 | | | 28, 56, 112, 224 |
//! | `output` | 1 | | | 224 |
//!
//! Quirks, all reproduced: in mixing and fusing blocks the norm stands behind
//! the GELU; of a mixing block only the depthwise part has a residual, although
//! the network is drawn after ConvNeXt; the channels of a stage change in a
//! convolution at its end, so its blocks run at the width of the stage before.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use dygl_nn::layer::{
    BatchNorm2d, BatchNorm2dConfig, Conv2d, Conv2dConfig, ConvNormRelu, ConvNormReluConfig, max_pool,
};
use dygl_nn::network::{Initial, Network, Options};
use dygl_nn::op::{Corners, gelu, upsample_bilinear};

/// Channels of the five stages.
const WIDTHS: [usize; 5] = [32, 64, 128, 256, 512];
/// Mixing blocks of each stage.
const DEPTHS: [usize; 5] = [1, 1, 1, 6, 3];
/// Sides of their kernels.
const KERNELS: [usize; 5] = [3, 3, 7, 7, 7];

/// Configuration of a [`CmuNext`]; there is nothing to choose.
#[derive(Debug, Clone, Copy, Default)]
pub struct CmuNextConfig;

impl CmuNextConfig {
    /// What the options of an experiment stand for.
    pub fn of_options(_: &Options<'_>) -> Self {
        Self
    }

    /// The network; the convolutions are zero until initialised or loaded.
    pub fn init(&self, device: &Device) -> CmuNext {
        let [w1, w2, w3, w4, w5] = WIDTHS;
        let encoder = |stage: usize, input, output| {
            EncoderConfig { input, output, depth: DEPTHS[stage], kernel: KERNELS[stage] }.init(device)
        };
        let level = |input, output| LevelConfig { input, output }.init(device);
        CmuNext {
            stem: ConvNormReluConfig::new(3, w1).init(device),
            encoder1: encoder(0, w1, w1),
            encoder2: encoder(1, w1, w2),
            encoder3: encoder(2, w2, w3),
            encoder4: encoder(3, w3, w4),
            encoder5: encoder(4, w4, w5),
            level5: level(w5, w4),
            level4: level(w4, w3),
            level3: level(w3, w2),
            level2: level(w2, w1),
            output: Conv2dConfig::new(w1, 1, 1).init(device),
        }
    }
}

/// The network.
#[derive(Module, Debug)]
pub struct CmuNext {
    stem: ConvNormRelu,
    encoder1: Encoder,
    encoder2: Encoder,
    encoder3: Encoder,
    encoder4: Encoder,
    encoder5: Encoder,
    level5: Level,
    level4: Level,
    level3: Level,
    level2: Level,
    output: Conv2d,
}

impl Network for CmuNext {
    const NAMES: &'static [(&'static str, &'static str)] = &[
        ("stem.conv", "stem.conv.0"),
        ("stem.norm", "stem.conv.1"),
        ("blocks", "block"),
        ("depthwise.conv", "0.fn.0"),
        ("depthwise.norm", "0.fn.2"),
        ("expand.conv", "1"),
        ("expand.norm", "3"),
        ("reduce.conv", "4"),
        ("reduce.norm", "6"),
        ("project.conv", "up.conv.0"),
        ("project.norm", "up.conv.1"),
        ("level5.up", "Up5.up"),
        ("level5.fuse", "Up_conv5.conv"),
        ("level4.up", "Up4.up"),
        ("level4.fuse", "Up_conv4.conv"),
        ("level3.up", "Up3.up"),
        ("level3.fuse", "Up_conv3.conv"),
        ("level2.up", "Up2.up"),
        ("level2.fuse", "Up_conv2.conv"),
        ("grouped.conv", "0"),
        ("grouped.norm", "2"),
        ("widen.conv", "3"),
        ("widen.norm", "5"),
        ("narrow.conv", "6"),
        ("narrow.norm", "8"),
        // Behind `up`, whose index 0 is the enlargement.
        ("conv", "1"),
        ("norm", "2"),
        ("output", "Conv_1x1"),
    ];

    const INITIAL: &'static [(&'static str, Initial)] = &[];

    fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        let x1 = self.encoder1.forward(self.stem.forward(images)); // [B, 32, H, W]
        let x2 = self.encoder2.forward(max_pool(x1.clone(), 2)); // [B, 64, H/2, W/2]
        let x3 = self.encoder3.forward(max_pool(x2.clone(), 2)); // [B, 128, H/4, W/4]
        let x4 = self.encoder4.forward(max_pool(x3.clone(), 2)); // [B, 256, H/8, W/8]
        let x5 = self.encoder5.forward(max_pool(x4.clone(), 2)); // [B, 512, H/16, W/16]
        let x = self.level5.forward(x5, x4); // [B, 256, H/8, W/8]
        let x = self.level4.forward(x, x3); // [B, 128, H/4, W/4]
        let x = self.level3.forward(x, x2); // [B, 64, H/2, W/2]
        let x = self.level2.forward(x, x1); // [B, 32, H, W]
        self.output.forward(x) // [B, 1, H, W]
    }
}

struct EncoderConfig {
    input: usize,
    output: usize,
    depth: usize,
    kernel: usize,
}

impl EncoderConfig {
    fn init(&self, device: &Device) -> Encoder {
        let mix = MixConfig { channels: self.input, kernel: self.kernel };
        Encoder {
            blocks: (0..self.depth).map(|_| mix.init(device)).collect(),
            project: ConvNormReluConfig::new(self.input, self.output).init(device),
        }
    }
}

/// Mixing blocks, then a convolution that changes the channels.
#[derive(Module, Debug)]
struct Encoder {
    blocks: Vec<Mix>,
    project: ConvNormRelu,
}

impl Encoder {
    /// [B, I, H, W] to [B, O, H, W].
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.project.forward(self.blocks.iter().fold(x, |x, block| block.forward(x)))
    }
}

struct MixConfig {
    channels: usize,
    kernel: usize,
}

impl MixConfig {
    fn init(&self, device: &Device) -> Mix {
        let Self { channels, kernel } = *self;
        let depthwise = Conv2dConfig::new(channels, channels, kernel).padding(kernel / 2).groups(channels);
        Mix {
            depthwise: ConvGeluNorm::new(depthwise, channels, device),
            expand: ConvGeluNorm::new(Conv2dConfig::new(channels, 4 * channels, 1), 4 * channels, device),
            reduce: ConvGeluNorm::new(Conv2dConfig::new(4 * channels, channels, 1), channels, device),
        }
    }
}

/// A depthwise convolution with a residual, then an inverted bottleneck
/// without one.
#[derive(Module, Debug)]
struct Mix {
    depthwise: ConvGeluNorm,
    expand: ConvGeluNorm,
    reduce: ConvGeluNorm,
}

impl Mix {
    /// [B, C, H, W] to the same shape.
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.depthwise.forward(x.clone()) + x;
        self.reduce.forward(self.expand.forward(x)) // [B, 4C, H, W] between
    }
}

struct LevelConfig {
    input: usize,
    output: usize,
}

impl LevelConfig {
    fn init(&self, device: &Device) -> Level {
        Level {
            up: ConvNormReluConfig::new(self.input, self.output).init(device),
            fuse: FuseConfig { channels: self.output }.init(device),
        }
    }
}

/// Enlarge, concatenate (skip first), fuse.
#[derive(Module, Debug)]
struct Level {
    up: ConvNormRelu,
    fuse: Fuse,
}

impl Level {
    /// x [B, 2C, H/2, W/2], skip [B, C, H, W] to [B, C, H, W].
    fn forward(&self, x: Tensor<4>, skip: Tensor<4>) -> Tensor<4> {
        let x = self.up.forward(upsample_bilinear(x, 2, Corners::Centred));
        self.fuse.forward(Tensor::cat(vec![skip, x], 1))
    }
}

struct FuseConfig {
    channels: usize,
}

impl FuseConfig {
    fn init(&self, device: &Device) -> Fuse {
        let (single, double, fourfold) = (self.channels, 2 * self.channels, 4 * self.channels);
        let grouped = Conv2dConfig::new(double, double, 3).padding(1).groups(2);
        Fuse {
            grouped: ConvGeluNorm::new(grouped, double, device),
            widen: ConvGeluNorm::new(Conv2dConfig::new(double, fourfold, 1), fourfold, device),
            narrow: ConvGeluNorm::new(Conv2dConfig::new(fourfold, single, 1), single, device),
        }
    }
}

/// A convolution of two groups, one over the skip and one over the decoder's
/// channels, then an inverted bottleneck that mixes them.
#[derive(Module, Debug)]
struct Fuse {
    grouped: ConvGeluNorm,
    widen: ConvGeluNorm,
    narrow: ConvGeluNorm,
}

impl Fuse {
    /// [B, 2C, H, W] to [B, C, H, W].
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.grouped.forward(x); // [B, 2C, H, W]
        self.narrow.forward(self.widen.forward(x)) // [B, 4C, H, W] between
    }
}

/// Convolution, GELU, batch norm.
#[derive(Module, Debug)]
struct ConvGeluNorm {
    conv: Conv2d,
    norm: BatchNorm2d,
}

impl ConvGeluNorm {
    fn new(conv: Conv2dConfig, output: usize, device: &Device) -> Self {
        Self { conv: conv.init(device), norm: BatchNorm2dConfig::new(output).init(device) }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.norm.forward(gelu(self.conv.forward(x)))
    }
}
