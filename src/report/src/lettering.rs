//! Text on pictures: Noto Sans Mono, rasterised within its crate, so that no
//! font of the machine is needed and every machine draws the same.

use image::{Rgb, RgbImage};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

const SIZE: RasterHeight = RasterHeight::Size16;

/// Height of a line, pixels.
pub(super) const LINE: u32 = SIZE.val() as u32 + 2;
/// Width of a letter, pixels.
const LETTER: u32 = get_raster_width(FontWeight::Regular, SIZE) as u32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    Regular,
    Bold,
}

/// Letters that fit into a width.
pub(super) fn fitting(width: u32) -> usize {
    (width / LETTER) as usize
}

/// Writes one line with its upper left corner at (x, y). What does not fit on
/// the picture is cut; letters beyond ASCII become `?`.
pub(super) fn write(on: &mut RgbImage, (x, y): (u32, u32), text: &str, weight: Weight, ink: Rgb<u8>) {
    let weight = match weight {
        Weight::Regular => FontWeight::Regular,
        Weight::Bold => FontWeight::Bold,
    };
    for (place, letter) in text.chars().enumerate() {
        let Some(glyph) = get_raster(letter, weight, SIZE).or_else(|| get_raster('?', weight, SIZE)) else {
            continue;
        };
        let left = x + place as u32 * LETTER;
        for (row, values) in (y..).zip(glyph.rows()) {
            for (column, value) in (left..).zip(values) {
                if column < on.width() && row < on.height() {
                    let share = f32::from(*value) / 255.0;
                    let pixel = on.get_pixel_mut(column, row);
                    for (below, ink) in pixel.0.iter_mut().zip(ink.0) {
                        *below = (f32::from(*below) * (1.0 - share) + f32::from(ink) * share).round() as u8;
                    }
                }
            }
        }
    }
}

/// The lines that a text takes in a width, broken at blanks where it can be.
pub(super) fn wrapped(text: &str, width: u32) -> Vec<String> {
    let most = fitting(width).max(1);
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        let last = lines.last().map_or(0, |line| line.chars().count());
        if last > 0 && last + 1 + word.len() > most {
            lines.push(String::new());
        }
        while word.len() > most {
            let rest = word.split_off(most);
            lines.extend([word.into_iter().collect(), String::new()]);
            word = rest;
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.extend(word);
        }
    }
    lines.retain(|line| !line.is_empty());
    lines
}

/// The text, or as much of its end as fits, after `~`.
pub(super) fn shortened(text: &str, width: u32) -> String {
    let (most, length) = (fitting(width), text.chars().count());
    if length <= most {
        return text.to_owned();
    }
    let skipped = length + 1 - most.max(1);
    std::iter::once('~').chain(text.chars().skip(skipped)).take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_leave_ink_and_stay_on_the_picture() {
        let ink = |text: &str| {
            let mut picture = RgbImage::from_pixel(60, 20, Rgb([255; 3]));
            write(&mut picture, (2, 1), text, Weight::Regular, Rgb([0; 3]));
            picture.pixels().filter(|p| p.0[0] < 128).count()
        };
        assert_eq!(ink("   "), 0);
        assert!(ink("i") > 5 && ink("M") > ink("i"));
        assert_eq!(ink("é"), ink("?"));
        assert!(ink(&"M".repeat(100)) > 0);
    }

    #[test]
    fn lines_are_broken_and_names_shortened() {
        let width = 10 * LETTER;
        assert_eq!(
            wrapped("one two three fourteenletters", width),
            ["one two", "three", "fourteenle", "tters"]
        );
        assert!(wrapped("  ", width).is_empty());
        assert_eq!(shortened("0123456789", width), "0123456789");
        assert_eq!(shortened("0123456789a", width), "~23456789a");
    }
}
