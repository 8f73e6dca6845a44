//! Products of matrices on the host.
//!
//! One factor is read where it lies, row by row or term by term; the other is
//! brought into slivers, as wide as a tile and [`TERMS`] terms deep, which stay
//! in the first-level cache while a block of rows passes over them. A value is
//! the sum of its terms in order, fused multiply-add by fused multiply-add, in
//! blocks of [`TERMS`] whose sums are added in order.

use macerator::{Scalar, Simd, Vector, WithSimd};
use rayon::prelude::*;

use super::correlate::each_task;
use super::host::CHUNK;
use super::tile::{MOST_ROWS, columns_of, load, put, rows_of};
use crate::vector::{Level, dispatch_on, fused, vectorised};

/// Terms of a sum between two visits to memory.
const TERMS: usize = 256;
/// Rows of a task, about.
const ROWS: usize = 64;
/// Pieces of work that an operation should have.
const TASKS: usize = 16;

/// A matrix in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Matrix<'a> {
    /// From its first value on.
    pub(crate) values: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// How far rows and columns are apart.
    pub(crate) steps: [usize; 2],
}

impl<'a> Matrix<'a> {
    /// Row behind row.
    #[cfg(test)]
    pub(crate) fn of(values: &'a [f32], rows: usize, columns: usize) -> Self {
        Self { values, rows, columns, steps: [columns, 1] }
    }

    /// The same memory with rows and columns exchanged.
    pub(crate) fn transposed(self) -> Self {
        let [rows, columns] = self.steps;
        Self { rows: self.columns, columns: self.rows, steps: [columns, rows], ..self }
    }

    fn at(&self, row: usize, column: usize) -> f32 {
        self.values[row * self.steps[0] + column * self.steps[1]]
    }
}

/// The second factor of a product in slivers: [sliver][term][column of it], zeros
/// beyond the last column.
struct Slivers {
    values: Vec<f32>,
    width: usize,
    terms: usize,
    columns: usize,
}

impl Slivers {
    fn of(b: Matrix<'_>, width: usize) -> Self {
        let (terms, columns) = (b.rows, b.columns);
        let mut values = vec![0.0; columns.div_ceil(width) * terms * width];
        let fill = |(index, sliver): (usize, &mut [f32])| {
            let first = index * width;
            let count = width.min(columns - first);
            if b.steps[1] == 1 {
                for (term, to) in sliver.chunks_exact_mut(width).enumerate() {
                    to[..count].copy_from_slice(&b.values[term * b.steps[0] + first..][..count]);
                }
            } else {
                for column in 0..count {
                    let to = sliver.iter_mut().skip(column).step_by(width);
                    to.enumerate().for_each(|(term, to)| *to = b.at(term, first + column));
                }
            }
        };
        let sliver = (terms * width).max(1);
        if values.len() > CHUNK {
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
    let shares = TASKS.div_ceil(pairs.len()).min(rows.div_ceil(MOST_ROWS)).max(rows.div_ceil(ROWS));
    let share = rows.div_ceil(shares).next_multiple_of(MOST_ROWS);
    let slivers = |b: &Matrix<'_>| Slivers::of(*b, columns_of(level));
    // One product has its slivers made by all threads; of many, each its own.
    let shared = (pairs.len() == 1).then(|| slivers(b));
    let products = pairs.len() * rows * terms * columns;
    let sets = c.chunks_exact_mut(rows * columns).enumerate().collect();
    each_task(sets, products, |_, (set, c): (usize, &mut [f32])| {
        let [a, b] = pairs[set];
        let own;
        let slivers = match &shared {
            Some(slivers) => slivers,
            None => {
                own = slivers(&b);
                &own
            }
        };
        let blocks = c.chunks_mut(share * columns).collect();
        each_task(blocks, products, |index, c: &mut [f32]| {
            let block = Block { a, first: index * share, slivers };
            block.run(level, c);
            if let Some(bias) = bias {
                vectorised(
                    #[inline(always)]
                    || {
                        for row in c.chunks_exact_mut(columns) {
                            row.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
                        }
                    },
                );
            }
        });
    });
}

/// Some rows of a product.
#[derive(Clone, Copy)]
struct Block<'a> {
    a: Matrix<'a>,
    /// The first of them.
    first: usize,
    slivers: &'a Slivers,
}

impl Block<'_> {
    /// Puts them to c, as many as it has room for.
    fn run(self, level: Level, c: &mut [f32]) {
        if self.slivers.terms == 0 {
            return c.fill(0.0);
        }
        let Slivers { values, width, terms, columns } = self.slivers;
        let rows = c.len() / columns;
        let tile = rows_of(level);
        let mut panel = Vec::new();
        for start in (0..*terms).step_by(TERMS) {
            let depth = TERMS.min(terms - start);
            // The rows that fill no tile, and matrices with holes in both
            // directions, are brought into panels.
            let whole = if self.a.steps.contains(&1) { rows / tile * tile } else { 0 };
            self.panels(&mut panel, whole..rows, start..start + depth, tile);
            for (index, sliver) in values.chunks_exact(terms * width).enumerate() {
                let sliver = &sliver[start * width..][..depth * width];
                let column = index * width;
                let count = (*width).min(columns - column);
                for row in (0..rows).step_by(tile) {
                    let to = Target { pitch: *columns, rows: tile.min(rows - row), count, adds: start > 0 };
                    let c = &mut c[row * columns + column..];
                    let a = if row >= whole {
                        let panel = &panel[(row - whole) / tile * depth * tile..][..depth * tile];
                        Rows { values: panel, steps: [1, tile] }
                    } else {
                        let [down, right] = self.a.steps;
                        let values = &self.a.values[(self.first + row) * down + start * right..];
                        Rows { values, steps: [down, right] }
                    };
                    Tile { a, sliver, width: *width }.run(level, to, c);
                }
            }
        }
    }

    /// Rows of a, interleaved tile by tile, zeros in place of those that are
    /// missing.
    fn panels(
        self,
        panel: &mut Vec<f32>,
        rows: std::ops::Range<usize>,
        terms: std::ops::Range<usize>,
        tile: usize,
    ) {
        let depth = terms.len();
        panel.clear();
        panel.resize(rows.len().next_multiple_of(tile) * depth, 0.0);
        for (index, row) in rows.enumerate() {
            let to = panel[index / tile * depth * tile..].iter_mut().skip(index % tile).step_by(tile);
            to.zip(terms.clone()).for_each(|(to, term)| *to = self.a.at(self.first + row, term));
        }
    }
}

/// The first factor of a tile: where its rows and its terms lie.
#[derive(Clone, Copy)]
struct Rows<'a> {
    values: &'a [f32],
    /// Distance of rows and of terms, one of them 1.
    steps: [usize; 2],
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

#[derive(Clone, Copy)]
struct Tile<'a> {
    a: Rows<'a>,
    sliver: &'a [f32],
    width: usize,
}

impl Tile<'_> {
    fn run(self, level: Level, to: Target, c: &mut [f32]) {
        match level {
            Level::Scalar => self.plain(to, c),
            _ => dispatch_on(level, Tiling(self, to, c)),
        }
    }

    /// The same sums one by one.
    fn plain(self, to: Target, c: &mut [f32]) {
        let mut sums = vec![0.0f32; to.count];
        let [down, right] = self.a.steps;
        for row in 0..to.rows {
            sums.fill(0.0);
            for (term, values) in self.sliver.chunks_exact(self.width).enumerate() {
                let weight = self.a.values[row * down + term * right];
                sums.iter_mut().zip(values).for_each(|(sum, value)| *sum = fused(weight, *value, *sum));
            }
            put(&mut c[row * to.pitch..][..to.count], &sums, to.adds);
        }
    }

    /// M rows and N vectors of columns.
    #[inline(always)]
    fn vectors<S: Simd, const M: usize, const N: usize>(self, to: Target, c: &mut [f32]) {
        let mut sums = [[0.0f32.splat::<S>(); N]; M];
        let [down, right] = self.a.steps;
        let depth = self.sliver.len() / self.width;
        let slivers = self.sliver.chunks_exact(self.width);
        if right == 1 {
            let mut rows: [&[f32]; M] = [&[]; M];
            for (m, row) in rows.iter_mut().enumerate() {
                *row = &self.a.values[m * down..][..depth];
            }
            for (term, values) in (0..depth).zip(slivers) {
                let mut weights = [0.0; M];
                for m in 0..M {
                    weights[m] = rows[m][term];
                }
                step::<S, M, N>(&mut sums, values, weights);
            }
        } else {
            for (term, values) in slivers.enumerate() {
                let mut weights = [0.0; M];
                weights.copy_from_slice(&self.a.values[term * right..][..M]);
                step::<S, M, N>(&mut sums, values, weights);
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
            let done: &[f32] = bytemuck::cast_slice(done);
            put(&mut c[row * to.pitch..][..to.count], &done[..to.count], to.adds);
        }
    }

    #[inline(always)]
    fn rows<S: Simd, const M: usize>(self, to: Target, c: &mut [f32]) {
        match to.count.div_ceil(S::lanes32()) {
            1 => self.vectors::<S, M, 1>(to, c),
            2 => self.vectors::<S, M, 2>(to, c),
            _ => self.vectors::<S, M, 3>(to, c),
        }
    }
}

/// One term of the sums of a tile: M weights times N vectors.
#[inline(always)]
fn step<S: Simd, const M: usize, const N: usize>(
    sums: &mut [[Vector<S, f32>; N]; M],
    values: &[f32],
    weights: [f32; M],
) {
    let lanes = S::lanes32();
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

struct Tiling<'a, 'c>(Tile<'a>, Target, &'c mut [f32]);

impl WithSimd for Tiling<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self) {
        match S::lanes32() {
            16 => self.0.rows::<S, MOST_ROWS>(self.1, self.2),
            _ => self.0.rows::<S, 4>(self.1, self.2),
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
