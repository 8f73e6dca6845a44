//! Depthwise convolution, forward and backward. burn's weight gradient is a
//! loop of one convolution per channel. libtorch has it among its other
//! convolutions.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::ops::ConvOptions;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Capture, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{DType, Tensor};

use super::backend::is_torch;
use super::{Convolution, convolution};

/// One filter per channel: x [B, C, H, W], weight [C, 1, k, k] and bias [C] to
/// [B, C, H', W'].
pub fn depthwise(x: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>, window: Window) -> Tensor<4> {
    if is_torch(&x.device()) || x.dtype() == DType::F64 {
        let Window { stride, padding, dilation } = window;
        let [groups, ..] = weight.dims();
        return convolution(
            x,
            weight,
            bias,
            Convolution { stride, padding, output_padding: 0, dilation, groups, transposed: false },
        );
    }
    let y = <Dispatch as DepthwiseOps>::depthwise(x.into_dispatch(), weight.into_dispatch(), window);
    let y = Tensor::from_dispatch(y);
    match bias {
        Some(bias) => y + bias.reshape([1, -1, 1, 1]),
        None => y,
    }
}

/// Stride, zero padding and dilation of a square window, pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub stride: usize,
    pub padding: usize,
    pub dilation: usize,
}

impl Window {
    fn options(self, channels: usize) -> ConvOptions<2> {
        ConvOptions::new([self.stride; 2], [self.padding; 2], [self.dilation; 2], channels)
    }
}

/// One filter per channel on a backend. Shapes: x [B, C, H, W],
/// weight [C, 1, k, k], grad [B, C, H', W'].
#[backend_extension(Flex: cfg(feature = "flex"), Capture, Autodiff)]
pub trait DepthwiseOps: Backend {
    /// [B, C, H', W'].
    fn depthwise(x: FloatTensor<Self>, weight: FloatTensor<Self>, window: Window) -> FloatTensor<Self> {
        let channels = x.shape()[1];
        Self::conv2d(x, weight, None, window.options(channels))
    }

    /// Gradient of x.
    fn depthwise_x_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        window: Window,
    ) -> FloatTensor<Self> {
        let channels = x.shape()[1];
        Self::conv2d_x_backward(x, weight, grad, window.options(channels))
    }

    /// Gradient of the weight.
    fn depthwise_weight_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        window: Window,
    ) -> FloatTensor<Self> {
        let channels = x.shape()[1];
        Self::conv2d_weight_backward(x, weight, grad, window.options(channels))
    }
}

#[derive(Debug)]
struct Depthwise;

impl<B: Backend + DepthwiseOps> Backward<B, 2> for Depthwise {
    type State = (FloatTensor<B>, FloatTensor<B>, Window);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let (x, weight, window) = ops.state;
        let [x_node, weight_node] = ops.parents;
        if let Some(node) = x_node {
            let gradient = B::depthwise_x_backward(x.clone(), weight.clone(), grad.clone(), window);
            grads.register::<B>(node.id, gradient);
        }
        if let Some(node) = weight_node {
            grads.register::<B>(node.id, B::depthwise_weight_backward(x, weight, grad, window));
        }
    }
}

impl<B: Backend + DepthwiseOps, C: CheckpointStrategy> DepthwiseOps for Autodiff<B, C> {
    fn depthwise(x: FloatTensor<Self>, weight: FloatTensor<Self>, window: Window) -> FloatTensor<Self> {
        let (x, x_node) = x.into_parts();
        let (weight, weight_node) = weight.into_parts();
        let y = B::depthwise(x.clone(), weight.clone(), window);
        match Depthwise.prepare::<C>([x_node, weight_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x, weight, window), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}

impl DepthwiseOps for Capture {}

#[cfg(feature = "flex")]
mod flex {
    use burn::backend::{Flex, TensorMetadata};
    use rayon::prelude::*;

    use super::{DepthwiseOps, Window};
    use crate::op::host::{Host, sum2, tensor, values, vectorised};

    fn dims(x: &Host) -> [usize; 4] {
        let shape = x.shape();
        [shape[0], shape[1], shape[2], shape[3]]
    }

    /// A plane with `padding` zeros around it; `spread` - 1 zeros between its
    /// pixels.
    fn padded(
        plane: &[f32],
        [height, width]: [usize; 2],
        padding: usize,
        spread: usize,
    ) -> (Vec<f32>, usize) {
        let wide = |side: usize| (side - 1) * spread + 1 + 2 * padding;
        let columns = wide(width);
        let mut out = vec![0.0; wide(height) * columns];
        for (row, values) in plane.chunks_exact(width).enumerate() {
            let target = &mut out[(row * spread + padding) * columns + padding..];
            for (target, value) in target.iter_mut().step_by(spread).zip(values) {
                *target = *value;
            }
        }
        (out, columns)
    }

    /// One output row: the sum over the taps of weight times input, where tap
    /// (i, j) of output column o reads row i, column o stride + j dilation.
    #[inline(always)]
    fn row(y: &mut [f32], rows: &[&[f32]], weight: &[f32], dilation: usize, stride: usize) {
        let k = rows.len();
        if let (&[r0, r1, r2], 1, &[a, b, c, d, e, f, g, h, i]) = (rows, stride, weight) {
            let n = y.len();
            let (p, q) = (dilation, 2 * dilation);
            let taps = [
                &r0[..n],
                &r0[p..][..n],
                &r0[q..][..n],
                &r1[..n],
                &r1[p..][..n],
                &r1[q..][..n],
                &r2[..n],
                &r2[p..][..n],
                &r2[q..][..n],
            ];
            for o in 0..n {
                y[o] = (a * taps[0][o] + b * taps[1][o] + c * taps[2][o])
                    + (d * taps[3][o] + e * taps[4][o] + f * taps[5][o])
                    + (g * taps[6][o] + h * taps[7][o] + i * taps[8][o]);
            }
            return;
        }
        for (o, y) in y.iter_mut().enumerate() {
            let mut sum = 0.0;
            for (row, weight) in rows.iter().zip(weight.chunks_exact(k)) {
                for (tap, weight) in weight.iter().enumerate() {
                    sum += weight * row[o * stride + tap * dilation];
                }
            }
            *y = sum;
        }
    }

    /// Correlates a padded plane with a k x k filter.
    fn correlate(y: &mut [f32], width: usize, (x, columns): (&[f32], usize), weight: &[f32], window: Window) {
        let k = weight.len().isqrt();
        vectorised(
            #[inline(always)]
            || {
                let mut rows: Vec<&[f32]> = Vec::with_capacity(k);
                for (o, y) in y.chunks_exact_mut(width).enumerate() {
                    rows.clear();
                    rows.extend((0..k).map(|i| {
                        let start = (o * window.stride + i * window.dilation) * columns;
                        &x[start..start + columns]
                    }));
                    row(y, &rows, weight, window.dilation, window.stride);
                }
            },
        );
    }

    impl DepthwiseOps for Flex {
        fn depthwise(x: Host, weight: Host, window: Window) -> Host {
            let (x, weight) = (x.to_contiguous(), weight.to_contiguous());
            let [batch, channels, height, width] = dims(&x);
            let area = weight.shape()[2] * weight.shape()[3];
            let reach = window.dilation * (weight.shape()[2] - 1);
            let side = |side: usize| (side + 2 * window.padding - reach - 1) / window.stride + 1;
            let (rows, columns) = (side(height), side(width));
            let filters = values(&weight);
            let mut output = vec![0.0; batch * channels * rows * columns];
            output
                .par_chunks_mut(rows * columns)
                .zip(values(&x).par_chunks(height * width))
                .enumerate()
                .for_each(|(index, (y, x))| {
                    let (x, stride) = padded(x, [height, width], window.padding, 1);
                    let filter = &filters[index % channels * area..][..area];
                    correlate(y, columns, (&x, stride), filter, window);
                });
            tensor(output, [batch, channels, rows, columns])
        }

        fn depthwise_x_backward(x: Host, weight: Host, grad: Host, window: Window) -> Host {
            let (weight, grad) = (weight.to_contiguous(), grad.to_contiguous());
            let [batch, channels, height, width] = dims(&x);
            let [_, _, rows, columns] = dims(&grad);
            let area = weight.shape()[2] * weight.shape()[3];
            let reach = window.dilation * (weight.shape()[2] - 1);
            let flipped: Vec<f32> =
                values(&weight).chunks_exact(area).flat_map(|filter| filter.iter().rev().copied()).collect();
            let mut output = vec![0.0; batch * channels * height * width];
            // The adjoint: the gradient, its pixels a stride apart, correlated
            // with the flipped filter.
            let back = Window { stride: 1, padding: reach, dilation: window.dilation };
            let spread = window.stride;
            output
                .par_chunks_mut(height * width)
                .zip(values(&grad).par_chunks(rows * columns))
                .enumerate()
                .for_each(|(index, (y, g))| {
                    let (g, wide) = padded(g, [rows, columns], reach, spread);
                    let filter = &flipped[index % channels * area..][..area];
                    let high = g.len() / wide;
                    let mut full = vec![0.0; (high - reach) * (wide - reach)];
                    correlate(&mut full, wide - reach, (&g, wide), filter, back);
                    // Row r of x is row r + padding of the full correlation;
                    // rows that no window reached have gradient 0.
                    let usable = (wide - reach).saturating_sub(window.padding).min(width);
                    for (row, y) in y.chunks_exact_mut(width).enumerate() {
                        let start = (row + window.padding) * (wide - reach) + window.padding;
                        if let Some(from) = full.get(start..start + usable) {
                            y[..usable].copy_from_slice(from);
                        }
                    }
                });
            tensor(output, [batch, channels, height, width])
        }

        fn depthwise_weight_backward(x: Host, weight: Host, grad: Host, window: Window) -> Host {
            let (x, grad) = (x.to_contiguous(), grad.to_contiguous());
            let [batch, channels, height, width] = dims(&x);
            let [_, _, rows, columns] = dims(&grad);
            let k = weight.shape()[2];
            let (input, slope) = (values(&x), values(&grad));
            let mut output = vec![0.0; channels * k * k];
            output.par_chunks_mut(k * k).enumerate().for_each(|(c, filter)| {
                let mut sums = vec![0.0; k * k];
                let mut taps = vec![0.0; rows * columns];
                for b in 0..batch {
                    let index = b * channels + c;
                    let plane = &input[index * height * width..][..height * width];
                    let (x, wide) = padded(plane, [height, width], window.padding, 1);
                    let g = &slope[index * rows * columns..][..rows * columns];
                    for (tap, sum) in sums.iter_mut().enumerate() {
                        let (i, j) = (tap / k * window.dilation, tap % k * window.dilation);
                        for (row, taps) in taps.chunks_exact_mut(columns).enumerate() {
                            let from = &x[(row * window.stride + i) * wide + j..];
                            if window.stride == 1 {
                                taps.copy_from_slice(&from[..columns]);
                            } else {
                                for (tap, x) in taps.iter_mut().zip(from.iter().step_by(window.stride)) {
                                    *tap = *x;
                                }
                            }
                        }
                        *sum += vectorised(
                            #[inline(always)]
                            || sum2(g, &taps, |g, x| g * x),
                        );
                    }
                }
                for (filter, sum) in filter.iter_mut().zip(sums) {
                    *filter = sum as f32;
                }
            });
            tensor(output, [channels, 1, k, k])
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::module::conv2d;
    use burn::tensor::{Device, Distribution, Tensor};

    use super::Window;
    use crate::op;

    #[test]
    fn values_and_gradients_are_those_of_burn() {
        let device = Device::flex().autodiff();
        let windows = [(1, 1, 1), (1, 2, 2), (1, 3, 3), (2, 1, 1), (1, 0, 1), (2, 2, 2), (3, 1, 1)];
        for (stride, padding, dilation) in windows {
            let window = Window { stride, padding, dilation };
            let x = Tensor::<4>::random([2, 3, 9, 12], Distribution::Default, &device).require_grad();
            let w = Tensor::<4>::random([3, 1, 3, 3], Distribution::Default, &device).require_grad();
            let run = |f: &dyn Fn(Tensor<4>, Tensor<4>) -> Tensor<4>| {
                let y = f(x.clone(), w.clone());
                let grads = y.clone().powi_scalar(2).sum().backward();
                [y.inner(), x.grad(&grads).expect("x"), w.grad(&grads).expect("w")]
            };
            let ours = run(&|x, w| op::depthwise(x, w, None, window));
            let burns = run(&|x, w| conv2d(x, w, None, window.options(3)));
            for (ours, burns) in ours.into_iter().zip(burns) {
                assert_eq!(ours.dims(), burns.dims());
                let scale = burns.clone().abs().max().into_scalar::<f32>();
                let difference = (ours - burns).abs().max().into_scalar::<f32>();
                assert!(difference <= 1e-6 * scale, "{window:?}: {difference} of {scale}");
            }
        }
    }
}
