//! Weight gradients of convolutions on the host: for each pair of channels and
//! each tap, the sum over all pixels of one map times the other, shifted.
//!
//! Worked off in strips of rows. One map is copied pixel by pixel with its
//! channels side by side, the other in panels of a tile's rows; then a tile of
//! `tile` is a block of channel pairs and its terms are the pixels.

use std::cell::Cell;

use super::correlate::{each_task, even_share, grow};
use super::filter;
use super::matrix::Matrix;
use super::tile::{MOST_COLUMNS, MOST_ROWS, SLACK, sweep, tile_rows, whole_vectors};
use crate::vector::vectorised;

/// Pixels of a strip, about.
const PIXELS: usize = 768;
/// Values of the buffer for the larger map's strip, about (512 KiB).
const VALUES: usize = 128 << 10;
/// Channels of the smaller map that a task has at most.
const SPAN: usize = 128;
/// Pieces of work that an operation should have.
const TASKS: usize = 16;
/// Channels that are brought side by side at a time.
const LANES: usize = 16;

thread_local! {
    /// A thread's buffers for both maps, kept from call to call.
    static BUFFERS: Cell<[Vec<f32>; 2]> = const { Cell::new([Vec::new(), Vec::new()]) };
}

/// w[g small + s, l, t] = sum over images b and pixels (r, c) of
/// x[b, g small + s, r, c] z[b, g large + l, r stride + `taps[t][0]`,
/// c stride + `taps[t][1]`], where z is zero beyond its borders.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OuterProduct<'a> {
    pub(crate) batch: usize,
    pub(crate) groups: usize,
    /// Channels of a group of x.
    pub(crate) small: usize,
    /// Channels of a group of z.
    pub(crate) large: usize,
    /// Rows and columns of x.
    pub(crate) inner: [usize; 2],
    /// Rows and columns of z.
    pub(crate) outer: [usize; 2],
    pub(crate) stride: usize,
    pub(crate) taps: &'a [[isize; 2]],
}

/// How the work is divided.
struct Plan {
    /// Rows of x in a strip.
    rows: usize,
    /// Strips of an image.
    strips: usize,
    /// Strips, over all images, of one task.
    share: usize,
    /// Channels of x and of z of one task.
    span: [usize; 2],
    /// Smallest tap of each axis.
    low: [isize; 2],
    /// Rows and columns of z that a whole strip meets.
    patch: [usize; 2],
}

impl Plan {
    fn of(form: &OuterProduct<'_>) -> Self {
        let axis = |axis: usize| form.taps.iter().map(move |tap| tap[axis]);
        let low = [0, 1].map(|a| axis(a).min().unwrap_or(0));
        let reach = [0, 1].map(|a| axis(a).max().unwrap_or(0).abs_diff(low[a]));
        let [height, width] = form.inner;
        let columns = (width - 1) * form.stride + 1 + reach[1];
        let rows = even_share(height, (PIXELS / width).max(1));
        let patch = [(rows - 1) * form.stride + 1 + reach[0], columns];
        // Whole tiles of any processor: how the sums are divided must not
        // depend on which one it is.
        let fit = (VALUES / (patch[0] * patch[1]) / MOST_COLUMNS * MOST_COLUMNS).max(MOST_COLUMNS);
        let large =
            if form.large <= fit { form.large } else { even_share(form.large, fit).next_multiple_of(LANES) };
        let small = even_share(form.small, SPAN).next_multiple_of(MOST_ROWS);
        let strips = height.div_ceil(rows);
        let pairs = form.groups * form.small.div_ceil(small) * form.large.div_ceil(large);
        let parts = TASKS.div_ceil(pairs).min(form.batch * strips);
        let share = (form.batch * strips).div_ceil(parts);
        Self { rows, strips, share, span: [small, large], low, patch }
    }
}

impl OuterProduct<'_> {
    /// w [groups x small, large, taps].
    pub(crate) fn run(&self, x: &[f32], z: &[f32]) -> Vec<f32> {
        let taps = self.taps.len();
        let mut w = vec![0.0; self.groups * self.small * self.large * taps];
        let area = self.inner[0] * self.inner[1];
        if w.is_empty() || self.batch * area == 0 {
            return w;
        }
        if self.small == 1 && self.large == 1 {
            return filter::outer(self, x, z);
        }
        let plan = Plan::of(self);
        let parts = (self.batch * plan.strips).div_ceil(plan.share);
        let [small, large] = plan.span;
        let spans = [self.small.div_ceil(small), self.large.div_ceil(large)];
        let width = whole_vectors(large);
        // Sums of a task: [tap, channel of x, channel of z].
        let size = taps * small * width;
        let pairs = self.groups * spans[0] * spans[1];
        let mut sums = vec![0.0; pairs * parts * size];
        let products = self.batch * area * w.len();
        each_task(sums.chunks_exact_mut(size).collect(), products, |index, sums| {
            let (pair, part) = (index / parts, index % parts);
            let strips = part * plan.share..((part + 1) * plan.share).min(self.batch * plan.strips);
            for strip in strips {
                self.strip(&plan, x, z, pair, strip, sums);
            }
        });
        let rows = w.chunks_exact_mut(self.large * taps).enumerate().collect();
        each_task(rows, products, |_, (row, w): (usize, &mut [f32])| {
            let (group, s) = (row / self.small, row % self.small);
            for (span, w) in w.chunks_mut(large * taps).enumerate() {
                let pair = (group * spans[0] + s / small) * spans[1] + span;
                let parts = &sums[pair * parts * size..][..parts * size];
                vectorised(
                    #[inline(always)]
                    || joined(parts, size, (s % small) * width, small * width, taps, w),
                );
            }
        });
        w
    }

    /// Adds a strip (of all images, counted through) to the sums of a pair of
    /// spans of channels.
    #[allow(clippy::too_many_arguments, reason = "a loop taken out of its one caller")]
    fn strip(&self, plan: &Plan, x: &[f32], z: &[f32], pair: usize, strip: usize, sums: &mut [f32]) {
        let [small, large] = plan.span;
        let spans = [self.small.div_ceil(small), self.large.div_ceil(large)];
        let (group, s, l) =
            (pair / (spans[0] * spans[1]), pair / spans[1] % spans[0] * small, pair % spans[1] * large);
        let (image, first) = (strip / plan.strips, strip % plan.strips * plan.rows);
        let [height, width] = self.inner;
        let rows = plan.rows.min(height - first);
        let [mut pixels, mut panel] = BUFFERS.take();

        let channels = large.min(self.large - l);
        let padded = whole_vectors(large);
        grow(&mut pixels, plan.patch[0] * plan.patch[1] * padded + SLACK);
        let area = self.outer[0] * self.outer[1];
        let planes = &z[((image * self.groups + group) * self.large + l) * area..][..channels * area];
        self.side_by_side(plan, &mut pixels, planes, first, padded);

        let tile = tile_rows();
        let pitch = plan.patch[1] * padded;
        let offsets: Vec<u32> = (0..rows * width)
            .map(|pixel| {
                let (row, column) = (pixel / width, pixel % width);
                (self.stride * (row * pitch + column * padded)) as u32
            })
            .collect();
        let area = height * width;
        let taps = self.taps.len();
        grow(&mut panel, offsets.len() * tile);
        let panel_ = &mut panel[..offsets.len() * tile];
        for start in (0..small.min(self.small - s)).step_by(tile) {
            let plane = (image * self.groups + group) * self.small + s + start;
            let rows = tile.min(self.small - s - start);
            let from = &x[plane * area + first * width..];
            let matrix = Matrix { values: from, rows, columns: offsets.len(), steps: [area, 1] };
            matrix.panels(panel_);
            for (tap, at) in self.taps.iter().enumerate() {
                let [down, right] = [0, 1].map(|a| at[a].abs_diff(plan.low[a]));
                let pixels = &pixels[down * pitch + right * padded..];
                let sums = &mut sums[(tap * small + start) * padded..][..tile * padded];
                sweep(panel_, pixels, &offsets, sums, padded, channels, true);
            }
        }
        debug_assert_eq!(sums.len(), taps * small * padded);
        BUFFERS.set([pixels, panel]);
    }

    /// Brings the channels of the planes side by side, `padded` values a pixel,
    /// for the patch that a strip meets.
    fn side_by_side(&self, plan: &Plan, pixels: &mut [f32], planes: &[f32], first: usize, padded: usize) {
        let [height, width] = self.outer;
        let area = height * width;
        let channels = planes.len() / area;
        let patch = plan.patch[1];
        for (row, line) in pixels.chunks_exact_mut(patch * padded).take(plan.patch[0]).enumerate() {
            let source = (first * self.stride + row) as isize + plan.low[0];
            if source < 0 || source >= height as isize {
                line.fill(0.0);
                continue;
            }
            // Columns of the patch that lie within the map.
            let start = ((-plan.low[1]).max(0) as usize).min(patch);
            let end = ((width as isize - plan.low[1]).max(0) as usize).clamp(start, patch);
            line[..start * padded].fill(0.0);
            line[end * padded..].fill(0.0);
            if start == end {
                continue;
            }
            let column = (start as isize + plan.low[1]) as usize;
            let at =
                |channel: usize| &planes[channel * area + source as usize * width + column..][..end - start];
            let line = &mut line[start * padded..end * padded];
            for channel in (0..channels).step_by(LANES) {
                if channel + LANES <= channels {
                    let rows: [&[f32]; LANES] = std::array::from_fn(|lane| at(channel + lane));
                    transpose(line, &rows, channel, padded);
                } else {
                    for channel in channel..channels {
                        let to = line.iter_mut().skip(channel).step_by(padded);
                        to.zip(at(channel)).for_each(|(to, from)| *to = *from);
                    }
                }
            }
        }
    }
}

/// Adds parts, `size` values each, in f64: of each tap, `step` apart from `at` on, as
/// many as w [channel, tap] has channels.
#[inline(always)]
fn joined(parts: &[f32], size: usize, at: usize, step: usize, taps: usize, w: &mut [f32]) {
    let channels = w.len() / taps;
    // Their sums, some at a time.
    let mut sums = [0.0f64; LANES];
    for first in (0..channels).step_by(LANES) {
        let count = LANES.min(channels - first);
        for tap in 0..taps {
            let mut from = parts.chunks_exact(size).map(|part| &part[at + tap * step + first..][..count]);
            for (sum, value) in sums.iter_mut().zip(from.next().unwrap_or_default()) {
                *sum = f64::from(*value);
            }
            for part in from {
                sums.iter_mut().zip(part).for_each(|(sum, value)| *sum += f64::from(*value));
            }
            for (channel, sum) in sums[..count].iter().enumerate() {
                w[(first + channel) * taps + tap] = *sum as f32;
            }
        }
    }
}

/// Writes sixteen rows as columns from `channel` on.
fn transpose(line: &mut [f32], rows: &[&[f32]; LANES], channel: usize, padded: usize) {
    let n = line.len() / padded;
    let rows = rows.map(|row| &row[..n]);
    for (column, pixel) in line.chunks_exact_mut(padded).enumerate() {
        let to = &mut pixel[channel..][..LANES];
        for lane in 0..LANES {
            to[lane] = rows[lane][column];
        }
    }
}
