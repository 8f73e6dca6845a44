//! Operations in libtorch's own words: its kernels, and its gradients.
//!
//! burn composes some gradients of primitives (a convolution per channel, a
//! kernel as large as the map); libtorch has them as one kernel each, but its
//! binding offers no function for them. They are reached by recording the
//! forward pass on libtorch's tape and walking it back at once.

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

/// Gradients of sum(f(inputs) x grad) with respect to each of `inputs`. `f`
/// gets them in their order and is computed once more.
pub(crate) fn gradients<const N: usize>(
    inputs: [&Torch; N],
    grad: &Torch,
    f: impl FnOnce(&[Tensor; N]) -> Tensor,
) -> [Torch; N] {
    let leaves = inputs.map(|input| input.tensor.detach().set_requires_grad(true));
    let weighted = tch::with_grad(|| f(&leaves) * &grad.tensor);
    let mut found = Tensor::run_backward(&[weighted], &leaves, false, false).into_iter();
    // One gradient comes back for each leaf; a missing one would be zero.
    leaves.map(|leaf| wrap(found.next().unwrap_or_else(|| leaf.detach().zeros_like())))
}
