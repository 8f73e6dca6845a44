//! Haematoxylin and eosin: dyes that take light away, channel by channel.
//!
//! A point of a section is described by how much of either dye it holds; its
//! colour follows from the optical densities of the dyes. Their directions
//! scatter around those of Ruifrok and Johnston (Anal. Quant. Cytol. Histol.
//! 23, 2001), their strength and the tint of the slide from image to image.

use dygl_base::random::Stream;

use super::colour::{Colour, mix, scale};
use super::shape::Vector;

/// How a slide was stained and photographed.
#[derive(Debug)]
pub(super) struct Stain {
    haematoxylin: Colour,
    eosin: Colour,
    /// Light through the bare slide.
    slide: Colour,
}

/// Amounts of haematoxylin and eosin; about 1 is a strong stain.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Dye {
    pub h: f64,
    pub e: f64,
}

impl Stain {
    pub(super) fn draw(stream: &mut Stream) -> Self {
        let haematoxylin = mix([0.68, 0.68, 0.28], [0.55, 0.80, 0.34], stream.unit());
        let eosin = mix([0.07, 0.88, 0.20], [0.16, 0.86, 0.46], stream.unit());
        Self {
            haematoxylin: scale(haematoxylin, stream.range(0.85, 1.35)),
            eosin: scale(eosin, stream.range(0.6, 1.1)),
            slide: mix([0.97, 0.97, 0.96], [0.90, 0.90, 0.95], stream.unit()),
        }
    }

    pub(super) fn colour(&self, dye: Dye) -> Colour {
        std::array::from_fn(|k| {
            self.slide[k] * fade(dye.h.max(0.0) * self.haematoxylin[k] + dye.e.max(0.0) * self.eosin[k])
        })
    }
}

impl Dye {
    /// From `self` (t = 0) to `other` (t = 1).
    pub(super) fn towards(self, other: Self, t: f64) -> Self {
        Self { h: self.h + (other.h - self.h) * t, e: self.e + (other.e - self.e) * t }
    }

    pub(super) fn times(self, by: f64) -> Self {
        Self { h: self.h * by, e: self.e * by }
    }
}

/// The light that an optical density lets through: `exp(-x)` to a few percent,
/// by the inverse of its power series, which has the same bits everywhere.
fn fade(x: f64) -> f64 {
    1.0 / (1.0 + x * (1.0 + x * (0.5 + x * (1.0 / 6.0 + x / 24.0))))
}

/// An ellipse with a soft rim: a nucleus, a vacuole.
#[derive(Debug)]
pub(super) struct Blob {
    pub centre: Vector,
    /// Direction of the long axis.
    pub axis: Vector,
    /// Half axes.
    pub long: f64,
    pub short: f64,
    pub dye: Dye,
}

impl Blob {
    /// How much of a pixel of side `pixel` it covers, 0..1.
    pub(super) fn cover(&self, at: Vector, pixel: f64) -> f64 {
        let (dx, dy) = (at[0] - self.centre[0], at[1] - self.centre[1]);
        let along = (dx * self.axis[0] + dy * self.axis[1]) / self.long;
        let across = (dy * self.axis[0] - dx * self.axis[1]) / self.short;
        let depth = (1.0 - (along * along + across * across).sqrt()) * self.short;
        let soft = 0.5 * pixel + 0.18 * self.short;
        (0.5 + 0.5 * depth / soft).clamp(0.0, 1.0)
    }

    /// Centre and radius of all that it covers, at any sensible pixel.
    pub(super) fn extent(&self) -> (Vector, f64) {
        (self.centre, self.long * 1.4 + 0.035)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn light_fades_as_the_exponential() {
        for step in 0..=40 {
            let x = f64::from(step) * 0.05;
            assert!((fade(x) / (-x).exp() - 1.0).abs() < 0.06, "{x}: {}", fade(x));
        }
    }

    #[test]
    fn haematoxylin_is_blue_and_eosin_pink() {
        for seed in 0..50 {
            let stain = Stain::draw(&mut Stream::new(seed, "stain", &[]));
            let [r, g, b] = stain.colour(Dye { h: 1.2, e: 0.0 });
            assert!(b > r && r > g * 0.95, "{r} {g} {b}");
            let [r, g, b] = stain.colour(Dye { h: 0.0, e: 0.7 });
            assert!(r > b && b > g, "{r} {g} {b}");
        }
    }
}
