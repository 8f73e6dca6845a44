//! A colonoscopy-like scene: wet, folded mucosa with vessels and highlights,
//! and polyps as shaded domes.

use dygl_base::random::Stream;

use super::Scene;
use super::colour::{Colour, mix, scale, tint};
use super::lesions;
use super::noise::Noise;
use super::shape::{Outline, Vector, direction, distance, smoothstep};

/// One endoscopic frame.
#[derive(Debug)]
pub(super) struct Polyp {
    mucosa: Colour,
    deep: Colour,
    shading: Noise,
    texture: Noise,
    vessels: Noise,
    /// Where vessels show at all.
    beds: Noise,
    vessel_strength: f64,
    folds: Vec<Fold>,
    light: Vector,
    light_centre: Vector,
    falloff: f64,
    highlights: Vec<Highlight>,
    domes: Vec<Dome>,
    /// Half-width of the octagonal image field; beyond 0.75 nothing is cut.
    field: f64,
}

/// A crease of the wall: an arc with a dark and a bright flank.
#[derive(Debug)]
struct Fold {
    centre: Vector,
    radius: f64,
    width: f64,
    strength: f64,
}

#[derive(Debug)]
struct Highlight {
    at: Vector,
    radius: f64,
    strength: f64,
}

#[derive(Debug)]
struct Dome {
    outline: Outline,
    tint: Colour,
    /// How much of the tint shows, 0..1.
    contrast: f64,
    /// Half-width of the soft border.
    border: f64,
    relief: f64,
    pits: Noise,
}

impl Polyp {
    pub(super) fn draw(stream: &mut Stream) -> Self {
        let warmth = stream.unit();
        let mucosa = mix([0.86, 0.50, 0.41], [0.76, 0.38, 0.34], warmth);
        let deep = mix([0.50, 0.17, 0.14], [0.38, 0.11, 0.11], warmth);
        let light = direction(stream);
        let domes: Vec<Dome> = lesions::draw(stream, 0.28, (0.15, 0.7))
            .into_iter()
            .map(|outline| Dome {
                tint: if stream.chance(0.6) { [1.03, 0.78, 0.74] } else { [1.14, 1.26, 1.24] },
                contrast: stream.range(0.4, 1.0),
                border: (outline.radius * stream.range(0.06, 0.22)).max(0.004),
                relief: stream.range(0.22, 0.45),
                pits: Noise::new(stream, 24, 2),
                outline,
            })
            .collect();
        let mut highlights: Vec<Highlight> = (0..stream.below(7))
            .map(|_| Highlight {
                at: [stream.unit(), stream.unit()],
                radius: stream.range(0.006, 0.022),
                strength: stream.range(0.5, 1.0),
            })
            .collect();
        for dome in &domes {
            // Wet domes shine towards the light.
            for _ in 0..stream.below(4) {
                let out = dome.outline.radius * stream.range(0.2, 0.6);
                let aside = dome.outline.radius * stream.range(-0.3, 0.3);
                let [x, y] = dome.outline.centre;
                highlights.push(Highlight {
                    at: [x + light[0] * out - light[1] * aside, y + light[1] * out + light[0] * aside],
                    radius: dome.outline.radius * stream.range(0.04, 0.13),
                    strength: stream.range(0.6, 1.0),
                });
            }
        }
        Self {
            mucosa,
            deep,
            shading: Noise::new(stream, 3, 3),
            texture: Noise::new(stream, 20, 3),
            vessels: Noise::new(stream, 4, 3),
            beds: Noise::new(stream, 3, 2),
            vessel_strength: stream.range(0.1, 0.5),
            folds: (0..1 + stream.below(3)).map(|_| Fold::draw(stream)).collect(),
            light,
            light_centre: [0.5 + stream.range(-0.2, 0.2), 0.5 + stream.range(-0.2, 0.2)],
            falloff: stream.range(1.0, 2.4),
            highlights,
            domes,
            field: if stream.chance(0.6) { stream.range(0.47, 0.5) } else { 1.0 },
        }
    }

    /// The bare mucosa, and the wall that it makes with vessels and folds.
    fn wall(&self, at: Vector) -> (Colour, Colour) {
        let [u, v] = at;
        let shade = self.shading.at(u, v);
        let bare = mix(self.deep, self.mucosa, 0.55 + 0.9 * (shade - 0.25));
        let bare = scale(bare, 0.93 + 0.14 * self.texture.at(u, v));
        let warp = 0.05 * (shade - 0.5);
        let bed = smoothstep(0.42, 0.62, self.beds.at(u, v));
        let vessel = self.vessels.ridge(u + warp, v - warp, 0.03) * self.vessel_strength * bed;
        let mut wall = mix(bare, tint(bare, [0.78, 0.45, 0.48]), vessel);
        for fold in &self.folds {
            wall = scale(wall, fold.shade(at, shade));
        }
        (bare, wall)
    }
}

impl Fold {
    fn draw(stream: &mut Stream) -> Self {
        let [x, y] = direction(stream);
        let away = stream.range(0.5, 1.2);
        Self {
            centre: [0.5 + x * away, 0.5 + y * away],
            radius: away + stream.range(-0.35, 0.35),
            width: stream.range(0.03, 0.11),
            strength: stream.range(0.1, 0.36),
        }
    }

    /// Brightness factor: dark in the crease, bright beside it.
    fn shade(&self, at: Vector, wobble: f64) -> f64 {
        let across = (distance(at, self.centre) - self.radius + 0.12 * (wobble - 0.5)) / self.width;
        let bump = |t: f64| 1.0 / (1.0 + t * t) / (1.0 + t * t);
        1.0 - self.strength * bump(across) + 0.5 * self.strength * bump(across - 1.8)
    }
}

impl Dome {
    /// The wall's colour with this dome of mucosa over it, and its shadow beside it.
    fn over(&self, wall: Colour, bare: Colour, at: Vector, light: Vector) -> Colour {
        let place = self.outline.place(at);
        let radius = self.outline.radius;
        let towards = place.away[0] * light[0] + place.away[1] * light[1];
        // Contact shadow on the far side.
        let near = smoothstep(-0.35 * radius, 0.0, place.depth);
        let shadow = 1.0 - 0.45 * self.relief * near * (0.8 - towards);
        let cover = smoothstep(-self.border, self.border, place.depth);
        if cover == 0.0 {
            return scale(wall, shadow);
        }
        // A dome's slope is 1 at the rim and 0 at the top.
        let rise = (place.depth / radius).clamp(0.0, 1.0);
        let slope = 1.0 - rise;
        let lit = 1.0 + self.relief * (0.35 * rise + slope * towards);
        let pits = 1.0 + 0.22 * self.contrast * (self.pits.at(at[0], at[1]) - 0.5);
        let own = scale(mix(bare, tint(bare, self.tint), self.contrast), lit * pits);
        mix(scale(wall, shadow), own, cover)
    }
}

impl Scene for Polyp {
    fn colour(&self, at: Vector, _pixel: f64) -> Colour {
        let (bare, mut colour) = self.wall(at);
        for dome in &self.domes {
            colour = dome.over(colour, bare, at, self.light);
        }
        let reach = distance(at, self.light_centre);
        colour = scale(colour, 1.12 / (1.0 + self.falloff * reach * reach));
        for light in &self.highlights {
            let glow = 1.0 - smoothstep(0.55 * light.radius, 1.3 * light.radius, distance(at, light.at));
            colour = mix(colour, [1.0, 0.97, 0.93], glow * light.strength);
        }
        let (x, y) = ((at[0] - 0.5).abs(), (at[1] - 0.5).abs());
        let edge = x.max(y).max((x + y) * 0.64);
        mix(colour, [0.03, 0.025, 0.03], smoothstep(self.field - 0.008, self.field + 0.004, edge))
    }

    fn inside(&self, at: Vector) -> bool {
        self.domes.iter().any(|dome| dome.outline.place(at).depth > 0.0)
    }
}
