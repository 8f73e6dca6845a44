//! The block of encoder and decoder: attention over reduced keys and values,
//! and a feed-forward part that mixes neighbours.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use dygl_nn::layer::{
    Conv2d, Conv2dConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig, join_heads, split_heads,
    to_image, to_tokens,
};
use dygl_nn::op;
use dygl_nn::trace::{self, Standing};

/// Features of each head.
const HEAD: usize = 64;

/// Widening of the feed-forward parts.
const WIDEN: usize = 4;

/// Configuration of a [`Block`].
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockConfig {
    pub features: usize,
    /// Keys and values stand for tiles of this side.
    pub reduction: usize,
}

impl BlockConfig {
    pub fn init(&self, device: &Device) -> Block {
        let Self { features, .. } = *self;
        Block {
            norm1: LayerNormConfig::new(features).init(device),
            attn: EfficientAttention::new(*self, device),
            norm2: LayerNormConfig::new(features).init(device),
            mlp: MixFeedForward::new(features, device),
        }
    }
}

/// x + attention(norm(x)), then x + feed-forward(norm(x)).
#[derive(Module, Debug)]
pub(super) struct Block {
    norm1: LayerNorm,
    attn: EfficientAttention,
    norm2: LayerNorm,
    mlp: MixFeedForward,
}

impl Block {
    /// [B, H W, C] of a map of `[H, W]` to the same shape.
    pub fn forward(&self, x: Tensor<3>, size: [usize; 2]) -> Tensor<3> {
        let x = x.clone() + self.attn.forward(self.norm1.forward(x), size);
        x.clone() + self.mlp.forward(self.norm2.forward(x), size)
    }
}

/// Queries of every token, keys and values of a map whose sides are
/// `reduction` times smaller (Wang et al., PVT, 2021).
#[derive(Module, Debug)]
struct EfficientAttention {
    q: Linear,
    /// Keys, then values, each head-major.
    kv: Linear,
    proj: Linear,
    /// Makes the smaller map; `None` where it is the map itself.
    sr: Option<Conv2d>,
    /// Of the smaller map.
    norm: Option<LayerNorm>,
    heads: usize,
}

impl EfficientAttention {
    fn new(BlockConfig { features, reduction }: BlockConfig, device: &Device) -> Self {
        let reduces = reduction > 1;
        let sr = || Conv2dConfig::new(features, features, reduction).stride(reduction).init(device);
        Self {
            q: LinearConfig::new(features, features).init(device),
            kv: LinearConfig::new(features, 2 * features).init(device),
            proj: LinearConfig::new(features, features).init(device),
            sr: reduces.then(sr),
            norm: reduces.then(|| LayerNormConfig::new(features).init(device)),
            heads: features / HEAD,
        }
    }

    fn forward(&self, x: Tensor<3>, size: [usize; 2]) -> Tensor<3> {
        let source = match (&self.sr, &self.norm) {
            (Some(sr), Some(norm)) => norm.forward(to_tokens(sr.forward(to_image(x.clone(), size)))),
            _ => x.clone(),
        };
        let x = attend(self.q.forward(x), self.kv.forward(source), self.heads);
        self.proj.forward(x)
    }
}

/// Queries [B, N, C] and keys beside values [B, M, 2 C] to [B, N, C]; scores
/// scaled by 1 / sqrt(C / heads).
pub(super) fn attend(q: Tensor<3>, kv: Tensor<3>, heads: usize) -> Tensor<3> {
    let [_, _, features] = q.dims();
    let [k, v] = kv.chunk(2, 2).try_into().expect("two chunks of a half each");
    let [q, k, v] = [q, k, v].map(|x| split_heads(x, heads));
    let scale = ((features / heads) as f64).sqrt().recip();
    join_heads(trace::functional(|| op::attention(q, k, v, scale, None)))
}

/// fc2(GELU(norm(d(a) + a))), a = fc1(x), d a depthwise 3 x 3 convolution: the
/// paper's enhanced Mix-FFN with one skip.
#[derive(Module, Debug)]
pub(super) struct MixFeedForward {
    fc1: Linear,
    depthwise: Conv2d,
    fc2: Linear,
    norm1: LayerNorm,
    /// Of a deeper variant: takes no part.
    norm2: LayerNorm,
    /// Of a deeper variant: takes no part.
    norm3: LayerNorm,
}

impl MixFeedForward {
    /// `features` features, four times as many inside.
    pub fn new(features: usize, device: &Device) -> Self {
        let hidden = WIDEN * features;
        let norm = || LayerNormConfig::new(hidden).init(device);
        Self {
            fc1: LinearConfig::new(features, hidden).init(device),
            depthwise: Conv2dConfig::new(hidden, hidden, 3).padding(1).groups(hidden).init(device),
            fc2: LinearConfig::new(hidden, features).init(device),
            norm1: norm(),
            norm2: norm(),
            norm3: norm(),
        }
    }

    /// [B, H W, C] of a map of `[H, W]` to the same shape.
    pub fn forward(&self, x: Tensor<3>, size: [usize; 2]) -> Tensor<3> {
        // The reference computes this twice, once for each term of the sum.
        trace::besides(Standing::Repeated, || self.fc1.forward(x.clone()));
        let x = self.fc1.forward(x); // [B, H W, 4 C]
        let mixed = to_tokens(self.depthwise.forward(to_image(x.clone(), size)));
        self.fc2.forward(op::gelu(self.norm1.forward(mixed + x)))
    }
}
