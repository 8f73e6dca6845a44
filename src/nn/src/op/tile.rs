//! The innermost loop of convolutions: a tile of sums in registers.
//!
//! A tile has M rows (output channels) and up to three vectors of columns. Each
//! step multiplies M weights, stored side by side, with three vectors of the
//! other operand, which may lie anywhere: a table says where. So one loop
//! serves every window, stride and dilation, and the weight gradient.
//!
//! A sum runs over its terms in the order of the table, fused multiply-add by
//! fused multiply-add. Without vectors the same sums are taken one by one
//! ([`plain`]): what every level is held against.

use macerator::{Scalar, Simd, Vector, WithSimd};

use crate::vector::{Level, dispatch_on};

/// Vectors side by side in a tile.
const VECTORS: usize = 3;
/// Values that a load may read beyond the last column asked for.
pub(crate) const SLACK: usize = 64;
/// Rows of the largest tile, by which work is divided whatever the level.
pub(crate) const MOST_ROWS: usize = 8;
/// Rows of the smallest tile.
pub(crate) const LEAST_ROWS: usize = 4;
/// Columns of the largest tile, likewise.
pub(crate) const MOST_COLUMNS: usize = 48;

/// Rows of a tile: what a processor with 32 vector registers, or with 16,
/// keeps without spilling. Panels are interleaved by it.
pub(crate) fn tile_rows() -> usize {
    rows_of(Level::current())
}

fn rows_of(level: Level) -> usize {
    if level >= Level::Avx512 { MOST_ROWS } else { LEAST_ROWS }
}

/// Columns of a whole tile.
#[cfg(test)]
fn columns_of(level: Level) -> usize {
    VECTORS * lanes(level)
}

/// `count` columns with what the last vector adds.
pub(crate) fn whole_vectors(count: usize) -> usize {
    count.next_multiple_of(lanes(Level::current()))
}

/// Values of a vector; without vectors as many as the narrowest ones hold.
fn lanes(level: Level) -> usize {
    match level {
        Level::Avx512 => 16,
        Level::Avx2 => 8,
        Level::Neon | Level::Scalar => 4,
    }
}

/// For each of [`tile_rows`] rows m of c, `pitch` apart, and columns j below
/// `count`: sum over k of `a[k][m]` b[`offsets[k]` + j], added to c if `adds`, else
/// put there.
///
/// a holds `offsets.len()` x [`tile_rows`] values; b is read, and c written, up
/// to [`whole_vectors`] of `count`.
#[allow(clippy::too_many_arguments, reason = "the innermost loop of all products")]
pub(crate) fn sweep(
    a: &[f32],
    b: &[f32],
    offsets: &[u32],
    c: &mut [f32],
    pitch: usize,
    count: usize,
    adds: bool,
) {
    Sweep { a, b, offsets, pitch, count, adds }.run(Level::current(), c);
}

/// What [`sweep`] is given.
#[derive(Clone, Copy)]
struct Sweep<'a> {
    a: &'a [f32],
    b: &'a [f32],
    offsets: &'a [u32],
    pitch: usize,
    count: usize,
    adds: bool,
}

impl Sweep<'_> {
    fn run(self, level: Level, c: &mut [f32]) {
        match level {
            Level::Scalar => plain::sweep(self, rows_of(level), c),
            _ => dispatch_on(level, Sweeping(self, c)),
        }
    }

    #[inline(always)]
    fn tiles<S: Simd, const M: usize>(self, c: &mut [f32]) {
        let lanes = S::lanes32();
        let mut column = 0;
        while column < self.count {
            match (self.count - column).div_ceil(lanes) {
                1 => self.tile::<S, M, 1>(c, column),
                2 => self.tile::<S, M, 2>(c, column),
                _ => self.tile::<S, M, VECTORS>(c, column),
            }
            column += VECTORS * lanes;
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const M: usize, const N: usize>(self, c: &mut [f32], column: usize) {
        let lanes = S::lanes32();
        let mut sums = [[0.0f32.splat::<S>(); N]; M];
        let b = &self.b[column..];
        for (weights, offset) in self.a.as_chunks::<M>().0.iter().zip(self.offsets) {
            let row = &b[*offset as usize..][..N * lanes];
            let mut values = [0.0f32.splat::<S>(); N];
            for n in 0..N {
                values[n] = load::<S>(&row[n * lanes..][..lanes]);
            }
            for m in 0..M {
                let weight = weights[m].splat::<S>();
                for n in 0..N {
                    sums[m][n] = weight.fma(values[n], sums[m][n]);
                }
            }
        }
        // A copy goes to memory, so that the sums above stay in registers.
        let mut done = [[0.0f32.splat::<S>(); N]; M];
        for m in 0..M {
            for n in 0..N {
                done[m][n] = sums[m][n];
            }
        }
        for (m, done) in done.iter().enumerate() {
            let row = &mut c[m * self.pitch + column..][..N * lanes];
            put(row, bytemuck::cast_slice(done), self.adds);
        }
    }
}

/// Finished sums to where they belong.
#[inline(always)]
pub(super) fn put(row: &mut [f32], done: &[f32], adds: bool) {
    if adds {
        row.iter_mut().zip(done).for_each(|(value, done)| *value += *done);
    } else {
        row.copy_from_slice(done);
    }
}

struct Sweeping<'a, 'c>(Sweep<'a>, &'c mut [f32]);

impl WithSimd for Sweeping<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self) {
        match S::lanes32() {
            16 => self.0.tiles::<S, MOST_ROWS>(self.1),
            _ => self.0.tiles::<S, LEAST_ROWS>(self.1),
        }
    }
}

/// For columns j below `count`: sum over k of `a[k]` b[`offsets[k]` + j], put to c.
/// b is read, and c written, up to [`whole_vectors`] of `count`.
pub(crate) fn sweep_line(a: &[f32], b: &[f32], offsets: &[u32], c: &mut [f32], count: usize) {
    let line = Sweep { a, b, offsets, pitch: 0, count, adds: false };
    line.run_line(Level::current(), c);
}

impl Sweep<'_> {
    fn run_line(self, level: Level, c: &mut [f32]) {
        match level {
            Level::Scalar => plain::sweep(self, 1, c),
            _ => dispatch_on(level, Line(self, c)),
        }
    }
}

struct Line<'a, 'c>(Sweep<'a>, &'c mut [f32]);

impl WithSimd for Line<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self) {
        let Self(line, c) = self;
        let lanes = S::lanes32();
        let mut column = 0;
        while column < line.count {
            // One row leaves registers for more vectors, whose sums wait for
            // nobody.
            let vectors = match (line.count - column).div_ceil(lanes) {
                1 => 1,
                2 | 3 => 2,
                4..8 => 4,
                _ => 8,
            };
            match vectors {
                1 => line.tile::<S, 1, 1>(c, column),
                2 => line.tile::<S, 1, 2>(c, column),
                4 => line.tile::<S, 1, 4>(c, column),
                _ => line.tile::<S, 1, 8>(c, column),
            }
            column += vectors * lanes;
        }
    }
}

/// For each k: sum over the columns j of a of `a[j]` b[`offsets[k]` + j], put to
/// `sums[k]`. The length of a is a multiple of [`COLUMNS`].
pub(crate) fn correlate_lines(a: &[f32], b: &[f32], offsets: &[u32], sums: &mut [f64]) {
    Lines { a, b, offsets }.run(Level::current(), sums);
}

/// Columns that [`correlate_lines`] takes at a time: it keeps that many partial
/// sums, however many vectors they are.
pub(crate) const COLUMNS: usize = 16;
/// Columns that are summed in f32, before their sums are in f64.
const STRETCH: usize = 1 << 12;

/// What [`correlate_lines`] is given.
#[derive(Clone, Copy)]
struct Lines<'a> {
    a: &'a [f32],
    b: &'a [f32],
    offsets: &'a [u32],
}

impl Lines<'_> {
    fn run(self, level: Level, sums: &mut [f64]) {
        match level {
            Level::Scalar => plain::correlate(self, sums),
            _ => dispatch_on(level, Correlating(self, sums)),
        }
    }

    #[inline(always)]
    fn blocks<S: Simd, const K: usize, const N: usize>(self, sums: &mut [f64]) {
        for (offsets, sums) in self.offsets.chunks(K).zip(sums.chunks_mut(K)) {
            // What is missing is done in vain.
            let mut at = [0; K];
            at[..offsets.len()].copy_from_slice(offsets);
            let mut total = [0.0f64; K];
            for (part, a) in self.a.chunks(STRETCH).enumerate() {
                let mut parts = [[0.0f32.splat::<S>(); N]; K];
                let lanes = COLUMNS / N;
                let from = at.map(|at| &self.b[at as usize + part * STRETCH..][..a.len()]);
                for column in (0..a.len()).step_by(COLUMNS) {
                    for n in 0..N {
                        let place = column + n * lanes;
                        let left = load::<S>(&a[place..][..lanes]);
                        for (parts, from) in parts.iter_mut().zip(&from) {
                            parts[n] = left.fma(load::<S>(&from[place..][..lanes]), parts[n]);
                        }
                    }
                }
                // A copy goes to memory here, too.
                let mut done = [[0.0f32.splat::<S>(); N]; K];
                for k in 0..K {
                    for n in 0..N {
                        done[k][n] = parts[k][n];
                    }
                }
                for (total, done) in total.iter_mut().zip(&done) {
                    let done: &[f32] = bytemuck::cast_slice(done);
                    *total += done.iter().map(|part| f64::from(*part)).sum::<f64>();
                }
            }
            sums.copy_from_slice(&total[..sums.len()]);
        }
    }
}

struct Correlating<'a, 's>(Lines<'a>, &'s mut [f64]);

impl WithSimd for Correlating<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self) {
        match S::lanes32() {
            16 => self.0.blocks::<S, 9, 1>(self.1),
            8 => self.0.blocks::<S, 5, 2>(self.1),
            _ => self.0.blocks::<S, 2, 4>(self.1),
        }
    }
}

#[inline(always)]
pub(super) fn load<S: Simd>(values: &[f32]) -> Vector<S, f32> {
    bytemuck::pod_read_unaligned(bytemuck::cast_slice(values))
}

/// The same sums one by one: the only way without vectors, and the oracle of
/// those with.
mod plain {
    use super::{COLUMNS, Lines, STRETCH, Sweep};
    use crate::vector::fused;

    pub(super) fn sweep(of: Sweep<'_>, rows: usize, c: &mut [f32]) {
        let mut sums = vec![0.0f32; of.count];
        for row in 0..rows {
            sums.fill(0.0);
            for (weights, offset) in of.a.chunks_exact(rows).zip(of.offsets) {
                let values = &of.b[*offset as usize..][..of.count];
                sums.iter_mut().zip(values).for_each(|(sum, value)| *sum = fused(weights[row], *value, *sum));
            }
            super::put(&mut c[row * of.pitch..][..of.count], &sums, of.adds);
        }
    }

    pub(super) fn correlate(of: Lines<'_>, sums: &mut [f64]) {
        for (offset, sum) in of.offsets.iter().zip(sums) {
            let b = &of.b[*offset as usize..][..of.a.len()];
            *sum = 0.0;
            for (a, b) in of.a.chunks(STRETCH).zip(b.chunks(STRETCH)) {
                let mut lanes = [0.0f32; COLUMNS];
                for (a, b) in a.chunks_exact(COLUMNS).zip(b.chunks_exact(COLUMNS)) {
                    for lane in 0..COLUMNS {
                        lanes[lane] = fused(a[lane], b[lane], lanes[lane]);
                    }
                }
                *sum += lanes.iter().map(|lane| f64::from(*lane)).sum::<f64>();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(i: usize) -> f32 {
        ((i * 7919) % 101) as f32 / 50.0 - 1.03
    }

    #[test]
    fn a_sweep_is_the_product_that_it_says() {
        let (rows, columns) = (tile_rows(), columns_of(Level::current()));
        // Whole tiles, a part of one, and a part of a vector.
        for count in [1, 5, columns - 1, columns, 2 * columns + 11] {
            let pitch = whole_vectors(count);
            let offsets = [9u32, 0, 4, 30, 4];
            let a: Vec<f32> = (0..offsets.len() * rows).map(value).collect();
            let b: Vec<f32> = (0..30 + pitch).map(|i| value(i + 1000)).collect();
            let mut c = vec![f32::NAN; rows * pitch];
            sweep(&a, &b, &offsets, &mut c, pitch, count, false);
            sweep(&a, &b, &offsets, &mut c, pitch, count, true);
            for m in 0..rows {
                for j in 0..count {
                    let terms = offsets.iter().enumerate();
                    let want: f64 = terms
                        .map(|(k, offset)| f64::from(a[k * rows + m]) * f64::from(b[*offset as usize + j]))
                        .sum();
                    let got = f64::from(c[m * pitch + j]);
                    assert!((got - 2.0 * want).abs() < 1e-5, "{count}: row {m}, column {j}: {got} {want}");
                }
            }
        }
    }

    /// Each value of the weights stands at k rows + m: by its own name, so that
    /// levels with other rows get the same ones.
    fn interleaved(rows: usize, terms: usize) -> Vec<f32> {
        (0..terms * rows).map(|at| value(at / rows * 64 + at % rows)).collect()
    }

    #[test]
    fn every_level_sums_as_one_by_one() {
        for (terms, count) in [(1, 1), (9, 7), (640, 16), (33, 24), (300, 100), (7, 1025)] {
            let offsets: Vec<u32> = (0..terms).map(|k| (k * 13 % 97) as u32).collect();
            let b: Vec<f32> = (0..97 + count + SLACK).map(|i| value(i + 1000)).collect();
            let pitch = count.next_multiple_of(16);
            let of = |level: Level, adds| {
                let rows = rows_of(level);
                let a = interleaved(rows, terms);
                let mut c = vec![0.25; rows * pitch];
                Sweep { a: &a, b: &b, offsets: &offsets, pitch, count, adds }.run(level, &mut c);
                (0..4)
                    .flat_map(|row| c[row * pitch..][..count].to_vec())
                    .map(f32::to_bits)
                    .collect::<Vec<_>>()
            };
            let line = |level: Level| {
                let a = interleaved(1, terms);
                let mut c = vec![0.0; pitch];
                Sweep { a: &a, b: &b, offsets: &offsets, pitch: 0, count, adds: false }
                    .run_line(level, &mut c);
                c[..count].iter().map(|value| value.to_bits()).collect::<Vec<_>>()
            };
            for level in Level::available() {
                assert_eq!(of(level, false), of(Level::Scalar, false), "{level:?}, {terms} x {count}");
                assert_eq!(of(level, true), of(Level::Scalar, true), "{level:?}, {terms} x {count}, added");
                assert_eq!(line(level), line(Level::Scalar), "{level:?}, a line of {terms} x {count}");
            }
        }
    }

    #[test]
    fn every_level_correlates_as_one_by_one() {
        for (columns, taps) in [(16, 1), (48, 9), (4096, 5), (9008, 25)] {
            let a: Vec<f32> = (0..columns).map(value).collect();
            let b: Vec<f32> = (0..columns + 60).map(|i| value(i + 500)).collect();
            let offsets: Vec<u32> = (0..taps).map(|k| (k * 7 % 60) as u32).collect();
            let of = |level: Level| {
                let mut sums = vec![0.0; taps];
                Lines { a: &a, b: &b, offsets: &offsets }.run(level, &mut sums);
                sums.into_iter().map(f64::to_bits).collect::<Vec<_>>()
            };
            for level in Level::available() {
                assert_eq!(of(level), of(Level::Scalar), "{level:?}, {columns} columns, {taps} taps");
            }
        }
    }
}
