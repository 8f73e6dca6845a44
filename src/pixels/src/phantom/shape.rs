//! Outlines of lesions, and the small geometry that scenes share.
//!
//! Angles appear as unit vectors only: with no sine or cosine the outlines
//! have the same bits on every machine.

use dygl_base::random::Stream;

/// A point or direction in the unit square, y downwards.
pub(super) type Vector = [f64; 2];

/// A direction, uniform on the circle.
pub(super) fn direction(stream: &mut Stream) -> Vector {
    loop {
        let (x, y) = (stream.range(-1.0, 1.0), stream.range(-1.0, 1.0));
        let square = x * x + y * y;
        if (0.01..=1.0).contains(&square) {
            let length = square.sqrt();
            return [x / length, y / length];
        }
    }
}

/// Rises smoothly from 0 at `low` to 1 at `high`.
pub(super) fn smoothstep(low: f64, high: f64, t: f64) -> f64 {
    let t = ((t - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

pub(super) fn distance(a: Vector, b: Vector) -> f64 {
    let (x, y) = (a[0] - b[0], a[1] - b[1]);
    (x * x + y * y).sqrt()
}

/// `count` directions, evenly round the circle from a random one on. (The
/// turn comes from the tangent of its half, so no sine is needed.)
pub(super) fn round(stream: &mut Stream, count: usize) -> impl Iterator<Item = Vector> + use<> {
    let half = std::f64::consts::PI / count.max(3) as f64;
    let tangent = half * (1.0 + half * half / 3.0);
    let whole = 1.0 + tangent * tangent;
    let (cos, sin) = ((1.0 - tangent * tangent) / whole, 2.0 * tangent / whole);
    std::iter::successors(Some(direction(stream)), move |[x, y]| Some([x * cos - y * sin, x * sin + y * cos]))
        .take(count)
}

/// How far a point is from a straight piece between two others.
pub(super) fn from_piece(at: Vector, a: Vector, b: Vector) -> f64 {
    let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
    let t = (((at[0] - a[0]) * dx + (at[1] - a[1]) * dy) / (dx * dx + dy * dy).max(1e-12)).clamp(0.0, 1.0);
    distance(at, [a[0] + dx * t, a[1] + dy * t])
}

/// A closed outline around a centre: the radius is a Fourier series of the
/// angle, stretched to an ellipse. Star-shaped, so never crossing itself.
#[derive(Debug, Clone)]
pub(super) struct Outline {
    pub centre: Vector,
    /// Mean radius before the stretch.
    pub radius: f64,
    axis: Vector,
    /// Length over breadth, at least 1.
    stretch: f64,
    /// Harmonics 2, 3, ...: cosine and sine amplitude.
    harmonics: Vec<Vector>,
}

/// A point as an outline sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Distance inside the outline, about; negative outside.
    pub depth: f64,
    /// Direction from the centre.
    pub away: Vector,
}

impl Outline {
    /// An outline whose lobes grow with `roughness` (0: ellipse, 1: ragged).
    pub(super) fn draw(stream: &mut Stream, centre: Vector, radius: f64, roughness: f64) -> Self {
        let axis = direction(stream);
        let stretch = stream.range(1.0, 1.5);
        Self::along(stream, centre, radius, roughness, (axis, stretch))
    }

    /// The same with its long axis and its length over breadth given.
    pub(super) fn along(
        stream: &mut Stream,
        centre: Vector,
        radius: f64,
        roughness: f64,
        (axis, stretch): (Vector, f64),
    ) -> Self {
        let harmonics = (2..=8)
            .map(|order| {
                let [x, y] = direction(stream);
                let amplitude = roughness * stream.range(0.1, 0.5) / f64::from(order);
                [x * amplitude, y * amplitude]
            })
            .collect();
        Self { centre, radius, axis, stretch, harmonics }
    }

    pub(super) fn place(&self, at: Vector) -> Place {
        let (dx, dy) = (at[0] - self.centre[0], at[1] - self.centre[1]);
        // Along and across the long axis, brought back to a circle of equal area.
        let root = self.stretch.sqrt();
        let (x, y) =
            ((dx * self.axis[0] + dy * self.axis[1]) / root, (dy * self.axis[0] - dx * self.axis[1]) * root);
        let length = (x * x + y * y).sqrt().max(1e-9);
        let rim = self.rim([x / length, y / length]);
        let reach = (dx * dx + dy * dy).sqrt().max(1e-9);
        Place { depth: rim - length, away: [dx / reach, dy / reach] }
    }

    /// Radius in a direction, before the stretch.
    fn rim(&self, [cos, sin]: Vector) -> f64 {
        let (mut c, mut s) = (cos, sin);
        let mut radius = 1.0;
        for [a, b] in &self.harmonics {
            // The next power of (cos + i sin).
            (c, s) = (c * cos - s * sin, c * sin + s * cos);
            radius += a * c + b * s;
        }
        self.radius * radius.max(0.3)
    }

    /// The point at a depth, seen from the centre in a direction (before the
    /// stretch).
    pub(super) fn point(&self, towards: Vector, depth: f64) -> Vector {
        let length = (self.rim(towards) - depth).max(0.0);
        let root = self.stretch.sqrt();
        let (x, y) = (towards[0] * length * root, towards[1] * length / root);
        let [cos, sin] = self.axis;
        [self.centre[0] + x * cos - y * sin, self.centre[1] + x * sin + y * cos]
    }

    /// Distance of the outline from the centre in a direction of the plane, about.
    pub(super) fn extent(&self, [dx, dy]: Vector) -> f64 {
        let root = self.stretch.sqrt();
        let (x, y) =
            ((dx * self.axis[0] + dy * self.axis[1]) / root, (dy * self.axis[0] - dx * self.axis[1]) * root);
        let length = (x * x + y * y).sqrt().max(1e-9);
        self.rim([x / length, y / length]) / length
    }

    /// Direction of the long axis.
    pub(super) fn axis(&self) -> Vector {
        self.axis
    }

    /// No point of the outline is farther from the centre.
    pub(super) fn reach(&self) -> f64 {
        let lobes: f64 = self.harmonics.iter().map(|[a, b]| (a * a + b * b).sqrt()).sum();
        self.radius * (1.0 + lobes) * self.stretch.sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_smooth_outline_has_the_area_of_its_circle() {
        let outline = Outline::draw(&mut Stream::new(2, "outline", &[]), [0.5, 0.5], 0.2, 0.0);
        let n = 400;
        let inside = (0..n * n)
            .filter(|i| {
                let at = [f64::from(i % n) / f64::from(n), f64::from(i / n) / f64::from(n)];
                outline.place(at).depth > 0.0
            })
            .count();
        let area = inside as f64 / f64::from(n * n);
        assert!((area - std::f64::consts::PI * 0.04).abs() < 0.001, "{area}");
    }

    #[test]
    fn points_of_an_outline_have_their_depth_and_stay_within_reach() {
        let mut stream = Stream::new(5, "outline", &[]);
        for _ in 0..20 {
            let outline = Outline::draw(&mut stream, [0.4, 0.6], 0.2, 0.8);
            for towards in round(&mut stream, 12) {
                for depth in [-0.01, 0.0, 0.03] {
                    let at = outline.point(towards, depth);
                    assert!((outline.place(at).depth - depth).abs() < 1e-9);
                    assert!(distance(at, outline.centre) <= outline.reach() + 0.02);
                }
            }
        }
    }

    #[test]
    fn directions_go_once_round() {
        let all: Vec<Vector> = round(&mut Stream::new(6, "round", &[]), 30).collect();
        let step = distance(all[0], all[1]);
        assert!((distance(all[29], all[0]) / step - 1.0).abs() < 0.02 && all.len() == 30);
        assert_eq!(from_piece([0.5, 0.3], [0.0, 0.0], [1.0, 0.0]), 0.3);
        assert_eq!(from_piece([2.0, 0.0], [0.0, 0.0], [1.0, 0.0]), 1.0);
    }

    #[test]
    fn directions_have_length_one() {
        let mut stream = Stream::new(3, "direction", &[]);
        for _ in 0..100 {
            let [x, y] = direction(&mut stream);
            assert!((x * x + y * y - 1.0).abs() < 1e-12);
        }
    }
}
