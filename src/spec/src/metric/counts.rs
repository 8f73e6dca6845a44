//! The confusion counts of one image.

use super::LengthMismatch;

/// Pixels of one image, by prediction and truth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Foreground, found.
    pub tp: u64,
    /// Background, taken for foreground.
    pub fp: u64,
    /// Foreground, missed.
    pub fn_: u64,
    /// Background, left alone.
    pub tn: u64,
}

impl Counts {
    /// Compares two masks of the same number of pixels, in the same order.
    pub fn of(predicted: &[bool], truth: &[bool]) -> Result<Self, LengthMismatch> {
        Self::tally(predicted, truth, |p| *p)
    }

    /// The same for bytes: a byte is foreground where it is not 0.
    pub fn of_bytes(predicted: &[u8], truth: &[u8]) -> Result<Self, LengthMismatch> {
        Self::tally(predicted, truth, |p| *p != 0)
    }

    fn tally<T>(
        predicted: &[T],
        truth: &[T],
        foreground: impl Fn(&T) -> bool,
    ) -> Result<Self, LengthMismatch> {
        if predicted.len() != truth.len() {
            return Err(LengthMismatch { predicted: predicted.len(), truth: truth.len() });
        }
        let (mut tp, mut claimed, mut real) = (0u64, 0u64, 0u64);
        for (p, t) in predicted.iter().zip(truth) {
            let (p, t) = (foreground(p), foreground(t));
            tp += u64::from(p & t);
            claimed += u64::from(p);
            real += u64::from(t);
        }
        let fp = claimed - tp;
        let fn_ = real - tp;
        Ok(Self { tp, fp, fn_, tn: truth.len() as u64 - tp - fp - fn_ })
    }

    /// Pixels of the image.
    pub fn total(&self) -> u64 {
        self.tp + self.fp + self.fn_ + self.tn
    }

    /// Whether neither the prediction nor the truth holds any foreground.
    pub fn is_empty(&self) -> bool {
        self.tp + self.fp + self.fn_ == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pixel_is_counted_once() {
        let counts = Counts::of(&[true, true, false, false, false], &[true, false, true, false, false]);
        assert_eq!(counts, Ok(Counts { tp: 1, fp: 1, fn_: 1, tn: 2 }));
        assert_eq!(
            Counts::of_bytes(&[255, 1, 0, 0, 0], &[9, 0, 255, 0, 0]),
            Ok(Counts { tp: 1, fp: 1, fn_: 1, tn: 2 })
        );
    }

    #[test]
    fn masks_of_different_length_are_refused() {
        let error = Counts::of(&[true], &[]).expect_err("lengths differ");
        assert_eq!(error.to_string(), "the prediction has 1 pixels, the truth 0");
    }
}
