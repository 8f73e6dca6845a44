//! Pixel-difference convolutions (Su et al., "Pixel Difference Networks for
//! Efficient Edge Detection", ICCV 2021): convolutions of differences between
//! pixels. All are linear in the pixels, so that each is an ordinary
//! convolution with a kernel that is computed from the weight.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};

use super::zeros;
use crate::op::{self, Convolution};
use crate::trace::{self, Kind, Standing};

/// Taps of a weight, 3 x 3 row by row.
const TAPS: usize = 9;

/// Of each position in [`PixelDifference::Angular`]: the tap that subtracts its
/// pixel, the one before it on the ring, clockwise.
const BEFORE: [usize; TAPS] = [3, 0, 1, 6, 4, 2, 7, 8, 5];

/// Of taps 1 to 8 in [`PixelDifference::Radial`]: the positions of the outer
/// and of the inner pixel in the 5 x 5 window.
const RADII: [(usize, usize); TAPS - 1] =
    [(0, 6), (2, 7), (4, 8), (10, 11), (14, 13), (20, 16), (22, 17), (24, 18)];

/// Which pixels of a window a weight compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PixelDifference {
    /// None: the ordinary 3 x 3 convolution (`cv`).
    Plain,
    /// Each of 3 x 3 with the central one (`cd`).
    Central,
    /// Each on the ring of 3 x 3 with the next one, clockwise (`ad`).
    Angular,
    /// The outer ring of 5 x 5 with the inner one (`rd`); the weight's first
    /// tap is not used.
    Radial,
}

impl PixelDifference {
    /// Side of the window, pixels.
    fn side(self) -> usize {
        match self {
            PixelDifference::Plain | PixelDifference::Central | PixelDifference::Angular => 3,
            PixelDifference::Radial => 5,
        }
    }

    /// What each tap of a weight adds to each position of the kernel:
    /// [9, side^2], row by row.
    fn spread(self) -> Vec<f32> {
        let area = self.side() * self.side();
        let mut spread = vec![0.0; TAPS * area];
        let mut add = |tap: usize, position: usize, value: f32| spread[tap * area + position] += value;
        for (tap, before) in BEFORE.into_iter().enumerate() {
            match self {
                PixelDifference::Plain => add(tap, tap, 1.0),
                PixelDifference::Central => {
                    add(tap, tap, 1.0);
                    add(tap, 4, -1.0);
                }
                PixelDifference::Angular => {
                    add(tap, tap, 1.0);
                    add(before, tap, -1.0);
                }
                PixelDifference::Radial => {
                    if let Some((outer, inner)) = tap.checked_sub(1).map(|ring| RADII[ring]) {
                        add(tap, outer, 1.0);
                        add(tap, inner, -1.0);
                    }
                }
            }
        }
        spread
    }
}

/// Configuration of a [`PixelDifferenceConv`].
#[derive(Debug, Clone, Copy)]
pub struct PixelDifferenceConvConfig {
    input: usize,
    output: usize,
    groups: usize,
    kind: PixelDifference,
}

impl PixelDifferenceConvConfig {
    /// `input` to `output` channels, all of which mix.
    pub fn new(input: usize, output: usize, kind: PixelDifference) -> Self {
        Self { input, output, groups: 1, kind }
    }

    /// Each of `channels` channels on its own.
    pub fn depthwise(channels: usize, kind: PixelDifference) -> Self {
        Self { input: channels, output: channels, groups: channels, kind }
    }

    /// The layer, all zeros.
    pub fn init(&self, device: &Device) -> PixelDifferenceConv {
        PixelDifferenceConv {
            weight: zeros([self.output, self.input / self.groups, 3, 3], device),
            groups: self.groups,
            kind: self.kind,
        }
    }
}

/// A convolution of differences, as large as its input. No bias.
#[derive(Module, Debug)]
pub struct PixelDifferenceConv {
    /// [out, in / groups, 3, 3].
    pub weight: Param<Tensor<4>>,
    groups: usize,
    #[module(skip)]
    kind: PixelDifference,
}

impl PixelDifferenceConv {
    /// [B, in, H, W] to [B, out, H, W]; pixels outside the map are zeros. In
    /// mixed precision inside [`op::autocast`].
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let kernel = self.kernel();
        self.tell(&x, &kernel);
        if op::is_autocast() {
            return op::widen(self.convolve(op::narrow(x), op::narrow(kernel)));
        }
        self.convolve(x, kernel)
    }

    /// The reference's class is its own, which counters do not know; of central
    /// differences it takes the sum of the taps by a second convolution.
    fn tell(&self, x: &Tensor<4>, kernel: &Tensor<4>) {
        let [batch, _, height, width] = x.dims();
        let [output, per_group, side, _] = kernel.dims();
        let (shape, weight) = ([batch, output, height, width], [trace::of(&self.weight)]);
        trace::functional(|| {
            trace::tell(Kind::Convolution, x.dims(), shape, per_group * side * side, &weight);
            if self.kind == PixelDifference::Central {
                let tell = || trace::tell(Kind::Convolution, x.dims(), shape, per_group, &weight);
                trace::besides(Standing::Repeated, tell);
            }
        });
    }

    fn convolve(&self, x: Tensor<4>, kernel: Tensor<4>) -> Tensor<4> {
        let [_, _, side, _] = kernel.dims();
        let form = Convolution { padding: side / 2, groups: self.groups, ..Convolution::PLAIN };
        op::convolution(x, kernel, None, form)
    }

    /// The ordinary convolution's kernel, [out, in / groups, side, side].
    fn kernel(&self) -> Tensor<4> {
        let weight = self.weight.val();
        if self.kind == PixelDifference::Plain {
            return weight;
        }
        let [output, per_group, ..] = weight.dims();
        let side = self.kind.side();
        let spread = TensorData::new(self.kind.spread(), [TAPS, side * side]);
        let spread = Tensor::<2>::from_data(spread, (&weight.device(), weight.dtype()));
        let weight = weight.reshape([1, output * per_group, TAPS]);
        op::matmul(weight, spread.unsqueeze()).reshape([output, per_group, side, side])
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::op::testing::between;

    const KINDS: [PixelDifference; 4] =
        [PixelDifference::Plain, PixelDifference::Central, PixelDifference::Angular, PixelDifference::Radial];

    fn values(x: Tensor<4>) -> Vec<f32> {
        x.into_data().try_to_vec().expect("f32")
    }

    /// Row and column of a tap, seen from the middle.
    fn place(tap: usize) -> [isize; 2] {
        [tap as isize / 3 - 1, tap as isize % 3 - 1]
    }

    /// The pixels that a tap compares, seen from the middle: this one minus that.
    fn pair(kind: PixelDifference, tap: usize) -> Option<([isize; 2], Option<[isize; 2]>)> {
        let here = place(tap);
        match kind {
            PixelDifference::Plain => Some((here, None)),
            PixelDifference::Central => Some((here, Some([0, 0]))),
            PixelDifference::Angular => {
                const RING: [usize; 8] = [0, 1, 2, 5, 8, 7, 6, 3];
                let next = RING.iter().position(|at| *at == tap).map(|at| RING[(at + 1) % 8]);
                Some((here, Some(place(next.unwrap_or(tap)))))
            }
            PixelDifference::Radial => {
                // The weight without its first tap lies around the middle.
                let ring = tap.checked_sub(1)?;
                let [row, column] = place(if ring < 4 { ring } else { ring + 1 });
                Some(([2 * row, 2 * column], Some([row, column])))
            }
        }
    }

    #[test]
    fn the_kernel_does_what_the_differences_do() {
        let device = Device::flex();
        let [channels, height, width] = [2, 6, 7];
        let x = between([1, channels, height, width], [0.0, 1.0], 1);
        let weight = between([channels, 1, 3, 3], [0.0, 1.0], 2);
        let (pixels, taps) = (values(x.clone()), values(weight.clone()));
        for kind in KINDS {
            let mut layer = PixelDifferenceConvConfig::depthwise(channels, kind).init(&device);
            layer.weight = Param::from_tensor(weight.clone());
            let found = values(layer.forward(x.clone()));
            let pixel = |channel: usize, row: usize, column: usize, [down, right]: [isize; 2]| {
                let (row, column) = (row.checked_add_signed(down), column.checked_add_signed(right));
                match (row.filter(|row| *row < height), column.filter(|column| *column < width)) {
                    (Some(row), Some(column)) => pixels[(channel * height + row) * width + column],
                    _ => 0.0,
                }
            };
            for (index, found) in found.into_iter().enumerate() {
                let (channel, row, column) =
                    (index / (height * width), index / width % height, index % width);
                let mut wanted = 0.0;
                for tap in 0..TAPS {
                    let Some((this, that)) = pair(kind, tap) else { continue };
                    let that = that.map_or(0.0, |that| pixel(channel, row, column, that));
                    wanted += taps[channel * TAPS + tap] * (pixel(channel, row, column, this) - that);
                }
                assert!((found - wanted).abs() < 1e-5, "{kind:?} at {index}: {found}, not {wanted}");
            }
        }
    }

    #[test]
    fn channels_mix_where_they_are_not_apart() {
        let device = Device::flex();
        let mut layer = PixelDifferenceConvConfig::new(2, 1, PixelDifference::Central).init(&device);
        layer.weight = Param::from_tensor(Tensor::ones([1, 2, 3, 3], &device));
        let x = Tensor::<4>::from_floats([[[[1.0, 0.0], [0.0, 0.0]], [[0.0, 2.0], [0.0, 0.0]]]], &device);
        // The sum of a map of 2 x 2, minus nine times the pixel.
        assert_eq!(values(layer.forward(x)), [1.0 + 2.0 - 9.0, 1.0 + 2.0 - 18.0, 3.0, 3.0]);
    }

    #[test]
    fn the_gradient_reaches_the_weight_through_the_kernel() {
        let device = Device::flex().autodiff();
        let draw = |shape: [usize; 4], seed| {
            Tensor::<4>::from_data(between(shape, [0.0, 1.0], seed).into_data(), &device)
        };
        let (x, weight, slope) = (draw([2, 1, 5, 5], 1), draw([1, 1, 3, 3], 2), draw([2, 1, 5, 5], 3));
        for kind in KINDS {
            let mut layer = PixelDifferenceConvConfig::depthwise(1, kind).init(&device);
            let loss = |layer: &PixelDifferenceConv| (layer.forward(x.clone()) * slope.clone()).sum();
            layer.weight = Param::from_tensor(weight.clone().require_grad());
            let grads = loss(&layer).backward();
            let gradient = values(layer.weight.val().grad(&grads).expect("of the weight"));
            // The loss is linear in the weight: the gradient is the loss of a unit.
            for (tap, gradient) in gradient.into_iter().enumerate() {
                let mut unit = vec![0.0f32; TAPS];
                unit[tap] = 1.0;
                let unit = TensorData::new(unit, [1, 1, 3, 3]);
                layer.weight = Param::from_tensor(Tensor::from_data(unit, &device));
                let wanted = loss(&layer).into_scalar::<f32>();
                assert!((gradient - wanted).abs() < 1e-4, "{kind:?}, tap {tap}: {gradient}, not {wanted}");
            }
        }
    }
}
