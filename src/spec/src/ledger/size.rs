//! The size of the image that a ledger is of.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Width and height of an image, pixels. Written `224`, of what is no square `224x320`,
/// the width first; JSON has a number or that text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "Written", try_from = "Written")]
pub struct Size {
    /// Pixels of a row.
    pub width: usize,
    /// Pixels of a column.
    pub height: usize,
}

impl Size {
    /// Height and width, in the order of a tensor's sides.
    pub fn sides(self) -> [usize; 2] {
        [self.height, self.width]
    }

    /// `224 x 320`, for people.
    pub fn words(self) -> String {
        format!("{} x {}", self.width, self.height)
    }
}

impl From<usize> for Size {
    fn from(side: usize) -> Self {
        Self { width: side, height: side }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.width == self.height {
            true => write!(f, "{}", self.width),
            false => write!(f, "{}x{}", self.width, self.height),
        }
    }
}

/// A text that is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no size: write the side of a square, 224, or WIDTHxHEIGHT, 224x320, in pixels")]
pub struct NoSize(String);

impl FromStr for Size {
    type Err = NoSize;

    fn from_str(text: &str) -> Result<Self, NoSize> {
        let side = |text: &str| {
            // `parse` would take a sign.
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<usize>().ok().filter(|side| is_number && *side > 0)
        };
        let found = match text.split_once(['x', 'X', '×']) {
            None => side(text).map(Self::from),
            Some((width, height)) => {
                side(width).zip(side(height)).map(|(width, height)| Self { width, height })
            }
        };
        found.ok_or_else(|| NoSize(text.to_owned()))
    }
}

/// The two spellings of JSON.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Side(usize),
    Sides(String),
}

impl From<Size> for Written {
    fn from(size: Size) -> Self {
        match size.width == size.height {
            true => Written::Side(size.width),
            false => Written::Sides(size.to_string()),
        }
    }
}

impl TryFrom<Written> for Size {
    type Error = NoSize;

    fn try_from(written: Written) -> Result<Self, NoSize> {
        match written {
            Written::Side(side) => Ok(side.into()),
            Written::Sides(text) => text.parse(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_side_or_width_and_height() {
        let wide = Size { width: 320, height: 224 };
        assert_eq!("320x224".parse(), Ok(wide));
        assert_eq!("224".parse(), Ok(Size::from(224)));
        assert_eq!("224X224".parse(), Ok(Size::from(224)));
        assert_eq!((wide.sides(), wide.words().as_str()), ([224, 320], "320 x 224"));
        for text in
            ["", "x", "224x", "x224", "0", "224x0", "-1", "+1", "2.5", "1x2x3", "99999999999999999999"]
        {
            let told = text.parse::<Size>().expect_err("no size").to_string();
            assert!(told.contains("WIDTHxHEIGHT"), "{told}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for (size, json) in [(Size::from(224), "224"), (Size { width: 224, height: 320 }, "\"224x320\"")] {
            assert_eq!(serde_json::to_string(&size).expect("JSON"), json);
            assert_eq!(serde_json::from_str::<Size>(json).expect("a size"), size);
            assert_eq!(size.to_string().parse(), Ok(size));
        }
        assert!(serde_json::from_str::<Size>("\"wide\"").is_err());
    }
}
