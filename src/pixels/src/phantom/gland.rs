//! A section of colon stained with haematoxylin and eosin: glands cut across
//! and along, lined by epithelium with goblet cells (benign) or crowded,
//! layered nuclei (malignant), in a fibrous stroma full of cells.

use dygl_base::random::Stream;

use super::Scene;
use super::colour::Colour;
use super::grid::Grid;
use super::noise::Noise;
use super::shape::{Outline, Vector, direction, distance, round, smoothstep};
use super::stain::{Blob, Dye, Stain};

const CYTOPLASM: Dye = Dye { h: 0.30, e: 0.42 };
const MALIGNANT: Dye = Dye { h: 0.50, e: 0.55 };
const MUCIN: Dye = Dye { h: 0.10, e: 0.07 };
const LUMEN: Dye = Dye { h: 0.01, e: 0.05 };
const DEBRIS: Dye = Dye { h: 0.25, e: 0.75 };
const STROMA: Dye = Dye { h: 0.10, e: 0.46 };
const FIBRE: Dye = Dye { h: 0.16, e: 0.72 };
const CLEFT: Dye = Dye { h: 0.02, e: 0.14 };
const SLIDE: Dye = Dye { h: 0.0, e: 0.01 };
const NUCLEUS: Dye = Dye { h: 1.35, e: 0.35 };

/// One field of view.
#[derive(Debug)]
pub(super) struct Glands {
    stain: Stain,
    glands: Grid<Gland>,
    cells: Grid<Blob>,
    fibres: Noise,
    fibre_axis: Vector,
    cloud: Noise,
    grain: Noise,
    /// Where the tissue ends: a point of the edge and the way out.
    edge: Option<(Vector, Vector)>,
}

#[derive(Debug)]
struct Gland {
    outline: Outline,
    /// Height of the epithelium.
    height: f64,
    cytoplasm: Dye,
    debris: f64,
    inner: Noise,
}

/// What the glands of an image have in common.
struct Kind {
    malignant: bool,
    radius: f64,
    roughness: (f64, f64),
    stretch: (f64, f64),
    /// Share of the tissue that glands should cover.
    wanted: f64,
    /// Closest allowed approach, as a share of both radii.
    closeness: f64,
    axis: Vector,
}

impl Kind {
    fn draw(stream: &mut Stream) -> Self {
        let malignant = stream.chance(0.5);
        Self {
            malignant,
            radius: stream.range(0.07, 0.17),
            roughness: if malignant { (0.3, 1.0) } else { (0.05, 0.35) },
            stretch: if stream.chance(0.35) { (1.5, 2.6) } else { (1.0, 1.5) },
            wanted: stream.range(0.5, 0.75),
            closeness: stream.range(0.84, 1.0),
            axis: direction(stream),
        }
    }
}

impl Glands {
    pub(super) fn draw(stream: &mut Stream) -> Self {
        let stain = Stain::draw(stream);
        let kind = Kind::draw(stream);
        let edge = stream.chance(0.25).then(|| {
            let way = direction(stream);
            let out = stream.range(0.12, 0.4);
            ([0.5 + way[0] * out, 0.5 + way[1] * out], way)
        });
        let cloud = Noise::new(stream, 4, 3);
        let outlines = pack(stream, &kind, edge);
        let mut cells = Vec::new();
        let mut glands = Vec::new();
        for outline in outlines {
            glands.push(Gland::draw(stream, outline, &kind, &mut cells));
        }
        let fibre_axis = direction(stream);
        stroma(stream, &glands, edge, &cloud, fibre_axis, &mut cells);
        Self {
            stain,
            glands: Grid::new(glands, |gland| (gland.outline.centre, gland.outline.reach() + 0.02)),
            cells: Grid::new(cells, Blob::extent),
            fibres: Noise::new(stream, 9, 3),
            fibre_axis,
            cloud,
            grain: Noise::new(stream, 90, 2),
            edge,
        }
    }

    /// The gland that a point lies deepest in or nearest to, with its depth.
    fn gland(&self, at: Vector) -> Option<(&Gland, f64)> {
        let depths = self.glands.near(at).map(|gland| (gland, gland.outline.place(at).depth));
        depths.max_by(|a, b| a.1.total_cmp(&b.1))
    }

    fn stroma_at(&self, at: Vector) -> Dye {
        let [cos, sin] = self.fibre_axis;
        let cloud = self.cloud.at(at[0], at[1]);
        // Fibres run along their axis and wave with the cloud.
        let along = at[0] * cos + at[1] * sin;
        let across = at[1] * cos - at[0] * sin + 0.12 * (cloud - 0.5);
        let fibre = smoothstep(0.38, 0.66, self.fibres.at(0.7 * along, 4.0 * across));
        let gap = smoothstep(0.66, 0.76, self.fibres.at(0.9 * along + 0.4, 3.0 * across + 0.3));
        STROMA.towards(FIBRE, fibre).times(0.75 + 0.5 * cloud).towards(CLEFT, 0.75 * gap)
    }
}

/// Outlines that cover about as much as wanted, some of them touching.
fn pack(stream: &mut Stream, kind: &Kind, edge: Option<(Vector, Vector)>) -> Vec<Outline> {
    let mut outlines: Vec<Outline> = Vec::new();
    let mut covered = 0.0;
    for attempt in 0..400 {
        if covered > kind.wanted {
            break;
        }
        // Gaps are filled with ever smaller ones.
        let radius = kind.radius * stream.range(0.65, 1.25) * (1.0 - f64::from(attempt) / 700.0);
        let centre = [stream.range(-0.08, 1.08), stream.range(-0.08, 1.08)];
        let lean = stream.range(-0.5, 0.5);
        let length = (1.0 + lean * lean).sqrt();
        let axis =
            [(kind.axis[0] - lean * kind.axis[1]) / length, (kind.axis[1] + lean * kind.axis[0]) / length];
        let (low, high) = kind.stretch;
        let stretch = stream.range(low, high);
        let rough = stream.range(kind.roughness.0, kind.roughness.1);
        if edge.is_some_and(|(on, way)| beyond(centre, on, way) > -radius) {
            continue;
        }
        let outline = Outline::along(stream, centre, radius, rough, (axis, stretch));
        let room = outlines.iter().all(|other| {
            // Depth of either's rim within the other, where they face each other.
            let apart = distance(centre, other.centre).max(1e-6);
            let way = [(other.centre[0] - centre[0]) / apart, (other.centre[1] - centre[1]) / apart];
            let (own, its) = (outline.extent(way), other.extent([-way[0], -way[1]]));
            apart > kind.closeness * (own + its)
        });
        if room {
            let seen = [centre[0].clamp(0.0, 1.0), centre[1].clamp(0.0, 1.0)];
            let share = if seen == centre { 1.0 } else { 0.45 };
            covered += share * std::f64::consts::PI * radius * radius;
            outlines.push(outline);
        }
    }
    outlines
}

/// Distance past a straight edge; negative on the tissue's side.
fn beyond(at: Vector, on: Vector, way: Vector) -> f64 {
    (at[0] - on[0]) * way[0] + (at[1] - on[1]) * way[1]
}

impl Gland {
    /// A gland; the cells of its epithelium are added to `cells`.
    fn draw(stream: &mut Stream, outline: Outline, kind: &Kind, cells: &mut Vec<Blob>) -> Self {
        let radius = outline.radius;
        let height = if kind.malignant {
            (radius * stream.range(0.35, 0.8)).min(0.075)
        } else {
            (radius * stream.range(0.55, 0.9)).min(0.085)
        };
        let gland = Self {
            height,
            cytoplasm: if kind.malignant { MALIGNANT } else { CYTOPLASM },
            debris: if kind.malignant && stream.chance(0.5) {
                stream.range(0.3, 0.9)
            } else {
                stream.range(0.0, 0.2)
            },
            inner: Noise::new(stream, 16, 2),
            outline,
        };
        if kind.malignant {
            gland.crowd(stream, cells);
        } else {
            gland.goblets(stream, cells);
            gland.line(stream, cells);
        }
        gland
    }

    /// One row of nuclei along the base.
    fn line(&self, stream: &mut Stream, cells: &mut Vec<Blob>) {
        let size = stream.range(0.0055, 0.0075);
        let count = (6.3 * self.outline.radius / (2.5 * size)) as usize;
        for towards in round(stream, count) {
            if stream.chance(0.08) {
                continue;
            }
            let depth = size * stream.range(1.2, 2.0);
            let flat = stream.range(0.9, 1.7);
            cells.push(self.nucleus(stream, towards, depth, size, flat));
        }
    }

    /// Two to four rows of large, dark, uneven nuclei.
    fn crowd(&self, stream: &mut Stream, cells: &mut Vec<Blob>) {
        let size = stream.range(0.0065, 0.0105);
        let rows = ((self.height * 0.75 / (2.2 * size)) as usize).clamp(1, 4);
        for row in 0..rows {
            let middle = size * (1.5 + 2.1 * row as f64);
            let count = (6.3 * (self.outline.radius - middle).max(0.0) / (2.3 * size)) as usize;
            for towards in round(stream, count) {
                if stream.chance(0.12 + 0.12 * row as f64) {
                    continue;
                }
                let depth = middle + size * stream.range(-0.7, 0.7);
                let long = stream.range(0.55, 1.0);
                let own = size * stream.range(0.75, 1.35);
                cells.push(self.nucleus(stream, towards, depth, own, long));
            }
        }
    }

    /// Pale cells full of mucin between base and lumen.
    fn goblets(&self, stream: &mut Stream, cells: &mut Vec<Blob>) {
        let width = stream.range(0.010, 0.017);
        let rows = ((self.height - 0.016) / (2.6 * width)).max(0.0) as usize;
        for row in 0..=rows.min(2) {
            let depth = 0.017 + width * (1.2 + 2.4 * row as f64);
            if depth > self.height {
                break;
            }
            let count = (6.3 * (self.outline.radius - depth).max(0.0) / (2.1 * width)) as usize;
            for towards in round(stream, count) {
                if stream.chance(0.15) {
                    continue;
                }
                let depth = depth + width * stream.range(-0.25, 0.25);
                let centre = self.outline.point(towards, depth);
                let axis = self.outward(towards, depth);
                let long = width * stream.range(1.0, 1.35);
                cells.push(Blob { centre, axis, long, short: width * stream.range(0.75, 1.0), dye: MUCIN });
            }
        }
    }

    /// A nucleus at a depth; `flat` above 1 lies along the base, below 1 stands on it.
    fn nucleus(&self, stream: &mut Stream, towards: Vector, depth: f64, size: f64, flat: f64) -> Blob {
        let [x, y] = self.outward(towards, depth);
        let dark = stream.range(0.7, 1.25);
        let (axis, long) = if flat > 1.0 { ([-y, x], flat) } else { ([x, y], 1.0 / flat) };
        Blob {
            centre: self.outline.point(towards, depth),
            axis,
            long: size * long,
            short: size,
            dye: NUCLEUS.times(dark),
        }
    }

    fn outward(&self, towards: Vector, depth: f64) -> Vector {
        let (rim, at) = (self.outline.point(towards, 0.0), self.outline.point(towards, depth));
        let apart = distance(rim, at).max(1e-9);
        [(rim[0] - at[0]) / apart, (rim[1] - at[1]) / apart]
    }

    /// Over the stroma: the cleft around the gland, epithelium, lumen.
    fn over(&self, stroma: Dye, at: Vector, depth: f64, pixel: f64) -> Dye {
        let soft = 0.5 * pixel + 0.0015;
        let cleft = smoothstep(-0.012, -0.004, depth) * (1.0 - smoothstep(-0.002, 0.004, depth));
        let base = stroma.towards(CLEFT, 0.5 * cleft);
        let inner = self.inner.at(at[0], at[1]);
        let height = self.height * (0.85 + 0.3 * inner);
        let lumen = LUMEN.towards(DEBRIS, self.debris * smoothstep(0.42, 0.6, inner));
        let brush = self.cytoplasm.times(0.85 + 0.4 * inner);
        let own = brush.towards(lumen, smoothstep(height - soft - 0.002, height + soft + 0.002, depth));
        base.towards(own, smoothstep(-soft, soft, depth))
    }
}

/// Cells of the stroma: long fibroblasts, and round lymphocytes in crowds.
fn stroma(
    stream: &mut Stream,
    glands: &[Gland],
    edge: Option<(Vector, Vector)>,
    cloud: &Noise,
    fibre_axis: Vector,
    cells: &mut Vec<Blob>,
) {
    let (dense, inflamed) = (stream.range(0.4, 1.0), stream.range(0.0, 1.0));
    for _ in 0..2600 {
        let centre = [stream.unit(), stream.unit()];
        let (kept, size, dark) = (stream.unit(), stream.range(0.8, 1.25), stream.range(0.6, 1.2));
        let lean = stream.range(-0.6, 0.6);
        let crowd = smoothstep(0.40, 0.62, cloud.at(centre[0] + 0.37, centre[1] + 0.11)) * inflamed;
        if kept > (0.16 + 0.6 * crowd) * dense
            || edge.is_some_and(|(on, way)| beyond(centre, on, way) > -0.01)
            || glands.iter().any(|gland| gland.outline.place(centre).depth > -0.011)
        {
            continue;
        }
        let round = kept < 0.6 * crowd * dense;
        let (long, short) = if round { (0.0068, 0.006) } else { (0.0125, 0.0036) };
        let length = (1.0 + lean * lean).sqrt();
        let [x, y] = fibre_axis;
        cells.push(Blob {
            centre,
            axis: [(x - lean * y) / length, (y + lean * x) / length],
            long: long * size,
            short: short * size,
            dye: NUCLEUS.times(if round { 1.15 * dark } else { dark }),
        });
    }
}

impl Scene for Glands {
    fn colour(&self, at: Vector, pixel: f64) -> Colour {
        let mut dye = self.stroma_at(at);
        if let Some((gland, depth)) = self.gland(at) {
            dye = gland.over(dye, at, depth, pixel);
        }
        for cell in self.cells.near(at) {
            dye = dye.towards(cell.dye, cell.cover(at, pixel));
        }
        dye = dye.times(0.86 + 0.28 * self.grain.at(at[0], at[1]));
        if let Some((on, way)) = self.edge {
            let frayed = beyond(at, on, way) + 0.1 * (self.cloud.at(at[0], at[1]) - 0.5);
            dye = dye.towards(SLIDE, smoothstep(-0.004, 0.004, frayed));
        }
        self.stain.colour(dye)
    }

    fn inside(&self, at: Vector) -> bool {
        let beyond_edge = self
            .edge
            .is_some_and(|(on, way)| beyond(at, on, way) + 0.1 * (self.cloud.at(at[0], at[1]) - 0.5) > 0.0);
        !beyond_edge && self.gland(at).is_some_and(|(_, depth)| depth > 0.0)
    }
}
