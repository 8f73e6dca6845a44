//! A roofline (Williams, Waterman & Patterson 2009): what work reaches of what
//! a machine allows, over the operations that it does with each byte.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::PlotError;
use super::canvas::{Area, Axes, BLUE, Drawn, INK, STROKE, TEXT, VERMILION, axes, file};

/// What the machine does at best.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Roof {
    /// Thousand million operations a second.
    pub gflops: f64,
    /// GB/s from and to memory.
    pub gbs: f64,
}

/// One kind of work.
#[derive(Debug, Clone, PartialEq)]
pub struct Work {
    /// Words beside the chart.
    pub name: String,
    /// Operations for each byte.
    pub intensity: f64,
    /// Thousand million operations a second that it reaches.
    pub gflops: f64,
    /// Part of the whole time, 0..1: the area of its point.
    pub share: f64,
}

/// Units for the chart; the names stand beside it.
const CHART: u32 = 560;
/// Radius of work that takes all of the time.
const RADIUS: f64 = 46.0;
const SMALLEST: f64 = 10.0;
/// Names beside the chart.
const MOST: usize = 12;

/// Draws the roof and each work that has operations, named by number, as a file
/// of its own.
///
/// # Errors
/// plotters fails.
pub fn roofline(title: &str, roof: Roof, works: &[Work]) -> Result<String, PlotError> {
    let is_shown = |work: &&Work| work.gflops > 0.0 && work.intensity > 0.0 && work.gflops.is_finite();
    let works: Vec<&Work> = works.iter().filter(is_shown).take(MOST).collect();
    let description = format!(
        "Roofline of {title}: at most {:.0} GFLOP/s and {:.0} GB/s; {} kinds of operations below it",
        roof.gflops,
        roof.gbs,
        works.len()
    );
    file("roofline", &description, |area| draw(area, roof, &works))
}

/// Whole powers of ten around the values, as exponents.
fn decades(values: impl Iterator<Item = f64>) -> std::ops::Range<f64> {
    let (low, high) = values
        .map(f64::log10)
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    let (low, high) = ((low - 0.1).floor(), (high + 0.1).ceil());
    low..high.max(low + 1.0)
}

fn draw(area: &Area<'_>, roof: Roof, works: &[&Work]) -> Drawn {
    let ridge = roof.gflops / roof.gbs;
    let power = |value: &f64| match value {
        v if (v - v.round()).abs() > 1e-6 => String::new(),
        v if *v < 0.0 => format!("{:.*}", (-v).round() as usize, 10f64.powf(*v)),
        v => format!("{:.0}", 10f64.powf(*v)),
    };
    let (left, right) = area.split_horizontally(CHART);
    let frame = Axes {
        x: decades(works.iter().map(|work| work.intensity).chain([ridge])),
        y: decades(works.iter().map(|work| work.gflops).chain([roof.gflops])),
        x_title: "operations per byte",
        y_title: "GFLOP/s",
        x_format: &power,
        y_format: &power,
    };
    let mut chart = axes(&left, &frame)?;
    let top = roof.gflops.log10();
    let start = frame.y.start.max(frame.x.start + roof.gbs.log10());
    let line = vec![(start - roof.gbs.log10(), start), (ridge.log10(), top), (frame.x.end, top)];
    chart.draw_series([PathElement::new(line, INK.stroke_width(STROKE))])?;
    for (number, work) in works.iter().enumerate().rev() {
        let at = (work.intensity.log10(), work.gflops.log10());
        let radius = (RADIUS * work.share.clamp(0.0, 1.0).sqrt()).max(SMALLEST) as i32;
        let colour = if work.intensity < ridge { VERMILION } else { BLUE };
        chart.draw_series([Circle::new(at, radius, colour.mix(0.35).filled())])?;
        chart.draw_series([Circle::new(at, radius, colour.stroke_width(2))])?;
        let style = TextStyle::from(("sans-serif", 20).into_font())
            .color(&INK)
            .pos(Pos::new(HPos::Center, VPos::Center));
        chart.draw_series([Text::new((number + 1).to_string(), at, style)])?;
    }
    let style = ("sans-serif", TEXT - 6).into_font().color(&INK);
    for (number, work) in works.iter().enumerate() {
        let line = format!("{} {}, {:.0} %", number + 1, work.name, 100.0 * work.share);
        right.draw_text(&line, &style, (6, 40 + 34 * number as i32))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_work_with_operations_is_named() {
        let work = |name: &str, gflops: f64| Work { name: name.into(), intensity: 3.0, gflops, share: 0.4 };
        let roof = Roof { gflops: 170.0, gbs: 20.0 };
        let svg = roofline("a <step>", roof, &[work("linear", 40.0), work("GELU", 0.0)]).expect("drawn");
        assert!(svg.contains("1 linear, 40 %") && !svg.contains("GELU"), "{svg}");
        assert!(svg.contains("a &lt;step&gt;: at most 170 GFLOP/s and 20 GB/s; 1 kinds"));
        assert!(svg.contains("#1c1b19") && svg.contains("DejaVu Sans"));
        assert!(roofline("nothing", roof, &[]).is_ok());
    }

    #[test]
    fn decades_reach_around_their_values() {
        assert_eq!(decades([0.5, 30.0].into_iter()), -1.0..2.0);
        assert_eq!(decades([100.0].into_iter()), 1.0..3.0);
    }
}
