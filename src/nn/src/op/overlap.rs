//! The sums that a segmentation loss is made of, in one pass over the map and
//! one back.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;

use super::backend::has_flex_kernel;
use super::relu;

/// Of logits x and targets t [G, n], with p = sigmoid(x), for each of G groups
/// the sums of the cross-entropy, of p t, of p and of t, each `[G]`. Gradients
/// reach the logits alone.
///
/// The cross-entropy is taken as max(x, 0) - x t + log(1 + e^-|x|), which
/// neither overflows nor loses small probabilities.
pub fn overlap_sums(logits: Tensor<2>, target: Tensor<2>) -> [Tensor<1>; 4] {
    if !(has_flex_kernel(&logits) && has_flex_kernel(&target)) {
        return composed(logits, target);
    }
    let [groups, _] = logits.dims();
    let sums = <Dispatch as OverlapOps>::overlap(logits.into_dispatch(), target.into_dispatch());
    let sums = Tensor::<2>::from_dispatch(sums);
    [0, 1, 2, 3].map(|which| sums.clone().slice([0..groups, which..which + 1]).reshape([groups]))
}

/// [`overlap_sums`] of burn's primitives, for every backend.
fn composed(x: Tensor<2>, t: Tensor<2>) -> [Tensor<1>; 4] {
    let [groups, _] = x.dims();
    let tail = x.clone().abs().neg().exp().log1p();
    let entropy = relu(x.clone()) - x.clone() * t.clone() + tail;
    let p = sigmoid(x);
    [entropy, p.clone() * t.clone(), p, t].map(|part| part.sum_dim(1).reshape([groups]))
}

/// [`overlap_sums`] as one operation of a backend.
#[backend_extension(Flex: cfg(feature = "flex"), Capture, Autodiff)]
pub trait OverlapOps: Backend {
    /// [G, 4].
    fn overlap(logits: FloatTensor<Self>, target: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// The gradient of [`OverlapOps::overlap`].
pub trait OverlapBackward: Backend {
    /// Of the logits, given that of the sums.
    fn overlap_backward(
        logits: FloatTensor<Self>,
        target: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

#[derive(Debug)]
struct Overlap;

impl<B: OverlapOps + OverlapBackward> Backward<B, 1> for Overlap {
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let (logits, target) = ops.state;
        if let [Some(node)] = ops.parents {
            grads.register::<B>(node.id, B::overlap_backward(logits, target, grad));
        }
    }
}

impl<B: OverlapOps + OverlapBackward, C: CheckpointStrategy> OverlapOps for Autodiff<B, C> {
    fn overlap(logits: FloatTensor<Self>, target: FloatTensor<Self>) -> FloatTensor<Self> {
        let (logits, node) = logits.into_parts();
        let target = <Self as AutodiffBackend>::inner(target);
        let sums = B::overlap(logits.clone(), target.clone());
        match Overlap.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((logits, target), sums),
            OpsKind::UnTracked(prep) => prep.finish(sums),
        }
    }
}

#[cfg(feature = "flex")]
mod flex {
    use burn::backend::{Flex, TensorMetadata};
    use rayon::prelude::*;

    use super::{OverlapBackward, OverlapOps};
    use crate::op::curve::flex::{exp_negative, sigmoid};
    use crate::op::host::{CHUNK, Host, contiguous, filled, tensor, values};

    /// sigmoid(x) and log(1 + e^-|x|).
    fn parts(x: f32) -> (f32, f32) {
        (sigmoid(x), libm::log1pf(exp_negative(-x.abs())))
    }

    fn sums(logits: &[f32], target: &[f32]) -> [f64; 4] {
        let mut sums = [0.0; 4];
        for (x, t) in logits.iter().zip(target) {
            let (p, tail) = parts(*x);
            // Not `f32::max`, which would hide what is not a number.
            let entropy = (if *x < 0.0 { 0.0 } else { *x }) - x * t + tail;
            let terms = [entropy, p * t, p, *t];
            sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += f64::from(term));
        }
        sums
    }

    impl OverlapOps for Flex {
        fn overlap(logits: Host, target: Host) -> Host {
            let (logits, target) = (contiguous(logits), contiguous(target));
            let (groups, n) = (logits.shape()[0], logits.shape()[1].max(1));
            let found =
                values(&logits).par_chunks(n).zip(values(&target).par_chunks(n)).flat_map_iter(|(x, t)| {
                    // In blocks of fixed size, whatever the number of threads.
                    let blocks: Vec<[f64; 4]> =
                        x.par_chunks(CHUNK).zip(t.par_chunks(CHUNK)).map(|(x, t)| sums(x, t)).collect();
                    [0, 1, 2, 3].map(|which| blocks.iter().map(|block| block[which]).sum::<f64>() as f32)
                });
            tensor(found.collect(), [groups, 4])
        }
    }

    impl OverlapBackward for Flex {
        fn overlap_backward(logits: Host, target: Host, grad: Host) -> Host {
            let (logits, target, grad) = (contiguous(logits), contiguous(target), contiguous(grad));
            let (groups, n) = (logits.shape()[0], logits.shape()[1]);
            let (x, t, slopes) = (values(&logits), values(&target), values(&grad));
            let output = filled(x.len(), |at, y| {
                for (index, y) in (at..).zip(y) {
                    let [entropy, overlap, size] = [0, 1, 2].map(|which| slopes[index / n * 4 + which]);
                    let p = sigmoid(x[index]);
                    *y = entropy * (p - t[index]) + (overlap * t[index] + size) * (p * (1.0 - p));
                }
            });
            tensor(output, [groups, n])
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{FloatDType, Tensor};

    use super::overlap_sums;
    use crate::op::testing::{agree, between, gradients_of, normal};

    #[test]
    fn sums_and_gradients_are_those_of_burn_in_f64() {
        for [groups, n] in [[1, 1], [3, 77], [2, 50_176], [1, 100_352]] {
            let logits = normal([1, 1, groups, n], 0.0, 1) * 3.0;
            let target = between([1, 1, groups, n], [0.0, 1.0], 2);
            // Means, so that the cubes of the sums stay comparable.
            let run = |[x]: [Tensor<4>; 1]| {
                let target = target.clone().cast(x.dtype());
                let target = Tensor::<4>::from_data(target.into_data(), (&x.device(), x.dtype()));
                let sums = overlap_sums(x.reshape([groups, n]), target.reshape([groups, n]));
                let sums = sums.map(|sum| sum.reshape([1, 1, 1, groups]) / n as f64);
                Tensor::cat(sums.into(), 2)
            };
            let inputs = [logits];
            let exact = gradients_of(&inputs.clone().map(|x| x.cast(FloatDType::F64)), run);
            agree(&gradients_of(&inputs, run), &exact, 3e-6);
        }
    }
}
