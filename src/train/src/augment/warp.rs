//! Resampling through a map of positions.

use dygl::data::prepare::Resized;

/// Replaces each pixel by the one at `source(x, y)` (pixel coordinates, centres
/// at whole numbers): bilinear for the image, nearest for the mask. Beyond the
/// border the image is mirrored without repeating the edge pixel (OpenCV's
/// BORDER_REFLECT_101).
pub(super) fn warp(image: &mut Resized, source: impl Fn(usize, usize) -> (f32, f32)) {
    let size = image.size;
    let mut rgb = vec![0; image.rgb.len()];
    let mut mask = vec![0; image.mask.len()];
    for y in 0..size {
        for x in 0..size {
            let (u, v) = source(x, y);
            let place = y * size + x;
            let near = reflect(v.round() as i64, size) * size + reflect(u.round() as i64, size);
            mask[place] = image.mask[near];
            let (left, top) = (u.floor(), v.floor());
            let (wx, wy) = (u - left, v - top);
            let (x0, x1) = (reflect(left as i64, size), reflect(left as i64 + 1, size));
            let (y0, y1) = (reflect(top as i64, size), reflect(top as i64 + 1, size));
            for channel in 0..3 {
                let at = |x: usize, y: usize| f32::from(image.rgb[3 * (y * size + x) + channel]);
                let upper = at(x0, y0) + (at(x1, y0) - at(x0, y0)) * wx;
                let lower = at(x0, y1) + (at(x1, y1) - at(x0, y1)) * wx;
                rgb[3 * place + channel] = (upper + (lower - upper) * wy).round() as u8;
            }
        }
    }
    image.rgb = rgb;
    image.mask = mask;
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
        let mut image = original.clone();
        warp(&mut image, |x, y| (x as f32, y as f32));
        assert_eq!(image, original);
        warp(&mut image, |x, y| (x as f32 + 0.5, y as f32));
        assert_eq!(image.rgb[..3], [50, 25, 5]);
    }
}
