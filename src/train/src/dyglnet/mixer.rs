//! The hybrid mixer (eq. 2-7): attention on some channels, dilated
//! convolutions on the others, fused by a projection.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use dygl_nn::layer::{
    BatchNorm2d, BatchNorm2dConfig, DynamicTanh, DynamicTanhConfig, GroupNorm, GroupNormConfig, LayerNorm,
    LayerNormConfig, SqueezeExcitation, SqueezeExcitationConfig,
};
use dygl_nn::op::{gelu, matmul, relu, softmax};
use dygl_nn::trace::{self, Kind};

use super::block::{ConvNormGelu, ConvNormGeluConfig};

/// Channels of a query and of a key.
const QUERY: usize = 16;
/// Of the three convolutions of eq. 5.
const DILATIONS: [usize; 3] = [1, 2, 3];

/// What stands in front of the attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Norm {
    /// Dynamic tanh.
    #[default]
    Dyt,
    /// Group norm over all attention channels (Table 6, "w/o DyT"): what the
    /// parent design, SHViT, has there.
    Group,
    /// Layer norm over the attention channels of each pixel: another reading
    /// of "ordinary normalization".
    Layer,
    /// Batch norm: another reading.
    Batch,
}

/// What the local branch of the mixers does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Local {
    /// Dilated depthwise convolutions (eq. 5, 6).
    #[default]
    Dilated,
    /// In the encoder their batch norm alone (Table 6, "w/o DC": "in the
    /// downsampling stage").
    None,
    /// The same in the decoder too: another reading.
    Nowhere,
    /// In the encoder the convolution of dilation 1 alone: another reading.
    Single,
    /// In the encoder no local branch at all, as in SHViT: another reading.
    Identity,
}

impl Local {
    /// Dilations of the encoder's convolutions; none where it has no local branch.
    fn encoder(self) -> Option<&'static [usize]> {
        match self {
            Local::Dilated => Some(&DILATIONS),
            Local::Single => Some(&DILATIONS[..1]),
            Local::None | Local::Nowhere => Some(&[]),
            Local::Identity => None,
        }
    }

    /// Dilations of the decoder's convolutions.
    pub(super) fn decoder(self) -> &'static [usize] {
        if self == Local::Nowhere { &[] } else { &DILATIONS }
    }
}

/// What the global branch does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Global {
    /// Single-head self-attention (eq. 3, 4).
    #[default]
    Attention,
    /// Nothing: the channels pass unchanged (Table 6, "w/o SA").
    None,
}

/// Configuration of a [`Mixer`].
#[derive(Debug, Clone, Copy)]
pub(super) struct MixerConfig {
    pub(super) channels: usize,
    pub(super) attention: usize,
    pub(super) norm: Norm,
    pub(super) local: Local,
    pub(super) global: Global,
}

impl MixerConfig {
    pub(super) fn init(&self, device: &Device) -> Mixer {
        let attention = self.attention;
        let attends = self.global == Global::Attention;
        Mixer {
            attention_norm: attends.then(|| match self.norm {
                Norm::Dyt => AttentionNorm::Dyt(DynamicTanhConfig::new(attention).init(device)),
                Norm::Group => AttentionNorm::Group(GroupNormConfig::new(1, attention).init(device)),
                Norm::Layer => AttentionNorm::Layer(LayerNormConfig::new(attention).init(device)),
                Norm::Batch => AttentionNorm::Batch(BatchNorm2dConfig::new(attention).init(device)),
            }),
            qkv: attends.then(|| ConvNormGeluConfig::new(attention, 2 * QUERY + attention, 1).init(device)),
            local: self.local.encoder().map(|dilations| {
                DilatedBlockConfig { channels: self.channels - attention, dilations }.init(device)
            }),
            fuse: ConvNormGeluConfig::new(self.channels, self.channels, 1).init(device),
            attention,
        }
    }
}

/// The first P channels attend globally, the rest mix locally.
#[derive(Module, Debug)]
pub(super) struct Mixer {
    attention_norm: Option<AttentionNorm>,
    qkv: Option<ConvNormGelu>,
    local: Option<DilatedBlock>,
    fuse: ConvNormGelu,
    attention: usize,
}

#[allow(clippy::large_enum_variant, reason = "a network has nine")]
#[derive(Module, Debug)]
enum AttentionNorm {
    Dyt(DynamicTanh),
    Group(GroupNorm),
    Layer(LayerNorm),
    Batch(BatchNorm2d),
}

impl AttentionNorm {
    /// [B, P, H, W] to the same shape.
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        match self {
            AttentionNorm::Dyt(norm) => norm.forward(x),
            AttentionNorm::Group(norm) => norm.forward(x),
            AttentionNorm::Layer(norm) => norm.forward(x.permute([0, 2, 3, 1])).permute([0, 3, 1, 2]),
            AttentionNorm::Batch(norm) => norm.forward(x),
        }
    }
}

impl Mixer {
    /// [B, C, H, W] to the same shape.
    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [_, channels, _, _] = x.dims();
        let global = x.clone().narrow(1, 0, self.attention); // [B, P, H, W]
        let local = x.narrow(1, self.attention, channels - self.attention); // [B, C-P, H, W]
        let global = self.attend(global);
        let local = match &self.local {
            Some(block) => block.forward(local),
            None => local,
        };
        self.fuse.forward(relu(Tensor::cat(vec![global, local], 1))) // [B, C, H, W]
    }

    /// Eq. 3 and 4 on [B, P, H, W]; the attention matrix is [B, n, n], n = H W.
    fn attend(&self, x: Tensor<4>) -> Tensor<4> {
        let (Some(norm), Some(qkv)) = (&self.attention_norm, &self.qkv) else { return x };
        let [batch, channels, height, width] = x.dims();
        let qkv = qkv.forward(norm.forward(x)).reshape([batch, 2 * QUERY + channels, height * width]);
        let query = qkv.clone().narrow(1, 0, QUERY); // [B, 16, n]
        let key = qkv.clone().narrow(1, QUERY, QUERY); // [B, 16, n]
        let value = qkv.narrow(1, 2 * QUERY, channels); // [B, P, n]
        let pixels = height * width;
        trace::tell(Kind::Product, query.dims(), [batch, pixels, pixels], QUERY, &[]);
        let scores = matmul(query.swap_dims(1, 2), key) * (QUERY as f64).sqrt().recip(); // [B, n, n]
        // The reference's softmax is a function.
        trace::functional(|| trace::tell(Kind::Softmax, scores.dims(), scores.dims(), pixels, &[]));
        let weights = softmax(scores);
        trace::tell(Kind::Product, weights.dims(), value.dims(), pixels, &[]);
        matmul(value, weights.swap_dims(1, 2)).reshape([batch, channels, height, width])
    }
}

/// Configuration of a [`DilatedBlock`].
#[derive(Debug, Clone, Copy)]
pub(super) struct DilatedBlockConfig {
    pub(super) channels: usize,
    /// Of its convolutions.
    pub(super) dilations: &'static [usize],
}

impl DilatedBlockConfig {
    pub(super) fn init(&self, device: &Device) -> DilatedBlock {
        let channels = self.channels;
        let branch = |&dilation: &usize| {
            ConvNormGeluConfig::depthwise(channels, 3).padding(dilation).dilation(dilation).init(device)
        };
        DilatedBlock {
            dilated: Dilated {
                branches: self.dilations.iter().map(branch).collect(),
                norm: BatchNorm2dConfig::new(channels).init(device),
            },
            recalibrate: SqueezeExcitationConfig::quarter(channels).init(device),
            widen: ConvNormGeluConfig::new(channels, 2 * channels, 1).init(device),
            narrow: ConvNormGeluConfig::new(2 * channels, channels, 1).init(device),
        }
    }
}

/// Dilated convolutions, squeeze-and-excitation, then a residual channel mixer
/// with two GELUs in a row in its middle. Encoder and decoder use it.
#[derive(Module, Debug)]
pub(super) struct DilatedBlock {
    dilated: Dilated,
    recalibrate: SqueezeExcitation,
    widen: ConvNormGelu,
    narrow: ConvNormGelu,
}

impl DilatedBlock {
    /// [B, C, H, W] to the same shape.
    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.recalibrate.forward(self.dilated.forward(x));
        x.clone() + self.narrow.forward(gelu(self.widen.forward(x)))
    }
}

/// Eq. 5 and 6: x plus depthwise 3x3 convolutions of dilation 1, 2 and 3,
/// each with batch norm and GELU; batch norm of the sum.
#[derive(Module, Debug)]
struct Dilated {
    branches: Vec<ConvNormGelu>,
    norm: BatchNorm2d,
}

impl Dilated {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let sum = self.branches.iter().fold(x.clone(), |sum, branch| sum + branch.forward(x.clone()));
        self.norm.forward(sum)
    }
}
