//! The font of all figures: DejaVu Sans, carried by the program, so that a
//! figure is the same on a machine without fonts.

use std::sync::OnceLock;

use plotters::prelude::*;

use super::PlotError;

/// Makes the font known to plotters under the name that the figures use.
pub(super) fn register() -> Result<(), PlotError> {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    let is_sound = *REGISTERED.get_or_init(|| {
        plotters::style::register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular()).is_ok()
            && plotters::style::register_font("sans-serif", FontStyle::Bold, dejavu::sans::bold()).is_ok()
    });
    let message = || PlotError { figure: "any", message: "the built-in font cannot be read".into() };
    is_sound.then_some(()).ok_or_else(message)
}

/// Width of a line of text, units.
pub(super) fn width(text: &str, size: f64) -> f64 {
    ("sans-serif", size).into_font().box_size(text).map_or(0.0, |(width, _)| f64::from(width))
}

/// The text in lines no wider than `room`, broken at spaces.
pub(super) fn wrap(text: &str, size: f64, room: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if width(&format!("{line} {word}"), size) <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_wide_as_there_is_room() {
        register().expect("built in");
        let lines = wrap("one two three four five six seven", 20.0, 130.0);
        assert!(lines.len() > 1 && lines.iter().all(|line| width(line, 20.0) <= 130.0), "{lines:?}");
        assert_eq!(lines.join(" "), "one two three four five six seven");
        assert_eq!(wrap("indivisible", 20.0, 1.0), ["indivisible"]);
    }
}
