//! One image, read once: all that the checks need of it, small enough that
//! thousands fit in memory (about 12 kB each).

use dygl_pixels::{Partition, mask};
use dygl_spec::protocol::Part;
use image::{GrayImage, RgbImage};

use super::near::{Bits, Detail, Thumbnail};
use crate::{DataError, Dataset, Entry};

/// What is kept of an image and its mask.
#[derive(Debug)]
pub(super) struct Look {
    pub id: String,
    pub part: Option<Part>,
    pub group: Option<String>,
    /// Width and height, pixels.
    pub size: (u32, u32),
    /// Hash of the image's file; none where images are drawn.
    pub file: Option<String>,
    /// Hash of size and pixels.
    pub pixels: [u8; 32],
    pub thumbnail: Thumbnail,
    /// Grey levels at DETAIL x DETAIL.
    pub detail: Detail,
    pub channels: Equal,
    /// Whether all pixels are the same.
    pub is_blank: bool,
    pub mask: MaskLook,
}

/// What is kept of a mask; counts are pixels.
#[derive(Debug)]
pub(super) struct MaskLook {
    /// Hash of the mask's file; none where masks are drawn.
    pub file: Option<String>,
    /// Hash of size and of what is foreground.
    pub pixels: [u8; 32],
    /// Foreground at DETAIL x DETAIL.
    pub bits: Bits,
    pub all: u64,
    /// Of the rule of the dataset.
    pub foreground: u64,
    /// Of a rule that takes whatever is brighter than the least value.
    pub above_least: u64,
    /// Between the least and the greatest value.
    pub soft: u64,
}

/// Which channels of an image are equal in every pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Equal {
    None,
    /// Exactly two of the three.
    Two,
    /// The image is grey.
    All,
}

impl Look {
    pub fn at(dataset: &Dataset, partition: &Partition, id: &str) -> Result<Self, DataError> {
        let sample = dataset.load(id)?;
        let entry = dataset.registration().and_then(|registration| {
            let place = registration.entries.binary_search_by(|entry| entry.id.as_str().cmp(id)).ok()?;
            registration.entries.get(place)
        });
        let grey = grey(&sample.image);
        let first = sample.image.pixels().next().copied();
        Ok(Self {
            id: id.to_owned(),
            part: partition.part_of(id),
            group: dataset.group(id).map(str::to_owned),
            size: sample.image.dimensions(),
            file: entry.map(|entry| entry.image.blake3.clone()),
            pixels: hash(sample.image.dimensions(), sample.image.as_raw()),
            thumbnail: Thumbnail::of(&grey),
            detail: Detail::of(&grey),
            channels: equal(&sample.image),
            is_blank: sample.image.pixels().all(|pixel| Some(*pixel) == first),
            mask: MaskLook { file: entry.map(Entry::mask_digest), ..MaskLook::of(&sample.mask) },
        })
    }
}

impl MaskLook {
    fn of(levels: &GrayImage) -> Self {
        let count =
            |condition: &dyn Fn(u8) -> bool| levels.pixels().filter(|p| condition(p.0[0])).count() as u64;
        let (black, white) = (mask::level(false), mask::level(true));
        let binary: Vec<u8> = levels.pixels().map(|p| u8::from(mask::is_foreground(p.0[0]))).collect();
        Self {
            file: None,
            pixels: hash(levels.dimensions(), &binary),
            bits: Bits::of(&binary, levels.dimensions()),
            all: u64::from(levels.width()) * u64::from(levels.height()),
            foreground: count(&mask::is_foreground),
            above_least: count(&|level| level > black),
            soft: count(&|level| level > black && level < white),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.foreground == 0
    }

    pub fn is_full(&self) -> bool {
        self.foreground == self.all
    }

    /// Foreground in 0..1.
    pub fn share(&self) -> f64 {
        self.foreground as f64 / (self.all.max(1)) as f64
    }
}

/// BT.601 luma without rounding up: only differences of it are used.
fn grey(image: &RgbImage) -> GrayImage {
    GrayImage::from_fn(image.width(), image.height(), |x, y| {
        let [r, g, b] = image.get_pixel(x, y).0.map(u32::from);
        image::Luma([((299 * r + 587 * g + 114 * b) / 1000) as u8])
    })
}

fn hash(size: (u32, u32), pixels: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&size.0.to_le_bytes()).update(&size.1.to_le_bytes()).update(pixels);
    *hasher.finalize().as_bytes()
}

fn equal(image: &RgbImage) -> Equal {
    let (mut rg, mut gb, mut rb) = (true, true, true);
    for pixel in image.pixels() {
        let [r, g, b] = pixel.0;
        rg &= r == g;
        gb &= g == b;
        rb &= r == b;
        if !(rg || gb || rb) {
            return Equal::None;
        }
    }
    if rg && gb { Equal::All } else { Equal::Two }
}

#[cfg(test)]
mod tests {
    use image::{Luma, Rgb};

    use super::*;

    #[test]
    fn channels_are_compared_in_every_pixel() {
        let with = |f: fn(u32) -> [u8; 3]| equal(&RgbImage::from_fn(3, 2, |x, _| Rgb(f(x))));
        assert_eq!(with(|x| [x as u8; 3]), Equal::All);
        assert_eq!(with(|x| [x as u8, x as u8, 9]), Equal::Two);
        assert_eq!(with(|x| [9, x as u8, 9]), Equal::Two);
        // Each pixel has two equal channels, but not the same two.
        assert_eq!(with(|x| [[1, 1, 2], [1, 2, 2], [2, 1, 2]][x as usize]), Equal::None);
    }

    #[test]
    fn greys_of_a_mask_are_counted_apart() {
        let mask = GrayImage::from_fn(5, 1, |x, _| Luma([[0, 1, 127, 128, 255][x as usize]]));
        let look = MaskLook::of(&mask);
        assert_eq!((look.all, look.foreground, look.above_least, look.soft), (5, 2, 4, 3));
        assert!(!look.is_empty() && !look.is_full());
    }
}
