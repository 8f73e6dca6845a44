//! Pairs of equal and nearly equal images or masks, within and across the
//! parts of the split. All pairs are compared: 4000 images are 8 million.

use std::collections::HashMap;

use rayon::prelude::*;
use serde::Serialize;

use super::look::Look;
use super::near::{CONFIRMED, NEAR, OVERLAP};
use super::turn::Turn;
use super::{LISTED, part_word};

/// What two images or masks have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The same bytes in the files.
    File,
    /// Other bytes, the same size and pixels (of masks after the threshold).
    Pixels,
    /// Nearly the same picture.
    Near,
    /// Nearly the same picture, mirrored or turned by quarters.
    Turned,
}

/// Two images, `a` before `b` in byte order of their ids.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pair {
    /// Id of the first image.
    pub a: String,
    /// Id of the second image.
    pub b: String,
    /// train, validation, test, or unused.
    pub a_part: &'static str,
    /// The same of `b`.
    pub b_part: &'static str,
    /// What the two have in common.
    pub kind: Kind,
    /// How `b` lies over `a`; none where upright.
    pub turn: Option<Turn>,
    /// Whether the two lie in different parts; images in no part do no harm.
    pub across: bool,
    /// Whether both belong to one group; none where groups are not known.
    pub same_group: Option<bool>,
    /// Of images: standardised distance at the larger side, 0 for equal ones.
    /// Of masks: 1 - intersection over union.
    pub distance: f64,
    /// Of images: mean absolute difference, grey levels. Of masks: 0.
    pub difference: f64,
}

/// Every pair that was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Duplicates {
    /// Pairs of each kind.
    pub file: usize,
    /// Other bytes, the same pixels.
    pub pixels: usize,
    /// Nearly the same, upright.
    pub near: usize,
    /// Of images; masks are compared upright alone.
    pub turned: Option<usize>,
    /// Pairs whose two lie in different parts.
    pub across: usize,
    /// Images in any pair.
    pub images: usize,
    /// Sets of images that pairs connect.
    pub clusters: usize,
    /// The first pairs: across parts, then by kind and distance.
    pub pairs: Vec<Pair>,
    /// The nearest pairs that do not count, to judge the threshold by.
    pub not_counted: Vec<Pair>,
}

impl Duplicates {
    /// Pairs of any kind.
    pub fn count(&self) -> usize {
        self.file + self.pixels + self.near + self.turned.unwrap_or(0)
    }
}

/// Pairs beyond the threshold that are shown.
const NOT_COUNTED: usize = 8;
/// How far beyond the threshold they are looked for.
const BEYOND: f32 = 1.6;

/// Two places, how near they are, and of what kind; `None`: not counted.
struct Found {
    a: usize,
    b: usize,
    kind: Option<Kind>,
    turn: Option<Turn>,
    distance: f64,
    difference: f64,
}

/// What two looks have in common; `None`: nothing worth a word.
#[derive(Debug, Default)]
struct Measured {
    kind: Option<Kind>,
    turn: Option<Turn>,
    distance: f64,
    difference: f64,
}

impl Measured {
    fn same(kind: Kind) -> Option<Self> {
        Some(Self { kind: Some(kind), ..Self::default() })
    }
}

/// Nearly equal, upright or else in another way.
fn likeness(a: &Look, b: &Look) -> Option<Measured> {
    let upright =
        a.thumbnail.distance(&b.thumbnail).filter(|coarse| *coarse <= NEAR * BEYOND).map(|coarse| {
            let distance = a.detail.distance(&b.detail);
            let counts = coarse <= NEAR && distance <= CONFIRMED;
            let (kind, difference) = (counts.then_some(Kind::Near), a.detail.difference(&b.detail));
            Measured { kind, turn: None, distance, difference }
        });
    if upright.as_ref().is_some_and(|found| found.kind.is_some()) {
        return upright;
    }
    let turned = a.thumbnail.turned(&b.thumbnail, NEAR).and_then(|(turn, _)| {
        let detail = a.detail.turned(turn);
        let distance = detail.distance(&b.detail);
        let (kind, difference) = (Some(Kind::Turned), detail.difference(&b.detail));
        (distance <= CONFIRMED).then_some(Measured { kind, turn: Some(turn), distance, difference })
    });
    turned.or(upright)
}

pub(super) fn of_images(looks: &[Look]) -> Duplicates {
    let found = every_pair(looks, |a, b| {
        if a.file.is_some() && a.file == b.file {
            return Measured::same(Kind::File);
        }
        if a.pixels == b.pixels {
            return Measured::same(Kind::Pixels);
        }
        likeness(a, b)
    });
    let turned = found.iter().filter(|pair| pair.kind == Some(Kind::Turned)).count();
    Duplicates { turned: Some(turned), ..collect(looks, found) }
}

pub(super) fn of_masks(looks: &[Look]) -> Duplicates {
    let found = every_pair(looks, |a, b| {
        let (a, b) = (&a.mask, &b.mask);
        if a.is_empty() || a.is_full() || b.is_empty() || b.is_full() {
            return None;
        }
        if a.file.is_some() && a.file == b.file {
            return Measured::same(Kind::File);
        }
        if a.pixels == b.pixels {
            return Measured::same(Kind::Pixels);
        }
        let overlap = a.bits.overlap(&b.bits);
        let (kind, distance) = (Some(Kind::Near), 1.0 - overlap);
        (overlap >= OVERLAP).then(|| Measured { kind, distance, ..Measured::default() })
    });
    collect(looks, found)
}

fn every_pair(looks: &[Look], measure: impl Fn(&Look, &Look) -> Option<Measured> + Sync) -> Vec<Found> {
    (0..looks.len())
        .into_par_iter()
        .flat_map_iter(|a| {
            let measure = &measure;
            (a + 1..looks.len()).filter_map(move |b| {
                let Measured { kind, turn, distance, difference } = measure(&looks[a], &looks[b])?;
                Some(Found { a, b, kind, turn, distance, difference })
            })
        })
        .collect()
}

fn collect(looks: &[Look], found: Vec<Found>) -> Duplicates {
    let pair = |found: &Found, kind: Kind| {
        let (a, b) = (&looks[found.a], &looks[found.b]);
        Pair {
            a: a.id.clone(),
            b: b.id.clone(),
            a_part: part_word(a.part),
            b_part: part_word(b.part),
            kind,
            turn: found.turn,
            across: a.part.is_some() && b.part.is_some() && a.part != b.part,
            same_group: a.group.as_ref().zip(b.group.as_ref()).map(|(a, b)| a == b),
            distance: found.distance,
            difference: found.difference,
        }
    };
    let mut counted: Vec<Pair> = found.iter().filter_map(|f| Some(pair(f, f.kind?))).collect();
    counted.sort_by(|a, b| {
        let order = b.across.cmp(&a.across).then(a.kind.cmp(&b.kind)).then(a.distance.total_cmp(&b.distance));
        order.then_with(|| (&a.a, &a.b).cmp(&(&b.a, &b.b)))
    });
    let mut beyond: Vec<&Found> = found.iter().filter(|f| f.kind.is_none()).collect();
    beyond.sort_by(|a, b| a.distance.total_cmp(&b.distance).then((a.a, a.b).cmp(&(b.a, b.b))));
    let of = |kind: Kind| counted.iter().filter(|pair| pair.kind == kind).count();
    let (images, clusters) = clusters(&found);
    Duplicates {
        file: of(Kind::File),
        pixels: of(Kind::Pixels),
        near: of(Kind::Near),
        turned: None,
        across: counted.iter().filter(|pair| pair.across).count(),
        images,
        clusters,
        not_counted: beyond.into_iter().take(NOT_COUNTED).map(|f| pair(f, Kind::Near)).collect(),
        pairs: counted.into_iter().take(LISTED).collect(),
    }
}

/// Images in counted pairs, and the connected sets that they form.
fn clusters(found: &[Found]) -> (usize, usize) {
    let mut parent: HashMap<usize, usize> = HashMap::new();
    fn root(parent: &mut HashMap<usize, usize>, of: usize) -> usize {
        let mut at = of;
        while let Some(next) = parent.get(&at).copied().filter(|next| *next != at) {
            at = next;
        }
        parent.insert(of, at);
        at
    }
    for pair in found.iter().filter(|pair| pair.kind.is_some()) {
        let (a, b) = (root(&mut parent, pair.a), root(&mut parent, pair.b));
        parent.insert(a.max(b), a.min(b));
    }
    let roots = parent.iter().filter(|(place, above)| place == above).count();
    (parent.len(), roots)
}
