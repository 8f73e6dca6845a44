//! Where the labels of a bubble chart stand: beside their bubbles, off each
//! other and off other bubbles, within the chart.
//!
//! Each label has a few hundred candidate places around its bubble, near ones
//! first. Labels are moved one at a time to the cheapest place given all the
//! others, until none moves: thirteen labels take a few rounds.

/// A rectangle, units of the figure, y downwards.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rect {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

impl Rect {
    fn around(x: f64, y: f64, width: f64, height: f64) -> Self {
        let (half_width, half_height) = (width / 2.0, height / 2.0);
        Self { left: x - half_width, top: y - half_height, right: x + half_width, bottom: y + half_height }
    }

    /// Area common to both.
    pub(super) fn overlap(&self, other: &Self) -> f64 {
        let width = self.right.min(other.right) - self.left.max(other.left);
        let height = self.bottom.min(other.bottom) - self.top.max(other.top);
        width.max(0.0) * height.max(0.0)
    }

    pub(super) fn is_within(&self, bounds: &Self) -> bool {
        self.left >= bounds.left
            && self.right <= bounds.right
            && self.top >= bounds.top
            && self.bottom <= bounds.bottom
    }

    /// The point of the rectangle that is nearest to another.
    pub(super) fn nearest(&self, x: f64, y: f64) -> (f64, f64) {
        (x.clamp(self.left, self.right), y.clamp(self.top, self.bottom))
    }

    /// How far a disk reaches into the rectangle.
    fn depth(&self, bubble: &Labelled) -> f64 {
        let (x, y) = self.nearest(bubble.x, bubble.y);
        (bubble.radius - (bubble.x - x).hypot(bubble.y - y)).max(0.0)
    }
}

/// A bubble and the size of its label.
#[derive(Debug, Clone, Copy)]
pub(super) struct Labelled {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) radius: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// Distances from the rim of the bubble, units.
const GAPS: [f64; 8] = [5.0, 12.0, 22.0, 36.0, 54.0, 76.0, 104.0, 140.0];
const DIRECTIONS: usize = 24;
/// Beyond this a line leads from the bubble to its label.
pub(super) const LEADER: f64 = 14.0;
/// Two labels keep this apart.
const APART: f64 = 3.0;
const ROUNDS: usize = 40;

/// The place of each label.
pub(super) fn place(bubbles: &[Labelled], bounds: &Rect) -> Vec<Rect> {
    let candidates: Vec<Vec<(Rect, f64)>> = bubbles.iter().map(|bubble| candidates(bubble, bounds)).collect();
    // What a place costs whatever the other labels do.
    let own: Vec<Vec<f64>> = candidates
        .iter()
        .enumerate()
        .map(|(index, places)| places.iter().map(|place| alone(index, place, bubbles)).collect())
        .collect();
    let mut chosen: Vec<usize> = vec![0; bubbles.len()];
    for _ in 0..ROUNDS {
        let mut has_moved = false;
        for index in 0..bubbles.len() {
            let cost = |place: usize| {
                let rect = candidates[index][place].0;
                let grown = Rect {
                    left: rect.left - APART,
                    top: rect.top - APART,
                    right: rect.right + APART,
                    bottom: rect.bottom + APART,
                };
                let others = (0..bubbles.len()).filter(|other| *other != index);
                let hidden: f64 =
                    others.map(|other| grown.overlap(&candidates[other][chosen[other]].0)).sum();
                // Any overlap is worse than any distance.
                own[index][place] + if hidden > 0.0 { 1e4 + hidden } else { 0.0 }
            };
            let best = (0..candidates[index].len()).min_by(|a, b| cost(*a).total_cmp(&cost(*b)));
            if let Some(best) = best.filter(|best| cost(*best) < cost(chosen[index])) {
                chosen[index] = best;
                has_moved = true;
            }
        }
        if !has_moved {
            break;
        }
    }
    candidates.iter().zip(chosen).map(|(places, place)| places[place].0).collect()
}

/// The places around a bubble that lie within the bounds, with their distance;
/// pushed into them where none does.
fn candidates(bubble: &Labelled, bounds: &Rect) -> Vec<(Rect, f64)> {
    let Labelled { x, y, radius, width, height } = *bubble;
    let mut places = Vec::with_capacity(GAPS.len() * DIRECTIONS + 1);
    // Within the bubble, above its point, where its corners are within too.
    let above = height * 0.9;
    if (width / 2.0).hypot(above + height / 2.0) < radius {
        places.push((Rect::around(x, y - above, width, height), 0.0));
    }
    for gap in GAPS {
        for direction in 0..DIRECTIONS {
            // From the right, clockwise.
            let angle = direction as f64 * std::f64::consts::TAU / DIRECTIONS as f64;
            let reach = radius + gap;
            // The label's box touches the ray's end with the side that faces the bubble.
            let towards = (x + reach * angle.cos(), y + reach * angle.sin());
            let shift = (angle.cos() * width / 2.0, angle.sin() * height / 2.0);
            places.push((Rect::around(towards.0 + shift.0, towards.1 + shift.1, width, height), gap));
        }
    }
    let all = places.clone();
    places.retain(|(rect, _)| rect.is_within(bounds));
    if places.is_empty() {
        places = all;
        for (rect, _) in &mut places {
            let right = (bounds.left - rect.left).max(0.0) - (rect.right - bounds.right).max(0.0);
            let down = (bounds.top - rect.top).max(0.0) - (rect.bottom - bounds.bottom).max(0.0);
            *rect = Rect {
                left: rect.left + right,
                right: rect.right + right,
                top: rect.top + down,
                bottom: rect.bottom + down,
            };
        }
    }
    places
}

/// Distance, and how much of the bubbles the label covers. Of its own a place
/// outside touches nothing (a box beside a disk reaches into it at a slant).
fn alone(index: usize, (rect, gap): &(Rect, f64), bubbles: &[Labelled]) -> f64 {
    let touched = if *gap > 0.0 { rect.depth(&bubbles[index]) * 2.0 } else { 0.0 };
    let covered: f64 = bubbles
        .iter()
        .enumerate()
        .filter(|(other, _)| *other != index)
        .map(|(_, bubble)| {
            let (x, y) = rect.nearest(bubble.x, bubble.y);
            let hides_the_point = (bubble.x - x).hypot(bubble.y - y) < 7.0;
            rect.depth(bubble).min(rect.bottom - rect.top) * 6.0 + if hides_the_point { 500.0 } else { 0.0 }
        })
        .sum();
    covered + touched + gap
}

#[cfg(test)]
mod tests {
    use dygl_testing::draws;
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Rect = Rect { left: 0.0, top: 0.0, right: 900.0, bottom: 600.0 };

    fn bubble(x: f64, y: f64, radius: f64) -> Labelled {
        Labelled { x, y, radius, width: 110.0, height: 22.0 }
    }

    fn hidden(places: &[Rect]) -> f64 {
        let pairs = (0..places.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
        pairs.map(|(a, b)| places[a].overlap(&places[b])).sum()
    }

    #[test]
    fn bubbles_in_one_place_still_have_labels_apart() {
        let bubbles = vec![bubble(450.0, 300.0, 20.0); 8];
        let places = place(&bubbles, &BOUNDS);
        assert_eq!(hidden(&places), 0.0);
    }

    #[test]
    fn a_label_at_the_rim_is_pushed_in() {
        let wide = Labelled { width: 890.0, ..bubble(890.0, 590.0, 20.0) };
        assert!(place(&[wide], &BOUNDS)[0].is_within(&BOUNDS));
    }

    proptest! {
        #![proptest_config(draws(64))]

        #[test]
        fn labels_of_a_crowd_stay_apart_and_inside(
            places in proptest::collection::vec((0.0..900.0, 0.0..600.0, 4.0..45.0), 1..14)
        ) {
            let bubbles: Vec<Labelled> = places.iter().map(|(x, y, r)| bubble(*x, *y, *r)).collect();
            let found = place(&bubbles, &BOUNDS);
            prop_assert!(found.iter().all(|rect| rect.is_within(&BOUNDS)));
            prop_assert!(hidden(&found) == 0.0, "{found:?}");
        }
    }
}
