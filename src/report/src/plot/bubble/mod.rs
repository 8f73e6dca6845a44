//! Bubble charts of accuracy against cost (Figure 1), as SVG and PNG.
//!
//! | view | x | y | bubble |
//! |---|---|---|---|
//! | [`View::Accuracy`] | operations | mDice | area: parameters; colour: family |
//! | [`View::Costs`] (the paper's) | parameters | operations | radius and colour: mDice |
//!
//! Families have Okabe and Ito's colours, mDice has viridis; every bubble is
//! named, so that no colour carries a meaning alone. A filled point marks a mean
//! Dice that was reproduced, a hollow one the paper's.

mod axis;
mod pen;

use dygl_spec::network::Group;
use image::{ImageFormat, RgbImage, imageops};
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use self::axis::Axis;
use self::pen::Pen;
use super::PlotError;
use super::canvas::{BLUE, Drawn, GREEN, INK, VERMILION, alone, finish};
use super::font;
use super::labels::{LEADER, Labelled, Rect, place};

const ORANGE: RGBColor = RGBColor(230, 159, 0);

/// The figure, units.
const SIZE: (f64, f64) = (1200.0, 800.0);
/// The axes' frame in it.
const FRAME: Rect = Rect { left: 96.0, top: 24.0, right: 950.0, bottom: 640.0 };
const TEXT: f64 = 19.0;
const SMALL: f64 = 16.0;
const LINE: f64 = 23.0;
/// Radius of the largest bubble, and of the smallest where size is mDice.
const RADIUS: (f64, f64) = (12.0, 44.0);
/// The bitmap is drawn at this scale and halved: plotters does not smooth.
const BITMAP: f64 = 3.0;

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Mean Dice over operations.
    Accuracy,
    /// Operations over parameters.
    Costs,
}

/// One network.
#[derive(Debug, Clone, PartialEq)]
pub struct Bubble {
    /// Words beside the bubble.
    pub label: String,
    /// Family, which gives the colour in [`View::Accuracy`].
    pub group: Group,
    /// Millions.
    pub parameters: f64,
    /// Thousand millions of multiply-accumulates.
    pub operations: f64,
    /// Mean Dice, percent.
    pub dice: f64,
    /// Whether that is the paper's.
    pub is_reported: bool,
}

/// A drawn figure in its three forms.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawing {
    /// For a page: takes its ink and font.
    pub inline: String,
    /// A file of its own.
    pub svg: String,
    /// The same as a bitmap file.
    pub png: Vec<u8>,
}

/// Draws the networks; the caption, below the axes, says what is counted and how.
///
/// # Errors
/// plotters, or the PNG encoder, fails.
pub fn bubbles(view: View, bubbles: &[Bubble], caption: &str) -> Result<Drawing, PlotError> {
    font::register()?;
    let failed = |error: &dyn std::fmt::Display| PlotError { figure: "bubbles", message: error.to_string() };
    let chart = Chart::new(view, bubbles, caption);
    let size = |scale: f64| ((SIZE.0 * scale) as u32, (SIZE.1 * scale) as u32);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size(1.0)).into_drawing_area();
        chart.draw(&Pen { area: &area, scale: 1.0, drop: 0.0 }).map_err(|e| failed(&e))?;
        area.present().map_err(|e| failed(&e))?;
    }
    let (width, height) = size(BITMAP);
    let mut pixels = RgbImage::from_pixel(width, height, image::Rgb([255; 3]));
    {
        let area = BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area();
        chart.draw(&Pen { area: &area, scale: BITMAP, drop: 0.14 }).map_err(|e| failed(&e))?;
        area.present().map_err(|e| failed(&e))?;
    }
    let halved = imageops::thumbnail(&pixels, width / 2, height / 2);
    let mut png = std::io::Cursor::new(Vec::new());
    halved.write_to(&mut png, ImageFormat::Png).map_err(|e| failed(&e))?;
    let description = chart.description();
    Ok(Drawing {
        inline: finish(&svg, size(1.0), &description),
        svg: alone(&svg, &description),
        png: png.into_inner(),
    })
}

/// Everything laid out in units of the figure.
struct Chart<'a> {
    view: View,
    bubbles: &'a [Bubble],
    caption: &'a str,
    x: Axis,
    y: Axis,
    dice: (f64, f64),
    most_parameters: f64,
}

impl<'a> Chart<'a> {
    fn new(view: View, bubbles: &'a [Bubble], caption: &'a str) -> Self {
        let of = |value: fn(&Bubble) -> f64| bubbles.iter().map(value);
        let operations = || of(|bubble| bubble.operations);
        let (x, y) = match view {
            View::Accuracy => (
                Axis::new("operations, G", operations(), true),
                Axis::new("mDice, %", of(|bubble| bubble.dice), false),
            ),
            View::Costs => (
                Axis::new("parameters, M", of(|bubble| bubble.parameters), true),
                Axis::new("operations, G", operations(), true),
            ),
        };
        Self {
            view,
            bubbles,
            caption,
            x,
            y,
            dice: (
                of(|bubble| bubble.dice).fold(f64::INFINITY, f64::min),
                of(|bubble| bubble.dice).fold(f64::NEG_INFINITY, f64::max),
            ),
            most_parameters: of(|bubble| bubble.parameters).fold(1e-9, f64::max),
        }
    }

    fn point(&self, bubble: &Bubble) -> (f64, f64) {
        let (x, y) = match self.view {
            View::Accuracy => (bubble.operations, bubble.dice),
            View::Costs => (bubble.parameters, bubble.operations),
        };
        (
            FRAME.left + self.x.at(x) * (FRAME.right - FRAME.left),
            FRAME.bottom - self.y.at(y) * (FRAME.bottom - FRAME.top),
        )
    }

    /// Where a mean Dice stands between the lowest and the highest.
    fn height(&self, dice: f64) -> f64 {
        let (low, high) = self.dice;
        if high > low { (dice - low) / (high - low) } else { 1.0 }
    }

    fn radius(&self, parameters: f64, dice: f64) -> f64 {
        match self.view {
            // Area tells the amount.
            View::Accuracy => RADIUS.1 * (parameters / self.most_parameters).sqrt(),
            View::Costs => RADIUS.0 + self.height(dice) * (RADIUS.1 - RADIUS.0),
        }
    }

    fn colour(&self, bubble: &Bubble) -> RGBColor {
        match self.view {
            View::Accuracy => family(bubble.group),
            View::Costs => viridis(self.height(bubble.dice)),
        }
    }

    fn draw<DB: DrawingBackend>(&self, pen: &Pen<'_, DB>) -> Drawn
    where
        DB::ErrorType: 'static,
    {
        self.axes(pen)?;
        let placed: Vec<Labelled> = self.bubbles.iter().map(|bubble| self.labelled(bubble)).collect();
        // The large ones first, so that none hides another.
        let mut order: Vec<usize> = (0..placed.len()).collect();
        order.sort_by(|a, b| placed[*b].radius.total_cmp(&placed[*a].radius));
        for index in &order {
            let colour = self.colour(&self.bubbles[*index]);
            let Labelled { x, y, radius, .. } = placed[*index];
            pen.circle((x, y), radius, colour.mix(0.55).filled())?;
            pen.circle((x, y), radius, INK.mix(0.65).stroke_width(pen.width(1.4)))?;
        }
        let labels = place(&placed, &FRAME);
        for (bubble, label) in placed.iter().zip(&labels) {
            let (x, y) = label.nearest(bubble.x, bubble.y);
            let distance = (x - bubble.x).hypot(y - bubble.y);
            if distance > bubble.radius + LEADER {
                let rim = |to: f64, from: f64| from + (to - from) * bubble.radius / distance;
                pen.line(&[(rim(x, bubble.x), rim(y, bubble.y)), (x, y)], INK.mix(0.6), 1.2)?;
            }
        }
        for (index, bubble) in self.bubbles.iter().enumerate() {
            pen.point((placed[index].x, placed[index].y), bubble.is_reported)?;
            let label = &labels[index];
            let middle = (label.left, (label.top + label.bottom) / 2.0);
            pen.text(&bubble.label, middle, TEXT, HPos::Left)?;
        }
        self.legend(pen)?;
        let lines = font::wrap(self.caption, SMALL, SIZE.0 - 60.0);
        for (index, line) in lines.iter().enumerate() {
            pen.text(line, (30.0, FRAME.bottom + 92.0 + index as f64 * (LINE - 3.0)), SMALL, HPos::Left)?;
        }
        Ok(())
    }

    fn labelled(&self, bubble: &Bubble) -> Labelled {
        let (x, y) = self.point(bubble);
        Labelled {
            x,
            y,
            radius: self.radius(bubble.parameters, bubble.dice),
            width: font::width(&bubble.label, TEXT) + 2.0,
            height: TEXT + 2.0,
        }
    }

    fn axes<DB: DrawingBackend>(&self, pen: &Pen<'_, DB>) -> Drawn
    where
        DB::ErrorType: 'static,
    {
        for tick in self.y.ticks() {
            let y = FRAME.bottom - self.y.at(tick) * (FRAME.bottom - FRAME.top);
            pen.line(&[(FRAME.left, y), (FRAME.right, y)], INK.mix(0.14), 1.0)?;
            pen.text(&self.y.text(tick), (FRAME.left - 10.0, y), TEXT, HPos::Right)?;
        }
        for tick in self.x.ticks() {
            let x = FRAME.left + self.x.at(tick) * (FRAME.right - FRAME.left);
            pen.line(&[(x, FRAME.bottom), (x, FRAME.bottom + 7.0)], INK.mix(0.6), 1.0)?;
            pen.text(&self.x.text(tick), (x, FRAME.bottom + 22.0), TEXT, HPos::Center)?;
        }
        let frame = [(FRAME.left, FRAME.top), (FRAME.left, FRAME.bottom), (FRAME.right, FRAME.bottom)];
        pen.line(&frame, INK.mix(0.6), 1.2)?;
        let centre = ((FRAME.left + FRAME.right) / 2.0, (FRAME.top + FRAME.bottom) / 2.0);
        pen.text(self.x.title, (centre.0, FRAME.bottom + 52.0), TEXT, HPos::Center)?;
        pen.upright(self.y.title, (24.0, centre.1), TEXT)
    }

    fn legend<DB: DrawingBackend>(&self, pen: &Pen<'_, DB>) -> Drawn
    where
        DB::ErrorType: 'static,
    {
        let left = FRAME.right + 30.0;
        let mut y = FRAME.top + 14.0;
        match self.view {
            View::Accuracy => {
                for group in [Group::Cnn, Group::Transformer, Group::Hybrid, Group::Ours] {
                    if self.bubbles.iter().any(|bubble| bubble.group == group) {
                        pen.circle((left + 10.0, y), 10.0, family(group).mix(0.55).filled())?;
                        pen.circle((left + 10.0, y), 10.0, INK.mix(0.65).stroke_width(pen.width(1.4)))?;
                        pen.text(group.label(), (left + 30.0, y), TEXT, HPos::Left)?;
                        y += LINE + 6.0;
                    }
                }
                y += 24.0;
                pen.text("area: parameters", (left, y), SMALL, HPos::Left)?;
                y += 16.0;
                for parameters in [5.0, 20.0, 40.0] {
                    let radius = self.radius(parameters, self.dice.0);
                    y += radius + 6.0;
                    pen.circle((left + RADIUS.1, y), radius, INK.mix(0.65).stroke_width(pen.width(1.4)))?;
                    let words = format!("{parameters} M");
                    pen.text(&words, (left + 2.0 * RADIUS.1 + 14.0, y), TEXT, HPos::Left)?;
                    y += radius + 6.0;
                }
            }
            View::Costs => {
                pen.text("radius and colour:", (left, y), SMALL, HPos::Left)?;
                pen.text("mDice, %", (left, y + LINE - 3.0), SMALL, HPos::Left)?;
                y += 2.0 * LINE;
                let (low, high) = self.dice;
                for step in 0..5 {
                    let dice = high - f64::from(step) * (high - low) / 4.0;
                    let radius = self.radius(0.0, dice);
                    y += radius + 5.0;
                    let colour = viridis(self.height(dice));
                    pen.circle((left + RADIUS.1, y), radius, colour.mix(0.55).filled())?;
                    pen.circle((left + RADIUS.1, y), radius, INK.mix(0.65).stroke_width(pen.width(1.4)))?;
                    let words = format!("{dice:.1}");
                    pen.text(&words, (left + 2.0 * RADIUS.1 + 14.0, y), TEXT, HPos::Left)?;
                    y += radius + 5.0;
                }
            }
        }
        y += 30.0;
        for (is_reported, words) in [(true, "mDice as reported"), (false, "mDice reproduced")] {
            if self.bubbles.iter().any(|bubble| bubble.is_reported == is_reported) {
                pen.point((left + 10.0, y), is_reported)?;
                pen.text(words, (left + 30.0, y), SMALL, HPos::Left)?;
                y += LINE + 4.0;
            }
        }
        Ok(())
    }

    /// For a screen reader.
    fn description(&self) -> String {
        let one = |bubble: &Bubble| {
            format!(
                "{}: {:.2} M parameters, {:.2} G operations, mDice {:.2} %",
                bubble.label, bubble.parameters, bubble.operations, bubble.dice
            )
        };
        let all: Vec<String> = self.bubbles.iter().map(one).collect();
        format!("Bubble chart of {} over {}. {}", self.y.title, self.x.title, all.join("; "))
    }
}

fn family(group: Group) -> RGBColor {
    match group {
        Group::Cnn => BLUE,
        Group::Transformer => ORANGE,
        Group::Hybrid => GREEN,
        Group::Ours => VERMILION,
    }
}

fn viridis(share: f64) -> RGBColor {
    ViridisRGB.get_color(share.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use dygl_spec::name::Named;
    use dygl_spec::{network, reported};

    use super::*;

    /// Table 7, as printed.
    fn paper() -> Vec<Bubble> {
        let printed = reported::embedded().expect("readable");
        let value = |model: &Named, metric| printed.value(7, "all", model, metric).expect("printed").value;
        network::NETWORKS
            .iter()
            .map(|network| {
                let model = Named::plain(network.name);
                Bubble {
                    label: network.label.into(),
                    group: network.group,
                    parameters: value(&model, "params_m"),
                    operations: value(&model, "flops_g"),
                    dice: value(&model, "mdice"),
                    is_reported: network.name != "dyglnet",
                }
            })
            .collect()
    }

    #[test]
    fn no_label_hides_another() {
        font::register().expect("built in");
        let bubbles = paper();
        for view in [View::Accuracy, View::Costs] {
            let chart = Chart::new(view, &bubbles, "");
            let placed: Vec<Labelled> = bubbles.iter().map(|bubble| chart.labelled(bubble)).collect();
            let labels = place(&placed, &FRAME);
            for (index, label) in labels.iter().enumerate() {
                assert!(label.is_within(&FRAME), "{view:?}: {}", bubbles[index].label);
                let hides = labels[..index].iter().position(|other| label.overlap(other) > 0.0);
                assert!(hides.is_none(), "{view:?}: {}", bubbles[index].label);
            }
        }
    }

    #[test]
    fn all_forms_are_drawn_and_the_same_twice() {
        let caption = "One image of 224 x 224.";
        let drawing = bubbles(View::Accuracy, &paper(), caption).expect("drawn");
        for form in [&drawing.inline, &drawing.svg] {
            assert!(form.contains("DyGLNet") && form.contains(caption), "{form}");
        }
        assert!(drawing.inline.contains("currentColor") && !drawing.svg.contains("currentColor"));
        let picture = image::load_from_memory(&drawing.png).expect("a PNG").into_rgb8();
        assert_eq!(picture.dimensions(), (1800, 1200));
        let coloured = picture.pixels().filter(|p| p.0.iter().max() > p.0.iter().min()).count();
        assert!(coloured > 10_000, "{coloured}");
        assert_eq!(bubbles(View::Accuracy, &paper(), caption), Ok(drawing));
    }

    #[test]
    fn no_network_is_an_empty_frame() {
        assert!(bubbles(View::Costs, &[], "nothing").expect("drawn").svg.contains("nothing"));
    }
}
