//! Percentile bootstrap of a mean over images (Efron and Tibshirani, 1993).

use serde::Serialize;

use super::{mean, quantile_of_sorted};
use crate::random::Stream;

/// A two-sided interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Percentile interval of the mean at `level` (0.95) from `resamples`
/// resamplings with replacement. The stream decides every draw, so the same
/// scores always give the same interval. `None` for fewer than two values, a
/// value that is not finite, no resample, or a level outside 0..1.
pub fn bootstrap_mean(values: &[f64], resamples: usize, level: f64, mut stream: Stream) -> Option<Interval> {
    let usable = values.len() > 1 && values.iter().all(|v| v.is_finite());
    if !usable || resamples == 0 || !(level > 0.0 && level < 1.0) {
        return None;
    }
    let mut draw = vec![0.0; values.len()];
    let mut means = Vec::with_capacity(resamples);
    for _ in 0..resamples {
        for slot in &mut draw {
            *slot = values[stream.below(values.len() as u64) as usize];
        }
        means.push(mean(&draw)?);
    }
    means.sort_by(f64::total_cmp);
    let tail = (1.0 - level) / 2.0;
    let low = quantile_of_sorted(&means, tail)?;
    let high = quantile_of_sorted(&means, 1.0 - tail)?;
    Some(Interval { low, high })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(word: &str) -> Stream {
        Stream::new(0, "bootstrap", &[word])
    }

    #[test]
    fn the_interval_is_deterministic_and_holds_the_mean() {
        let values: Vec<f64> = (0..100).map(|i| f64::from(i) / 100.0).collect();
        let interval = bootstrap_mean(&values, 1000, 0.95, stream("a")).expect("defined");
        assert_eq!(bootstrap_mean(&values, 1000, 0.95, stream("a")), Some(interval));
        assert!(interval.low < 0.495 && 0.495 < interval.high);
        // Normal theory: 2 * 1.96 * 0.29 / 10.
        assert!((interval.high - interval.low - 0.1137).abs() < 0.015, "{interval:?}");
    }

    #[test]
    fn about_95_of_100_intervals_cover_the_truth() {
        let covered = (0..200)
            .filter(|i| {
                let name = i.to_string();
                let mut source = Stream::new(7, "sample", &[&name]);
                let values: Vec<f64> = (0..80).map(|_| source.normal()).collect();
                let interval = bootstrap_mean(&values, 400, 0.95, stream(&name)).expect("defined");
                interval.low <= 0.0 && 0.0 <= interval.high
            })
            .count();
        assert!((178..=198).contains(&covered), "{covered} of 200");
    }

    #[test]
    fn undefined_cases() {
        for values in [&[][..], &[0.5], &[0.5, f64::NAN]] {
            assert_eq!(bootstrap_mean(values, 10, 0.95, stream("a")), None);
        }
        assert_eq!(bootstrap_mean(&[0.1, 0.2], 0, 0.95, stream("a")), None);
        assert_eq!(bootstrap_mean(&[0.1, 0.2], 10, 1.0, stream("a")), None);
    }

    #[test]
    fn equal_values_have_no_width() {
        let interval = bootstrap_mean(&[0.5; 20], 50, 0.95, stream("a"));
        assert_eq!(interval, Some(Interval { low: 0.5, high: 0.5 }));
    }
}
