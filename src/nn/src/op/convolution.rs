//! Convolutions of every kind. burn takes their weight gradients by
//! convolutions with kernels as large as the map, and those of groups one
//! channel at a time; on libtorch its own gradient kernels are used.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, backend_extension};
use burn::tensor::module::{conv_transpose2d, conv2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
use burn::tensor::{DType, Tensor};

use super::backend::{is_flex, is_torch};

/// The form of a convolution with a square window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Convolution {
    /// Distance between windows, pixels.
    pub stride: usize,
    /// Zeros added on each side (transposed: pixels cut from it).
    pub padding: usize,
    /// Transposed only: rows that the result has more below and columns that it
    /// has more on the right, fewer than the stride. A strided convolution
    /// gives maps of several sizes the same size; this says which of them its
    /// adjoint returns to.
    pub output_padding: usize,
    /// Distance between the taps of a window, pixels.
    pub dilation: usize,
    /// Groups of channels that do not mix.
    pub groups: usize,
    /// Whether it is the adjoint, which enlarges.
    pub transposed: bool,
}

/// x [B, in, H, W], weight [out, in / groups, k, k] (transposed:
/// [in, out / groups, k, k]) and bias [out] to [B, out, H', W']. In f64 it is
/// burn's own everywhere but on libtorch.
pub fn convolution(x: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>, form: Convolution) -> Tensor<4> {
    let has_kernel = is_torch(&x.device()) || (is_flex(&x.device()) && x.dtype() == DType::F32);
    if !has_kernel {
        return composed(x, weight, bias, form);
    }
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(match bias {
        Some(bias) => <Dispatch as ConvolutionOps>::convolve_and_shift(x, weight, bias.into_dispatch(), form),
        None => <Dispatch as ConvolutionOps>::convolve(x, weight, form),
    })
}

/// [`convolution`] as burn does it, for every backend.
fn composed(x: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>, form: Convolution) -> Tensor<4> {
    let Convolution { stride, padding, output_padding, dilation, groups, transposed } = form;
    let [stride, padding, dilation] = [[stride; 2], [padding; 2], [dilation; 2]];
    if transposed {
        let options = ConvTransposeOptions::new(stride, padding, [output_padding; 2], dilation, groups);
        return conv_transpose2d(x, weight, bias, options);
    }
    conv2d(x, weight, bias, ConvOptions::new(stride, padding, dilation, groups))
}

/// A convolution as one operation of a backend. Shapes as [`convolution`].
#[backend_extension(Flex: cfg(feature = "flex"), LibTorch: cfg(feature = "tch"), Autodiff)]
pub trait ConvolutionOps: Backend {
    /// Without bias: [B, out, H', W'].
    fn convolve(x: FloatTensor<Self>, weight: FloatTensor<Self>, form: Convolution) -> FloatTensor<Self>;

    /// With bias: [B, out, H', W'].
    fn convolve_and_shift(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        form: Convolution,
    ) -> FloatTensor<Self>;
}

/// The gradients of [`ConvolutionOps`].
pub trait ConvolutionBackward: Backend {
    /// Gradients of x, weight and bias, each if it is `wanted`, given that of
    /// the output.
    fn convolve_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        form: Convolution,
        wanted: [bool; 3],
    ) -> [Option<FloatTensor<Self>>; 3];
}

/// With two parents (x, weight), or three (bias, too).
#[derive(Debug)]
struct Convolve;

impl<B: ConvolutionOps + ConvolutionBackward, const N: usize> Backward<B, N> for Convolve {
    type State = (FloatTensor<B>, FloatTensor<B>, Convolution);

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let (x, weight, form) = ops.state;
        let wanted = [0, 1, 2].map(|index| ops.parents.get(index).is_some_and(Option::is_some));
        let found = B::convolve_backward(x, weight, grad, form, wanted);
        for (node, gradient) in ops.parents.into_iter().zip(found) {
            if let (Some(node), Some(gradient)) = (node, gradient) {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

impl<B: ConvolutionOps + ConvolutionBackward, C: CheckpointStrategy> ConvolutionOps for Autodiff<B, C> {
    fn convolve(x: FloatTensor<Self>, weight: FloatTensor<Self>, form: Convolution) -> FloatTensor<Self> {
        let (x, x_node) = x.into_parts();
        let (weight, weight_node) = weight.into_parts();
        let y = B::convolve(x.clone(), weight.clone(), form);
        match Convolve.prepare::<C>([x_node, weight_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x, weight, form), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn convolve_and_shift(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        form: Convolution,
    ) -> FloatTensor<Self> {
        let (x, x_node) = x.into_parts();
        let (weight, weight_node) = weight.into_parts();
        let (bias, bias_node) = bias.into_parts();
        let y = B::convolve_and_shift(x.clone(), weight.clone(), bias, form);
        match Convolve.prepare::<C>([x_node, weight_node, bias_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x, weight, form), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod oracle {
    use burn::tensor::{Device, Distribution, FloatDType, Tensor};

    use super::{Convolution, composed, convolution};

    /// Values and gradients of x, weight (and bias); the loss is the sum of squares.
    fn run(
        inputs: &[Tensor<4>; 3],
        has_bias: bool,
        f: impl Fn([Tensor<4>; 3]) -> Tensor<4>,
    ) -> Vec<Vec<f64>> {
        let leaves = inputs.clone().map(|x| x.autodiff_leaf());
        let y = f(leaves.clone());
        let grads = y.clone().powi_scalar(2).sum().backward();
        let mut all = vec![y.inner()];
        let count = if has_bias { 3 } else { 2 };
        all.extend(leaves.into_iter().take(count).map(|leaf| leaf.grad(&grads).expect("tracked")));
        all.into_iter().map(|x| x.cast(FloatDType::F64).into_data().try_to_vec().expect("f64")).collect()
    }

    trait Leaf {
        fn autodiff_leaf(self) -> Self;
    }

    impl Leaf for Tensor<4> {
        fn autodiff_leaf(self) -> Self {
            Tensor::from_inner(self).require_grad()
        }
    }

    /// Ours in f32 against burn's in f64, relative to the largest value.
    #[track_caller]
    fn agrees(x: [usize; 4], weight: [usize; 4], bias: bool, form: Convolution) {
        let device = Device::flex();
        let random = |shape| Tensor::<4>::random(shape, Distribution::Normal(0.2, 1.0), &device);
        let channels = if form.transposed { weight[1] * form.groups } else { weight[0] };
        let inputs = [random(x), random(weight), random([1, 1, 1, channels])];
        let call = |[x, w, b]: [Tensor<4>; 3], f: fn(_, _, _, _) -> Tensor<4>| {
            f(x, w, bias.then(|| b.reshape([channels])), form)
        };
        let ours = run(&inputs, bias, |inputs| call(inputs, convolution));
        let again = run(&inputs, bias, |inputs| call(inputs, convolution));
        assert_eq!(ours, again, "{form:?}: repeats differ");
        let exact = inputs.map(|x| x.cast(FloatDType::F64));
        let exact = run(&exact, bias, |inputs| call(inputs, composed));
        for ((ours, exact), what) in ours.iter().zip(&exact).zip(["value", "x", "weight", "bias"]) {
            assert_eq!(ours.len(), exact.len(), "{what}");
            let scale = exact.iter().fold(0.0f64, |most, value| most.max(value.abs()));
            for (index, (ours, exact)) in ours.iter().zip(exact).enumerate() {
                let apart = (ours - exact).abs();
                assert!(apart <= 3e-6 * scale, "{what} {index} of {x:?} {weight:?} {form:?}: {ours} {exact}");
            }
        }
    }

    fn plain(padding: usize) -> Convolution {
        Convolution { stride: 1, padding, output_padding: 0, dilation: 1, groups: 1, transposed: false }
    }

    #[test]
    fn values_and_gradients_are_those_of_burn_in_f64() {
        let half = Convolution { stride: 2, ..plain(1) };
        agrees([2, 3, 13, 17], [16, 3, 3, 3], false, plain(1));
        agrees([1, 64, 14, 14], [70, 64, 3, 3], true, plain(1));
        agrees([2, 33, 60, 51], [20, 33, 3, 3], false, plain(1));
        agrees([1, 5, 11, 9], [4, 5, 1, 1], true, plain(0));
        agrees([2, 256, 3, 3], [40, 256, 1, 1], true, plain(0));
        agrees([3, 300, 1, 1], [9, 300, 1, 1], true, plain(0));
        agrees([2, 8, 15, 16], [12, 8, 3, 3], false, half);
        agrees([2, 8, 16, 15], [12, 8, 7, 7], false, Convolution { padding: 3, ..half });
        agrees([2, 6, 12, 12], [9, 2, 3, 3], true, Convolution { groups: 3, ..plain(1) });
        agrees([1, 4, 20, 21], [5, 4, 3, 3], false, Convolution { dilation: 4, ..plain(4) });
        // A patch embedding: no window overlaps; its rest is never read.
        agrees([2, 3, 18, 19], [24, 3, 4, 4], true, Convolution { stride: 4, ..plain(0) });
        // More padding than the window reaches, and a window as large as the map.
        agrees([1, 4, 5, 6], [3, 4, 1, 1], false, plain(2));
        agrees([1, 4, 5, 5], [3, 4, 5, 5], true, plain(0));
    }

    #[test]
    fn adjoints_are_those_of_burn_in_f64() {
        let up = Convolution { stride: 2, transposed: true, ..plain(0) };
        agrees([2, 32, 14, 15], [32, 17, 2, 2], true, up);
        agrees([2, 6, 7, 5], [6, 4, 2, 2], true, Convolution { padding: 1, ..up });
        agrees([2, 6, 7, 5], [6, 4, 3, 3], false, Convolution { padding: 1, output_padding: 1, ..up });
        agrees([1, 6, 4, 5], [6, 2, 3, 3], true, Convolution { groups: 2, ..up });
        agrees([1, 3, 6, 6], [3, 5, 4, 4], false, Convolution { padding: 1, ..up });
        // A stride beyond the window: some pixels have no tap.
        agrees([1, 3, 4, 6], [3, 5, 2, 2], true, Convolution { stride: 3, ..up });
    }

    #[test]
    fn what_is_not_contiguous_is_read_in_its_order() {
        let device = Device::flex();
        let x = Tensor::<4>::random([2, 9, 12, 4], Distribution::Default, &device);
        let w = Tensor::<4>::random([3, 3, 4, 6], Distribution::Default, &device);
        let (x, w) = (x.permute([0, 3, 1, 2]), w.permute([3, 2, 0, 1]));
        let copy = |x: &Tensor<4>| Tensor::<4>::from_data(x.to_data(), &device);
        let apart = convolution(x.clone(), w.clone(), None, plain(1))
            - convolution(copy(&x), copy(&w), None, plain(1));
        assert_eq!(apart.abs().max().into_scalar::<f32>(), 0.0);
    }

    #[test]
    fn any_form_agrees() {
        // Draws by a linear congruence (Knuth's), the same ones each time.
        let mut state = 1u64;
        let mut draw = |from: usize, below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            from + (state >> 33) as usize % (below - from)
        };
        let mut done = 0;
        while done < 60 {
            let [batch, groups] = [draw(1, 3), draw(1, 4)];
            let [input, output] = [draw(1, 20), draw(1, 20)];
            let [height, width, kernel] = [draw(1, 30), draw(1, 70), draw(1, 5)];
            let [stride, padding, dilation] = [draw(1, 4), draw(0, 4), draw(1, 4)];
            let [transposed, bias] = [draw(0, 2) == 1, draw(0, 2) == 1];
            let form = Convolution { stride, padding, output_padding: 0, dilation, groups, transposed };
            let reach = dilation * (kernel - 1);
            let fits = |side: usize| match transposed {
                true => (side - 1) * stride + reach + 1 > 2 * padding,
                false => side + 2 * padding > reach,
            };
            if !(fits(height) && fits(width)) {
                continue;
            }
            let weight = if transposed { [groups * input, output] } else { [groups * output, input] };
            let x = [batch, groups * input, height, width];
            agrees(x, [weight[0], weight[1], kernel, kernel], bias, form);
            done += 1;
        }
    }
}

#[cfg(all(test, feature = "flex", feature = "tch"))]
mod tests {
    use burn::tensor::{Device, Distribution, Tensor};

    use super::{Convolution, composed, convolution};
    use crate::op::testing::{close, on_both};

    fn plain(padding: usize) -> Convolution {
        Convolution { stride: 1, padding, output_padding: 0, dilation: 1, groups: 1, transposed: false }
    }

    #[test]
    fn values_and_gradients_on_libtorch_are_those_of_flex() {
        let plain = plain(1);
        for (form, weight) in [
            (plain, [6, 4, 3, 3]),
            (Convolution { stride: 2, ..plain }, [6, 4, 3, 3]),
            (Convolution { dilation: 2, padding: 2, groups: 4, ..plain }, [4, 1, 3, 3]),
            (Convolution { stride: 2, padding: 0, transposed: true, ..plain }, [4, 6, 2, 2]),
            (Convolution { stride: 2, output_padding: 1, transposed: true, ..plain }, [4, 6, 3, 3]),
        ] {
            let device = Device::flex();
            let x = Tensor::<4>::random([2, 4, 9, 12], Distribution::Default, &device);
            let w = Tensor::<4>::random(weight, Distribution::Default, &device);
            let b = Tensor::<1>::random([6], Distribution::Default, &device);
            let bias = weight[if form.transposed { 1 } else { 0 }] == 6;
            on_both([x, w], |[x, w]| {
                let b = bias.then(|| Tensor::from_data(b.to_data(), &x.device()));
                convolution(x, w, b, form)
            });
        }
    }

    #[test]
    fn burns_own_way_holds_on_libtorch_too() {
        let form = plain(1);
        let device = Device::libtorch();
        let x = Tensor::<4>::random([1, 3, 8, 8], Distribution::Default, &device);
        let w = Tensor::<4>::random([5, 3, 3, 3], Distribution::Default, &device);
        close(convolution(x.clone(), w.clone(), None, form), composed(x, w, None, form), "forward");
    }
}
