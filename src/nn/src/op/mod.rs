//! Operations without parameters of their own.
//!
//! Each file holds one operation that burn lacks or does badly: a backend
//! extension with a kernel for flex (on slices: `host`) and one for libtorch
//! (its own: `torch`), its gradient, and (where burn has a correct one) a
//! default that serves every other backend.

#![cfg_attr(
    feature = "tch",
    allow(deprecated, reason = "burn means to drop libtorch: pinned until it has another CUDA")
)]

mod activation;
#[cfg(feature = "flex")]
mod attend;
mod attention;
mod attention_packed;
mod autocast;
mod backend;
mod batch_norm;
mod convolution;
mod convolution_norm;
#[cfg(feature = "flex")]
mod correlate;
mod curve;
#[cfg(feature = "flex")]
mod filter;
mod gelu;
#[cfg(feature = "flex")]
mod gemm;
#[cfg(feature = "flex")]
mod host;
mod layer_norm;
mod linear;
mod matmul;
#[cfg(feature = "flex")]
mod matrix;
mod max_pool;
mod mean_pool;
mod noise;
mod normalise;
#[cfg(feature = "flex")]
mod outer;
mod overlap;
#[cfg(feature = "flex")]
mod product;
mod recorded;
mod resize;
mod sample;
mod softmax;
mod sum;
#[cfg(all(test, feature = "flex"))]
pub(crate) mod testing;
#[cfg(feature = "flex")]
mod tile;
#[cfg(feature = "tch")]
mod torch;
mod update;
mod window_tokens;
#[cfg(feature = "flex")]
mod windows;

pub use activation::{Activation, ReluOps, relu};
pub use attention::{Attended, AttentionBackward, AttentionOps, attention};
pub use attention_packed::{Packed, PackedAttentionBackward, PackedAttentionOps, attention_packed};
pub use autocast::{Autocast, autocast};
pub(crate) use autocast::{is_on as is_autocast, narrow, widen};
pub use backend::{Pass, as_on_flex};
pub(crate) use backend::{has_flex_kernel, trains};
pub use batch_norm::{BatchNormOps, batch_norm, batch_norm_train};
pub use convolution::{Convolution, ConvolutionBackward, ConvolutionOps, convolution};
pub use convolution_norm::{ConvolutionNormOps, convolution_then};
pub use curve::{Curve, CurveOps, inverse_root, sigmoid, tanh};
pub use gelu::{GeluOps, gelu};
pub use layer_norm::{LayerNormBackward, LayerNormOps, NormalisedRows, layer_norm};
pub use linear::{LinearBackward, LinearOps, linear};
pub use matmul::{MatmulOps, matmul};
pub use max_pool::{MaxPoolOps, Places, Pool, max_pool};
pub use mean_pool::{Edge, MeanPoolBackward, MeanPoolOps, mean_pool};
pub use noise::{Noise, drop_path, dropout, noise};
pub use normalise::{NormaliseBackward, NormaliseOps, Normalised, batch_norm_then, batch_norm_train_then};
pub use overlap::{OverlapBackward, OverlapOps, overlap_sums};
pub use resize::{
    Corners, ResizeBackward, ResizeOps, Samples, resize_bilinear, upsample_bilinear, upsample_nearest,
};
pub use sample::{SampleBackward, SampleOps, dynamic_upsample};
pub use softmax::{SoftmaxOps, softmax};
pub use sum::{Axes, SumOps, mean_axes, scale_channels, shift_channels, spread, sum_axes};
#[cfg(feature = "tch")]
pub use torch::aten::keep_memory;
pub use update::{AdamWStep, UpdateOps, adamw, sums_of_squares};
pub use window_tokens::{TokenWindows, WindowOps, window_partition, window_reverse};
