//! Convolution 1x1 as a matrix product: burn's takes the weight gradient by a
//! convolution with a kernel as large as the map.

use burn::tensor::Tensor;

/// 1x1 convolution as a matrix product: x [B, in, H, W], weight
/// [out, in, 1, 1], bias [out] to [B, out, H, W].
pub fn pointwise(x: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>) -> Tensor<4> {
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
