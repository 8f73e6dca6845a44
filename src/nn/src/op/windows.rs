//! Convolutions of every kind on flex, of three kernels: from the larger map to
//! the smaller one, back, and the sum over both that is the weight's gradient.

use burn::backend::{Flex, TensorMetadata};
use rayon::prelude::*;

use super::activation::flex::{Curve, Gelu, Identity, Relu};
use super::correlate::{Correlation, Finish};
use super::host::{Host, sum2, tensor, values, vectorised};
use super::outer::OuterProduct;
use super::{Activation, Convolution, ConvolutionBackward, ConvolutionNormOps, ConvolutionOps};

/// A convolution between two maps, whichever way it goes: the smaller one
/// has a pixel for each window, the larger one a pixel for each tap.
struct Windows {
    batch: usize,
    groups: usize,
    /// Channels of a group.
    small: usize,
    large: usize,
    /// Rows and columns.
    inner: [usize; 2],
    outer: [usize; 2],
    kernel: usize,
    form: Convolution,
}

impl Windows {
    /// As x [B, in, H, W] and the weight tell.
    fn of(x: &Host, weight: &Host, form: Convolution) -> Self {
        let (x, weight) = (x.shape(), weight.shape());
        let (groups, kernel) = (form.groups, weight[2]);
        let reach = form.dilation * (kernel - 1);
        let ours = [x[2], x[3]];
        let other = ours.map(|side| {
            if form.transposed {
                (side - 1) * form.stride + reach + 1 + form.output_padding - 2 * form.padding
            } else {
                (side + 2 * form.padding - reach - 1) / form.stride + 1
            }
        });
        let [inner, outer] = if form.transposed { [ours, other] } else { [other, ours] };
        let (small, large) = (weight[0] / groups, weight[1]);
        Self { batch: x[0], groups, small, large, inner, outer, kernel, form }
    }

    /// The shape of the map that the convolution writes.
    fn output(&self) -> [usize; 4] {
        let (channels, [height, width]) =
            if self.form.transposed { (self.large, self.outer) } else { (self.small, self.inner) };
        [self.batch, self.groups * channels, height, width]
    }

    /// Where the taps lie in the larger map from the stride-fold position.
    fn taps(&self) -> Vec<[isize; 2]> {
        let at = |tap: usize| (tap * self.form.dilation) as isize - self.form.padding as isize;
        (0..self.kernel * self.kernel).map(|tap| [at(tap / self.kernel), at(tap % self.kernel)]).collect()
    }

    /// From the larger map to the smaller one.
    fn gather(&self, x: &[f32], weight: &[f32], finish: &Finish<'_>) -> Vec<f32> {
        let taps = self.taps();
        let area = taps.len();
        let form = Correlation {
            batch: self.batch,
            groups: self.groups,
            input: self.large,
            output: self.small,
            from: self.outer,
            to: self.inner,
            stride: self.form.stride,
            taps: &taps,
        };
        let at = |g, o, i, tap| ((g * self.small + o) * self.large + i) * area + tap;
        form.run(x, |g, o, i, tap| weight[at(g, o, i, tap)], finish)
    }

    /// From the smaller map to the larger one: the adjoint of [`Self::gather`].
    /// Pixels of one remainder by the stride share their taps.
    fn scatter(&self, x: &[f32], weight: &[f32]) -> Vec<f32> {
        if self.is_tiling() {
            return self.tile(x, weight);
        }
        let (all, stride) = (self.taps(), self.form.stride as isize);
        let [height, width] = self.outer;
        let channels = self.batch * self.groups * self.large;
        let mut y = Vec::new();
        for (row, column) in (0..stride * stride).map(|phase| (phase / stride, phase % stride)) {
            let phase = [row, column];
            let to =
                [0, 1].map(|a| (self.outer[a] + stride as usize - 1 - phase[a] as usize) / stride as usize);
            let meets = |tap: &[isize; 2]| [0, 1].map(|a| phase[a] - tap[a]);
            let fits = |tap: &[isize; 2]| meets(tap).iter().all(|far| far.rem_euclid(stride) == 0);
            let chosen: Vec<usize> = (0..all.len()).filter(|tap| fits(&all[*tap])).collect();
            let taps: Vec<[isize; 2]> =
                chosen.iter().map(|tap| meets(&all[*tap]).map(|far| far.div_euclid(stride))).collect();
            let form = Correlation {
                batch: self.batch,
                groups: self.groups,
                input: self.small,
                output: self.large,
                from: self.inner,
                to,
                stride: 1,
                taps: &taps,
            };
            let at = |g, o, i, tap: usize| ((g * self.small + i) * self.large + o) * all.len() + chosen[tap];
            let part = form.run(x, |g, o, i, tap| weight[at(g, o, i, tap)], &|_, _| ());
            if stride == 1 {
                return part;
            }
            y.resize(channels * height * width, 0.0);
            interleave(&mut y, &part, self.outer, to, phase.map(|at| at as usize), stride as usize);
        }
        y
    }

    /// Whether the windows lie side by side and cover the larger map.
    fn is_tiling(&self) -> bool {
        let Convolution { stride, padding, output_padding, dilation, .. } = self.form;
        let covers = (0..2).all(|axis| self.outer[axis] == stride * self.inner[axis]);
        stride > 1 && self.kernel == stride && padding + output_padding == 0 && dilation == 1 && covers
    }

    /// [`Self::scatter`] where each pixel of the smaller map becomes a window
    /// of its own: one product gives all taps as channels.
    fn tile(&self, x: &[f32], weight: &[f32]) -> Vec<f32> {
        let (stride, area) = (self.form.stride, self.kernel * self.kernel);
        let form = Correlation {
            batch: self.batch,
            groups: self.groups,
            input: self.small,
            output: self.large * area,
            from: self.inner,
            to: self.inner,
            stride: 1,
            taps: &[[0, 0]],
        };
        let width = self.large * area;
        let taps = form.run(x, |g, o, i, _| weight[(g * self.small + i) * width + o], &|_, _| ());
        let [height, inner] = self.inner;
        let mut y = vec![0.0; taps.len()];
        let plane = (area * height * inner).max(1);
        y.par_chunks_exact_mut(plane).zip(taps.par_chunks_exact(plane)).for_each(|(y, taps)| {
            for (tap, part) in taps.chunks_exact(height * inner).enumerate() {
                let lines = y.chunks_exact_mut(stride * inner).skip(tap / stride).step_by(stride);
                for (line, part) in lines.zip(part.chunks_exact(inner)) {
                    let line = line.iter_mut().skip(tap % stride).step_by(stride);
                    line.zip(part).for_each(|(y, part)| *y = *part);
                }
            }
        });
        y
    }

    /// The weight's gradient from both maps.
    fn outer(&self, small: &[f32], large: &[f32]) -> Vec<f32> {
        let taps = self.taps();
        let form = OuterProduct {
            batch: self.batch,
            groups: self.groups,
            small: self.small,
            large: self.large,
            inner: self.inner,
            outer: self.outer,
            stride: self.form.stride,
            taps: &taps,
        };
        form.run(small, large)
    }
}

/// Puts planes of size `to` at every `stride`-th row and column of planes of
/// size `whole`.
fn interleave(
    y: &mut [f32],
    part: &[f32],
    whole: [usize; 2],
    to: [usize; 2],
    [row, column]: [usize; 2],
    stride: usize,
) {
    if to[0] * to[1] == 0 {
        return;
    }
    let planes = y.par_chunks_exact_mut(whole[0] * whole[1]).zip(part.par_chunks_exact(to[0] * to[1]));
    planes.for_each(|(y, part)| {
        let lines = y.chunks_exact_mut(whole[1]).skip(row).step_by(stride);
        for (y, part) in lines.zip(part.chunks_exact(to[1])) {
            y.iter_mut().skip(column).step_by(stride).zip(part).for_each(|(y, part)| *y = *part);
        }
    });
}

impl ConvolutionOps for Flex {
    fn convolve(x: Host, weight: Host, form: Convolution) -> Host {
        forward(x, weight, form, &|_, _| ())
    }

    fn convolve_and_shift(x: Host, weight: Host, bias: Host, form: Convolution) -> Host {
        let bias = bias.to_contiguous();
        let bias = values(&bias);
        forward(x, weight, form, &|channel, y| {
            let bias = bias[channel];
            vectorised(
                #[inline(always)]
                || y.iter_mut().for_each(|y| *y += bias),
            );
        })
    }
}

impl ConvolutionNormOps for Flex {
    fn convolve_then(
        x: Host,
        weight: Host,
        scale: Host,
        shift: Host,
        form: Convolution,
        activation: Activation,
    ) -> Host {
        let (scale, shift) = (scale.to_contiguous(), shift.to_contiguous());
        let (scale, shift) = (values(&scale), values(&shift));
        let finish: &Finish<'_> = match activation {
            Activation::Identity => &|channel, y| bend::<Identity>(y, scale[channel], shift[channel]),
            Activation::Relu => &|channel, y| bend::<Relu>(y, scale[channel], shift[channel]),
            Activation::Gelu => &|channel, y| bend::<Gelu>(y, scale[channel], shift[channel]),
        };
        forward(x, weight, form, finish)
    }
}

/// curve(y scale + shift).
fn bend<C: Curve>(y: &mut [f32], scale: f32, shift: f32) {
    vectorised(
        #[inline(always)]
        || y.iter_mut().for_each(|y| *y = C::value(*y * scale + shift)),
    );
}

fn forward(x: Host, weight: Host, form: Convolution, finish: &Finish<'_>) -> Host {
    let (x, weight) = (x.to_contiguous(), weight.to_contiguous());
    let windows = Windows::of(&x, &weight, form);
    let (x, weight, output) = (values(&x), values(&weight), windows.output());
    if !form.transposed {
        return tensor(windows.gather(x, weight, finish), output);
    }
    let mut y = windows.scatter(x, weight);
    let [_, channels, height, width] = output;
    let planes = y.par_chunks_mut((height * width).max(1)).enumerate();
    planes.for_each(|(plane, y)| finish(plane % channels, y));
    tensor(y, output)
}

impl ConvolutionBackward for Flex {
    fn convolve_backward(
        x: Host,
        weight: Host,
        grad: Host,
        form: Convolution,
        [of_x, of_weight, of_bias]: [bool; 3],
    ) -> [Option<Host>; 3] {
        let (x, weight, grad) = (x.to_contiguous(), weight.to_contiguous(), grad.to_contiguous());
        let windows = Windows::of(&x, &weight, form);
        let shape = |x: &Host| [0, 1, 2, 3].map(|axis| x.shape()[axis]);
        let (map, slope, filter) = (values(&x), values(&grad), values(&weight));
        let x_grad = of_x.then(|| {
            let values = if form.transposed {
                windows.gather(slope, filter, &|_, _| ())
            } else {
                windows.scatter(slope, filter)
            };
            tensor(values, shape(&x))
        });
        let [small, large] = if form.transposed { [map, slope] } else { [slope, map] };
        let weight_grad = of_weight.then(|| tensor(windows.outer(small, large), shape(&weight)));
        let [_, channels, height, width] = windows.output();
        let bias_grad = of_bias.then(|| tensor(sums(slope, channels, height * width), [channels]));
        [x_grad, weight_grad, bias_grad]
    }
}

/// Sums over the planes of each channel.
fn sums(grad: &[f32], channels: usize, pixels: usize) -> Vec<f32> {
    let planes: Vec<f64> = grad
        .par_chunks(pixels)
        .map(|plane| {
            vectorised(
                #[inline(always)]
                || sum2(plane, plane, |g, _| g),
            )
        })
        .collect();
    (0..channels).map(|c| planes.iter().skip(c).step_by(channels).sum::<f64>() as f32).collect()
}
