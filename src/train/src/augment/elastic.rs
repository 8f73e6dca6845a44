//! Elastic deformation (Simard, Steinkraus & Platt, ICDAR 2003).
//!
//! Two fields of noise, uniform in -1..1, are smoothed by a Gaussian and
//! multiplied by alpha: the displacement of each pixel, in pixels of the
//! network's size. Smoothing shrinks the noise, so its standard deviation is
//! about `alpha / sqrt(3) / (2 sigma sqrt(pi))`: 3.3 for alpha 120, sigma 6.

use dygl::data::prepare::Resized;
use dygl::random::Stream;
use dygl::spec::protocol::Elastic;

use super::warp::{reflect, warp};

pub(super) fn elastic(image: &mut Resized, elastic: &Elastic, mut stream: Stream) {
    if !stream.chance(elastic.probability) {
        return;
    }
    let size = image.size;
    let dx = field(size, elastic, &mut stream);
    let dy = field(size, elastic, &mut stream);
    warp(image, |x, y| {
        let place = y * size + x;
        (x as f32 + dx[place], y as f32 + dy[place])
    });
}

/// One smoothed field, pixels.
fn field(size: usize, elastic: &Elastic, stream: &mut Stream) -> Vec<f32> {
    let noise: Vec<f32> = (0..size * size).map(|_| stream.range(-1.0, 1.0) as f32).collect();
    let kernel = gaussian(elastic.sigma, size);
    let rows = smooth(&noise, size, &kernel, |line, at| line * size + at);
    let mut smoothed = smooth(&rows, size, &kernel, |line, at| at * size + line);
    for value in &mut smoothed {
        *value *= elastic.alpha as f32;
    }
    smoothed
}

/// A Gaussian of sum 1, cut at four sigma (and at the image's size).
fn gaussian(sigma: f64, size: usize) -> Vec<f32> {
    let radius = ((4.0 * sigma).ceil() as i64).min(size as i64);
    let raw: Vec<f64> = (-radius..=radius)
        .map(|i| if i == 0 { 1.0 } else { (-0.5 * (i as f64 / sigma).powi(2)).exp() })
        .collect();
    let sum: f64 = raw.iter().sum();
    raw.into_iter().map(|v| (v / sum) as f32).collect()
}

/// Convolves each line, mirrored at its ends; `place(line, at)` is an index.
fn smooth(values: &[f32], size: usize, kernel: &[f32], place: impl Fn(usize, usize) -> usize) -> Vec<f32> {
    let radius = kernel.len() / 2;
    let mut smoothed = vec![0.0; values.len()];
    let mut padded = vec![0.0; size + 2 * radius];
    for line in 0..size {
        for (at, value) in padded.iter_mut().enumerate() {
            *value = values[place(line, reflect(at as i64 - radius as i64, size))];
        }
        for at in 0..size {
            smoothed[place(line, at)] = padded[at..].iter().zip(kernel).map(|(v, k)| v * k).sum();
        }
    }
    smoothed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_has_the_stated_spread() {
        let elastic = Elastic { probability: 1.0, alpha: 120.0, sigma: 6.0 };
        let field = field(224, &elastic, &mut Stream::new(1, "field", &[]));
        let spread = (field.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / field.len() as f64).sqrt();
        assert!((2.5..4.2).contains(&spread), "{spread}");
        // Smooth: neighbours in a row move together.
        let steps =
            field.chunks_exact(224).flat_map(|row| row.windows(2)).map(|pair| (pair[1] - pair[0]).abs());
        assert!(steps.fold(0.0, f32::max) < 3.0);
    }

    #[test]
    fn the_kernel_sums_to_one_and_no_sigma_is_no_smoothing() {
        assert!((gaussian(6.0, 224).iter().sum::<f32>() - 1.0).abs() < 1e-5);
        assert_eq!(gaussian(0.0, 224), [1.0]);
        assert_eq!(gaussian(50.0, 8).len(), 17);
    }
}
