//! How names are written: accents in one form, endings of pictures.
//!
//! macOS writes `ö` as two characters where others write one, and archives and
//! network drives carry both. Names are compared, and ids kept, in the composed
//! form (Unicode's NFC), so that what reads the same is the same.

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization, is_nfc};

/// A text in the composed form.
pub fn nfc(text: &str) -> Cow<'_, str> {
    if text.is_ascii() || is_nfc(text) { Cow::Borrowed(text) } else { Cow::Owned(text.nfc().collect()) }
}

/// Endings of the pictures that are read.
const READ: [&str; 8] = dygl_pixels::decode::ENDINGS;

/// Endings of pictures that other programs write. They are not read, or only in
/// part, but a file with one of them is somebody's picture.
const OTHERS: [&str; 26] = [
    "jfif", "jpe", "jp2", "j2k", "jxl", "avif", "heic", "heif", "dib", "ppm", "pgm", "pbm", "pnm", "tga",
    "exr", "hdr", "psd", "svs", "ndpi", "mrxs", "dcm", "nii", "mha", "nrrd", "npy", "npz",
];

/// The ending of a file's name, in small letters; none for `name`, `.name` and `name.`.
pub fn ending(name: &str) -> Option<String> {
    let name = name.rsplit('/').next().unwrap_or(name);
    let (stem, ending) = name.rsplit_once('.')?;
    (!stem.is_empty() && !ending.is_empty()).then(|| ending.to_lowercase())
}

/// A file's name without its ending.
pub fn without_ending(name: &str) -> &str {
    match ending(name) {
        Some(_) => name.rsplit_once('.').map_or(name, |(stem, _)| stem),
        None => name,
    }
}

/// Whether a name ends like a picture that is read.
pub fn is_read(name: &str) -> bool {
    ending(name).is_some_and(|ending| READ.contains(&ending.as_str()))
}

/// Whether a name ends like a picture of any kind. `x.nii.gz` does.
pub fn is_picture(name: &str) -> bool {
    match ending(name).as_deref() {
        Some("gz") => is_picture(without_ending(name)),
        Some(ending) => READ.contains(&ending) || OTHERS.contains(&ending),
        None => false,
    }
}

/// The lines of a text, whether they end in LF, CR LF or CR alone, by the place of a
/// byte. Readers of CSV count otherwise: to them a record begins before the LF that
/// ends the line above it.
#[derive(Debug)]
pub struct Lines<'a> {
    text: &'a [u8],
    /// How far was counted, and the lines up to there.
    at: usize,
    line: usize,
}

impl<'a> Lines<'a> {
    /// Begins at the first line of a text.
    pub fn of(text: &'a str) -> Self {
        Self { text: text.as_bytes(), at: 0, line: 1 }
    }

    /// The line, from 1, of the first character at or behind a byte that ends
    /// no line. To be asked in ascending order.
    pub fn at(&mut self, byte: u64) -> usize {
        let byte = usize::try_from(byte).unwrap_or(usize::MAX);
        while let Some(found) = self.text.get(self.at) {
            let is_end = matches!(found, b'\n' | b'\r');
            if self.at >= byte && !is_end {
                break;
            }
            // The LF of a CR LF was counted with its CR.
            let is_second = *found == b'\n' && self.at > 0 && self.text[self.at - 1] == b'\r';
            self.line += usize::from(is_end && !is_second);
            self.at += 1;
        }
        self.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accents_of_either_form_are_the_same() {
        assert_eq!(nfc("Ko\u{308}ln"), "Köln");
        assert_eq!(nfc("Köln"), "Köln");
        assert!(matches!(nfc("plain"), Cow::Borrowed("plain")));
        // Composed hangul, and an accent that has no composed form.
        assert_eq!(nfc("\u{1112}\u{1161}\u{11ab}"), "한");
        assert_eq!(nfc("q\u{301}"), "q\u{301}");
    }

    #[test]
    fn endings_have_no_case_and_a_name_alone_has_none() {
        assert_eq!(ending("a/b.PNG").as_deref(), Some("png"));
        for none in ["a.b/c", ".png", "a/.png", "a.", "plain"] {
            assert_eq!(ending(none), None, "{none}");
        }
        assert_eq!(without_ending("a.b/c.tar.gz"), "a.b/c.tar");
        assert_eq!(without_ending("a.b/c"), "a.b/c");
        assert!(is_picture("x.TiFF") && is_picture("scan.nii.gz") && is_picture("x.dcm"));
        assert!(!is_picture("Thumbs.db") && !is_picture("x.tar.gz") && !is_picture("notes.txt"));
        assert!(is_read("x.JPEG") && !is_read("x.heic"));
    }

    #[test]
    fn lines_are_counted_whatever_ends_them() {
        for end in ["\n", "\r\n", "\r"] {
            let text = ["id,part", "a,train", "", "b,test"].join(end);
            let mut lines = Lines::of(&text);
            let places = [0, text.find("a,").expect("there"), text.find("b,").expect("there")];
            assert_eq!(places.map(|at| lines.at(at as u64)), [1, 2, 4], "{end:?}");
            // A place on the end of a line is of what follows.
            assert_eq!(Lines::of(&text).at(7), 2, "{end:?}");
        }
    }
}
