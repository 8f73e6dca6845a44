//! DyGLNet: "Hybrid Global-Local Feature Fusion with Dynamic Upsampling for
//! Medical Image Segmentation". The paper leaves many widths open; where it
//! does, and where paper and published code differ, the published code is
//! followed.
//!
//! | step | channels | side at 224 |
//! |---|---|---|
//! | `stem` 1, 2 | 16, 32 (skip 0) | 224 |
//! | `stem` 3 | 64 (skip 1) | 112 |
//! | `stem` 4, `blocks1` | 128 (skip 2) | 56 |
//! | `blocks2` | 224 (skip 3) | 28 |
//! | `blocks3` | 320 | 14 |
//! | `ups` 1 .. 4 | 224, 128, 64, 32 | 28, 56, 112, 224 |
//! | `head` | 1 | 224 |
//!
//! Quirks of the published code that are kept:
//! 1. Every convolution with batch norm ends in GELU, so that GELU meets ReLU
//!    (stem, merge, feed-forward), GELU meets GELU (channel mixer), and
//!    residual branches are bounded below by about -0.17.
//! 2. Queries, keys and values of eq. 3 pass batch norm and GELU.
//! 3. ReLU on the concatenation of eq. 7 before its projection.
//! 4. Two 1x1 convolutions in a row behind the sampler (eq. 12 has one).
//! 5. The first stage has no mixer.

mod block;
mod mixer;
mod upsample;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use dygl_nn::layer::{Conv2d, Conv2dConfig};
use dygl_nn::network::{Initial, Network, Options};

use block::{Block, BlockConfig, ConvNormGelu, ConvNormGeluConfig, Stage, StageConfig};
use dygl_nn::op::relu;
use mixer::MixerConfig;
use upsample::{Up, UpConfig};

pub use mixer::{Global, Local, Norm};
pub use upsample::Upsample;

/// How the channels are divided between attention and dilated convolutions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Split {
    /// 48 of 224 and 68 of 320 channels attend.
    #[default]
    Paper,
    /// Half as many attend (Table 6, "Split-DC").
    Local,
    /// Twice as many attend (Table 6, "Split-SA").
    Global,
    /// About half of the channels attend: another reading of "Split-SA".
    Half,
}

impl Split {
    /// Attention channels of stages 2 and 3.
    fn channels(self) -> [usize; 2] {
        match self {
            Split::Paper => [48, 68],
            Split::Local => [24, 34],
            Split::Global => [96, 136],
            Split::Half => [112, 160],
        }
    }
}

/// Configuration of a [`DyGLNet`]: the default is the paper's network. Of the
/// other values one for each row of its Table 6 is what we take that row for;
/// the paper has a line on each, and what else it may mean are the readings.
#[derive(Debug, Clone, Copy, Default)]
pub struct DyGLNetConfig {
    /// How each of the decoder's four steps doubles the side.
    pub upsample: Upsample,
    /// What stands in front of the attention of every mixer.
    pub norm: Norm,
    /// The local branch of the mixers; [`Local::Nowhere`] changes the decoder too.
    pub local: Local,
    /// The global branch of the mixers.
    pub global: Global,
    /// How many of the mixers' channels attend.
    pub split: Split,
}

impl DyGLNetConfig {
    /// What the options of an experiment stand for.
    pub fn of_options(options: &Options<'_>) -> Self {
        Self {
            upsample: match options.word("upsample") {
                "bilinear" => Upsample::Bilinear,
                "transposed" => Upsample::Transposed,
                "transposed-wide" => Upsample::TransposedWide,
                _ => Upsample::Dysample,
            },
            norm: match options.word("norm") {
                "group" => Norm::Group,
                "layer" => Norm::Layer,
                "batch" => Norm::Batch,
                _ => Norm::Dyt,
            },
            local: match options.word("local") {
                "none" => Local::None,
                "nowhere" => Local::Nowhere,
                "single" => Local::Single,
                "identity" => Local::Identity,
                _ => Local::Dilated,
            },
            global: match options.word("global") {
                "none" => Global::None,
                _ => Global::Attention,
            },
            split: match options.word("split") {
                "local" => Split::Local,
                "global" => Split::Global,
                "half" => Split::Half,
                _ => Split::Paper,
            },
        }
    }

    /// The network; the convolutions are zero until initialised or loaded.
    pub fn init(&self, device: &Device) -> DyGLNet {
        let [p2, p3] = self.split.channels();
        let mixer = |channels, attention| MixerConfig {
            channels,
            attention,
            norm: self.norm,
            local: self.local,
            global: self.global,
        };
        let stem = |input, output, stride| {
            ConvNormGeluConfig::new(input, output, 3).stride(stride).padding(1).init(device)
        };
        let up =
            |skip, input| UpConfig { skip, input, upsample: self.upsample, local: self.local }.init(device);
        DyGLNet {
            stem: vec![stem(3, 16, 1), stem(16, 32, 1), stem(32, 64, 2), stem(64, 128, 2)],
            blocks1: (0..2).map(|_| BlockConfig { channels: 128, mixer: None }.init(device)).collect(),
            blocks2: StageConfig { input: 128, depth: 4, mixer: mixer(224, p2) }.init(device),
            blocks3: StageConfig { input: 224, depth: 5, mixer: mixer(320, p3) }.init(device),
            ups: vec![up(224, 320), up(128, 224), up(64, 128), up(32, 64)],
            head: Conv2dConfig::new(32, 1, 1).init(device),
        }
    }
}

/// The network.
#[derive(Module, Debug)]
pub struct DyGLNet {
    stem: Vec<ConvNormGelu>,
    blocks1: Vec<Block>,
    blocks2: Stage,
    blocks3: Stage,
    ups: Vec<Up>,
    head: Conv2d,
}

impl Network for DyGLNet {
    const NAMES: &'static [(&'static str, &'static str)] = &[
        ("stem.0", "patch_embed.0"),
        ("stem.1", "patch_embed.2"),
        ("stem.2", "patch_embed.4"),
        ("stem.3", "patch_embed.6"),
        // Stage: the merge is item 0 of the reference's list.
        ("merge.expand", "0.conv.0"),
        ("merge.reduce", "0.conv.2"),
        ("merge.recalibrate", "0.conv.3"),
        ("merge.project", "0.conv.4"),
        ("blocks.0", "1"),
        ("blocks.1", "2"),
        ("blocks.2", "3"),
        ("blocks.3", "4"),
        ("blocks.4", "5"),
        // Block.
        ("depthwise", "conv.m"),
        ("mixer", "mixer.m"),
        ("feed_forward", "ffn.m"),
        // ConvNormGelu.
        ("conv", "c"),
        ("norm", "bn"),
        // Mixer.
        ("attention_norm", "pre_norm"),
        ("local", "SHDCBlock"),
        ("fuse", "proj.1"),
        // Dilated block.
        ("dilated", "token_mixer.0"),
        ("recalibrate", "token_mixer.1"),
        ("widen", "channel_mixer.m.0"),
        ("narrow", "channel_mixer.m.2"),
        ("branches.0", "conv_dil1"),
        ("branches.1", "conv_dil2"),
        ("branches.2", "conv_dil3"),
        // Decoder.
        ("ups.0", "upsample1"),
        ("ups.1", "upsample2"),
        ("ups.2", "upsample3"),
        ("ups.3", "upsample4"),
        ("enlarge", ""),
        ("sampler", "dy_sample"),
        ("reduce", "dy_sample.cnn"),
        ("transposed", "dy_sample.up"),
        ("align", "adjust_channel"),
        ("refine", "cnn_block"),
        ("smooth", "conv3x3"),
        ("head", "final_conv"),
    ];

    const INITIAL: &'static [(&'static str, Initial)] = &[
        // Each dilated block starts as its token mixer alone.
        ("channel_mixer.m.2.bn.weight", Initial::Constant(0.0)),
        // The sampler starts (nearly) as bilinear interpolation.
        ("dy_sample.offset.weight", Initial::Normal { std: 0.001 }),
        ("dy_sample.offset.bias", Initial::Constant(0.0)),
        ("pre_norm.alpha", Initial::Constant(0.5)),
    ];

    fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        let mut skips = Vec::with_capacity(4);
        let mut x = images; // [B, 3, H, W]
        for (index, layer) in self.stem.iter().enumerate() {
            x = layer.forward(x);
            if index < 3 {
                x = relu(x);
            }
            if index == 1 || index == 2 {
                skips.push(x.clone()); // [B, 32, H, W], [B, 64, H/2, W/2]
            }
        }
        for block in &self.blocks1 {
            x = block.forward(x);
        }
        skips.push(x.clone()); // [B, 128, H/4, W/4]
        x = self.blocks2.forward(x);
        skips.push(x.clone()); // [B, 224, H/8, W/8]
        x = self.blocks3.forward(x); // [B, 320, H/16, W/16]
        for (up, skip) in self.ups.iter().zip(skips.into_iter().rev()) {
            x = up.forward(x, skip);
        }
        self.head.forward(x) // [B, 1, H, W]
    }
}
