//! Distributions over images: of a score, of the foreground. A histogram,
//! with the mean and the median drawn in.

use dygl_base::stats;
use dygl_spec::metric::Metric;
use plotters::prelude::*;

use super::PlotError;
use super::canvas::{Area, Axes, BLUE, Drawn, INK, STROKE, VERMILION, axes, figure, legend, plain_number};

/// Bins of 5 % each.
const BINS: usize = 20;

/// Histogram of a score's values in 0..1. `None` without a finite value.
pub fn distribution(metric: Metric, scores: &[f64]) -> Result<Option<String>, PlotError> {
    let values: Vec<f64> = scores.iter().copied().filter(|v| v.is_finite()).collect();
    let (Some(mean), Some(median)) = (stats::mean(&values), stats::median(&values)) else { return Ok(None) };
    let counts = count(&values);
    let most = counts.iter().copied().max().unwrap_or(1).max(1);
    let axis = Axes {
        x: 0.0..100.0,
        y: 0.0..most as f64 * 1.18,
        x_title: &format!("{} of an image, %", metric.label()),
        y_title: "images",
        x_format: &plain_number,
        y_format: &whole_only,
    };
    let description = format!(
        "Histogram of the {} of {} images; mean {:.2} %, median {:.2} %",
        metric.label(),
        values.len(),
        mean * 100.0,
        median * 100.0
    );
    let draw = |area: &Area<'_>| bars(area, &axis, &counts, mean * 100.0, median * 100.0);
    figure("distribution", &description, draw).map(Some)
}

/// Histogram of the share of foreground of each mask, from its counts in
/// [`BINS`] bins; mean and median in 0..1.
pub fn foreground_distribution(counts: &[usize; BINS], mean: f64, median: f64) -> Result<String, PlotError> {
    let most = counts.iter().copied().max().unwrap_or(1).max(1);
    let axis = Axes {
        x: 0.0..100.0,
        y: 0.0..most as f64 * 1.18,
        x_title: "foreground of a mask, %",
        y_title: "images",
        x_format: &plain_number,
        y_format: &whole_only,
    };
    let description = format!(
        "Histogram of the foreground of {} masks; mean {:.2} %, median {:.2} %",
        counts.iter().sum::<usize>(),
        mean * 100.0,
        median * 100.0
    );
    let draw = |area: &Area<'_>| bars(area, &axis, counts, mean * 100.0, median * 100.0);
    figure("foreground distribution", &description, draw)
}

/// Images per bin; 1.0 belongs to the last.
fn count(values: &[f64]) -> [usize; BINS] {
    let mut counts = [0; BINS];
    for value in values {
        // A float becomes an index by saturation: nothing falls outside.
        let bin = (value * BINS as f64) as usize;
        counts[bin.min(BINS - 1)] += 1;
    }
    counts
}

fn bars(area: &Area<'_>, axis: &Axes<'_>, counts: &[usize; BINS], mean: f64, median: f64) -> Drawn {
    let mut chart = axes(area, axis)?;
    let width = 100.0 / BINS as f64;
    for (index, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let left = index as f64 * width;
        let bar = [(left + 0.3, 0.0), (left + width - 0.3, *count as f64)];
        chart.draw_series([Rectangle::new(bar, BLUE.mix(0.75).filled())])?;
    }
    let top = axis.y.end * 0.93;
    let line = |at: f64| vec![(at, 0.0), (at, top)];
    chart.draw_series([PathElement::new(line(median), INK.stroke_width(STROKE))])?;
    chart.draw_series([PathElement::new(line(mean), VERMILION.stroke_width(STROKE))])?;
    // The lines are named in the legend, in their colours: labels at the
    // lines would collide where mean and median are close.
    legend(area, &[("mean", VERMILION), ("median", INK)])
}

/// Counts have no fractions.
fn whole_only(value: &f64) -> String {
    if (value - value.round()).abs() < 1e-9 { format!("{value:.0}") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_a_bin() {
        let counts = count(&[0.0, 0.049, 0.05, 0.999, 1.0, 1.5, -0.1]);
        assert_eq!((counts[0], counts[1], counts[19]), (3, 1, 3));
    }

    #[test]
    fn nothing_is_not_drawn() {
        assert_eq!(distribution(Metric::Dice, &[]), Ok(None));
        assert_eq!(distribution(Metric::Dice, &[f64::NAN]), Ok(None));
    }

    #[test]
    fn the_description_says_what_is_seen() {
        let svg = distribution(Metric::Iou, &[0.5, 0.9, 1.0]).expect("drawn").expect("some");
        assert!(svg.contains("IoU of 3 images; mean 80.00 %, median 90.00 %"));
    }
}
