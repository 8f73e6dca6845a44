//! Rotation about the centre.

use dygl::data::prepare::Resized;
use dygl::random::Stream;
use dygl::spec::protocol::{Border, Rotate};

use super::warp::warp;

/// An angle uniform in [-degrees, degrees].
pub(super) fn draw(rotate: &Rotate, mut stream: Stream) -> Option<f64> {
    stream.chance(rotate.probability).then(|| stream.range(-rotate.degrees, rotate.degrees))
}

/// Turns counter-clockwise about the middle of the pixel grid, `(size - 1) / 2`.
pub(super) fn apply(image: &mut Resized, degrees: f64, border: Border) {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let centre = (image.size as f64 - 1.0) / 2.0;
    warp(image, border, |y, us, vs| {
        let dy = y as f64 - centre;
        let (u, v) = (centre - sin * dy, centre + cos * dy);
        for (x, (at_u, at_v)) in us.iter_mut().zip(vs).enumerate() {
            let dx = x as f64 - centre;
            *at_u = (u + cos * dx) as f32;
            *at_v = (v + sin * dx) as f32;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_turn_is_exact() {
        let mut image =
            Resized { size: 2, rgb: vec![1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4], mask: vec![1, 2, 3, 4] };
        apply(&mut image, 90.0, Border::Reflect);
        // Counter-clockwise: the right column becomes the top row.
        assert_eq!(image.mask, [2, 4, 1, 3]);
        assert_eq!(image.rgb, [2, 2, 2, 4, 4, 4, 1, 1, 1, 3, 3, 3]);
    }
}
