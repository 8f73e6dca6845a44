//! Resampling through a map of positions.

use dygl::data::prepare::Resized;
use dygl::data::resize::byte;
use dygl::spec::protocol::Border;
use dygl_nn::vector::vectorised;

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
    let pixels: Vec<u32> = image.rgb.chunks_exact(3).map(pack).collect();
    let mut rgb = vec![0; image.rgb.len()];
    let mut mask = vec![0; image.mask.len()];
    let mut row = Row::new(size);
    let rows = rgb.chunks_exact_mut(3 * size).zip(mask.chunks_exact_mut(size));
    for (y, (rgb, mask)) in rows.enumerate() {
        place(y, &mut row.us, &mut row.vs);
        row.find(size);
        row.fetch(&pixels, size, border);
        row.mix();
        for (into, mixed) in rgb.chunks_exact_mut(3).zip(&row.mixed) {
            let [red, green, blue, _] = mixed.to_le_bytes();
            into[0] = red;
            into[1] = green;
            into[2] = blue;
        }
        for ((grey, x), y) in mask.iter_mut().zip(&row.mask_x).zip(&row.mask_y) {
            *grey = nearest(image, *x, *y, border);
        }
    }
    image.rgb = rgb;
    image.mask = mask;
}

/// Red in the lowest byte.
#[inline(always)]
fn pack(rgb: &[u8]) -> u32 {
    match rgb {
        [red, green, blue] => u32::from_le_bytes([*red, *green, *blue, 0]),
        _ => 0,
    }
}

/// What is known of a row of positions, step by step; steps that need no
/// look-up run in the widest vectors.
struct Row {
    us: Vec<f32>,
    vs: Vec<f32>,
    /// The pixel left of and above each position, and the weights of its
    /// neighbours to the right and below.
    left: Vec<i32>,
    top: Vec<i32>,
    wx: Vec<f32>,
    wy: Vec<f32>,
    /// The nearest pixel.
    mask_x: Vec<i32>,
    mask_y: Vec<i32>,
    /// The four pixels around each position: by rows, from the left.
    corners: [Vec<u32>; 4],
    mixed: Vec<u32>,
}

impl Row {
    fn new(size: usize) -> Self {
        let (floats, whole, pixels) = (vec![0.0; size], vec![0; size], vec![0; size]);
        Self {
            us: floats.clone(),
            vs: floats.clone(),
            left: whole.clone(),
            top: whole.clone(),
            wx: floats.clone(),
            wy: floats,
            mask_x: whole.clone(),
            mask_y: whole,
            corners: std::array::from_fn(|_| pixels.clone()),
            mixed: pixels,
        }
    }

    fn find(&mut self, size: usize) {
        let axes = [
            (&self.us, &mut self.left, &mut self.wx, &mut self.mask_x),
            (&self.vs, &mut self.top, &mut self.wy, &mut self.mask_y),
        ];
        for (positions, first, weights, nearest) in axes {
            let (positions, first) = (&positions[..size], &mut first[..size]);
            let (weights, nearest) = (&mut weights[..size], &mut nearest[..size]);
            vectorised(
                #[inline(always)]
                || {
                    for x in 0..size {
                        first[x] = floor(positions[x]);
                        weights[x] = positions[x] - first[x] as f32;
                        nearest[x] = floor(positions[x] + 0.5);
                    }
                },
            );
        }
    }

    fn fetch(&mut self, pixels: &[u32], size: usize, border: Border) {
        let last = size as u32 - 1;
        let [a, b, c, d] = &mut self.corners;
        let corners = a.iter_mut().zip(b).zip(c).zip(d);
        for ((((a, b), c), d), (left, top)) in corners.zip(self.left.iter().zip(&self.top)) {
            let found = if (*left as u32) < last && (*top as u32) < last {
                let start = *top as usize * size + *left as usize;
                [pixels[start], pixels[start + 1], pixels[start + size], pixels[start + size + 1]]
            } else {
                outside(pixels, size, *left, *top, border)
            };
            [*a, *b, *c, *d] = found;
        }
    }

    fn mix(&mut self) {
        let size = self.mixed.len();
        let [a, b, c, d] = self.corners.each_ref().map(|corner| &corner[..size]);
        let (wx, wy, mixed) = (&self.wx[..size], &self.wy[..size], &mut self.mixed[..size]);
        vectorised(
            #[inline(always)]
            || {
                for x in 0..size {
                    let corners = [a[x], b[x], c[x], d[x]];
                    mixed[x] = channel::<0>(corners, wx[x], wy[x])
                        | channel::<8>(corners, wx[x], wy[x])
                        | channel::<16>(corners, wx[x], wy[x]);
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

/// `f32::floor` is a call into the C library on processors without SSE 4.1.
#[inline(always)]
fn floor(value: f32) -> i32 {
    let cut = value as i32;
    cut.wrapping_sub(i32::from(value < cut as f32))
}

/// A pixel and its neighbours right, below and diagonal, where some of them
/// lie beyond the border.
#[cold]
fn outside(pixels: &[u32], size: usize, left: i32, top: i32, border: Border) -> [u32; 4] {
    [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(right, below)| {
        let place = resolve(left.saturating_add(right), top.saturating_add(below), size, border);
        place.map_or(0, |place| pixels[place])
    })
}

#[inline(always)]
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
