//! The image between two steps.

use dygl_spec::protocol::Border;

/// The margin is this share of the side: 32 pixels of 224, more than what a
/// rotation by 15 degrees (25) or the usual deformation reaches.
const MARGIN: usize = 7;

/// Packed pixels (`crate::resize::rows`), colours and mask in one number,
/// with a margin that shows what lies beyond the border.
#[derive(Debug)]
pub(super) struct Canvas {
    size: usize,
    margin: usize,
    pixels: Vec<u32>,
}

impl Canvas {
    pub(super) fn new(size: usize) -> Self {
        let margin = size / MARGIN;
        Self { size, margin, pixels: vec![0; (size + 2 * margin).pow(2)] }
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    pub(super) fn margin(&self) -> usize {
        self.margin
    }

    /// Side with both margins, pixels.
    pub(super) fn side(&self) -> usize {
        self.size + 2 * self.margin
    }

    /// All pixels, rows from the top, margins and all.
    pub(super) fn pixels(&self) -> &[u32] {
        &self.pixels
    }

    /// Sets row `y` of the image.
    pub(super) fn set_row(&mut self, y: usize, pixels: &[u32]) {
        let start = (y + self.margin) * self.side() + self.margin;
        self.pixels[start..start + self.size].copy_from_slice(pixels);
    }

    /// Fills the margin, once all rows are set.
    pub(super) fn surround(&mut self, border: Border) {
        let (size, margin, side) = (self.size, self.margin, self.side());
        for row in self.pixels.chunks_exact_mut(side).skip(margin).take(size) {
            let (left, rest) = row.split_at_mut(margin);
            let (image, right) = rest.split_at_mut(size);
            let mirrored = |pixel: u32| if border == Border::Reflect { pixel } else { 0 };
            left.iter_mut().rev().zip(image.iter().skip(1)).for_each(|(to, from)| *to = mirrored(*from));
            right.iter_mut().zip(image.iter().rev().skip(1)).for_each(|(to, from)| *to = mirrored(*from));
        }
        for distance in 1..=margin {
            let (top, bottom) = (margin, margin + size - 1);
            for (to, from) in [(top - distance, top + distance), (bottom + distance, bottom - distance)] {
                match border {
                    Border::Reflect => self.pixels.copy_within(from * side..(from + 1) * side, to * side),
                    Border::Zero => self.pixels[to * side..(to + 1) * side].fill(0),
                }
            }
        }
    }

    /// The pixel that a position shows, however far beyond the border.
    pub(super) fn look(&self, x: i32, y: i32, border: Border) -> u32 {
        let axis = |at: i32| match border {
            Border::Reflect => Some(reflect(i64::from(at), self.size)),
            Border::Zero => usize::try_from(at).ok().filter(|at| *at < self.size),
        };
        match (axis(x), axis(y)) {
            (Some(x), Some(y)) => self.pixels[(y + self.margin) * self.side() + self.margin + x],
            _ => 0,
        }
    }
}

/// `... 2 1 | 0 1 2 ... n-1 | n-2 n-3 ...`
pub(super) fn reflect(at: i64, size: usize) -> usize {
    if size == 1 {
        return 0;
    }
    let last = size as i64 - 1;
    // One fold, without a division, is all that most need.
    match at {
        0.. if at <= last => return at as usize,
        0.. if at <= 2 * last => return (2 * last - at) as usize,
        _ if (-last..0).contains(&at) => return -at as usize,
        _ => {}
    }
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
    fn the_margin_shows_what_a_look_beyond_the_border_finds() {
        for (size, border) in [(1, Border::Reflect), (15, Border::Reflect), (15, Border::Zero)] {
            let mut canvas = Canvas::new(size);
            // Of an image before this one.
            canvas.pixels.fill(99);
            for y in 0..size {
                let row: Vec<u32> = (0..size).map(|x| 1000 + (y * size + x) as u32).collect();
                canvas.set_row(y, &row);
            }
            canvas.surround(border);
            let (margin, side) = (canvas.margin() as i32, canvas.side() as i32);
            assert_eq!(margin, size as i32 / 7);
            for y in -margin..size as i32 + margin {
                for x in -margin..size as i32 + margin {
                    let shown = canvas.pixels()[((y + margin) * side + x + margin) as usize];
                    assert_eq!(shown, canvas.look(x, y, border), "{x} {y} {border:?}");
                }
            }
        }
    }
}
