//! Sums over axes, and their adjoint, which repeats values along axes. burn takes
//! the gradient of arithmetic between tensors of different shapes by a sum of its
//! own, whose order the processor's vectors choose; behind a [`spread`] both have
//! the same shape, and the sum is this one.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{Shape, Tensor};

/// The sum over some axes, which stay with a length of 1.
pub fn sum_axes<const D: usize>(x: Tensor<D>, axes: &[usize]) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as SumOps>::sum_over(x.into_dispatch(), Axes::of(axes)))
}

/// The mean over some axes, which stay with a length of 1.
pub fn mean_axes<const D: usize>(x: Tensor<D>, axes: &[usize]) -> Tensor<D> {
    let dims = x.dims();
    let count: usize = axes.iter().map(|axis| dims[*axis]).product();
    sum_axes(x, axes) * (count as f64).recip()
}

/// Repeats values along the axes of length 1, to a shape; a view.
pub fn spread<const D: usize>(x: Tensor<D>, shape: [usize; D]) -> Tensor<D> {
    if x.dims() == shape {
        return x;
    }
    Tensor::from_dispatch(<Dispatch as SumOps>::repeat_to(x.into_dispatch(), Shape::from(shape)))
}

/// A value for each channel `[C]` added to a map [B, C, H, W].
pub fn shift_channels(x: Tensor<4>, shift: Tensor<1>) -> Tensor<4> {
    let shape = x.dims();
    x + spread(shift.reshape([1, shape[1], 1, 1]), shape)
}

/// A map [B, C, H, W] times a value for each image and channel [B, C].
pub fn scale_channels(x: Tensor<4>, scale: Tensor<2>) -> Tensor<4> {
    let shape = x.dims();
    x * spread(scale.reshape([shape[0], shape[1], 1, 1]), shape)
}

/// A set of axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Axes(u16);

impl Axes {
    fn of(axes: &[usize]) -> Self {
        Self(axes.iter().fold(0, |set, axis| set | 1 << axis))
    }

    /// Those along which one shape repeats the other.
    fn between(from: &Shape, to: &Shape) -> Self {
        let differ: Vec<usize> = (0..to.num_dims()).filter(|axis| from[*axis] != to[*axis]).collect();
        Self::of(&differ)
    }

    /// Whether an axis is one of them.
    pub fn contains(self, axis: usize) -> bool {
        self.0 >> axis & 1 == 1
    }

    pub(super) fn each(self) -> impl Iterator<Item = usize> {
        (0..16).filter(move |axis| self.contains(*axis))
    }
}

/// Sums and repetitions on a backend.
#[backend_extension(Flex: cfg(feature = "flex"), LibTorch: cfg(feature = "tch"), Capture, Autodiff)]
pub trait SumOps: Backend {
    /// The sum over axes, which stay with a length of 1.
    fn sum_over(x: FloatTensor<Self>, axes: Axes) -> FloatTensor<Self> {
        axes.each().fold(x, Self::float_sum_dim)
    }

    /// Values repeated along axes of length 1.
    fn repeat_to(x: FloatTensor<Self>, shape: Shape) -> FloatTensor<Self> {
        Self::float_expand(x, shape)
    }
}

#[derive(Debug)]
struct Sum;

impl<B: Backend + SumOps> Backward<B, 1> for Sum {
    type State = Shape;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        unary::<B, _>(ops.parents, ops.node, grads, |grad| B::repeat_to(grad, ops.state));
    }
}

#[derive(Debug)]
struct Repeat;

impl<B: Backend + SumOps> Backward<B, 1> for Repeat {
    type State = Axes;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        unary::<B, _>(ops.parents, ops.node, grads, |grad| B::sum_over(grad, ops.state));
    }
}

impl<B: Backend + SumOps, C: CheckpointStrategy> SumOps for Autodiff<B, C> {
    fn sum_over(x: FloatTensor<Self>, axes: Axes) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        match Sum.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(x.shape(), B::sum_over(x, axes)),
            OpsKind::UnTracked(prep) => prep.finish(B::sum_over(x, axes)),
        }
    }

    fn repeat_to(x: FloatTensor<Self>, shape: Shape) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        match Repeat.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(Axes::between(&x.shape(), &shape), B::repeat_to(x, shape)),
            OpsKind::UnTracked(prep) => prep.finish(B::repeat_to(x, shape)),
        }
    }
}

#[cfg(feature = "tch")]
impl SumOps for burn::backend::LibTorch {}

#[cfg(feature = "flex")]
pub(crate) mod flex {
    use burn::backend::{Flex, TensorMetadata};
    use burn::tensor::{DType, TensorData};
    use rayon::prelude::*;

    use super::{Axes, SumOps};
    use crate::op::host::{CHUNK, Host, contiguous, sum2, values, vectorised};

    impl SumOps for Flex {
        fn sum_over(x: Host, axes: Axes) -> Host {
            let shape = x.shape();
            let kept: Vec<usize> =
                (0..shape.num_dims()).map(|axis| if axes.contains(axis) { 1 } else { shape[axis] }).collect();
            let x = contiguous(x);
            let runs = runs(shape.as_slice(), axes);
            if x.dtype() == DType::F64 {
                let sums = fold(x.as_slice::<f64>().unwrap_or_default().to_vec(), &runs);
                return Host::from_data(TensorData::new(sums, kept));
            }
            // The innermost sum reads f32; those of its sums are few and f64.
            let sums: Vec<f32> = match runs.split_last() {
                None => values(&x).to_vec(),
                Some((inner, outer)) => {
                    let sums = match (*inner, outer.split_last()) {
                        ((length, true), _) => fold(rows(values(&x), length), outer),
                        ((width, false), Some(((length, _), rest))) => {
                            let sums = columns(values(&x), *length, width);
                            fold(sums, &[rest, &[(width, false)]].concat())
                        }
                        ((_, false), None) => return x,
                    };
                    sums.into_iter().map(|sum| sum as f32).collect()
                }
            };
            Host::from_data(TensorData::new(sums, kept))
        }
    }

    /// Neighbouring axes of one kind as one: (length, whether it is summed).
    fn runs(shape: &[usize], axes: Axes) -> Vec<(usize, bool)> {
        let mut runs: Vec<(usize, bool)> = Vec::new();
        for (axis, length) in shape.iter().enumerate() {
            match runs.last_mut() {
                // An axis of one value is of either kind.
                _ if *length == 1 => {}
                Some((run, summed)) if *summed == axes.contains(axis) => *run *= length,
                _ => runs.push((*length, axes.contains(axis))),
            }
        }
        runs
    }

    /// The sum of each row.
    fn rows(x: &[f32], length: usize) -> Vec<f64> {
        let mut sums = vec![0.0; x.len() / length];
        let share = (CHUNK / length).max(1);
        sums.par_chunks_mut(share).zip(x.par_chunks(share * length)).for_each(|(sums, x)| {
            vectorised(
                #[inline(always)]
                || {
                    for (sum, x) in sums.iter_mut().zip(x.chunks_exact(length)) {
                        *sum = sum2(x, x, |x, _| x);
                    }
                },
            );
        });
        sums
    }

    /// The sum of each column of matrices of `length` rows of `width` values: f32
    /// over some rows, f64 over those sums.
    fn columns(x: &[f32], length: usize, width: usize) -> Vec<f64> {
        let share = (CHUNK / width).clamp(1, length);
        let parts = length.div_ceil(share);
        let mut sums = vec![0.0f32; x.len() / length * parts];
        sums.par_chunks_mut(width).enumerate().for_each(|(index, sums)| {
            let (matrix, part) = (index / parts, index % parts);
            let rows = share.min(length - part * share);
            let x = &x[(matrix * length + part * share) * width..][..rows * width];
            vectorised(
                #[inline(always)]
                || {
                    for row in x.chunks_exact(width) {
                        sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
                    }
                },
            );
        });
        let mut all = vec![0.0f64; x.len() / length];
        for (all, sums) in all.chunks_exact_mut(width).zip(sums.chunks_exact(parts * width)) {
            for sums in sums.chunks_exact(width) {
                all.iter_mut().zip(sums).for_each(|(all, sum)| *all += f64::from(*sum));
            }
        }
        all
    }

    /// The sum of each column of rows of `width` values.
    pub(crate) fn column_sums(x: &[f32], width: usize) -> Vec<f32> {
        columns(x, x.len() / width, width).into_iter().map(|sum| sum as f32).collect()
    }

    /// Sums in f64, from the innermost run outwards, each in order.
    fn fold(mut x: Vec<f64>, runs: &[(usize, bool)]) -> Vec<f64> {
        let mut width = 1;
        for (length, summed) in runs.iter().rev() {
            if *summed {
                x = x
                    .chunks_exact(length * width)
                    .flat_map(|matrix| {
                        let mut sums = vec![0.0; width];
                        for row in matrix.chunks_exact(width) {
                            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
                        }
                        sums
                    })
                    .collect();
            } else {
                width *= length;
            }
        }
        x
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{FloatDType, Tensor};

    use super::{mean_axes, spread, sum_axes};
    use crate::op::testing::{agree, gradients_of, normal};

    /// Every set of axes of maps with odd sides and of long rows and columns.
    #[test]
    fn sums_and_repetitions_are_those_of_burn_in_f64() {
        for shape in [[2, 3, 5, 7], [3, 1, 40, 50], [1, 2, 5001, 3], [1, 1, 3, 9000]] {
            for set in 0..16usize {
                let axes: Vec<usize> = (0..4).filter(|axis| set >> axis & 1 == 1).collect();
                let inputs = [normal(shape, 0.5, 1), normal(shape, 0.5, 2)];
                let ours = |[x, y]: [Tensor<4>; 2]| y * spread(mean_axes(x, &axes), shape);
                let burns = |[x, y]: [Tensor<4>; 2]| {
                    y * axes.iter().fold(x, |x, axis| x.mean_dim(*axis)).expand(shape)
                };
                let found = gradients_of(&inputs, ours);
                assert_eq!(found, gradients_of(&inputs, ours), "repeats differ");
                let double = inputs.map(|x| x.cast(FloatDType::F64));
                let exact = gradients_of(&double, burns);
                agree(&found, &exact, 1e-5);
                agree(&gradients_of(&double, ours), &exact, 1e-12);
            }
        }
    }

    #[test]
    fn views_are_summed_as_they_are_seen() {
        let x = normal([2, 5, 30, 41], 0.0, 1);
        let view = x.clone().swap_dims(1, 3).narrow(1, 3, 30);
        let copy = Tensor::<4>::from_data(view.to_data(), &view.device());
        let values = |x: Tensor<4>| x.into_data().try_to_vec::<f32>().expect("f32");
        assert_eq!(values(sum_axes(view, &[0, 2])), values(sum_axes(copy, &[0, 2])));
    }

    #[cfg(feature = "tch")]
    #[test]
    fn libtorch_agrees() {
        let shape = [2, 4, 9, 12];
        crate::op::testing::on_both([normal(shape, 0.5, 1), normal(shape, 0.5, 2)], |[x, y]| {
            y * spread(mean_axes(x, &[0, 2, 3]), shape)
        });
    }
}
