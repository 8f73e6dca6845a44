//! From counts to the six scores.

use std::collections::BTreeMap;

use super::{Counts, Metric};
use crate::protocol::{EmptyRule, Evaluate};

/// The six scores of one image, each in 0..=1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scores([f64; Metric::ALL.len()]);

impl Scores {
    /// The score of that metric, in 0..=1.
    pub fn get(&self, metric: Metric) -> f64 {
        self.0[metric as usize]
    }

    /// In the order of [`Metric::ALL`].
    pub fn values(&self) -> [f64; Metric::ALL.len()] {
        self.0
    }

    /// All six by metric.
    pub fn to_map(self) -> BTreeMap<Metric, f64> {
        Metric::ALL.into_iter().zip(self.0).collect()
    }
}

/// The scores of one image, or `None` where the empty-mask rule leaves the
/// image out.
///
/// `epsilon` is added to each denominator and to no numerator, as the official
/// code does; a denominator of exactly 0 (only with `epsilon = 0`) gives 0.
/// Where prediction and truth are both empty, [`EmptyRule::One`] sets Dice,
/// IoU, precision and recall to 1 and leaves specificity and accuracy to their
/// formulas.
pub fn scores(counts: &Counts, evaluate: &Evaluate) -> Option<Scores> {
    if counts.is_empty() && evaluate.empty == EmptyRule::Skip {
        return None;
    }
    let ratio = |numerator: u64, denominator: u64| {
        let denominator = denominator as f64 + evaluate.epsilon;
        if denominator == 0.0 { 0.0 } else { numerator as f64 / denominator }
    };
    let Counts { tp, fp, fn_, tn } = *counts;
    let mut values = [
        ratio(2 * tp, 2 * tp + fp + fn_),
        ratio(tp, tp + fp + fn_),
        ratio(tp, tp + fp),
        ratio(tp, tp + fn_),
        ratio(tn, tn + fp),
        ratio(tp + tn, counts.total()),
    ];
    if counts.is_empty() && evaluate.empty == EmptyRule::One {
        for metric in [Metric::Dice, Metric::Iou, Metric::Precision, Metric::Recall] {
            values[metric as usize] = 1.0;
        }
    }
    Some(Scores(values))
}

#[cfg(test)]
mod tests {
    use dygl_testing::draws;
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::Part;

    fn evaluate(epsilon: f64, empty: EmptyRule) -> Evaluate {
        Evaluate { part: Part::Test, threshold: 0.5, epsilon, empty }
    }

    fn of(predicted: bool, truth: bool, rule: EmptyRule) -> Option<[f64; 6]> {
        let counts = Counts::of(&[predicted; 100], &[truth; 100]).expect("same length");
        scores(&counts, &evaluate(0.0, rule)).map(|s| s.values())
    }

    #[test]
    fn the_order_is_that_of_the_list() {
        for (place, metric) in Metric::ALL.into_iter().enumerate() {
            assert_eq!(metric as usize, place);
        }
    }

    #[test]
    fn extreme_masks_have_exact_scores() {
        use EmptyRule::{Formula, One, Skip};
        for rule in [Formula, One, Skip] {
            assert_eq!(of(true, true, rule), Some([1.0, 1.0, 1.0, 1.0, 0.0, 1.0]));
            assert_eq!(of(false, true, rule), Some([0.0, 0.0, 0.0, 0.0, 0.0, 0.0]));
            assert_eq!(of(true, false, rule), Some([0.0, 0.0, 0.0, 0.0, 0.0, 0.0]));
        }
        assert_eq!(of(false, false, Formula), Some([0.0, 0.0, 0.0, 0.0, 1.0, 1.0]));
        assert_eq!(of(false, false, One), Some([1.0, 1.0, 1.0, 1.0, 1.0, 1.0]));
        assert_eq!(of(false, false, Skip), None);
    }

    #[test]
    fn epsilon_stands_in_denominators_alone() {
        let counts = Counts { tp: 1, fp: 2, fn_: 3, tn: 4 };
        let scores = scores(&counts, &evaluate(0.5, EmptyRule::Formula)).expect("not empty");
        let expected = [2.0 / 7.5, 1.0 / 6.5, 1.0 / 3.5, 1.0 / 4.5, 4.0 / 6.5, 5.0 / 10.5];
        assert_eq!(scores.values(), expected);
        assert_eq!(scores.to_map()[&Metric::Recall], 1.0 / 4.5);
    }

    proptest! {
        #![proptest_config(draws(256))]

        #[test]
        fn laws_hold(tp in 0u64..5000, fp in 0u64..5000, fn_ in 0u64..5000, tn in 0u64..5000) {
            let counts = Counts { tp, fp, fn_, tn };
            let rule = evaluate(1e-8, EmptyRule::Formula);
            let here = scores(&counts, &rule).expect("formula never skips");
            for value in here.values() {
                prop_assert!((0.0..=1.0).contains(&value));
            }
            let iou = here.get(Metric::Iou);
            prop_assert!((here.get(Metric::Dice) - 2.0 * iou / (1.0 + iou)).abs() < 1e-7);
            // Swapping prediction and truth swaps precision and recall and keeps the symmetric scores.
            let there = scores(&Counts { fp: fn_, fn_: fp, ..counts }, &rule).expect("formula never skips");
            prop_assert_eq!(here.get(Metric::Precision), there.get(Metric::Recall));
            prop_assert_eq!(here.get(Metric::Recall), there.get(Metric::Precision));
            for metric in [Metric::Dice, Metric::Iou, Metric::Accuracy] {
                prop_assert_eq!(here.get(metric), there.get(metric));
            }
        }
    }

    /// `tests/golden/metrics/make.py` computed these with numpy, on its own.
    #[test]
    fn twenty_mask_pairs_agree_with_numpy() {
        let golden: serde_json::Value =
            serde_json::from_str(include_str!("../../../../tests/golden/metrics/pairs.json"))
                .expect("golden is JSON");
        let bits = |text: &serde_json::Value| -> Vec<bool> {
            text.as_str().expect("text").bytes().map(|b| b == b'1').collect()
        };
        let pairs = golden["pairs"].as_array().expect("pairs");
        assert_eq!(pairs.len(), 20);
        let rule = evaluate(golden["epsilon"].as_f64().expect("number"), EmptyRule::Formula);
        for pair in pairs {
            let counts = Counts::of(&bits(&pair["predicted"]), &bits(&pair["truth"])).expect("same length");
            let scores = scores(&counts, &rule).expect("formula never skips");
            for metric in Metric::ALL {
                let expected = pair["scores"][metric.name()].as_f64().expect("number");
                assert!(
                    (scores.get(metric) - expected).abs() < 1e-12,
                    "{} of seed {}",
                    metric.name(),
                    pair["seed"]
                );
            }
        }
    }
}
