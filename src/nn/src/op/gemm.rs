//! Products of matrices on the host.
//!
//! The second factor is brought into slivers, as wide as a tile, the first into
//! panels of a tile's rows, some rows at a time: then what a tile reads lies in
//! one piece, in the first-level cache. A value is the sum of its terms in order,
//! fused multiply-add by fused multiply-add, in blocks of [`TERMS`] whose sums
//! are added in order.

use std::cell::Cell;

use macerator::{Scalar, Simd, WithSimd};
use rayon::prelude::*;

use super::correlate::{each_task, grow};
use super::host::CHUNK;
use super::matrix::Matrix;
use super::tile::{load, put};
use crate::vector::{Level, dispatch_on, fused, vectorised};

/// Terms of a sum between two visits to memory.
const TERMS: usize = 256;
/// Rows of a task, about.
const ROWS: usize = 64;
/// Rows of a task at least: whole tiles of any processor.
const LEAST: usize = 24;
/// Pieces of work that an operation should have.
const TASKS: usize = 16;

thread_local! {
    /// A thread's buffer for slivers, kept from call to call.
    static SLIVERS: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
    /// And for panels.
    static PANELS: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// Columns of a tile. Its rows stand in [`Multiplying`]: 8 x 3 vectors are what 32
/// vector registers keep, 6 x 2 what 16 do.
fn width_of(level: Level) -> usize {
    match level {
        Level::Avx512 => 48,
        Level::Avx2 => 16,
        Level::Neon | Level::Scalar => 12,
    }
}

/// The second factor of a product in slivers: `[sliver][term][column of it]`, zeros
/// beyond the last column.
struct Slivers<'a> {
    values: &'a [f32],
    width: usize,
    terms: usize,
    columns: usize,
}

impl<'a> Slivers<'a> {
    /// Those of `b`, in a buffer.
    fn of(level: Level, b: Matrix<'_>, buffer: &'a mut Vec<f32>) -> Self {
        let (terms, columns, width) = (b.rows, b.columns, width_of(level));
        let len = columns.div_ceil(width) * terms * width;
        grow(buffer, len);
        let values = &mut buffer[..len];
        let fill = |(index, sliver): (usize, &mut [f32])| {
            let first = index * width;
            vectorised(
                #[inline(always)]
                || b.side_by_side(first, width.min(columns - first), width, sliver),
            );
        };
        let sliver = (terms * width).max(1);
        if len > CHUNK {
            values.par_chunks_exact_mut(sliver).enumerate().for_each(fill);
        } else {
            values.chunks_exact_mut(sliver).enumerate().for_each(fill);
        }
        Self { values, width, terms, columns }
    }
}

/// Puts the products of pairs of matrices, one behind the other, to c: of each
/// pair [rows of a, columns of b]. A `bias` is added to each row.
pub(crate) fn products(pairs: &[[Matrix<'_>; 2]], c: &mut [f32], bias: Option<&[f32]>) {
    products_on(Level::current(), pairs, c, bias);
}

fn products_on(level: Level, pairs: &[[Matrix<'_>; 2]], c: &mut [f32], bias: Option<&[f32]>) {
    let Some([a, b]) = pairs.first() else { return };
    let (rows, terms, columns) = (a.rows, a.columns, b.columns);
    if rows * columns == 0 {
        return;
    }
    let shares = TASKS.div_ceil(pairs.len()).min(rows.div_ceil(LEAST)).max(rows.div_ceil(ROWS));
    let share = rows.div_ceil(shares).next_multiple_of(LEAST);
    let products = pairs.len() * rows * terms * columns;
    let run = |a: Matrix<'_>, slivers: &Slivers<'_>, c: &mut [f32]| {
        let blocks = c.chunks_mut(share * columns).collect();
        each_task(blocks, products, |index, c: &mut [f32]| {
            let mut panels = PANELS.take();
            Block { a, first: index * share, slivers, bias }.run(level, &mut panels, c);
            PANELS.set(panels);
        });
    };
    let sets: Vec<_> = c.chunks_exact_mut(rows * columns).enumerate().collect();
    // The slivers of one product are made by all threads, and its rows shared out among
    // them; of many, each is a task.
    each_task(sets, products, |_, (set, c): (usize, &mut [f32])| {
        let [a, b] = pairs[set];
        let mut buffer = SLIVERS.take();
        run(a, &Slivers::of(level, b, &mut buffer), c);
        SLIVERS.set(buffer);
    });
}

/// Some rows of a product.
#[derive(Clone, Copy)]
struct Block<'a> {
    a: Matrix<'a>,
    /// The first of them.
    first: usize,
    slivers: &'a Slivers<'a>,
    bias: Option<&'a [f32]>,
}

impl Block<'_> {
    /// Puts them to c, as many as it has room for.
    fn run(self, level: Level, panels: &mut Vec<f32>, c: &mut [f32]) {
        if self.slivers.terms == 0 {
            c.fill(0.0);
        }
        match level {
            Level::Scalar => self.plain(c),
            _ => dispatch_on(level, Multiplying(self, panels, c)),
        }
    }

    /// The same sums one by one.
    fn plain(self, c: &mut [f32]) {
        let Slivers { values, width, terms, columns } = *self.slivers;
        let mut sums = vec![0.0f32; width];
        for (row, c) in c.chunks_exact_mut(columns).enumerate() {
            for (sliver, c) in values.chunks_exact((terms * width).max(1)).zip(c.chunks_mut(width)) {
                for (block, sliver) in sliver.chunks(TERMS * width).enumerate() {
                    sums.fill(0.0);
                    for (term, values) in sliver.chunks_exact(width).enumerate() {
                        let weight = self.a.at(self.first + row, block * TERMS + term);
                        let terms = sums.iter_mut().zip(values);
                        terms.for_each(|(sum, value)| *sum = fused(weight, *value, *sum));
                    }
                    put(c, &sums[..c.len()], block > 0);
                }
            }
        }
        self.add_bias(c);
    }

    #[inline(always)]
    fn add_bias(self, c: &mut [f32]) {
        if let Some(bias) = self.bias {
            for row in c.chunks_exact_mut(bias.len()) {
                row.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
            }
        }
    }

    /// In tiles of M rows and N vectors of columns, together W.
    #[inline(always)]
    fn tiles<S: Simd, const M: usize, const N: usize, const W: usize>(
        self,
        panels: &mut Vec<f32>,
        c: &mut [f32],
    ) {
        let Slivers { values, terms, columns, .. } = *self.slivers;
        let rows = c.len() / columns;
        let whole = rows.next_multiple_of(M);
        grow(panels, whole * TERMS.min(terms));
        for start in (0..terms).step_by(TERMS) {
            let depth = TERMS.min(terms - start);
            let panels = &mut panels[..whole * depth];
            for (index, panel) in panels.chunks_exact_mut(M * depth).enumerate() {
                let row = index * M;
                let panel = panel.as_chunks_mut::<M>().0;
                self.a.interleave(self.first + row, M.min(rows - row), start, panel);
            }
            for (index, sliver) in values.chunks_exact(terms * W).enumerate() {
                let sliver = sliver[start * W..][..depth * W].as_chunks::<W>().0;
                let column = index * W;
                let count = W.min(columns - column);
                for (index, panel) in panels.chunks_exact(M * depth).enumerate() {
                    let row = index * M;
                    let to = Target { pitch: columns, rows: M.min(rows - row), count, adds: start > 0 };
                    let c = &mut c[row * columns + column..];
                    tile::<S, M, N, W>(panel.as_chunks::<M>().0, sliver, to, c);
                }
            }
        }
        self.add_bias(c);
    }
}

/// Where a tile's sums go.
#[derive(Clone, Copy)]
struct Target {
    pitch: usize,
    /// Rows and columns that there are.
    rows: usize,
    count: usize,
    adds: bool,
}

/// M rows and N vectors of columns, together W.
#[inline(always)]
fn tile<S: Simd, const M: usize, const N: usize, const W: usize>(
    panel: &[[f32; M]],
    sliver: &[[f32; W]],
    to: Target,
    c: &mut [f32],
) {
    let lanes = S::lanes32();
    let mut sums = [[0.0f32.splat::<S>(); N]; M];
    for (weights, values) in panel.iter().zip(sliver) {
        let mut loaded = [0.0f32.splat::<S>(); N];
        for n in 0..N {
            loaded[n] = load::<S>(&values[n * lanes..][..lanes]);
        }
        for m in 0..M {
            let weight = weights[m].splat::<S>();
            for n in 0..N {
                sums[m][n] = weight.fma(loaded[n], sums[m][n]);
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
    for (row, done) in done.iter().take(to.rows).enumerate() {
        let (c, done) = (&mut c[row * to.pitch..], bytemuck::cast_slice(done));
        // Of a length that the compiler knows where it can.
        if to.count == W {
            put(&mut c[..W], &done[..W], to.adds);
        } else {
            put(&mut c[..to.count], &done[..to.count], to.adds);
        }
    }
}

struct Multiplying<'a, 'c>(Block<'a>, &'c mut Vec<f32>, &'c mut [f32]);

impl WithSimd for Multiplying<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self) {
        let Self(block, panels, c) = self;
        match S::lanes32() {
            16 => block.tiles::<S, 8, 3, 48>(panels, c),
            8 => block.tiles::<S, 6, 2, 16>(panels, c),
            _ => block.tiles::<S, 4, 3, 12>(panels, c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Not sorted, so that the order of a sum shows.
    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| (((i + seed) * 7919) % 1009) as f32 / 500.0 - 1.01).collect()
    }

    /// [pairs, rows, terms, columns] of products.
    const SHAPES: [[usize; 4]; 8] = [
        [1, 1, 1, 1],
        [1, 7, 5, 3],
        [2, 49, 32, 49],
        [1, 98, 192, 577],
        [1, 33, 600, 70],
        [3, 16, 257, 48],
        [1, 200, 1, 25],
        [5, 9, 784, 30],
    ];

    #[test]
    fn every_level_multiplies_as_one_by_one_however_the_factors_lie() {
        for [pairs, rows, terms, columns] in SHAPES {
            let (a, b) = (numbers(pairs * rows * terms, 1), numbers(pairs * terms * columns, 2));
            let bias = numbers(columns, 3);
            let on = |level: Level, flipped: [bool; 2], with_bias: bool| {
                let turned = |values: &[f32], rows: usize, columns: usize| -> Vec<f32> {
                    let of = |i: usize| values[i % rows * columns + i / rows];
                    (0..rows * columns).map(of).collect()
                };
                // The same matrices, stored by columns.
                let stored = |all: &[f32], size: [usize; 2], flipped: bool| -> Vec<Vec<f32>> {
                    let each = all.chunks_exact(size[0] * size[1]);
                    each.map(|m| if flipped { turned(m, size[0], size[1]) } else { m.to_vec() }).collect()
                };
                let (left, right) =
                    (stored(&a, [rows, terms], flipped[0]), stored(&b, [terms, columns], flipped[1]));
                let matrix = |values, rows, columns, flipped: bool| match flipped {
                    true => Matrix::of(values, columns, rows).transposed(),
                    false => Matrix::of(values, rows, columns),
                };
                let pairs: Vec<_> = left
                    .iter()
                    .zip(&right)
                    .map(|(a, b)| [matrix(a, rows, terms, flipped[0]), matrix(b, terms, columns, flipped[1])])
                    .collect();
                let mut c = vec![f32::NAN; pairs.len() * rows * columns];
                products_on(level, &pairs, &mut c, with_bias.then_some(&bias));
                c.into_iter().map(f32::to_bits).collect::<Vec<_>>()
            };
            let oracle = on(Level::Scalar, [false; 2], true);
            for level in Level::available() {
                for flipped in [[false, false], [true, false], [false, true], [true, true]] {
                    assert_eq!(on(level, flipped, true), oracle, "{level:?} {flipped:?}");
                }
            }
            let plain: Vec<f32> =
                on(Level::widest(), [false; 2], false).into_iter().map(f32::from_bits).collect();
            for (index, got) in plain.iter().enumerate() {
                let (pair, row, column) = (index / (rows * columns), index / columns % rows, index % columns);
                let term = |t: usize| {
                    f64::from(a[(pair * rows + row) * terms + t])
                        * f64::from(b[(pair * terms + t) * columns + column])
                };
                let want: f64 = (0..terms).map(term).sum();
                assert!((f64::from(*got) - want).abs() < 1e-4, "{got} {want}");
            }
        }
    }

    #[test]
    fn holes_in_both_directions_and_no_terms() {
        let (values, b) = (numbers(400, 1), numbers(30, 2));
        let holed = Matrix { values: &values, rows: 10, columns: 6, steps: [36, 3] };
        let dense: Vec<f32> = (0..60).map(|i| holed.at(i / 6, i % 6)).collect();
        let run = |a: Matrix<'_>| {
            let mut c = vec![f32::NAN; 50];
            products(&[[a, Matrix::of(&b, a.columns, 5)]], &mut c, None);
            c
        };
        assert_eq!(run(holed), run(Matrix::of(&dense, 10, 6)));
        assert_eq!(run(Matrix { values: &[], rows: 10, columns: 0, steps: [0, 1] }), [0.0; 50]);
    }
}
