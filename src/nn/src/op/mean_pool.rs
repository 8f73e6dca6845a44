//! Average pooling. burn sums a window in lanes of the processor's width.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::Tensor;
use burn::tensor::module::avg_pool2d;
use burn::tensor::ops::AvgPoolOptions;

use super::Pool;
use super::backend::has_flex_kernel;

/// The mean of each window: x [B, C, H, W] to [B, C, H', W'].
pub fn mean_pool(x: Tensor<4>, window: Pool, edge: Edge) -> Tensor<4> {
    if has_flex_kernel(&x) {
        return Tensor::from_dispatch(<Dispatch as MeanPoolOps>::pool_mean(x.into_dispatch(), window, edge));
    }
    let Pool { side, stride, padding } = window;
    let options = AvgPoolOptions::new([side; 2]).with_stride([stride; 2]).with_padding([padding; 2]);
    let is_zero = edge == Edge::Zeros;
    avg_pool2d(x, options.with_count_include_pad(is_zero).with_ceil_mode(!is_zero))
}

/// What a window beyond the border of the map is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// Zeros, which count: H' = (H + 2 padding - side) / stride + 1.
    Zeros,
    /// Nothing, and the last window may reach beyond (PyTorch's `ceil_mode`
    /// without `count_include_pad`): H' rounded up.
    Cut,
}

impl Pool {
    /// Windows along an axis.
    pub(super) fn count(self, length: usize, edge: Edge) -> usize {
        let room = length + 2 * self.padding - self.side;
        match edge {
            Edge::Zeros => room / self.stride + 1,
            Edge::Cut => room.div_ceil(self.stride) + 1,
        }
    }
}

/// Average pooling as one operation of a backend.
#[backend_extension(Flex: cfg(feature = "flex"), Capture, Autodiff)]
pub trait MeanPoolOps: Backend {
    /// [B, C, H', W'].
    fn pool_mean(x: FloatTensor<Self>, window: Pool, edge: Edge) -> FloatTensor<Self>;
}

/// The gradient of [`MeanPoolOps::pool_mean`].
pub trait MeanPoolBackward: Backend {
    /// Of the map of size `from`, given that of the means.
    fn pool_mean_backward(
        grad: FloatTensor<Self>,
        from: [usize; 2],
        window: Pool,
        edge: Edge,
    ) -> FloatTensor<Self>;
}

#[derive(Debug)]
struct MeanPool;

impl<B: MeanPoolOps + MeanPoolBackward> Backward<B, 1> for MeanPool {
    type State = ([usize; 2], Pool, Edge);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (from, window, edge) = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |grad| B::pool_mean_backward(grad, from, window, edge));
    }
}

impl<B: MeanPoolOps + MeanPoolBackward, C: CheckpointStrategy> MeanPoolOps for Autodiff<B, C> {
    fn pool_mean(x: FloatTensor<Self>, window: Pool, edge: Edge) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let shape = x.shape();
        let y = B::pool_mean(x, window, edge);
        match MeanPool.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(([shape[2], shape[3]], window, edge), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}

#[cfg(feature = "flex")]
mod flex {
    use std::ops::Range;

    use burn::backend::{Flex, TensorMetadata};
    use rayon::prelude::*;

    use super::{Edge, MeanPoolBackward, MeanPoolOps, Pool};
    use crate::op::host::{CHUNK, Host, contiguous, tensor, values};

    /// The windows of an axis: their pixels within the map, and how many count.
    fn axis(window: Pool, length: usize, edge: Edge) -> Vec<(Range<usize>, usize)> {
        let of = |index: usize| {
            let start = index * window.stride;
            let inside = start.saturating_sub(window.padding)
                ..(start + window.side).saturating_sub(window.padding).min(length);
            let count = if edge == Edge::Zeros { window.side } else { inside.len() };
            (inside, count)
        };
        (0..window.count(length, edge)).map(of).collect()
    }

    /// Rows and columns of windows.
    type Axes = [Vec<(Range<usize>, usize)>; 2];

    fn means(y: &mut [f32], x: &[f32], [rows, columns]: &Axes, width: usize) {
        let mut sums = vec![0.0; width];
        for (y, (inside, high)) in y.chunks_exact_mut(columns.len()).zip(rows) {
            sums.fill(0.0);
            for row in inside.clone() {
                let x = &x[row * width..][..width];
                sums.iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
            }
            for (y, (inside, wide)) in y.iter_mut().zip(columns) {
                let sum = sums[inside.clone()].iter().fold(0.0, |sum, value| sum + value);
                *y = sum / (high * wide) as f32;
            }
        }
    }

    fn slopes(x: &mut [f32], g: &[f32], [rows, columns]: &Axes, width: usize) {
        let mut sums = vec![0.0; width];
        for (g, (inside, high)) in g.chunks_exact(columns.len()).zip(rows) {
            sums.fill(0.0);
            for (g, (inside, wide)) in g.iter().zip(columns) {
                let part = g / (high * wide) as f32;
                sums[inside.clone()].iter_mut().for_each(|sum| *sum += part);
            }
            for row in inside.clone() {
                let x = &mut x[row * width..][..width];
                x.iter_mut().zip(&sums).for_each(|(x, sum)| *x += sum);
            }
        }
    }

    /// Runs `each` for every plane: (written, read).
    fn planes(
        written: &mut [f32],
        read: &[f32],
        [to, from]: [usize; 2],
        each: impl Fn(&mut [f32], &[f32]) + Send + Sync,
    ) {
        let share = (CHUNK / from.max(1)).max(1);
        written.par_chunks_mut(share * to).zip(read.par_chunks(share * from)).for_each(|(written, read)| {
            let pairs = written.chunks_exact_mut(to).zip(read.chunks_exact(from));
            pairs.for_each(|(written, read)| each(written, read));
        });
    }

    impl MeanPoolOps for Flex {
        fn pool_mean(x: Host, window: Pool, edge: Edge) -> Host {
            let x = contiguous(x);
            let [batch, channels, height, width] = [0, 1, 2, 3].map(|axis| x.shape()[axis]);
            let axes = [height, width].map(|length| axis(window, length, edge));
            let size = [axes[0].len(), axes[1].len()];
            let mut y = vec![0.0; batch * channels * size[0] * size[1]];
            let areas = [size[0] * size[1], height * width];
            planes(&mut y, values(&x), areas, |y, x| means(y, x, &axes, width));
            tensor(y, [batch, channels, size[0], size[1]])
        }
    }

    impl MeanPoolBackward for Flex {
        fn pool_mean_backward(grad: Host, from: [usize; 2], window: Pool, edge: Edge) -> Host {
            let grad = contiguous(grad);
            let [batch, channels, height, width] = [0, 1, 2, 3].map(|axis| grad.shape()[axis]);
            let axes = from.map(|length| axis(window, length, edge));
            let mut x = vec![0.0; batch * channels * from[0] * from[1]];
            let areas = [from[0] * from[1], height * width];
            planes(&mut x, values(&grad), areas, |x, g| slopes(x, g, &axes, from[1]));
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
        let window = |side, stride, padding| Pool { side, stride, padding };
        for (window, edge) in [
            (window(3, 1, 1), Edge::Zeros),
            (window(3, 2, 1), Edge::Zeros),
            (window(2, 2, 0), Edge::Cut),
            (window(4, 4, 0), Edge::Cut),
        ] {
            for [height, width] in [[7, 9], [16, 8], [5, 33]] {
                let inputs = [normal([2, 3, height, width], 0.5, 1)];
                let ours = gradients_of(&inputs, |[x]| mean_pool(x, window, edge));
                let double = inputs.map(|x| x.cast(FloatDType::F64));
                let exact = gradients_of(&double, |[x]| mean_pool(x, window, edge));
                agree(&ours, &exact, 1e-6);
            }
        }
    }
}
