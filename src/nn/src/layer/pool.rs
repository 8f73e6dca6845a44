//! Pooling without parameters.

use burn::tensor::{FloatDType, Tensor};

use crate::op::{self, Edge, Pool};
use crate::trace::{self, Kind};

/// The largest value of each `size` x `size` tile: [B, C, H, W] to
/// [B, C, H / size, W / size]; rows and columns that do not fill a tile are dropped.
pub fn max_pool(x: Tensor<4>, size: usize) -> Tensor<4> {
    let input = x.dims();
    let y = op::max_pool(x, Pool { side: size, stride: size, padding: 0 });
    trace::tell(Kind::MaxPool, input, y.dims(), size * size, &[]);
    y
}

/// The largest value of each 3 x 3 window, two pixels apart, as behind the
/// stem of a ResNet: [B, C, H, W] to [B, C, ceil(H / 2), ceil(W / 2)].
pub fn max_pool_stem(x: Tensor<4>) -> Tensor<4> {
    let input = x.dims();
    let y = op::max_pool(x, Pool { side: 3, stride: 2, padding: 1 });
    trace::tell(Kind::MaxPool, input, y.dims(), 9, &[]);
    y
}

/// The mean of each 3 x 3 window, `stride` pixels apart; zeros around the map
/// count (each sum is divided by nine).
pub fn avg_pool_3x3(x: Tensor<4>, stride: usize) -> Tensor<4> {
    let input = x.dims();
    let y = op::mean_pool(x, Pool { side: 3, stride, padding: 1 }, Edge::Zeros);
    trace::tell(Kind::AveragePool, input, y.dims(), 9, &[]);
    y
}

/// The mean of each `size` x `size` tile: [B, C, H, W] to
/// [B, C, ceil(H / size), ceil(W / size)]; of a tile that reaches beyond the
/// map, the mean of its part inside (PyTorch's `ceil_mode`, `count_include_pad=False`).
pub fn avg_pool_ceil(x: Tensor<4>, size: usize) -> Tensor<4> {
    let input = x.dims();
    let y = op::mean_pool(x, Pool { side: size, stride: size, padding: 0 }, Edge::Cut);
    trace::tell(Kind::AveragePool, input, y.dims(), size * size, &[]);
    y
}

/// The mean of each channel: [B, C, H, W] to [B, C].
pub fn global_average(x: Tensor<4>) -> Tensor<2> {
    let kind = x.dtype();
    global_average_double(x).cast(kind)
}

/// [`global_average`] in f64, but for the means of the rows, whose rounding
/// is averaged.
pub fn global_average_double(x: Tensor<4>) -> Tensor<2> {
    let [batch, channels, height, width] = x.dims();
    trace::tell(Kind::GlobalAverage, x.dims(), [batch, channels], height * width, &[]);
    let rows = op::mean_axes(x, &[3]).cast(FloatDType::F64);
    op::mean_axes(rows, &[2]).reshape([batch, channels])
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn a_tile_beyond_the_border_is_the_mean_of_what_it_holds() {
        let device = Device::flex().autodiff();
        let x = Tensor::<4>::from_floats([[[[1.0, 3.0, 7.0], [5.0, 7.0, 9.0], [2.0, 4.0, 6.0]]]], &device);
        let x = x.require_grad();
        let y = avg_pool_ceil(x.clone(), 2);
        let gradient = x.grad(&y.clone().sum().backward()).expect("tracked");
        let values = |x: Tensor<4>| x.into_data().try_to_vec::<f32>().expect("f32");
        assert_eq!(values(y.inner()), [4.0, 8.0, 3.0, 6.0]);
        assert_eq!(values(gradient), [0.25, 0.25, 0.5, 0.25, 0.25, 0.5, 0.5, 0.5, 1.0]);
    }
}
