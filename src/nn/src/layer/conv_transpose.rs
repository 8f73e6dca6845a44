//! Two-dimensional transposed convolution.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use super::zeros;
use crate::op::{self, Convolution};
use crate::trace::{self, Kind};

/// Configuration of a [`ConvTranspose2d`] (with bias).
#[derive(Debug, Clone, Copy)]
pub struct ConvTranspose2dConfig {
    input: usize,
    output: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    output_padding: usize,
}

impl ConvTranspose2dConfig {
    /// `input` to `output` channels, square kernel.
    pub fn new(input: usize, output: usize, kernel: usize, stride: usize) -> Self {
        Self { input, output, kernel, stride, padding: 0, output_padding: 0 }
    }

    /// Pixels cut from each side of the result.
    pub fn padding(self, padding: usize) -> Self {
        Self { padding, ..self }
    }

    /// Rows and columns more at the lower and right end, fewer than the stride.
    pub fn output_padding(self, output_padding: usize) -> Self {
        Self { output_padding, ..self }
    }

    /// The layer, all zeros.
    pub fn init(&self, device: &Device) -> ConvTranspose2d {
        ConvTranspose2d {
            weight: zeros([self.input, self.output, self.kernel, self.kernel], device),
            bias: zeros([self.output], device),
            stride: self.stride,
            padding: self.padding,
            output_padding: self.output_padding,
        }
    }
}

/// The adjoint of a convolution, used to enlarge maps.
#[derive(Module, Debug)]
pub struct ConvTranspose2d {
    /// [in, out, k, k].
    pub weight: Param<Tensor<4>>,
    /// `[out]`.
    pub bias: Param<Tensor<1>>,
    stride: usize,
    padding: usize,
    output_padding: usize,
}

impl ConvTranspose2d {
    /// [B, in, H, W] to [B, out, H', W'] with
    /// H' = (H - 1) stride - 2 padding + k + output padding. In mixed precision inside [`op::autocast`].
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let Self { stride, padding, output_padding, .. } = *self;
        let form = Convolution { stride, padding, output_padding, dilation: 1, groups: 1, transposed: true };
        let (weight, bias) = (self.weight.val(), self.bias.val());
        let input = x.dims();
        let y = if op::is_autocast() {
            let y = op::widen(op::convolution(op::narrow(x), op::narrow(weight), None, form));
            op::shift_channels(y, bias)
        } else {
            op::convolution(x, weight, Some(bias), form)
        };
        let [input_channels, _, kernel, _] = self.weight.dims();
        let terms = input_channels * kernel * kernel;
        let parameters = [trace::of(&self.weight), trace::of(&self.bias)];
        trace::tell(Kind::ConvolutionTransposed, input, y.dims(), terms, &parameters);
        y
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::op::testing::between;

    /// Value and gradients of input and weight.
    fn run(
        config: ConvTranspose2dConfig,
        cut: Option<usize>,
        x: &Tensor<4>,
        w: &Tensor<4>,
    ) -> [Tensor<4>; 3] {
        let device = Device::flex();
        let x = Tensor::<4>::from_data(x.to_data(), &device.clone().autodiff()).require_grad();
        let mut layer = config.init(&device);
        layer.weight = Param::from_tensor(w.clone());
        let layer = layer.train();
        let y = layer.forward(x.clone());
        let y = match cut {
            Some(cut) => y.clone().slice([0..2, 0..3, cut..y.dims()[2], cut..y.dims()[3]]),
            None => y,
        };
        let grads = y.clone().powi_scalar(3).sum().backward();
        [y.inner(), x.grad(&grads).expect("x"), layer.weight.val().grad(&grads).expect("weight")]
    }

    #[test]
    fn output_padding_cuts_less_below_and_on_the_right() {
        let x = between([2, 4, 5, 6], [0.0, 1.0], 1);
        let w = between([4, 3, 3, 3], [0.0, 1.0], 2);
        let config = ConvTranspose2dConfig::new(4, 3, 3, 2);
        let padded = run(config.padding(1).output_padding(1), None, &x, &w);
        assert_eq!(padded[0].dims(), [2, 3, 10, 12]);
        // Nothing but the first row and column is missing from the whole result.
        for (ours, whole) in padded.into_iter().zip(run(config, Some(1), &x, &w)) {
            let scale = whole.clone().abs().max().into_scalar::<f32>();
            let difference = (ours - whole).abs().max().into_scalar::<f32>();
            assert!(scale > 0.0 && difference <= 1e-5 * scale, "{difference} of {scale}");
        }
    }
}
