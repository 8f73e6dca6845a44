//! Pooling without parameters.

use burn::tensor::Tensor;
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;

/// The largest value of each `size` x `size` tile: [B, C, H, W] to
/// [B, C, H / size, W / size]; rows and columns that do not fill a tile are dropped.
pub fn max_pool(x: Tensor<4>, size: usize) -> Tensor<4> {
    max_pool2d(x, MaxPoolOptions::new([size; 2]).with_stride([size; 2]))
}
