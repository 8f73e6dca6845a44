//! Resampling through a map of positions.

use dygl_base::vector::vectorised;
use dygl_spec::protocol::Border;

use super::canvas::Canvas;
use crate::resize::byte;

/// Calls `each` with the rows of an image whose pixels each come from a
/// position of their own: `place(y, us, vs)` writes the positions of row `y`
/// (pixel coordinates, centres at whole numbers). The image is bilinear, the
/// mask nearest. A tap beyond the border finds what `border` says.
pub(super) fn warp(
    canvas: &mut Canvas,
    border: Border,
    row: &mut Row,
    mut place: impl FnMut(usize, &mut [f32], &mut [f32]),
    mut each: impl FnMut(usize, &[u32]),
) {
    canvas.surround(border);
    for y in 0..canvas.size() {
        place(y, &mut row.us, &mut row.vs);
        row.find(canvas);
        row.fetch(canvas, border);
        row.mix();
        each(y, &row.mixed);
    }
}

/// What is known of a row of positions, step by step; steps that need no
/// look-up run in the widest vectors.
#[derive(Debug)]
pub(super) struct Row {
    us: Vec<f32>,
    vs: Vec<f32>,
    /// The pixel left of and above each position, and the weights of its
    /// neighbours to the right and below.
    left: Vec<i32>,
    top: Vec<i32>,
    wx: Vec<f32>,
    wy: Vec<f32>,
    /// Whether the nearest pixel is one to the right, one below: all bits.
    right: Vec<u32>,
    below: Vec<u32>,
    /// Where the pixel left above stands on the canvas; beyond its end where
    /// one of the four stands nowhere.
    starts: Vec<u32>,
    /// The four pixels around each position: by rows, from the left.
    corners: [Vec<u32>; 4],
    mixed: Vec<u32>,
}

impl Row {
    pub(super) fn new(size: usize) -> Self {
        let (floats, whole, pixels) = (vec![0.0; size], vec![0; size], vec![0; size]);
        Self {
            us: floats.clone(),
            vs: floats.clone(),
            left: whole.clone(),
            top: whole,
            wx: floats.clone(),
            wy: floats,
            right: pixels.clone(),
            below: pixels.clone(),
            starts: pixels.clone(),
            corners: std::array::from_fn(|_| pixels.clone()),
            mixed: pixels,
        }
    }

    fn find(&mut self, canvas: &Canvas) {
        let size = self.mixed.len();
        let axes = [
            (&self.us, &mut self.left, &mut self.wx, &mut self.right),
            (&self.vs, &mut self.top, &mut self.wy, &mut self.below),
        ];
        for (positions, first, weights, is_second) in axes {
            vectorised(
                #[inline(always)]
                || {
                    // Lengths that the loop's compiler sees: no checks in it.
                    let (positions, first) = (&positions[..size], &mut first[..size]);
                    let (weights, is_second) = (&mut weights[..size], &mut is_second[..size]);
                    for x in 0..size {
                        let position = near(positions[x]);
                        first[x] = floor(position);
                        weights[x] = position - first[x] as f32;
                        is_second[x] = if floor(position + 0.5) == first[x] { 0 } else { u32::MAX };
                    }
                },
            );
        }
        let (left, top, starts) = (&self.left, &self.top, &mut self.starts);
        let (margin, side, last) = (canvas.margin() as u32, canvas.side() as u32, canvas.side() as u32 - 1);
        vectorised(
            #[inline(always)]
            || {
                let (left, top, starts) = (&left[..size], &top[..size], &mut starts[..size]);
                for x in 0..size {
                    // What lies left of the margin wraps to a large number.
                    let (column, line) =
                        ((left[x] as u32).wrapping_add(margin), (top[x] as u32).wrapping_add(margin));
                    let is_inside = (column < last) & (line < last);
                    let start = line.wrapping_mul(side).wrapping_add(column);
                    starts[x] = if is_inside { start } else { u32::MAX };
                }
            },
        );
    }

    fn fetch(&mut self, canvas: &Canvas, border: Border) {
        let (pixels, side) = (canvas.pixels(), canvas.side());
        let [a, b, c, d] = &mut self.corners;
        let corners = a.iter_mut().zip(b).zip(c).zip(d);
        for (((((a, b), c), d), start), (left, top)) in
            corners.zip(&self.starts).zip(self.left.iter().zip(&self.top))
        {
            let start = *start as usize;
            let found = match pixels.get(start..start + side + 2) {
                Some(block) => [block[0], block[1], block[side], block[side + 1]],
                None => beyond(canvas, *left, *top, border),
            };
            [*a, *b, *c, *d] = found;
        }
    }

    fn mix(&mut self) {
        let Self { corners: [a, b, c, d], wx, wy, right, below, mixed, .. } = self;
        vectorised(
            #[inline(always)]
            || {
                let size = mixed.len();
                let [a, b, c, d] = [&a[..size], &b[..size], &c[..size], &d[..size]];
                let (wx, wy, mixed) = (&wx[..size], &wy[..size], &mut mixed[..size]);
                let (right, below) = (&right[..size], &below[..size]);
                for x in 0..size {
                    let corners = [a[x], b[x], c[x], d[x]];
                    mixed[x] = channel::<0>(corners, wx[x], wy[x])
                        | channel::<8>(corners, wx[x], wy[x])
                        | channel::<16>(corners, wx[x], wy[x])
                        | nearest(corners, right[x], below[x]) & 0xFF00_0000;
                }
            },
        );
    }
}

/// The mixture of four pixels in one channel, in its place.
#[inline(always)]
fn channel<const SHIFT: u32>(corners: [u32; 4], wx: f32, wy: f32) -> u32 {
    let value = |corner: u32| (corner >> SHIFT & 255) as f32;
    let [a, b, c, d] = [value(corners[0]), value(corners[1]), value(corners[2]), value(corners[3])];
    let (upper, lower) = (a + (b - a) * wx, c + (d - c) * wx);
    u32::from(byte(upper + (lower - upper) * wy)) << SHIFT
}

/// One of the four, chosen by bits.
#[inline(always)]
fn nearest([a, b, c, d]: [u32; 4], right: u32, below: u32) -> u32 {
    let (upper, lower) = (a & !right | b & right, c & !right | d & right);
    upper & !below | lower & below
}

/// Positions farther out are as good as this one: no image is that large.
const FAR: f32 = 4_000_000.0;

/// The whole number below, of values up to [`FAR`]. `f32::floor` is a call into
/// the C library on processors without SSE 4.1, and a cast to integers keeps
/// out-of-range values apart one by one: added to 1.5 x 2^23, a float has no
/// fraction left, and its lowest bits are the number, rounded.
#[inline(always)]
fn floor(value: f32) -> i32 {
    let rounded = (value + 12_582_912.0).to_bits().wrapping_sub(0x4B40_0000) as i32;
    rounded.wrapping_sub(i32::from(value < rounded as f32))
}

/// A position that [`floor`] can take; one that is no number lies far out.
#[inline(always)]
fn near(position: f32) -> f32 {
    let position = if position > -FAR { position } else { -FAR };
    if position < FAR { position } else { FAR }
}

/// A pixel and its neighbours right, below and diagonal, where some of them
/// lie beyond the margin.
#[cold]
fn beyond(canvas: &Canvas, left: i32, top: i32, border: Border) -> [u32; 4] {
    [(0, 0), (1, 0), (0, 1), (1, 1)]
        .map(|(right, below)| canvas.look(left.saturating_add(right), top.saturating_add(below), border))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::canvas::reflect;

    /// Moves pixels of a square image by a vector.
    fn shifted(image: &[u32], du: f32, dv: f32, border: Border) -> Vec<u32> {
        let size = image.len().isqrt();
        let mut canvas = Canvas::new(size);
        image.chunks_exact(size).enumerate().for_each(|(y, row)| canvas.set_row(y, row));
        let mut moved = Vec::new();
        let place = |y: usize, us: &mut [f32], vs: &mut [f32]| {
            vs.fill(y as f32 + dv);
            us.iter_mut().enumerate().for_each(|(x, u)| *u = x as f32 + du);
        };
        warp(&mut canvas, border, &mut Row::new(size), place, |y, row| {
            assert_eq!(y * size, moved.len());
            moved.extend_from_slice(row);
        });
        moved
    }

    fn masks(pixels: &[u32]) -> Vec<u32> {
        pixels.iter().map(|pixel| pixel >> 24).collect()
    }

    fn reds(pixels: &[u32]) -> Vec<u32> {
        pixels.iter().map(|pixel| pixel & 255).collect()
    }

    /// 1 to 9 in the mask, and as red.
    fn nine() -> Vec<u32> {
        (1..10).map(|value| value << 24 | 7 << 8 | value).collect()
    }

    #[test]
    fn the_identity_changes_nothing_and_halves_are_means() {
        let original = [0, 0xFF0A_3264, 0, 0xFF0A_3264];
        assert_eq!(shifted(&original, 0.0, 0.0, Border::Reflect), original);
        assert_eq!(shifted(&original, 0.5, 0.0, Border::Reflect)[0], 0xFF05_1932);
    }

    #[test]
    fn beyond_the_border_lies_a_mirror_or_nothing() {
        let original = nine();
        let mirrored = shifted(&original, -1.0, 0.0, Border::Reflect);
        assert_eq!(masks(&mirrored), [2, 1, 2, 5, 4, 5, 8, 7, 8]);
        assert_eq!(mirrored[..2], [original[1], original[0]]);
        let black = shifted(&original, -1.0, 2.0, Border::Zero);
        assert_eq!(masks(&black), [0, 7, 8, 0, 0, 0, 0, 0, 0]);
        assert_eq!(black[..3], [0, original[6], original[7]]);
        // Half of a pixel and half of nothing.
        assert_eq!(reds(&shifted(&original, 0.0, 2.5, Border::Zero))[..3], [4, 4, 4]);
        // Far beyond any image.
        let far = shifted(&original, 1e30, -1e30, Border::Reflect);
        assert!(masks(&far).iter().all(|value| (1..10).contains(value)));
        assert_eq!(masks(&shifted(&original, 1e30, f32::NAN, Border::Zero)), [0; 9]);
    }

    #[test]
    fn inside_the_margin_and_beyond_it_are_the_same() {
        // A margin of two pixels, and shifts to either side of its end.
        let size = 14;
        let original: Vec<u32> = (0..size * size).map(|i| i * 0x0101_0101).collect();
        for border in [Border::Reflect, Border::Zero] {
            for du in [-2.25, -1.5, -0.5, 0.25, 1.0, 2.75, 5.5] {
                let moved = shifted(&original, du, 0.0, border);
                for (x, found) in moved[..size as usize].iter().enumerate() {
                    let at = x as f32 + du;
                    let pixel = |column: i32| match border {
                        Border::Reflect => original[reflect(i64::from(column), size as usize)] & 255,
                        Border::Zero if (0..size as i32).contains(&column) => original[column as usize] & 255,
                        Border::Zero => 0,
                    };
                    let left = at.floor() as i32;
                    let [a, b] = [left, left + 1].map(|column| pixel(column) as f32);
                    let mean = byte(a + (b - a) * (at - at.floor()));
                    assert_eq!(found & 255, u32::from(mean), "{x} {du} {border:?}");
                    assert_eq!(found >> 24, pixel((at + 0.5).floor() as i32), "{x} {du} {border:?}");
                }
            }
        }
    }

    #[test]
    fn floors_are_those_of_the_library() {
        let near_whole = (-300..300).flat_map(|i| {
            let i = i as f32;
            [i, i.next_down(), i.next_up(), i + 0.5, (i + 0.5).next_down(), (i + 0.5).next_up()]
        });
        for value in near_whole.chain([-0.1, -0.0, 223.999, FAR, -FAR, FAR - 0.5]) {
            assert_eq!(floor(value), value.floor() as i32, "{value}");
        }
        assert_eq!([f32::NAN, f32::INFINITY, -1e30].map(near), [-FAR, FAR, -FAR]);
    }
}
