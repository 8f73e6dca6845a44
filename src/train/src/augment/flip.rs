//! Mirror images, exact.

use dygl::data::prepare::Resized;

/// Left becomes right.
pub(super) fn horizontal(image: &mut Resized) {
    let size = image.size;
    for row in image.rgb.chunks_exact_mut(3 * size) {
        row.as_chunks_mut::<3>().0.reverse();
    }
    image.mask.chunks_exact_mut(size).for_each(<[u8]>::reverse);
}

/// Top becomes bottom.
pub(super) fn vertical(image: &mut Resized) {
    let size = image.size;
    rows_reversed(&mut image.rgb, 3 * size);
    rows_reversed(&mut image.mask, size);
}

fn rows_reversed(bytes: &mut [u8], row: usize) {
    let rows = bytes.len() / row;
    for y in 0..rows / 2 {
        let (top, bottom) = bytes.split_at_mut((rows - 1 - y) * row);
        top[y * row..(y + 1) * row].swap_with_slice(&mut bottom[..row]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Resized {
        Resized { size: 3, rgb: (0..27).collect(), mask: (0..9).collect() }
    }

    #[test]
    fn flips_are_exact_and_their_own_inverse() {
        let mut flipped = image();
        horizontal(&mut flipped);
        assert_eq!(flipped.mask, [2, 1, 0, 5, 4, 3, 8, 7, 6]);
        assert_eq!(flipped.rgb[..9], [6, 7, 8, 3, 4, 5, 0, 1, 2]);
        horizontal(&mut flipped);
        assert_eq!(flipped, image());
        vertical(&mut flipped);
        assert_eq!(flipped.mask, [6, 7, 8, 3, 4, 5, 0, 1, 2]);
        assert_eq!(flipped.rgb[..3], [18, 19, 20]);
        vertical(&mut flipped);
        assert_eq!(flipped, image());
    }
}
