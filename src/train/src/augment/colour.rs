//! Brightness and contrast.

use dygl::data::prepare::Resized;
use dygl::random::Stream;
use dygl::spec::protocol::BrightnessContrast;

/// What [`apply`] does to values in 0..1: `x * (1 + contrast) + brightness`,
/// clamped, the same for all channels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tone {
    pub brightness: f64,
    pub contrast: f64,
}

/// Brightness uniform in +-`brightness`, then contrast in +-`contrast`.
pub(super) fn draw(step: &BrightnessContrast, mut stream: Stream) -> Option<Tone> {
    stream.chance(step.probability).then(|| Tone {
        brightness: stream.range(-step.brightness, step.brightness),
        contrast: stream.range(-step.contrast, step.contrast),
    })
}

pub(super) fn apply(image: &mut Resized, tone: Tone) {
    let table: [u8; 256] = std::array::from_fn(|value| {
        let changed = value as f64 / 255.0 * (1.0 + tone.contrast) + tone.brightness;
        (changed.clamp(0.0, 1.0) * 255.0).round() as u8
    });
    for value in &mut image.rgb {
        *value = table[usize::from(*value)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_order_and_the_mask_its_values() {
        let step = BrightnessContrast { probability: 1.0, brightness: 0.2, contrast: 0.2 };
        let original = Resized { size: 2, rgb: (0..12).map(|v| v * 20).collect(), mask: vec![0, 1, 2, 255] };
        for seed in 0..20 {
            let mut image = original.clone();
            let tone = draw(&step, Stream::new(seed, "colour", &[])).expect("certain");
            assert!(tone.brightness.abs() <= 0.2 && tone.contrast.abs() <= 0.2);
            apply(&mut image, tone);
            assert!(image.rgb.is_sorted() && image.mask == original.mask);
        }
    }
}
