//! Resampling through a map of positions.

use dygl::data::prepare::Resized;
use dygl::data::resize::byte;
use dygl::spec::protocol::Border;

/// Replaces each pixel by the one at a position of its own: `place(y, us, vs)`
/// writes the positions of row `y` (pixel coordinates, centres at whole
/// numbers): bilinear for the image, nearest for the mask. A tap beyond the
/// border finds what `border` says.
pub(super) fn warp(
    image: &mut Resized,
    border: Border,
    mut place: impl FnMut(usize, &mut [f32], &mut [f32]),
) {
    let size = image.size;
    let mut rgb = vec![0; image.rgb.len()];
    let mut mask = vec![0; image.mask.len()];
    let (mut us, mut vs) = (vec![0.0; size], vec![0.0; size]);
    let rows = rgb.chunks_exact_mut(3 * size).zip(mask.chunks_exact_mut(size));
    for (y, (rgb, mask)) in rows.enumerate() {
        place(y, &mut us, &mut vs);
        let positions = us.iter().zip(&vs);
        for ((pixel, grey), (u, v)) in rgb.chunks_exact_mut(3).zip(mask).zip(positions) {
            let (left, top) = (floor(*u), floor(*v));
            let (wx, wy) = (*u - left as f32, *v - top as f32);
            let corners = inside(image, left, top).unwrap_or_else(|| outside(image, left, top, border));
            for (channel, value) in pixel.iter_mut().enumerate() {
                let [a, b, c, d] = corners.map(|corner| f32::from(corner[channel]));
                let (upper, lower) = (a + (b - a) * wx, c + (d - c) * wx);
                *value = byte(upper + (lower - upper) * wy);
            }
            *grey = nearest(image, floor(*u + 0.5), floor(*v + 0.5), border);
        }
    }
    image.rgb = rgb;
    image.mask = mask;
}

/// `f32::floor` is a call into the C library on processors without SSE 4.1.
#[inline]
fn floor(value: f32) -> i32 {
    let cut = value as i32;
    cut.wrapping_sub(i32::from(value < cut as f32))
}

/// A pixel and its neighbours right, below and diagonal, all in the image.
#[inline]
fn inside(image: &Resized, left: i32, top: i32) -> Option<[[u8; 3]; 4]> {
    let last = image.size as i32 - 1;
    if left < 0 || top < 0 || left >= last || top >= last {
        return None;
    }
    let start = 3 * (top as usize * image.size + left as usize);
    let upper = image.rgb.get(start..start + 6)?;
    let lower = image.rgb.get(start + 3 * image.size..start + 3 * image.size + 6)?;
    Some([
        [upper[0], upper[1], upper[2]],
        [upper[3], upper[4], upper[5]],
        [lower[0], lower[1], lower[2]],
        [lower[3], lower[4], lower[5]],
    ])
}

/// The same where some lie beyond the border.
#[cold]
fn outside(image: &Resized, left: i32, top: i32, border: Border) -> [[u8; 3]; 4] {
    [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(right, below)| {
        let Some(place) = resolve(left.saturating_add(right), top.saturating_add(below), image.size, border)
        else {
            return [0; 3];
        };
        [image.rgb[3 * place], image.rgb[3 * place + 1], image.rgb[3 * place + 2]]
    })
}

#[inline]
fn nearest(image: &Resized, x: i32, y: i32, border: Border) -> u8 {
    let size = image.size as i32;
    if (0..size).contains(&x) && (0..size).contains(&y) {
        return image.mask[y as usize * image.size + x as usize];
    }
    resolve(x, y, image.size, border).map_or(0, |place| image.mask[place])
}

/// The pixel that stands for a position; none where that is nothing.
fn resolve(x: i32, y: i32, size: usize, border: Border) -> Option<usize> {
    let axis = |at: i32| match border {
        Border::Reflect => Some(reflect(i64::from(at), size)),
        Border::Zero => usize::try_from(at).ok().filter(|at| *at < size),
    };
    Some(axis(y)? * size + axis(x)?)
}

/// `... 2 1 | 0 1 2 ... n-1 | n-2 n-3 ...`
pub(super) fn reflect(at: i64, size: usize) -> usize {
    if size == 1 {
        return 0;
    }
    let last = size as i64 - 1;
    let folded = at.rem_euclid(2 * last);
    (if folded > last { 2 * last - folded } else { folded }) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Moves by a vector.
    fn shifted(image: &Resized, du: f32, dv: f32, border: Border) -> Resized {
        let mut image = image.clone();
        warp(&mut image, border, |y, us, vs| {
            vs.fill(y as f32 + dv);
            us.iter_mut().enumerate().for_each(|(x, u)| *u = x as f32 + du);
        });
        image
    }

    #[test]
    fn borders_are_mirrored_without_the_edge_pixel() {
        let folded: Vec<usize> = (-4..8).map(|at| reflect(at, 4)).collect();
        assert_eq!(folded, [2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1]);
        assert_eq!(reflect(-7, 1), 0);
    }

    #[test]
    fn the_identity_changes_nothing_and_halves_are_means() {
        let original = Resized {
            size: 2,
            rgb: vec![0, 0, 0, 100, 50, 10, 0, 0, 0, 100, 50, 10],
            mask: vec![0, 255, 0, 255],
        };
        assert_eq!(shifted(&original, 0.0, 0.0, Border::Reflect), original);
        assert_eq!(shifted(&original, 0.5, 0.0, Border::Reflect).rgb[..3], [50, 25, 5]);
    }

    #[test]
    fn beyond_the_border_lies_a_mirror_or_nothing() {
        let original = Resized { size: 3, rgb: (1..28).collect(), mask: (1..10).collect() };
        let mirrored = shifted(&original, -1.0, 0.0, Border::Reflect);
        assert_eq!(mirrored.mask, [2, 1, 2, 5, 4, 5, 8, 7, 8]);
        assert_eq!(mirrored.rgb[..6], [4, 5, 6, 1, 2, 3]);
        let black = shifted(&original, -1.0, 2.0, Border::Zero);
        assert_eq!(black.mask, [0, 7, 8, 0, 0, 0, 0, 0, 0]);
        assert_eq!(black.rgb[..6], [0, 0, 0, 19, 20, 21]);
        // Half of a pixel and half of nothing.
        assert_eq!(shifted(&original, 0.0, 2.5, Border::Zero).rgb[..3], [10, 10, 10]);
        // Far beyond any image.
        let far = shifted(&original, 1e30, -1e30, Border::Reflect);
        assert!(far.mask.iter().all(|value| (1..10).contains(value)));
        assert_eq!(shifted(&original, 1e30, f32::NAN, Border::Zero).mask, [0; 9]);
    }

    #[test]
    fn floors_are_those_of_the_library() {
        for value in [-2.5_f32, -2.0, -0.1, -0.0, 0.0, 0.9, 1.0, 223.999] {
            assert_eq!(floor(value), value.floor() as i32, "{value}");
        }
    }
}
