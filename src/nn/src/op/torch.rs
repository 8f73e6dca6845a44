//! Operations in libtorch's own words: its kernels, and those of its gradients.
//!
//! burn composes some gradients of primitives (a convolution per channel, a
//! kernel as large as the map); libtorch has them as one kernel each.

pub(crate) mod aten;
mod convolution;
mod sample;
#[cfg(all(test, feature = "flex"))]
mod tests;

use burn::backend::LibTorch;
use burn::backend::libtorch::TchTensor;
use burn::backend::tensor::FloatTensor;
use tch::Tensor;

/// A tensor of the libtorch backend.
pub(crate) type Torch = FloatTensor<LibTorch>;

/// A fresh result as burn holds it. It must share its memory with no other
/// tensor: burn writes into what nobody else holds.
pub(crate) fn wrap(tensor: Tensor) -> Torch {
    TchTensor::new(tensor)
}
