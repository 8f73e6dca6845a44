//! Two-dimensional convolution.

use burn::module::{Module, Param};
use burn::tensor::{Device, FloatDType, Tensor};

use super::{BatchNorm2d, zeros};
use crate::op::{self, Activation, Convolution};
use crate::trace::{self, Kind};

/// Configuration of a [`Conv2d`]: square kernel; stride 1, no padding,
/// dilation 1, one group and a bias unless said otherwise.
#[derive(Debug, Clone, Copy)]
pub struct Conv2dConfig {
    input: usize,
    output: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    dilation: usize,
    groups: usize,
    bias: bool,
}

impl Conv2dConfig {
    /// `input` to `output` channels with a `kernel` x `kernel` window.
    pub fn new(input: usize, output: usize, kernel: usize) -> Self {
        Self { input, output, kernel, stride: 1, padding: 0, dilation: 1, groups: 1, bias: true }
    }

    /// Distance between windows, pixels.
    pub fn stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    /// Zeros added on each side, pixels.
    pub fn padding(self, padding: usize) -> Self {
        Self { padding, ..self }
    }

    /// Distance between the taps of a window, pixels.
    pub fn dilation(self, dilation: usize) -> Self {
        Self { dilation, ..self }
    }

    /// Number of groups of channels that do not mix.
    pub fn groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    /// No bias (before a normalisation).
    pub fn no_bias(self) -> Self {
        Self { bias: false, ..self }
    }

    /// The layer, all zeros.
    pub fn init(&self, device: &Device) -> Conv2d {
        Conv2d {
            weight: zeros([self.output, self.input / self.groups, self.kernel, self.kernel], device),
            bias: self.bias.then(|| zeros([self.output], device)),
            stride: self.stride,
            padding: self.padding,
            dilation: self.dilation,
            groups: self.groups,
        }
    }
}

/// Cross-correlation with zero padding.
#[derive(Module, Debug)]
pub struct Conv2d {
    /// [out, in / groups, k, k].
    pub weight: Param<Tensor<4>>,
    /// `[out]`.
    pub bias: Option<Param<Tensor<1>>>,
    stride: usize,
    padding: usize,
    dilation: usize,
    groups: usize,
}

impl Conv2d {
    /// [B, in, H, W] to [B, out, H', W'] with
    /// H' = (H + 2 padding - dilation (k - 1) - 1) / stride + 1. In mixed
    /// precision inside [`op::autocast`].
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let weight = self.weight.val();
        let bias = self.bias.as_ref().map(Param::val);
        let input = x.dims();
        let y = if op::is_autocast() {
            let y = op::widen(op::convolution(op::narrow(x), op::narrow(weight), None, self.form()));
            match bias {
                Some(bias) => op::shift_channels(y, bias),
                None => y,
            }
        } else {
            op::convolution(x, weight, bias, self.form())
        };
        self.tell(input, y.dims());
        y
    }

    /// [`Self::forward`], then a batch norm and an activation: in evaluation in
    /// one go where the backend can.
    pub fn forward_then(&self, x: Tensor<4>, norm: &BatchNorm2d, activation: Activation) -> Tensor<4> {
        if op::trains(&x) || op::is_autocast() {
            return norm.forward_then(self.forward(x), activation);
        }
        let input = x.dims();
        let own = (self.weight.val(), self.bias.as_ref().map(Param::val));
        let (statistics, epsilon) = norm.given();
        let y = op::convolution_then(x, own, self.form(), statistics, epsilon, activation);
        self.tell(input, y.dims());
        norm.tell(y.dims());
        y
    }

    fn tell(&self, input: [usize; 4], output: [usize; 4]) {
        let [_, per_group, kernel, _] = self.weight.dims();
        let terms = per_group * kernel * kernel;
        trace::tell(Kind::Convolution, input, output, terms, &trace::layer(&self.weight, &self.bias));
    }

    fn form(&self) -> Convolution {
        let Self { stride, padding, dilation, groups, .. } = *self;
        Convolution { stride, padding, output_padding: 0, dilation, groups, transposed: false }
    }

    /// A 1 x 1 convolution of single pixels, [B, in] to [B, out], in f64: x is
    /// f64, the weights are f32 as ever.
    pub fn forward_double(&self, x: Tensor<2>) -> Tensor<2> {
        let [batch, input] = x.dims();
        let [output, ..] = self.weight.dims();
        let weight = self.weight.val().reshape([output, input]).cast(FloatDType::F64);
        let y = op::matmul(x.unsqueeze(), weight.transpose().unsqueeze()).squeeze_dim(0);
        let parameters = trace::layer(&self.weight, &self.bias);
        trace::tell(Kind::Convolution, [batch, input, 1, 1], [batch, output, 1, 1], input, &parameters);
        match &self.bias {
            Some(bias) => {
                let bias = bias.val().cast(FloatDType::F64).reshape([1, output]);
                y + op::spread(bias, [batch, output])
            }
            None => y,
        }
    }
}
