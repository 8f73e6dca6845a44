//! Multi-head self-attention, and the pre-norm transformer block around it.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{LayerNorm, LayerNormConfig, Linear, LinearConfig, Mlp, MlpConfig};
use crate::op;
use crate::trace;

/// [B, N, h d] to [B, h, N, d].
pub fn split_heads(x: Tensor<3>, heads: usize) -> Tensor<4> {
    let [batch, tokens, features] = x.dims();
    x.reshape([batch, tokens, heads, features / heads]).swap_dims(1, 2)
}

/// [B, h, N, d] to [B, N, h d].
pub fn join_heads(x: Tensor<4>) -> Tensor<3> {
    let [batch, heads, tokens, features] = x.dims();
    x.swap_dims(1, 2).reshape([batch, tokens, heads * features])
}

/// Configuration of a [`SelfAttention`].
#[derive(Debug, Clone, Copy)]
pub struct SelfAttentionConfig {
    features: usize,
    heads: usize,
}

impl SelfAttentionConfig {
    /// `features` features in `heads` heads.
    pub fn new(features: usize, heads: usize) -> Self {
        Self { features, heads }
    }

    /// The layer, all zeros.
    pub fn init(&self, device: &Device) -> SelfAttention {
        SelfAttention {
            qkv: LinearConfig::new(self.features, 3 * self.features).init(device),
            proj: LinearConfig::new(self.features, self.features).init(device),
            heads: self.heads,
        }
    }
}

/// Every token attends to every token; scores scaled by 1 / sqrt(d).
#[derive(Module, Debug)]
pub struct SelfAttention {
    /// Queries, keys and values, in this order, each head-major.
    pub qkv: Linear,
    /// Of the joined heads.
    pub proj: Linear,
    heads: usize,
}

impl SelfAttention {
    /// [B, N, features] to the same shape; `bias` is added to the scores and
    /// broadcast to [B, heads, N, N].
    pub fn forward(&self, x: Tensor<3>, bias: Option<Tensor<4>>) -> Tensor<3> {
        let [_, _, features] = x.dims();
        let packed = self.qkv.forward(x);
        let scale = ((features / self.heads) as f64).sqrt().recip();
        // timm's softmax is a function.
        let x = trace::functional(|| op::attention_packed(packed, self.heads, scale, bias));
        self.proj.forward(join_heads(x))
    }
}

/// Configuration of a [`TransformerBlock`].
#[derive(Debug, Clone, Copy)]
pub struct TransformerBlockConfig {
    features: usize,
    heads: usize,
    hidden: usize,
    epsilon: f64,
}

impl TransformerBlockConfig {
    /// `features` features in `heads` heads, `hidden` in the perceptron; eps
    /// of the normalisations 1e-5.
    pub fn new(features: usize, heads: usize, hidden: usize) -> Self {
        Self { features, heads, hidden, epsilon: 1e-5 }
    }

    /// Added to the variances.
    pub fn epsilon(self, epsilon: f64) -> Self {
        Self { epsilon, ..self }
    }

    /// The block; its products are zeros.
    pub fn init(&self, device: &Device) -> TransformerBlock {
        let norm = || LayerNormConfig::new(self.features).epsilon(self.epsilon).init(device);
        TransformerBlock {
            norm1: norm(),
            attn: SelfAttentionConfig::new(self.features, self.heads).init(device),
            norm2: norm(),
            mlp: MlpConfig::new(self.features, self.hidden).init(device),
        }
    }
}

/// x + attention(norm(x)), then x + perceptron(norm(x)) (Dosovitskiy et al. 2021).
#[derive(Module, Debug)]
pub struct TransformerBlock {
    /// Before the attention.
    pub norm1: LayerNorm,
    /// Of all tokens.
    pub attn: SelfAttention,
    /// Before the perceptron.
    pub norm2: LayerNorm,
    /// Of each token.
    pub mlp: Mlp,
}

impl TransformerBlock {
    /// [B, N, features] to the same shape.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let x = x.clone() + self.attn.forward(self.norm1.forward(x), None);
        x.clone() + self.mlp.forward(self.norm2.forward(x))
    }
}
