//! The ways in which a square picture may lie besides upright: what mirroring and
//! quarter turns make of it.

use std::sync::LazyLock;

use serde::Serialize;

use super::near::SIDE;

/// How the second picture of a pair lies over the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Turn {
    /// Left and right have changed places.
    MirroredLeftRight,
    /// Top and bottom have changed places.
    MirroredTopBottom,
    /// Turned by 180 degrees.
    HalfTurn,
    /// Turned by 90 degrees clockwise.
    QuarterClockwise,
    /// Turned by 90 degrees counterclockwise.
    QuarterCounterclockwise,
    /// Rows become columns.
    MirroredDiagonally,
    /// The same at the other diagonal.
    MirroredAntidiagonally,
}

impl Turn {
    /// Every way besides upright.
    pub const ALL: [Turn; 7] = [
        Turn::MirroredLeftRight,
        Turn::MirroredTopBottom,
        Turn::HalfTurn,
        Turn::QuarterClockwise,
        Turn::QuarterCounterclockwise,
        Turn::MirroredDiagonally,
        Turn::MirroredAntidiagonally,
    ];

    /// For people: `mirrored left to right`.
    pub fn words(self) -> &'static str {
        match self {
            Turn::MirroredLeftRight => "mirrored left to right",
            Turn::MirroredTopBottom => "mirrored top to bottom",
            Turn::HalfTurn => "turned by 180 degrees",
            Turn::QuarterClockwise => "turned by 90 degrees clockwise",
            Turn::QuarterCounterclockwise => "turned by 90 degrees counterclockwise",
            Turn::MirroredDiagonally | Turn::MirroredAntidiagonally => "mirrored at a diagonal",
        }
    }

    /// Where the value at (row, column) of the turned picture stands in the upright
    /// one, row-major, both of `side` x `side`.
    pub(super) fn source(self, side: usize, row: usize, column: usize) -> usize {
        let last = side - 1;
        let (row, column) = match self {
            Turn::MirroredLeftRight => (row, last - column),
            Turn::MirroredTopBottom => (last - row, column),
            Turn::HalfTurn => (last - row, last - column),
            Turn::QuarterClockwise => (last - column, row),
            Turn::QuarterCounterclockwise => (column, last - row),
            Turn::MirroredDiagonally => (column, row),
            Turn::MirroredAntidiagonally => (last - column, last - row),
        };
        row * side + column
    }

    /// [`Turn::source`] for every place of a thumbnail.
    pub(super) fn places(self) -> &'static [u16] {
        static PLACES: LazyLock<Vec<Vec<u16>>> = LazyLock::new(|| {
            let place = |turn: Turn, at: usize| turn.source(SIDE, at / SIDE, at % SIDE) as u16;
            Turn::ALL.iter().map(|turn| (0..SIDE * SIDE).map(|at| place(*turn, at)).collect()).collect()
        });
        Turn::ALL.iter().position(|turn| *turn == self).map_or(&[], |at| &PLACES[at])
    }
}

/// The mean over the eight places that mirroring and turning make of each, scaled so
/// that the squares of its differences are those of the whole: no picture is further
/// from any turned other one than these are from each other.
pub(super) fn symmetric(values: &[f32]) -> Vec<f32> {
    let half = SIDE / 2;
    let mut means = Vec::with_capacity(half * (half + 1) / 2);
    for row in 0..half {
        for column in row..half {
            let mut places: Vec<usize> = Turn::ALL.map(|turn| turn.source(SIDE, row, column)).into();
            places.push(row * SIDE + column);
            places.sort_unstable();
            places.dedup();
            let sum: f32 = places.iter().filter_map(|place| values.get(*place)).sum();
            means.push(sum / (places.len() as f32).sqrt());
        }
    }
    means
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, Luma, imageops};

    use super::*;

    #[test]
    fn turns_are_what_they_are_called() {
        let side = 5;
        let picture = GrayImage::from_fn(5, 5, |x, y| Luma([(10 * y + x) as u8]));
        let turned = |turn: Turn| -> Vec<u8> {
            let at = |place: usize| picture.as_raw()[turn.source(side, place / side, place % side)];
            (0..side * side).map(at).collect()
        };
        for (turn, expected) in [
            (Turn::MirroredLeftRight, imageops::flip_horizontal(&picture)),
            (Turn::MirroredTopBottom, imageops::flip_vertical(&picture)),
            (Turn::HalfTurn, imageops::rotate180(&picture)),
            (Turn::QuarterClockwise, imageops::rotate90(&picture)),
            (Turn::QuarterCounterclockwise, imageops::rotate270(&picture)),
            (Turn::MirroredDiagonally, imageops::flip_horizontal(&imageops::rotate90(&picture))),
            (Turn::MirroredAntidiagonally, imageops::flip_vertical(&imageops::rotate90(&picture))),
        ] {
            assert_eq!(turned(turn), expected.into_raw(), "{}", turn.words());
        }
    }

    #[test]
    fn symmetric_means_are_the_same_however_a_picture_lies() {
        let values: Vec<f32> = (0..SIDE * SIDE).map(|at| (at * at % 97) as f32).collect();
        let means = symmetric(&values);
        assert_eq!(means.len(), 78);
        for turn in Turn::ALL {
            let turned: Vec<f32> = turn.places().iter().map(|place| values[usize::from(*place)]).collect();
            let apart = symmetric(&turned).iter().zip(&means).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart < 1e-3, "{turn:?}: {apart}");
        }
        // Never further apart than the pictures are.
        let other: Vec<f32> = values.iter().map(|value| (value * 7.0) % 31.0).collect();
        let apart = |a: &[f32], b: &[f32]| -> f32 { a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum() };
        assert!(apart(&symmetric(&values), &symmetric(&other)) <= apart(&values, &other));
    }
}
