//! Student's t, and intervals of a mean that rest on it.
//!
//! Images of one patient, slide or video are not independent. Where such groups are
//! known, the standard error is the cluster-robust CR2 with the degrees of freedom of
//! Bell and McCaffrey (2002), written out for a mean; with groups of one image it is
//! the plain interval of the mean.

use std::collections::BTreeMap;

use super::{Interval, mean};

/// The t interval of a mean at `level` (0.95): of paired differences, where these are
/// the values. `groups` names what each value shares a patient with.
///
/// `None` for fewer than two values or groups, a value that is not finite, a level
/// outside 0..1, or as many groups as there are not values. Equal values have no width.
pub fn mean_t(values: &[f64], groups: Option<&[&str]>, level: f64) -> Option<Interval> {
    let is_defined = values.len() > 1 && values.iter().all(|value| value.is_finite());
    if !(is_defined && level > 0.0 && level < 1.0) {
        return None;
    }
    let centre = mean(values)?;
    let count = values.len() as f64;
    // By group: how many values, and the sum of their deviations from the mean.
    let sums: Vec<(f64, f64)> = match groups {
        Some(groups) if groups.len() != values.len() => return None,
        Some(groups) => {
            let mut sums: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
            for (group, value) in groups.iter().zip(values) {
                let (size, sum) = sums.entry(group).or_default();
                *size += 1.0;
                *sum += value - centre;
            }
            sums.into_values().collect()
        }
        None => values.iter().map(|value| (1.0, value - centre)).collect(),
    };
    if sums.len() < 2 {
        return None;
    }
    let (mut variance, mut squares, mut weights, mut square_weights) = (0.0, 0.0, 0.0, 0.0);
    for (size, sum) in sums {
        let share = size / count;
        let weight = share * share / (1.0 - share);
        variance += sum * sum / (1.0 - share);
        squares += share * share;
        weights += weight;
        square_weights += weight * weight;
    }
    let error = variance.sqrt() / count;
    let freedom = 1.0 / (squares + weights * weights - square_weights);
    let half = quantile_t(0.5 + level / 2.0, freedom)? * error;
    Some(Interval { low: centre - half, high: centre + half })
}

/// The quantile of Student's t at `probability` with `freedom` degrees of freedom
/// (any positive number); `None` outside 0..1 or without freedom.
pub fn quantile_t(probability: f64, freedom: f64) -> Option<f64> {
    if !(probability > 0.0 && probability < 1.0 && freedom > 0.0 && freedom.is_finite()) {
        return None;
    }
    // By symmetry only the upper half is searched.
    let above = probability.min(1.0 - probability);
    let (mut low, mut high) = (0.0, 1.0);
    while tail_t(high, freedom) > above && high < 1e300 {
        (low, high) = (high, 2.0 * high);
    }
    loop {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if tail_t(middle, freedom) > above { low = middle } else { high = middle }
    }
    Some(if probability < 0.5 { -high } else { high })
}

/// The probability that Student's t lies above `t`, which is not negative.
fn tail_t(t: f64, freedom: f64) -> f64 {
    0.5 * beta_share(freedom / (freedom + t * t), 0.5 * freedom, 0.5)
}

/// The regularised incomplete beta function I_x(a, b), by its continued fraction where
/// that converges fast (Numerical Recipes, 3rd edition, 6.4).
fn beta_share(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    let front =
        libm::exp(ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * libm::log(x) + b * libm::log1p(-x));
    if x < (a + 1.0) / (a + b + 2.0) {
        front * beta_fraction(x, a, b) / a
    } else {
        1.0 - front * beta_fraction(1.0 - x, b, a) / b
    }
}

/// Lentz's evaluation of the continued fraction of I_x(a, b).
fn beta_fraction(x: f64, a: f64, b: f64) -> f64 {
    // Stands for a denominator of zero.
    const TINY: f64 = 1e-300;
    let whole = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / whole(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for step in 1..10_000 {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut factor = 1.0;
        for term in [even, odd] {
            d = 1.0 / whole(1.0 + term * d);
            c = whole(1.0 + term / c);
            factor = c * d;
            fraction *= factor;
        }
        if (factor - 1.0).abs() < f64::EPSILON {
            break;
        }
    }
    fraction
}

/// The logarithm of the gamma function of a positive number.
fn ln_gamma(x: f64) -> f64 {
    libm::lgamma(x)
}

#[cfg(test)]
mod tests {
    use dygl_testing::draws;
    use proptest::prelude::*;

    use super::*;

    /// Two made-up networks on 16 images of 6 patients.
    const A: [f64; 16] =
        [0.91, 0.88, 0.95, 0.72, 0.93, 0.9, 0.85, 0.97, 0.6, 0.94, 0.89, 0.92, 0.96, 0.81, 0.9, 0.93];
    const B: [f64; 16] =
        [0.9, 0.86, 0.95, 0.7, 0.94, 0.85, 0.8, 0.96, 0.65, 0.9, 0.88, 0.9, 0.93, 0.8, 0.9, 0.91];
    const GROUPS: [&str; 16] =
        ["0", "0", "0", "0", "0", "1", "1", "1", "2", "2", "3", "3", "4", "4", "4", "5"];

    fn differences() -> Vec<f64> {
        A.iter().zip(B).map(|(a, b)| a - b).collect()
    }

    #[track_caller]
    fn is_near(found: f64, expected: f64) {
        assert!((found - expected).abs() <= 1e-9 * expected.abs().max(1.0), "{found} instead of {expected}");
    }

    #[test]
    fn quantiles_are_those_of_the_tables() {
        // The incomplete beta function inverted with 40 digits.
        for (probability, freedom, expected) in [
            (0.975, 1.0, 12.706_204_736_174_705),
            (0.95, 2.0, 2.919_985_580_353_726),
            (0.975, 7.0, 2.364_624_251_592_785),
            (0.975, 15.0, 2.131_449_545_559_776),
            (0.95, 30.0, 1.697_260_886_593_958),
            (0.975, 378.0, 1.966_259_635_531_865),
            (0.975, 1e6, 1.959_966_356_814_107),
            (0.025, 7.0, -2.364_624_251_592_78),
        ] {
            is_near(quantile_t(probability, freedom).expect("defined"), expected);
        }
        assert_eq!(quantile_t(0.5, 3.0).map(f64::abs).map(|t| t < 1e-12), Some(true));
    }

    #[test]
    fn the_paired_interval_is_scipys() {
        let differences = differences();
        let at = |level| mean_t(&differences, None, level).expect("defined");
        is_near(at(0.95).low, 0.001_473_016_169_650_110_3);
        is_near(at(0.95).high, 0.027_276_983_830_349_894);
        is_near(at(0.90).low, 0.003_763_523_228_217_130_5);
        is_near(at(0.90).high, 0.024_986_476_771_782_86);
    }

    #[test]
    fn groups_widen_it_as_cr2_says() {
        // Computed with 3.990074 degrees of freedom.
        let interval = mean_t(&differences(), Some(&GROUPS), 0.95).expect("defined");
        is_near(interval.low, -0.001_869_072_943_606_780_7);
        is_near(interval.high, 0.030_619_072_943_606_78);
    }

    #[test]
    fn undefined_cases_and_equal_values() {
        assert_eq!(mean_t(&[0.5], None, 0.95), None);
        assert_eq!(mean_t(&[0.5, f64::NAN], None, 0.95), None);
        assert_eq!(mean_t(&[0.5, 0.6], None, 1.0), None);
        assert_eq!(mean_t(&[0.5, 0.6], Some(&["a", "a"]), 0.95), None);
        assert_eq!(mean_t(&[0.5, 0.6], Some(&["a"]), 0.95), None);
        assert_eq!(mean_t(&[0.5; 12], None, 0.95), Some(Interval { low: 0.5, high: 0.5 }));
        for (probability, freedom) in [(0.0, 3.0), (1.0, 3.0), (0.9, 0.0), (f64::NAN, 3.0), (0.9, f64::NAN)] {
            assert_eq!(quantile_t(probability, freedom), None);
        }
    }

    proptest! {
        #![proptest_config(draws(64))]

        #[test]
        fn groups_of_one_image_change_nothing(values in proptest::collection::vec(-1.0_f64..1.0, 3..40)) {
            let names: Vec<String> = (0..values.len()).map(|i| i.to_string()).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let plain = mean_t(&values, None, 0.95).expect("defined");
            let grouped = mean_t(&values, Some(&names), 0.95).expect("defined");
            prop_assert!((plain.low - grouped.low).abs() < 1e-12 && (plain.high - grouped.high).abs() < 1e-12);
            // The textbook form, with n - 1 degrees of freedom.
            let n = values.len() as f64;
            let half = quantile_t(0.975, n - 1.0).expect("defined") * super::super::std(&values).expect("defined") / n.sqrt();
            prop_assert!((plain.high - plain.low - 2.0 * half).abs() < 1e-9);
        }

        #[test]
        fn a_quantile_has_its_probability(probability in 0.5_f64..0.999, freedom in 0.5_f64..2000.0) {
            let t = quantile_t(probability, freedom).expect("defined");
            prop_assert!((1.0 - tail_t(t, freedom) - probability).abs() < 1e-12, "{t}");
        }
    }
}
