//! Resizing of feature maps.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::module::interpolate;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use burn::tensor::{Device, Tensor, TensorData};

use super::backend::{has_flex_kernel, is_torch};
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
    if has_flex_kernel(&x) {
        let y = <Dispatch as ResizeOps>::resize(x.into_dispatch(), size, Samples::Bilinear(corners));
        return Tensor::from_dispatch(y);
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
    if has_flex_kernel(&x) {
        let size = [factor * height, factor * width];
        return Tensor::from_dispatch(<Dispatch as ResizeOps>::resize(
            x.into_dispatch(),
            size,
            Samples::Nearest,
        ));
    }
    x.reshape([batch, channels, height, 1, width, 1])
        .expand([batch, channels, height, factor, width, factor])
        .reshape([batch, channels, factor * height, factor * width])
}

/// Which pixels a resized one is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Samples {
    /// The two nearest of each axis, by their distance.
    Bilinear(Corners),
    /// The one that it lies in.
    Nearest,
}

/// A resize as one operation of a backend.
#[backend_extension(Flex: cfg(feature = "flex"), Capture, Autodiff)]
pub trait ResizeOps: Backend {
    /// [B, C, H, W] to [B, C, size].
    fn resize(x: FloatTensor<Self>, size: [usize; 2], samples: Samples) -> FloatTensor<Self>;
}

/// The gradient of [`ResizeOps::resize`].
pub trait ResizeBackward: Backend {
    /// Of the map of size `from`, given that of the resized one.
    fn resize_backward(grad: FloatTensor<Self>, from: [usize; 2], samples: Samples) -> FloatTensor<Self>;
}

#[derive(Debug)]
struct Resize;

impl<B: ResizeOps + ResizeBackward> Backward<B, 1> for Resize {
    type State = ([usize; 2], Samples);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (from, samples) = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |grad| B::resize_backward(grad, from, samples));
    }
}

impl<B: ResizeOps + ResizeBackward, C: CheckpointStrategy> ResizeOps for Autodiff<B, C> {
    fn resize(x: FloatTensor<Self>, size: [usize; 2], samples: Samples) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let shape = x.shape();
        let y = B::resize(x, size, samples);
        match Resize.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(([shape[2], shape[3]], samples), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}

#[cfg(feature = "flex")]
mod flex {
    use burn::backend::{Flex, TensorMetadata};
    use rayon::prelude::*;

    use super::{Corners, ResizeBackward, ResizeOps, Samples};
    use crate::op::host::{CHUNK, Host, contiguous, tensor, values, vectorised};

    /// What a pixel of an axis is made of: two neighbours, and the part of the
    /// second one.
    #[derive(Clone, Copy)]
    struct Blend {
        low: usize,
        high: usize,
        part: f32,
    }

    impl Samples {
        fn axis(self, from: usize, to: usize) -> Vec<Blend> {
            let position = |index: usize| match self {
                // As PyTorch computes it, in f32.
                Self::Bilinear(Corners::Centred) => {
                    ((index as f32 + 0.5) * (from as f32 / to as f32) - 0.5).max(0.0)
                }
                Self::Bilinear(Corners::Aligned) if to > 1 => {
                    (from - 1) as f32 / (to - 1) as f32 * index as f32
                }
                Self::Bilinear(Corners::Aligned) => 0.0,
                Self::Nearest => (index * from / to) as f32,
            };
            let blend = |position: f32| {
                let low = (position as usize).min(from - 1);
                Blend { low, high: (low + 1).min(from - 1), part: position - low as f32 }
            };
            (0..to).map(|index| blend(position(index))).collect()
        }
    }

    /// Planes of a task.
    fn share(area: usize) -> usize {
        (CHUNK / area.max(1)).max(1)
    }

    impl ResizeOps for Flex {
        fn resize(x: Host, size: [usize; 2], samples: Samples) -> Host {
            let x = contiguous(x);
            let [batch, channels, height, width] = [0, 1, 2, 3].map(|axis| x.shape()[axis]);
            let [rows, columns] = [samples.axis(height, size[0]), samples.axis(width, size[1])];
            let (from, to) = (height * width, size[0] * size[1]);
            let mut y = vec![0.0; batch * channels * to];
            let share = share(to);
            y.par_chunks_mut(share * to).zip(values(&x).par_chunks(share * from)).for_each(|(y, x)| {
                let mut wide = vec![0.0; height * size[1]];
                for (y, x) in y.chunks_exact_mut(to).zip(x.chunks_exact(from)) {
                    for (wide, x) in wide.chunks_exact_mut(size[1]).zip(x.chunks_exact(width)) {
                        for (value, at) in wide.iter_mut().zip(&columns) {
                            *value = x[at.low] * (1.0 - at.part) + x[at.high] * at.part;
                        }
                    }
                    for (y, at) in y.chunks_exact_mut(size[1]).zip(&rows) {
                        let [low, high] = [at.low, at.high].map(|row| &wide[row * size[1]..][..size[1]]);
                        vectorised(
                            #[inline(always)]
                            || {
                                for ((y, low), high) in y.iter_mut().zip(low).zip(high) {
                                    *y = low * (1.0 - at.part) + high * at.part;
                                }
                            },
                        );
                    }
                }
            });
            tensor(y, [batch, channels, size[0], size[1]])
        }
    }

    impl ResizeBackward for Flex {
        fn resize_backward(grad: Host, from: [usize; 2], samples: Samples) -> Host {
            let grad = contiguous(grad);
            let [batch, channels, height, width] = [0, 1, 2, 3].map(|axis| grad.shape()[axis]);
            let [rows, columns] = [samples.axis(from[0], height), samples.axis(from[1], width)];
            let (area, to) = (height * width, from[0] * from[1]);
            let mut x = vec![0.0; batch * channels * to];
            let share = share(area);
            let slope = values(&grad);
            x.par_chunks_mut(share * to).zip(slope.par_chunks(share * area)).for_each(|(x, g)| {
                let mut wide = vec![0.0f32; from[0] * width];
                for (x, g) in x.chunks_exact_mut(to).zip(g.chunks_exact(area)) {
                    wide.fill(0.0);
                    for (g, at) in g.chunks_exact(width).zip(&rows) {
                        for (row, part) in [(at.low, 1.0 - at.part), (at.high, at.part)] {
                            let sums = &mut wide[row * width..][..width];
                            vectorised(
                                #[inline(always)]
                                || sums.iter_mut().zip(g).for_each(|(sum, g)| *sum += g * part),
                            );
                        }
                    }
                    for (x, wide) in x.chunks_exact_mut(from[1]).zip(wide.chunks_exact(width)) {
                        for (g, at) in wide.iter().zip(&columns) {
                            x[at.low] += g * (1.0 - at.part);
                            x[at.high] += g * at.part;
                        }
                    }
                }
            });
            tensor(x, [batch, channels, from[0], from[1]])
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::FloatDType;

    use super::*;
    use crate::op::testing::{agree, gradients_of, normal};

    #[test]
    fn values_and_gradients_are_those_of_burn_in_f64() {
        for corners in [Corners::Aligned, Corners::Centred] {
            for (from, to) in [([5, 7], [10, 14]), ([9, 4], [3, 1]), ([1, 6], [2, 11]), ([14, 14], [56, 56])]
            {
                let inputs = [normal([2, 3, from[0], from[1]], 0.5, 1)];
                let options = InterpolateOptions::new(InterpolateMode::Bilinear)
                    .with_align_corners(corners == Corners::Aligned)
                    .with_output_size(to);
                let ours = gradients_of(&inputs, |[x]| resize_bilinear(x, to, corners));
                let double = inputs.map(|x| x.cast(FloatDType::F64));
                let exact = gradients_of(&double, |[x]| interpolate(x, options.clone()));
                // Positions in f32 move a sample by up to 1e-5 of a pixel.
                agree(&ours, &exact, 2e-5);
            }
        }
    }

    #[test]
    fn the_nearest_pixel_becomes_a_tile() {
        let inputs = [normal([2, 3, 5, 7], 0.5, 1)];
        for factor in [1, 2, 3] {
            let ours = gradients_of(&inputs, |[x]| upsample_nearest(x, factor));
            let double = inputs.clone().map(|x| x.cast(FloatDType::F64));
            let exact = gradients_of(&double, |[x]| upsample_nearest(x, factor));
            agree(&ours, &exact, 1e-6);
        }
    }
}
