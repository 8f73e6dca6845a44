//! GELU (Hendrycks & Gimpel 2016), the exact form x Phi(x), forward and
//! backward. burn's own is scalar and single-threaded on flex, and on GPU
//! backends its gradient is that of the tanh approximation.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Scalar, backend_extension};
use burn::tensor::Tensor;

use crate::trace::{self, Kind};

/// x Phi(x) with the exact normal distribution function, any shape. In f64 it
/// is composed of burn's own everywhere but on libtorch.
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    trace::tell(Kind::Gelu, x.dims(), x.dims(), 1, &[]);
    Tensor::from_dispatch(<Dispatch as GeluOps>::gelu_exact(x.into_dispatch()))
}

/// GELU and its gradient on a backend.
#[backend_extension(Flex: cfg(feature = "flex"), LibTorch: cfg(feature = "tch"), Capture, Autodiff)]
pub trait GeluOps: Backend {
    /// x Phi(x), Phi the standard normal distribution function.
    fn gelu_exact(x: FloatTensor<Self>) -> FloatTensor<Self> {
        composed::<Self>(x)
    }

    /// grad (Phi(x) + x phi(x)).
    fn gelu_exact_backward(x: FloatTensor<Self>, grad: FloatTensor<Self>) -> FloatTensor<Self> {
        composed_backward::<Self>(x, grad)
    }
}

/// Of burn's own words.
fn composed<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let cdf = distribution::<B>(x.clone());
    B::float_mul(x, cdf)
}

fn composed_backward<B: Backend>(x: FloatTensor<B>, grad: FloatTensor<B>) -> FloatTensor<B> {
    let cdf = distribution::<B>(x.clone());
    let square = B::float_mul(x.clone(), x.clone());
    let pdf = B::float_exp(B::float_mul_scalar(square, Scalar::Float(-0.5)));
    let pdf = B::float_mul_scalar(pdf, Scalar::Float((std::f64::consts::TAU).sqrt().recip()));
    B::float_mul(grad, B::float_add(cdf, B::float_mul(x, pdf)))
}

fn distribution<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let erf = B::float_erf(B::float_mul_scalar(x, Scalar::Float(std::f64::consts::FRAC_1_SQRT_2)));
    B::float_mul_scalar(B::float_add_scalar(erf, Scalar::Float(1.0)), Scalar::Float(0.5))
}

#[derive(Debug)]
struct Gelu;

impl<B: Backend + GeluOps> Backward<B, 1> for Gelu {
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        unary::<B, _>(ops.parents, ops.node, grads, |grad| B::gelu_exact_backward(ops.state, grad));
    }
}

impl<B: Backend + GeluOps, C: CheckpointStrategy> GeluOps for Autodiff<B, C> {
    fn gelu_exact(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        match Gelu.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(x.clone(), B::gelu_exact(x)),
            OpsKind::UnTracked(prep) => prep.finish(B::gelu_exact(x)),
        }
    }
}

#[cfg(feature = "flex")]
pub(crate) mod flex {
    use burn::backend::Flex;
    use burn::tensor::DType;

    use super::{GeluOps, composed, composed_backward};
    use crate::op::activation::flex::{Curve, Gelu};
    use crate::op::curve::flex::exp_negative;
    use crate::op::host::{Host, altered, contiguous, values};

    /// 1 / sqrt(2 pi).
    pub(crate) const INV_SQRT_TAU: f32 = 0.398_942_3;

    impl GeluOps for Flex {
        fn gelu_exact(x: Host) -> Host {
            if x.dtype() == DType::F64 {
                return composed::<Flex>(x);
            }
            altered(
                x,
                #[inline(always)]
                |_, x| x.iter_mut().for_each(|x| *x = Gelu::value(*x)),
            )
        }

        fn gelu_exact_backward(x: Host, grad: Host) -> Host {
            if x.dtype() == DType::F64 {
                return composed_backward::<Flex>(x, grad);
            }
            let x = contiguous(x);
            let input = values(&x);
            altered(
                grad,
                #[inline(always)]
                |at, g| g.iter_mut().zip(&input[at..]).for_each(|(g, x)| *g *= Gelu::slope(*x)),
            )
        }
    }

    /// (Phi(x), exp(-x^2 / 2)), without branches.
    ///
    /// Phi(-a) exp(a^2 / 2) for a >= 0 is t P(t) with t = 1 / (1 + 0.3 a); P of
    /// degree 9 was fitted at Chebyshev nodes to 4e-9 relative over a <= 14,
    /// beyond which the exponential is below f32.
    #[inline(always)]
    pub(crate) fn parts(x: f32) -> (f32, f32) {
        let bell = exp_negative(x * x * -0.5);
        let t = 1.0 / (1.0 + 0.3 * x.abs());
        let mut p = -0.020_914_36;
        p = p * t + 0.114_040_27;
        p = p * t - 0.232_038_48;
        p = p * t + 0.196_940_68;
        p = p * t - 0.083_742_55;
        p = p * t + 0.098_480_74;
        p = p * t + 0.077_589_064;
        p = p * t + 0.110_405_18;
        p = p * t + 0.119_551_76;
        p = p * t + 0.119_687_69;
        let tail = bell * (t * p);
        (if x < 0.0 { tail } else { 1.0 - tail }, bell)
    }
}

#[cfg(feature = "tch")]
mod torch {
    use burn::backend::LibTorch;

    use super::GeluOps;
    use crate::op::torch::{Torch, wrap};

    impl GeluOps for LibTorch {
        fn gelu_exact(x: Torch) -> Torch {
            wrap(x.tensor.gelu("none"))
        }

        fn gelu_exact_backward(x: Torch, grad: Torch) -> Torch {
            wrap(x.tensor.gelu_backward(&grad.tensor, "none"))
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{Device, Tensor, activation};

    use super::flex::parts;

    #[test]
    fn the_distribution_function_is_exact_to_rounding() {
        // Phi at 0, 1, 2, 3, 5 to 12 digits.
        let known = [
            (0.0, 0.5),
            (1.0, 0.841_344_746_068_543),
            (2.0, 0.977_249_868_051_821),
            (3.0, 0.998_650_101_968_370),
            (5.0, 0.999_999_713_348_428),
        ];
        for (x, phi) in known {
            assert!((f64::from(parts(x).0) - phi).abs() < 1.2e-7, "{x}");
            let tail = 1.0 - phi;
            assert!((f64::from(parts(-x).0) / tail - 1.0).abs() < 2e-6, "-{x}");
        }
    }

    #[test]
    fn values_and_gradients_are_those_of_burn() {
        let values: Vec<f32> = (-4000..4000).map(|i| i as f32 / 400.0).collect();
        let x = || Tensor::<1>::from_floats(values.as_slice(), &Device::flex().autodiff()).require_grad();
        let run = |f: fn(Tensor<1>) -> Tensor<1>| {
            let x = x();
            let y = f(x.clone());
            let grads = y.clone().powi_scalar(2).sum().backward();
            (y.into_data(), x.grad(&grads).expect("tracked").into_data())
        };
        let ((y, g), (y0, g0)) = (run(crate::op::gelu), run(activation::gelu));
        for (got, want) in [(y, y0), (g, g0)] {
            let (got, want) = (got.try_to_vec::<f32>().expect("f32"), want.try_to_vec::<f32>().expect("f32"));
            for (got, want) in got.iter().zip(want) {
                assert!((got - want).abs() <= 6e-7 * want.abs().max(1.0), "{got} {want}");
            }
        }
    }

    #[cfg(feature = "tch")]
    #[test]
    fn libtorch_agrees() {
        let values: Vec<f32> = (-4000..4000).map(|i| i as f32 / 400.0).collect();
        let x = Tensor::<1>::from_floats(values.as_slice(), &Device::flex()).reshape([2, 4, 20, 50]);
        crate::op::testing::on_both([x], |[x]| crate::op::gelu(x));
    }
}
