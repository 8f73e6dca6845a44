//! The innermost loop of convolutions: a tile of sums in registers.
//!
//! A tile has M rows (output channels) and up to three vectors of columns. Each
//! step multiplies M weights, stored side by side, with three vectors of the
//! other operand, which may lie anywhere: a table says where. So one loop
//! serves every window, stride and dilation, and the weight gradient.
//!
//! A sum runs over its terms in the order of the table, fused multiply-add by
//! fused multiply-add where the processor has it: results depend neither on
//! the width of vectors nor on the number of threads.

use macerator::{Scalar, Simd, Vector};

/// Vectors side by side in a tile.
const VECTORS: usize = 3;
/// Values that a load may read beyond the last column asked for.
pub(crate) const SLACK: usize = 64;

/// Rows of a tile: what a processor with 32 vector registers, or with 16,
/// keeps without spilling. Panels are interleaved by it.
pub(crate) fn tile_rows() -> usize {
    if lanes() >= WIDE { 8 } else { 4 }
}

/// Columns of a whole tile.
pub(crate) fn tile_columns() -> usize {
    VECTORS * lanes()
}

/// `count` columns with what the last vector adds.
pub(crate) fn whole_vectors(count: usize) -> usize {
    count.next_multiple_of(lanes())
}

/// Lanes of AVX-512, which has 32 registers.
const WIDE: usize = 16;

#[allow(clippy::extra_unused_type_parameters, reason = "the macro asks for the instruction set's type")]
#[macerator::with_simd]
fn lanes<S: Simd>() -> usize {
    S::lanes32()
}

/// For each of [`tile_rows`] rows m of c, `pitch` apart, and columns j below
/// `count`: sum over k of a[k][m] b[offsets[k] + j], added to c if `adds`, else
/// put there.
///
/// a holds `offsets.len()` x [`tile_rows`] values; b is read, and c written, up
/// to [`whole_vectors`] of `count`.
#[macerator::with_simd]
pub(crate) fn sweep<S: Simd>(
    a: &[f32],
    b: &[f32],
    offsets: &[u32],
    c: &mut [f32],
    pitch: usize,
    count: usize,
    adds: bool,
) {
    if S::lanes32() >= WIDE {
        tiles::<S, 8>(a, b, offsets, c, pitch, count, adds);
    } else {
        tiles::<S, 4>(a, b, offsets, c, pitch, count, adds);
    }
}

#[inline(always)]
fn tiles<S: Simd, const M: usize>(
    a: &[f32],
    b: &[f32],
    offsets: &[u32],
    c: &mut [f32],
    pitch: usize,
    count: usize,
    adds: bool,
) {
    let lanes = S::lanes32();
    let mut column = 0;
    while column < count {
        let left = (count - column).div_ceil(lanes);
        match left {
            1 => tile::<S, M, 1>(a, b, offsets, c, pitch, column, adds),
            2 => tile::<S, M, 2>(a, b, offsets, c, pitch, column, adds),
            _ => tile::<S, M, VECTORS>(a, b, offsets, c, pitch, column, adds),
        }
        column += VECTORS * lanes;
    }
}

#[inline(always)]
fn tile<S: Simd, const M: usize, const N: usize>(
    a: &[f32],
    b: &[f32],
    offsets: &[u32],
    c: &mut [f32],
    pitch: usize,
    column: usize,
    adds: bool,
) {
    let lanes = S::lanes32();
    let mut sums = [[0.0f32.splat::<S>(); N]; M];
    let b = &b[column..];
    for (weights, offset) in a.as_chunks::<M>().0.iter().zip(offsets) {
        let row = &b[*offset as usize..][..N * lanes];
        let mut values = [0.0f32.splat::<S>(); N];
        for n in 0..N {
            values[n] = load::<S>(&row[n * lanes..][..lanes]);
        }
        for m in 0..M {
            let weight = weights[m].splat::<S>();
            for n in 0..N {
                sums[m][n] = weight.mul_add(values[n], sums[m][n]);
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
        let row = &mut c[m * pitch + column..][..N * lanes];
        let done: &[f32] = bytemuck::cast_slice(done);
        if adds {
            row.iter_mut().zip(done).for_each(|(value, done)| *value += *done);
        } else {
            row.copy_from_slice(done);
        }
    }
}

/// For columns j below `count`: sum over k of a[k] b[offsets[k] + j], put to c.
/// b is read, and c written, up to [`whole_vectors`] of `count`.
#[macerator::with_simd]
pub(crate) fn sweep_line<S: Simd>(a: &[f32], b: &[f32], offsets: &[u32], c: &mut [f32], count: usize) {
    let lanes = S::lanes32();
    let mut column = 0;
    while column < count {
        let left = (count - column).div_ceil(lanes);
        // One row leaves registers for more vectors, whose sums wait for
        // nobody.
        column += lanes
            * match left {
                1 => line::<S, 1>(a, b, offsets, c, column),
                2 | 3 => line::<S, 2>(a, b, offsets, c, column),
                4..8 => line::<S, 4>(a, b, offsets, c, column),
                _ => line::<S, 8>(a, b, offsets, c, column),
            };
    }
}

/// Gives the number of vectors that it did.
#[inline(always)]
fn line<S: Simd, const N: usize>(
    a: &[f32],
    b: &[f32],
    offsets: &[u32],
    c: &mut [f32],
    column: usize,
) -> usize {
    tile::<S, 1, N>(a, b, offsets, c, 0, column, false);
    N
}

/// For each k: sum over the columns j of a of a[j] b[offsets[k] + j], put to
/// sums[k]. The length of a is a multiple of [`COLUMNS`].
#[macerator::with_simd]
pub(crate) fn correlate_lines<S: Simd>(a: &[f32], b: &[f32], offsets: &[u32], sums: &mut [f64]) {
    // Sixteen partial sums for each k, however many vectors they are.
    match S::lanes32() {
        16 => blocks::<S, 9, 1>(a, b, offsets, sums),
        8 => blocks::<S, 5, 2>(a, b, offsets, sums),
        4 => blocks::<S, 2, 4>(a, b, offsets, sums),
        _ => blocks::<S, 1, 16>(a, b, offsets, sums),
    }
}

/// Columns that [`correlate_lines`] takes at a time.
pub(crate) const COLUMNS: usize = 16;
/// Columns that are summed in f32, before their sums are in f64.
const STRETCH: usize = 1 << 12;

#[inline(always)]
fn blocks<S: Simd, const K: usize, const N: usize>(a: &[f32], b: &[f32], offsets: &[u32], sums: &mut [f64]) {
    for (offsets, sums) in offsets.chunks(K).zip(sums.chunks_mut(K)) {
        // What is missing is done in vain.
        let mut at = [0; K];
        at[..offsets.len()].copy_from_slice(offsets);
        let mut total = [0.0f64; K];
        for (part, a) in a.chunks(STRETCH).enumerate() {
            let mut parts = [[0.0f32.splat::<S>(); N]; K];
            let lanes = COLUMNS / N;
            let from = at.map(|at| &b[at as usize + part * STRETCH..][..a.len()]);
            for column in (0..a.len()).step_by(COLUMNS) {
                for n in 0..N {
                    let place = column + n * lanes;
                    let left = load::<S>(&a[place..][..lanes]);
                    for (parts, from) in parts.iter_mut().zip(&from) {
                        parts[n] = left.mul_add(load::<S>(&from[place..][..lanes]), parts[n]);
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

#[inline(always)]
fn load<S: Simd>(values: &[f32]) -> Vector<S, f32> {
    bytemuck::pod_read_unaligned(bytemuck::cast_slice(values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_is_the_product_that_it_says() {
        let rows = tile_rows();
        // Whole tiles, a part of one, and a part of a vector.
        for count in [1, 5, tile_columns() - 1, tile_columns(), 2 * tile_columns() + lanes() + 3] {
            let pitch = whole_vectors(count);
            let value = |i: usize| ((i * 7919) % 101) as f32 / 50.0 - 1.0;
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
}
