//! Layers with parameters. Field names are the reference's tensor names
//! (`weight`, `bias`, `running_mean`, ...), so that most paths need no mapping.

mod attention;
mod batch_norm;
mod buffer;
mod conv;
mod conv_transpose;
mod dynamic_tanh;
mod eca;
mod group_norm;
mod layer_norm;
mod linear;
mod mlp;
mod patch;
mod pool;
mod residual;
mod squeeze_excitation;
mod swin;
mod tokens;

pub use attention::{
    SelfAttention, SelfAttentionConfig, TransformerBlock, TransformerBlockConfig, join_heads, split_heads,
};
pub use batch_norm::{BatchNorm2d, BatchNorm2dConfig};
pub use buffer::{Buffer, is_buffer};
pub use conv::{Conv2d, Conv2dConfig};
pub use conv_transpose::{ConvTranspose2d, ConvTranspose2dConfig};
pub use dynamic_tanh::{DynamicTanh, DynamicTanhConfig};
pub use eca::{Conv1d, EfficientChannelAttention, EfficientChannelAttentionConfig};
pub use group_norm::{GroupNorm, GroupNormConfig};
pub use layer_norm::{LayerNorm, LayerNormConfig};
pub use linear::{Linear, LinearConfig};
pub use mlp::{Mlp, MlpConfig};
pub use patch::{PatchExpanding, PatchExpandingConfig, PatchMerging, PatchMergingConfig};
pub use pool::{avg_pool_3x3, global_average, max_pool, max_pool_stem};
pub use residual::{BasicBlock, BasicBlockConfig, Bottleneck, BottleneckConfig, Shortcut};
pub use squeeze_excitation::{SqueezeExcitation, SqueezeExcitationConfig};
pub use swin::{SwinBlock, SwinBlockConfig, SwinMlp, WindowAttention, drop_path_ramp};
pub use tokens::{to_image, to_tokens};

use burn::module::Param;
use burn::tensor::{Device, Tensor};

/// A parameter of zeros; the initial values come from elsewhere, by name.
pub(crate) fn zeros<const D: usize>(shape: [usize; D], device: &Device) -> Param<Tensor<D>> {
    Param::from_tensor(Tensor::zeros(shape, device))
}

/// A parameter of ones.
pub(crate) fn ones<const D: usize>(shape: [usize; D], device: &Device) -> Param<Tensor<D>> {
    Param::from_tensor(Tensor::ones(shape, device))
}
