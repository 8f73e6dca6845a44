//! Pooling without parameters.

use burn::tensor::Tensor;
use burn::tensor::module::{avg_pool2d, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, MaxPoolOptions};

use crate::trace::{self, Kind};

/// The largest value of each `size` x `size` tile: [B, C, H, W] to
/// [B, C, H / size, W / size]; rows and columns that do not fill a tile are dropped.
pub fn max_pool(x: Tensor<4>, size: usize) -> Tensor<4> {
    let input = x.dims();
    let y = max_pool2d(x, MaxPoolOptions::new([size; 2]).with_stride([size; 2]));
    trace::tell(Kind::MaxPool, input, y.dims(), size * size, &[]);
    y
}

/// The largest value of each 3 x 3 window, two pixels apart, as behind the
/// stem of a ResNet: [B, C, H, W] to [B, C, ceil(H / 2), ceil(W / 2)].
pub fn max_pool_stem(x: Tensor<4>) -> Tensor<4> {
    let input = x.dims();
    let y = max_pool2d(x, MaxPoolOptions::new([3; 2]).with_stride([2; 2]).with_padding([1; 2]));
    trace::tell(Kind::MaxPool, input, y.dims(), 9, &[]);
    y
}

/// The mean of each 3 x 3 window, `stride` pixels apart; zeros around the map
/// count (each sum is divided by nine).
pub fn avg_pool_3x3(x: Tensor<4>, stride: usize) -> Tensor<4> {
    let options = AvgPoolOptions::new([3; 2]).with_stride([stride; 2]).with_padding([1; 2]);
    let input = x.dims();
    let y = avg_pool2d(x, options.with_count_include_pad(true));
    trace::tell(Kind::AveragePool, input, y.dims(), 9, &[]);
    y
}

/// The mean of each channel: [B, C, H, W] to [B, C]. Row by row: one long f32
/// sum would round more, and a norm over the batch alone magnifies what it loses.
pub fn global_average(x: Tensor<4>) -> Tensor<2> {
    let [batch, channels, height, width] = x.dims();
    trace::tell(Kind::GlobalAverage, x.dims(), [batch, channels], height * width, &[]);
    x.mean_dim(3).mean_dim(2).reshape([batch, channels])
}
