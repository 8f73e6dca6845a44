//! Convolution, batch norm and activation as one operation at evaluation: the
//! norm is then a factor and a sum for each channel, which a convolution can take
//! along while its result is in the cache.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

use super::backend::{has_kernel, trains};
use super::{Activation, Convolution, batch_norm_then, convolution};
use crate::trace::{self, Kind};

/// [`convolution()`], then [`batch_norm_then`] with the statistics given: x
/// [B, in, H, W], the norm's weight, bias, mean and variance `[out]` each. On a
/// device with autodiff, or without a kernel for it, one after the other.
pub fn convolution_then(
    x: Tensor<4>,
    (weight, bias): (Tensor<4>, Option<Tensor<1>>),
    form: Convolution,
    norm: [Tensor<1>; 4],
    epsilon: f64,
    activation: Activation,
) -> Tensor<4> {
    if !has_kernel(&x) || trains(&x) {
        return batch_norm_then(convolution(x, weight, bias, form), norm, epsilon, activation);
    }
    let [gamma, beta, mean, var] = norm;
    let scale = gamma / (var + epsilon).sqrt();
    let mean = match bias {
        Some(bias) => mean - bias,
        None => mean,
    };
    let shift = beta - mean * scale.clone();
    let y = <Dispatch as ConvolutionNormOps>::convolve_then(
        x.into_dispatch(),
        weight.into_dispatch(),
        scale.into_dispatch(),
        shift.into_dispatch(),
        form,
        activation,
    );
    let y = Tensor::<4>::from_dispatch(y);
    if activation == Activation::Gelu {
        trace::tell(Kind::Gelu, y.dims(), y.dims(), 1, &[]);
    }
    y
}

/// For evaluation alone: it carries no gradient.
#[backend_extension(Flex: cfg(feature = "flex"), LibTorch: cfg(feature = "tch"), Capture)]
pub trait ConvolutionNormOps: Backend {
    /// activation(convolution(x) scale + shift), scale and shift `[out]`.
    fn convolve_then(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        form: Convolution,
        activation: Activation,
    ) -> FloatTensor<Self>;
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{Device, Tensor};

    use super::*;
    use crate::op::testing::{between, normal};

    fn devices() -> Vec<Device> {
        vec![
            Device::flex(),
            #[cfg(feature = "tch")]
            Device::libtorch(),
        ]
    }

    #[test]
    fn it_is_one_after_the_other() {
        for device in devices() {
            let random = |shape: [usize; 4], seed| {
                Tensor::<4>::from_data(normal(shape, 0.0, seed).into_data(), &device)
            };
            let channels =
                |n, seed| Tensor::<1>::from_data(between([n], [0.5, 2.0], seed).into_data(), &device);
            for (form, input, output, side) in [
                (Convolution { padding: 1, ..Convolution::PLAIN }, 5, 7, 3),
                (Convolution { stride: 2, ..Convolution::PLAIN }, 3, 20, 1),
                (Convolution { padding: 2, dilation: 2, groups: 6, ..Convolution::PLAIN }, 6, 6, 3),
            ] {
                for (activation, with_bias) in
                    [(Activation::Identity, true), (Activation::Relu, false), (Activation::Gelu, true)]
                {
                    let x = random([2, input, 13, 18], 1);
                    let weight = random([output, input / form.groups, side, side], 2);
                    let bias = with_bias.then(|| channels(output, 3));
                    let norm = [4, 5, 6, 7].map(|seed| channels(output, seed));
                    let apart = batch_norm_then(
                        convolution(x.clone(), weight.clone(), bias.clone(), form),
                        norm.clone(),
                        1e-5,
                        activation,
                    );
                    let together = convolution_then(x, (weight, bias), form, norm, 1e-5, activation);
                    let scale = apart.clone().abs().max().into_scalar::<f32>();
                    let difference = (together - apart).abs().max().into_scalar::<f32>();
                    assert!(difference <= 2e-6 * scale, "{form:?} {activation:?}: {difference} of {scale}");
                }
            }
        }
    }
}
