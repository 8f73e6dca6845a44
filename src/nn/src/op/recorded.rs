//! The operations on burn's capture device, where nothing is computed. Most of
//! them are recorded as what burn calls them, or as what they are composed of;
//! inside [`as_on_flex`](super::as_on_flex) each is recorded as one operation
//! under the name of its kernel.

use burn::backend::ir::{CustomOpIr, OperationIr, TensorIr};
use burn::backend::ops::{ActivationOps, FloatTensorOps};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Capture, TensorMetadata};
use burn::tensor::Shape;
use burn_router::RouterClient;

use super::attention::{Attended, AttentionBackward, AttentionOps};
use super::attention_packed::{Packed, PackedAttentionBackward, PackedAttentionOps};
use super::backend::is_as_on_flex;
use super::convolution::{ConvolutionBackward, ConvolutionOps};
use super::layer_norm::{LayerNormBackward, LayerNormOps, NormalisedRows};
use super::linear::{LinearBackward, LinearOps};
use super::mean_pool::{MeanPoolBackward, MeanPoolOps};
use super::normalise::{NormaliseBackward, NormaliseOps, Normalised};
use super::overlap::{OverlapBackward, OverlapOps};
use super::resize::{ResizeBackward, ResizeOps};
use super::sample::{SampleBackward, SampleOps};
use super::window_tokens::{TokenWindows, WindowOps};
use super::{
    Activation, Axes, Convolution, ConvolutionNormOps, Curve, CurveOps, Edge, GeluOps, MatmulOps, Pool,
    ReluOps, Samples, SoftmaxOps, SumOps,
};

type Recorded = FloatTensor<Capture>;

/// Records a kernel: its name, what it reads and the shapes that it writes.
fn kernel<const N: usize>(name: &'static str, reads: &[&Recorded], writes: [Shape; N]) -> [Recorded; N] {
    let client = reads[0].client.clone();
    let dtype = reads[0].dtype();
    let outputs = writes.map(|shape| TensorIr::uninit(client.create_empty_handle(), shape, dtype));
    let inputs: Vec<TensorIr> = reads.iter().map(|tensor| (*tensor).clone().into_ir()).collect();
    let written = client.register(OperationIr::Custom(CustomOpIr::new(name, &inputs, &outputs)));
    let mut written = written.into_iter();
    std::array::from_fn(|_| written.next().expect("an output for each that was declared"))
}

/// A kernel that writes one tensor.
fn one(name: &'static str, reads: &[&Recorded], shape: impl Into<Shape>) -> Recorded {
    let [written] = kernel(name, reads, [shape.into()]);
    written
}

impl GeluOps for Capture {
    fn gelu_exact(x: Recorded) -> Recorded {
        match is_as_on_flex() {
            true => one("gelu", &[&x], x.shape()),
            false => <Self as ActivationOps<Self>>::gelu(x),
        }
    }
}

impl ReluOps for Capture {
    fn rectify(x: Recorded) -> Recorded {
        match is_as_on_flex() {
            true => one("relu", &[&x], x.shape()),
            false => <Self as ActivationOps<Self>>::relu(x),
        }
    }
}

impl CurveOps for Capture {
    fn curve(x: Recorded, curve: Curve) -> Recorded {
        if is_as_on_flex() {
            return one("curve", &[&x], x.shape());
        }
        match curve {
            Curve::Sigmoid => Self::sigmoid(x),
            Curve::Tanh => Self::float_tanh(x),
            Curve::InverseRoot => Self::float_recip(Self::float_sqrt(x)),
        }
    }
}

impl SoftmaxOps for Capture {
    fn soften(x: Recorded) -> Recorded {
        let axis = x.shape().num_dims() - 1;
        match is_as_on_flex() {
            true => one("softmax", &[&x], x.shape()),
            false => <Self as ActivationOps<Self>>::softmax(x, axis),
        }
    }
}

impl MatmulOps for Capture {
    fn multiply(a: Recorded, b: Recorded) -> Recorded {
        match is_as_on_flex() {
            true => one("matmul", &[&a, &b], [a.shape()[0], a.shape()[1], b.shape()[2]]),
            false => Self::float_matmul(a, b),
        }
    }
}

impl SumOps for Capture {
    fn sum_over(x: Recorded, axes: Axes) -> Recorded {
        let shape = x.shape();
        let lengths = (0..shape.num_dims()).map(|axis| if axes.contains(axis) { 1 } else { shape[axis] });
        match is_as_on_flex() {
            true => one("sum", &[&x], lengths.collect::<Vec<_>>()),
            false => axes.each().fold(x, Self::float_sum_dim),
        }
    }

    fn repeat_to(x: Recorded, shape: Shape) -> Recorded {
        match is_as_on_flex() {
            true => one("spread", &[&x], shape),
            false => Self::float_expand(x, shape),
        }
    }
}

// What follows is asked for in that scope alone: elsewhere the operations are
// composed of burn's. Gradients are not recorded: burn captures none.

/// The side of what a convolution writes.
fn side(form: Convolution, side: usize, kernel: usize) -> usize {
    let reach = form.dilation * (kernel - 1);
    if form.transposed {
        (side - 1) * form.stride + reach + 1 + form.output_padding - 2 * form.padding
    } else {
        (side + 2 * form.padding - reach - 1) / form.stride + 1
    }
}

fn convolved(x: &Recorded, weight: &Recorded, form: Convolution) -> [usize; 4] {
    let (x, weight) = (x.shape(), weight.shape());
    let channels = if form.transposed { weight[1] * form.groups } else { weight[0] };
    [x[0], channels, side(form, x[2], weight[2]), side(form, x[3], weight[3])]
}

impl ConvolutionOps for Capture {
    fn convolve(x: Recorded, weight: Recorded, form: Convolution) -> Recorded {
        one("convolution", &[&x, &weight], convolved(&x, &weight, form))
    }

    fn convolve_and_shift(x: Recorded, weight: Recorded, bias: Recorded, form: Convolution) -> Recorded {
        one("convolution", &[&x, &weight, &bias], convolved(&x, &weight, form))
    }
}

impl ConvolutionNormOps for Capture {
    fn convolve_then(
        x: Recorded,
        weight: Recorded,
        scale: Recorded,
        shift: Recorded,
        form: Convolution,
        _: Activation,
    ) -> Recorded {
        one("convolution and norm", &[&x, &weight, &scale, &shift], convolved(&x, &weight, form))
    }
}

impl LinearOps for Capture {
    fn linear_rows(x: Recorded, weight: Recorded, bias: Recorded) -> Recorded {
        one("linear", &[&x, &weight, &bias], [x.shape()[0], weight.shape()[0]])
    }
}

fn attended(q: &Recorded, v: &Recorded) -> [usize; 4] {
    let (q, v) = (q.shape(), v.shape());
    [q[0], q[1], q[2], v[3]]
}

impl AttentionOps for Capture {
    fn attend(q: Recorded, k: Recorded, v: Recorded, _: f64) -> Recorded {
        one("attention", &[&q, &k, &v], attended(&q, &v))
    }

    fn attend_with(q: Recorded, k: Recorded, v: Recorded, bias: Recorded, _: f64) -> Recorded {
        one("attention", &[&q, &k, &v, &bias], attended(&q, &v))
    }
}

/// The output of an attention of [B, N, 3 h d].
fn attended_packed(packed: &Recorded, heads: usize) -> [usize; 4] {
    let shape = packed.shape();
    [shape[0], heads, shape[1], shape[2] / (3 * heads)]
}

impl PackedAttentionOps for Capture {
    fn attend_packed(packed: Recorded, heads: usize, _: f64) -> Recorded {
        one("attention", &[&packed], attended_packed(&packed, heads))
    }

    fn attend_packed_with(packed: Recorded, bias: Recorded, heads: usize, _: f64) -> Recorded {
        one("attention", &[&packed, &bias], attended_packed(&packed, heads))
    }
}

impl WindowOps for Capture {
    fn to_windows(x: Recorded, windows: TokenWindows) -> Recorded {
        one("to windows", &[&x], windows.tokens(x.shape()[0], x.shape()[3]))
    }

    fn from_windows(x: Recorded, windows: TokenWindows) -> Recorded {
        one("from windows", &[&x], windows.map(x.shape()[0] / windows.count(), x.shape()[2]))
    }
}

impl LayerNormOps for Capture {
    fn normalise_rows(
        x: Recorded,
        weight: Recorded,
        bias: Recorded,
        _: f64,
    ) -> (Recorded, Recorded, Recorded) {
        let rows = Shape::from([x.shape().num_elements() / weight.shape()[0]]);
        kernel("layer norm", &[&x, &weight, &bias], [x.shape(), rows.clone(), rows]).into()
    }
}

impl NormaliseOps for Capture {
    fn scale_and_shift(x: Recorded, scale: Recorded, shift: Recorded, _: Activation) -> Recorded {
        one("batch norm", &[&x, &scale, &shift], x.shape())
    }

    fn normalise_then(
        x: Recorded,
        weight: Recorded,
        bias: Recorded,
        _: f64,
        _: Activation,
    ) -> (Recorded, Recorded, Recorded) {
        let channels = weight.shape();
        kernel("batch norm", &[&x, &weight, &bias], [x.shape(), channels.clone(), channels]).into()
    }
}

impl OverlapOps for Capture {
    fn overlap(logits: Recorded, target: Recorded) -> Recorded {
        one("overlap", &[&logits, &target], [logits.shape()[0], 4])
    }
}

impl SampleOps for Capture {
    fn sample(x: Recorded, offset: Recorded, _: usize) -> Recorded {
        let shape = x.shape();
        one("sample", &[&x, &offset], [shape[0], shape[1], 2 * shape[2], 2 * shape[3]])
    }
}

impl ResizeOps for Capture {
    fn resize(x: Recorded, size: [usize; 2], _: Samples) -> Recorded {
        one("resize", &[&x], [x.shape()[0], x.shape()[1], size[0], size[1]])
    }
}

impl MeanPoolOps for Capture {
    fn pool_mean(x: Recorded, window: Pool, edge: Edge) -> Recorded {
        let shape = x.shape();
        let [rows, columns] = [shape[2], shape[3]].map(|length| window.count(length, edge));
        one("mean pool", &[&x], [shape[0], shape[1], rows, columns])
    }
}

/// What burn's dispatch of gradients asks of every backend, and never calls on
/// this one.
fn no_gradient<T>() -> T {
    unreachable!("burn's capture device refuses gradients")
}

impl ConvolutionBackward for Capture {
    fn convolve_backward(
        _: Recorded,
        _: Recorded,
        _: Recorded,
        _: Convolution,
        _: [bool; 3],
    ) -> [Option<Recorded>; 3] {
        no_gradient()
    }
}

impl LinearBackward for Capture {
    fn linear_rows_backward(_: Recorded, _: Recorded, _: Recorded, _: bool) -> [Option<Recorded>; 3] {
        no_gradient()
    }
}

impl AttentionBackward for Capture {
    fn attend_backward(_: Attended<Recorded>, _: Recorded, _: bool) -> ([Recorded; 3], Option<Recorded>) {
        no_gradient()
    }
}

impl PackedAttentionBackward for Capture {
    fn attend_packed_backward(_: Packed<Recorded>, _: Recorded, _: bool) -> (Recorded, Option<Recorded>) {
        no_gradient()
    }
}

impl LayerNormBackward for Capture {
    fn normalise_rows_backward(_: NormalisedRows<Recorded>, _: Recorded) -> [Recorded; 3] {
        no_gradient()
    }
}

impl NormaliseBackward for Capture {
    fn normalise_then_backward(_: Normalised<Recorded>, _: Recorded) -> [Recorded; 3] {
        no_gradient()
    }
}

impl OverlapBackward for Capture {
    fn overlap_backward(_: Recorded, _: Recorded, _: Recorded) -> Recorded {
        no_gradient()
    }
}

impl SampleBackward for Capture {
    fn sample_backward(_: Recorded, _: Recorded, _: Recorded, _: usize) -> (Recorded, Recorded) {
        no_gradient()
    }
}

impl ResizeBackward for Capture {
    fn resize_backward(_: Recorded, _: [usize; 2], _: Samples) -> Recorded {
        no_gradient()
    }
}

impl MeanPoolBackward for Capture {
    fn pool_mean_backward(_: Recorded, _: [usize; 2], _: Pool, _: Edge) -> Recorded {
        no_gradient()
    }
}
