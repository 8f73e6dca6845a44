//! Layers with parameters. Field names are the reference's tensor names
//! (`weight`, `bias`, `running_mean`, ...), so that most paths need no mapping.

mod batch_norm;
mod buffer;
mod conv;
mod conv_transpose;
mod dynamic_tanh;
mod group_norm;
mod pool;
mod squeeze_excitation;

pub use batch_norm::{BatchNorm2d, BatchNorm2dConfig};
pub use buffer::{Buffer, is_buffer};
pub use conv::{Conv2d, Conv2dConfig};
pub use conv_transpose::{ConvTranspose2d, ConvTranspose2dConfig};
pub use dynamic_tanh::{DynamicTanh, DynamicTanhConfig};
pub use group_norm::{GroupNorm, GroupNormConfig};
pub use pool::max_pool;
pub use squeeze_excitation::{SqueezeExcitation, SqueezeExcitationConfig};

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
