//! Which backend a tensor lives on, where an operation takes another way on one.

use std::cell::Cell;

use burn::backend::DispatchDevice;
use burn::tensor::{DType, Device, Tensor};

/// Which pass a recorded graph shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// The forward pass of a training step: batches' own statistics.
    Training,
    /// Given statistics.
    Evaluation,
}

thread_local! {
    static AS_ON_FLEX: Cell<Option<Pass>> = const { Cell::new(None) };
}

/// Inside it operations on burn's capture device take the ways that they take on
/// flex: each kernel of ours is recorded as one operation with its name, and what
/// is left are the operations that flex leaves to burn.
pub fn as_on_flex<T>(pass: Pass, run: impl FnOnce() -> T) -> T {
    let before = AS_ON_FLEX.replace(Some(pass));
    let result = run();
    AS_ON_FLEX.set(before);
    result
}

/// Whether a kernel is recorded by its name (see [`as_on_flex`]).
pub(crate) fn is_as_on_flex() -> bool {
    AS_ON_FLEX.get().is_some()
}

/// Whether a layer trains: its input carries gradients, or the recorded pass
/// would.
pub(crate) fn trains<const D: usize>(x: &Tensor<D>) -> bool {
    x.device().is_autodiff() || AS_ON_FLEX.get() == Some(Pass::Training)
}

/// Whether the backend of a tensor has kernels of ours for it: libtorch for
/// every kind of value, flex for f32.
pub(crate) fn has_kernel<const D: usize>(x: &Tensor<D>) -> bool {
    is_torch(&x.device()) || has_flex_kernel(x)
}

/// Whether a tensor is one that the kernels on slices take: f32 on flex.
pub(crate) fn has_flex_kernel<const D: usize>(x: &Tensor<D>) -> bool {
    is_flex(&x.device()) && x.dtype() == DType::F32
}

/// Whether it is the flex backend, with or without autodiff.
pub(crate) fn is_flex(device: &Device) -> bool {
    match inner(device) {
        #[cfg(feature = "flex")]
        DispatchDevice::Flex(_) => true,
        DispatchDevice::Capture(_) => is_as_on_flex(),
        #[allow(unreachable_patterns, reason = "without libtorch there is no other")]
        _ => false,
    }
}

/// Whether it is libtorch, on whichever processor, with or without autodiff.
pub(crate) fn is_torch(device: &Device) -> bool {
    #[cfg(feature = "tch")]
    {
        matches!(inner(device), DispatchDevice::LibTorch(_))
    }
    #[cfg(not(feature = "tch"))]
    {
        let _ = device;
        false
    }
}

fn inner(device: &Device) -> DispatchDevice {
    device.clone().without_autodiff().as_dispatch().clone()
}
