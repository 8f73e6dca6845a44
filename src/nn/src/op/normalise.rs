//! Batch norm and the activation behind it as one operation on flex. What lies
//! between them is computed again by the backward pass instead of kept, and
//! the map is moved through memory once for both.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

use super::backend::has_flex_kernel;
use super::{Activation, batch_norm, batch_norm_train};
use crate::trace::{self, Kind};

/// Batch norm with given statistics, then an activation: x [B, C, H, W], the
/// others `[C]`.
pub fn batch_norm_then(
    x: Tensor<4>,
    [weight, bias, mean, var]: [Tensor<1>; 4],
    epsilon: f64,
    activation: Activation,
) -> Tensor<4> {
    if !has_flex_kernel(&x) {
        return activation.apply(batch_norm(x, weight, bias, mean, var, epsilon));
    }
    tell(&x, activation);
    let scale = weight / (var + epsilon).sqrt();
    let shift = bias - mean * scale.clone();
    let y = <Dispatch as NormaliseOps>::scale_and_shift(
        x.into_dispatch(),
        scale.into_dispatch(),
        shift.into_dispatch(),
        activation,
    );
    Tensor::from_dispatch(y)
}

/// Batch norm with the batch's own statistics, then an activation: x
/// [B, C, H, W], the others `[C]`. Gives (y, mean, biased variance), the latter
/// two off the gradient tape.
pub fn batch_norm_train_then(
    x: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f64,
    activation: Activation,
) -> (Tensor<4>, Tensor<1>, Tensor<1>) {
    if !has_flex_kernel(&x) {
        let (y, mean, var) = batch_norm_train(x, weight, bias, epsilon);
        return (activation.apply(y), mean, var);
    }
    tell(&x, activation);
    let (y, mean, var) = <Dispatch as NormaliseOps>::normalise_then(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
        epsilon,
        activation,
    );
    let statistic = |tensor| Tensor::from_dispatch(tensor).without_autodiff();
    (Tensor::from_dispatch(y), statistic(mean), statistic(var))
}

/// Tells of the activation as [`Activation::apply`] does.
fn tell(x: &Tensor<4>, activation: Activation) {
    if activation == Activation::Gelu {
        trace::tell(Kind::Gelu, x.dims(), x.dims(), 1, &[]);
    }
}

/// Shapes: x `[B, C, H, W]`; the others `[C]`.
#[backend_extension(Flex: cfg(feature = "flex"), Capture, Autodiff)]
pub trait NormaliseOps: Backend {
    /// activation(x scale + shift).
    fn scale_and_shift(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self>;

    /// (y, mean, biased variance); the latter two carry no gradient.
    fn normalise_then(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f64,
        activation: Activation,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

/// What the backward pass needs.
#[derive(Debug, Clone)]
pub struct Normalised<T> {
    /// The input, `[B, C, H, W]`.
    pub x: T,
    /// Factor on each normalised channel, `[C]`.
    pub weight: T,
    /// Added to each normalised channel, `[C]`.
    pub bias: T,
    /// Of each channel over the batch, `[C]`.
    pub mean: T,
    /// The biased one of each channel over the batch, `[C]`.
    pub variance: T,
    /// Added to the variance.
    pub epsilon: f64,
    /// What is done behind the norm.
    pub activation: Activation,
}

/// The gradient of [`NormaliseOps::normalise_then`].
pub trait NormaliseBackward: Backend {
    /// Gradients of x, weight and bias, given that of y.
    fn normalise_then_backward(
        of: Normalised<FloatTensor<Self>>,
        grad: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 3];
}

#[derive(Debug)]
struct Normalise;

impl<B: NormaliseOps + NormaliseBackward> Backward<B, 3> for Normalise {
    type State = Normalised<FloatTensor<B>>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let found = B::normalise_then_backward(ops.state, grad);
        for (node, gradient) in ops.parents.into_iter().zip(found) {
            if let Some(node) = node {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

impl<B: NormaliseOps + NormaliseBackward, C: CheckpointStrategy> NormaliseOps for Autodiff<B, C> {
    /// For evaluation alone: it carries no gradient.
    fn scale_and_shift(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self> {
        let [x, scale, shift] = [x, scale, shift].map(<Self as AutodiffBackend>::inner);
        <Self as AutodiffBackend>::from_inner(B::scale_and_shift(x, scale, shift, activation))
    }

    fn normalise_then(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f64,
        activation: Activation,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let (x, x_node) = x.into_parts();
        let (weight, weight_node) = weight.into_parts();
        let (bias, bias_node) = bias.into_parts();
        let (y, mean, variance) =
            B::normalise_then(x.clone(), weight.clone(), bias.clone(), epsilon, activation);
        let constant = |x: &FloatTensor<B>| <Self as AutodiffBackend>::from_inner(x.clone());
        let constants = (constant(&mean), constant(&variance));
        let y = match Normalise.prepare::<C>([x_node, weight_node, bias_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                prep.finish(Normalised { x, weight, bias, mean, variance, epsilon, activation }, y)
            }
            OpsKind::UnTracked(prep) => prep.finish(y),
        };
        (y, constants.0, constants.1)
    }
}

#[cfg(feature = "flex")]
mod flex {
    use burn::backend::{Flex, TensorMetadata};
    use rayon::prelude::*;

    use super::{Activation, NormaliseBackward, NormaliseOps, Normalised};
    use crate::op::activation::flex::{Curve, Gelu, Identity, Relu};
    use crate::op::host::{
        Host, altered, contiguous, owned, pair_sums, pieces, sum2, tensor, values, vectorised,
    };

    /// Images, channels and pixels per plane.
    fn sizes(x: &Host) -> [usize; 3] {
        let shape = x.shape();
        let (batch, channels) = (shape[0], shape[1]);
        [batch, channels, shape.num_elements() / (batch * channels).max(1)]
    }

    fn deviation(variance: f32, epsilon: f64) -> f32 {
        (f64::from(variance) + epsilon).sqrt().recip() as f32
    }

    /// curve((x - mean) slope + shift); a channel gives (mean, slope, shift).
    fn apply<C: Curve>(x: Host, channels: &[(f32, f32, f32)]) -> Host {
        let [_, _, pixels] = sizes(&x);
        altered(
            x,
            #[inline(always)]
            |at, x| {
                for (plane, part) in pieces(at, x.len(), pixels) {
                    let (mean, slope, shift) = channels[plane % channels.len()];
                    x[part].iter_mut().for_each(|x| *x = C::value((*x - mean) * slope + shift));
                }
            },
        )
    }

    fn activated(x: Host, channels: &[(f32, f32, f32)], activation: Activation) -> Host {
        match activation {
            Activation::Identity => apply::<Identity>(x, channels),
            Activation::Relu => apply::<Relu>(x, channels),
            Activation::Gelu => apply::<Gelu>(x, channels),
        }
    }

    /// Mean and biased variance of a channel, in two passes.
    fn statistics(x: &[f32], [batch, channels, pixels]: [usize; 3]) -> Vec<(f32, f32)> {
        let n = (batch * pixels) as f64;
        let of = |c: usize| {
            vectorised(
                #[inline(always)]
                || {
                    // Loops, because an iterator's sum is not inlined.
                    let (mut sum, mut squares) = (0.0, 0.0);
                    for b in 0..batch {
                        let plane = &x[(b * channels + c) * pixels..][..pixels];
                        sum += sum2(plane, plane, |x, _| x);
                    }
                    let mean = (sum / n) as f32;
                    for b in 0..batch {
                        let plane = &x[(b * channels + c) * pixels..][..pixels];
                        squares += sum2(plane, plane, |x, _| (x - mean) * (x - mean));
                    }
                    (mean, (squares / n) as f32)
                },
            )
        };
        (0..channels).into_par_iter().map(of).collect()
    }

    fn backward<C: Curve>(of: &Normalised<Host>, grad: Host) -> [Host; 3] {
        let x = of.x.to_contiguous();
        let [batch, channels, pixels] = sizes(&x);
        let input = values(&x);
        let (weight, bias) = (of.weight.to_contiguous(), of.bias.to_contiguous());
        let (scale, shift) = (values(&weight), values(&bias));
        let (mean, variance) = (values(&of.mean), values(&of.variance));
        let n = (batch * pixels) as f64;
        let mut grad = owned(grad);
        let mut planes: Vec<Vec<&mut [f32]>> = Vec::new();
        planes.resize_with(channels, Vec::new);
        for (index, plane) in grad.storage_mut::<f32>().chunks_exact_mut(pixels).enumerate() {
            planes[index % channels].push(plane);
        }
        // A channel's planes fit the cache: both passes read them from there.
        let of_channel = |(c, mut planes): (usize, Vec<&mut [f32]>)| {
            let (mean, inverse, shift) = (mean[c], deviation(variance[c], of.epsilon), shift[c]);
            let factor = scale[c] * inverse;
            vectorised(
                #[inline(always)]
                || {
                    // The gradient behind the activation, its sum, and its sum
                    // times the normalised input.
                    let mut sums = (0.0, 0.0);
                    for (b, g) in planes.iter_mut().enumerate() {
                        let x = &input[(b * channels + c) * pixels..][..pixels];
                        let (plain, along) = pair_sums(g, x, |g, x| {
                            let centred = x - mean;
                            *g *= C::slope(centred * factor + shift);
                            (*g, *g * (centred * inverse))
                        });
                        sums.0 += plain;
                        sums.1 += along;
                    }
                    let (plain, along) = ((sums.0 / n) as f32, (sums.1 / n) as f32);
                    for (b, g) in planes.iter_mut().enumerate() {
                        let x = &input[(b * channels + c) * pixels..][..pixels];
                        for (g, x) in g.iter_mut().zip(x) {
                            *g = factor * ((*g - plain) - ((x - mean) * inverse) * along);
                        }
                    }
                    (sums.1 as f32, sums.0 as f32)
                },
            )
        };
        let (weight, bias) = planes.into_par_iter().enumerate().map(of_channel).unzip();
        [grad, tensor(weight, [channels]), tensor(bias, [channels])]
    }

    impl NormaliseOps for Flex {
        fn scale_and_shift(x: Host, scale: Host, shift: Host, activation: Activation) -> Host {
            let (scale, shift) = (scale.to_contiguous(), shift.to_contiguous());
            let pairs = values(&scale).iter().zip(values(&shift));
            let channels: Vec<_> = pairs.map(|(scale, shift)| (0.0, *scale, *shift)).collect();
            activated(x, &channels, activation)
        }

        fn normalise_then(
            x: Host,
            weight: Host,
            bias: Host,
            epsilon: f64,
            activation: Activation,
        ) -> (Host, Host, Host) {
            let (x, weight, bias) = (contiguous(x), contiguous(weight), contiguous(bias));
            let sizes = sizes(&x);
            let [_, channels, _] = sizes;
            let found = statistics(values(&x), sizes);
            let parameters = found.iter().zip(values(&weight)).zip(values(&bias));
            let constants: Vec<_> = parameters
                .map(|(((mean, variance), weight), bias)| {
                    (*mean, weight * deviation(*variance, epsilon), *bias)
                })
                .collect();
            let y = activated(x, &constants, activation);
            let (mean, variance) = found.into_iter().unzip();
            (y, tensor(mean, [channels]), tensor(variance, [channels]))
        }
    }

    impl NormaliseBackward for Flex {
        fn normalise_then_backward(of: Normalised<Host>, grad: Host) -> [Host; 3] {
            match of.activation {
                Activation::Identity => backward::<Identity>(&of, grad),
                Activation::Relu => backward::<Relu>(&of, grad),
                Activation::Gelu => backward::<Gelu>(&of, grad),
            }
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{DType, FloatDType, Tensor};

    use super::*;
    use crate::op::testing::{agree, between, gradients_of, normal};

    const EPSILON: f64 = 1e-5;

    #[test]
    fn values_statistics_and_gradients_are_those_of_the_parts_in_f64() {
        for (shape, activation) in [
            ([2, 5, 7, 9], Activation::Identity),
            ([2, 3, 33, 40], Activation::Relu),
            ([1, 17, 16, 17], Activation::Gelu),
            ([3, 1, 50, 50], Activation::Gelu),
        ] {
            let channels = [1, shape[1], 1, 1];
            let inputs = [normal(shape, 3.0, 1), normal(channels, 1.0, 2), normal(channels, 0.0, 3)];
            // The statistics carry no gradient; as factors they are constants.
            for statistic in 0..3 {
                let run = |[x, weight, bias]: [Tensor<4>; 3]| {
                    let flat = |x: Tensor<4>| x.reshape([shape[1]]);
                    let (y, mean, var) =
                        batch_norm_train_then(x, flat(weight), flat(bias), EPSILON, activation);
                    let constant = |x: Tensor<1>| {
                        Tensor::<1>::from_data(x.into_data(), (&y.device(), y.dtype())).reshape(channels)
                    };
                    match statistic {
                        0 => y,
                        1 => y.clone() * constant(mean),
                        _ => y.clone() * constant(var),
                    }
                };
                let ours = gradients_of(&inputs, run);
                assert_eq!(ours, gradients_of(&inputs, run), "repeats differ");
                let exact = inputs.clone().map(|x| x.cast(FloatDType::F64));
                agree(&ours, &gradients_of(&exact, run), 5e-6);
            }
        }
    }

    #[test]
    fn given_statistics_are_applied_in_one_pass() {
        let x = normal([2, 7, 13, 9], 0.0, 1) * 2.0;
        let parameters = [2, 3, 4, 5].map(|seed| between([7], [0.5, 2.0], seed));
        for activation in [Activation::Identity, Activation::Relu, Activation::Gelu] {
            let ours = batch_norm_then(x.clone(), parameters.clone(), EPSILON, activation);
            assert_eq!(ours.dtype(), DType::F32);
            let [weight, bias, mean, var] = parameters.clone();
            let theirs = activation.apply(batch_norm(x.clone(), weight, bias, mean, var, EPSILON));
            assert!((ours - theirs).abs().max().into_scalar::<f32>() < 4e-6, "{activation:?}");
        }
    }
}
