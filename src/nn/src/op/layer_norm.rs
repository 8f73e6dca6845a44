//! Layer norm over the last axis, forward and backward. burn keeps the centred
//! and the normalised input for the backward pass; the input itself and two
//! values of each row are enough.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, backend_extension};
use burn::tensor::{Tensor, module};

use super::backend::has_kernel;

/// (x - mean) / sqrt(var + epsilon) weight + bias, mean and biased variance
/// over the last axis: x [..., features], the others `[features]`.
pub fn layer_norm<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f64,
) -> Tensor<D> {
    if !has_kernel(&x) {
        return module::layer_norm(x, weight, Some(bias), epsilon);
    }
    let (y, ..) = <Dispatch as LayerNormOps>::normalise_rows(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
        epsilon,
    );
    Tensor::from_dispatch(y)
}

/// [`layer_norm`] as one operation of a backend.
#[backend_extension(Flex: cfg(feature = "flex"), LibTorch: cfg(feature = "tch"), Capture, Autodiff)]
pub trait LayerNormOps: Backend {
    /// (y of the shape of x, and of each row the mean and
    /// 1 / sqrt(var + epsilon)); the latter two carry no gradient.
    fn normalise_rows(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

/// What the backward pass needs.
#[derive(Debug, Clone)]
pub struct NormalisedRows<T> {
    /// The input, `[..., features]`.
    pub x: T,
    /// Factor on each feature, `[features]`.
    pub weight: T,
    /// Of each row.
    pub mean: T,
    /// 1 / sqrt(var + epsilon) of each row.
    pub inverse: T,
}

/// The gradient of [`LayerNormOps::normalise_rows`].
pub trait LayerNormBackward: Backend {
    /// Of x, weight and bias, given that of the output.
    fn normalise_rows_backward(
        of: NormalisedRows<FloatTensor<Self>>,
        grad: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 3];
}

#[derive(Debug)]
struct LayerNorm;

impl<B: LayerNormOps + LayerNormBackward> Backward<B, 3> for LayerNorm {
    type State = NormalisedRows<FloatTensor<B>>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let found = B::normalise_rows_backward(ops.state, grad);
        for (node, gradient) in ops.parents.into_iter().zip(found) {
            if let Some(node) = node {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

impl<B: LayerNormOps + LayerNormBackward, C: CheckpointStrategy> LayerNormOps for Autodiff<B, C> {
    fn normalise_rows(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let (x, x_node) = x.into_parts();
        let (weight, weight_node) = weight.into_parts();
        let (bias, bias_node) = bias.into_parts();
        let (y, mean, inverse) = B::normalise_rows(x.clone(), weight.clone(), bias, epsilon);
        let constant = |x: &FloatTensor<B>| <Self as AutodiffBackend>::from_inner(x.clone());
        let constants = (constant(&mean), constant(&inverse));
        let y = match LayerNorm.prepare::<C>([x_node, weight_node, bias_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(NormalisedRows { x, weight, mean, inverse }, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        };
        (y, constants.0, constants.1)
    }
}

#[cfg(feature = "flex")]
mod flex {
    use burn::backend::{Flex, TensorMetadata};
    use burn::tensor::TensorData;
    use rayon::prelude::*;

    use super::{LayerNormBackward, LayerNormOps, NormalisedRows};
    use crate::op::host::{CHUNK, Host, contiguous, owned, pair_sums, sum2, tensor, values, vectorised};

    /// Mean of a row and the reciprocal of its deviation.
    #[inline(always)]
    fn moments(row: &[f32], epsilon: f64) -> (f32, f32) {
        let n = row.len() as f64;
        let mean = (sum2(row, row, |x, _| x) / n) as f32;
        let variance = sum2(row, row, |x, _| (x - mean) * (x - mean)) / n;
        (mean, (variance + epsilon).sqrt().recip() as f32)
    }

    /// Values of whole rows that a task handles.
    fn share(features: usize) -> usize {
        (CHUNK / features).max(1) * features
    }

    impl LayerNormOps for Flex {
        fn normalise_rows(x: Host, weight: Host, bias: Host, epsilon: f64) -> (Host, Host, Host) {
            let (x, weight, bias) = (contiguous(x), contiguous(weight), contiguous(bias));
            let (input, scale, shift) = (values(&x), values(&weight), values(&bias));
            let features = scale.len();
            let rows = input.len() / features;
            let mut output = vec![0.0; input.len()];
            let (mut means, mut inverses) = (vec![0.0; rows], vec![0.0; rows]);
            let share = share(features);
            let moments_of =
                means.par_chunks_mut(share / features).zip(inverses.par_chunks_mut(share / features));
            let tasks = output.par_chunks_mut(share).zip(input.par_chunks(share)).zip(moments_of);
            tasks.for_each(|((y, x), (means, inverses))| {
                vectorised(
                    #[inline(always)]
                    || {
                        let rows = y.chunks_exact_mut(features).zip(x.chunks_exact(features));
                        for ((y, x), (mean, inverse)) in rows.zip(means.iter_mut().zip(inverses)) {
                            (*mean, *inverse) = moments(x, epsilon);
                            for (((y, x), scale), shift) in y.iter_mut().zip(x).zip(scale).zip(shift) {
                                *y = (x - *mean) * *inverse * scale + shift;
                            }
                        }
                    },
                );
            });
            let y = Host::from_data(TensorData::new(output, x.shape()));
            (y, tensor(means, [rows]), tensor(inverses, [rows]))
        }
    }

    impl LayerNormBackward for Flex {
        fn normalise_rows_backward(of: NormalisedRows<Host>, grad: Host) -> [Host; 3] {
            let (x, weight, mut grad) = (contiguous(of.x), contiguous(of.weight), owned(grad));
            let (input, scale) = (values(&x), values(&weight));
            let (means, inverses) = (values(&of.mean), values(&of.inverse));
            let features = scale.len();
            // The gradient of x replaces that of y, row by row; each task sums
            // its part of those of weight and bias.
            let share = share(features);
            let task = |(index, (g, x)): (usize, (&mut [f32], &[f32]))| {
                let mut parts = vec![0.0f32; 2 * features];
                let (of_scale, of_shift) = parts.split_at_mut(features);
                vectorised(
                    #[inline(always)]
                    || {
                        let rows = g.chunks_exact_mut(features).zip(x.chunks_exact(features));
                        for (row, (g, x)) in (index * share / features..).zip(rows) {
                            let (mean, inverse) = (means[row], inverses[row]);
                            let sums = of_shift.iter_mut().zip(of_scale.iter_mut());
                            for (((of_shift, of_scale), g), x) in sums.zip(g.iter()).zip(x) {
                                *of_shift += g;
                                *of_scale += g * ((x - mean) * inverse);
                            }
                            g.iter_mut().zip(scale).for_each(|(g, scale)| *g *= scale);
                            let (plain, along) = pair_sums(g, x, |g, x| (*g, *g * ((x - mean) * inverse)));
                            let [plain, along] = [plain, along].map(|sum| (sum / features as f64) as f32);
                            for (g, x) in g.iter_mut().zip(x) {
                                *g = inverse * ((*g - plain) - ((x - mean) * inverse) * along);
                            }
                        }
                    },
                );
                parts
            };
            let slope = grad.storage_mut::<f32>();
            let tasks = slope.par_chunks_mut(share).zip(input.par_chunks(share)).enumerate();
            let parts: Vec<Vec<f32>> = tasks.map(task).collect();
            let mut sums = vec![0.0f64; 2 * features];
            for part in parts {
                sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += f64::from(part));
            }
            let narrow = |sums: &[f64]| tensor(sums.iter().map(|sum| *sum as f32).collect(), [features]);
            let (of_scale, of_shift) = (narrow(&sums[..features]), narrow(&sums[features..]));
            [grad, of_scale, of_shift]
        }
    }
}

#[cfg(feature = "tch")]
mod torch {
    use burn::backend::LibTorch;

    use super::{LayerNormBackward, LayerNormOps, NormalisedRows};
    use crate::op::torch::{Torch, aten, wrap};

    impl LayerNormOps for LibTorch {
        fn normalise_rows(x: Torch, weight: Torch, bias: Torch, epsilon: f64) -> (Torch, Torch, Torch) {
            let features = weight.tensor.size();
            let (y, mean, inverse) =
                x.tensor.native_layer_norm(features, Some(&weight.tensor), Some(&bias.tensor), epsilon);
            (wrap(y), wrap(mean), wrap(inverse))
        }
    }

    impl LayerNormBackward for LibTorch {
        fn normalise_rows_backward(of: NormalisedRows<Torch>, grad: Torch) -> [Torch; 3] {
            let moments = [&of.mean.tensor, &of.inverse.tensor];
            aten::layer_norm_backward(&grad.tensor, &of.x.tensor, &of.weight.tensor, moments).map(wrap)
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{FloatDType, Tensor};

    use super::layer_norm;
    use crate::op::testing::{agree, gradients_of, normal};

    #[test]
    fn values_and_gradients_are_those_of_burn_in_f64() {
        for [batch, rows, features] in [[1, 1, 7], [2, 49, 96], [1, 700, 64], [1, 3, 40_000]] {
            let row = [1, 1, 1, features];
            let inputs =
                [normal([1, batch, rows, features], 3.0, 1), normal(row, 1.0, 2), normal(row, 0.0, 3)];
            let run =
                |[x, w, b]: [Tensor<4>; 3]| layer_norm(x, w.reshape([features]), b.reshape([features]), 1e-5);
            let ours = gradients_of(&inputs, run);
            let exact = gradients_of(&inputs.map(|x| x.cast(FloatDType::F64)), run);
            agree(&ours, &exact, 5e-6);
        }
    }

    #[cfg(feature = "tch")]
    #[test]
    fn libtorch_agrees() {
        let row = [1, 1, 1, 33];
        let inputs = [normal([2, 3, 49, 33], 3.0, 1), normal(row, 1.0, 2), normal(row, 0.0, 3)];
        // A view, whose rows do not lie in one piece.
        crate::op::testing::on_both(inputs, |[x, w, b]| {
            layer_norm(x.swap_dims(1, 2), w.reshape([33]), b.reshape([33]), 1e-5)
        });
    }
}
