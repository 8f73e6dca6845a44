//! What all figures share: colours, sizes, axes, and the step from what
//! plotters writes to an SVG that follows the page.

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::{PlotError, font};

/// Okabe and Ito's colours.
pub(super) const BLUE: RGBColor = RGBColor(0, 114, 178);
pub(super) const VERMILION: RGBColor = RGBColor(213, 94, 0);
pub(super) const GREEN: RGBColor = RGBColor(0, 158, 115);

/// Stands for the colour of the page's text until [`finish`] puts
/// `currentColor` in its place. No figure uses it for anything else.
pub(super) const INK: RGBColor = RGBColor(1, 2, 3);
const INK_AS_WRITTEN: &str = "#010203";

/// plotters rounds to whole units, so a figure is drawn at twice the size at
/// which it is shown.
const SIZE: (u32, u32) = (960, 520);
pub(super) const TEXT: u32 = 27;
pub(super) const STROKE: u32 = 4;

pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(super) type Chart<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
pub(super) type Drawn = Result<(), Box<dyn std::error::Error>>;

/// What the axes say.
pub(super) struct Axes<'t> {
    pub(super) x: std::ops::Range<f64>,
    pub(super) y: std::ops::Range<f64>,
    pub(super) x_title: &'t str,
    pub(super) y_title: &'t str,
    pub(super) x_format: &'t dyn Fn(&f64) -> String,
    pub(super) y_format: &'t dyn Fn(&f64) -> String,
}

/// Runs `draw` on a fresh canvas and returns the SVG. `description` is what a
/// screen reader says.
pub(super) fn figure(
    name: &'static str,
    description: &str,
    draw: impl for<'a> FnOnce(&Area<'a>) -> Drawn,
) -> Result<String, PlotError> {
    Ok(finish(&drawn(name, draw)?, SIZE, description))
}

/// The same as a file of its own.
pub(super) fn file(
    name: &'static str,
    description: &str,
    draw: impl for<'a> FnOnce(&Area<'a>) -> Drawn,
) -> Result<String, PlotError> {
    Ok(alone(&drawn(name, draw)?, description))
}

fn drawn(name: &'static str, draw: impl for<'a> FnOnce(&Area<'a>) -> Drawn) -> Result<String, PlotError> {
    font::register()?;
    let failed = |error: &dyn std::fmt::Display| PlotError { figure: name, message: error.to_string() };
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        draw(&area).map_err(|e| failed(&e))?;
        area.present().map_err(|e| failed(&e))?;
    }
    Ok(svg)
}

/// Axes, a light grid and their titles.
pub(super) fn axes<'a>(area: &Area<'a>, axes: &Axes<'_>) -> Result<Chart<'a>, Box<dyn std::error::Error>> {
    let mut chart = ChartBuilder::on(area)
        .margin(10)
        .margin_right(26)
        .margin_top(22)
        .x_label_area_size(80)
        .y_label_area_size(118)
        .build_cartesian_2d(axes.x.clone(), axes.y.clone())?;
    let text = ("sans-serif", TEXT).into_font().color(&INK);
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(6)
        .y_labels(7)
        .x_desc(axes.x_title)
        .y_desc(axes.y_title)
        .x_label_formatter(axes.x_format)
        .y_label_formatter(axes.y_format)
        .label_style(text.clone())
        .axis_desc_style(text)
        .axis_style(INK.mix(0.6).stroke_width(2))
        .bold_line_style(INK.mix(0.14).stroke_width(2))
        .light_line_style(INK.mix(0.0))
        .draw()?;
    Ok(chart)
}

/// Names the series in the upper right corner, each in its colour.
pub(super) fn legend(area: &Area<'_>, entries: &[(&str, RGBColor)]) -> Drawn {
    // Widths of text are not known before a page lays it out: a generous
    // estimate, right to left.
    let mut right = SIZE.0 as i32 - 30;
    for (name, colour) in entries.iter().rev() {
        let width = (name.chars().count() as f64 * f64::from(TEXT) * 0.56) as i32;
        let style = ("sans-serif", TEXT).into_font().color(&INK);
        area.draw_text(name, &style, (right - width, 26))?;
        let y = 38;
        let line = PathElement::new(
            vec![(right - width - 46, y), (right - width - 10, y)],
            colour.stroke_width(STROKE + 2),
        );
        area.draw(&line)?;
        right -= width + 84;
    }
    Ok(())
}

/// Whole numbers without a fraction, others with two decimals.
pub(super) fn plain_number(value: &f64) -> String {
    if (value - value.round()).abs() < 1e-9 { format!("{value:.0}") } else { format!("{value:.2}") }
}

/// The SVG without fixed size, in the page's ink and font, and described.
pub(super) fn finish(svg: &str, (width, height): (u32, u32), description: &str) -> String {
    let opening = format!("<svg width=\"{width}\" height=\"{height}\"");
    let described = crate::table::markup::escape(description);
    let svg =
        svg.replacen(&opening, &format!("<svg class=\"plot\" role=\"img\" aria-label=\"{described}\""), 1);
    svg.replace(INK_AS_WRITTEN, "currentColor").replace(" font-family=\"sans-serif\"", "")
}

/// The SVG as a file of its own: on white, in a font that most machines have.
pub(super) fn alone(svg: &str, description: &str) -> String {
    let described = crate::table::markup::escape(description);
    let svg = svg.replacen("<svg ", &format!("<svg role=\"img\" aria-label=\"{described}\" "), 1);
    let white = "\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>";
    let body = svg.find('>').map_or(svg.len(), |end| end + 1);
    let svg = format!("{}{white}{}", &svg[..body], &svg[body..]);
    svg.replace(INK_AS_WRITTEN, "#1c1b19")
        .replace("font-family=\"sans-serif\"", "font-family=\"DejaVu Sans, Verdana, sans-serif\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_follow_the_page() {
        let svg = figure("test", "a \"test\" & more", |area| {
            axes(
                area,
                &Axes {
                    x: 0.0..1.0,
                    y: 0.0..1.0,
                    x_title: "x <1>",
                    y_title: "y",
                    x_format: &plain_number,
                    y_format: &plain_number,
                },
            )?;
            legend(area, &[("a", BLUE), ("b", GREEN)])
        })
        .expect("drawn");
        assert!(
            svg.starts_with("<svg class=\"plot\" role=\"img\" aria-label=\"a &quot;test&quot; &amp; more\"")
        );
        assert!(svg.trim_end().ends_with("</svg>"));
        assert!(svg.contains("currentColor") && !svg.contains(INK_AS_WRITTEN) && !svg.contains("sans-serif"));
        assert!(svg.contains("x &lt;1&gt;"));
    }
}
