//! Drawing on any of plotters' backends, in units of the figure.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::plot::canvas::{Drawn, INK};

/// Draws in units of the figure, whatever the scale.
pub(super) struct Pen<'a, DB: DrawingBackend> {
    pub(super) area: &'a DrawingArea<DB, Shift>,
    pub(super) scale: f64,
    /// By how much of its size text is lowered: plotters centres the line of a
    /// bitmap, not its letters.
    pub(super) drop: f64,
}

impl<DB: DrawingBackend> Pen<'_, DB>
where
    DB::ErrorType: 'static,
{
    fn at(&self, (x, y): (f64, f64)) -> (i32, i32) {
        ((x * self.scale).round() as i32, (y * self.scale).round() as i32)
    }

    pub(super) fn width(&self, units: f64) -> u32 {
        (units * self.scale).round().max(1.0) as u32
    }

    pub(super) fn circle(&self, centre: (f64, f64), radius: f64, style: ShapeStyle) -> Drawn {
        self.area.draw(&Circle::new(self.at(centre), (radius * self.scale).round() as i32, style))?;
        Ok(())
    }

    /// The exact place of a bubble: filled where it was reproduced.
    pub(super) fn point(&self, at: (f64, f64), is_reported: bool) -> Drawn {
        if is_reported {
            self.circle(at, 4.5, WHITE.filled())?;
            self.circle(at, 4.5, INK.stroke_width(self.width(1.8)))
        } else {
            self.circle(at, 4.5, INK.filled())
        }
    }

    pub(super) fn line(&self, points: &[(f64, f64)], colour: RGBAColor, width: f64) -> Drawn {
        let points: Vec<(i32, i32)> = points.iter().map(|point| self.at(*point)).collect();
        self.area.draw(&PathElement::new(points, colour.stroke_width(self.width(width))))?;
        Ok(())
    }

    pub(super) fn text(&self, text: &str, at: (f64, f64), size: f64, anchor: HPos) -> Drawn {
        let style = TextStyle::from(("sans-serif", size * self.scale).into_font())
            .color(&INK)
            .pos(Pos::new(anchor, VPos::Center));
        self.area.draw(&Text::new(text, self.at((at.0, at.1 + self.drop * size)), style))?;
        Ok(())
    }

    /// Text that runs upwards, centred.
    pub(super) fn upright(&self, text: &str, at: (f64, f64), size: f64) -> Drawn {
        let style = TextStyle::from(("sans-serif", size * self.scale).into_font())
            .transform(FontTransform::Rotate270)
            .color(&INK)
            .pos(Pos::new(HPos::Center, VPos::Center));
        self.area.draw(&Text::new(text, self.at(at), style))?;
        Ok(())
    }
}
