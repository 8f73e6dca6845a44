//! The functions of libtorch that its binding leaves out (gradients of its
//! kernels; `aten.cpp`), one that it is slow at (`depthwise.cpp`), and where its
//! tensors lie (`memory.cpp`). All unsafe code of the project is here.
//!
//! Like the functions of the binding, these panic with libtorch's own text
//! where it refuses its arguments. Results share no memory with arguments.

#![allow(unsafe_code, reason = "calls of C++: tch 0.22 binds no function with an array of bools")]

use std::ffi::{CStr, c_char, c_void};
use std::ptr;

use tch::{Device, Kind, Tensor};

/// A `at::Tensor` behind a pointer.
type Handle = *const c_void;
/// Where a result goes: a `at::Tensor` of its own, or null.
type Slot = *mut c_void;
/// Null, or what went wrong.
type Text = *mut c_char;

/// The form of a convolution with a square window, as `aten.cpp` reads it.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Form {
    pub stride: i64,
    pub padding: i64,
    pub output_padding: i64,
    pub dilation: i64,
    pub groups: i64,
    pub transposed: bool,
}

/// The constants of a step of AdamW, as `aten.cpp` reads them.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Rates {
    pub rate: f64,
    pub beta1: f64,
    pub beta2: f64,
    /// Of the parameter, as a part of `rate`.
    pub decay: f64,
    pub epsilon: f64,
    /// The step's number, from 1.
    pub time: f64,
    /// Factor on the gradient.
    pub clip: f64,
}

unsafe extern "C" {
    fn dygl_free_text(text: Text);
    safe fn dygl_keep_memory();
    #[cfg(all(test, feature = "flex"))]
    fn dygl_memory(out: *mut i64);
    fn dygl_adamw(parameter: Slot, gradient: Slot, m: Slot, v: Slot, rates: *const Rates) -> Text;
    fn dygl_depthwise(input: Handle, weight: Handle, padding: i64, dilation: i64, out: *mut Slot) -> Text;
    fn dygl_depthwise_backward(
        grad: Handle,
        input: Handle,
        weight: Handle,
        padding: i64,
        dilation: i64,
        out: *mut Slot,
    ) -> Text;
    fn dygl_convolution_backward(
        grad: Handle,
        input: Handle,
        weight: Handle,
        form: *const Form,
        channels: i64,
        wanted: *const bool,
        out: *mut Slot,
    ) -> Text;
    fn dygl_batch_norm_backward(
        grad: Handle,
        input: Handle,
        weight: Handle,
        mean: Handle,
        inverse: Handle,
        epsilon: f64,
        out: *mut Slot,
    ) -> Text;
    fn dygl_layer_norm_backward(
        grad: Handle,
        input: Handle,
        weight: Handle,
        mean: Handle,
        inverse: Handle,
        out: *mut Slot,
    ) -> Text;
    fn dygl_grid_sampler_backward(
        grad: Handle,
        input: Handle,
        grid: Handle,
        interpolation: i64,
        padding: i64,
        align_corners: bool,
        out: *mut Slot,
    ) -> Text;
}

/// Lets freed values of tensors on CPUs wait for the next tensor of about their
/// size (`memory.cpp`): no more than half of what tensors needed at most, or
/// 256 MiB. Taking maps of some ten megabytes from the system in each step costs
/// a tenth of its time.
pub fn keep_memory() {
    dygl_keep_memory();
}

/// Bytes of values from 1 MiB up: in tensors, waiting, and the most that were
/// in tensors.
#[cfg(all(test, feature = "flex"))]
pub(super) fn memory() -> [i64; 3] {
    let mut told = [0; 3];
    // SAFETY: three numbers are written, before it returns.
    unsafe { dygl_memory(told.as_mut_ptr()) };
    told
}

fn handle(tensor: &Tensor) -> Handle {
    tensor.as_ptr().cast()
}

/// The results of a call that fills `N` slots.
///
/// # Panics
/// With libtorch's text, where the call fails.
fn results<const N: usize>(call: impl FnOnce(*mut Slot) -> Text) -> [Option<Tensor>; N] {
    let mut slots = [ptr::null_mut(); N];
    let text = call(slots.as_mut_ptr());
    if !text.is_null() {
        // SAFETY: what is not null is a C string of the shim's own, which nobody
        // else holds; it is copied before it is freed, once.
        let message = unsafe {
            let message = CStr::from_ptr(text).to_string_lossy().into_owned();
            dygl_free_text(text);
            message
        };
        panic!("libtorch: {message}");
    }
    slots.map(|slot| {
        // SAFETY: what is not null is a new `at::Tensor` that nobody else holds;
        // `Tensor` frees it as it frees its own, by `delete`.
        (!slot.is_null()).then(|| unsafe { Tensor::from_ptr(slot.cast()) })
    })
}

/// [`results`] of a function all of whose results are wanted.
///
/// # Panics
/// As [`results`], or one is missing.
fn all<const N: usize>(call: impl FnOnce(*mut Slot) -> Text) -> [Tensor; N] {
    results(call).map(|result| match result {
        Some(tensor) => tensor,
        None => panic!("libtorch: a gradient is missing"),
    })
}

/// Gradients of x, weight and bias of a convolution, each if it is `wanted`,
/// given that of its output. Shapes as in [`crate::op::convolution`].
pub(crate) fn convolution_backward(
    grad: &Tensor,
    x: &Tensor,
    weight: &Tensor,
    form: Form,
    wanted: [bool; 3],
) -> [Option<Tensor>; 3] {
    let channels = grad.size().get(1).copied().unwrap_or_default();
    results(|out| {
        // SAFETY: the tensors, the form and the three bools outlive the call,
        // which keeps no pointer; `out` has three slots.
        unsafe {
            let (grad, x, weight) = (handle(grad), handle(x), handle(weight));
            dygl_convolution_backward(grad, x, weight, &raw const form, channels, wanted.as_ptr(), out)
        }
    })
}

/// Gradients of x [B, C, ...], weight and bias [C] of a batch norm in training,
/// given that of its output, the mean [C] and 1 / sqrt(variance + epsilon) [C].
pub(crate) fn batch_norm_backward(
    grad: &Tensor,
    x: &Tensor,
    weight: &Tensor,
    [mean, inverse]: [&Tensor; 2],
    epsilon: f64,
) -> [Tensor; 3] {
    all(|out| {
        // SAFETY: the tensors outlive the call, which keeps
        // no pointer; `out` has three slots.
        unsafe {
            let (grad, x, weight) = (handle(grad), handle(x), handle(weight));
            let (mean, inverse) = (handle(mean), handle(inverse));
            dygl_batch_norm_backward(grad, x, weight, mean, inverse, epsilon, out)
        }
    })
}

/// Gradients of x [..., F], weight and bias [F] of a layer norm over the last
/// axis, given that of its output and what `native_layer_norm` gave beside it:
/// mean and 1 / sqrt(variance + epsilon), each [..., 1].
pub(crate) fn layer_norm_backward(
    grad: &Tensor,
    x: &Tensor,
    weight: &Tensor,
    [mean, inverse]: [&Tensor; 2],
) -> [Tensor; 3] {
    all(|out| {
        // SAFETY: the tensors outlive the call, which keeps
        // no pointer; `out` has three slots.
        unsafe {
            let (grad, x, weight) = (handle(grad), handle(x), handle(weight));
            let (mean, inverse) = (handle(mean), handle(inverse));
            dygl_layer_norm_backward(grad, x, weight, mean, inverse, out)
        }
    })
}

/// Gradients of x [B, C, H, W] and grid [B, H', W', 2] of a sampling without
/// aligned corners, given that of its output; `interpolation` and `padding` are
/// codes of libtorch.
pub(crate) fn grid_sampler_backward(
    grad: &Tensor,
    x: &Tensor,
    grid: &Tensor,
    [interpolation, padding]: [i64; 2],
) -> [Tensor; 2] {
    all(|out| {
        // SAFETY: the tensors outlive the call, which keeps no
        // pointer; `out` has two slots.
        unsafe {
            let (grad, x, grid) = (handle(grad), handle(x), handle(grid));
            dygl_grid_sampler_backward(grad, x, grid, interpolation, padding, false, out)
        }
    })
}

/// Whether [`depthwise`] has a kernel for this: f32 on the CPU, a side of 3, 5
/// or 7, and a border that no window lies in.
pub(crate) fn has_depthwise(x: &Tensor, weight: &Tensor, form: Form) -> bool {
    let (shape, size) = (x.size(), weight.size());
    let side = size.last().copied().unwrap_or_default();
    let (reach, padding) = (form.dilation * (side - 1), form.padding);
    x.device() == Device::Cpu
        && [x.kind(), weight.kind()] == [Kind::Float; 2]
        && form.stride == 1
        && !form.transposed
        && form.groups == shape[1]
        && size[..2] == [shape[1], 1]
        && size[2] == side
        && [3, 5, 7].contains(&side)
        && padding <= reach
        && shape[2..].iter().all(|side| side + 2 * padding > reach)
}

/// One filter per channel on the CPU: x [B, C, H, W], weight [C, 1, k, k] to
/// [B, C, H', W'].
///
/// # Panics
/// Not [`has_depthwise`].
pub(crate) fn depthwise(x: &Tensor, weight: &Tensor, form: Form) -> Tensor {
    assert!(has_depthwise(x, weight, form), "no depthwise kernel for {form:?}");
    let [y] = all(|out| {
        // SAFETY: the tensors outlive the call, which keeps no pointer; what it
        // reads is f32 in the CPU's memory and of fitting sizes, as just checked;
        // `out` has one slot.
        unsafe {
            let (x, weight) = (handle(x), handle(weight));
            dygl_depthwise(x, weight, form.padding, form.dilation, out)
        }
    });
    y
}

/// Gradients of x and weight of [`depthwise`], given that of its output.
///
/// # Panics
/// Not [`has_depthwise`], or the gradient is not f32 of the output's shape.
pub(crate) fn depthwise_backward(grad: &Tensor, x: &Tensor, weight: &Tensor, form: Form) -> [Tensor; 2] {
    assert!(has_depthwise(x, weight, form), "no depthwise kernel for {form:?}");
    all(|out| {
        // SAFETY: as in [`depthwise`], and the callee checks the gradient; `out`
        // has two slots.
        unsafe {
            let (grad, x, weight) = (handle(grad), handle(x), handle(weight));
            dygl_depthwise_backward(grad, x, weight, form.padding, form.dilation, out)
        }
    })
}

/// One step of AdamW on a parameter and its moments, in place; the gradient is
/// left scaled. Nobody else may hold the memory of any of them.
///
/// # Panics
/// They are not of one length.
pub(crate) fn adamw(parameter: &mut Tensor, gradient: &mut Tensor, [m, v]: [&mut Tensor; 2], rates: Rates) {
    let [] = results(|_| {
        // SAFETY: the four tensors are borrowed for writing, so they differ, and
        // outlive the call, which keeps no pointer and checks that they are of one
        // length; there is no slot to fill.
        unsafe {
            dygl_adamw(
                parameter.as_mut_ptr().cast(),
                gradient.as_mut_ptr().cast(),
                m.as_mut_ptr().cast(),
                v.as_mut_ptr().cast(),
                &raw const rates,
            )
        }
    });
}
