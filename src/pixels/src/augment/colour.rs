//! Brightness and contrast.

use dygl_base::random::Stream;
use dygl_spec::protocol::BrightnessContrast;

/// What [`table`] does to values in 0..1: `x * (1 + contrast) + brightness`,
/// clamped, the same for all channels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tone {
    /// Added to every value, in shares of white.
    pub brightness: f64,
    /// Grows or shrinks every value by this share; 0 leaves it.
    pub contrast: f64,
}

/// Brightness uniform in +-`brightness`, then contrast in +-`contrast`.
pub(super) fn draw(step: &BrightnessContrast, mut stream: Stream) -> Option<Tone> {
    stream.chance(step.probability).then(|| Tone {
        brightness: stream.range(-step.brightness, step.brightness),
        contrast: stream.range(-step.contrast, step.contrast),
    })
}

/// What each level becomes.
pub(super) fn table(tone: Tone) -> [u8; 256] {
    std::array::from_fn(|value| {
        let changed = value as f64 / 255.0 * (1.0 + tone.contrast) + tone.brightness;
        (changed.clamp(0.0, 1.0) * 255.0).round() as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_keep_their_order() {
        let step = BrightnessContrast { probability: 1.0, brightness: 0.2, contrast: 0.2 };
        for seed in 0..20 {
            let tone = draw(&step, Stream::new(seed, "colour", &[])).expect("certain");
            assert!(tone.brightness.abs() <= 0.2 && tone.contrast.abs() <= 0.2);
            assert!(table(tone).is_sorted());
        }
        let none = Tone { brightness: 0.0, contrast: 0.0 };
        assert_eq!(table(none), std::array::from_fn(|level| level as u8));
    }
}
