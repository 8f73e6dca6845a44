//! Convolutions on libtorch: its own, with their gradients, but for two kinds
//! that it is slow at on CPUs.

use burn::backend::LibTorch;
use tch::{Device, Kind, Tensor};

use super::aten::{self, Form};
use super::{Torch, wrap};
use crate::op::{Activation, Convolution, ConvolutionBackward, ConvolutionNormOps, ConvolutionOps};

impl From<Convolution> for Form {
    fn from(form: Convolution) -> Self {
        let [stride, padding, output_padding, dilation, groups] =
            [form.stride, form.padding, form.output_padding, form.dilation, form.groups].map(|n| n as i64);
        Form { stride, padding, output_padding, dilation, groups, transposed: form.transposed }
    }
}

impl ConvolutionOps for LibTorch {
    fn convolve(x: Torch, weight: Torch, form: Convolution) -> Torch {
        wrap(forward(&x.tensor, &weight.tensor, None, form))
    }

    fn convolve_and_shift(x: Torch, weight: Torch, bias: Torch, form: Convolution) -> Torch {
        wrap(forward(&x.tensor, &weight.tensor, Some(&bias.tensor), form))
    }
}

impl ConvolutionNormOps for LibTorch {
    /// The scale is taken into the weight, the activation done in place.
    fn convolve_then(
        x: Torch,
        weight: Torch,
        scale: Torch,
        shift: Torch,
        form: Convolution,
        activation: Activation,
    ) -> Torch {
        let weight = weight.tensor * scale.tensor.reshape([-1, 1, 1, 1]);
        let mut y = forward(&x.tensor, &weight, Some(&shift.tensor), form);
        wrap(match activation {
            Activation::Identity => y,
            Activation::Relu => y.relu_(),
            Activation::Gelu => y.gelu_("none"),
        })
    }
}

fn forward(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, form: Convolution) -> Tensor {
    if is_product(x, weight, form) {
        return product(x, weight, bias);
    }
    let form = Form::from(form);
    if aten::has_depthwise(x, weight, form) {
        return shifted(aten::depthwise(x, weight, form), bias);
    }
    let pair = |side: i64| [side; 2];
    x.convolution(
        weight,
        bias,
        pair(form.stride),
        pair(form.padding),
        pair(form.dilation),
        form.transposed,
        pair(form.output_padding),
        form.groups,
    )
}

impl ConvolutionBackward for LibTorch {
    fn convolve_backward(
        x: Torch,
        weight: Torch,
        grad: Torch,
        form: Convolution,
        wanted: [bool; 3],
    ) -> [Option<Torch>; 3] {
        let (x, weight, grad) = (x.tensor, weight.tensor, grad.tensor);
        let taps = Form::from(form);
        let found = if is_product(&x, &weight, form) {
            product_backward(&x, &weight, &grad, wanted)
        } else if aten::has_depthwise(&x, &weight, taps) {
            let [x, weight] = aten::depthwise_backward(&grad, &x, &weight, taps);
            [Some(x), Some(weight), wanted[2].then(|| of_bias(&grad))]
        } else {
            aten::convolution_backward(&grad, &x, &weight, taps, wanted)
        };
        found.map(|gradient| gradient.map(wrap))
    }
}

/// Whether each pixel is multiplied by one matrix, on the CPU. There libtorch's
/// product of matrices takes half the time of its convolution, whose kernel
/// wants the channels of a pixel side by side. In bfloat16 it would round the
/// weight's gradient for each image, before the sum.
fn is_product(x: &Tensor, weight: &Tensor, form: Convolution) -> bool {
    x.device() == Device::Cpu
        && x.kind() != Kind::BFloat16
        && form == Convolution::PLAIN
        && weight.size()[2..] == [1, 1]
}

/// Maps as matrices [B, C, HW], the weight as one for each image.
fn matrices(x: &Tensor, weight: &Tensor) -> (Tensor, Tensor) {
    let (shape, size) = (x.size(), weight.size());
    let weight = weight.reshape([1, size[0], size[1]]).expand([shape[0], size[0], size[1]], false);
    (x.flatten(2, -1), weight)
}

fn product(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    let shape = x.size();
    let (pixels, matrix) = matrices(x, weight);
    let y = matrix.bmm(&pixels); // [B, out, HW]
    shifted(y.reshape([shape[0], weight.size()[0], shape[2], shape[3]]), bias)
}

/// A fresh map with the bias added.
fn shifted(mut y: Tensor, bias: Option<&Tensor>) -> Tensor {
    if let Some(bias) = bias {
        y += bias.reshape([1, -1, 1, 1]);
    }
    y
}

fn of_bias(grad: &Tensor) -> Tensor {
    grad.sum_dim_intlist([0i64, 2, 3].as_slice(), false, None)
}

fn product_backward(x: &Tensor, weight: &Tensor, grad: &Tensor, wanted: [bool; 3]) -> [Option<Tensor>; 3] {
    let (pixels, matrix) = matrices(x, weight);
    let slope = grad.flatten(2, -1); // [B, out, HW]
    [
        wanted[0].then(|| matrix.transpose(1, 2).bmm(&slope).reshape(x.size())),
        wanted[1].then(|| {
            let each = slope.bmm(&pixels.transpose(1, 2)); // [B, out, in]
            each.sum_dim_intlist([0i64].as_slice(), false, None).reshape(weight.size())
        }),
        wanted[2].then(|| of_bias(grad)),
    ]
}
