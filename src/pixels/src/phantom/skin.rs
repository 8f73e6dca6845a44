//! A dermoscopy-like scene: skin with pores and hairs, and pigmented lesions.

use dygl_base::random::Stream;

use super::Scene;
use super::colour::{Colour, mix, scale, tint};
use super::lesions;
use super::noise::Noise;
use super::shape::{Outline, Vector, direction, distance, from_piece, smoothstep};

/// One dermoscopic image.
#[derive(Debug)]
pub(super) struct Skin {
    skin: Colour,
    tone: Noise,
    pores: Noise,
    redness: f64,
    lesions: Vec<Lesion>,
    hairs: Vec<Hair>,
    bubbles: Vec<Bubble>,
    /// Radius of the lens; beyond 0.75 nothing is cut.
    lens: f64,
}

#[derive(Debug)]
struct Lesion {
    outline: Outline,
    light: Colour,
    dark: Colour,
    contrast: f64,
    border: f64,
    /// Strength of the pigment network.
    network: f64,
    halo: f64,
    blotches: Noise,
    net: Noise,
}

/// A curved line of 12 pieces.
#[derive(Debug)]
struct Hair {
    points: Vec<Vector>,
    half_width: f64,
    colour: Colour,
    strength: f64,
}

/// A gel bubble: a faint bright ring.
#[derive(Debug)]
struct Bubble {
    at: Vector,
    radius: f64,
}

impl Skin {
    pub(super) fn draw(stream: &mut Stream) -> Self {
        let tan = stream.unit();
        let skin = mix([0.93, 0.77, 0.69], [0.80, 0.60, 0.49], tan);
        let lesions = lesions::draw(stream, 0.22, (0.3, 1.0))
            .into_iter()
            .map(|outline| {
                let depth = stream.unit();
                Lesion {
                    light: mix([0.66, 0.44, 0.34], [0.52, 0.33, 0.25], depth),
                    dark: mix([0.38, 0.22, 0.17], [0.19, 0.11, 0.11], depth),
                    contrast: stream.range(0.35, 1.0),
                    border: (outline.radius * stream.range(0.06, 0.3)).max(0.004),
                    network: stream.range(0.0, 0.5),
                    halo: stream.range(0.0, 0.25),
                    blotches: Noise::new(stream, 5, 3),
                    net: Noise::new(stream, 22, 2),
                    outline,
                }
            })
            .collect();
        let hairy = if stream.chance(0.45) { stream.below(14) } else { stream.below(3) };
        let black = stream.chance(0.7);
        Self {
            skin,
            tone: Noise::new(stream, 3, 4),
            pores: Noise::new(stream, 32, 3),
            redness: stream.range(0.0, 0.35),
            lesions,
            hairs: (0..hairy).map(|_| Hair::draw(stream, black)).collect(),
            bubbles: (0..stream.below(4))
                .map(|_| Bubble { at: [stream.unit(), stream.unit()], radius: stream.range(0.012, 0.04) })
                .collect(),
            lens: if stream.chance(0.35) { stream.range(0.5, 0.62) } else { 1.0 },
        }
    }
}

impl Lesion {
    fn over(&self, skin: Colour, at: Vector) -> Colour {
        let place = self.outline.place(at);
        let radius = self.outline.radius;
        // Reddened surroundings.
        let halo = self.halo * smoothstep(-0.7 * radius, 0.0, place.depth);
        let around = tint(skin, [1.0 - 0.2 * halo, 1.0 - halo, 1.0 - halo]);
        let blotch = self.blotches.at(at[0], at[1]);
        // Pigment fades irregularly towards the border.
        let cover = smoothstep(-self.border, self.border, place.depth);
        if cover == 0.0 {
            return around;
        }
        let rise = smoothstep(0.0, 0.8 * radius, place.depth);
        let mut own = mix(self.light, self.dark, (smoothstep(0.3, 0.7, blotch) * 0.8 + rise * 0.35).min(1.0));
        let net = self.net.ridge(at[0], at[1], 0.12);
        own = scale(own, 1.0 - self.network * net * (1.0 - 0.5 * rise));
        mix(around, mix(around, own, self.contrast), cover)
    }
}

impl Hair {
    const PIECES: usize = 12;

    /// A quadratic curve from one place at the rim to a random end.
    fn draw(stream: &mut Stream, black: bool) -> Self {
        let [x, y] = direction(stream);
        let start = [0.5 + 0.75 * x, 0.5 + 0.75 * y];
        let end = [stream.range(-0.1, 1.1), stream.range(-0.1, 1.1)];
        let bend = [stream.range(-0.25, 0.25), stream.range(-0.25, 0.25)];
        let points = (0..=Self::PIECES)
            .map(|i| {
                let t = i as f64 / Self::PIECES as f64;
                std::array::from_fn(|k| start[k] + (end[k] - start[k]) * t + 4.0 * bend[k] * t * (1.0 - t))
            })
            .collect();
        let colour = if black { [0.10, 0.07, 0.07] } else { [0.42, 0.28, 0.18] };
        Self { points, half_width: stream.range(0.0014, 0.0042), colour, strength: stream.range(0.6, 0.95) }
    }

    /// How much of a pixel of side `pixel` the hair covers.
    fn cover(&self, at: Vector, pixel: f64) -> f64 {
        let reach = self.half_width + pixel;
        let mut nearest = reach;
        for piece in self.points.windows(2) {
            let [a, b] = [piece[0], piece[1]];
            let (low, high) = ([a[0].min(b[0]), a[1].min(b[1])], [a[0].max(b[0]), a[1].max(b[1])]);
            if (0..2).any(|k| at[k] < low[k] - reach || at[k] > high[k] + reach) {
                continue;
            }
            nearest = nearest.min(from_piece(at, a, b));
        }
        let full = (2.0 * self.half_width / pixel).min(1.0);
        full * ((self.half_width.max(0.5 * pixel) - nearest) / pixel + 0.5).clamp(0.0, 1.0)
    }
}

impl Scene for Skin {
    fn colour(&self, at: Vector, pixel: f64) -> Colour {
        let [u, v] = at;
        let tone = self.tone.at(u, v);
        let mut colour = scale(self.skin, 0.86 + 0.28 * tone);
        colour = tint(
            colour,
            [
                1.0,
                1.0 - self.redness * (tone - 0.35).max(0.0),
                1.0 - 0.8 * self.redness * (tone - 0.35).max(0.0),
            ],
        );
        colour = scale(colour, 0.95 + 0.10 * self.pores.at(u, v));
        for lesion in &self.lesions {
            colour = lesion.over(colour, at);
        }
        for bubble in &self.bubbles {
            let ring = 1.0
                - ((distance(at, bubble.at) - bubble.radius).abs() / (0.12 * bubble.radius + 0.5 * pixel))
                    .min(1.0);
            colour = mix(colour, [1.0, 0.98, 0.95], 0.35 * ring);
        }
        for hair in &self.hairs {
            colour = mix(colour, hair.colour, hair.strength * hair.cover(at, pixel));
        }
        let reach = distance(at, [0.5, 0.5]);
        colour = scale(colour, 1.04 - 0.42 * reach * reach);
        mix(colour, [0.04, 0.03, 0.04], smoothstep(self.lens - 0.03, self.lens + 0.01, reach))
    }

    fn inside(&self, at: Vector) -> bool {
        self.lesions.iter().any(|lesion| lesion.outline.place(at).depth > 0.0)
    }
}
