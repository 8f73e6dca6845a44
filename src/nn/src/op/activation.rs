//! Activations: ReLU, forward and backward, and which one follows a
//! normalisation. burn's ReLU keeps its input for the backward pass; its
//! output, which the next layer keeps anyway, tells as much.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

use super::gelu;

/// What is done to each value behind a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// x as it is.
    Identity,
    /// max(x, 0).
    Relu,
    /// x Phi(x), the exact form.
    Gelu,
}

impl Activation {
    /// Of each value; any shape.
    pub fn apply<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Identity => x,
            Self::Relu => relu(x),
            Self::Gelu => gelu(x),
        }
    }
}

/// max(x, 0), any shape. Its gradient at 0 is 0.
pub fn relu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as ReluOps>::rectify(x.into_dispatch()))
}

/// ReLU on a backend; its gradient is taken from its output.
#[backend_extension(Flex: cfg(feature = "flex"), LibTorch: cfg(feature = "tch"), Capture, Autodiff)]
pub trait ReluOps: Backend {
    /// max(x, 0).
    fn rectify(x: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::relu(x)
    }

    /// grad where y > 0, else 0.
    fn rectify_backward(y: FloatTensor<Self>, grad: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::relu_backward(y, grad)
    }
}

#[derive(Debug)]
struct Rectify;

impl<B: Backend + ReluOps> Backward<B, 1> for Rectify {
    /// The output.
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        unary::<B, _>(ops.parents, ops.node, grads, |grad| B::rectify_backward(ops.state, grad));
    }
}

impl<B: Backend + ReluOps, C: CheckpointStrategy> ReluOps for Autodiff<B, C> {
    fn rectify(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let y = B::rectify(x);
        match Rectify.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(y.clone(), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}

#[cfg(feature = "flex")]
pub(crate) mod flex {
    use burn::backend::Flex;
    use burn::tensor::DType;

    use super::ReluOps;
    use crate::op::gelu::flex::{INV_SQRT_TAU, parts};
    use crate::op::host::{Host, altered, contiguous, values};

    /// An activation as scalar functions, inlined into loops over vectors.
    pub(crate) trait Curve: Send + Sync {
        fn value(z: f32) -> f32;
        /// Its derivative.
        fn slope(z: f32) -> f32;
    }

    pub(crate) struct Identity;
    pub(crate) struct Relu;
    pub(crate) struct Gelu;

    impl Curve for Identity {
        #[inline(always)]
        fn value(z: f32) -> f32 {
            z
        }

        #[inline(always)]
        fn slope(_: f32) -> f32 {
            1.0
        }
    }

    impl Curve for Relu {
        /// NaN stays NaN.
        #[inline(always)]
        fn value(z: f32) -> f32 {
            if z < 0.0 { 0.0 } else { z }
        }

        #[inline(always)]
        fn slope(z: f32) -> f32 {
            if z > 0.0 { 1.0 } else { 0.0 }
        }
    }

    impl Curve for Gelu {
        #[inline(always)]
        fn value(z: f32) -> f32 {
            z * parts(z).0
        }

        #[inline(always)]
        fn slope(z: f32) -> f32 {
            let (cdf, bell) = parts(z);
            cdf + z * (bell * INV_SQRT_TAU)
        }
    }

    impl ReluOps for Flex {
        fn rectify(x: Host) -> Host {
            if x.dtype() != DType::F32 {
                return <Self as burn::backend::ops::ActivationOps<Self>>::relu(x);
            }
            altered(
                x,
                #[inline(always)]
                |_, x| x.iter_mut().for_each(|x| *x = Relu::value(*x)),
            )
        }

        fn rectify_backward(y: Host, grad: Host) -> Host {
            if y.dtype() != DType::F32 {
                return <Self as burn::backend::ops::ActivationOps<Self>>::relu_backward(y, grad);
            }
            let y = contiguous(y);
            let output = values(&y);
            altered(
                grad,
                #[inline(always)]
                |at, g| g.iter_mut().zip(&output[at..]).for_each(|(g, y)| *g *= Relu::slope(*y)),
            )
        }
    }
}

#[cfg(feature = "tch")]
mod torch {
    use burn::backend::LibTorch;

    use super::ReluOps;
    use crate::op::torch::{Torch, wrap};

    impl ReluOps for LibTorch {
        /// In place, if nobody else holds x: no norm or convolution keeps its output.
        fn rectify(x: Torch) -> Torch {
            x.unary_ops(|mut x| x.relu_(), |x| x.relu())
        }

        fn rectify_backward(y: Torch, grad: Torch) -> Torch {
            wrap(y.tensor.threshold_backward(&grad.tensor, 0.0))
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{Device, Tensor, activation};

    use super::relu;
    use crate::op::testing::normal;

    #[test]
    fn values_and_gradients_are_those_of_burn() {
        let device = Device::flex().autodiff();
        // Whole blocks and a rest; a zero among them.
        let x = normal([3, 41, 67], 0.0, 1);
        let x = x.slice_assign([0..1, 0..1, 0..1], Tensor::zeros([1, 1, 1], &Device::flex()));
        let run = |f: fn(Tensor<3>) -> Tensor<3>| {
            let x = Tensor::<3>::from_data(x.to_data(), &device).require_grad();
            let y = f(x.clone().swap_dims(0, 2));
            let grads = (y.clone() + 1.0).powi_scalar(3).sum().backward();
            (y.into_data(), x.grad(&grads).expect("tracked").into_data())
        };
        assert_eq!(run(relu), run(activation::relu));
    }

    #[test]
    fn not_a_number_stays_visible() {
        let x = Tensor::<1>::from_floats([f32::NAN, -1.0, f32::INFINITY], &Device::flex());
        let y = relu(x).into_data().try_to_vec::<f32>().expect("f32");
        assert!(y[0].is_nan() && y[1] == 0.0 && y[2] == f32::INFINITY);
    }

    #[cfg(feature = "tch")]
    #[test]
    fn libtorch_agrees() {
        crate::op::testing::on_both([normal([2, 4, 20, 50], 0.0, 1)], |[x]| relu(x));
    }
}
