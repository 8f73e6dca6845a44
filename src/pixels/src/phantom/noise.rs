//! Value noise: random values on square lattices, smoothly joined.
//!
//! Only additions, multiplications and comparisons of f64: the same bits on
//! every machine.

use dygl_base::random::Stream;

/// Octaves of value noise over the unit square, repeating beyond it.
#[derive(Debug, Clone)]
pub(super) struct Noise {
    octaves: Vec<Lattice>,
}

#[derive(Debug, Clone)]
struct Lattice {
    cells: usize,
    /// `cells * cells` values, scaled so that all octaves together stay in 0..1.
    values: Vec<f64>,
}

impl Noise {
    /// Noise whose first octave has `cells` cells a side; each further octave
    /// has twice as many and half the amplitude.
    pub(super) fn new(stream: &mut Stream, cells: usize, octaves: usize) -> Self {
        // 1 + 1/2 + 1/4 + ... of so many terms.
        let whole = (0..octaves).fold(0.0, |sum, _| sum * 0.5 + 1.0);
        let mut amplitude = 1.0 / whole;
        let octaves = (0..octaves)
            .map(|octave| {
                let cells = cells << octave;
                let values = (0..cells * cells).map(|_| stream.unit() * amplitude).collect();
                amplitude *= 0.5;
                Lattice { cells, values }
            })
            .collect();
        Self { octaves }
    }

    /// The value at a point, in 0..1 with mean 0.5.
    pub(super) fn at(&self, u: f64, v: f64) -> f64 {
        self.octaves.iter().map(|lattice| lattice.at(u, v)).sum()
    }

    /// 1 on the level line 0.5, falling to 0 at a distance of `width` in value.
    pub(super) fn ridge(&self, u: f64, v: f64, width: f64) -> f64 {
        (1.0 - (self.at(u, v) - 0.5).abs() / width).max(0.0)
    }
}

impl Lattice {
    fn at(&self, u: f64, v: f64) -> f64 {
        let (x0, x1, fx) = self.place(u);
        let (y0, y1, fy) = self.place(v);
        let value = |x: usize, y: usize| self.values[y * self.cells + x];
        let top = value(x0, y0) + (value(x1, y0) - value(x0, y0)) * fx;
        let bottom = value(x0, y1) + (value(x1, y1) - value(x0, y1)) * fx;
        top + (bottom - top) * fy
    }

    /// Both neighbours along one axis and the eased way between them.
    fn place(&self, t: f64) -> (usize, usize, f64) {
        let scaled = t * self.cells as f64;
        let floor = scaled.floor();
        let cell = (floor as i64).rem_euclid(self.cells as i64) as usize;
        let f = scaled - floor;
        (cell, (cell + 1) % self.cells, f * f * (3.0 - 2.0 * f))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_bounded_continuous_and_repeats() {
        let noise = Noise::new(&mut Stream::new(1, "noise", &[]), 4, 3);
        let mut previous = noise.at(0.0, 0.3);
        for step in 1..=1000 {
            let value = noise.at(f64::from(step) / 1000.0, 0.3);
            assert!((0.0..1.0).contains(&value) && (value - previous).abs() < 0.05);
            previous = value;
        }
        assert!((noise.at(1.25, -0.5) - noise.at(0.25, 0.5)).abs() < 1e-12);
    }
}
