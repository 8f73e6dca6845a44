//! Random resized crop: which window.

use dygl_base::random::Stream;
use dygl_spec::protocol::Crop;

use crate::resize::Window;

/// Tries before the largest central crop of an allowed aspect is taken.
const TRIES: usize = 10;

/// Area uniform in `scale`, aspect log-uniform in `aspect`, place uniform.
pub(super) fn draw(width: u32, height: u32, crop: &Crop, mut stream: Stream) -> Option<Window> {
    if !stream.chance(crop.probability) {
        return None;
    }
    let area = f64::from(width) * f64::from(height);
    let [low, high] = crop.aspect.map(libm::log);
    for _ in 0..TRIES {
        let wanted = area * stream.range(crop.scale[0], crop.scale[1]);
        let aspect = libm::exp(stream.range(low, high));
        let (w, h) = ((wanted * aspect).sqrt().round() as u32, (wanted / aspect).sqrt().round() as u32);
        if (1..=width).contains(&w) && (1..=height).contains(&h) {
            let x = stream.below(u64::from(width - w) + 1) as u32;
            let y = stream.below(u64::from(height - h) + 1) as u32;
            return Some(Window { x, y, width: w, height: h });
        }
    }
    let own = f64::from(width) / f64::from(height);
    let aspect = own.clamp(crop.aspect[0], crop.aspect[1]);
    let (w, h) = if own > aspect {
        (((f64::from(height) * aspect).round() as u32).clamp(1, width), height)
    } else {
        (width, ((f64::from(width) / aspect).round() as u32).clamp(1, height))
    };
    Some(Window { x: (width - w) / 2, y: (height - h) / 2, width: w, height: h })
}

#[cfg(test)]
mod tests {
    use dygl_spec::protocol::CropFrom;

    use super::*;

    fn crop(scale: [f64; 2], aspect: [f64; 2]) -> Crop {
        Crop { probability: 1.0, from: CropFrom::Resized, scale, aspect }
    }

    #[test]
    fn windows_stay_inside_and_keep_their_bounds() {
        let crop = crop([0.5, 1.0], [0.75, 4.0 / 3.0]);
        for (width, height) in [(640, 480), (100, 100), (331, 777)] {
            for seed in 0..500 {
                let w = draw(width, height, &crop, Stream::new(seed, "windows", &[])).expect("certain");
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
        let crop = crop([1.0, 1.0], [1.0, 1.0]);
        let window = draw(200, 50, &crop, Stream::new(1, "windows", &[]));
        assert_eq!(window, Some(Window { x: 75, y: 0, width: 50, height: 50 }));
    }
}
