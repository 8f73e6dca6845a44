//! Products of small matrices on the host, of the tiles that convolutions use.

use super::matrix::Matrix;
use super::tile::{SLACK, sweep, tile_rows, whole_vectors};
use crate::vector::vectorised;

/// One factor of a product that fits the cache: rows interleaved in tiles.
#[derive(Debug, Default)]
pub(crate) struct Panel {
    values: Vec<f32>,
    rows: usize,
    terms: usize,
}

impl Panel {
    /// Takes in the matrix a, times `scale`.
    pub(crate) fn fill(&mut self, a: Matrix<'_>, scale: f32) {
        (self.rows, self.terms) = (a.rows, a.columns);
        self.values.resize(a.rows.next_multiple_of(tile_rows()) * a.columns, 0.0);
        a.panels(&mut self.values);
        scaled(&mut self.values, scale);
    }

    /// c[row, column] = the sum over the terms of a(row, term) b[term, column],
    /// or that added to c.
    pub(crate) fn times(&self, b: &Block, c: &mut Block, adds: bool) {
        let tile = tile_rows();
        let offsets: Vec<u32> = (0..self.terms).map(|term| (term * b.pitch) as u32).collect();
        if !adds {
            c.shape(self.rows, b.columns);
        }
        let (pitch, columns) = (c.pitch, c.columns);
        let panels = self.values.chunks_exact((self.terms * tile).max(1));
        for (panel, sums) in panels.zip(c.values.chunks_exact_mut(tile * pitch)) {
            sweep(panel, &b.values, &offsets, sums, pitch, columns, adds);
        }
    }
}

/// A matrix whose rows begin at whole vectors, with room behind its last one.
#[derive(Debug, Default)]
pub(crate) struct Block {
    values: Vec<f32>,
    pitch: usize,
    columns: usize,
}

impl Block {
    /// Makes it so large; what it holds does not matter.
    fn shape(&mut self, rows: usize, columns: usize) {
        (self.pitch, self.columns) = (whole_vectors(columns), columns);
        self.values.resize(rows.next_multiple_of(tile_rows()) * self.pitch + SLACK, 0.0);
    }

    /// Takes in the matrix b, times `scale`.
    pub(crate) fn fill(&mut self, b: Matrix<'_>, scale: f32) {
        self.shape(b.rows, b.columns);
        let values = &mut self.values[..b.rows * self.pitch];
        vectorised(
            #[inline(always)]
            || b.side_by_side(0, b.columns, self.pitch, values),
        );
        scaled(values, scale);
    }

    /// Its first `rows` rows as a matrix.
    pub(crate) fn matrix(&self, rows: usize) -> Matrix<'_> {
        Matrix { values: &self.values, rows, columns: self.columns, steps: [self.pitch, 1] }
    }

    pub(crate) fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.pitch..][..self.columns]
    }

    pub(crate) fn row_mut(&mut self, row: usize) -> &mut [f32] {
        &mut self.values[row * self.pitch..][..self.columns]
    }
}

fn scaled(values: &mut [f32], scale: f32) {
    if scale != 1.0 {
        vectorised(
            #[inline(always)]
            || values.iter_mut().for_each(|value| *value *= scale),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small integers, so that sums are exact.
    fn value(row: usize, column: usize) -> f32 {
        ((row * 7 + column * 3) % 11) as f32 - 5.0
    }

    #[test]
    fn a_product_is_the_sum_over_the_terms() {
        for [rows, terms, columns] in [[1, 1, 1], [9, 5, 17], [33, 300, 70], [100, 64, 257], [3, 2000, 48]] {
            let all = |rows: usize, columns: usize, skip: usize| -> Vec<f32> {
                (0..rows * columns).map(|at| value(at / columns + skip, at % columns)).collect()
            };
            let (a, b) = (all(rows, terms, 0), all(terms, columns, 1));
            let exact = |row: usize, column: usize| -> f32 {
                (0..terms).map(|term| a[row * terms + term] * b[term * columns + column]).sum()
            };
            let (mut panel, mut block, mut found) = (Panel::default(), Block::default(), Block::default());
            panel.fill(Matrix::of(&a, rows, terms), 2.0);
            block.fill(Matrix::of(&b, terms, columns), 0.5);
            panel.times(&block, &mut found, false);
            for row in 0..rows {
                let exact: Vec<f32> = (0..columns).map(|column| exact(row, column)).collect();
                assert_eq!(found.row(row), exact);
            }
            panel.times(&block, &mut found, true);
            assert_eq!(found.row(rows - 1)[columns - 1], 2.0 * exact(rows - 1, columns - 1));
            // What was found is a factor again, turned.
            let (turned, before) = (found.matrix(rows).transposed(), found.row(rows - 1).to_vec());
            panel.fill(turned, 1.0);
            block.fill(Matrix::of(&vec![1.0; rows], rows, 1), 1.0);
            let mut sums = Block::default();
            panel.times(&block, &mut sums, false);
            let all: f32 = (0..rows).map(|row| found.row(row)[columns - 1]).sum();
            assert_eq!((sums.row(columns - 1)[0], before.len()), (all, columns));
        }
    }
}
