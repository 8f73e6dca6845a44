//! MISSFormer (Huang, Deng, Li, Yuan & Fu, IEEE Transactions on Medical
//! Imaging 42(5), 2023): a pure transformer with attention over reduced keys
//! and values and convolutions in its feed-forward parts; a bridge in which
//! all levels attend to each other; a decoder of the same blocks.
//!
//! | step | channels | side at 224 |
//! |---|---|---|
//! | `encoder` 1 .. 4 | 64, 128, 320, 512 | 56, 28, 14, 7 |
//! | `bridge` | 64 a token | 6076 tokens |
//! | `decoders` 3 .. 1 | 256, 160, 64 | 14, 28, 56 |
//! | `decoders` 0 | 64 | 224 |
//! | `head` | 1 | 224 |
//!
//! Sides are multiples of 32: the fourth level's are 32 times smaller. The
//! published code fixes them to 224; no tensor depends on them.
//!
//! Quirks of the published code:
//! 1. A token of the bridge's sequence holds 64 neighbouring channels of one
//!    position. Its reduced maps [64 m, h, w] are reinterpreted as
//!    [64, m h w] instead: the 64 features of their tokens are m channels
//!    apart. Kept; `faithful = false` gives the reduced maps the sequence's
//!    form. That form is assumed, as it has no reference.
//! 2. Two of the three normalisations of each feed-forward part, and product
//!    and blocks of the deepest decoder, which has no skip, are never used.
//!    Kept as parameters (7 M of 42 M) without being computed.

mod block;
mod bridge;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use dygl_nn::layer::{
    Conv2d, Conv2dConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig, PatchExpanding,
    PatchExpandingConfig, to_image, to_tokens,
};
use dygl_nn::network::{Initial, Network, Options};

use block::{Block, BlockConfig};
use bridge::Bridge;

/// Channels of the four levels.
const WIDTHS: [usize; 4] = [64, 128, 320, 512];

/// Sides of the tiles that keys and values of the levels stand for.
const REDUCTIONS: [usize; 4] = [8, 4, 2, 1];

/// Configuration of a [`MissFormer`].
#[derive(Debug, Clone, Copy)]
pub struct MissFormerConfig {
    /// Whether the bridge scrambles its reduced maps as the published code does.
    pub faithful: bool,
}

impl MissFormerConfig {
    /// What the options of an experiment stand for.
    pub fn of_options(options: &Options<'_>) -> Self {
        Self { faithful: options.flag("faithful") }
    }

    /// The network; its products are zeros until initialised or loaded.
    pub fn init(&self, device: &Device) -> MissFormer {
        let block = |level: usize| {
            let config = BlockConfig { features: WIDTHS[level], reduction: REDUCTIONS[level] };
            move || config.init(device)
        };
        let stage = |level: usize| Stage {
            embed: match level {
                0 => Embedding::new(Conv2dConfig::new(3, WIDTHS[0], 7).stride(4).padding(3), device),
                _ => {
                    let conv = Conv2dConfig::new(WIDTHS[level - 1], WIDTHS[level], 3);
                    Embedding::new(conv.stride(2).padding(1), device)
                }
            },
            blocks: vec![block(level)(), block(level)()],
            norm: LayerNormConfig::new(WIDTHS[level]).init(device),
        };
        let decoder = |level: usize, below: usize| {
            let width = WIDTHS[level];
            let up = match level {
                0 => PatchExpandingConfig::new(width, 4, width),
                _ => PatchExpandingConfig::new(width, 2, width / 2),
            };
            Decoder {
                concat: LinearConfig::new(below + width, width).init(device),
                blocks: vec![block(level)(), block(level)()],
                up: up.init(device),
            }
        };
        let [w0, w1, w2, w3] = WIDTHS;
        MissFormer {
            encoder: (0..4).map(stage).collect(),
            bridge: Bridge::new(self.faithful, device),
            decoders: vec![decoder(3, w3), decoder(2, w3 / 2), decoder(1, w2 / 2), decoder(0, w1 / 2)],
            head: Conv2dConfig::new(w0, 1, 1).init(device),
        }
    }
}

/// The network.
#[derive(Module, Debug)]
pub struct MissFormer {
    encoder: Vec<Stage>,
    bridge: Bridge,
    /// From the deepest.
    decoders: Vec<Decoder>,
    head: Conv2d,
}

impl Network for MissFormer {
    const NAMES: &'static [(&'static str, &'static str)] = &[
        ("encoder.0.embed", "backbone.patch_embed1"),
        ("encoder.1.embed", "backbone.patch_embed2"),
        ("encoder.2.embed", "backbone.patch_embed3"),
        ("encoder.3.embed", "backbone.patch_embed4"),
        ("encoder.0.blocks", "backbone.block1"),
        ("encoder.1.blocks", "backbone.block2"),
        ("encoder.2.blocks", "backbone.block3"),
        ("encoder.3.blocks", "backbone.block4"),
        ("encoder.0.norm", "backbone.norm1"),
        ("encoder.1.norm", "backbone.norm2"),
        ("encoder.2.norm", "backbone.norm3"),
        ("encoder.3.norm", "backbone.norm4"),
        ("depthwise", "dwconv.dwconv"),
        // Bridge.
        ("layers.0", "bridge_layer1"),
        ("layers.1", "bridge_layer2"),
        ("layers.2", "bridge_layer3"),
        ("layers.3", "bridge_layer4"),
        ("mixers.0", "mixffn1"),
        ("mixers.1", "mixffn2"),
        ("mixers.2", "mixffn3"),
        ("mixers.3", "mixffn4"),
        ("convs.0", "sr0"),
        ("convs.1", "sr1"),
        ("convs.2", "sr2"),
        // Decoder.
        ("decoders.0", "decoder_3"),
        ("decoders.1", "decoder_2"),
        ("decoders.2", "decoder_1"),
        ("decoders.3", "decoder_0"),
        ("concat", "concat_linear"),
        ("blocks.0", "layer_former_1"),
        ("blocks.1", "layer_former_2"),
        ("up", "layer_up"),
        ("head", "decoder_0.last_layer"),
    ];

    const INITIAL: &'static [(&'static str, Initial)] = &[
        // Normalisations, lest the patterns of the decoder's blocks match them.
        ("attn.norm.weight", Initial::Constant(1.0)),
        ("mlp.norm1.weight", Initial::Constant(1.0)),
        ("mlp.norm2.weight", Initial::Constant(1.0)),
        ("mlp.norm3.weight", Initial::Constant(1.0)),
        // The decoder alone is initialised in its own way.
        ("layer_former_1.*.*.weight", Initial::XavierUniform),
        ("layer_former_2.*.*.weight", Initial::XavierUniform),
        ("layer_former_1.*.*.*.weight", Initial::XavierUniform),
        ("layer_former_2.*.*.*.weight", Initial::XavierUniform),
        ("concat_linear.weight", Initial::XavierUniform),
        ("layer_up.expand.weight", Initial::XavierUniform),
        ("last_layer.weight", Initial::XavierUniform),
        ("layer_former_1.*.*.bias", Initial::Constant(0.0)),
        ("layer_former_2.*.*.bias", Initial::Constant(0.0)),
        ("layer_former_1.*.*.*.bias", Initial::Constant(0.0)),
        ("layer_former_2.*.*.*.bias", Initial::Constant(0.0)),
        ("concat_linear.bias", Initial::Constant(0.0)),
        ("last_layer.bias", Initial::Constant(0.0)),
    ];

    const DEAD: &'static [&'static str] = &[
        "mlp.norm2.*",
        "mlp.norm3.*",
        "mixffn1.norm2.*",
        "mixffn1.norm3.*",
        "mixffn2.norm2.*",
        "mixffn2.norm3.*",
        "mixffn3.norm2.*",
        "mixffn3.norm3.*",
        "mixffn4.norm2.*",
        "mixffn4.norm3.*",
        "decoder_3.concat_linear.*",
        "decoder_3.layer_former_1.*.*",
        "decoder_3.layer_former_2.*.*",
        "decoder_3.layer_former_1.*.*.*",
        "decoder_3.layer_former_2.*.*.*",
        "decoder_3.layer_former_1.*.*.*.*",
        "decoder_3.layer_former_2.*.*.*.*",
    ];

    fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        let mut levels = Vec::with_capacity(4);
        let mut sizes = [[0; 2]; 4];
        let mut map = images; // [B, 3, H, W]
        for (stage, size) in self.encoder.iter().zip(&mut sizes) {
            let (tokens, side) = stage.forward(map);
            map = to_image(tokens.clone(), side);
            *size = side;
            levels.push(tokens); // [B, H W / 4^s, C], s = 2, 3, 4, 5
        }
        let levels = self.bridge.forward(levels, sizes).into_iter().zip(sizes);

        let mut below = None;
        for (decoder, (skip, size)) in self.decoders.iter().zip(levels.rev()) {
            below = Some(decoder.forward(below, skip, size)); // [B, H W / 256, 256], .. [B, H W, 64]
        }
        let x = below.expect("the network has decoders");
        let [height, width] = sizes[0];
        self.head.forward(to_image(x, [4 * height, 4 * width])) // [B, 1, H, W]
    }
}

/// A level of the encoder.
#[derive(Module, Debug)]
struct Stage {
    embed: Embedding,
    blocks: Vec<Block>,
    norm: LayerNorm,
}

impl Stage {
    /// A map to the level's tokens and their size.
    fn forward(&self, map: Tensor<4>) -> (Tensor<3>, [usize; 2]) {
        let (mut x, size) = self.embed.forward(map);
        for block in &self.blocks {
            x = block.forward(x, size);
        }
        (self.norm.forward(x), size)
    }
}

/// Tokens of overlapping patches.
#[derive(Module, Debug)]
struct Embedding {
    proj: Conv2d,
    norm: LayerNorm,
}

impl Embedding {
    fn new(proj: Conv2dConfig, device: &Device) -> Self {
        let proj = proj.init(device);
        let [channels, ..] = proj.weight.dims();
        Self { proj, norm: LayerNormConfig::new(channels).init(device) }
    }

    fn forward(&self, map: Tensor<4>) -> (Tensor<3>, [usize; 2]) {
        let x = self.proj.forward(map);
        let [_, _, height, width] = x.dims();
        (self.norm.forward(to_tokens(x)), [height, width])
    }
}

/// A level of the decoder.
#[derive(Module, Debug)]
struct Decoder {
    concat: Linear,
    blocks: Vec<Block>,
    up: PatchExpanding,
}

impl Decoder {
    /// What comes from below and the skip, both [B, h w, ..], to
    /// [B, p h p w, ..]. Nothing comes to the deepest from below: it enlarges
    /// the skip and does no more.
    fn forward(&self, below: Option<Tensor<3>>, skip: Tensor<3>, size: [usize; 2]) -> Tensor<3> {
        let Some(below) = below else { return self.up.forward(skip, size) };
        let mut x = self.concat.forward(Tensor::cat(vec![below, skip], 2));
        for block in &self.blocks {
            x = block.forward(x, size);
        }
        self.up.forward(x, size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_any_multiples_of_32() {
        let device = Device::flex();
        for faithful in [true, false] {
            let net = MissFormerConfig { faithful }.init(&device);
            for [batch, height, width] in [[3, 32, 32], [1, 64, 96]] {
                let images = Tensor::zeros([batch, 3, height, width], &device);
                assert_eq!(net.forward(images).dims(), [batch, 1, height, width]);
            }
        }
    }
}
