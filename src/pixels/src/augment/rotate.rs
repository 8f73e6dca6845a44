//! Rotation about the centre.

use dygl_base::random::Stream;
use dygl_base::vector::vectorised;
use dygl_spec::protocol::{Border, Rotate};

use super::canvas::Canvas;
use super::warp::{Row, warp};

/// An angle uniform in [-degrees, degrees].
pub(super) fn draw(rotate: &Rotate, mut stream: Stream) -> Option<f64> {
    stream.chance(rotate.probability).then(|| stream.range(-rotate.degrees, rotate.degrees))
}

/// Calls `each` with the rows of the image, turned counter-clockwise about the
/// middle of the pixel grid, `(size - 1) / 2`.
pub(super) fn apply(
    canvas: &mut Canvas,
    degrees: f64,
    border: Border,
    row: &mut Row,
    each: impl FnMut(usize, &[u32]),
) {
    let (sin, cos) = libm::sincos(degrees.to_radians());
    let centre = (canvas.size() as f64 - 1.0) / 2.0;
    let place = |y: usize, us: &mut [f32], vs: &mut [f32]| {
        let dy = y as f64 - centre;
        let (u, v) = (centre - sin * dy, centre + cos * dy);
        vectorised(
            #[inline(always)]
            || {
                let size = us.len();
                let vs = &mut vs[..size];
                for x in 0..size {
                    // Through 32 bits, which vectors turn into floats.
                    let dx = f64::from(x as i32) - centre;
                    us[x] = (u + cos * dx) as f32;
                    vs[x] = (v + sin * dx) as f32;
                }
            },
        );
    };
    warp(canvas, border, row, place, each);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_turn_is_exact() {
        let mut canvas = Canvas::new(2);
        canvas.set_row(0, &[1, 2]);
        canvas.set_row(1, &[3, 4]);
        let mut turned = Vec::new();
        apply(&mut canvas, 90.0, Border::Reflect, &mut Row::new(2), |_, row| turned.extend_from_slice(row));
        // Counter-clockwise: the right column becomes the top row.
        assert_eq!(turned, [2, 4, 1, 3]);
    }
}
