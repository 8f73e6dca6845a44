//! Phantoms: procedural images with exact truth, for runs without any data.
//!
//! An image is drawn from (family, seed, index) alone. Its geometry lives in
//! the unit square, so the same phantom at another size is the same scene, and
//! a larger `count` only adds images. Drawing uses no function whose bits
//! differ between machines (nothing beyond `+ - * /`, `sqrt` and rounding).

mod colour;
mod lesions;
mod noise;
mod polyp;
mod shape;
mod skin;

use image::{GrayImage, Luma, Rgb, RgbImage};

use self::colour::Colour;
use self::shape::Vector;
use super::error::alike;
use super::{DataError, Sample};
use crate::random::Stream;
use crate::spec::name::Named;

/// Moves whenever a phantom's pixels move.
pub const GENERATOR: u32 = 1;

/// What a phantom looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Polyp,
    Skin,
}

impl Family {
    /// In listing order.
    pub const ALL: [Family; 2] = [Family::Polyp, Family::Skin];

    /// The dataset's id.
    pub fn id(self) -> &'static str {
        match self {
            Family::Polyp => "phantom-polyp",
            Family::Skin => "phantom-skin",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Family::Polyp => "Procedural polyps on mucosa (no real images)",
            Family::Skin => "Procedural skin lesions (no real images)",
        }
    }

    pub fn modality(self) -> &'static str {
        match self {
            Family::Polyp => "Procedural colonoscopy-like images",
            Family::Skin => "Procedural dermoscopy-like images",
        }
    }
}

/// A set of phantoms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phantom {
    pub family: Family,
    /// Images, 1..=100000.
    pub count: usize,
    /// Side, pixels, 16..=4096.
    pub size: usize,
    pub seed: u64,
}

/// Option names, lower and upper bound, default.
const OPTIONS: [(&str, u64, u64, u64); 3] =
    [("count", 1, 100_000, 60), ("seed", 0, u64::MAX, 1), ("size", 16, 4096, 96)];

/// A scene in the unit square.
trait Scene {
    /// Colour at a point; `pixel` is the side of a pixel, for thin lines.
    fn colour(&self, at: Vector, pixel: f64) -> Colour;
    /// Whether the point belongs to a lesion.
    fn inside(&self, at: Vector) -> bool;
}

impl Phantom {
    /// The phantom set of a name; `None` where the name is no phantom's.
    pub fn parse(named: &Named) -> Option<Result<Self, DataError>> {
        let family = Family::ALL.into_iter().find(|f| f.id() == named.name)?;
        Some(Self::options(family, named))
    }

    fn options(family: Family, named: &Named) -> Result<Self, DataError> {
        let mut values = OPTIONS.map(|(.., default)| default);
        for (option, value) in &named.options {
            let place = OPTIONS.iter().position(|(name, ..)| name == option).ok_or_else(|| {
                let names = OPTIONS.map(|(name, ..)| name);
                DataError::UnknownOption {
                    dataset: named.name.clone(),
                    option: option.clone(),
                    candidates: alike(option, names),
                    options: names.map(str::to_owned).to_vec(),
                }
            })?;
            let (_, low, high, _) = OPTIONS[place];
            values[place] = value.parse().ok().filter(|v| (low..=high).contains(v)).ok_or_else(|| {
                DataError::BadOption {
                    dataset: named.name.clone(),
                    option: option.clone(),
                    value: value.clone(),
                    expected: format!("a whole number from {low} to {high}"),
                }
            })?;
        }
        let [count, seed, size] = values;
        Ok(Self { family, count: count as usize, size: size as usize, seed })
    }

    /// The name with every option written out.
    pub fn named(&self) -> Named {
        let mut named = Named::plain(self.family.id());
        named.options.insert("count".into(), self.count.to_string());
        named.options.insert("seed".into(), self.seed.to_string());
        named.options.insert("size".into(), self.size.to_string());
        named
    }

    /// Digest of what determines every pixel: generator, family and options.
    pub fn digest(&self) -> String {
        super::digest_of(
            "dygl phantom 1",
            [GENERATOR.to_string().as_str(), self.named().to_string().as_str()],
        )
    }

    /// `00000`, `00001`, ...: byte order is index order.
    pub fn ids(&self) -> Vec<String> {
        (0..self.count).map(|index| format!("{index:05}")).collect()
    }

    /// Draws the image at `index`.
    pub fn draw(&self, index: usize) -> Sample {
        let mut stream = Stream::new(self.seed, "phantom", &[self.family.id(), &index.to_string()]);
        match self.family {
            Family::Polyp => render(&polyp::Polyp::draw(&mut stream), self.size as u32),
            Family::Skin => render(&skin::Skin::draw(&mut stream), self.size as u32),
        }
    }
}

fn render(scene: &impl Scene, size: u32) -> Sample {
    let pixel = 1.0 / f64::from(size);
    let mut image = RgbImage::new(size, size);
    let mut mask = GrayImage::new(size, size);
    for (x, y, into) in image.enumerate_pixels_mut() {
        let at = [(f64::from(x) + 0.5) * pixel, (f64::from(y) + 0.5) * pixel];
        *into = Rgb(colour::bytes(scene.colour(at, pixel)));
        mask.put_pixel(x, y, Luma([if scene.inside(at) { 255 } else { 0 }]));
    }
    Sample { image, mask }
}

#[cfg(test)]
mod tests;
