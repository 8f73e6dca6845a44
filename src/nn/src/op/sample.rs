//! Dynamic upsampling (DySample, Liu et al. 2023): bilinear samples at learned
//! offsets from the positions of a bilinear x2.

use burn::backend::Dispatch;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, backend_extension};
use burn::tensor::ops::{GridSampleOptions, GridSamplePaddingMode, InterpolateMode};
use burn::tensor::{DType, Device, Tensor, TensorData};

use super::backend::has_kernel;
use crate::trace::{self, Kind};

/// Bilinear samples of x [B, C, H, W] at the positions of a bilinear x2 plus
/// an offset in input pixels, clamped to the border: [B, C, 2H, 2W].
///
/// offset is [B, 8 groups, H, W]; its channels are, from the slowest index:
/// axis (0 column, 1 row), group of C / groups channels, sub-row, sub-column.
/// In f64 it is burn's grid sampling everywhere but on libtorch.
pub fn dynamic_upsample(x: Tensor<4>, offset: Tensor<4>, groups: usize) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    trace::tell(Kind::Sample, x.dims(), [batch, channels, 2 * height, 2 * width], 4, &[]);
    if has_kernel(&x) {
        let y = <Dispatch as SampleOps>::sample(x.into_dispatch(), offset.into_dispatch(), groups);
        return Tensor::from_dispatch(y);
    }
    dynamic_upsample_grid(x, offset, groups)
}

/// [`dynamic_upsample`] through burn's grid sampling, for every backend.
fn dynamic_upsample_grid(x: Tensor<4>, offset: Tensor<4>, groups: usize) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    let device = x.device();
    // [B, axis, group, a, b, H, W] to [B, group, H, a, W, b, axis]
    let offset = offset.reshape([batch, 2, groups, 2, 2, height, width]);
    let offset = offset.permute([0, 2, 5, 3, 6, 4, 1]).reshape([batch * groups, 2 * height, 2 * width, 2]);
    let kind = x.dtype();
    let centres = centres(height, width, &device).cast(kind);
    let grid = (offset + centres) * sides(height, width, &device, kind) - 1.0;
    let options = GridSampleOptions::new(InterpolateMode::Bilinear)
        .with_padding_mode(GridSamplePaddingMode::Border)
        .with_align_corners(false);
    x.reshape([batch * groups, channels / groups, height, width]).grid_sample_2d(grid, options).reshape([
        batch,
        channels,
        2 * height,
        2 * width,
    ])
}

/// Centres of the fine pixels in units of coarse ones, [1, 2H, 2W, 2].
fn centres(height: usize, width: usize, device: &Device) -> Tensor<4> {
    let centre = |index: usize| index as f32 * 0.5 + 0.25;
    let values: Vec<f32> = (0..2 * height)
        .flat_map(|row| (0..2 * width).flat_map(move |column| [centre(column), centre(row)]))
        .collect();
    Tensor::from_data(TensorData::new(values, [1, 2 * height, 2 * width, 2]), device)
}

/// Grid units per coarse pixel, [1, 1, 1, 2].
fn sides(height: usize, width: usize, device: &Device, kind: DType) -> Tensor<4> {
    let values = vec![2.0 / width as f64, 2.0 / height as f64];
    Tensor::from_data(TensorData::new(values, [1, 1, 1, 2]), (device, kind))
}

/// Sampling as one operation of a backend. Shapes: x [B, C, H, W],
/// offset [B, 8 groups, H, W].
#[backend_extension(Flex: cfg(feature = "flex"), LibTorch: cfg(feature = "tch"), Capture, Autodiff)]
pub trait SampleOps: Backend {
    /// [B, C, 2H, 2W].
    fn sample(x: FloatTensor<Self>, offset: FloatTensor<Self>, groups: usize) -> FloatTensor<Self>;
}

/// The gradient of [`SampleOps::sample`].
pub trait SampleBackward: Backend {
    /// Gradients of x and offset, given that of the output [B, C, 2H, 2W].
    fn sample_backward(
        x: FloatTensor<Self>,
        offset: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        groups: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

#[derive(Debug)]
struct Sample;

impl<B: SampleOps + SampleBackward> Backward<B, 2> for Sample {
    type State = (FloatTensor<B>, FloatTensor<B>, usize);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let (x, offset, groups) = ops.state;
        let (x, offset) = B::sample_backward(x, offset, grad, groups);
        for (node, gradient) in ops.parents.into_iter().zip([x, offset]) {
            if let Some(node) = node {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

impl<B: SampleOps + SampleBackward, C: CheckpointStrategy> SampleOps for Autodiff<B, C> {
    fn sample(x: FloatTensor<Self>, offset: FloatTensor<Self>, groups: usize) -> FloatTensor<Self> {
        let (x, x_node) = x.into_parts();
        let (offset, offset_node) = offset.into_parts();
        let y = B::sample(x.clone(), offset.clone(), groups);
        match Sample.prepare::<C>([x_node, offset_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x, offset, groups), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}

#[cfg(feature = "flex")]
mod flex {
    use burn::backend::{Flex, TensorMetadata};
    use rayon::prelude::*;

    use super::{SampleBackward, SampleOps};
    use crate::op::host::{Host, tensor, values};

    /// Where an output pixel reads: the upper left of four neighbours, and how
    /// far it is from there.
    #[derive(Clone, Copy, Default)]
    struct Tap {
        index: u32,
        dx: f32,
        dy: f32,
        /// Whether the column (row) still moves with its offset, or is clamped.
        moves: [bool; 2],
    }

    struct Sizes {
        batch: usize,
        channels: usize,
        height: usize,
        width: usize,
        groups: usize,
    }

    impl Sizes {
        fn of(x: &Host, groups: usize) -> Self {
            let shape = x.shape();
            Self { batch: shape[0], channels: shape[1], height: shape[2], width: shape[3], groups }
        }

        fn pixels(&self) -> usize {
            self.height * self.width
        }

        /// Distance to the neighbours on the right and below (0 if there are none).
        fn steps(&self) -> [usize; 2] {
            [usize::from(self.width > 1), if self.height > 1 { self.width } else { 0 }]
        }

        /// Where the offset of an image, axis (0 column, 1 row) and group starts;
        /// the four sub-pixels of a group follow each other.
        fn offset(&self, image: usize, axis: usize, group: usize) -> usize {
            ((image * 2 + axis) * self.groups + group) * 4 * self.pixels()
        }

        /// The taps of an image and group, in the order of output pixels.
        fn taps(&self, offset: &[f32], image: usize, group: usize) -> Vec<Tap> {
            let pixels = self.pixels();
            let columns = &offset[self.offset(image, 0, group)..][..4 * pixels];
            let rows = &offset[self.offset(image, 1, group)..][..4 * pixels];
            let mut taps = Vec::with_capacity(4 * pixels);
            for row in 0..2 * self.height {
                for column in 0..2 * self.width {
                    let (i, j) = (row / 2, column / 2);
                    let at = ((row % 2) * 2 + column % 2) * pixels + i * self.width + j;
                    let bilinear = |side: usize| side as f32 * 0.5 - 0.25;
                    let (x0, dx, x_moves) = cell(bilinear(column) + columns[at], self.width);
                    let (y0, dy, y_moves) = cell(bilinear(row) + rows[at], self.height);
                    let index = (y0 * self.width + x0) as u32;
                    taps.push(Tap { index, dx, dy, moves: [x_moves, y_moves] });
                }
            }
            taps
        }

        fn all_taps(&self, offset: &[f32]) -> Vec<Vec<Tap>> {
            (0..self.batch * self.groups)
                .into_par_iter()
                .map(|index| self.taps(offset, index / self.groups, index % self.groups))
                .collect()
        }

        /// Which taps a plane (image, channel) uses.
        fn taps_of(&self, plane: usize) -> usize {
            let (image, channel) = (plane / self.channels, plane % self.channels);
            image * self.groups + channel / (self.channels / self.groups)
        }
    }

    /// A coordinate clamped to its side: cell, distance into it, and whether it
    /// was not clamped.
    fn cell(at: f32, side: usize) -> (usize, f32, bool) {
        let last = (side - 1) as f32;
        let clamped = at.clamp(0.0, last);
        let cell = (clamped as usize).min(side.saturating_sub(2));
        (cell, clamped - cell as f32, at > 0.0 && at < last)
    }

    impl SampleOps for Flex {
        fn sample(x: Host, offset: Host, groups: usize) -> Host {
            let (x, offset) = (x.to_contiguous(), offset.to_contiguous());
            let sizes = Sizes::of(&x, groups);
            let pixels = sizes.pixels();
            let [right, below] = sizes.steps();
            let taps = sizes.all_taps(values(&offset));
            let mut output = vec![0.0; sizes.batch * sizes.channels * 4 * pixels];
            let planes = output.par_chunks_mut(4 * pixels).zip(values(&x).par_chunks(pixels));
            planes.enumerate().for_each(|(plane, (y, x))| {
                for (y, tap) in y.iter_mut().zip(&taps[sizes.taps_of(plane)]) {
                    let at = tap.index as usize;
                    let upper = x[at] * (1.0 - tap.dx) + x[at + right] * tap.dx;
                    let lower = x[at + below] * (1.0 - tap.dx) + x[at + below + right] * tap.dx;
                    *y = upper * (1.0 - tap.dy) + lower * tap.dy;
                }
            });
            tensor(output, [sizes.batch, sizes.channels, 2 * sizes.height, 2 * sizes.width])
        }
    }

    impl SampleBackward for Flex {
        fn sample_backward(x: Host, offset: Host, grad: Host, groups: usize) -> (Host, Host) {
            let (x, offset, grad) = (x.to_contiguous(), offset.to_contiguous(), grad.to_contiguous());
            let sizes = Sizes::of(&x, groups);
            let pixels = sizes.pixels();
            let [right, below] = sizes.steps();
            let taps = sizes.all_taps(values(&offset));
            let slope = values(&grad);
            let mut x_grad = vec![0.0; sizes.batch * sizes.channels * pixels];
            let planes = x_grad.par_chunks_mut(pixels).zip(slope.par_chunks(4 * pixels));
            planes.enumerate().for_each(|(plane, (y, g))| {
                for (g, tap) in g.iter().zip(&taps[sizes.taps_of(plane)]) {
                    let at = tap.index as usize;
                    let (upper, lower) = (g * (1.0 - tap.dy), g * tap.dy);
                    y[at] += upper * (1.0 - tap.dx);
                    y[at + right] += upper * tap.dx;
                    y[at + below] += lower * (1.0 - tap.dx);
                    y[at + below + right] += lower * tap.dx;
                }
            });
            let per_group = sizes.channels / groups;
            let moved: Vec<[Vec<f32>; 2]> = (0..sizes.batch * groups)
                .into_par_iter()
                .map(|index| {
                    let mut moved = [vec![0.0f32; 4 * pixels], vec![0.0f32; 4 * pixels]];
                    let [columns, rows] = &mut moved;
                    for channel in 0..per_group {
                        let plane = index * per_group + channel;
                        let x = &values(&x)[plane * pixels..][..pixels];
                        let g = &slope[plane * 4 * pixels..][..4 * pixels];
                        for (((g, tap), column), row) in
                            g.iter().zip(&taps[index]).zip(columns.iter_mut()).zip(rows.iter_mut())
                        {
                            let at = tap.index as usize;
                            let [a, b, c, d] = [x[at], x[at + right], x[at + below], x[at + below + right]];
                            *column += g * ((b - a) * (1.0 - tap.dy) + (d - c) * tap.dy);
                            *row += g * ((c - a) * (1.0 - tap.dx) + (d - b) * tap.dx);
                        }
                    }
                    moved
                })
                .collect();
            let mut offset_grad = vec![0.0; values(&offset).len()];
            offset_grad.par_chunks_mut(4 * pixels).enumerate().for_each(|(index, out)| {
                let (image, axis, group) = (index / (2 * groups), index / groups % 2, index % groups);
                let (taps, moved) = (&taps[image * groups + group], &moved[image * groups + group][axis]);
                for (at, (value, tap)) in moved.iter().zip(taps).enumerate() {
                    if tap.moves[axis] {
                        let (row, column) = (at / (2 * sizes.width), at % (2 * sizes.width));
                        let sub = (row % 2) * 2 + column % 2;
                        out[sub * pixels + row / 2 * sizes.width + column / 2] = *value;
                    }
                }
            });
            (
                tensor(x_grad, [sizes.batch, sizes.channels, sizes.height, sizes.width]),
                tensor(offset_grad, [sizes.batch, 8 * groups, sizes.height, sizes.width]),
            )
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{Device, Tensor};

    use crate::op;
    use crate::op::testing::between;

    #[test]
    fn values_and_gradients_are_those_of_the_grid_form() {
        let device = Device::flex().autodiff();
        for (height, width) in [(5, 7), (1, 4), (3, 1), (8, 8)] {
            let leaf = |x: Tensor<4>| Tensor::<4>::from_data(x.into_data(), &device).require_grad();
            let x = leaf(between([2, 8, height, width], [0.0, 1.0], 1));
            let offset = leaf(between([2, 16, height, width], [-2.0, 2.0], 2));
            let run = |f: fn(Tensor<4>, Tensor<4>, usize) -> Tensor<4>| {
                let y = f(x.clone(), offset.clone(), 2);
                let grads = y.clone().powi_scalar(2).sum().backward();
                [y.inner(), x.grad(&grads).expect("x"), offset.grad(&grads).expect("offset")]
            };
            let pairs = run(op::dynamic_upsample).into_iter().zip(run(super::dynamic_upsample_grid));
            for (ours, grid) in pairs {
                assert_eq!(ours.dims(), grid.dims());
                let difference = (ours - grid).abs().max().into_scalar::<f32>();
                assert!(difference < 2e-5, "{height} x {width}: {difference}");
            }
        }
    }

    #[test]
    fn no_offset_is_bilinear() {
        let device = Device::flex();
        let x = between([1, 4, 6, 5], [0.0, 1.0], 1);
        let y = op::dynamic_upsample(x.clone(), Tensor::zeros([1, 32, 6, 5], &device), 4);
        let difference =
            (y - op::upsample_bilinear(x, 2, op::Corners::Centred)).abs().max().into_scalar::<f32>();
        assert!(difference < 1e-6);
    }

    #[cfg(feature = "tch")]
    #[test]
    fn libtorch_agrees() {
        for (height, width) in [(5, 7), (8, 8)] {
            let x = between([2, 8, height, width], [0.0, 1.0], 1);
            let offset = between([2, 16, height, width], [-2.0, 2.0], 2);
            op::testing::on_both([x, offset], |[x, offset]| op::dynamic_upsample(x, offset, 2));
        }
    }
}
