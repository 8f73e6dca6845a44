//! Resizing of feature maps.

use burn::tensor::Tensor;
use burn::tensor::module::interpolate;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};

use crate::trace::{self, Kind};

/// Where the samples of a bilinear resize lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Corners {
    /// At the centres of the pixels: source = (target + 1/2) in / out - 1/2,
    /// borders repeated (PyTorch's `align_corners=False`).
    Centred,
    /// The outer pixels of source and target coincide: source =
    /// target (in - 1) / (out - 1) (`align_corners=True`).
    Aligned,
}

/// Bilinear: [B, C, H, W] to [B, C, height, width]; the same size is the identity.
pub fn resize_bilinear(x: Tensor<4>, size: [usize; 2], corners: Corners) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    trace::tell(Kind::ResizeBilinear, x.dims(), [batch, channels, size[0], size[1]], 4, &[]);
    if [height, width] == size {
        return x;
    }
    let options = InterpolateOptions::new(InterpolateMode::Bilinear)
        .with_align_corners(corners == Corners::Aligned)
        .with_output_size(size);
    interpolate(x, options)
}

/// Bilinear enlargement: [B, C, H, W] to [B, C, factor H, factor W].
pub fn upsample_bilinear(x: Tensor<4>, factor: usize, corners: Corners) -> Tensor<4> {
    let [_, _, height, width] = x.dims();
    resize_bilinear(x, [factor * height, factor * width], corners)
}

/// Each pixel becomes a tile of equal ones: [B, C, H, W] to
/// [B, C, factor H, factor W].
pub fn upsample_nearest(x: Tensor<4>, factor: usize) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    trace::tell(Kind::ResizeNearest, x.dims(), [batch, channels, factor * height, factor * width], 1, &[]);
    x.reshape([batch, channels, height, 1, width, 1])
        .expand([batch, channels, height, factor, width, factor])
        .reshape([batch, channels, factor * height, factor * width])
}
