//! FAT-Net: "FAT-Net: Feature Adaptive Transformers for Automated Skin Lesion
//! Segmentation" (Wu, Chen, Chen, Wang, Lei & Wen, Medical Image Analysis 2022).
//! A ResNet-34 and the blocks of a DeiT-tiny read the image side by side; their
//! deepest maps meet, and a decoder adds adapted maps of the ResNet on its way up.
//!
//! | step | channels | side at 224 |
//! |---|---|---|
//! | `stem`, `encoder1` | 64 | 112 |
//! | `encoder2`, `encoder3`, `encoder4` | 128, 256, 512 | 56, 28, 14 |
//! | `patches`, `transformers` (12 blocks) | 192 | 14 |
//! | `lift` | 512 | 14 |
//! | both, `recalibrate`, `fuse` | 1024, 1024, 512 | 14 |
//! | `decoder4` + `adapt3`, `decoder3` + `adapt2`, `decoder2` + `adapt1` | 256, 128, 64 | 28, 56, 112 |
//! | `enlarge`, `smooth`, `head` | 32, 32, 1 | 224 |
//!
//! Height and width must be multiples of 16: the patches are 16 pixels wide
//! and drop what does not fill one, whereas the strided convolutions round up,
//! and both maps are concatenated; each step of the decoder doubles its map,
//! which must then have the size of the encoder's. Tokens carry no positions,
//! so any such size goes.
//!
//! Quirks of the published code, all kept:
//! 1. The feature adaptation of a level is one block applied several times
//!    with the same weights: 6, 4 and 2 times from the finest level down.
//! 2. Of the DeiT only the patches and blocks are used: no position embedding,
//!    no class or distillation token, no last normalisation.
//! 3. The stem has no pooling, so that the ResNet works at twice its usual size.
//! 4. `decoder1` exists and is never called.
//! 5. The decoder's convolutions have biases in front of batch norm.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use dygl_nn::layer::{
    BasicBlock, BasicBlockConfig, BatchNorm2d, BatchNorm2dConfig, Conv2d, Conv2dConfig, ConvTranspose2d,
    ConvTranspose2dConfig, Linear, LinearConfig, Shortcut, TransformerBlock, TransformerBlockConfig,
    global_average, to_image, to_tokens,
};
use dygl_nn::network::{Backbone, Initial, Network, Options};
use dygl_nn::op::{Activation, relu, scale_channels, sigmoid};

/// Channels of the ResNet's four stages, and their blocks.
const WIDTHS: [usize; 4] = [64, 128, 256, 512];
const DEPTHS: [usize; 4] = [3, 4, 6, 3];
/// Features, heads and blocks of the transformer, and the side of its patches.
const FEATURES: usize = 192;
const HEADS: usize = 3;
const BLOCKS: usize = 12;
const PATCH: usize = 16;
/// How often the feature adaptation of each level is applied, finest first.
const ADAPTATIONS: [usize; 3] = [6, 4, 2];

/// Configuration of a [`FatNet`].
#[derive(Debug, Clone, Copy, Default)]
pub struct FatNetConfig;

impl FatNetConfig {
    /// What the options of an experiment stand for: there are none.
    pub fn of_options(_: &Options<'_>) -> Self {
        Self
    }

    /// The network; convolutions and products are zero until initialised or loaded.
    pub fn init(&self, device: &Device) -> FatNet {
        let [w1, w2, w3, w4] = WIDTHS;
        let stage =
            |input, output, stride, depth| BasicBlockConfig::new(input, output, stride).stage(depth, device);
        let adapt = |channels| AdaptConfig { channels }.init(device);
        let decoder = |input, output| DecoderConfig { input, output }.init(device);
        let block = TransformerBlockConfig::new(FEATURES, HEADS, 4 * FEATURES).epsilon(1e-6);
        FatNet {
            stem: Conv2dConfig::new(3, w1, 7).stride(2).padding(3).no_bias().init(device),
            stem_norm: BatchNorm2dConfig::new(w1).init(device),
            encoder1: stage(w1, w1, 1, DEPTHS[0]),
            encoder2: stage(w1, w2, 2, DEPTHS[1]),
            encoder3: stage(w2, w3, 2, DEPTHS[2]),
            encoder4: stage(w3, w4, 2, DEPTHS[3]),
            patches: Conv2dConfig::new(3, FEATURES, PATCH).stride(PATCH).init(device),
            transformers: (0..BLOCKS).map(|_| block.init(device)).collect(),
            lift: Conv2dConfig::new(FEATURES, w4, 1).init(device),
            recalibrate: RecalibrateConfig { channels: 2 * w4, reduced: w4 / 8 }.init(device),
            fuse: Conv2dConfig::new(2 * w4, w4, 1).init(device),
            adapt1: adapt(w1),
            adapt2: adapt(w2),
            adapt3: adapt(w3),
            decoder4: decoder(w4, w3),
            decoder3: decoder(w3, w2),
            decoder2: decoder(w2, w1),
            decoder1: decoder(w1, w1),
            enlarge: ConvTranspose2dConfig::new(w1, 32, 4, 2).padding(1).init(device),
            smooth: Conv2dConfig::new(32, 32, 3).padding(1).init(device),
            head: Conv2dConfig::new(32, 1, 3).padding(1).init(device),
        }
    }
}

/// The network.
#[derive(Module, Debug)]
pub struct FatNet {
    stem: Conv2d,
    stem_norm: BatchNorm2d,
    encoder1: Vec<BasicBlock>,
    encoder2: Vec<BasicBlock>,
    encoder3: Vec<BasicBlock>,
    encoder4: Vec<BasicBlock>,
    patches: Conv2d,
    transformers: Vec<TransformerBlock>,
    lift: Conv2d,
    recalibrate: Recalibrate,
    fuse: Conv2d,
    adapt1: Adapt,
    adapt2: Adapt,
    adapt3: Adapt,
    decoder4: Decoder,
    decoder3: Decoder,
    decoder2: Decoder,
    decoder1: Decoder,
    enlarge: ConvTranspose2d,
    smooth: Conv2d,
    head: Conv2d,
}

impl Network for FatNet {
    const NAMES: &'static [(&'static str, &'static str)] = &[
        ("stem", "firstconv"),
        ("stem_norm", "firstbn"),
        Shortcut::NAMES[0],
        Shortcut::NAMES[1],
        ("patches", "patch_embed.proj"),
        ("lift", "conv_seq_img"),
        ("recalibrate.squeeze", "se.fc.0"),
        ("recalibrate.excite", "se.fc.2"),
        ("fuse", "conv2d"),
        ("adapt1", "FAMBlock1"),
        ("adapt2", "FAMBlock2"),
        ("adapt3", "FAMBlock3"),
        // Decoder
        ("narrow", "conv1"),
        ("narrow_norm", "norm1"),
        ("up", "up.0"),
        ("up_norm", "up.1"),
        ("widen", "conv3"),
        ("widen_norm", "norm3"),
        ("enlarge", "final_conv1"),
        ("smooth", "final_conv2"),
        ("head", "final_conv3"),
    ];

    /// The convolutions of the ResNet as He et al. 2015, the products of the
    /// transformer as DeiT; only names of the ResNet have two components
    /// before `conv1` or `conv2`.
    const INITIAL: &'static [(&'static str, Initial)] = &[
        ("firstconv.weight", Initial::KaimingNormalFanOut),
        ("*.*.conv1.weight", Initial::KaimingNormalFanOut),
        ("*.*.conv2.weight", Initial::KaimingNormalFanOut),
        ("downsample.0.weight", Initial::KaimingNormalFanOut),
        ("attn.*.weight", Initial::Normal { std: 0.02 }),
        ("attn.*.bias", Initial::Constant(0.0)),
        ("mlp.*.weight", Initial::Normal { std: 0.02 }),
        ("mlp.*.bias", Initial::Constant(0.0)),
    ];

    const DEAD: &'static [&'static str] = &["decoder1.*.*", "decoder1.up.*.*"];

    /// The reference lists the applications of each adaptation, too.
    const ALIASES: &'static [(&'static str, &'static str)] = &[
        ("FAM1.0", "FAMBlock1"),
        ("FAM1.1", "FAMBlock1"),
        ("FAM1.2", "FAMBlock1"),
        ("FAM1.3", "FAMBlock1"),
        ("FAM1.4", "FAMBlock1"),
        ("FAM1.5", "FAMBlock1"),
        ("FAM2.0", "FAMBlock2"),
        ("FAM2.1", "FAMBlock2"),
        ("FAM2.2", "FAMBlock2"),
        ("FAM2.3", "FAMBlock2"),
        ("FAM3.0", "FAMBlock3"),
        ("FAM3.1", "FAMBlock3"),
    ];

    /// torchvision's ResNet-34; the distilled DeiT-tiny of Touvron et al. 2021.
    const BACKBONES: &'static [Backbone] = &[
        Backbone {
            name: "resnet34",
            parts: &[
                ("conv1", "firstconv"),
                ("bn1", "firstbn"),
                ("layer1", "encoder1"),
                ("layer2", "encoder2"),
                ("layer3", "encoder3"),
                ("layer4", "encoder4"),
            ],
        },
        Backbone {
            name: "deit_tiny_distilled_patch16_224",
            parts: &[("patch_embed", "patch_embed"), ("blocks", "transformers")],
        },
    ];

    fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        let through = |stage: &[BasicBlock], x| stage.iter().fold(x, |x, block| block.forward(x));
        let x = self.stem.forward_then(images.clone(), &self.stem_norm, Activation::Relu); // [B, 64, H/2, W/2]
        let e1 = through(&self.encoder1, x); // [B, 64, H/2, W/2]
        let e2 = through(&self.encoder2, e1.clone()); // [B, 128, H/4, W/4]
        let e3 = through(&self.encoder3, e2.clone()); // [B, 256, H/8, W/8]
        let local = through(&self.encoder4, e3.clone()); // [B, 512, H/16, W/16]

        let patches = self.patches.forward(images); // [B, 192, H/16, W/16]
        let [_, _, height, width] = patches.dims();
        let tokens = self.transformers.iter().fold(to_tokens(patches), |x, block| block.forward(x));
        let global = self.lift.forward(to_image(tokens, [height, width])); // [B, 512, H/16, W/16]

        let x = self.recalibrate.forward(Tensor::cat(vec![local, global], 1)); // [B, 1024, H/16, W/16]
        let x = self.fuse.forward(x); // [B, 512, H/16, W/16]
        let [n1, n2, n3] = ADAPTATIONS;
        let x = self.decoder4.forward(x) + self.adapt3.repeat(e3, n3); // [B, 256, H/8, W/8]
        let x = self.decoder3.forward(x) + self.adapt2.repeat(e2, n2); // [B, 128, H/4, W/4]
        let x = self.decoder2.forward(x) + self.adapt1.repeat(e1, n1); // [B, 64, H/2, W/2]
        let x = relu(self.enlarge.forward(x)); // [B, 32, H, W]
        self.head.forward(relu(self.smooth.forward(x))) // [B, 1, H, W]
    }
}

struct RecalibrateConfig {
    channels: usize,
    reduced: usize,
}

impl RecalibrateConfig {
    fn init(&self, device: &Device) -> Recalibrate {
        Recalibrate {
            squeeze: LinearConfig::new(self.channels, self.reduced).no_bias().init(device),
            excite: LinearConfig::new(self.reduced, self.channels).no_bias().init(device),
        }
    }
}

/// Squeeze-and-excitation (Hu et al. 2018) of products without biases.
#[derive(Module, Debug)]
struct Recalibrate {
    squeeze: Linear,
    excite: Linear,
}

impl Recalibrate {
    /// [B, C, H, W] to the same shape.
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let mean = global_average(x.clone()); // [B, C]
        let gate = sigmoid(self.excite.forward(relu(self.squeeze.forward(mean)))); // [B, C]
        scale_channels(x, gate)
    }
}

struct AdaptConfig {
    channels: usize,
}

impl AdaptConfig {
    fn init(&self, device: &Device) -> Adapt {
        Adapt {
            conv3: Conv2dConfig::new(self.channels, self.channels, 3).padding(1).init(device),
            conv1: Conv2dConfig::new(self.channels, self.channels, 1).init(device),
        }
    }
}

/// Feature adaptation: a 3x3 and a 1x1 convolution beside each other.
#[derive(Module, Debug)]
struct Adapt {
    conv3: Conv2d,
    conv1: Conv2d,
}

impl Adapt {
    /// [B, C, H, W] to the same shape.
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        relu(self.conv3.forward(x.clone())) + relu(self.conv1.forward(x))
    }

    /// As many times in a row.
    fn repeat(&self, x: Tensor<4>, times: usize) -> Tensor<4> {
        (0..times).fold(x, |x, _| self.forward(x))
    }
}

struct DecoderConfig {
    input: usize,
    output: usize,
}

impl DecoderConfig {
    fn init(&self, device: &Device) -> Decoder {
        let Self { input, output } = *self;
        let inner = input / 4;
        let norm = |channels| BatchNorm2dConfig::new(channels).init(device);
        Decoder {
            narrow: Conv2dConfig::new(input, inner, 1).init(device),
            narrow_norm: norm(inner),
            up: ConvTranspose2dConfig::new(inner, inner, 3, 2).padding(1).output_padding(1).init(device),
            up_norm: norm(inner),
            widen: Conv2dConfig::new(inner, output, 1).init(device),
            widen_norm: norm(output),
        }
    }
}

/// Doubles a map between two 1x1 convolutions, batch norm and ReLU behind each.
#[derive(Module, Debug)]
struct Decoder {
    narrow: Conv2d,
    narrow_norm: BatchNorm2d,
    up: ConvTranspose2d,
    up_norm: BatchNorm2d,
    widen: Conv2d,
    widen_norm: BatchNorm2d,
}

impl Decoder {
    /// [B, in, h, w] to [B, out, 2h, 2w].
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.narrow.forward_then(x, &self.narrow_norm, Activation::Relu); // [B, in / 4, h, w]
        let x = self.up_norm.forward_then(self.up.forward(x), Activation::Relu); // [B, in / 4, 2h, 2w]
        self.widen.forward_then(x, &self.widen_norm, Activation::Relu)
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Result;
    use burn::module::Param;
    use dygl_nn::network::matches;
    use dygl_tests::arrays::Arrays;
    use dygl_tests::classifier::check;

    use super::*;
    use crate::testing::{image, laid, map, resnet34, square};

    #[test]
    fn a_resnet34_of_torchvision_gives_its_own_maps() -> Result<()> {
        check("fat_net", "resnet34", |tensors| {
            let net = laid(FatNetConfig.init(&Device::flex()), tensors);
            let x = net.stem.forward_then(image(), &net.stem_norm, Activation::Relu);
            resnet34(x.clone(), x, [&net.encoder1, &net.encoder2, &net.encoder3, &net.encoder4])
        })
    }

    #[test]
    fn a_deit_of_timm_gives_its_own_maps() -> Result<()> {
        check("fat_net", "deit_tiny_distilled_patch16_224", |tensors| {
            let net = laid(FatNetConfig.init(&Device::flex()), tensors);
            let patches = net.patches.forward(image());
            let mut found = Arrays::from([("patches".to_owned(), map(&patches))]);
            net.transformers.iter().enumerate().fold(to_tokens(patches), |x, (index, block)| {
                let x = block.forward(x);
                found.insert(format!("blocks.{index}"), square(&x));
                x
            });
            found
        })
    }

    #[test]
    fn resnet_and_transformer_start_as_they_were_published() {
        let initial = |name: &str| {
            FatNet::INITIAL.iter().find(|(pattern, _)| matches(pattern, name)).map(|(_, initial)| *initial)
        };
        for name in [
            "firstconv.weight",
            "encoder1.2.conv2.weight",
            "encoder2.0.conv1.weight",
            "encoder4.0.downsample.0.weight",
        ] {
            assert_eq!(initial(name), Some(Initial::KaimingNormalFanOut), "{name}");
        }
        for name in ["transformers.0.attn.qkv.weight", "transformers.11.mlp.fc2.weight"] {
            assert_eq!(initial(name), Some(Initial::Normal { std: 0.02 }), "{name}");
        }
        assert_eq!(initial("transformers.3.attn.proj.bias"), Some(Initial::Constant(0.0)));
        for name in [
            "decoder4.conv1.weight",
            "decoder4.up.0.weight",
            "FAMBlock1.conv1.weight",
            "patch_embed.proj.weight",
            "patch_embed.proj.bias",
            "encoder2.0.bn1.weight",
            "encoder2.0.downsample.1.weight",
            "final_conv1.weight",
            "se.fc.0.weight",
        ] {
            assert_eq!(initial(name), None, "{name}");
        }
    }

    #[test]
    fn an_adaptation_is_applied_again_and_again() {
        let device = Device::flex();
        let mut adapt = AdaptConfig { channels: 1 }.init(&device);
        adapt.conv1.weight = Param::from_tensor(Tensor::full([1, 1, 1, 1], 2.0, &device));
        let x = Tensor::<4>::ones([1, 1, 2, 2], &device);
        let y: Vec<f32> = adapt.repeat(x, 4).into_data().try_to_vec().expect("f32");
        assert_eq!(y, [16.0; 4]);
    }
}
