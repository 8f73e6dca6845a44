//! Layers with parameters. Field names are the reference's tensor names
//! (`weight`, `bias`, `running_mean`, ...), so that most paths need no mapping.

mod attention;
mod batch_norm;
mod buffer;
mod conv;
mod conv_norm_relu;
mod conv_transpose;
mod double_level_decoder;
mod double_level_fusion;
mod dynamic_tanh;
mod eca;
mod group_norm;
mod layer_norm;
mod linear;
mod mlp;
mod pad;
mod patch;
mod pixel_difference;
mod pool;
mod residual;
mod squeeze_excitation;
mod swin;
mod swin_pyramid;
mod tokens;

pub use attention::{
    SelfAttention, SelfAttentionConfig, TransformerBlock, TransformerBlockConfig, join_heads, split_heads,
};
pub use batch_norm::{BatchNorm2d, BatchNorm2dConfig};
pub use buffer::{Buffer, is_buffer};
pub use conv::{Conv2d, Conv2dConfig};
pub use conv_norm_relu::{ConvNormRelu, ConvNormReluConfig, DoubleConv, DoubleConvConfig};
pub use conv_transpose::{ConvTranspose2d, ConvTranspose2dConfig};
pub use double_level_decoder::{DoubleLevelDecoder, DoubleLevelDecoderConfig};
pub use double_level_fusion::{DoubleLevelFusion, DoubleLevelFusionConfig};
pub use dynamic_tanh::{DynamicTanh, DynamicTanhConfig};
pub use eca::{Conv1d, EfficientChannelAttention, EfficientChannelAttentionConfig};
pub use group_norm::{GroupNorm, GroupNormConfig};
pub use layer_norm::{LayerNorm, LayerNormConfig};
pub use linear::{Linear, LinearConfig};
pub use mlp::{Mlp, MlpConfig};
pub use pad::pad_to;
pub use patch::{PatchExpanding, PatchExpandingConfig, PatchMerging, PatchMergingConfig};
pub use pixel_difference::{PixelDifference, PixelDifferenceConv, PixelDifferenceConvConfig};
pub use pool::{avg_pool_3x3, avg_pool_ceil, global_average, global_average_double, max_pool, max_pool_stem};
pub use residual::{BasicBlock, BasicBlockConfig, Bottleneck, BottleneckConfig, Shortcut};
pub use squeeze_excitation::{SqueezeExcitation, SqueezeExcitationConfig};
pub use swin::{SwinBlock, SwinBlockConfig, SwinMlp, WindowAttention, drop_path_ramp};
pub use swin_pyramid::{PyramidLevel, SwinPyramid, SwinPyramidConfig};
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
