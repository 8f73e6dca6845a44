//! Many small shapes, and quickly those near a point.

use super::shape::Vector;

/// Cells along each side of the unit square.
const CELLS: usize = 48;

/// Shapes in the order in which they were given, sorted into the cells of a
/// lattice that their surroundings touch.
#[derive(Debug)]
pub(super) struct Grid<T> {
    shapes: Vec<T>,
    cells: Vec<Vec<usize>>,
}

impl<T> Grid<T> {
    /// `extent` gives the centre of a shape and the radius beyond which it
    /// changes nothing.
    pub(super) fn new(shapes: Vec<T>, extent: impl Fn(&T) -> (Vector, f64)) -> Self {
        let mut cells = vec![Vec::new(); CELLS * CELLS];
        for (place, shape) in shapes.iter().enumerate() {
            let ([x, y], reach) = extent(shape);
            for row in cell(y - reach)..=cell(y + reach) {
                for column in cell(x - reach)..=cell(x + reach) {
                    cells[row * CELLS + column].push(place);
                }
            }
        }
        Self { shapes, cells }
    }

    /// Every shape that may matter at a point of the unit square, in order.
    pub(super) fn near(&self, at: Vector) -> impl Iterator<Item = &T> {
        self.cells[cell(at[1]) * CELLS + cell(at[0])].iter().map(|place| &self.shapes[*place])
    }
}

/// The cell that a coordinate falls into; what lies outside goes to the rim.
fn cell(t: f64) -> usize {
    ((t * CELLS as f64).floor().max(0.0) as usize).min(CELLS - 1)
}

#[cfg(test)]
mod tests {
    use dygl_base::random::Stream;

    use super::super::shape::distance;
    use super::*;

    #[test]
    fn nothing_that_reaches_a_point_is_left_out() {
        let mut stream = Stream::new(4, "grid", &[]);
        let discs: Vec<(Vector, f64)> = (0..200)
            .map(|_| ([stream.range(-0.1, 1.1), stream.range(-0.1, 1.1)], stream.range(0.0, 0.1)))
            .collect();
        let grid = Grid::new(discs.clone(), |disc| *disc);
        for _ in 0..500 {
            let at = [stream.unit(), stream.unit()];
            let covers = |disc: &&(Vector, f64)| distance(at, disc.0) <= disc.1;
            let all: Vec<_> = discs.iter().filter(covers).collect();
            assert_eq!(grid.near(at).filter(covers).collect::<Vec<_>>(), all);
            assert!(grid.near(at).count() < 60);
        }
    }
}
