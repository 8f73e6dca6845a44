//! Nearness of images and of masks.
//!
//! **Images.** Each becomes [`SIDE`] x [`SIDE`] grey values by area means,
//! shifted and scaled to mean 0 and variance 1, so that brightness and
//! contrast do not count. The distance of two is the root mean square of the
//! difference, `sqrt(2 (1 - r))` with Pearson's r: 0 for equal pictures, about
//! 1.4 for unrelated ones. Pairs within [`NEAR`] are measured again at
//! [`DETAIL`] x [`DETAIL`], where they must be within [`CONFIRMED`]. Pictures
//! without contrast (standard deviation below [`FLAT`] grey levels) are
//! compared by content only.
//!
//! **Masks.** Thresholded, [`DETAIL`] x [`DETAIL`] by the pixel under each
//! centre; two are near where intersection over union is at least [`OVERLAP`].
//!
//! **Mirrored and turned.** The same, with one of the two mirrored, turned by quarters or
//! both ([`Turn`]). Most pairs need one short distance for all seven ways: that of
//! their means over all of them, which no way can fall below.
//!
//! **Error.** Copies that were re-encoded, resized, changed in brightness, mirrored or
//! turned by quarters are found; cropped ones, and those turned by other angles, are
//! not. Neighbouring frames
//! of a video and neighbouring slices of a volume count as near where they
//! hardly differ, which for a split is what matters. The thresholds were set
//! on the 499,500 pairs of kvasir-seg-352: its three practically identical
//! pairs lie at 0.02 (at [`DETAIL`]), a fourth that is close at 0.18, and the
//! nearest of all others, one polyp at two moments, at 0.30: other views of a
//! scene are missed. Every tenth frame of CVC-ClinicDB's videos
//! has two such pairs, neighbouring slices of one patient of LGG one; TNBC (the
//! nearest at 1.16), PH2 (0.54) and ISIC (0.41) have none.

use image::GrayImage;

use super::turn::{self, Turn};

/// Side of the thumbnail that all pairs are compared at, pixels.
pub(super) const SIDE: usize = 24;
/// Side at which near pairs are confirmed, pixels.
pub(super) const DETAIL: usize = 96;
/// Largest distance of near thumbnails.
pub(super) const NEAR: f32 = 0.25;
/// Largest distance of near pictures at the larger side.
pub(super) const CONFIRMED: f64 = 0.25;
/// Standard deviation, grey levels, below which a thumbnail has no contrast.
const FLAT: f32 = 2.0;
/// Smallest overlap of near masks.
pub(super) const OVERLAP: f64 = 0.95;

const PLACES: usize = SIDE * SIDE;
/// Additions that do not wait for one another; the compiler makes vectors of them.
const LANES: usize = 16;

/// Means of the source pixels under each of `side` x `side` cells; a pixel on
/// a border counts for the cells that it touches in proportion.
pub(super) fn shrink(from: &GrayImage, side: usize) -> Vec<f32> {
    let (width, height) = (from.width() as usize, from.height() as usize);
    let columns = spans(width, side);
    let rows = spans(height, side);
    // Rows first: one pass over the pixels.
    let mut narrow = vec![0.0_f32; height * side];
    for (line, into) in from.as_raw().chunks_exact(width.max(1)).zip(narrow.chunks_exact_mut(side)) {
        for (value, span) in into.iter_mut().zip(&columns) {
            *value = span.iter().map(|(place, share)| f32::from(line[*place]) * share).sum();
        }
    }
    let mut small = Vec::with_capacity(side * side);
    for span in &rows {
        for column in 0..side {
            small.push(span.iter().map(|(row, share)| narrow[row * side + column] * share).sum());
        }
    }
    small
}

/// The source places under each of `to` cells, with shares that add up to 1.
fn spans(from: usize, to: usize) -> Vec<Vec<(usize, f32)>> {
    let scale = from as f64 / to as f64;
    (0..to)
        .map(|cell| {
            let (start, end) = (cell as f64 * scale, (cell + 1) as f64 * scale);
            let last = (end.ceil() as usize).min(from);
            (start.floor() as usize..last)
                .map(|place| {
                    let covered = (place as f64 + 1.0).min(end) - (place as f64).max(start);
                    (place, (covered / scale) as f32)
                })
                .collect()
        })
        .collect()
}

/// A standardised picture of SIDE x SIDE; none without contrast.
#[derive(Debug, Clone)]
pub(super) struct Thumbnail(Option<Standard>);

#[derive(Debug, Clone)]
struct Standard {
    /// Row-major.
    values: Vec<f32>,
    /// [`turn::symmetric`] of them.
    symmetric: Vec<f32>,
}

impl Thumbnail {
    pub fn of(grey: &GrayImage) -> Self {
        let small = shrink(grey, SIDE);
        let (mean, deviation) = moments(small.iter().copied());
        let standard = |value: f32| (value - mean) / deviation;
        Self((deviation >= FLAT).then(|| {
            let values: Vec<f32> = small.into_iter().map(standard).collect();
            Standard { symmetric: turn::symmetric(&values), values }
        }))
    }

    /// The way in which `other` lies nearest over this one, of all but upright, and
    /// the distance; `None` beyond `limit`, and where one has no contrast.
    pub fn turned(&self, other: &Self, limit: f32) -> Option<(Turn, f32)> {
        let (a, b) = (self.0.as_ref()?, other.0.as_ref()?);
        let most = limit * limit * PLACES as f32;
        let least: f32 = a.symmetric.iter().zip(&b.symmetric).map(|(a, b)| (a - b) * (a - b)).sum();
        // Rounding must not hide a copy at the limit.
        if least > most * 1.001 {
            return None;
        }
        let distance = |turn: Turn| -> f32 {
            let places = turn.places().iter().zip(&b.values);
            places.map(|(place, b)| (a.values[usize::from(*place)] - b).powi(2)).sum()
        };
        let nearest = Turn::ALL.into_iter().map(|turn| (turn, distance(turn)));
        let (turn, sum) = nearest.min_by(|a, b| a.1.total_cmp(&b.1))?;
        (sum <= most).then(|| (turn, (sum / PLACES as f32).sqrt()))
    }

    /// Root mean square of the difference; `None` where one has no contrast.
    pub fn distance(&self, other: &Self) -> Option<f32> {
        let (a, b) = (&self.0.as_ref()?.values, &other.0.as_ref()?.values);
        let mut sums = [0.0_f32; LANES];
        for (a, b) in a.chunks_exact(LANES).zip(b.chunks_exact(LANES)) {
            for lane in 0..LANES {
                let difference = a[lane] - b[lane];
                sums[lane] += difference * difference;
            }
        }
        Some((sums.iter().sum::<f32>() / PLACES as f32).sqrt())
    }
}

/// Mean and standard deviation.
fn moments(values: impl Iterator<Item = f32> + Clone) -> (f32, f32) {
    let count = values.clone().count().max(1) as f32;
    let mean = values.clone().sum::<f32>() / count;
    let variance = values.map(|value| (value - mean).powi(2)).sum::<f32>() / count;
    (mean, variance.sqrt())
}

/// A picture of DETAIL x DETAIL grey levels, row-major, with its moments.
#[derive(Debug, Clone)]
pub(super) struct Detail {
    levels: Vec<u8>,
    mean: f64,
    deviation: f64,
}

impl Detail {
    pub fn of(grey: &GrayImage) -> Self {
        let levels: Vec<u8> = shrink(grey, DETAIL).iter().map(|value| value.round() as u8).collect();
        let count = levels.len().max(1) as f64;
        let mean = levels.iter().map(|level| f64::from(*level)).sum::<f64>() / count;
        let squares: f64 = levels.iter().map(|level| (f64::from(*level) - mean).powi(2)).sum();
        Self { levels, mean, deviation: (squares / count).sqrt() }
    }

    /// The same picture lying in another way.
    pub fn turned(&self, turn: Turn) -> Self {
        let level = |at: usize| self.levels[turn.source(DETAIL, at / DETAIL, at % DETAIL)];
        Self { levels: (0..self.levels.len()).map(level).collect(), ..*self }
    }

    /// The distance of the standardised pictures, `sqrt(2 (1 - r))`; the sums
    /// are of whole numbers, so nothing is lost.
    pub fn distance(&self, other: &Self) -> f64 {
        let products: u64 = self
            .levels
            .iter()
            .zip(&other.levels)
            .map(|(a, b)| u64::from(u16::from(*a) * u16::from(*b)))
            .sum();
        let covariance = products as f64 / self.levels.len().max(1) as f64 - self.mean * other.mean;
        let r = covariance / (self.deviation * other.deviation).max(1e-9);
        (2.0 * (1.0 - r)).max(0.0).sqrt()
    }

    /// Mean absolute difference, grey levels.
    pub fn difference(&self, other: &Self) -> f64 {
        let pairs = self.levels.iter().zip(&other.levels);
        let sum: u64 = pairs.map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        sum as f64 / self.levels.len().max(1) as f64
    }
}

/// A mask of DETAIL x DETAIL as bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bits {
    words: Vec<u64>,
    pub ones: u32,
}

impl Bits {
    /// Of 0/1 values, row-major.
    pub fn of(binary: &[u8], size: (u32, u32)) -> Self {
        let (width, height) = (size.0 as usize, size.1 as usize);
        let centre =
            |cell: usize, length: usize| ((2 * cell + 1) * length / (2 * DETAIL)).min(length.max(1) - 1);
        let mut words = vec![0_u64; (DETAIL * DETAIL).div_ceil(64)];
        for row in 0..DETAIL {
            for column in 0..DETAIL {
                let place = centre(row, height) * width + centre(column, width);
                if binary.get(place).is_some_and(|value| *value > 0) {
                    let bit = row * DETAIL + column;
                    words[bit / 64] |= 1 << (bit % 64);
                }
            }
        }
        let ones = words.iter().map(|word| word.count_ones()).sum();
        Self { words, ones }
    }

    /// Intersection over union; 0 where the areas alone keep it below
    /// [`OVERLAP`], and where both are empty.
    pub fn overlap(&self, other: &Self) -> f64 {
        let (small, large) = (self.ones.min(other.ones), self.ones.max(other.ones));
        if large == 0 || f64::from(small) < OVERLAP * f64::from(large) {
            return 0.0;
        }
        let both: u32 = self.words.iter().zip(&other.words).map(|(a, b)| (a & b).count_ones()).sum();
        f64::from(both) / f64::from(self.ones + other.ones - both)
    }
}

#[cfg(test)]
mod tests {
    use image::Luma;

    use super::*;

    fn picture(width: u32, height: u32, value: impl Fn(f64, f64) -> f64) -> GrayImage {
        GrayImage::from_fn(width, height, |x, y| {
            let at = |i: u32, n: u32| (f64::from(i) + 0.5) / f64::from(n);
            Luma([value(at(x, width), at(y, height)).clamp(0.0, 255.0) as u8])
        })
    }

    fn scene(x: f64, y: f64) -> f64 {
        120.0 + 60.0 * (7.0 * x).sin() * (5.0 * y).cos() + 40.0 * x
    }

    #[test]
    fn shrinking_keeps_the_mean_and_reads_every_pixel() {
        let from = picture(37, 29, scene);
        let mean = from.as_raw().iter().map(|v| f64::from(*v)).sum::<f64>() / (37.0 * 29.0);
        for side in [5, 24, 96] {
            let small = shrink(&from, side);
            let found = small.iter().map(|v| f64::from(*v)).sum::<f64>() / (side * side) as f64;
            assert!((found - mean).abs() < 0.01, "{side}: {found} {mean}");
        }
        let checks = GrayImage::from_fn(4, 4, |x, y| Luma([if (x + y) % 2 == 0 { 0 } else { 200 }]));
        assert_eq!(shrink(&checks, 2), [100.0; 4]);
    }

    #[test]
    fn size_brightness_and_contrast_do_not_count_and_content_does() {
        let one = Thumbnail::of(&picture(200, 150, scene));
        let same = Thumbnail::of(&picture(97, 131, |x, y| 0.6 * scene(x, y) + 30.0));
        let other = Thumbnail::of(&picture(200, 150, |x, y| scene(y, x)));
        assert!(one.distance(&same).expect("contrast") < 0.1);
        let (a, b) = (picture(200, 150, scene), picture(97, 131, |x, y| 0.6 * scene(x, y) + 30.0));
        assert!(Detail::of(&a).distance(&Detail::of(&b)) < 0.1);
        assert!(Detail::of(&a).difference(&Detail::of(&b)) > 5.0);
        assert!(Detail::of(&a).distance(&Detail::of(&a)) < 1e-6);
        assert!(one.distance(&other).expect("contrast") > 0.8);
        let flat = Thumbnail::of(&picture(200, 150, |_, _| 90.0));
        assert_eq!(one.distance(&flat), None);
    }

    #[test]
    fn a_picture_is_found_however_it_lies() {
        let (width, height) = (200, 150);
        let upright = picture(width, height, scene);
        let mirrored = picture(97, 131, |x, y| 0.7 * scene(1.0 - x, y) + 20.0);
        let quarter = picture(height, width, |x, y| scene(y, 1.0 - x));
        let own = Thumbnail::of(&upright);
        for (other, expected) in [(&mirrored, Turn::MirroredLeftRight), (&quarter, Turn::QuarterClockwise)] {
            let (turn, distance) = own.turned(&Thumbnail::of(other), NEAR).expect("a copy");
            assert_eq!(turn, expected);
            assert!(distance < 0.05, "{distance}");
            let detail = Detail::of(&upright).turned(turn).distance(&Detail::of(other));
            assert!(detail < 0.05, "{detail}");
            assert!(Detail::of(&upright).distance(&Detail::of(other)) > CONFIRMED);
        }
        let other = picture(width, height, |x, y| 90.0 + 70.0 * (11.0 * x + 3.0 * y * y).sin());
        assert_eq!(own.turned(&Thumbnail::of(&other), NEAR), None);
        assert_eq!(own.turned(&Thumbnail::of(&picture(9, 9, |_, _| 90.0)), NEAR), None);
    }

    #[test]
    fn the_distance_is_that_of_the_correlation() {
        let (a, b) = (picture(60, 60, scene), picture(60, 60, |x, y| scene(x, y) + 30.0 * y));
        let (a24, b24) = (shrink(&a, SIDE), shrink(&b, SIDE));
        let ((ma, sa), (mb, sb)) = (moments(a24.iter().copied()), moments(b24.iter().copied()));
        let r =
            a24.iter().zip(&b24).map(|(x, y)| (x - ma) * (y - mb)).sum::<f32>() / PLACES as f32 / (sa * sb);
        let distance = Thumbnail::of(&a).distance(&Thumbnail::of(&b)).expect("contrast");
        assert!((distance - (2.0 * (1.0 - r)).sqrt()).abs() < 1e-3, "{distance}");
    }

    #[test]
    fn overlap_is_intersection_over_union() {
        let bits = |from: u32, to: u32| {
            let binary: Vec<u8> = (0..96 * 96).map(|i| u8::from((from..to).contains(&(i % 96)))).collect();
            Bits::of(&binary, (96, 96))
        };
        assert_eq!(bits(10, 50).overlap(&bits(10, 50)), 1.0);
        assert!((bits(10, 50).overlap(&bits(11, 51)) - 39.0 / 41.0).abs() < 1e-9);
        assert_eq!(bits(10, 50).overlap(&bits(10, 20)), 0.0);
        assert_eq!(bits(0, 0).overlap(&bits(0, 0)), 0.0);
    }
}
