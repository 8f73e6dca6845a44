//! Correlation of maps with windows on the host: the forward pass of a
//! convolution, and (with other taps) its input gradient.
//!
//! The output is worked off in strips of rows. What a strip reads is copied,
//! some channels at a time, into a buffer that fits the second-level cache,
//! with the zeros of the padding and rows of one pitch; there every tap is a
//! fixed distance, so that a strip is one long row, and the tiles of `tile`
//! run over it. The few columns between the rows are computed in vain.

use std::cell::Cell;

use rayon::prelude::*;

use super::filter;
use super::tile::{SLACK, sweep, tile_rows, whole_vectors};

/// Output pixels of a strip, about.
const PIXELS: usize = 1024;
/// Values of the buffer for a strip's input, about (384 KiB).
const VALUES: usize = 96 << 10;
/// Terms of a sum between two visits to memory, about.
const TERMS: usize = 640;
/// Pieces of work that an operation should have.
const TASKS: usize = 16;
/// Products below which threads cost more than they bring.
const SMALL: usize = 1 << 18;

thread_local! {
    /// A thread's buffers for input and sums, kept from call to call.
    static BUFFERS: Cell<[Vec<f32>; 2]> = const { Cell::new([Vec::new(), Vec::new()]) };
}

/// What is done to values of an output channel while they are in the cache.
pub(crate) type Finish<'a> = dyn Fn(usize, &mut [f32]) + Sync + 'a;

/// y[b, g output + o, r, c] = sum over i and taps t of weight(g, o, i, t) x
/// x[b, g input + i, r stride + `taps[t][0]`, c stride + `taps[t][1]`], where x is
/// zero beyond its borders.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Correlation<'a> {
    pub(crate) batch: usize,
    pub(crate) groups: usize,
    /// Channels of a group that are read.
    pub(crate) input: usize,
    /// Channels of a group that are written.
    pub(crate) output: usize,
    /// Rows and columns of x.
    pub(crate) from: [usize; 2],
    /// Rows and columns of y.
    pub(crate) to: [usize; 2],
    pub(crate) stride: usize,
    pub(crate) taps: &'a [[isize; 2]],
}

/// How a strip lies in its buffer.
pub(crate) struct Strip {
    /// Output rows of a whole strip.
    pub(crate) rows: usize,
    /// Distance between rows.
    pub(crate) pitch: usize,
    /// Rows that the taps reach beyond the strip.
    reach: usize,
    /// Smallest tap of each axis.
    low: [isize; 2],
    /// Which pixels modulo the stride the taps meet; each set is a plane.
    phases: Vec<[usize; 2]>,
    /// Where a tap lies within a channel.
    pub(crate) offsets: Vec<usize>,
    /// Channels at a time.
    channels: usize,
}

impl Strip {
    /// Of about [`PIXELS`] pixels, for many channels at once.
    fn of(form: &Correlation<'_>) -> Self {
        Self::with(form, |pitch, _, _| PIXELS / pitch)
    }

    /// Of as many rows as the buffer takes, for one channel after the other.
    pub(crate) fn of_plane(form: &Correlation<'_>) -> Self {
        Self::with(form, |pitch, reach, phases| (VALUES / (pitch * phases)).saturating_sub(reach))
    }

    /// `most` gives the rows of a strip from its pitch, its reach and the
    /// number of its phases.
    fn with(form: &Correlation<'_>, most: impl Fn(usize, usize, usize) -> usize) -> Self {
        let axis = |axis: usize| form.taps.iter().map(move |tap| tap[axis]);
        let low = [0, 1].map(|a| axis(a).min().unwrap_or(0));
        let beyond = |tap: &[isize; 2]| [0, 1].map(|a| tap[a].abs_diff(low[a]));
        let steps = |tap: &[isize; 2]| beyond(tap).map(|far| far / form.stride);
        let reach = [0, 1].map(|a| form.taps.iter().map(|tap| steps(tap)[a]).max().unwrap_or(0));
        let phase = |tap: &[isize; 2]| beyond(tap).map(|far| far % form.stride);
        let mut phases: Vec<[usize; 2]> = form.taps.iter().map(phase).collect();
        phases.sort_unstable();
        phases.dedup();
        let pitch = form.to[1] + reach[1];
        let rows = even_share(form.to[0], most(pitch, reach[0], phases.len()).max(1));
        let plane = (rows + reach[0]) * pitch;
        let offset = |tap| {
            let [down, right] = steps(tap);
            let phase = phases.binary_search(&phase(tap)).unwrap_or(0);
            phase * plane + down * pitch + right
        };
        let offsets: Vec<usize> = form.taps.iter().map(offset).collect();
        let fit = (VALUES / (plane * phases.len())).min(TERMS.div_ceil(offsets.len()));
        let channels = even_share(form.input, fit.max(1));
        Self { rows, pitch, reach: reach[0], low, phases, offsets, channels }
    }

    /// Values of a channel.
    pub(crate) fn values(&self) -> usize {
        (self.rows + self.reach) * self.pitch * self.phases.len()
    }

    /// Columns of a strip of `rows` rows, seen as one row.
    pub(crate) fn columns(&self, rows: usize, width: usize) -> usize {
        (rows - 1) * self.pitch + width
    }

    /// Copies what `rows` output rows from `first` on read of a plane.
    pub(crate) fn fill(
        &self,
        buffer: &mut [f32],
        plane: &[f32],
        form: &Correlation<'_>,
        first: usize,
        rows: usize,
    ) {
        let [height, width] = form.from;
        let whole = (self.rows + self.reach) * self.pitch;
        for (buffer, phase) in buffer.chunks_exact_mut(whole).zip(&self.phases) {
            let low = [0, 1].map(|a| self.low[a] + phase[a] as isize);
            let lines = buffer.chunks_exact_mut(self.pitch).take(rows + self.reach);
            for (row, line) in lines.enumerate() {
                let source = ((first + row) * form.stride) as isize + low[0];
                if source < 0 || source >= height as isize {
                    line.fill(0.0);
                    continue;
                }
                spread(line, &plane[source as usize * width..][..width], low[1], form.stride);
            }
        }
    }

    /// Puts up to `count` zeros behind what `rows` output rows read of each
    /// phase: up to the next one's values.
    pub(crate) fn clear_behind(&self, buffer: &mut [f32], rows: usize, count: usize) {
        let whole = (self.rows + self.reach) * self.pitch;
        for phase in 1..=self.phases.len() {
            let start = phase * whole - (self.rows - rows) * self.pitch;
            let end = if phase == self.phases.len() { start + count } else { phase * whole };
            buffer[start..end.min(start + count)].fill(0.0);
        }
    }
}

/// `line[c]` = source[c stride + low], zero beyond its ends.
fn spread(line: &mut [f32], source: &[f32], low: isize, stride: usize) {
    let (n, stride_) = (line.len(), stride as isize);
    // The first column at or behind the source's start and that behind its end.
    let before = |edge: isize| ((edge + stride_ - 1).div_euclid(stride_).max(0) as usize).min(n);
    let (start, end) = (before(-low), before(source.len() as isize - low));
    line[..start].fill(0.0);
    line[end..].fill(0.0);
    if start >= end {
        return;
    }
    let from = &source[(start as isize * stride_ + low) as usize..];
    let line = &mut line[start..end];
    if stride == 1 {
        line.copy_from_slice(&from[..line.len()]);
    } else {
        line.iter_mut().zip(from.iter().step_by(stride)).for_each(|(to, from)| *to = *from);
    }
}

/// The largest even share of `whole` that is at most `limit`, rounded up.
pub(crate) fn even_share(whole: usize, limit: usize) -> usize {
    whole.div_ceil(whole.div_ceil(limit).max(1)).max(1)
}

/// Does every task: on all threads, or on this one if `products` are few.
pub(crate) fn each_task<T: Send>(tasks: Vec<T>, products: usize, run: impl Fn(usize, T) + Send + Sync) {
    if products < SMALL || tasks.len() < 2 {
        tasks.into_iter().enumerate().for_each(|(index, task)| run(index, task));
    } else {
        tasks.into_par_iter().enumerate().with_max_len(1).for_each(|(index, task)| run(index, task));
    }
}

impl Correlation<'_> {
    /// The products of the whole, those with padding included.
    fn products(&self) -> usize {
        let pixels = self.to[0] * self.to[1];
        self.batch * self.groups * self.input * self.output * self.taps.len() * pixels
    }

    /// y [batch, groups x output, rows, columns]. `weight` gets group, output and input channel in it, tap.
    pub(crate) fn run(
        &self,
        x: &[f32],
        weight: impl Fn(usize, usize, usize, usize) -> f32 + Send + Sync,
        finish: &Finish<'_>,
    ) -> Vec<f32> {
        let area = self.to[0] * self.to[1];
        let values = self.batch * self.groups * self.output * area;
        if values == 0 || self.taps.is_empty() {
            return vec![0.0; values];
        }
        if self.input == 1 && self.output == 1 {
            let taps = self.taps.len();
            let filters: Vec<f32> =
                (0..self.groups * taps).map(|at| weight(at / taps, 0, 0, at % taps)).collect();
            return filter::correlate(self, x, &filters, finish);
        }
        let mut y = vec![0.0; values];
        let strip = Strip::of(self);
        let panels = self.panels(weight);
        let strips = self.to[0].div_ceil(strip.rows);
        // Output channels of a task.
        let spans = TASKS.div_ceil(self.batch * self.groups * strips).min(self.output.div_ceil(16));
        let span = even_share(self.output, self.output.div_ceil(spans)).next_multiple_of(tile_rows());
        let spans = self.output.div_ceil(span);

        let mut tasks: Vec<Vec<&mut [f32]>> = Vec::new();
        tasks.resize_with(self.batch * self.groups * spans * strips, Vec::new);
        for (plane, y) in y.chunks_exact_mut(area).enumerate() {
            let (set, output) = (plane / self.output, plane % self.output);
            for (index, rows) in y.chunks_mut(strip.rows * self.to[1]).enumerate() {
                tasks[(set * spans + output / span) * strips + index].push(rows);
            }
        }
        each_task(tasks, self.products(), |index, y| {
            let (set, index) = (index / (spans * strips), index % (spans * strips));
            let (from, first) = (index / strips * span, index % strips * strip.rows);
            self.strip(&strip, x, &panels, set, from, first, y, finish);
        });
        y
    }

    /// The weights, [group, tile of output channels][input channel, tap][row of the tile].
    fn panels(&self, weight: impl Fn(usize, usize, usize, usize) -> f32 + Send + Sync) -> Vec<f32> {
        let (rows, terms) = (tile_rows(), self.input * self.taps.len());
        let blocks = self.output.div_ceil(rows);
        let mut panels = vec![0.0; self.groups * blocks * terms * rows];
        let fill = |(index, panel): (usize, &mut [f32])| {
            let (group, first) = (index / blocks, index % blocks * rows);
            let count = rows.min(self.output - first);
            for (input, panel) in panel.chunks_exact_mut(self.taps.len() * rows).enumerate() {
                for (tap, values) in panel.chunks_exact_mut(rows).enumerate() {
                    for (row, value) in values[..count].iter_mut().enumerate() {
                        *value = weight(group, first + row, input, tap);
                    }
                }
            }
        };
        if panels.len() < SMALL {
            panels.chunks_exact_mut((terms * rows).max(1)).enumerate().for_each(fill);
        } else {
            panels.par_chunks_exact_mut(terms * rows).enumerate().for_each(fill);
        }
        panels
    }

    /// Rows from `first` on of the output channels from `from` on, of one image
    /// and group (`set`).
    #[allow(clippy::too_many_arguments, reason = "one caller, which has taken a task apart")]
    fn strip(
        &self,
        strip: &Strip,
        x: &[f32],
        panels: &[f32],
        set: usize,
        from: usize,
        first: usize,
        y: Vec<&mut [f32]>,
        finish: &Finish<'_>,
    ) {
        let width = self.to[1];
        let (tile, taps, area) = (tile_rows(), self.taps.len(), self.from[0] * self.from[1]);
        let rows = y[0].len() / width;
        let count = strip.columns(rows, width);
        let pitch = whole_vectors(count);
        let terms = self.input * taps;
        let group = set % self.groups;
        let blocks = self.output.div_ceil(tile);
        let [mut input, mut sums] = BUFFERS.take();
        grow(&mut input, strip.channels * strip.values() + SLACK);
        grow(&mut sums, y.len().next_multiple_of(tile) * pitch);
        let offsets: Vec<u32> = (0..strip.channels)
            .flat_map(|i| strip.offsets.iter().map(move |offset| (i * strip.values() + offset) as u32))
            .collect();
        for start in (0..self.input).step_by(strip.channels) {
            let channels = strip.channels.min(self.input - start);
            for (i, buffer) in input.chunks_exact_mut(strip.values()).take(channels).enumerate() {
                let plane = &x[(set * self.input + start + i) * area..][..area];
                strip.fill(buffer, plane, self, first, rows);
            }
            let offsets = &offsets[..channels * taps];
            for (block, sums) in sums.chunks_exact_mut(tile * pitch).take(y.len().div_ceil(tile)).enumerate()
            {
                let panel = &panels[(group * blocks + from / tile + block) * terms * tile..];
                let panel = &panel[start * taps * tile..][..channels * taps * tile];
                sweep(panel, &input, offsets, sums, pitch, count, start > 0);
            }
        }
        let channels = group * self.output + from..;
        for ((channel, y), sums) in channels.zip(y).zip(sums.chunks_exact(pitch)) {
            for (y, sums) in y.chunks_exact_mut(width).zip(sums.chunks(strip.pitch)) {
                y.copy_from_slice(&sums[..width]);
            }
            finish(channel, y);
        }
        BUFFERS.set([input, sums]);
    }
}

/// Makes a buffer at least so long; what it holds does not matter.
pub(crate) fn grow(buffer: &mut Vec<f32>, len: usize) {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
}
