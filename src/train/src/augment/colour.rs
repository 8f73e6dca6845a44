//! Brightness and contrast.

use dygl::data::prepare::Resized;
use dygl::random::Stream;
use dygl::spec::protocol::BrightnessContrast;

/// `x * (1 + c) + b` on values in 0..1, the same for all channels, clamped.
pub(super) fn brightness_contrast(image: &mut Resized, step: &BrightnessContrast, mut stream: Stream) {
    if !stream.chance(step.probability) {
        return;
    }
    let brightness = stream.range(-step.brightness, step.brightness);
    let contrast = stream.range(-step.contrast, step.contrast);
    let table: [u8; 256] = std::array::from_fn(|value| {
        let changed = value as f64 / 255.0 * (1.0 + contrast) + brightness;
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
            brightness_contrast(&mut image, &step, Stream::new(seed, "colour", &[]));
            assert!(image.rgb.is_sorted() && image.mask == original.mask);
        }
    }
}
