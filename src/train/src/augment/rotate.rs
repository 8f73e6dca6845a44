//! Rotation about the centre.

use dygl::data::prepare::Resized;
use dygl::random::Stream;
use dygl::spec::protocol::Rotate;

use super::warp::warp;

/// Turns by an angle uniform in [-degrees, degrees], positive counter-clockwise.
pub(super) fn rotate(image: &mut Resized, rotate: &Rotate, mut stream: Stream) {
    if !stream.chance(rotate.probability) {
        return;
    }
    turn(image, stream.range(-rotate.degrees, rotate.degrees));
}

fn turn(image: &mut Resized, degrees: f64) {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let centre = (image.size as f64 - 1.0) / 2.0;
    warp(image, |x, y| {
        let (dx, dy) = (x as f64 - centre, y as f64 - centre);
        ((centre + cos * dx - sin * dy) as f32, (centre + sin * dx + cos * dy) as f32)
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_turn_is_exact() {
        let mut image =
            Resized { size: 2, rgb: vec![1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4], mask: vec![1, 2, 3, 4] };
        turn(&mut image, 90.0);
        // Counter-clockwise: the right column becomes the top row.
        assert_eq!(image.mask, [2, 4, 1, 3]);
        assert_eq!(image.rgb, [2, 2, 2, 4, 4, 4, 1, 1, 1, 3, 3, 3]);
    }
}
