//! Matrices as they lie in memory, and how tiles get them: some of their rows or
//! columns side by side.

use super::tile::{LEAST_ROWS, MOST_ROWS, tile_rows};
use crate::vector::vectorised;

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

    /// `rows` rows from `first` on.
    pub(crate) fn some(self, first: usize, rows: usize) -> Self {
        let values = self.values.get(first * self.steps[0]..).unwrap_or_default();
        Self { values, rows, ..self }
    }

    pub(crate) fn at(&self, row: usize, column: usize) -> f32 {
        self.values[row * self.steps[0] + column * self.steps[1]]
    }

    /// N rows from `first` on, `count` values of each from `start` on, of a matrix
    /// whose rows lie in one piece.
    #[inline(always)]
    fn lines<const N: usize>(self, first: usize, start: usize, count: usize) -> [&'a [f32]; N] {
        let mut lines: [&[f32]; N] = [&[]; N];
        for (n, line) in lines.iter_mut().enumerate() {
            *line = &self.values[(first + n) * self.steps[0] + start..][..count];
        }
        lines
    }

    /// Puts `count` rows from `first` on side by side, `[term][row]`, for the terms
    /// from `start` on; zeros in place of rows that are missing.
    #[inline(always)]
    pub(super) fn interleave<const M: usize>(
        self,
        first: usize,
        count: usize,
        start: usize,
        panel: &mut [[f32; M]],
    ) {
        match self.steps {
            [1, right] if count == M => {
                for (term, to) in panel.iter_mut().enumerate() {
                    to.copy_from_slice(&self.values[first + (start + term) * right..][..M]);
                }
            }
            [_, 1] if count == M => {
                let from = self.lines::<M>(first, start, panel.len());
                for (term, to) in panel.iter_mut().enumerate() {
                    for m in 0..M {
                        to[m] = from[m][term];
                    }
                }
            }
            _ => {
                for (term, to) in panel.iter_mut().enumerate() {
                    to.fill(0.0);
                    for (row, to) in to.iter_mut().enumerate().take(count) {
                        *to = self.at(first + row, start + term);
                    }
                }
            }
        }
    }

    /// Brings all rows side by side, as many as a tile has in each panel:
    /// `[panel][term][row]`, zeros in place of rows that are missing.
    pub(super) fn panels(self, panels: &mut [f32]) {
        match tile_rows() {
            MOST_ROWS => self.panels_of::<MOST_ROWS>(panels),
            _ => self.panels_of::<LEAST_ROWS>(panels),
        }
    }

    fn panels_of<const M: usize>(self, panels: &mut [f32]) {
        debug_assert_eq!(M, tile_rows());
        vectorised(
            #[inline(always)]
            || {
                for (index, panel) in panels.chunks_exact_mut((M * self.columns).max(1)).enumerate() {
                    let first = index * M;
                    let panel = panel.as_chunks_mut::<M>().0;
                    self.interleave(first, M.min(self.rows - first), 0, panel);
                }
            },
        );
    }

    /// Puts `count` columns from `first` on side by side, row behind row with `width`
    /// values each; zeros behind the last column.
    #[inline(always)]
    pub(super) fn side_by_side(self, first: usize, count: usize, width: usize, to: &mut [f32]) {
        /// Columns that are read at a time where each lies in one piece.
        const SIDE: usize = 4;
        let [down, right] = self.steps;
        if right == 1 {
            for (row, to) in to.chunks_exact_mut(width).take(self.rows).enumerate() {
                to[..count].copy_from_slice(&self.values[row * down + first..][..count]);
                to[count..].fill(0.0);
            }
            return;
        }
        if count < width {
            to.fill(0.0);
        }
        let whole = if down == 1 { count / SIDE * SIDE } else { 0 };
        for column in (0..whole).step_by(SIDE) {
            let from = self.transposed().lines::<SIDE>(first + column, 0, self.rows);
            for (row, to) in to.chunks_exact_mut(width).take(self.rows).enumerate() {
                let to = &mut to[column..][..SIDE];
                for side in 0..SIDE {
                    to[side] = from[side][row];
                }
            }
        }
        for column in whole..count {
            for (row, to) in to.chunks_exact_mut(width).take(self.rows).enumerate() {
                to[column] = self.at(row, first + column);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A matrix of 7 rows and 9 columns three times: by rows, by columns, with holes.
    fn layouts(values: &[f32; 300]) -> [Matrix<'_>; 3] {
        [[9, 1], [1, 7], [30, 2]].map(|steps| Matrix { values, rows: 7, columns: 9, steps })
    }

    #[test]
    fn rows_and_columns_come_side_by_side_however_they_lie() {
        let values = std::array::from_fn(|i| i as f32 + 1.0);
        for matrix in layouts(&values) {
            for (first, count) in [(0, 4), (3, 4), (4, 3), (6, 1)] {
                let mut panel = [[f32::NAN; 4]; 5];
                matrix.interleave(first, count, 2, &mut panel);
                for (term, rows) in panel.iter().enumerate() {
                    for (row, value) in rows.iter().enumerate() {
                        let want = if row < count { matrix.at(first + row, 2 + term) } else { 0.0 };
                        assert_eq!(*value, want, "{matrix:?}");
                    }
                }
            }
            for (first, count, width) in [(0, 9, 9), (0, 8, 10), (3, 6, 6), (8, 1, 4)] {
                let mut to = vec![f32::NAN; 7 * width];
                matrix.side_by_side(first, count, width, &mut to);
                for (at, value) in to.iter().enumerate() {
                    let (row, column) = (at / width, at % width);
                    let want = if column < count { matrix.at(row, first + column) } else { 0.0 };
                    assert_eq!(*value, want, "{matrix:?}");
                }
            }
        }
    }
}
