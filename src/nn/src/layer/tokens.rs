//! The two forms of a feature map: images [B, C, H, W] and tokens [B, N, C],
//! N = H W, token n standing for the pixel (n / W, n mod W).

use burn::tensor::Tensor;

/// [B, C, H, W] to [B, H W, C].
pub fn to_tokens(x: Tensor<4>) -> Tensor<3> {
    let [batch, channels, height, width] = x.dims();
    x.reshape([batch, channels, height * width]).swap_dims(1, 2)
}

/// [B, H W, C] to [B, C, H, W].
pub fn to_image(x: Tensor<3>, [height, width]: [usize; 2]) -> Tensor<4> {
    let [batch, _, channels] = x.dims();
    x.swap_dims(1, 2).reshape([batch, channels, height, width])
}
