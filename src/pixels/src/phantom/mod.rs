//! Phantoms: procedural images with exact truth, for runs without any data.
//!
//! An image is drawn from (family, seed, index) alone. Its geometry lives in
//! the unit square, so the same phantom at another size is the same scene, and
//! a larger `count` only adds images. Drawing uses no function whose bits
//! differ between machines (nothing beyond `+ - * /`, `sqrt` and rounding).

mod colour;
mod flair;
mod gland;
mod grid;
mod lesions;
mod noise;
mod nuclei;
mod polyp;
mod shape;
mod skin;
mod stain;

use dygl_base::random::Stream;
use dygl_base::words::alike;
use dygl_spec::name::Named;
use image::{GrayImage, Luma, Rgb, RgbImage};

use self::colour::Colour;
use self::shape::Vector;
use super::{PixelError, Sample};

/// Moves whenever a phantom's pixels move.
pub const GENERATOR: u32 = 1;

/// What a phantom looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Polyps on mucosa, as colonoscopy shows them.
    Polyp,
    /// Brain slices with gliomas, as MRI shows them (before contrast, FLAIR, after contrast).
    Flair,
    /// Skin lesions, as dermoscopy shows them.
    Skin,
    /// Glands of the colon in stained sections (H&E).
    Gland,
    /// Cell nuclei in stained sections (H&E).
    Nuclei,
}

impl Family {
    /// In listing order: that of the paper's datasets that they stand for.
    pub const ALL: [Family; 5] = [Family::Polyp, Family::Flair, Family::Skin, Family::Gland, Family::Nuclei];

    /// The dataset's id.
    pub fn id(self) -> &'static str {
        match self {
            Family::Polyp => "phantom-polyp",
            Family::Flair => "phantom-flair",
            Family::Skin => "phantom-skin",
            Family::Gland => "phantom-gland",
            Family::Nuclei => "phantom-nuclei",
        }
    }

    /// One line for people, which says that no image is real.
    pub fn title(self) -> &'static str {
        match self {
            Family::Polyp => "Procedural polyps on mucosa (no real images)",
            Family::Flair => "Procedural brain slices with gliomas (no real images)",
            Family::Skin => "Procedural skin lesions (no real images)",
            Family::Gland => "Procedural colon glands (no real images)",
            Family::Nuclei => "Procedural cell nuclei (no real images)",
        }
    }

    /// The way of imaging that is imitated, for people.
    pub fn modality(self) -> &'static str {
        match self {
            Family::Polyp => "Procedural colonoscopy-like images",
            Family::Flair => "Procedural MRI-like images (before contrast, FLAIR, after contrast)",
            Family::Skin => "Procedural dermoscopy-like images",
            Family::Gland | Family::Nuclei => "Procedural histology-like images (H&E)",
        }
    }

    /// The options that the family takes, by name.
    fn options(self) -> &'static [Choice] {
        match self {
            Family::Flair => &[COUNT, EMPTY, SEED, SIZE],
            Family::Polyp | Family::Skin | Family::Gland | Family::Nuclei => &[COUNT, SEED, SIZE],
        }
    }
}

/// A set of phantoms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phantom {
    /// What the images show.
    pub family: Family,
    /// Images, 1..=100000.
    pub count: usize,
    /// Side, pixels, 16..=4096.
    pub size: usize,
    /// Start of the random numbers of all images.
    pub seed: u64,
    /// Percent of images without a lesion, 0..=100; only `phantom-flair` takes
    /// it, for the others it is 0. (Polyps and skin have a fixed small share,
    /// sections are never without glands or nuclei.)
    pub empty: u64,
}

/// An option of a family: a whole number.
#[derive(Debug)]
struct Choice {
    name: &'static str,
    low: u64,
    high: u64,
    default: u64,
}

const COUNT: Choice = Choice { name: "count", low: 1, high: 100_000, default: 60 };
const EMPTY: Choice = Choice { name: "empty", low: 0, high: 100, default: 0 };
const SEED: Choice = Choice { name: "seed", low: 0, high: u64::MAX, default: 1 };
const SIZE: Choice = Choice { name: "size", low: 16, high: 4096, default: 96 };

/// A scene in the unit square.
trait Scene {
    /// Colour at a point; `pixel` is the side of a pixel, for thin lines.
    fn colour(&self, at: Vector, pixel: f64) -> Colour;
    /// Whether the point belongs to a lesion.
    fn inside(&self, at: Vector) -> bool;
}

impl Phantom {
    /// The phantom set of a name; `None` where the name is no phantom's.
    pub fn parse(named: &Named) -> Option<Result<Self, PixelError>> {
        let family = Family::ALL.into_iter().find(|f| f.id() == named.name)?;
        Some(Self::options(family, named))
    }

    fn options(family: Family, named: &Named) -> Result<Self, PixelError> {
        let known = family.options();
        for option in named.options.keys() {
            if !known.iter().any(|choice| choice.name == option) {
                return Err(PixelError::UnknownOption {
                    dataset: named.name.clone(),
                    option: option.clone(),
                    candidates: alike(option, known.iter().map(|choice| choice.name)),
                    options: known.iter().map(|choice| choice.name.to_owned()).collect(),
                });
            }
        }
        let value = |choice: &Choice| -> Result<u64, PixelError> {
            let Some(written) = named.options.get(choice.name) else { return Ok(choice.default) };
            let number = written.parse().ok().filter(|v| (choice.low..=choice.high).contains(v));
            number.ok_or_else(|| PixelError::BadOption {
                dataset: named.name.clone(),
                option: choice.name.to_owned(),
                value: written.clone(),
                expected: format!("a whole number from {} to {}", choice.low, choice.high),
            })
        };
        Ok(Self {
            family,
            count: value(&COUNT)? as usize,
            size: value(&SIZE)? as usize,
            seed: value(&SEED)?,
            empty: value(&EMPTY)?,
        })
    }

    /// The name with every option written out.
    pub fn named(&self) -> Named {
        let mut named = Named::plain(self.family.id());
        for choice in self.family.options() {
            let value = match choice.name {
                "count" => self.count as u64,
                "empty" => self.empty,
                "seed" => self.seed,
                _ => self.size as u64,
            };
            named.options.insert(choice.name.into(), value.to_string());
        }
        named
    }

    /// Digest of what determines every pixel: generator, family and options.
    pub fn digest(&self) -> String {
        dygl_base::digest::digest_of(
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
        let size = self.size as u32;
        match self.family {
            Family::Polyp => render(&polyp::Polyp::draw(&mut stream), size),
            Family::Flair => {
                let empty = stream.chance(self.empty as f64 / 100.0);
                render(&flair::Flair::draw(&mut stream, empty), size)
            }
            Family::Skin => render(&skin::Skin::draw(&mut stream), size),
            Family::Gland => render(&gland::Glands::draw(&mut stream), size),
            Family::Nuclei => render(&nuclei::Nuclei::draw(&mut stream), size),
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
