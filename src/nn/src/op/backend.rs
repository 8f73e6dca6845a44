//! Which backend a tensor lives on, where an operation takes another way on one.

use burn::backend::DispatchDevice;
use burn::tensor::{DType, Device, Tensor};

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
    #[cfg(feature = "flex")]
    {
        matches!(inner(device), DispatchDevice::Flex(_))
    }
    #[cfg(not(feature = "flex"))]
    {
        let _ = device;
        false
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

#[cfg(any(feature = "flex", feature = "tch"))]
fn inner(device: &Device) -> DispatchDevice {
    device.clone().without_autodiff().as_dispatch().clone()
}
