//! Convolution 1x1. burn's takes the weight gradient by a convolution with a
//! kernel as large as the map.

use burn::tensor::{DType, Tensor};

use super::backend::{is_flex, is_torch};
use super::{Convolution, convolution};

/// 1x1 convolution: x [B, in, H, W], weight [out, in, 1, 1], bias [out] to
/// [B, out, H, W]. Where there is no kernel for it, a matrix product.
pub fn pointwise(x: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>) -> Tensor<4> {
    if is_torch(&x.device()) || (is_flex(&x.device()) && x.dtype() == DType::F32) {
        let form = Convolution {
            stride: 1,
            padding: 0,
            output_padding: 0,
            dilation: 1,
            groups: 1,
            transposed: false,
        };
        return convolution(x, weight, bias, form);
    }
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
