//! Swin-Unet (Cao et al., ECCV Workshops 2022): a U-Net whose convolutions are
//! Swin Transformer blocks, in the published configuration "tiny, patch 4,
//! window 7, lite".
//!
//! | level | features | heads | tokens a side at 224 |
//! |---|---|---|---|
//! | `patch_embed`, `layers.0` | 96 | 3 | 56 |
//! | `layers.1` | 192 | 6 | 28 |
//! | `layers.2` | 384 | 12 | 14 |
//! | `layers.3` | 768 | 24 | 7 |
//! | `ups.0` .. `ups.2` | 384, 192, 96 | 12, 6, 3 | 14, 28, 56 |
//! | `last_expanding`, `head` | 96, 1 | | 224 |
//!
//! Every stage has two blocks; the second one's windows are shifted.
//!
//! Quirks of the published code that are kept:
//! 1. A skip is what enters a stage, so that the finest is the patch embedding
//!    itself, and the blocks of the encoder act only through the level below.
//! 2. The decoder has as many blocks as the encoder: its own setting of depths
//!    is never read.
//! 3. The head has no bias.
//!
//! The paper's windows of 7 x 7 tokens divide maps of images of 224 pixels
//! only. Assumed for other sizes: a window is a seventh of that map, image
//! side / 32, so that each level is cut into as many windows as at 224.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use dygl_nn::layer::{
    Conv2d, Conv2dConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig, Mlp, MlpConfig, PatchExpanding,
    PatchExpandingConfig, PatchMerging, PatchMergingConfig, SwinBlock, SwinBlockConfig, drop_path_ramp,
    to_image, to_tokens,
};
use dygl_nn::network::{Backbone, Initial, Network, Options};

/// Features of the finest level; each level doubles them.
const WIDTH: usize = 96;
/// Heads of the levels.
const HEADS: [usize; 4] = [3, 6, 12, 24];
/// Blocks of every stage.
const DEPTH: usize = 2;
/// Side of a patch, pixels.
const PATCH: usize = 4;

/// Configuration of a [`SwinUnet`].
#[derive(Debug, Clone, Copy)]
pub struct SwinUnetConfig {
    /// Side of a window, tokens.
    pub window: usize,
    /// Stochastic depth of the last block of the encoder.
    pub drop_path: f64,
}

impl SwinUnetConfig {
    /// What the options of an experiment stand for.
    pub fn of_options(options: &Options<'_>) -> Self {
        Self { window: options.size[0] / 32, drop_path: options.number("drop_path") }
    }

    /// The network; its products are zero until initialised or loaded.
    pub fn init(&self, device: &Device) -> SwinUnet {
        let rates = drop_path_ramp(self.drop_path, HEADS.len() * DEPTH);
        let blocks = |level: usize| {
            let features = WIDTH << level;
            let rates = &rates[level * DEPTH..][..DEPTH];
            let mlp = || MlpConfig::new(features, 4 * features).init(device);
            SwinBlockConfig::new(features, HEADS[level], self.window).stage(rates, mlp, device)
        };
        let down = |level: usize| Down {
            blocks: blocks(level),
            downsample: (level < 3).then(|| PatchMergingConfig::new(WIDTH << level).init(device)),
        };
        let expand = |features| PatchExpandingConfig::new(features, 2, features / 2).init(device);
        let up = |level: usize| {
            let features = WIDTH << level;
            Up {
                reduce: LinearConfig::new(2 * features, features).init(device),
                blocks: blocks(level),
                upsample: (level > 0).then(|| expand(features)),
            }
        };
        SwinUnet {
            patch_embed: PatchEmbed {
                proj: Conv2dConfig::new(3, WIDTH, PATCH).stride(PATCH).init(device),
                norm: LayerNormConfig::new(WIDTH).init(device),
            },
            layers: (0..4).map(down).collect(),
            encoder_norm: LayerNormConfig::new(WIDTH << 3).init(device),
            first_expanding: expand(WIDTH << 3),
            ups: (0..3).rev().map(up).collect(),
            decoder_norm: LayerNormConfig::new(WIDTH).init(device),
            last_expanding: PatchExpandingConfig::new(WIDTH, PATCH, WIDTH).init(device),
            head: Conv2dConfig::new(WIDTH, 1, 1).no_bias().init(device),
        }
    }
}

/// The network.
#[derive(Module, Debug)]
pub struct SwinUnet {
    patch_embed: PatchEmbed,
    layers: Vec<Down>,
    encoder_norm: LayerNorm,
    first_expanding: PatchExpanding,
    ups: Vec<Up>,
    decoder_norm: LayerNorm,
    last_expanding: PatchExpanding,
    head: Conv2d,
}

impl Network for SwinUnet {
    const NAMES: &'static [(&'static str, &'static str)] = &[
        ("patch_embed", "swin_unet.patch_embed"),
        ("layers", "swin_unet.layers"),
        ("encoder_norm", "swin_unet.norm"),
        ("first_expanding", "swin_unet.layers_up.0"),
        ("ups.0.reduce", "swin_unet.concat_back_dim.1"),
        ("ups.1.reduce", "swin_unet.concat_back_dim.2"),
        ("ups.2.reduce", "swin_unet.concat_back_dim.3"),
        ("ups.0", "swin_unet.layers_up.1"),
        ("ups.1", "swin_unet.layers_up.2"),
        ("ups.2", "swin_unet.layers_up.3"),
        ("decoder_norm", "swin_unet.norm_up"),
        ("last_expanding", "swin_unet.up"),
        ("head", "swin_unet.output"),
    ];

    // Convolutions keep the default.
    const INITIAL: &'static [(&'static str, Initial)] = &[
        ("relative_position_bias_table", Initial::TruncatedNormal { std: 0.02 }),
        ("attn.*.weight", Initial::TruncatedNormal { std: 0.02 }),
        ("attn.*.bias", Initial::Constant(0.0)),
        ("mlp.*.weight", Initial::TruncatedNormal { std: 0.02 }),
        ("mlp.*.bias", Initial::Constant(0.0)),
        ("reduction.weight", Initial::TruncatedNormal { std: 0.02 }),
        ("expand.weight", Initial::TruncatedNormal { std: 0.02 }),
        ("concat_back_dim.*.weight", Initial::TruncatedNormal { std: 0.02 }),
        ("concat_back_dim.*.bias", Initial::Constant(0.0)),
    ];

    // The encoder starts from Swin-T, and each stage of the decoder from the
    // same weights as its counterpart. The third stage of Swin-T has six
    // blocks; four are left over.
    const BACKBONES: &'static [Backbone] = &[
        Backbone {
            name: "swin_tiny_patch4_window7_224",
            parts: &[
                ("patch_embed", "swin_unet.patch_embed"),
                ("layers.0", "swin_unet.layers.0"),
                ("layers.1", "swin_unet.layers.1"),
                ("layers.2.blocks.0", "swin_unet.layers.2.blocks.0"),
                ("layers.2.blocks.1", "swin_unet.layers.2.blocks.1"),
                ("layers.2.downsample", "swin_unet.layers.2.downsample"),
                ("layers.3", "swin_unet.layers.3"),
                ("norm", "swin_unet.norm"),
                ("layers.0.blocks", "swin_unet.layers_up.3.blocks"),
                ("layers.1.blocks", "swin_unet.layers_up.2.blocks"),
                ("layers.2.blocks.0", "swin_unet.layers_up.1.blocks.0"),
                ("layers.2.blocks.1", "swin_unet.layers_up.1.blocks.1"),
            ],
        },
        // timm counts a merging to the stage behind it.
    ];

    fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        let [_, _, height, width] = images.dims();
        let mut size = [height / PATCH, width / PATCH];
        let mut x = self.patch_embed.forward(images); // [B, H W / 16, 96]
        let mut skips = Vec::with_capacity(self.ups.len());
        for layer in &self.layers {
            if let Some(downsample) = &layer.downsample {
                skips.push((x.clone(), size));
                x = downsample.forward(layer.blocks(x, size), size); // [B, N / 4, 2 C]
                size = size.map(|side| side / 2);
            } else {
                x = layer.blocks(x, size); // [B, H W / 1024, 768]
            }
        }
        x = self.first_expanding.forward(self.encoder_norm.forward(x), size); // [B, H W / 256, 384]
        for (up, (skip, at)) in self.ups.iter().zip(skips.into_iter().rev()) {
            x = up.forward(x, skip, at); // [B, 4 N, C / 2], the last one [B, H W / 16, 96]
            size = at;
        }
        let x = self.last_expanding.forward(self.decoder_norm.forward(x), size); // [B, H W, 96]
        self.head.forward(to_image(x, [height, width])) // [B, 1, H, W]
    }
}

/// Non-overlapping patches to normalised tokens.
#[derive(Module, Debug)]
struct PatchEmbed {
    proj: Conv2d,
    norm: LayerNorm,
}

impl PatchEmbed {
    /// [B, 3, H, W] to [B, H W / 16, 96].
    fn forward(&self, images: Tensor<4>) -> Tensor<3> {
        self.norm.forward(to_tokens(self.proj.forward(images)))
    }
}

/// A stage of the encoder.
#[derive(Module, Debug)]
struct Down {
    blocks: Vec<SwinBlock<Mlp>>,
    downsample: Option<PatchMerging>,
}

impl Down {
    /// [B, N, C] to the same shape.
    fn blocks(&self, x: Tensor<3>, size: [usize; 2]) -> Tensor<3> {
        self.blocks.iter().fold(x, |x, block| block.forward(x, size))
    }
}

/// A stage of the decoder.
#[derive(Module, Debug)]
struct Up {
    reduce: Linear,
    blocks: Vec<SwinBlock<Mlp>>,
    upsample: Option<PatchExpanding>,
}

impl Up {
    /// x and skip [B, N, C] of a map of that size to [B, 4 N, C / 2], without
    /// an expansion to [B, N, C].
    fn forward(&self, x: Tensor<3>, skip: Tensor<3>, size: [usize; 2]) -> Tensor<3> {
        let x = self.reduce.forward(Tensor::cat(vec![x, skip], 2));
        let x = self.blocks.iter().fold(x, |x, block| block.forward(x, size));
        match &self.upsample {
            Some(upsample) => upsample.forward(x, size),
            None => x,
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Result;
    use dygl_tests::arrays::Arrays;
    use dygl_tests::classifier::check;

    use super::*;
    use crate::testing::{image, laid, square};

    /// The encoder, and beside each of its stages that of the decoder which
    /// starts from the same weights.
    #[test]
    fn a_swin_of_timm_gives_its_own_maps() -> Result<()> {
        check("swin_unet", "swin_tiny_patch4_window7_224", |tensors| {
            let config = SwinUnetConfig { window: 7, drop_path: 0.0 };
            let net = laid(config.init(&Device::flex()), tensors);
            let mut x = net.patch_embed.forward(image());
            let mut found = Arrays::from([("patches".to_owned(), square(&x))]);
            for (level, layer) in net.layers.iter().enumerate() {
                let size = [56 >> level; 2];
                let encoded = layer.blocks(x.clone(), size);
                if let Some(up) = net.ups.iter().rev().nth(level) {
                    let decoded = up.blocks.iter().fold(x, |x, block| block.forward(x, size));
                    assert_eq!(square(&decoded), square(&encoded), "level {level} of the decoder");
                }
                found.insert(format!("layers.{level}"), square(&encoded));
                x = match &layer.downsample {
                    Some(downsample) => downsample.forward(encoded, size),
                    None => encoded,
                };
            }
            found.insert("norm".into(), square(&net.encoder_norm.forward(x)));
            found
        })
    }
}
