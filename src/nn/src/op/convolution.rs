//! Convolutions of every kind. burn takes their weight gradients by
//! convolutions with kernels as large as the map, and those of groups one
//! channel at a time; on libtorch its own gradient kernels are used.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;
use burn::tensor::module::{conv_transpose2d, conv2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};

use super::backend::has_kernel;

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
/// [in, out / groups, k, k]) and bias `[out]` to [B, out, H', W']. In f64 it is
/// burn's own everywhere but on libtorch.
pub fn convolution(x: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>, form: Convolution) -> Tensor<4> {
    if !has_kernel(&x) {
        return composed(x, weight, bias, form);
    }
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(match bias {
        Some(bias) => <Dispatch as ConvolutionOps>::convolve_and_shift(x, weight, bias.into_dispatch(), form),
        None => <Dispatch as ConvolutionOps>::convolve(x, weight, form),
    })
}

impl Convolution {
    /// Every window, none beyond the border, all channels mixed. With a window
    /// of one pixel it is a product of matrices.
    pub const PLAIN: Self =
        Self { stride: 1, padding: 0, output_padding: 0, dilation: 1, groups: 1, transposed: false };
}

/// [`convolution`] as burn does it, for every backend; that of single pixels as
/// a product of matrices.
fn composed(x: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>, form: Convolution) -> Tensor<4> {
    if form == Convolution::PLAIN && weight.dims()[2..] == [1, 1] {
        return product(x, weight, bias);
    }
    let Convolution { stride, padding, output_padding, dilation, groups, transposed } = form;
    let [stride, padding, dilation] = [[stride; 2], [padding; 2], [dilation; 2]];
    if transposed {
        let options = ConvTransposeOptions::new(stride, padding, [output_padding; 2], dilation, groups);
        return conv_transpose2d(x, weight, bias, options);
    }
    conv2d(x, weight, bias, ConvOptions::new(stride, padding, dilation, groups))
}

/// x [B, in, H, W], weight [out, in, 1, 1] and bias `[out]` to [B, out, H, W].
fn product(x: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>) -> Tensor<4> {
    let [batch, input, height, width] = x.dims();
    let [output, ..] = weight.dims();
    let weight = weight.reshape([1, output, input]).expand([batch, output, input]);
    let y = weight.matmul(x.reshape([batch, input, height * width]));
    let y = y.reshape([batch, output, height, width]);
    match bias {
        Some(bias) => y + bias.reshape([1, output, 1, 1]),
        None => y,
    }
}

/// A convolution as one operation of a backend. Shapes as [`convolution`].
#[backend_extension(Flex: cfg(feature = "flex"), LibTorch: cfg(feature = "tch"), Capture, Autodiff)]
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

#[cfg(all(test, feature = "flex", feature = "tch"))]
mod tests {
    use burn::tensor::{Device, Tensor};

    use super::{Convolution, composed, convolution};
    use crate::op::testing::{between, close, on_both};

    fn plain(padding: usize) -> Convolution {
        Convolution { padding, ..Convolution::PLAIN }
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
            let x = between([2, 4, 9, 12], [0.0, 1.0], 1);
            let w = between(weight, [0.0, 1.0], 2);
            let b = between([6], [0.0, 1.0], 3);
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
        let draw = |shape: [usize; 4], seed| {
            Tensor::<4>::from_data(between(shape, [0.0, 1.0], seed).into_data(), &Device::libtorch())
        };
        let (x, w) = (draw([1, 3, 8, 8], 1), draw([5, 3, 3, 3], 2));
        close(convolution(x.clone(), w.clone(), None, form), composed(x, w, None, form), "forward");
    }
}
