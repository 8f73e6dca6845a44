//! An axial slice of a head in three MR sequences: red before contrast (T1),
//! green FLAIR, blue after contrast. Scalp, skull, folded cortex over white
//! matter, deep nuclei, ventricles, and a glioma that pushes them aside.

use dygl_base::random::Stream;

use super::Scene;
use super::colour::Colour;
use super::noise::Noise;
use super::shape::{Outline, Vector, direction, distance, from_piece, smoothstep};

/// Signal of a tissue in the three sequences.
type Signal = Colour;

const AIR: Signal = [0.02, 0.02, 0.02];
const FAT: Signal = [0.80, 0.58, 0.80];
const BONE: Signal = [0.07, 0.06, 0.07];
const MARROW: Signal = [0.42, 0.30, 0.42];
const FLUID: Signal = [0.14, 0.09, 0.14];
const CORTEX: Signal = [0.38, 0.44, 0.40];
const NUCLEI: Signal = [0.41, 0.43, 0.44];
const WHITE: Signal = [0.46, 0.37, 0.48];
const VESSEL: Signal = [0.20, 0.14, 0.95];
const OEDEMA: Signal = [0.30, 0.80, 0.31];
const SOLID: Signal = [0.32, 0.68, 0.40];
const CYST: Signal = [0.17, 0.24, 0.18];
const ENHANCED: Signal = [0.36, 0.62, 0.88];

/// One slice.
#[derive(Debug)]
pub(super) struct Flair {
    head: Outline,
    scalp: f64,
    bone: f64,
    ventricles: Ventricles,
    gyri: Noise,
    cortex: f64,
    wobble: Noise,
    tissue: Noise,
    /// Gain over the field of view: coils see their own side brighter.
    coil: Noise,
    /// Grain of each sequence.
    grain: [Noise; 3],
    grain_strength: f64,
    gain: Signal,
    /// The sequence shown in each channel: 0, 1, 2, or FLAIR (1) where one is lacking.
    shown: [usize; 3],
    /// Small bright spots of age in the white matter; not part of the truth.
    spots: Vec<(Vector, f64)>,
    vessels: Vec<(Vector, f64)>,
    tumour: Option<Tumour>,
}

/// Fluid-filled chambers around the midline, in coordinates of the head.
#[derive(Debug)]
struct Ventricles {
    /// 0: above them, 1: wide.
    width: f64,
    lean: f64,
    third: f64,
    /// Bright rim in FLAIR.
    caps: f64,
}

#[derive(Debug)]
struct Tumour {
    outline: Outline,
    border: Noise,
    raggedness: f64,
    inner: Noise,
    contrast: f64,
    softness: f64,
    /// Radius of a dark cavity, as a share of the whole; 0: none.
    cyst: f64,
    /// Strength of an enhancing rim around cavity or core; 0: none.
    enhancement: f64,
    /// How far it pushes its surroundings, as a share of its radius.
    push: f64,
    /// Stays on its side of the midline.
    one_sided: bool,
}

/// A point within the head: right and left of the midline, front to back, and
/// the depth below the skin, each in units of the head's radius.
#[derive(Debug, Clone, Copy)]
struct Inside {
    x: f64,
    y: f64,
    depth: f64,
}

impl Flair {
    /// `empty` slices hold no tumour.
    pub(super) fn draw(stream: &mut Stream, empty: bool) -> Self {
        let centre = [0.5 + stream.range(-0.03, 0.03), 0.5 + stream.range(-0.03, 0.03)];
        let tilt = stream.range(-0.12, 0.12);
        let length = (1.0 + tilt * tilt).sqrt();
        let axis = [tilt / length, 1.0 / length];
        let (size, stretch) = (stream.range(0.31, 0.41), stream.range(1.12, 1.32));
        let head = Outline::along(stream, centre, size, 0.06, (axis, stretch));
        // A missing sequence was replaced by FLAIR in the set that this mimics.
        let shown = [if stream.chance(0.1) { 1 } else { 0 }, 1, if stream.chance(0.14) { 1 } else { 2 }];
        // Scanners differ in brightness, and somewhat between sequences.
        let (bright, cast) = (stream.range(0.75, 1.15), if stream.chance(0.2) { 0.45 } else { 0.16 });
        let mut flair = Self {
            head,
            scalp: stream.range(0.045, 0.085),
            bone: stream.range(0.04, 0.075),
            ventricles: Ventricles {
                width: if stream.chance(0.25) { 0.0 } else { stream.range(0.35, 1.0) },
                lean: stream.range(-0.03, 0.03),
                third: stream.range(0.006, 0.02),
                caps: stream.range(0.0, 0.8),
            },
            gyri: Noise::new(stream, 14, 2),
            cortex: stream.range(0.8, 1.25),
            wobble: Noise::new(stream, 5, 3),
            tissue: Noise::new(stream, 14, 3),
            coil: Noise::new(stream, 2, 2),
            grain: std::array::from_fn(|_| Noise::new(stream, 110, 2)),
            grain_strength: stream.range(0.04, 0.14),
            gain: std::array::from_fn(|_| bright * stream.range(1.0 - cast, 1.0 + cast)),
            shown,
            spots: Vec::new(),
            vessels: Vec::new(),
            tumour: None,
        };
        if !empty {
            flair.tumour = Some(Tumour::draw(stream, &flair.head));
        }
        flair.spots = (0..stream.below(9))
            .map(|_| (flair.scatter(stream, 0.75), size * stream.range(0.012, 0.04)))
            .collect();
        flair.vessels = (0..4 + stream.below(8))
            .map(|_| (flair.scatter(stream, 0.95), size * stream.range(0.008, 0.02)))
            .collect();
        flair
    }

    /// A point of the head, its distance from the centre below `reach`.
    fn scatter(&self, stream: &mut Stream, reach: f64) -> Vector {
        let towards = direction(stream);
        let depth = self.head.radius * (1.0 - reach * stream.unit().sqrt());
        self.head.point(towards, depth)
    }

    fn place(&self, at: Vector) -> Inside {
        let (dx, dy) = (at[0] - self.head.centre[0], at[1] - self.head.centre[1]);
        let [cos, sin] = self.head.axis();
        let unit = 1.0 / self.head.radius;
        Inside {
            x: (dx * sin - dy * cos) * unit,
            y: (dx * cos + dy * sin) * unit,
            depth: self.head.place(at).depth * unit,
        }
    }

    /// Signal of the healthy head, and how much of it is brain.
    fn anatomy(&self, at: Vector, place: Inside) -> (Signal, f64) {
        let wobble = self.wobble.at(at[0], at[1]) - 0.5;
        let depth = place.depth;
        let scalp = self.scalp * (1.0 + 0.8 * wobble);
        let table = scalp + self.bone * (1.0 - 0.6 * wobble);
        let mut signal = join(AIR, FAT, smoothstep(-0.01, 0.012, depth));
        // Skin is darker than the fat below it.
        signal = join(signal, MARROW, 0.7 * (1.0 - smoothstep(0.012, 0.03, depth)) * step(depth, 0.0));
        signal = join(signal, BONE, smoothstep(scalp - 0.012, scalp + 0.012, depth));
        let middle = 0.5 * (scalp + table);
        let marrow = 1.0 - smoothstep(0.0, 0.25 * self.bone, (depth - middle).abs());
        signal = join(signal, MARROW, marrow * (0.45 + wobble));
        let brain = smoothstep(table + 0.004, table + 0.03, depth);
        signal = join(signal, FLUID, smoothstep(table - 0.012, table + 0.006, depth));
        (join(signal, self.brain(at, place, depth - table, wobble), brain), brain)
    }

    /// Signal of the brain; `below` is the depth under its surface.
    fn brain(&self, at: Vector, place: Inside, below: f64, wobble: f64) -> Signal {
        // The ribbon of grey matter follows the furrows; both fade inwards.
        let outward = (1.0 - below / (0.5 * self.cortex)).clamp(0.0, 1.0);
        let fold = (self.gyri.at(at[0] + 0.03 * wobble, at[1] - 0.03 * wobble) - 0.5).abs();
        let furrow = 0.05 * outward * outward;
        let ribbon = (0.05 + 0.10 * outward) * outward.sqrt();
        let grey = (1.0 - smoothstep(ribbon * 0.8, ribbon * 1.2 + 1e-6, fold))
            .max(1.0 - smoothstep(0.05, 0.085, below));
        let mut signal = join(WHITE, CORTEX, grey * step(outward, 0.02));
        let open = 0.75 * smoothstep(0.05, 0.6, outward);
        signal = join(signal, FLUID, open * (1.0 - smoothstep(0.0, furrow + 1e-6, fold)));
        // The fissure between the halves, deep in front and behind.
        let bend = 0.05 * wobble;
        let across = (place.x + bend).abs();
        let gap = 0.004 + 0.016 * smoothstep(0.25, 0.95, place.y.abs());
        signal = join(
            signal,
            CORTEX,
            (1.0 - smoothstep(gap, gap + 0.06, across)) * smoothstep(0.3, 0.42, place.y.abs()),
        );
        let split = smoothstep(0.24, 0.44, place.y.abs()) * (0.75 + wobble);
        signal = join(signal, FLUID, split * (1.0 - smoothstep(0.0, 1.6 * gap + 0.012, across)));
        self.ventricles.within(signal, Inside { x: place.x + bend, y: place.y + 0.04 * wobble, ..place })
    }
}

impl Ventricles {
    /// The signal with deep nuclei and chambers in it.
    fn within(&self, mut signal: Signal, at: Inside) -> Signal {
        let side = [(at.x + self.lean * at.y).abs(), at.y];
        for (centre, radius) in [([0.27, -0.06], 0.13), ([0.12, 0.12], 0.10), ([0.15, -0.24], 0.06)] {
            let depth = radius - distance(side, centre);
            signal = join(signal, NUCLEI, 0.8 * self.width.min(0.6) / 0.6 * smoothstep(-0.02, 0.03, depth));
        }
        if self.width == 0.0 {
            return signal;
        }
        let wide = self.width;
        let between = |a, b| from_piece(side, a, b);
        let tip = [0.08 + 0.08 * wide, -0.34];
        let front = (0.034 * wide - between([0.055, -0.02], [0.07, -0.2]))
            .max((0.04 + 0.12 * (-0.18 - at.y).clamp(0.0, 0.2)) * wide - between([0.07, -0.2], tip));
        let (bend, end) = ([0.13 + 0.06 * wide, 0.34], [0.12 + 0.07 * wide, 0.50]);
        let back = (0.042 * wide - between([0.09, 0.18], bend)).max(0.055 * wide - between(bend, end));
        let body = 0.04 * wide - between([0.06, -0.06], [0.09, 0.18]);
        let chamber = front.max(back).max(if wide > 0.7 { body } else { -1.0 });
        let third = self.third - from_piece(side, [0.0, -0.04], [0.0, 0.2]);
        // Caps of the horns glow a little with age.
        let cap = smoothstep(-0.055, 0.0, chamber) * self.caps;
        signal = join(signal, OEDEMA, 0.45 * cap);
        signal = join(signal, FLUID, smoothstep(-0.02, 0.02, chamber.max(third)));
        // The plexus within shines after contrast.
        let plexus = 0.026 - distance(side, [0.13, 0.28]);
        join(signal, ENHANCED, 0.8 * smoothstep(-0.012, 0.01, plexus.min(chamber + 0.01)))
    }
}

impl Tumour {
    fn draw(stream: &mut Stream, head: &Outline) -> Self {
        let radius = if stream.chance(0.2) { stream.range(0.04, 0.065) } else { stream.range(0.07, 0.17) };
        // Within the brain: not beyond its surface, not over the midline.
        let towards = direction(stream);
        let deepest = head.radius - 0.6 * radius;
        let shallowest = (0.17 * head.radius + 0.8 * radius).min(deepest);
        let centre = head.point(towards, stream.range(shallowest, deepest));
        let roughness = stream.range(0.4, 1.2);
        Self {
            outline: Outline::draw(stream, centre, radius, roughness),
            border: Noise::new(stream, 14, 3),
            raggedness: stream.range(0.3, 1.0),
            inner: Noise::new(stream, 10, 3),
            contrast: if stream.chance(0.3) { stream.range(0.38, 0.6) } else { stream.range(0.6, 1.0) },
            softness: stream.range(0.05, 0.22),
            cyst: if stream.chance(0.3) { stream.range(0.35, 0.75) } else { 0.0 },
            enhancement: if stream.chance(0.35) { stream.range(0.4, 1.0) } else { 0.0 },
            push: stream.range(0.0, 0.35),
            one_sided: stream.chance(0.8),
        }
    }

    /// Depth inside the ragged border; negative outside.
    fn depth(&self, at: Vector) -> f64 {
        let ragged = self.raggedness * self.outline.radius * (self.border.at(at[0], at[1]) - 0.5);
        self.outline.place(at).depth + 1.3 * ragged
    }

    /// Where the tissue seen at a point would lie without the tumour.
    fn pushed(&self, at: Vector) -> Vector {
        let away = [at[0] - self.outline.centre[0], at[1] - self.outline.centre[1]];
        let near = (away[0] * away[0] + away[1] * away[1]) / (self.outline.radius * self.outline.radius);
        let by = self.push / ((1.0 + 0.5 * near) * (1.0 + 0.5 * near));
        [at[0] - by * away[0], at[1] - by * away[1]]
    }

    fn over(&self, tissue: Signal, at: Vector) -> Signal {
        let depth = self.depth(at);
        let radius = self.outline.radius;
        let cover = smoothstep(-self.softness * radius, self.softness * radius, depth);
        if cover == 0.0 {
            return tissue;
        }
        let inner = self.inner.at(at[0], at[1]);
        let mut own = join(SOLID, OEDEMA, smoothstep(0.35, 0.65, inner));
        own = own.map(|s| s * (0.82 + 0.36 * inner));
        // Cavity and rim lie around the middle, uneven like the border.
        let core = (depth / radius).max(0.0) + 0.35 * (inner - 0.5);
        if self.cyst > 0.0 {
            own = join(own, CYST, smoothstep(1.0 - self.cyst, 1.12 - self.cyst, core));
        }
        if self.enhancement > 0.0 {
            let ring = 1.0 - smoothstep(0.05, 0.16, (core - 0.93 + self.cyst.max(0.4)).abs());
            own = join(own, ENHANCED, ring * self.enhancement);
        }
        join(tissue, own, cover * self.contrast)
    }
}

impl Flair {
    /// Whether the tumour may be at a point of the head at all.
    fn may_hold(&self, tumour: &Tumour, at: Vector) -> bool {
        let place = self.place(at);
        let within = place.depth > self.scalp + self.bone + 0.02;
        let side = self.place(tumour.outline.centre).x;
        within && (!tumour.one_sided || place.x * side > 0.0)
    }
}

impl Scene for Flair {
    fn colour(&self, at: Vector, _pixel: f64) -> Colour {
        let healthy = self.tumour.as_ref().map_or(at, |tumour| tumour.pushed(at));
        let (mut signal, brain) = self.anatomy(healthy, self.place(healthy));
        let tissue = 0.86 + 0.28 * self.tissue.at(at[0], at[1]);
        signal = signal.map(|s| s * tissue);
        if brain > 0.0 {
            for (spot, radius) in &self.spots {
                let cover = 1.0 - smoothstep(0.5 * radius, 1.5 * radius, distance(healthy, *spot));
                signal = join(signal, OEDEMA, 0.5 * cover * brain);
            }
        }
        if let Some(tumour) = self.tumour.as_ref().filter(|tumour| self.may_hold(tumour, at)) {
            signal = tumour.over(signal, at);
        }
        for (vessel, radius) in &self.vessels {
            let cover = 1.0 - smoothstep(0.5 * radius, 1.4 * radius, distance(healthy, *vessel));
            signal = join(signal, VESSEL, 0.8 * cover * brain);
        }
        let coil = 0.62 + 0.76 * self.coil.at(at[0], at[1]);
        let full: Signal = std::array::from_fn(|k| {
            let grain = self.grain_strength * (self.grain[k].at(at[0], at[1]) - 0.5);
            (signal[k] * coil * self.gain[k] + grain).abs()
        });
        self.shown.map(|sequence| full[sequence])
    }

    fn inside(&self, at: Vector) -> bool {
        self.tumour.as_ref().is_some_and(|tumour| tumour.depth(at) > 0.0 && self.may_hold(tumour, at))
    }
}

/// From `a` (t = 0) to `b` (t = 1), sequence by sequence.
fn join(a: Signal, b: Signal, t: f64) -> Signal {
    super::colour::mix(a, b, t.clamp(0.0, 1.0))
}

/// 1 where `t` is greater than `above`, else 0.
fn step(t: f64, above: f64) -> f64 {
    if t > above { 1.0 } else { 0.0 }
}
