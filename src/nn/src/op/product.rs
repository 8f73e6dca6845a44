//! Products of small matrices on the host, of the tiles that convolutions use.

use super::tile::{SLACK, sweep, tile_rows, whole_vectors};

/// One factor of a product that fits the cache: rows interleaved in tiles.
#[derive(Debug, Default)]
pub(crate) struct Panel {
    values: Vec<f32>,
    rows: usize,
    terms: usize,
}

impl Panel {
    /// Takes in the matrix a(row, term).
    pub(crate) fn fill(&mut self, rows: usize, terms: usize, a: impl Fn(usize, usize) -> f32) {
        let tile = tile_rows();
        (self.rows, self.terms) = (rows, terms);
        self.values.clear();
        self.values.resize(rows.next_multiple_of(tile) * terms, 0.0);
        for row in 0..rows {
            let panel = &mut self.values[row / tile * terms * tile..];
            let lane = panel.iter_mut().skip(row % tile).step_by(tile);
            lane.take(terms).enumerate().for_each(|(term, value)| *value = a(row, term));
        }
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

    /// Takes in the matrix b(row, column).
    pub(crate) fn fill(&mut self, rows: usize, columns: usize, b: impl Fn(usize, usize) -> f32) {
        self.shape(rows, columns);
        for row in 0..rows {
            let line = self.row_mut(row);
            line.iter_mut().enumerate().for_each(|(column, value)| *value = b(row, column));
        }
    }

    pub(crate) fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.pitch..][..self.columns]
    }

    pub(crate) fn row_mut(&mut self, row: usize) -> &mut [f32] {
        &mut self.values[row * self.pitch..][..self.columns]
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
            let exact = |row: usize, column: usize| -> f32 {
                (0..terms).map(|term| value(row, term) * value(term + 1, column)).sum()
            };
            let (mut panel, mut block, mut found) = (Panel::default(), Block::default(), Block::default());
            panel.fill(rows, terms, value);
            block.fill(terms, columns, |term, column| value(term + 1, column));
            panel.times(&block, &mut found, false);
            for row in 0..rows {
                let exact: Vec<f32> = (0..columns).map(|column| exact(row, column)).collect();
                assert_eq!(found.row(row), exact);
            }
            panel.times(&block, &mut found, true);
            assert_eq!(found.row(rows - 1)[columns - 1], 2.0 * exact(rows - 1, columns - 1));
        }
    }
}
