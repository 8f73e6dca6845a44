//! Random resized crop.
//!
//! The crop is cut from the image as stored and then resized, as torchvision's
//! RandomResizedCrop does: a small crop shows detail that the network size
//! has lost.

use dygl::data::Sample;
use dygl::data::prepare::{self, Resized};
use dygl::random::Stream;
use dygl::spec::protocol::{Crop, Image};
use image::imageops::crop_imm;

/// Tries before the largest central crop of an allowed aspect is taken.
const TRIES: usize = 10;

/// A window in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

pub(super) fn crop(sample: &Sample, crop: &Crop, image: &Image, mut stream: Stream) -> Resized {
    if !stream.chance(crop.probability) {
        return prepare::resized(sample, image);
    }
    let window = draw(sample.image.width(), sample.image.height(), crop, &mut stream);
    let Window { x, y, width, height } = window;
    let cut = Sample {
        image: crop_imm(&sample.image, x, y, width, height).to_image(),
        mask: crop_imm(&sample.mask, x, y, width, height).to_image(),
    };
    prepare::resized(&cut, image)
}

/// Area uniform in `scale`, aspect log-uniform in `aspect`, place uniform.
pub(super) fn draw(width: u32, height: u32, crop: &Crop, stream: &mut Stream) -> Window {
    let area = f64::from(width) * f64::from(height);
    let [low, high] = crop.aspect.map(f64::ln);
    for _ in 0..TRIES {
        let wanted = area * stream.range(crop.scale[0], crop.scale[1]);
        let aspect = stream.range(low, high).exp();
        let (w, h) = ((wanted * aspect).sqrt().round() as u32, (wanted / aspect).sqrt().round() as u32);
        if (1..=width).contains(&w) && (1..=height).contains(&h) {
            let x = stream.below(u64::from(width - w) + 1) as u32;
            let y = stream.below(u64::from(height - h) + 1) as u32;
            return Window { x, y, width: w, height: h };
        }
    }
    let own = f64::from(width) / f64::from(height);
    let aspect = own.clamp(crop.aspect[0], crop.aspect[1]);
    let (w, h) = if own > aspect {
        (((f64::from(height) * aspect).round() as u32).clamp(1, width), height)
    } else {
        (width, ((f64::from(width) / aspect).round() as u32).clamp(1, height))
    };
    Window { x: (width - w) / 2, y: (height - h) / 2, width: w, height: h }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_stay_inside_and_keep_their_bounds() {
        let crop = Crop { probability: 1.0, scale: [0.5, 1.0], aspect: [0.75, 4.0 / 3.0] };
        let mut stream = Stream::new(1, "windows", &[]);
        for (width, height) in [(640, 480), (100, 100), (331, 777)] {
            for _ in 0..500 {
                let w = draw(width, height, &crop, &mut stream);
                assert!(w.width > 0 && w.x + w.width <= width && w.height > 0 && w.y + w.height <= height);
                let share = f64::from(w.width) * f64::from(w.height) / f64::from(width * height);
                let aspect = f64::from(w.width) / f64::from(w.height);
                assert!(aspect > 0.74 && aspect < 1.35, "{aspect}");
                assert!(share > 0.49 || w.width == width || w.height == height, "{share}");
            }
        }
    }

    #[test]
    fn an_impossible_area_falls_back_to_the_middle() {
        let crop = Crop { probability: 1.0, scale: [1.0, 1.0], aspect: [1.0, 1.0] };
        let window = draw(200, 50, &crop, &mut Stream::new(1, "windows", &[]));
        assert_eq!(window, Window { x: 75, y: 0, width: 50, height: 50 });
    }
}
