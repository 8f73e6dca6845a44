//! HiFormer-B (Heidari et al., WACV 2023): three stages of a ResNet-50 beside
//! three stages of Swin Transformer; the finest and the coarsest map meet in a
//! small decoder.
//!
//! | part | channels | side at 224 |
//! |---|---|---|
//! | `cnn.layer1` .. `cnn.layer3` | 256, 512, 1024 | 56, 28, 14 |
//! | `pyramid`, three levels | 96, 192, 384 | 56, 28, 14 |
//! | `fusion`, fine and coarse level | 96, 384 | 56, 14 |
//! | `decoder` | 128, 16, 1 | 56, 224, 224 |
//!
//! Quirks of the published code that are kept:
//! 1. The double-level fusion has no influence on the logits: see
//!    [`DoubleLevelFusion`]. With `faithful = false` the results of its blocks
//!    reach the decoder; this form is assumed, and its attention over all
//!    tokens of the finest level costs (H W / 16)^2 scores per head.
//! 2. The finest level's Swin blocks see the CNN's tokens; those of the other
//!    levels see only the merged tokens of the level above, and the CNN's are
//!    added behind them.
//! 3. Behind the loading of Swin-T the published code initialises all linear
//!    layers and layer norms anew, so that of Swin-T only the tables of
//!    relative positions start a run. The backbones below give just these.
//!
//! Assumed for images of other sizes than the paper's 224: windows of image
//! side / 32 tokens, so that each level is cut into as many windows as at 224.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use dygl_nn::layer::{
    BatchNorm2d, BatchNorm2dConfig, Bottleneck, BottleneckConfig, Conv2d, Conv2dConfig, DoubleLevelDecoder,
    DoubleLevelDecoderConfig, DoubleLevelFusion, DoubleLevelFusionConfig, PyramidLevel, Shortcut,
    SwinPyramid, SwinPyramidConfig, max_pool_stem, to_image,
};
use dygl_nn::network::{Backbone, Initial, Network, Options, joined};
use dygl_nn::op::Activation;

/// The pyramid's levels; the channels are those of ResNet-50.
const LEVELS: [PyramidLevel; 3] = [
    PyramidLevel { channels: 256, features: 96, heads: 3, depth: 2 },
    PyramidLevel { channels: 512, features: 192, heads: 6, depth: 2 },
    PyramidLevel { channels: 1024, features: 384, heads: 12, depth: 6 },
];

/// Sides of the image over those of the finest and the coarsest map.
const REDUCTIONS: [usize; 2] = [4, 16];

/// Configuration of a [`HiFormer`].
#[derive(Debug, Clone, Copy)]
pub struct HiFormerConfig {
    /// Height and width of the images, pixels.
    pub size: [usize; 2],
    /// Stochastic depth of the last Swin block.
    pub drop_path: f64,
    /// Whether the fusion's results are thrown away, as published.
    pub faithful: bool,
}

impl HiFormerConfig {
    /// What the options of an experiment stand for.
    pub fn of_options(options: &Options<'_>) -> Self {
        Self {
            size: options.size,
            drop_path: options.number("drop_path"),
            faithful: options.flag("faithful"),
        }
    }

    /// The network; its products are zero until initialised or loaded.
    pub fn init(&self, device: &Device) -> HiFormer {
        let [height, width] = self.size;
        let [fine, _, coarse] = LEVELS.map(|level| level.features);
        let tokens = REDUCTIONS.map(|reduction| (height / reduction) * (width / reduction));
        let pyramid =
            SwinPyramidConfig { levels: &LEVELS, stride: 1, window: height / 32, drop_path: self.drop_path };
        HiFormer {
            cnn: Cnn {
                conv1: Conv2dConfig::new(3, 64, 7).stride(2).padding(3).no_bias().init(device),
                bn1: BatchNorm2dConfig::new(64).init(device),
                layer1: BottleneckConfig::new(64, 64, 1).stage(3, device),
                layer2: BottleneckConfig::new(256, 128, 2).stage(4, device),
                layer3: BottleneckConfig::new(512, 256, 2).stage(6, device),
            },
            pyramid: pyramid.init(device),
            fusion: DoubleLevelFusionConfig::new(tokens, [fine, coarse])
                .repaired(!self.faithful)
                .init(device),
            decoder: DoubleLevelDecoderConfig::new(fine, coarse, 2).init(device),
        }
    }
}

/// The network.
#[derive(Module, Debug)]
pub struct HiFormer {
    cnn: Cnn,
    pyramid: SwinPyramid,
    fusion: DoubleLevelFusion,
    decoder: DoubleLevelDecoder,
}

impl Network for HiFormer {
    const NAMES: &'static [(&'static str, &'static str)] = &joined::<_, 38>(&[
        &[
            ("cnn.conv1", "All2Cross.pyramid.resnet_layers.0"),
            ("cnn.bn1", "All2Cross.pyramid.resnet_layers.1"),
            ("cnn.layer1", "All2Cross.pyramid.resnet_layers.4"),
            ("cnn.layer2", "All2Cross.pyramid.resnet_layers.5"),
            ("cnn.layer3", "All2Cross.pyramid.resnet_layers.6"),
        ],
        &Shortcut::NAMES,
        &SwinPyramid::NAMES,
        &DoubleLevelFusion::NAMES,
        &DoubleLevelDecoder::NAMES,
    ]);

    // The towers and the head keep the default.
    const INITIAL: &'static [(&'static str, Initial)] = &joined::<_, 30>(&[
        &[
            ("resnet_layers.0.weight", Initial::KaimingNormalFanOut),
            ("resnet_layers.*.*.conv1.weight", Initial::KaimingNormalFanOut),
            ("resnet_layers.*.*.conv2.weight", Initial::KaimingNormalFanOut),
            ("resnet_layers.*.*.conv3.weight", Initial::KaimingNormalFanOut),
            ("resnet_layers.*.*.downsample.0.weight", Initial::KaimingNormalFanOut),
        ],
        &SwinPyramid::INITIAL,
        &DoubleLevelFusion::INITIAL,
    ]);

    const DEAD: &'static [&'static str] = &DoubleLevelFusion::DEAD;

    const ALIASES: &'static [(&'static str, &'static str)] = &joined::<_, 3>(&[
        &[("pyramid.p2", "pyramid.resnet_layers.5"), ("pyramid.p3", "pyramid.resnet_layers.6")],
        &DoubleLevelDecoder::ALIASES,
    ]);

    const BACKBONES: &'static [Backbone] = &[
        Backbone {
            name: "resnet50",
            parts: &[
                ("conv1", "All2Cross.pyramid.resnet_layers.0"),
                ("bn1", "All2Cross.pyramid.resnet_layers.1"),
                ("layer1", "All2Cross.pyramid.resnet_layers.4"),
                ("layer2", "All2Cross.pyramid.resnet_layers.5"),
                ("layer3", "All2Cross.pyramid.resnet_layers.6"),
            ],
        },
        Backbone { name: "swin_tiny_patch4_window7_224", parts: &SwinPyramid::TABLES },
    ];

    fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        let [_, _, height, width] = images.dims();
        // [B, 96, H/4, W/4] .. [B, 384, H/16, W/16], as tokens
        let mut levels = self.pyramid.forward(self.cnn.forward(images)).into_iter();
        let (fine, coarse) = levels.next().zip(levels.nth(1)).expect("the pyramid has three levels");
        let [fine, coarse] = self.fusion.forward([fine, coarse]);
        let map = |x, reduction| to_image(x, [height / reduction, width / reduction]);
        self.decoder.forward(map(fine, REDUCTIONS[0]), map(coarse, REDUCTIONS[1])) // [B, 1, H, W]
    }
}

/// ResNet-50 without its last stage.
#[derive(Module, Debug)]
struct Cnn {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    layer1: Vec<Bottleneck>,
    layer2: Vec<Bottleneck>,
    layer3: Vec<Bottleneck>,
}

impl Cnn {
    /// [B, 3, H, W] to [B, 256, H/4, W/4], [B, 512, H/8, W/8] and
    /// [B, 1024, H/16, W/16].
    fn forward(&self, images: Tensor<4>) -> Vec<Tensor<4>> {
        let stage = |x, blocks: &[Bottleneck]| blocks.iter().fold(x, |x, block| block.forward(x));
        let x = self.conv1.forward_then(images, &self.bn1, Activation::Relu); // [B, 64, H/2, W/2]
        let first = stage(max_pool_stem(x), &self.layer1);
        let second = stage(first.clone(), &self.layer2);
        let third = stage(second.clone(), &self.layer3);
        vec![first, second, third]
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Result;
    use dygl_tests::arrays::Arrays;
    use dygl_tests::classifier::check;

    use super::*;
    use crate::testing::{image, laid, map, tables};

    fn net(tensors: &Arrays) -> HiFormer {
        let config = HiFormerConfig { size: [224; 2], drop_path: 0.0, faithful: true };
        laid(config.init(&Device::flex()), tensors)
    }

    #[test]
    fn a_resnet50_of_torchvision_gives_its_own_maps() -> Result<()> {
        check("hiformer_b", "resnet50", |tensors| {
            let HiFormer { cnn, .. } = net(tensors);
            let stem = cnn.conv1.forward_then(image(), &cnn.bn1, Activation::Relu);
            let stages = cnn.forward(image());
            let names = ["layer1", "layer2", "layer3"].map(str::to_owned);
            let mut found: Arrays = names.into_iter().zip(stages.iter().map(map)).collect();
            found.insert("stem".into(), map(&stem));
            found
        })
    }

    #[test]
    fn the_tables_of_a_swin_of_timm_do_the_same_here() -> Result<()> {
        check("hiformer_b", "swin_tiny_patch4_window7_224", |tensors| tables(&net(tensors).pyramid))
    }
}
