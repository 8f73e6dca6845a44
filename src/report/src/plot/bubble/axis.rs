//! An axis with round ticks.

/// One axis: its range and the distance of its ticks.
pub(super) struct Axis {
    pub(super) title: &'static str,
    low: f64,
    high: f64,
    step: f64,
}

impl Axis {
    /// From zero, or from below the smallest value, to above the largest.
    pub(super) fn new(
        title: &'static str,
        values: impl Iterator<Item = f64> + Clone,
        from_zero: bool,
    ) -> Self {
        let highest = values.clone().fold(f64::NEG_INFINITY, f64::max);
        let lowest = if from_zero { 0.0 } else { values.fold(f64::INFINITY, f64::min) };
        let (lowest, highest) =
            if lowest.is_finite() && highest.is_finite() { (lowest, highest) } else { (0.0, 1.0) };
        let reach = (highest - lowest).max(1.0);
        let step = nice(reach / 6.0);
        // Bubbles reach beyond their points.
        let low = if from_zero { 0.0 } else { ((lowest - 0.1 * reach) / step).floor() * step };
        Self { title, low, high: highest + 0.12 * reach, step }
    }

    pub(super) fn ticks(&self) -> impl Iterator<Item = f64> {
        let first = (self.low / self.step).ceil() as i64;
        let last = (self.high / self.step).floor() as i64;
        let step = self.step;
        (first..=last).map(move |index| index as f64 * step)
    }

    /// A tick as it is lettered.
    pub(super) fn text(&self, tick: f64) -> String {
        if self.step < 1.0 { format!("{tick:.1}") } else { format!("{tick:.0}") }
    }

    /// Share of the axis at a value.
    pub(super) fn at(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }
}

/// 1, 2 or 5 times a power of ten, at least `step`.
fn nice(step: f64) -> f64 {
    let magnitude = 10_f64.powf(step.log10().floor());
    let nice = [1.0, 2.0, 5.0, 10.0].into_iter().find(|digit| digit * magnitude >= step);
    nice.unwrap_or(10.0) * magnitude
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_hold_all_points_and_have_round_ticks() {
        let axis = Axis::new("x", [2.6, 42.6].into_iter(), true);
        assert_eq!((axis.low, axis.step), (0.0, 10.0));
        assert_eq!(axis.ticks().collect::<Vec<_>>(), [0.0, 10.0, 20.0, 30.0, 40.0]);
        let axis = Axis::new("y", [85.43, 90.72].into_iter(), false);
        assert!(axis.low < 85.43 && axis.high > 90.72 && axis.step == 1.0);
        assert!(Axis::new("none", std::iter::empty(), false).ticks().count() > 1);
        assert_eq!([0.3, 1.0, 3.0, 70.0].map(nice), [0.5, 1.0, 5.0, 100.0]);
    }
}
