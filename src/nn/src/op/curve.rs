//! Curves: sigmoid, tanh and the reciprocal root of each value, with their
//! gradients. burn takes them, or their gradients, from the system's C library,
//! whose results differ from one library and processor to the next. What flex
//! computes is written out here, of sums, products, quotients and roots, which
//! are the same everywhere.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Scalar, backend_extension};
use burn::tensor::Tensor;

/// 1 / (1 + e^-x) of each value.
pub fn sigmoid<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    bend(x, Curve::Sigmoid)
}

/// The hyperbolic tangent of each value.
pub fn tanh<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    bend(x, Curve::Tanh)
}

/// 1 / sqrt(x) of each value.
pub fn inverse_root<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    bend(x, Curve::InverseRoot)
}

fn bend<const D: usize>(x: Tensor<D>, curve: Curve) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as CurveOps>::curve(x.into_dispatch(), curve))
}

/// What is done to each value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Curve {
    /// 1 / (1 + e^-x).
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// 1 / sqrt(x).
    InverseRoot,
}

/// Curves on a backend.
#[backend_extension(Flex: cfg(feature = "flex"), LibTorch: cfg(feature = "tch"), Capture, Autodiff)]
pub trait CurveOps: Backend {
    /// The curve of each value.
    fn curve(x: FloatTensor<Self>, curve: Curve) -> FloatTensor<Self> {
        match curve {
            Curve::Sigmoid => Self::sigmoid(x),
            Curve::Tanh => Self::float_tanh(x),
            Curve::InverseRoot => Self::float_recip(Self::float_sqrt(x)),
        }
    }

    /// grad times the curve's slope where it has the value y.
    fn curve_backward(y: FloatTensor<Self>, grad: FloatTensor<Self>, curve: Curve) -> FloatTensor<Self> {
        let square = |y: FloatTensor<Self>| Self::float_mul(y.clone(), y);
        let scaled = |x, factor| Self::float_mul_scalar(x, Scalar::Float(factor));
        let slope = match curve {
            Curve::Sigmoid => Self::float_sub(y.clone(), square(y)),
            Curve::Tanh => Self::float_add_scalar(scaled(square(y), -1.0), Scalar::Float(1.0)),
            Curve::InverseRoot => scaled(Self::float_mul(square(y.clone()), y), -0.5),
        };
        Self::float_mul(grad, slope)
    }
}

#[derive(Debug)]
struct Bend;

impl<B: Backend + CurveOps> Backward<B, 1> for Bend {
    /// The output.
    type State = (FloatTensor<B>, Curve);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (y, curve) = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |grad| B::curve_backward(y, grad, curve));
    }
}

impl<B: Backend + CurveOps, C: CheckpointStrategy> CurveOps for Autodiff<B, C> {
    fn curve(x: FloatTensor<Self>, curve: Curve) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let y = B::curve(x, curve);
        match Bend.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((y.clone(), curve), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}

#[cfg(feature = "tch")]
impl CurveOps for burn::backend::LibTorch {}

#[cfg(feature = "flex")]
pub(crate) mod flex {
    use burn::backend::{Flex, TensorMetadata};
    use burn::tensor::{DType, TensorData};

    use super::{Curve, CurveOps};
    use crate::op::host::{Host, altered, contiguous, values};

    impl CurveOps for Flex {
        fn curve(x: Host, curve: Curve) -> Host {
            if x.dtype() == DType::F64 {
                return double(x, curve);
            }
            let each = |x: Host, f: fn(f32) -> f32| altered(x, |_, x| x.iter_mut().for_each(|x| *x = f(*x)));
            match curve {
                Curve::Sigmoid => altered(
                    x,
                    #[inline(always)]
                    |_, x| x.iter_mut().for_each(|x| *x = sigmoid(*x)),
                ),
                Curve::Tanh => altered(
                    x,
                    #[inline(always)]
                    |_, x| x.iter_mut().for_each(|x| *x = tanh(*x)),
                ),
                Curve::InverseRoot => each(x, |x| x.sqrt().recip()),
            }
        }

        fn curve_backward(y: Host, grad: Host, curve: Curve) -> Host {
            if y.dtype() == DType::F64 {
                let (y, grad) = (contiguous(y), contiguous(grad));
                let pairs = doubles(&y).iter().zip(doubles(&grad));
                let slopes = pairs.map(|(y, grad)| grad * slope(*y, curve)).collect();
                return Host::from_data(TensorData::new::<f64, _>(slopes, y.shape()));
            }
            let y = contiguous(y);
            let output = values(&y);
            altered(
                grad,
                #[inline(always)]
                |at, g| {
                    let pairs = g.iter_mut().zip(&output[at..]);
                    match curve {
                        Curve::Sigmoid => pairs.for_each(|(g, y)| *g *= y - y * y),
                        Curve::Tanh => pairs.for_each(|(g, y)| *g *= 1.0 - y * y),
                        Curve::InverseRoot => pairs.for_each(|(g, y)| *g *= -0.5 * (y * y * y)),
                    }
                },
            )
        }
    }

    fn doubles(x: &Host) -> &[f64] {
        x.as_slice::<f64>().unwrap_or_default()
    }

    fn double(x: Host, curve: Curve) -> Host {
        let x = contiguous(x);
        let of = |x: f64| match curve {
            Curve::Sigmoid => {
                let bell = libm::exp(-x.abs());
                (if x < 0.0 { bell } else { 1.0 }) / (1.0 + bell)
            }
            Curve::Tanh => libm::tanh(x),
            Curve::InverseRoot => x.sqrt().recip(),
        };
        let bent: Vec<f64> = doubles(&x).iter().map(|x| of(*x)).collect();
        Host::from_data(TensorData::new(bent, x.shape()))
    }

    /// The slope of a curve where it has the value y.
    fn slope(y: f64, curve: Curve) -> f64 {
        match curve {
            Curve::Sigmoid => y - y * y,
            Curve::Tanh => 1.0 - y * y,
            Curve::InverseRoot => -0.5 * (y * y * y),
        }
    }

    /// 1 / (1 + e^-x), which neither overflows nor loses small values.
    #[inline(always)]
    pub(crate) fn sigmoid(x: f32) -> f32 {
        let bell = exp_negative(-x.abs());
        (if x < 0.0 { bell } else { 1.0 }) / (1.0 + bell)
    }

    /// Near zero x + x^3 P(x^2), P of degree 4 fitted at Chebyshev
    /// nodes to 3e-8;
    /// else (1 - e^-2|x|) / (1 + e^-2|x|) with the sign of x.
    #[inline(always)]
    pub(crate) fn tanh(x: f32) -> f32 {
        let size = x.abs();
        let bell = exp_negative(-2.0 * size);
        let far = (1.0 - bell) / (1.0 + bell);
        let square = x * x;
        let mut p = -0.006_001_801;
        p = p * square + 0.020_931_424;
        p = p * square - 0.053_837_016;
        p = p * square + 0.133_326_79;
        p = p * square - 0.333_333_28;
        let near = x + x * square * p;
        if size < 0.625 { near } else { far.copysign(x) }
    }

    /// e^y for y <= 0; 1e-38 below -87.
    #[inline(always)]
    pub(crate) fn exp_negative(y: f32) -> f32 {
        // Adding 1.5 x 2^23 rounds to an integer and leaves it in the low bits.
        const ROUND: f32 = 12_582_912.0;
        // Not `max`, which would hide what is not a number.
        let y = if y < -87.0 { -87.0 } else { y };
        let shifted = y * std::f32::consts::LOG2_E + ROUND;
        let k = shifted - ROUND;
        // ln 2 in two parts, the first with trailing zeros, so that k ln 2 is exact.
        let r = (y - k * 0.693_359_4) + k * 2.121_944_4e-4;
        let mut p = 1.0 / 720.0;
        p = p * r + 1.0 / 120.0;
        p = p * r + 1.0 / 24.0;
        p = p * r + 1.0 / 6.0;
        p = p * r + 0.5;
        p = p * r + 1.0;
        p = p * r + 1.0;
        let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
        p * power
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{FloatDType, Tensor};

    use super::flex::{exp_negative, sigmoid, tanh};
    use crate::op::testing::{agree, gradients_of, normal};

    #[test]
    fn curves_are_exact_to_rounding() {
        for i in -400_000..400_000 {
            let x = i as f32 / 10_000.0;
            let exact = f64::from(x);
            let near = |got: f32, want: f64, bound: f64| {
                assert!((f64::from(got) - want).abs() <= bound * want.abs(), "{x}: {got} {want}");
            };
            near(tanh(x), libm::tanh(exact), 4e-7);
            near(sigmoid(x), 1.0 / (1.0 + libm::exp(-exact)), 4e-7);
            near(exp_negative(-x.abs()), libm::exp(-exact.abs()), 4e-7);
        }
        assert!(tanh(f32::NAN).is_nan() && sigmoid(f32::NAN).is_nan());
        assert_eq!([tanh(100.0), tanh(-100.0), sigmoid(200.0)], [1.0, -1.0, 1.0]);
    }

    #[test]
    fn values_and_gradients_are_those_of_burn_in_f64() {
        type Pair = [fn(Tensor<4>) -> Tensor<4>; 2];
        let pairs: [Pair; 3] = [
            [super::sigmoid, burn::tensor::activation::sigmoid],
            [super::tanh, |x| x.tanh()],
            [|x| super::inverse_root(x.abs() + 0.5), |x| (x.abs() + 0.5).sqrt().recip()],
        ];
        for [ours, burns] in pairs {
            let inputs = [normal([2, 3, 33, 40], 0.0, 1) * 2.0];
            let found = gradients_of(&inputs, |[x]| ours(x.swap_dims(1, 2)));
            let double = inputs.map(|x| x.cast(FloatDType::F64));
            let exact = gradients_of(&double, |[x]| burns(x.swap_dims(1, 2)));
            agree(&found, &exact, 1e-6);
            agree(&gradients_of(&double, |[x]| ours(x.swap_dims(1, 2))), &exact, 1e-13);
        }
    }

    #[cfg(feature = "tch")]
    #[test]
    fn libtorch_agrees() {
        for curve in [super::sigmoid, super::tanh] {
            crate::op::testing::on_both([normal([2, 4, 20, 50], 0.0, 1)], |[x]| curve(x));
        }
    }
}
