//! Elastic deformation (Simard, Steinkraus & Platt, ICDAR 2003).
//!
//! Two fields of noise, uniform in -1..1, are smoothed by a Gaussian and
//! multiplied by alpha: the displacement of each pixel, in pixels of the
//! network's size. Smoothing shrinks the noise, so its standard deviation is
//! about `alpha / sqrt(3) / (2 sigma sqrt(pi))`: 3.3 for alpha 120, sigma 6.
//!
//! For the same noise the field is OpenCV's `GaussianBlur` of it, kernel cut
//! at four sigma, the noise mirrored at its border without the edge pixel. So
//! did albumentations before version 2 (in its approximate mode; else scipy's
//! filter, which mirrors with the edge pixel). Version 2.0.8 agrees farther
//! than four sigma from the border alone: it repeats the noise's edge, which
//! moves corners by tens of pixels, and smooths both fields as one picture of
//! twice the height, so that they leak into each other.

use dygl_base::random::Stream;
use dygl_base::vector::vectorised;
use dygl_spec::protocol::{Border, Elastic};

use super::canvas::{Canvas, reflect};
use super::warp::{Row, warp};

/// Noise in -1..1 for each pixel, rows from the top.
#[derive(Debug, Clone, PartialEq)]
pub struct Noise {
    /// Displacements along the rows, before smoothing; `size * size` values.
    pub dx: Vec<f32>,
    /// Displacements along the columns, before smoothing; `size * size` values.
    pub dy: Vec<f32>,
}

/// All of dx, then all of dy.
pub(super) fn draw(size: usize, elastic: &Elastic, mut stream: Stream) -> Option<Noise> {
    if !stream.chance(elastic.probability) {
        return None;
    }
    let mut field = || {
        let mut values = vec![0.0; size * size];
        vectorised(
            #[inline(always)]
            || stream.fill(-1.0, 1.0, &mut values),
        );
        values
    };
    Some(Noise { dx: field(), dy: field() })
}

/// Calls `each` with the rows of the deformed image.
pub(super) fn apply(
    canvas: &mut Canvas,
    noise: &Noise,
    elastic: &Elastic,
    border: Border,
    row: &mut Row,
    each: impl FnMut(usize, &[u32]),
) {
    let [dx, dy] = [&noise.dx, &noise.dy].map(|noise| Displacement::new(noise, canvas.size(), elastic));
    let place = |y: usize, us: &mut [f32], vs: &mut [f32]| {
        dx.row(y, us);
        dy.row(y, vs);
        vectorised(
            #[inline(always)]
            || {
                // Through 32 bits, which vectors turn into floats.
                #[allow(clippy::needless_range_loop, reason = "a counter beside an iterator is checked")]
                for x in 0..us.len() {
                    us[x] += x as i32 as f32;
                }
                vs.iter_mut().for_each(|v| *v += y as f32);
            },
        );
    };
    warp(canvas, border, row, place, each);
}

/// Smoothed noise times alpha, pixels. Rows are smoothed at once, columns
/// where a row of the result is asked for.
pub(super) struct Displacement {
    size: usize,
    alpha: f32,
    kernel: Vec<f32>,
    smoothed: Vec<f32>,
}

impl Displacement {
    pub(super) fn new(noise: &[f32], size: usize, elastic: &Elastic) -> Self {
        let kernel = gaussian(elastic.sigma, size);
        Self { size, alpha: elastic.alpha as f32, smoothed: rows(noise, size, &kernel), kernel }
    }

    /// Row `y`, mirrored at the ends of its columns.
    pub(super) fn row(&self, y: usize, into: &mut [f32]) {
        let at = |y: i64| {
            let start = reflect(y, self.size) * self.size;
            &self.smoothed[start..start + self.size]
        };
        let pairs: Vec<Pair<'_>> = (0..self.kernel.len() as i64)
            .map(|distance| [at(y as i64 - distance), at(y as i64 + distance)])
            .collect();
        weigh(into, &pairs, &self.kernel);
        into.iter_mut().for_each(|value| *value *= self.alpha);
    }
}

/// Half of a Gaussian of sum 1, from its middle outwards, cut where OpenCV
/// cuts it for floats: the whole has `8 sigma + 1` taps, rounded, made odd.
/// No longer than the image, so that no sigma takes all time.
fn gaussian(sigma: f64, size: usize) -> Vec<f32> {
    let taps = (8.0 * sigma + 1.0).round_ties_even() as usize | 1;
    let radius = (taps / 2).min(size);
    let weight = |distance: usize| {
        let far = distance as f64 / sigma;
        if distance == 0 { 1.0 } else { libm::exp(-0.5 * (far * far)) }
    };
    let raw: Vec<f64> = (0..=radius).map(weight).collect();
    let sum = 2.0 * raw.iter().sum::<f64>() - raw[0];
    raw.into_iter().map(|v| (v / sum) as f32).collect()
}

/// Convolves each row, mirrored at its ends. Pairs at the same distance
/// share a weight, and the innermost loop runs along the row.
fn rows(values: &[f32], size: usize, kernel: &[f32]) -> Vec<f32> {
    let radius = kernel.len() - 1;
    let mut smoothed = vec![0.0; values.len()];
    let mut padded = vec![0.0; size + 2 * radius];
    let sources: Vec<usize> = (0..padded.len()).map(|at| reflect(at as i64 - radius as i64, size)).collect();
    for (row, into) in values.chunks_exact(size).zip(smoothed.chunks_exact_mut(size)) {
        for (value, source) in padded.iter_mut().zip(&sources) {
            *value = row[*source];
        }
        let pairs: Vec<Pair<'_>> = (0..kernel.len())
            .map(|distance| [radius - distance, radius + distance].map(|at| &padded[at..at + size]))
            .collect();
        weigh(into, &pairs, kernel);
    }
    smoothed
}

/// Two rows at the same distance on either side.
type Pair<'a> = [&'a [f32]; 2];

/// The weighted sum of pairs of rows, one pair after another; the first is
/// twice the middle row and counts once.
fn weigh(into: &mut [f32], pairs: &[Pair<'_>], kernel: &[f32]) {
    let (Some(([middle, _], pairs)), Some((first, kernel))) = (pairs.split_first(), kernel.split_first())
    else {
        return;
    };
    vectorised(
        #[inline(always)]
        || {
            into.iter_mut().zip(*middle).for_each(|(sum, a)| *sum = first * a);
            // Several at once: a sum is read and written less often.
            let (groups, rest) = pairs.as_chunks::<4>();
            let (weights, last) = kernel.as_chunks::<4>();
            for (group, weights) in groups.iter().zip(weights) {
                add_four(into, group, weights);
            }
            for ([one, other], weight) in rest.iter().zip(last) {
                into.iter_mut().zip(*one).zip(*other).for_each(|((sum, a), b)| *sum += weight * (a + b));
            }
        },
    );
}

/// Adds four pairs of rows to a row, in their order.
#[inline(always)]
fn add_four(into: &mut [f32], pairs: &[Pair<'_>; 4], weights: &[f32; 4]) {
    let size = into.len();
    let [[a, b], [c, d], [e, f], [g, h]] = pairs;
    let [a, b, c, d] = [&a[..size], &b[..size], &c[..size], &d[..size]];
    let [e, f, g, h] = [&e[..size], &f[..size], &g[..size], &h[..size]];
    let [first, second, third, fourth] = *weights;
    for x in 0..size {
        let sum = into[x] + first * (a[x] + b[x]) + second * (c[x] + d[x]);
        into[x] = sum + third * (e[x] + f[x]) + fourth * (g[x] + h[x]);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The whole field.
    pub(crate) fn displacement(noise: &[f32], size: usize, elastic: &Elastic) -> Vec<f32> {
        let field = Displacement::new(noise, size, elastic);
        let mut values = vec![0.0; size * size];
        values.chunks_exact_mut(size).enumerate().for_each(|(y, row)| field.row(y, row));
        values
    }

    #[test]
    fn the_field_has_the_stated_spread() {
        let elastic = Elastic { probability: 1.0, alpha: 120.0, sigma: 6.0 };
        let noise = draw(224, &elastic, Stream::new(1, "field", &[])).expect("certain");
        assert_ne!(noise.dx, noise.dy);
        let field = displacement(&noise.dx, 224, &elastic);
        let spread = (field.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / field.len() as f64).sqrt();
        assert!((2.5..4.2).contains(&spread), "{spread}");
        // Smooth: neighbours in a row move together.
        let steps =
            field.chunks_exact(224).flat_map(|row| row.windows(2)).map(|pair| (pair[1] - pair[0]).abs());
        assert!(steps.fold(0.0, f32::max) < 3.0);
    }

    #[test]
    fn the_kernel_sums_to_one_and_no_sigma_is_no_smoothing() {
        let sum = |kernel: &[f32]| 2.0 * kernel.iter().sum::<f32>() - kernel[0];
        assert!((sum(&gaussian(6.0, 224)) - 1.0).abs() < 1e-5);
        assert_eq!(gaussian(6.0, 224).len(), 25);
        assert_eq!(gaussian(0.0, 224), [1.0]);
        assert_eq!(gaussian(50.0, 8).len(), 9);
        assert_eq!(gaussian(1e300, 8).len(), 9);
    }

    #[test]
    fn smoothing_is_the_plain_sum_over_the_kernel() {
        let (size, sigma) = (9, 1.3);
        let noise =
            draw(size, &Elastic { probability: 1.0, alpha: 1.0, sigma }, Stream::new(2, "plain", &[]));
        let noise = noise.expect("certain").dx;
        let found = displacement(&noise, size, &Elastic { probability: 1.0, alpha: 10.0, sigma });
        let half = gaussian(sigma, size);
        let at = |v: i64| reflect(v, size);
        let radius = half.len() as i64 - 1;
        for y in 0..size as i64 {
            for x in 0..size as i64 {
                let mut sum = 0.0;
                for j in -radius..=radius {
                    for i in -radius..=radius {
                        let weight = half[j.unsigned_abs() as usize] * half[i.unsigned_abs() as usize];
                        sum += f64::from(weight) * f64::from(noise[at(y + j) * size + at(x + i)]);
                    }
                }
                let found = f64::from(found[y as usize * size + x as usize]);
                assert!((found - 10.0 * sum).abs() < 1e-5, "{x} {y}: {found}");
            }
        }
    }
}
