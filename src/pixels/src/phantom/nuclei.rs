//! A section of a tumour stained with haematoxylin and eosin, at high power:
//! crowded nuclei of every size and darkness in cytoplasm and stroma.

use dygl_base::random::Stream;

use super::Scene;
use super::colour::Colour;
use super::grid::Grid;
use super::noise::Noise;
use super::shape::{Outline, Vector, direction, distance, smoothstep};
use super::stain::{Blob, Dye, Stain};

const CYTOPLASM: Dye = Dye { h: 0.26, e: 0.34 };
const STROMA: Dye = Dye { h: 0.06, e: 0.40 };
const FIBRE: Dye = Dye { h: 0.12, e: 0.66 };
const GAP: Dye = Dye { h: 0.0, e: 0.03 };
const BLOOD: Dye = Dye { h: 0.05, e: 0.95 };
const CHROMATIN: Dye = Dye { h: 1.25, e: 0.30 };
const DUST: Dye = Dye { h: 1.5, e: 0.6 };

/// One field of view.
#[derive(Debug)]
pub(super) struct Nuclei {
    stain: Stain,
    nuclei: Grid<Nucleus>,
    /// Red cells and fragments, which are no nuclei.
    litter: Grid<Blob>,
    cloud: Noise,
    fibres: Noise,
    fibre_axis: Vector,
    granules: Noise,
    chromatin: Noise,
    /// Level of the cloud above which there is stroma.
    stroma: f64,
    /// Basophilia of the cytoplasm, which hides nuclei.
    blue: f64,
    gaps: f64,
}

#[derive(Debug)]
struct Nucleus {
    outline: Outline,
    /// Strength of the stain.
    dark: f64,
    /// 0: even, 1: empty but for a rim.
    vesicular: f64,
    nucleolus: Option<(Vector, f64)>,
    /// Half-width of the border as a share of the radius: out of focus above 0.3.
    blur: f64,
}

/// What the cells of an image have in common.
struct Kind {
    radius: f64,
    /// Spread of the radius.
    variety: f64,
    wanted: f64,
    vesicular: f64,
    lymphocytes: f64,
    dark: f64,
}

impl Kind {
    fn draw(stream: &mut Stream) -> Self {
        Self {
            radius: stream.range(0.019, 0.034),
            variety: stream.range(0.1, 0.4),
            wanted: stream.range(0.10, 0.30),
            vesicular: stream.range(0.2, 0.95),
            lymphocytes: stream.range(0.0, 0.4),
            dark: stream.range(0.4, 0.95),
        }
    }
}

impl Nuclei {
    pub(super) fn draw(stream: &mut Stream) -> Self {
        let stain = Stain::draw(stream);
        let kind = Kind::draw(stream);
        let cloud = Noise::new(stream, 3, 3);
        let stroma = stream.range(0.45, 0.85);
        let fibre_axis = direction(stream);
        let nuclei = crowd(stream, &kind, &cloud, stroma, fibre_axis);
        let litter = litter(stream);
        Self {
            stain,
            nuclei: Grid::new(nuclei, |nucleus| (nucleus.outline.centre, nucleus.outline.reach() + 0.03)),
            litter: Grid::new(litter, Blob::extent),
            cloud,
            fibres: Noise::new(stream, 8, 3),
            fibre_axis,
            granules: Noise::new(stream, 40, 3),
            chromatin: Noise::new(stream, 70, 2),
            stroma,
            blue: stream.range(0.1, 0.8),
            gaps: stream.range(0.0, 1.0),
        }
    }

    /// Cytoplasm with cell borders, passing into fibrous stroma.
    fn ground(&self, at: Vector) -> Dye {
        let cloud = self.cloud.at(at[0], at[1]);
        let granules = self.granules.at(at[0], at[1]);
        let [cos, sin] = self.fibre_axis;
        let along = at[0] * cos + at[1] * sin;
        let across = at[1] * cos - at[0] * sin + 0.15 * (cloud - 0.5);
        let wave = self.fibres.at(0.6 * along, 3.0 * across);
        let fibrous = STROMA.towards(FIBRE, smoothstep(0.4, 0.65, wave));
        let mut cell = CYTOPLASM.times(0.6 + 0.8 * granules);
        cell.h += self.blue * (0.25 + 0.5 * granules) * smoothstep(0.25, 0.55, 1.0 - cloud);
        let border = self.fibres.ridge(at[0] * 2.0 + 0.1, at[1] * 2.0, 0.05);
        cell = cell.towards(STROMA, 0.4 * border);
        let ground = cell.towards(fibrous, smoothstep(self.stroma - 0.05, self.stroma + 0.05, cloud));
        let torn = smoothstep(0.64, 0.70, self.fibres.at(1.3 * along + 0.6, 2.0 * across + 0.2));
        ground.towards(GAP, torn * self.gaps)
    }
}

/// Nuclei in the order in which they lie over each other.
fn crowd(stream: &mut Stream, kind: &Kind, cloud: &Noise, stroma: f64, fibre_axis: Vector) -> Vec<Nucleus> {
    let mut nuclei: Vec<Nucleus> = Vec::new();
    let mut covered = 0.0;
    // Nests attract: a nucleus likes to lie beside an earlier one.
    for _ in 0..900 {
        if covered > kind.wanted {
            break;
        }
        let free = [stream.range(-0.02, 1.02), stream.range(-0.02, 1.02)];
        let (beside, pick, far) = (stream.chance(0.55), stream.unit(), stream.range(1.9, 3.2));
        let towards = direction(stream);
        let centre = match nuclei.get((pick * nuclei.len() as f64) as usize) {
            Some(other) if beside => {
                let away = far * other.outline.radius;
                [other.outline.centre[0] + towards[0] * away, other.outline.centre[1] + towards[1] * away]
            }
            _ => free,
        };
        let nucleus =
            Nucleus::draw(stream, kind, centre, cloud.at(centre[0], centre[1]) > stroma, fibre_axis);
        let seen = centre.iter().all(|t| (-0.03..=1.03).contains(t));
        let radius = nucleus.outline.radius;
        let fits = nuclei
            .iter()
            .all(|other| distance(centre, other.outline.centre) > 0.88 * (radius + other.outline.radius));
        if seen && fits {
            covered += std::f64::consts::PI * radius * radius;
            nuclei.push(nucleus);
        }
    }
    nuclei
}

/// What looks like nuclei at first sight.
fn litter(stream: &mut Stream) -> Vec<Blob> {
    let red = if stream.chance(0.4) { stream.below(40) } else { 0 };
    let pool = [stream.unit(), stream.unit()];
    let mut litter: Vec<Blob> = (0..red)
        .map(|_| {
            let size = stream.range(0.010, 0.014);
            Blob {
                centre: [pool[0] + stream.range(-0.15, 0.15), pool[1] + stream.range(-0.15, 0.15)],
                axis: direction(stream),
                long: size * 1.1,
                short: size,
                dye: BLOOD,
            }
        })
        .collect();
    litter.extend((0..stream.below(40)).map(|_| {
        let size = stream.range(0.002, 0.0055);
        Blob {
            centre: [stream.unit(), stream.unit()],
            axis: direction(stream),
            long: size * 1.3,
            short: size,
            dye: DUST,
        }
    }));
    litter
}

impl Nucleus {
    fn draw(stream: &mut Stream, kind: &Kind, centre: Vector, in_stroma: bool, fibre_axis: Vector) -> Self {
        let lymphocyte = stream.chance(kind.lymphocytes);
        let spread = 1.0 + kind.variety * (stream.unit() + stream.unit() - 1.0) * 1.6;
        let lean = stream.range(-0.5, 0.5);
        let length = (1.0 + lean * lean).sqrt();
        let [x, y] = fibre_axis;
        let fibroblast = in_stroma && !lymphocyte;
        let axis =
            if fibroblast { [(x - lean * y) / length, (y + lean * x) / length] } else { direction(stream) };
        let (radius, stretch, rough) = if lymphocyte {
            (0.0155 * stream.range(0.9, 1.1), stream.range(1.0, 1.15), 0.1)
        } else if fibroblast {
            (0.7 * kind.radius * spread, stream.range(1.8, 3.6), 0.2)
        } else {
            (kind.radius * spread, stream.range(1.0, 1.7), stream.range(0.1, 0.45))
        };
        let outline = Outline::along(stream, centre, radius, rough, (axis, stretch));
        let dark = if lymphocyte || stream.chance(0.08) {
            stream.range(0.9, 1.3)
        } else {
            kind.dark * stream.range(0.6, 1.1)
        };
        let [a, b] = [stream.range(-0.4, 0.4), stream.range(-0.4, 0.4)];
        let spot = ([centre[0] + a * radius, centre[1] + b * radius], radius * stream.range(0.12, 0.24));
        let has_nucleolus = stream.chance(0.55) && !lymphocyte && !fibroblast;
        Self {
            dark,
            vesicular: if lymphocyte || fibroblast { 0.0 } else { kind.vesicular * stream.range(0.5, 1.0) },
            nucleolus: has_nucleolus.then_some(spot),
            blur: if stream.chance(0.15) { stream.range(0.3, 0.6) } else { stream.range(0.06, 0.2) },
            outline,
        }
    }

    /// The nucleus over what lies below it.
    fn over(&self, ground: Dye, at: Vector, pixel: f64, chromatin: f64) -> Dye {
        let radius = self.outline.radius;
        let depth = self.outline.place(at).depth;
        let soft = 0.5 * pixel + self.blur * 0.5 * radius;
        let cover = smoothstep(-soft, soft, depth);
        if cover == 0.0 {
            return ground;
        }
        let clumps = 0.55 + 0.9 * smoothstep(0.35, 0.65, chromatin);
        let hollow =
            self.vesicular * smoothstep(0.08 * radius + 0.3 * pixel, 0.35 * radius + 0.5 * pixel, depth);
        let mut own = CHROMATIN.times(self.dark * clumps * (1.0 - 0.62 * hollow));
        if let Some((spot, size)) = self.nucleolus {
            let near = 1.0 - smoothstep(0.6 * size, 1.2 * size + 0.5 * pixel, distance(at, spot));
            own = own.towards(CHROMATIN.times(1.25), near);
        }
        // Sections are thick: some of what lies below shows through.
        own.h += 0.35 * ground.h;
        own.e += 0.35 * ground.e;
        ground.towards(own, cover)
    }
}

impl Scene for Nuclei {
    fn colour(&self, at: Vector, pixel: f64) -> Colour {
        let mut dye = self.ground(at);
        for blob in self.litter.near(at) {
            dye = dye.towards(blob.dye, 0.85 * blob.cover(at, pixel));
        }
        let chromatin = self.chromatin.at(at[0], at[1]);
        for nucleus in self.nuclei.near(at) {
            dye = nucleus.over(dye, at, pixel, chromatin);
        }
        self.stain.colour(dye)
    }

    fn inside(&self, at: Vector) -> bool {
        self.nuclei.near(at).any(|nucleus| nucleus.outline.place(at).depth > 0.0)
    }
}
