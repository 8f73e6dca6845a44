//! Blocks and stages of the encoder.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use dygl_nn::layer::{
    BatchNorm2d, BatchNorm2dConfig, Conv2d, Conv2dConfig, SqueezeExcitation, SqueezeExcitationConfig,
};
use dygl_nn::op::{Activation, relu};

use super::mixer::{Mixer, MixerConfig};

/// Configuration of a [`ConvNormGelu`].
#[derive(Debug, Clone, Copy)]
pub(super) struct ConvNormGeluConfig {
    conv: Conv2dConfig,
    channels: usize,
}

impl ConvNormGeluConfig {
    pub(super) fn new(input: usize, output: usize, kernel: usize) -> Self {
        Self { conv: Conv2dConfig::new(input, output, kernel).no_bias(), channels: output }
    }

    /// A k x k filter per channel.
    pub(super) fn depthwise(channels: usize, kernel: usize) -> Self {
        let conv = Conv2dConfig::new(channels, channels, kernel).no_bias().groups(channels);
        Self { conv, channels }
    }

    pub(super) fn stride(self, stride: usize) -> Self {
        Self { conv: self.conv.stride(stride), ..self }
    }

    pub(super) fn padding(self, padding: usize) -> Self {
        Self { conv: self.conv.padding(padding), ..self }
    }

    pub(super) fn dilation(self, dilation: usize) -> Self {
        Self { conv: self.conv.dilation(dilation), ..self }
    }

    pub(super) fn init(&self, device: &Device) -> ConvNormGelu {
        ConvNormGelu {
            conv: self.conv.init(device),
            norm: BatchNorm2dConfig::new(self.channels).init(device),
        }
    }
}

/// Convolution without bias, batch norm, GELU.
#[derive(Module, Debug)]
pub(super) struct ConvNormGelu {
    conv: Conv2d,
    norm: BatchNorm2d,
}

impl ConvNormGelu {
    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.conv.forward_then(x, &self.norm, Activation::Gelu)
    }
}

/// Configuration of a [`Stage`].
#[derive(Debug, Clone, Copy)]
pub(super) struct StageConfig {
    pub(super) input: usize,
    pub(super) depth: usize,
    pub(super) mixer: MixerConfig,
}

impl StageConfig {
    pub(super) fn init(&self, device: &Device) -> Stage {
        let channels = self.mixer.channels;
        let block = BlockConfig { channels, mixer: Some(self.mixer) };
        Stage {
            merge: MergeConfig { input: self.input, output: channels }.init(device),
            blocks: (0..self.depth).map(|_| block.init(device)).collect(),
        }
    }
}

/// Half the side, more channels, then blocks with mixers.
#[derive(Module, Debug)]
pub(super) struct Stage {
    merge: Merge,
    blocks: Vec<Block>,
}

impl Stage {
    /// [B, I, H, W] to [B, C, H/2, W/2].
    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.blocks.iter().fold(self.merge.forward(x), |x, block| block.forward(x))
    }
}

struct MergeConfig {
    input: usize,
    output: usize,
}

impl MergeConfig {
    fn init(&self, device: &Device) -> Merge {
        let hidden = 4 * self.input;
        Merge {
            expand: ConvNormGeluConfig::new(self.input, hidden, 1).init(device),
            reduce: ConvNormGeluConfig::depthwise(hidden, 3).stride(2).padding(1).init(device),
            recalibrate: SqueezeExcitationConfig::quarter(hidden).init(device),
            project: ConvNormGeluConfig::new(hidden, self.output, 1).init(device),
        }
    }
}

/// Downsampling by an inverted bottleneck of ratio 4.
#[derive(Module, Debug)]
struct Merge {
    expand: ConvNormGelu,
    reduce: ConvNormGelu,
    recalibrate: SqueezeExcitation,
    project: ConvNormGelu,
}

impl Merge {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = relu(self.expand.forward(x)); // [B, 4I, H, W]
        let x = self.reduce.forward(x); // [B, 4I, H/2, W/2]
        self.project.forward(self.recalibrate.forward(x)) // [B, C, H/2, W/2]
    }
}

/// Configuration of a [`Block`].
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockConfig {
    pub(super) channels: usize,
    pub(super) mixer: Option<MixerConfig>,
}

impl BlockConfig {
    pub(super) fn init(&self, device: &Device) -> Block {
        let channels = self.channels;
        Block {
            depthwise: ConvNormGeluConfig::depthwise(channels, 3).padding(1).init(device),
            mixer: self.mixer.map(|mixer| mixer.init(device)),
            feed_forward: FeedForward {
                pw1: ConvNormGeluConfig::new(channels, 2 * channels, 1).init(device),
                pw2: ConvNormGeluConfig::new(2 * channels, channels, 1).init(device),
            },
        }
    }
}

/// Three residual branches in a row: depthwise 3x3, mixer (if any), feed-forward.
#[derive(Module, Debug)]
pub(super) struct Block {
    depthwise: ConvNormGelu,
    mixer: Option<Mixer>,
    feed_forward: FeedForward,
}

impl Block {
    /// [B, C, H, W] to the same shape.
    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = x.clone() + self.depthwise.forward(x);
        let x = match &self.mixer {
            Some(mixer) => x.clone() + mixer.forward(x),
            None => x,
        };
        x.clone() + self.feed_forward.forward(x)
    }
}

#[derive(Module, Debug)]
struct FeedForward {
    pw1: ConvNormGelu,
    pw2: ConvNormGelu,
}

impl FeedForward {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.pw2.forward(relu(self.pw1.forward(x)))
    }
}
