//! Fully connected layer.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use super::zeros;
use crate::op;
use crate::trace::{self, Kind};

/// Configuration of a [`Linear`], with a bias unless said otherwise.
#[derive(Debug, Clone, Copy)]
pub struct LinearConfig {
    input: usize,
    output: usize,
    bias: bool,
}

impl LinearConfig {
    /// `input` to `output` features.
    pub fn new(input: usize, output: usize) -> Self {
        Self { input, output, bias: true }
    }

    /// No bias.
    pub fn no_bias(self) -> Self {
        Self { bias: false, ..self }
    }

    /// The layer, all zeros.
    pub fn init(&self, device: &Device) -> Linear {
        Linear {
            weight: zeros([self.output, self.input], device),
            bias: self.bias.then(|| zeros([self.output], device)),
        }
    }
}

/// y = x W^T + b over the last axis.
#[derive(Module, Debug)]
pub struct Linear {
    /// [out, in].
    pub weight: Param<Tensor<2>>,
    /// `[out]`.
    pub bias: Option<Param<Tensor<1>>>,
}

impl Linear {
    /// [..., in] to [..., out]. In mixed precision inside [`op::autocast`].
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let weight = self.weight.val();
        let [output, input] = weight.dims();
        let mut dims = x.dims();
        let shape = dims;
        // One product of two matrices: the weight's gradient is one, too.
        let rows = x.reshape([-1, input as isize]);
        let bias = self.bias.as_ref().map(Param::val);
        let y = if op::is_autocast() {
            let y = op::widen(op::linear(op::narrow(rows), op::narrow(weight), None));
            match bias {
                Some(bias) => {
                    let shape = y.dims();
                    y + op::spread(bias.reshape([1, output]), shape)
                }
                None => y,
            }
        } else {
            op::linear(rows, weight, bias)
        };
        dims[D - 1] = output;
        trace::tell(Kind::Linear, shape, dims, input, &trace::layer(&self.weight, &self.bias));
        y.reshape(dims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_is_multiplied() {
        let device = Device::flex();
        let mut layer = LinearConfig::new(2, 3).init(&device);
        layer.weight = Param::from_tensor(Tensor::from_floats([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]], &device));
        layer.bias = Some(Param::from_tensor(Tensor::from_floats([0.0, 0.0, 10.0], &device)));
        let x = Tensor::<3>::from_floats([[[1.0, 2.0]], [[3.0, 4.0]]], &device);
        let y: Vec<f32> = layer.forward(x).into_data().try_to_vec().expect("f32");
        assert_eq!(y, [1.0, 4.0, 13.0, 3.0, 8.0, 17.0]);
    }
}
