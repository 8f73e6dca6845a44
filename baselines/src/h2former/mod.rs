//! H2Former (He, Wang, Li, Du, Xia & Fu, IEEE Transactions on Medical Imaging
//! 42(9), 2023): a ResNet-34 whose every stage ends in two Swin blocks, which
//! also see a chain of multi-scale convolutions; a U-shaped decoder.
//!
//! | step | channels | side at 224 |
//! |---|---|---|
//! | `conv1` (stride 1), max pool, `embed` | 64 | 112 |
//! | `stages` 0 .. 3 | 64, 128, 256, 512 | 112, 56, 28, 14 |
//! | `decoders` | 256, 128, 64 | 28, 56, 112 |
//! | `head`, enlarged | 1 | 224 |
//!
//! Windows have a side of a 16th of the images' (14 at 224), so that the last
//! stage is one window; sides are equal and multiples of 16.
//!
//! Quirks of the published code:
//! 1. The perceptron's channel attention reads the memory of [B, N, C] as
//!    [B, C, N], and its result returns transposed: features and positions are
//!    scrambled on their way to the residual. Kept; `faithful = false` attends
//!    to the channels where they are. That form is assumed, as it has no
//!    reference.
//! 2. The stem has stride 1: all maps are twice as large as ResNet's. Kept.
//! 3. Channel attention adds its input: factors are in 1..2. Kept.
//! 4. The decoder's convolutions have biases that batch norm takes out again.
//!    Kept as parameters.
//! 5. The published file takes four channels; with three the paper's number of
//!    parameters is met.

mod scales;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use dygl_nn::layer::{
    BasicBlock, BasicBlockConfig, BatchNorm2d, BatchNorm2dConfig, Conv2d, Conv2dConfig, ConvTranspose2d,
    ConvTranspose2dConfig, Shortcut, SwinBlock, SwinBlockConfig, drop_path_ramp, max_pool_stem, to_image,
    to_tokens,
};
use dygl_nn::network::{Backbone, Initial, Network, Options};
use dygl_nn::op::{Activation, Corners, upsample_bilinear};
use dygl_nn::trace;

use scales::{ChannelMlp, Embedding, Merging};

/// Channels of the four stages.
const WIDTHS: [usize; 4] = [64, 128, 256, 512];

/// Residual blocks of the four stages (ResNet-34).
const DEPTHS: [usize; 4] = [3, 4, 6, 3];

/// Features of an attention head.
const HEAD: usize = 32;

/// Swin blocks of a stage.
const BLOCKS: usize = 2;

/// Configuration of an [`H2Former`].
#[derive(Debug, Clone, Copy)]
pub struct H2FormerConfig {
    /// Side of the images, pixels.
    pub side: usize,
    /// Probability with which training leaves out a branch of the last Swin
    /// block; it grows from 0 at the first.
    pub drop_path: f64,
    /// Whether the perceptrons scramble their results as the published code does.
    pub faithful: bool,
}

impl H2FormerConfig {
    /// What the options of an experiment stand for.
    pub fn of_options(options: &Options<'_>) -> Self {
        Self {
            side: options.size[0],
            drop_path: options.number("drop_path"),
            faithful: options.flag("faithful"),
        }
    }

    /// The network; its products are zeros until initialised or loaded.
    pub fn init(&self, device: &Device) -> H2Former {
        let drop_paths = drop_path_ramp(self.drop_path, WIDTHS.len() * BLOCKS);
        let stage = |index: usize| {
            let width = WIDTHS[index];
            let convs = match index {
                0 => BasicBlockConfig::new(width, width, 1),
                _ => BasicBlockConfig::new(WIDTHS[index - 1], width, 2),
            };
            let mlp = || ChannelMlp::new(width, self.faithful, device);
            let blocks = SwinBlockConfig::new(width, width / HEAD, self.side / 16);
            Stage {
                convs: convs.stage(DEPTHS[index], device),
                blocks: blocks.stage(&drop_paths[index * BLOCKS..][..BLOCKS], mlp, device),
                merge: (index + 1 < WIDTHS.len()).then(|| Merging::new(width, device)),
            }
        };
        let decoder = |output| Decoder::new(output, device);
        let [w1, w2, w3, _] = WIDTHS;
        H2Former {
            embed: Embedding::new(device),
            conv1: Conv2dConfig::new(3, w1, 7).padding(3).no_bias().init(device),
            bn1: BatchNorm2dConfig::new(w1).init(device),
            stages: (0..WIDTHS.len()).map(stage).collect(),
            decoders: vec![decoder(w3), decoder(w2), decoder(w1)],
            head: Conv2dConfig::new(w1, 1, 1).no_bias().init(device),
        }
    }
}

/// The network.
#[derive(Module, Debug)]
pub struct H2Former {
    embed: Embedding,
    conv1: Conv2d,
    bn1: BatchNorm2d,
    stages: Vec<Stage>,
    /// From the deepest.
    decoders: Vec<Decoder>,
    head: Conv2d,
}

impl Network for H2Former {
    const NAMES: &'static [(&'static str, &'static str)] = &[
        ("embed", "patch_embed"),
        ("stages.0.convs", "layer1"),
        ("stages.1.convs", "layer2"),
        ("stages.2.convs", "layer3"),
        ("stages.3.convs", "layer4"),
        ("stages.0.blocks", "swin_layers.0.blocks"),
        ("stages.1.blocks", "swin_layers.1.blocks"),
        ("stages.2.blocks", "swin_layers.2.blocks"),
        ("stages.3.blocks", "swin_layers.3.blocks"),
        ("stages.0.merge", "MS2"),
        ("stages.1.merge", "MS3"),
        ("stages.2.merge", "MS4"),
        ("perceptron", ""),
        ("reductions.0", "reductions.0.0"),
        ("reductions.1", "reductions.1.0"),
        Shortcut::NAMES[0],
        Shortcut::NAMES[1],
        ("decoders.0", "decode4"),
        ("decoders.1", "decode3"),
        ("decoders.2", "decode2"),
        ("fuse", "conv_bn_relu.0"),
        ("fused_norm", "conv_bn_relu.1"),
        ("head", "decode0.1"),
    ];

    const INITIAL: &'static [(&'static str, Initial)] =
        &[("relative_position_bias_table", Initial::Normal { std: 0.02 })];

    const BACKBONES: &'static [Backbone] = &[Backbone {
        name: "resnet34",
        parts: &[
            ("conv1", "conv1"),
            ("bn1", "bn1"),
            ("layer1", "layer1"),
            ("layer2", "layer2"),
            ("layer3", "layer3"),
            ("layer4", "layer4"),
        ],
    }];

    fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        let mut scales = Some(self.embed.forward(images.clone())); // [B, H W / 4, 64]
        let mut x = max_pool_stem(self.conv1.forward_then(images, &self.bn1, Activation::Relu)); // [B, 64, H/2, W/2]
        let mut skips = Vec::with_capacity(self.stages.len());
        for stage in &self.stages {
            (x, scales) = stage.forward(x, scales);
            skips.push(x.clone()); // [B, 64, H/2, W/2] .. [B, 512, H/16, W/16]
        }
        for (decoder, skip) in self.decoders.iter().zip(skips.into_iter().rev().skip(1)) {
            x = decoder.forward(x, skip); // [B, 256, H/8, W/8] .. [B, 64, H/2, W/2]
        }
        // The reference enlarges first. A convolution 1x1 without bias and an
        // interpolation commute, and this way 1 channel is enlarged, not 64.
        if trace::is_on() {
            return self.head.forward(upsample_bilinear(x, 2, Corners::Aligned));
        }
        upsample_bilinear(self.head.forward(x), 2, Corners::Aligned) // [B, 1, H, W]
    }
}

/// Residual blocks, then Swin blocks.
#[derive(Module, Debug)]
struct Stage {
    convs: Vec<BasicBlock>,
    blocks: Vec<SwinBlock<ChannelMlp>>,
    /// Makes the next stage's multi-scale tokens; the last stage has none.
    merge: Option<Merging>,
}

impl Stage {
    /// The map of the stage before and the multi-scale tokens [B, H W, C] of
    /// this one to this one's map [B, C, H, W] and the next one's tokens.
    fn forward(&self, x: Tensor<4>, scales: Option<Tensor<3>>) -> (Tensor<4>, Option<Tensor<3>>) {
        let x = self.convs.iter().fold(x, |x, block| block.forward(x));
        let [_, _, height, width] = x.dims();
        let size = [height, width];
        let x = to_tokens(x);
        let mut x = match scales {
            Some(scales) => x + scales,
            None => x,
        };
        for block in &self.blocks {
            x = block.forward(x, size);
        }
        let scales = self.merge.as_ref().map(|merge| merge.forward(x.clone(), size));
        (to_image(x, size), scales)
    }
}

/// Enlarge, concatenate (skip last), 3 x 3 convolution, batch norm, ReLU.
#[derive(Module, Debug)]
struct Decoder {
    up: ConvTranspose2d,
    fuse: Conv2d,
    fused_norm: BatchNorm2d,
}

impl Decoder {
    fn new(output: usize, device: &Device) -> Self {
        Self {
            up: ConvTranspose2dConfig::new(2 * output, output, 2, 2).init(device),
            fuse: Conv2dConfig::new(2 * output, output, 3).padding(1).init(device),
            fused_norm: BatchNorm2dConfig::new(output).init(device),
        }
    }

    /// x [B, 2 C, h, w], skip [B, C, 2 h, 2 w] to the skip's shape.
    fn forward(&self, x: Tensor<4>, skip: Tensor<4>) -> Tensor<4> {
        let x = Tensor::cat(vec![self.up.forward(x), skip], 1);
        self.fuse.forward_then(x, &self.fused_norm, Activation::Relu)
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Result;
    use dygl_tests::classifier::check;

    use super::*;
    use crate::testing::{image, laid, resnet34};

    /// The stages one behind the other, without the Swin blocks between them.
    #[test]
    fn a_resnet34_of_torchvision_gives_its_own_maps() -> Result<()> {
        check("h2former", "resnet34", |tensors| {
            let config = H2FormerConfig { side: 224, drop_path: 0.0, faithful: true };
            let net = laid(config.init(&Device::flex()), tensors);
            let stem = net.conv1.forward_then(image(), &net.bn1, Activation::Relu);
            let pooled = max_pool_stem(stem.clone());
            resnet34(stem, pooled, [0, 1, 2, 3].map(|stage| net.stages[stage].convs.as_slice()))
        })
    }

    #[test]
    fn windows_follow_the_size_of_the_images() {
        let device = Device::flex();
        for (side, batch, faithful) in [(32, 1, true), (48, 3, true), (64, 1, false)] {
            let net = H2FormerConfig { side, drop_path: 0.0, faithful }.init(&device);
            let table = &net.stages[0].blocks[0].attn.relative_position_bias_table;
            assert_eq!(table.dims(), [(side / 8 - 1).pow(2), 2]);
            let images = Tensor::zeros([batch, 3, side, side], &device);
            assert_eq!(net.forward(images).dims(), [batch, 1, side, side]);
        }
    }
}
