//! How many lesions a scene holds, how large, and where.

use dygl_base::random::Stream;

use super::shape::{Outline, Vector};

/// Share of scenes without any lesion.
const EMPTY: f64 = 0.05;
/// Share of scenes whose lesion covers about 2 % of the area or less.
const SMALL: f64 = 0.15;
/// Share of scenes with a second lesion.
const SECOND: f64 = 0.15;

/// The outlines of a scene: none, one or two, not overlapping and with their
/// centres within `reach` of the middle.
pub(super) fn draw(stream: &mut Stream, reach: f64, roughness: (f64, f64)) -> Vec<Outline> {
    let (empty, small, second) = (stream.chance(EMPTY), stream.chance(SMALL), stream.chance(SECOND));
    if empty {
        return Vec::new();
    }
    let radius = if small { stream.range(0.04, 0.075) } else { stream.range(0.1, 0.27) };
    let rough = stream.range(roughness.0, roughness.1);
    let centre = centre(stream, reach - radius * 0.5);
    let mut outlines = vec![Outline::draw(stream, centre, radius, rough)];
    if second {
        let radius = stream.range(0.05, 0.11);
        // A few tries to find room; without room there is one lesion.
        for _ in 0..8 {
            let at = self::centre(stream, reach - radius);
            if super::shape::distance(at, centre) > 1.5 * (radius + outlines[0].radius) {
                outlines.push(Outline::draw(stream, at, radius, rough));
                break;
            }
        }
    }
    outlines
}

fn centre(stream: &mut Stream, reach: f64) -> Vector {
    [0.5 + stream.range(-reach, reach), 0.5 + stream.range(-reach, reach)]
}
