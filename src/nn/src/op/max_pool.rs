//! Max pooling. burn keeps its input for the backward pass, which asks it for
//! nothing but its shape; the choices and the shape are enough.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::{Device, FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Capture, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{FloatDType, IntDType, Shape, Tensor};

/// The largest value of each window: x [B, C, H, W] to [B, C, H', W'] with
/// H' = (H + 2 padding - side) / stride + 1. What lies beyond the border is no
/// value.
pub fn max_pool(x: Tensor<4>, window: Pool) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as MaxPoolOps>::pool_max(x.into_dispatch(), window))
}

/// A square window of a pool, pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// Length of the window's side.
    pub side: usize,
    /// From one window to the next.
    pub stride: usize,
    /// Rows and columns beyond each border.
    pub padding: usize,
}

impl Pool {
    /// Side, stride, padding and dilation along both axes, as burn takes them.
    fn axes(self) -> [[usize; 2]; 4] {
        [self.side, self.stride, self.padding, 1].map(|length| [length; 2])
    }
}

/// Max pooling on a backend.
#[backend_extension(Flex: cfg(feature = "flex"), LibTorch: cfg(feature = "tch"), Capture, Autodiff)]
pub trait MaxPoolOps: Backend {
    /// [B, C, H', W'].
    fn pool_max(x: FloatTensor<Self>, window: Pool) -> FloatTensor<Self> {
        let [side, stride, padding, dilation] = window.axes();
        Self::max_pool2d(x, side, stride, padding, dilation, false)
    }
}

/// How a backend keeps the place of a value within its plane.
pub trait Places {
    /// Type of the places that the backend's pool gives and its gradient takes.
    const KIND: IntDType;
}

#[cfg(feature = "flex")]
impl MaxPoolOps for burn::backend::Flex {}
#[cfg(feature = "flex")]
impl Places for burn::backend::Flex {
    const KIND: IntDType = IntDType::I32;
}

#[cfg(feature = "tch")]
impl MaxPoolOps for burn::backend::LibTorch {}
#[cfg(feature = "tch")]
impl Places for burn::backend::LibTorch {
    /// Its gradient reads no other.
    const KIND: IntDType = IntDType::I64;
}

/// Recorded as one operation.
impl MaxPoolOps for Capture {}
impl Places for Capture {
    const KIND: IntDType = IntDType::I32;
}

/// What the backward pass needs.
#[derive(Debug, Clone)]
struct Choices<B: Backend> {
    /// Where each value of the output comes from.
    indices: IntTensor<B>,
    shape: Shape,
    kind: FloatDType,
    device: Device<B>,
    window: Pool,
}

#[derive(Debug)]
struct MaxPool;

impl<B: Backend> Backward<B, 1> for MaxPool {
    type State = Choices<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let Choices { indices, shape, kind, device, window } = ops.state;
        let [side, stride, padding, dilation] = window.axes();
        unary::<B, _>(ops.parents, ops.node, grads, |grad| {
            // One zero that looks like the input.
            let x = B::float_expand(B::float_zeros(Shape::from([1; 4]), &device, kind), shape);
            B::max_pool2d_with_indices_backward(x, side, stride, padding, dilation, false, grad, indices)
                .x_grad
        });
    }
}

impl<B: MaxPoolOps + Places, C: CheckpointStrategy> MaxPoolOps for Autodiff<B, C> {
    fn pool_max(x: FloatTensor<Self>, window: Pool) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        match MaxPool.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let (shape, kind, device) = (x.shape(), x.dtype().into(), x.device());
                let [side, stride, padding, dilation] = window.axes();
                let pooled = B::max_pool2d_with_indices(x, side, stride, padding, dilation, false, B::KIND);
                let indices = pooled.indices;
                prep.finish(Choices { indices, shape, kind, device, window }, pooled.output)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::pool_max(x, window)),
        }
    }
}
