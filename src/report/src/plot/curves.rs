//! Learning curves: the loss and its terms, the Dice on the selection part,
//! the learning rate, the gradient's norm; each a figure of its own over the epochs.

use plotters::prelude::*;

use super::PlotError;
use super::canvas::{Area, Axes, BLUE, Drawn, GREEN, STROKE, VERMILION, axes, figure, legend, plain_number};
use crate::table::results::HistoryRow;

/// More points than a figure has units across only make the page heavier.
const POINTS: usize = 400;

type Points = Vec<(f64, f64)>;

/// Loss per epoch with its two terms. `None` without a finite value.
pub fn loss(history: &[HistoryRow]) -> Result<Option<String>, PlotError> {
    let series = [
        ("Dice loss", GREEN, points(history, |r| Some(r.dice_loss))),
        ("BCE", VERMILION, points(history, |r| Some(r.bce))),
        ("loss", BLUE, points(history, |r| Some(r.loss))),
    ];
    draw("loss", "Training loss per epoch", "training loss", &series, None)
}

/// Mean Dice on the selection part. `None` where it was never scored.
pub fn selection(history: &[HistoryRow]) -> Result<Option<String>, PlotError> {
    let series = [("", BLUE, points(history, |r| r.select_dice.map(|d| d * 100.0)))];
    draw("selection", "Dice on the selection part per epoch", "selection Dice, %", &series, Some(100.0))
}

/// Learning rate per epoch. `None` without a finite value.
pub fn learning_rate(history: &[HistoryRow]) -> Result<Option<String>, PlotError> {
    let series = [("", BLUE, points(history, |r| Some(r.learning_rate)))];
    draw("learning rate", "Learning rate per epoch", "learning rate", &series, None)
}

/// Norm of the gradient, before clipping, per epoch. `None` without a finite value.
pub fn gradient_norm(history: &[HistoryRow]) -> Result<Option<String>, PlotError> {
    let series = [("", BLUE, points(history, |r| Some(r.gradient_norm)))];
    draw("gradient norm", "Norm of the gradient per epoch", "gradient norm", &series, None)
}

fn points(history: &[HistoryRow], value: impl Fn(&HistoryRow) -> Option<f64>) -> Points {
    let all: Points = history
        .iter()
        .filter_map(|row| Some((row.epoch as f64, value(row).filter(|v| v.is_finite())?)))
        .collect();
    thin(all)
}

/// At most about [`POINTS`] points; the last always stays.
fn thin(points: Points) -> Points {
    let step = points.len().div_ceil(POINTS).max(1);
    let last = points.len().saturating_sub(1);
    let kept = points.into_iter().enumerate().filter(|(index, _)| index % step == 0 || *index == last);
    kept.map(|(_, point)| point).collect()
}

fn draw(
    name: &'static str,
    description: &str,
    y_title: &str,
    series: &[(&str, RGBColor, Points)],
    ceiling: Option<f64>,
) -> Result<Option<String>, PlotError> {
    let all = || series.iter().flat_map(|(_, _, points)| points);
    let Some(last) = all().map(|p| p.0).reduce(f64::max) else { return Ok(None) };
    let Some(top) = all().map(|p| p.1).reduce(f64::max) else { return Ok(None) };
    let top = ceiling.unwrap_or(if top > 0.0 { top * 1.08 } else { 1.0 });
    let decimals = |value: &f64| on_axis(*value, top);
    let axis = Axes {
        // One epoch alone still needs an axis to stand on.
        x: 0.0..last.max(1.0),
        y: 0.0..top,
        x_title: "epoch",
        y_title,
        x_format: &plain_number,
        y_format: &decimals,
    };
    let svg = figure(name, description, |area| lines(area, &axis, series))?;
    Ok(Some(svg))
}

fn lines(area: &Area<'_>, axis: &Axes<'_>, series: &[(&str, RGBColor, Points)]) -> Drawn {
    let mut chart = axes(area, axis)?;
    for (_, colour, points) in series {
        chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(STROKE)))?;
        // Few points would hardly be seen as a line.
        if points.len() <= 50 {
            let dots = points.iter().map(|p| Circle::new(*p, STROKE + 2, colour.filled()));
            chart.draw_series(dots)?;
        }
    }
    let mut named: Vec<(&str, RGBColor)> = series.iter().map(|(name, colour, _)| (*name, *colour)).collect();
    named.retain(|(name, _)| !name.is_empty());
    named.reverse();
    legend(area, &named)
}

/// A number on an axis that ends at `top`: all of them with the same decimals.
fn on_axis(value: f64, top: f64) -> String {
    match top {
        _ if value == 0.0 => "0".to_owned(),
        top if top < 0.1 => scientific(value),
        top if top < 1.0 => format!("{value:.2}"),
        top if top < 10.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// `5e-4`, `2.5e-4`.
fn scientific(value: f64) -> String {
    let text = format!("{value:.1e}");
    text.replace(".0e", "e")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(epoch: usize, loss: f64, select_dice: Option<f64>) -> HistoryRow {
        HistoryRow {
            epoch,
            learning_rate: 5e-4,
            loss,
            bce: loss,
            dice_loss: loss,
            select_dice,
            gradient_norm: 1.0,
            seconds: 1.0,
        }
    }

    #[test]
    fn curves_exist_where_there_is_something_to_draw() {
        let history = [row(1, 0.9, None), row(2, 0.5, None)];
        assert!(loss(&history).expect("drawn").expect("some").contains("polyline"));
        assert!(learning_rate(&history).expect("drawn").expect("some").contains("e-4"));
        assert_eq!(selection(&history), Ok(None));
        assert_eq!(loss(&[]), Ok(None));
        assert_eq!(loss(&[row(1, f64::NAN, None)]), Ok(None));
    }

    #[test]
    fn one_epoch_is_a_dot() {
        let svg = selection(&[row(1, 0.9, Some(0.5))]).expect("drawn").expect("some");
        assert!(svg.contains("<circle"));
    }

    #[test]
    fn long_histories_are_thinned_and_keep_their_end() {
        let many: Points = (0..10_000).map(|i| (f64::from(i), 0.0)).collect();
        let thinned = thin(many);
        assert!(thinned.len() <= POINTS + 1);
        assert_eq!(thinned.last(), Some(&(9999.0, 0.0)));
    }

    #[test]
    fn an_axis_has_the_same_decimals_throughout() {
        assert_eq!([0.0, 0.5, 1.0, 1.5].map(|value| on_axis(value, 2.1)), ["0", "0.5", "1.0", "1.5"]);
        assert_eq!([0.2, 0.4].map(|value| on_axis(value, 0.9)), ["0.20", "0.40"]);
        assert_eq!((on_axis(2e-4, 5e-4), on_axis(60.0, 100.0)), ("2e-4".to_owned(), "60".to_owned()));
    }

    #[test]
    fn small_numbers_are_readable() {
        assert_eq!((scientific(5e-4), scientific(2.5e-4)), ("5e-4".to_owned(), "2.5e-4".to_owned()));
    }
}
