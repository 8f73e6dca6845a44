//! BEFUnet (Manzari et al., "BEFUnet: A Hybrid CNN-Transformer Architecture
//! for Precise Medical Image Segmentation", arXiv 2402.08793, 2024): the trunk
//! of the edge detector PiDiNet-small beside Swin-T; the finest and the
//! coarsest map meet in HiFormer's decoder.
//!
//! | part | channels | side at 224 |
//! |---|---|---|
//! | `edge`, four levels | 30, 60, 120, 120 | 224, 112, 56, 28 |
//! | `pyramid`, four levels | 96, 192, 384, 768 | 56, 28, 14, 7 |
//! | `fusion`, fine and coarse level | 96, 768 | 56, 7 |
//! | `decoder` | 128, 16, 1 | 56, 224, 224 |
//!
//! Quirks of the published code that are kept:
//! 1. The double-level fusion, 12.2 M of 41.7 M parameters, has no influence on
//!    the logits: see [`DoubleLevelFusion`]. With `faithful = false` the results
//!    of its blocks reach the decoder; this form is assumed, and its attention
//!    over all tokens of the finest level costs (H W / 16)^2 scores per head.
//! 2. Edge and body features are added; the paper's local cross-attention
//!    between them is not in the code.
//! 3. The pyramid reads the edge maps by 1 x 1 convolutions of stride 4: fifteen
//!    of sixteen pixels are seen only through the convolutions before.
//! 4. Four convolutions of PiDiNet's edge maps are carried along, never called.
//! 5. Behind the loading of Swin-T the published code initialises all linear
//!    layers and layer norms anew, so that of Swin-T only the tables of
//!    relative positions start a run. The backbone below gives just these.
//!
//! Assumed for images of other sizes than the paper's 224: windows of image
//! side / 32 tokens, so that each level is cut into as many windows as at 224.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use dygl_nn::layer::{
    Conv2d, Conv2dConfig, DoubleLevelDecoder, DoubleLevelDecoderConfig, DoubleLevelFusion,
    DoubleLevelFusionConfig, PixelDifference, PixelDifferenceConv, PixelDifferenceConvConfig, PyramidLevel,
    SwinPyramid, SwinPyramidConfig, max_pool, to_image,
};
use dygl_nn::network::{Backbone, Initial, Network, Options, joined};
use dygl_nn::op::relu;

/// The pyramid's levels; the channels are those of the edge maps.
const LEVELS: [PyramidLevel; 4] = [
    PyramidLevel { channels: 30, features: 96, heads: 3, depth: 2 },
    PyramidLevel { channels: 60, features: 192, heads: 6, depth: 2 },
    PyramidLevel { channels: 120, features: 384, heads: 12, depth: 6 },
    PyramidLevel { channels: 120, features: 768, heads: 24, depth: 2 },
];

/// Sides of the image over those of the finest and the coarsest map.
const REDUCTIONS: [usize; 2] = [4, 32];

/// The kinds of the four convolutions of a level of the edge detector.
const PATTERN: [PixelDifference; 4] =
    [PixelDifference::Central, PixelDifference::Angular, PixelDifference::Radial, PixelDifference::Plain];

/// Channels that PiDiNet-small makes its edge maps from.
const EDGE_MAP: usize = 12;

/// Configuration of a [`BefUnet`].
#[derive(Debug, Clone, Copy)]
pub struct BefUnetConfig {
    /// Height and width of the images, pixels.
    pub size: [usize; 2],
    /// Stochastic depth of the last Swin block.
    pub drop_path: f64,
    /// Whether the fusion's results are thrown away, as published.
    pub faithful: bool,
}

impl BefUnetConfig {
    /// What the options of an experiment stand for.
    pub fn of_options(options: &Options<'_>) -> Self {
        Self {
            size: options.size,
            drop_path: options.number("drop_path"),
            faithful: options.flag("faithful"),
        }
    }

    /// The network; its products are zero until initialised or loaded.
    pub fn init(&self, device: &Device) -> BefUnet {
        let [height, width] = self.size;
        let [fine, _, _, coarse] = LEVELS.map(|level| level.features);
        let tokens = REDUCTIONS.map(|reduction| (height / reduction) * (width / reduction));
        let pyramid =
            SwinPyramidConfig { levels: &LEVELS, stride: 4, window: height / 32, drop_path: self.drop_path };
        BefUnet {
            edge: EdgeEncoder::new(device),
            pyramid: pyramid.init(device),
            fusion: DoubleLevelFusionConfig::new(tokens, [fine, coarse])
                .repaired(!self.faithful)
                .init(device),
            decoder: DoubleLevelDecoderConfig::new(fine, coarse, 3).init(device),
        }
    }
}

/// The network.
#[derive(Module, Debug)]
pub struct BefUnet {
    edge: EdgeEncoder,
    pyramid: SwinPyramid,
    fusion: DoubleLevelFusion,
    decoder: DoubleLevelDecoder,
}

impl Network for BefUnet {
    const NAMES: &'static [(&'static str, &'static str)] = &joined::<_, 51>(&[
        &[
            ("edge.first", "All2Cross.pyramid.pidinet_layers.0"),
            ("edge.blocks.0", "All2Cross.pyramid.pidinet_layers.1"),
            ("edge.blocks.1", "All2Cross.pyramid.pidinet_layers.2"),
            ("edge.blocks.2", "All2Cross.pyramid.pidinet_layers.3"),
            ("edge.blocks.3", "All2Cross.pyramid.pidinet_layers.4"),
            ("edge.blocks.4", "All2Cross.pyramid.pidinet_layers.5"),
            ("edge.blocks.5", "All2Cross.pyramid.pidinet_layers.6"),
            ("edge.blocks.6", "All2Cross.pyramid.pidinet_layers.7"),
            ("edge.blocks.7", "All2Cross.pyramid.pidinet_layers.8"),
            ("edge.blocks.8", "All2Cross.pyramid.pidinet_layers.9"),
            ("edge.blocks.9", "All2Cross.pyramid.pidinet_layers.10"),
            ("edge.blocks.10", "All2Cross.pyramid.pidinet_layers.11"),
            ("edge.blocks.11", "All2Cross.pyramid.pidinet_layers.12"),
            ("edge.blocks.12", "All2Cross.pyramid.pidinet_layers.13"),
            ("edge.blocks.13", "All2Cross.pyramid.pidinet_layers.14"),
            ("edge.blocks.14", "All2Cross.pyramid.pidinet_layers.15"),
            ("edge.unused.0", "All2Cross.pyramid.pidinet_layers.16.0.conv"),
            ("edge.unused.1", "All2Cross.pyramid.pidinet_layers.16.1.conv"),
            ("edge.unused.2", "All2Cross.pyramid.pidinet_layers.16.2.conv"),
            ("edge.unused.3", "All2Cross.pyramid.pidinet_layers.16.3.conv"),
        ],
        &SwinPyramid::NAMES,
        &DoubleLevelFusion::NAMES,
        &DoubleLevelDecoder::NAMES,
    ]);

    // Ordinary convolutions keep the default, and pixel differences have it, too.
    const INITIAL: &'static [(&'static str, Initial)] = &joined::<_, 27>(&[
        &[("pidinet_layers.0.weight", Initial::FanIn), ("pidinet_layers.*.conv1.weight", Initial::FanIn)],
        &SwinPyramid::INITIAL,
        &DoubleLevelFusion::INITIAL,
    ]);

    const DEAD: &'static [&'static str] =
        &joined::<_, 13>(&[&DoubleLevelFusion::DEAD, &["pidinet_layers.16.*.conv.*"]]);

    const ALIASES: &'static [(&'static str, &'static str)] = &DoubleLevelDecoder::ALIASES;

    const BACKBONES: &'static [Backbone] = &[
        // PiDiNet-small on BSDS500, as its authors released it. No package holds
        // this network: its names on the left were not checked against a file.
        Backbone {
            name: "table5_pidinet-small",
            parts: &[
                ("init_block", "All2Cross.pyramid.pidinet_layers.0"),
                ("block1_1", "All2Cross.pyramid.pidinet_layers.1"),
                ("block1_2", "All2Cross.pyramid.pidinet_layers.2"),
                ("block1_3", "All2Cross.pyramid.pidinet_layers.3"),
                ("block2_1", "All2Cross.pyramid.pidinet_layers.4"),
                ("block2_2", "All2Cross.pyramid.pidinet_layers.5"),
                ("block2_3", "All2Cross.pyramid.pidinet_layers.6"),
                ("block2_4", "All2Cross.pyramid.pidinet_layers.7"),
                ("block3_1", "All2Cross.pyramid.pidinet_layers.8"),
                ("block3_2", "All2Cross.pyramid.pidinet_layers.9"),
                ("block3_3", "All2Cross.pyramid.pidinet_layers.10"),
                ("block3_4", "All2Cross.pyramid.pidinet_layers.11"),
                ("block4_1", "All2Cross.pyramid.pidinet_layers.12"),
                ("block4_2", "All2Cross.pyramid.pidinet_layers.13"),
                ("block4_3", "All2Cross.pyramid.pidinet_layers.14"),
                ("block4_4", "All2Cross.pyramid.pidinet_layers.15"),
                ("conv_reduces", "All2Cross.pyramid.pidinet_layers.16"),
            ],
        },
        Backbone {
            name: "swin_tiny_patch4_window7_224",
            parts: &joined::<_, 12>(&[
                &SwinPyramid::TABLES,
                &[
                    (
                        "layers.3.blocks.0.attn.relative_position_bias_table",
                        "All2Cross.pyramid.swin_transformer.layers.3.blocks.0.attn.relative_position_bias_table",
                    ),
                    (
                        "layers.3.blocks.1.attn.relative_position_bias_table",
                        "All2Cross.pyramid.swin_transformer.layers.3.blocks.1.attn.relative_position_bias_table",
                    ),
                ],
            ]),
        },
    ];

    fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        let [_, _, height, width] = images.dims();
        // [B, 96, H/4, W/4] .. [B, 768, H/32, W/32], as tokens
        let mut levels = self.pyramid.forward(self.edge.forward(images)).into_iter();
        let (fine, coarse) = levels.next().zip(levels.nth(2)).expect("the pyramid has four levels");
        let [fine, coarse] = self.fusion.forward([fine, coarse]);
        let map = |x, reduction| to_image(x, [height / reduction, width / reduction]);
        self.decoder.forward(map(fine, REDUCTIONS[0]), map(coarse, REDUCTIONS[1])) // [B, 1, H, W]
    }
}

/// The trunk of PiDiNet-small (Su et al., ICCV 2021), its convolutions not
/// turned into ordinary ones.
#[derive(Module, Debug)]
struct EdgeEncoder {
    first: PixelDifferenceConv,
    /// Three of the first level, four of each other.
    blocks: Vec<EdgeBlock>,
    unused: Vec<Conv2d>,
}

impl EdgeEncoder {
    fn new(device: &Device) -> Self {
        let mut blocks = Vec::with_capacity(PATTERN.len() * LEVELS.len() - 1);
        let mut input = LEVELS[0].channels;
        for (index, level) in LEVELS.iter().enumerate() {
            for (place, kind) in PATTERN.into_iter().enumerate() {
                // The first layer has the place of the first level's first block.
                if (index, place) != (0, 0) {
                    blocks.push(EdgeBlock::new(input, level.channels, kind, place == 0, device));
                    input = level.channels;
                }
            }
        }
        Self {
            first: PixelDifferenceConvConfig::new(3, LEVELS[0].channels, PATTERN[0]).init(device),
            blocks,
            unused: LEVELS.iter().map(|_| Conv2dConfig::new(EDGE_MAP, 1, 1).init(device)).collect(),
        }
    }

    /// [B, 3, H, W] to [B, 30, H, W], [B, 60, H/2, W/2], [B, 120, H/4, W/4] and
    /// [B, 120, H/8, W/8].
    fn forward(&self, images: Tensor<4>) -> Vec<Tensor<4>> {
        let mut x = self.first.forward(images);
        let mut levels = Vec::with_capacity(LEVELS.len());
        for block in &self.blocks {
            if block.shortcut.is_some() {
                levels.push(x.clone());
            }
            x = block.forward(x);
        }
        levels.push(x);
        levels
    }
}

/// x + f(x), f a depthwise convolution of differences, ReLU and a 1 x 1
/// convolution; the first of a level pools before and has a 1 x 1 convolution
/// beside it.
#[derive(Module, Debug)]
struct EdgeBlock {
    conv1: PixelDifferenceConv,
    conv2: Conv2d,
    shortcut: Option<Conv2d>,
}

impl EdgeBlock {
    fn new(input: usize, output: usize, kind: PixelDifference, halves: bool, device: &Device) -> Self {
        Self {
            conv1: PixelDifferenceConvConfig::depthwise(input, kind).init(device),
            conv2: Conv2dConfig::new(input, output, 1).no_bias().init(device),
            shortcut: halves.then(|| Conv2dConfig::new(input, output, 1).init(device)),
        }
    }

    /// [B, in, H, W] to the same shape, or to [B, out, H / 2, W / 2].
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = if self.shortcut.is_some() { max_pool(x, 2) } else { x };
        let y = self.conv2.forward(relu(self.conv1.forward(x.clone())));
        match &self.shortcut {
            Some(shortcut) => y + shortcut.forward(x),
            None => y + x,
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Result;
    use dygl_tests::classifier::check;

    use super::*;
    use crate::testing::{laid, tables};

    #[test]
    fn the_tables_of_a_swin_of_timm_do_the_same_here() -> Result<()> {
        let config = BefUnetConfig { size: [224; 2], drop_path: 0.0, faithful: true };
        check("bef_unet", "swin_tiny_patch4_window7_224", |tensors| {
            tables(&laid(config.init(&Device::flex()), tensors).pyramid)
        })
    }
}
