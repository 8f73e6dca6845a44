//! Resizing of feature maps.

use burn::tensor::module::interpolate;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use burn::tensor::{Device, Tensor, TensorData};

use super::backend::is_torch;
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
    if corners == Corners::Aligned && !is_torch(&x.device()) {
        return resize_aligned(x, size);
    }
    let options = InterpolateOptions::new(InterpolateMode::Bilinear)
        .with_align_corners(corners == Corners::Aligned)
        .with_output_size(size);
    interpolate(x, options)
}

/// [`resize_bilinear`] with aligned corners, along the width and then along the
/// height, as products with matrices. PyTorch computes the positions in f32,
/// which moves a sample by up to 1e-5 of a pixel; burn computes them in f64.
/// Behind twenty batch norms that is the larger part of the difference between
/// a network here and its reference.
fn resize_aligned(x: Tensor<4>, [rows, columns]: [usize; 2]) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    let planes = batch * channels;
    let device = x.device();
    let kind = x.dtype();
    let along_width = aligned_weights(width, columns, &device).cast(kind).transpose(); // [W, W']
    let along_height = aligned_weights(height, rows, &device).cast(kind); // [H', H]
    let x = x.reshape([planes * height, width]).matmul(along_width); // [BCH, W']
    let x = x.reshape([planes, height, columns]);
    let along_height = along_height.reshape([1, rows, height]).expand([planes, rows, height]);
    along_height.matmul(x).reshape([batch, channels, rows, columns]) // [BC, H', W'] before
}

/// The matrix [target, source] that resizes a line of pixels.
fn aligned_weights(source: usize, target: usize, device: &Device) -> Tensor<2> {
    let step = if target > 1 { (source - 1) as f32 / (target - 1) as f32 } else { 0.0 };
    let mut weights = vec![0f32; target * source];
    for (index, row) in weights.chunks_exact_mut(source).enumerate() {
        let position = step * index as f32;
        let low = (position as usize).min(source - 1);
        let part = position - low as f32;
        row[low] += 1.0 - part;
        row[(low + 1).min(source - 1)] += part;
    }
    Tensor::from_data(TensorData::new(weights, [target, source]), device)
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

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::Distribution;

    use super::*;

    #[test]
    fn aligned_corners_are_burns_but_for_the_rounding_of_positions() {
        let device = Device::flex();
        for (from, to) in [([5, 7], [10, 14]), ([9, 4], [3, 1]), ([1, 6], [2, 11])] {
            let [height, width] = from;
            let x = Tensor::<4>::random([2, 3, height, width], Distribution::Default, &device);
            let slope =
                Tensor::<4>::random([2, 3, to[0], to[1]], Distribution::Default, &device.clone().autodiff());
            let burns = |x| {
                let options = InterpolateOptions::new(InterpolateMode::Bilinear)
                    .with_align_corners(true)
                    .with_output_size(to);
                interpolate(x, options)
            };
            let both = |f: &dyn Fn(Tensor<4>) -> Tensor<4>| {
                let x = Tensor::<4>::from_data(x.to_data(), &device.clone().autodiff()).require_grad();
                let y = f(x.clone());
                let grads = (y.clone() * slope.clone()).sum().backward();
                [y.inner(), x.grad(&grads).expect("tracked")]
            };
            let (ours, theirs) = (both(&|x| resize_bilinear(x, to, Corners::Aligned)), both(&burns));
            for (ours, theirs) in ours.into_iter().zip(theirs) {
                assert_eq!(ours.dims(), theirs.dims());
                let apart = (ours - theirs).abs().max().into_scalar::<f32>();
                assert!(apart < 1e-5, "{from:?} to {to:?}: {apart}");
            }
        }
    }
}
