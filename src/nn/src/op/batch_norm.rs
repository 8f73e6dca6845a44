//! Batch norm with the batch's own statistics, forward and backward. On flex
//! burn composes it of a dozen passes without threads.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, backend_extension};
use burn::tensor::{DType, Tensor};

use super::backend::is_flex;
use super::{Activation, batch_norm_train_then};

/// Batch norm with given statistics: x [B, C, H, W], the others `[C]`.
pub fn batch_norm(
    x: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    mean: Tensor<1>,
    var: Tensor<1>,
    epsilon: f64,
) -> Tensor<4> {
    burn::tensor::module::batch_norm(x, weight, bias, mean, var, epsilon)
}

/// Batch norm with the batch's own statistics: x [B, C, H, W], the others `[C]`.
/// Gives (y, mean, biased variance), the latter two off the gradient tape. In
/// f64 it is composed of burn's own.
pub fn batch_norm_train(
    x: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f64,
) -> (Tensor<4>, Tensor<1>, Tensor<1>) {
    if x.dtype() == DType::F64 {
        return composed(x, weight, bias, epsilon);
    }
    if is_flex(&x.device()) {
        return batch_norm_train_then(x, weight, bias, epsilon, Activation::Identity);
    }
    let (y, mean, var) = <Dispatch as BatchNormOps>::normalise(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
        epsilon,
    );
    let statistic = |tensor| Tensor::from_dispatch(tensor).without_autodiff();
    (Tensor::from_dispatch(y), statistic(mean), statistic(var))
}

fn composed(
    x: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f64,
) -> (Tensor<4>, Tensor<1>, Tensor<1>) {
    let [batch, channels, height, width] = x.dims();
    let flat = x.swap_dims(0, 1).reshape([channels, batch * height * width]);
    let mean = flat.clone().mean_dim(1);
    let centred = flat - mean.clone();
    let var = centred.clone().powi_scalar(2).mean_dim(1);
    let normal = centred / (var.clone() + epsilon).sqrt();
    let y = normal * weight.reshape([channels, 1]) + bias.reshape([channels, 1]);
    let y = y.reshape([channels, batch, height, width]).swap_dims(0, 1);
    let statistic = |x: Tensor<2>| x.without_autodiff().reshape([channels]);
    (y, statistic(mean), statistic(var))
}

/// Batch norm in training on a backend. Shapes: x, grad `[B, C, H, W]`; others `[C]`.
#[backend_extension(Flex: cfg(feature = "flex"), LibTorch: cfg(feature = "tch"), Autodiff)]
pub trait BatchNormOps: Backend {
    /// (y, mean, biased variance); the latter two carry no gradient.
    fn normalise(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let result = Self::batch_norm_train(x, weight, bias, epsilon);
        (result.output, result.mean, result.variance)
    }

    /// Gradients of x, weight and bias.
    fn normalise_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        epsilon: f64,
        grad: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let result = Self::batch_norm_train_backward(x, weight, mean, variance, epsilon, grad);
        (result.x_grad, result.gamma_grad, result.beta_grad)
    }
}

#[derive(Debug)]
struct Normalise;

impl<B: Backend + BatchNormOps> Backward<B, 3> for Normalise {
    /// x, weight, mean, variance, epsilon.
    type State = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, f64);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let (x, weight, mean, variance, epsilon) = ops.state;
        let (x, weight, bias) = B::normalise_backward(x, weight, mean, variance, epsilon, grad);
        for (node, gradient) in ops.parents.into_iter().zip([x, weight, bias]) {
            if let Some(node) = node {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

impl<B: Backend + BatchNormOps, C: CheckpointStrategy> BatchNormOps for Autodiff<B, C> {
    fn normalise(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let (x, x_node) = x.into_parts();
        let (weight, weight_node) = weight.into_parts();
        let (bias, bias_node) = bias.into_parts();
        let (y, mean, variance) = B::normalise(x.clone(), weight.clone(), bias, epsilon);
        let constants = (
            <Self as AutodiffBackend>::from_inner(mean.clone()),
            <Self as AutodiffBackend>::from_inner(variance.clone()),
        );
        let y = match Normalise.prepare::<C>([x_node, weight_node, bias_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x, weight, mean, variance, epsilon), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        };
        (y, constants.0, constants.1)
    }
}

#[cfg(feature = "tch")]
mod torch {
    use burn::backend::LibTorch;
    use tch::{Kind, Tensor};

    use super::BatchNormOps;
    use crate::op::torch::{Torch, aten, wrap};

    impl BatchNormOps for LibTorch {
        fn normalise(x: Torch, weight: Torch, bias: Torch, epsilon: f64) -> (Torch, Torch, Torch) {
            let (x, weight, bias) = (x.tensor, weight.tensor, bias.tensor);
            let channels = x.size()[1];
            let zeros = || Tensor::zeros([channels], (Kind::Float, x.device()));
            if x.numel() == weight.numel() {
                // One value per channel is its own mean, of which the kernel
                // would leave a rest of rounding. What is not finite stays so.
                let y = &x * 0.0 + bias.reshape([1, -1, 1, 1]);
                return (wrap(y), wrap(x.flatten(0, -1).copy()), wrap(zeros()));
            }
            // The statistics of the batch replace these as a whole, since their
            // momentum is 1.
            let (mean, unbiased) = (zeros(), zeros());
            let statistics = [Some(&mean), Some(&unbiased)];
            let [weight, bias] = [Some(&weight), Some(&bias)];
            let (y, ..) = x.native_batch_norm(weight, bias, statistics[0], statistics[1], true, 1.0, epsilon);
            let n = (x.numel() as f64) / channels as f64;
            let variance = unbiased * ((n - 1.0) / n);
            (wrap(y), wrap(mean), wrap(variance))
        }

        fn normalise_backward(
            x: Torch,
            weight: Torch,
            mean: Torch,
            variance: Torch,
            epsilon: f64,
            grad: Torch,
        ) -> (Torch, Torch, Torch) {
            let (x, weight, grad) = (x.tensor, weight.tensor, grad.tensor);
            if x.numel() == weight.numel() {
                // One value per channel: nothing moves the output but the shift.
                return (wrap(x.zeros_like()), wrap(weight.zeros_like()), wrap(grad.reshape([-1]).copy()));
            }
            let inverse = (variance.tensor + epsilon).rsqrt();
            let saved = [&mean.tensor, &inverse];
            aten::batch_norm_backward(&grad, &x, &weight, saved, epsilon).map(wrap).into()
        }
    }
}

/// In f32 [`batch_norm_train_then`] has the kernel.
#[cfg(feature = "flex")]
impl BatchNormOps for burn::backend::Flex {}

#[cfg(all(test, feature = "flex", feature = "tch"))]
mod tests {
    use burn::tensor::{Device, Tensor};

    use crate::op::testing::{between, close, normal, on_both};

    #[test]
    fn libtorch_agrees_with_flex_in_values_gradients_and_statistics() {
        let x = normal([2, 5, 7, 9], 0.0, 1) * 2.0 + 3.0;
        let [w, b] = [2, 3].map(|seed| between([5, 1, 1, 1], [0.0, 1.0], seed));
        for statistic in 0..3 {
            on_both([x.clone(), w.clone(), b.clone()], |[x, w, b]| {
                let (y, mean, var) = super::batch_norm_train(x, w.reshape([5]), b.reshape([5]), 1e-5);
                // The statistics carry no gradient: as factors they are constants.
                let times =
                    |s: Tensor<1>| Tensor::<1>::from_data(s.into_data(), &y.device()).reshape([1, 5, 1, 1]);
                match statistic {
                    0 => y,
                    1 => y.clone() * times(mean),
                    _ => y.clone() * times(var),
                }
            });
        }
    }

    #[test]
    fn one_value_per_channel_has_no_variance() {
        let device = Device::libtorch().autodiff();
        let one = || Tensor::<1>::ones([3], &device);
        let x = Tensor::<4>::full([1, 3, 1, 1], 4.0, &device);
        let (y, mean, var) = super::batch_norm_train(x, one(), one(), 1e-5);
        let flat = |x: Tensor<1>| x.reshape([1, 3, 1, 1]);
        close(y.inner(), Tensor::ones([1, 3, 1, 1], &Device::flex()), "value");
        close(flat(mean), Tensor::full([1, 3, 1, 1], 4.0, &Device::flex()), "mean");
        assert!(var.into_data().try_to_vec::<f32>().expect("f32").iter().all(|v| *v == 0.0));
    }
}
