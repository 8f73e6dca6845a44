//! Ratios as bars from one: to the right is better.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::PlotError;
use super::canvas::{Area, BLUE, Drawn, GREEN, INK, STROKE, file};

/// What is compared, in two respects.
#[derive(Debug, Clone, PartialEq)]
pub struct Ratio {
    /// Words beside the bars.
    pub name: String,
    /// Above zero.
    pub values: [f64; 2],
}

/// Places in the figure, units.
const LEFT: i32 = 210;
const RIGHT: i32 = 930;
const TOP: i32 = 60;
const BOTTOM: i32 = 505;

/// Draws a pair of bars for each on a logarithmic axis, as a file of its own;
/// `respects` names the two.
///
/// # Errors
/// plotters fails.
pub fn ratios(title: &str, respects: [&str; 2], ratios: &[Ratio]) -> Result<String, PlotError> {
    let shown: Vec<&Ratio> = ratios
        .iter()
        .filter(|ratio| ratio.values.iter().all(|value| *value > 0.0 && value.is_finite()))
        .collect();
    let said: Vec<String> = shown
        .iter()
        .map(|ratio| format!("{} {:.2} and {:.2}", ratio.name, ratio.values[0], ratio.values[1]))
        .collect();
    let description = format!("{title}, {} and {}: {}", respects[0], respects[1], said.join("; "));
    file("ratios", &description, |area| draw(area, respects, &shown))
}

/// Marks of the axis: from below the smallest to above the largest value, and one.
fn marks(values: impl Iterator<Item = f64> + Clone) -> Vec<f64> {
    const MARKS: [f64; 11] = [0.1, 0.2, 0.33, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 5.0, 10.0];
    let low = values.clone().fold(0.7, f64::min);
    let high = values.fold(1.4, f64::max);
    let first = MARKS.iter().rposition(|mark| *mark <= low).unwrap_or(0);
    let last = MARKS.iter().position(|mark| *mark >= high).unwrap_or(MARKS.len() - 1);
    MARKS[first..=last].to_vec()
}

fn draw(area: &Area<'_>, respects: [&str; 2], ratios: &[&Ratio]) -> Drawn {
    let marks = marks(ratios.iter().flat_map(|ratio| ratio.values));
    let (low, high) = (marks[0].ln(), marks[marks.len() - 1].ln());
    let place = |value: f64| {
        let part = ((value.ln() - low) / (high - low)).clamp(0.0, 1.0);
        LEFT + (part * f64::from(RIGHT - LEFT)).round() as i32
    };
    let text = |size: u32, anchor: HPos| {
        TextStyle::from(("sans-serif", size).into_font()).color(&INK).pos(Pos::new(anchor, VPos::Center))
    };
    for mark in &marks {
        let x = place(*mark);
        let ink = if *mark == 1.0 { INK.mix(0.8) } else { INK.mix(0.14) };
        area.draw(&PathElement::new(vec![(x, TOP), (x, BOTTOM - 30)], ink.stroke_width(2)))?;
        area.draw(&Text::new(format!("{mark} x"), (x, BOTTOM - 10), text(20, HPos::Center)))?;
    }
    let step = f64::from(BOTTOM - 36 - TOP) / ratios.len().max(1) as f64;
    let thick = (step * 0.36).clamp(2.0, 22.0) as i32;
    let one = place(1.0);
    for (index, ratio) in ratios.iter().enumerate() {
        let middle = TOP + ((index as f64 + 0.5) * step) as i32;
        area.draw(&Text::new(ratio.name.clone(), (LEFT - 14, middle), text(22, HPos::Right)))?;
        for (colour, value, y) in [(BLUE, ratio.values[0], middle - thick), (GREEN, ratio.values[1], middle)]
        {
            let end = place(value);
            let corners = [(one.min(end), y), (one.max(end), y + thick)];
            area.draw(&Rectangle::new(corners, colour.mix(0.85).filled()))?;
        }
    }
    for (place, (name, colour)) in respects.into_iter().zip([BLUE, GREEN]).enumerate() {
        let x = LEFT + 260 * place as i32;
        area.draw(&PathElement::new(vec![(x, 28), (x + 34, 28)], colour.stroke_width(STROKE + 6)))?;
        area.draw(&Text::new(name, (x + 46, 28), text(24, HPos::Left)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_is_told() {
        let all = [("U-Net", [1.5, 0.5]), ("nothing", [f64::NAN, 1.0])];
        let all = all.map(|(name, values)| Ratio { name: name.into(), values });
        let svg = ratios("ours & theirs", ["step", "evaluation"], &all).expect("drawn");
        assert!(svg.contains("ours &amp; theirs, step and evaluation: U-Net 1.50 and 0.50"), "{svg}");
        assert!(!svg.contains("nothing"));
        assert!(ratios("nothing", ["a", "b"], &[]).is_ok());
    }

    #[test]
    fn the_axis_holds_one_and_every_value() {
        assert_eq!(marks([1.1].into_iter()), [0.7, 1.0, 1.4]);
        assert_eq!(marks([0.4, 4.0].into_iter()), [0.33, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 5.0]);
    }
}
