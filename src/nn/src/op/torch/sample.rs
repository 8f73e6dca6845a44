//! Dynamic upsampling on libtorch: its sampling on a grid.

use burn::backend::LibTorch;
use tch::Tensor;

use super::{Torch, aten, wrap};
use crate::op::{SampleBackward, SampleOps};

/// libtorch's codes for bilinear taps and clamped borders.
const BILINEAR: i64 = 0;
const BORDER: i64 = 1;

struct Sizes {
    batch: i64,
    channels: i64,
    height: i64,
    width: i64,
    groups: i64,
}

impl Sizes {
    fn of(x: &Tensor, groups: usize) -> Self {
        let (batch, channels, height, width) = x.size4().unwrap_or_default();
        Self { batch, channels, height, width, groups: groups as i64 }
    }

    /// Each group of channels as an image: x [B groups, C / groups, H, W].
    fn split(&self, x: &Tensor, [height, width]: [i64; 2]) -> Tensor {
        x.reshape([self.batch * self.groups, self.channels / self.groups, height, width])
    }

    fn coarse(&self) -> [i64; 2] {
        [self.height, self.width]
    }

    fn fine(&self) -> [i64; 2] {
        [2 * self.height, 2 * self.width]
    }

    /// Offsets to a grid over -1..1 [B groups, 2H, 2W, 2].
    fn grid(&self, offset: &Tensor) -> Tensor {
        let Self { batch, height, width, groups, .. } = *self;
        // [B, axis, group, a, b, H, W] to [B, group, H, a, W, b, axis]
        let options = (offset.kind(), offset.device());
        let offset = offset.reshape([batch, 2, groups, 2, 2, height, width]);
        // Memory of its own, to be written to.
        let mut grid = Tensor::empty([batch, groups, height, 2, width, 2, 2], options);
        grid.copy_(&offset.permute([0, 2, 5, 3, 6, 4, 1]));
        for (axis, side, shape) in [(0, width, [1, 1, width, 2]), (1, height, [height, 2, 1, 1])] {
            // (offset + centre) 2 / side - 1, where centre k is k / 2 + 1/4.
            let centres = Tensor::arange(2 * side, options) * 0.5 + 0.25;
            let mut positions = grid.select(6, axis);
            positions += centres.reshape(shape);
            positions *= 2.0 / side as f64;
            positions -= 1.0;
        }
        grid.reshape([batch * groups, 2 * height, 2 * width, 2])
    }

    /// The gradient of a grid to that of the offsets [B, 8 groups, H, W].
    fn offset(&self, grid: &Tensor) -> Tensor {
        let Self { batch, height, width, groups, .. } = *self;
        let grid = grid.reshape([batch, groups, height, 2, width, 2, 2]);
        let offset = grid.permute([0, 6, 1, 3, 5, 2, 4]).contiguous();
        for (axis, side) in [(0, width), (1, height)] {
            let mut slope = offset.select(1, axis);
            slope *= 2.0 / side as f64;
        }
        offset.reshape([batch, 8 * groups, height, width])
    }
}

impl SampleOps for LibTorch {
    fn sample(x: Torch, offset: Torch, groups: usize) -> Torch {
        let (x, offset) = (x.tensor, offset.tensor);
        let sizes = Sizes::of(&x, groups);
        let [height, width] = sizes.fine();
        let y =
            sizes.split(&x, sizes.coarse()).grid_sampler_2d(&sizes.grid(&offset), BILINEAR, BORDER, false);
        wrap(y.reshape([sizes.batch, sizes.channels, height, width]))
    }
}

impl SampleBackward for LibTorch {
    fn sample_backward(x: Torch, offset: Torch, grad: Torch, groups: usize) -> (Torch, Torch) {
        let (x, offset, grad) = (x.tensor, offset.tensor, grad.tensor);
        let sizes = Sizes::of(&x, groups);
        let (slope, split) = (sizes.split(&grad, sizes.fine()), sizes.split(&x, sizes.coarse()));
        let codes = [BILINEAR, BORDER];
        let [of_x, of_grid] = aten::grid_sampler_backward(&slope, &split, &sizes.grid(&offset), codes);
        (wrap(of_x.reshape(x.size())), wrap(sizes.offset(&of_grid)))
    }
}
