//! Scores of many images, summed up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Metric, Scores};

/// Mean and spread of one score over images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Mean over the `n` images.
    pub mean: f64,
    /// Standard deviation with divisor n - 1; 0 for a single image.
    pub std: f64,
    /// Images in the mean.
    pub n: usize,
    /// Images left out by the empty-mask rule.
    pub skipped: usize,
}

impl Summary {
    /// `None` where no value is left to average.
    pub fn of(values: &[f64], skipped: usize) -> Option<Self> {
        let n = values.len();
        if n == 0 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / n as f64;
        let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
        let std = if n > 1 { (squares / (n - 1) as f64).sqrt() } else { 0.0 };
        Some(Self { mean, std, n, skipped })
    }
}

/// A summary per metric of the images' scores (`None`: left out by the
/// empty-mask rule). The map is empty where every image was left out.
pub fn summarise(images: &[Option<Scores>]) -> BTreeMap<Metric, Summary> {
    let kept: Vec<Scores> = images.iter().copied().flatten().collect();
    let skipped = images.len() - kept.len();
    let of = |metric| Summary::of(&kept.iter().map(|s: &Scores| s.get(metric)).collect::<Vec<_>>(), skipped);
    Metric::ALL.into_iter().filter_map(|metric| Some((metric, of(metric)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{Counts, scores};
    use crate::protocol::{EmptyRule, Evaluate, Part};

    #[test]
    fn the_spread_divides_by_n_less_one() {
        let summary = Summary::of(&[1.0, 2.0, 3.0, 4.0], 2).expect("four values");
        assert_eq!((summary.mean, summary.n, summary.skipped), (2.5, 4, 2));
        assert!((summary.std - (5.0f64 / 3.0).sqrt()).abs() < 1e-15);
        assert_eq!(Summary::of(&[0.7], 0).expect("one value").std, 0.0);
        assert_eq!(Summary::of(&[], 3), None);
    }

    #[test]
    fn skipped_images_are_counted_and_not_averaged() {
        let rule = Evaluate { part: Part::Test, threshold: 0.5, epsilon: 0.0, empty: EmptyRule::Skip };
        let perfect = scores(&Counts { tp: 4, ..Counts::default() }, &rule);
        let empty = scores(&Counts { tn: 4, ..Counts::default() }, &rule);
        let all = summarise(&[perfect, empty, perfect]);
        assert_eq!(all[&Metric::Dice], Summary { mean: 1.0, std: 0.0, n: 2, skipped: 1 });
        assert!(summarise(&[empty]).is_empty());
    }
}
