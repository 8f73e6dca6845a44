//! Softmax over the last axis, forward and backward.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::Tensor;

/// e^(x - largest) over its sum along the last axis, any shape.
pub fn softmax<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as SoftmaxOps>::soften(x.into_dispatch()))
}

/// [`softmax`] on a backend.
#[backend_extension(Flex: cfg(feature = "flex"), LibTorch: cfg(feature = "tch"), Capture, Autodiff)]
pub trait SoftmaxOps: Backend {
    /// Along the last axis.
    fn soften(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let axis = x.shape().num_dims() - 1;
        Self::softmax(x, axis)
    }

    /// y (grad - sum of y grad) along the last axis.
    fn soften_backward(y: FloatTensor<Self>, grad: FloatTensor<Self>) -> FloatTensor<Self> {
        let axis = y.shape().num_dims() - 1;
        let mean = Self::float_sum_dim(Self::float_mul(y.clone(), grad.clone()), axis);
        Self::float_mul(y, Self::float_sub(grad, mean))
    }
}

#[derive(Debug)]
struct Softmax;

impl<B: Backend + SoftmaxOps> Backward<B, 1> for Softmax {
    /// The output.
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        unary::<B, _>(ops.parents, ops.node, grads, |grad| B::soften_backward(ops.state, grad));
    }
}

impl<B: Backend + SoftmaxOps, C: CheckpointStrategy> SoftmaxOps for Autodiff<B, C> {
    fn soften(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let y = B::soften(x);
        match Softmax.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(y.clone(), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}

#[cfg(feature = "tch")]
impl SoftmaxOps for burn::backend::LibTorch {}

#[cfg(feature = "flex")]
pub(crate) mod flex {
    use burn::backend::{Flex, TensorMetadata};
    use burn::tensor::{DType, TensorData};
    use rayon::prelude::*;

    use super::SoftmaxOps;
    use crate::op::curve::flex::exp_negative;
    use crate::op::host::{CHUNK, Host, contiguous, owned, values, vectorised};

    /// Partial sums of a row.
    const LANES: usize = 16;

    impl SoftmaxOps for Flex {
        fn soften(x: Host) -> Host {
            if x.dtype() == DType::F64 {
                return double(x);
            }
            let columns = columns(&x);
            let mut x = owned(x);
            each_share(x.storage_mut::<f32>(), columns, |_, rows| {
                vectorised(
                    #[inline(always)]
                    || rows.chunks_exact_mut(columns).for_each(soft),
                );
            });
            x
        }

        fn soften_backward(y: Host, grad: Host) -> Host {
            let columns = columns(&y);
            let y = contiguous(y);
            if y.dtype() == DType::F64 {
                return double_backward(&y, &contiguous(grad), columns);
            }
            let mut grad = owned(grad);
            each_share(grad.storage_mut::<f32>(), columns, |at, rows| {
                vectorised(
                    #[inline(always)]
                    || {
                        let weights = values(&y)[at..].chunks_exact(columns);
                        let rows = weights.zip(rows.chunks_exact_mut(columns));
                        rows.for_each(|(weights, slopes)| through_softmax(weights, slopes));
                    },
                );
            });
            grad
        }
    }

    fn columns(x: &Host) -> usize {
        let shape = x.shape();
        shape[shape.num_dims() - 1].max(1)
    }

    /// Does whole rows, share by share, on all threads; with the index of the first
    /// value.
    fn each_share(x: &mut [f32], columns: usize, run: impl Fn(usize, &mut [f32]) + Send + Sync) {
        let share = (CHUNK / columns).max(1) * columns;
        x.par_chunks_mut(share).enumerate().for_each(|(index, rows)| run(index * share, rows));
    }

    fn double(x: Host) -> Host {
        let (columns, x) = (columns(&x), contiguous(x));
        let mut y = x.as_slice::<f64>().unwrap_or_default().to_vec();
        for row in y.chunks_exact_mut(columns) {
            let most = row.iter().fold(f64::NEG_INFINITY, |most, score| most.max(*score));
            row.iter_mut().for_each(|score| *score = libm::exp(*score - most));
            let sum: f64 = row.iter().sum();
            row.iter_mut().for_each(|weight| *weight /= sum);
        }
        Host::from_data(TensorData::new(y, x.shape()))
    }

    fn double_backward(y: &Host, grad: &Host, columns: usize) -> Host {
        let mut slopes = grad.as_slice::<f64>().unwrap_or_default().to_vec();
        let weights = y.as_slice::<f64>().unwrap_or_default().chunks_exact(columns);
        for (weights, slopes) in weights.zip(slopes.chunks_exact_mut(columns)) {
            let mean: f64 = weights.iter().zip(&*slopes).map(|(weight, slope)| weight * slope).sum();
            slopes.iter_mut().zip(weights).for_each(|(slope, weight)| *slope = weight * (*slope - mean));
        }
        Host::from_data(TensorData::new(slopes, y.shape()))
    }

    /// Softmax of a row, in place.
    #[inline(always)]
    pub(crate) fn soft(row: &mut [f32]) {
        let most = row.iter().fold(f32::NEG_INFINITY, |most, score| most.max(*score));
        let mut sums = [0.0f32; LANES];
        let (whole, rest) = row.as_chunks_mut::<LANES>();
        for scores in whole {
            for lane in 0..LANES {
                scores[lane] = exp_negative(scores[lane] - most);
                sums[lane] += scores[lane];
            }
        }
        for (lane, score) in rest.iter_mut().enumerate() {
            *score = exp_negative(*score - most);
            sums[lane] += *score;
        }
        let inverse = sums.iter().sum::<f32>().recip();
        row.iter_mut().for_each(|weight| *weight *= inverse);
    }

    /// The gradient of a row's scores, given its weights and their gradient, in
    /// place of the latter.
    #[inline(always)]
    pub(crate) fn through_softmax(weights: &[f32], slopes: &mut [f32]) {
        let mut sums = [0.0f32; LANES];
        let ((whole, rest), (more, left)) = (weights.as_chunks::<LANES>(), slopes.as_chunks::<LANES>());
        for (weights, slopes) in whole.iter().zip(more) {
            for lane in 0..LANES {
                sums[lane] += weights[lane] * slopes[lane];
            }
        }
        for (lane, (weight, slope)) in rest.iter().zip(left).enumerate() {
            sums[lane] += weight * slope;
        }
        let mean = sums.iter().sum::<f32>();
        slopes.iter_mut().zip(weights).for_each(|(slope, weight)| *slope = weight * (*slope - mean));
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::FloatDType;

    use super::softmax;
    use crate::op::testing::{agree, gradients_of, normal};

    #[test]
    fn values_and_gradients_are_those_of_burn_in_f64() {
        for shape in [[1, 1, 1, 1], [2, 3, 49, 49], [1, 1, 700, 17], [2, 1, 5, 3136]] {
            let inputs = [normal(shape, 0.0, 1) * 3.0];
            let ours = gradients_of(&inputs, |[x]| softmax(x));
            assert_eq!(ours, gradients_of(&inputs, |[x]| softmax(x)), "repeats differ");
            let double = inputs.map(|x| x.cast(FloatDType::F64));
            let exact = gradients_of(&double, |[x]| burn::tensor::activation::softmax(x, 3));
            agree(&ours, &exact, 3e-6);
            agree(&gradients_of(&double, |[x]| softmax(x)), &exact, 1e-12);
        }
    }

    #[cfg(feature = "tch")]
    #[test]
    fn libtorch_agrees() {
        crate::op::testing::on_both([normal([2, 3, 49, 49], 0.0, 1)], |[x]| softmax(x));
    }
}
