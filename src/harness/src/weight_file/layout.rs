//! Where a tensor's values lie in its storage, and whether they can.

use super::dtype::Dtype;
use super::limits;

/// A run of bytes that tensors share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Storage {
    pub(super) place: Place,
    pub(super) bytes: u64,
}

/// Where a storage is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// From this byte of the file on.
    At(u64),
    /// A member of the zip archive.
    Member(String),
}

/// Start and strides of a tensor, in values of its storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) storage: usize,
    start: usize,
    strides: Vec<usize>,
    elements: usize,
}

impl Layout {
    /// A view of a storage of `held` values.
    ///
    /// # Errors
    /// What is wrong with it, in words: too many dimensions, a size beyond
    /// bounds, values outside the storage, or one value in two places (which
    /// would let a few bytes become any number of values).
    pub(super) fn new(
        storage: usize,
        held: u64,
        start: u64,
        shape: &[usize],
        strides: &[usize],
    ) -> Result<Self, String> {
        if shape.len() != strides.len() {
            return Err(format!("{} sizes and {} strides", shape.len(), strides.len()));
        }
        if shape.len() > limits::RANK {
            return Err(format!("{} dimensions; at most {} are read", shape.len(), limits::RANK));
        }
        let beyond = || format!("values of shape {shape:?} lie outside the {held} values of its storage");
        let held = usize::try_from(held).map_err(|_| beyond())?;
        let start = usize::try_from(start).map_err(|_| beyond())?;
        if shape.contains(&0) {
            return Ok(Self { storage, start: 0, strides: vec![0; shape.len()], elements: 0 });
        }
        let elements = shape
            .iter()
            .try_fold(1usize, |product, size| product.checked_mul(*size))
            .filter(|elements| *elements <= held)
            .ok_or_else(beyond)?;
        // From the shortest stride on, each step must lead beyond all that the shorter ones reach.
        let mut steps: Vec<(usize, usize)> =
            strides.iter().copied().zip(shape.iter().copied()).filter(|(_, size)| *size > 1).collect();
        steps.sort_unstable();
        let mut reach = 0usize;
        for (stride, size) in steps {
            if stride <= reach {
                return Err(format!("strides {strides:?} of shape {shape:?} put one value in two places"));
            }
            reach = stride
                .checked_mul(size - 1)
                .and_then(|more| reach.checked_add(more))
                .filter(|reach| *reach < held)
                .ok_or_else(beyond)?;
        }
        if start.checked_add(reach).is_none_or(|last| last >= held) {
            return Err(beyond());
        }
        // A step that is never taken may have any length.
        let strides = strides.iter().zip(shape).map(|(stride, size)| if *size > 1 { *stride } else { 0 });
        Ok(Self { storage, start, strides: strides.collect(), elements })
    }

    /// The values in row-major order.
    pub(super) fn gather(&self, shape: &[usize], dtype: Dtype, bytes: &[u8]) -> Vec<f32> {
        let mut values = Vec::with_capacity(self.elements);
        let mut index = vec![0usize; shape.len()];
        let mut at = self.start;
        for _ in 0..self.elements {
            values.push(dtype.get(bytes, at));
            for axis in (0..shape.len()).rev() {
                index[axis] += 1;
                at += self.strides[axis];
                if index[axis] < shape[axis] {
                    break;
                }
                at -= self.strides[axis] * shape[axis];
                index[axis] = 0;
            }
        }
        values
    }
}

/// Row-major strides of a shape whose product does not overflow.
pub(super) fn contiguous(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(shape[axis]);
    }
    strides
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::draws;

    #[test]
    fn views_are_gathered_in_row_major_order() {
        let bytes: Vec<u8> = (0..12u8).collect();
        let view = |start, shape: &[usize], strides: &[usize]| {
            let layout = Layout::new(0, 12, start, shape, strides).expect("inside");
            layout.gather(shape, Dtype::U8, &bytes)
        };
        assert_eq!(view(0, &[2, 3], &[3, 1]), [0., 1., 2., 3., 4., 5.]);
        assert_eq!(view(0, &[3, 2], &[1, 3]), [0., 3., 1., 4., 2., 5.]);
        assert_eq!(view(1, &[2, 2], &[6, 2]), [1., 3., 7., 9.]);
        assert_eq!(view(11, &[], &[]), [11.]);
        // A dimension of one may have any stride.
        assert_eq!(view(4, &[1, 2], &[usize::MAX, 1]), [4., 5.]);
        assert_eq!(view(99, &[0, 1 << 40, 1 << 40], &[0, 0, 0]), [0.0; 0]);
    }

    #[test]
    fn what_overlaps_overflows_or_leaves_the_storage_is_refused() {
        let refused = |start, shape: &[usize], strides: &[usize]| {
            Layout::new(0, 12, start, shape, strides).expect_err("refused")
        };
        assert!(refused(0, &[13], &[1]).contains("outside"));
        assert!(refused(10, &[3], &[1]).contains("outside"));
        assert!(refused(12, &[], &[]).contains("outside"));
        assert!(refused(u64::MAX, &[2], &[1]).contains("outside"));
        assert!(refused(0, &[2, 2], &[usize::MAX, 1]).contains("outside"));
        assert!(refused(0, &[usize::MAX, 2], &[1, 1]).contains("outside"));
        // Broadcast from one value, and windows that slide over each other.
        assert!(refused(0, &[12], &[0]).contains("two places"));
        assert!(refused(0, &[3, 3], &[1, 1]).contains("two places"));
        assert!(refused(0, &[2, 4], &[3, 1]).contains("two places"));
        assert!(refused(0, &[2], &[1, 1]).contains("strides"));
        assert!(refused(0, &[1; 9], &[1; 9]).contains("dimensions"));
    }

    proptest! {
        #![proptest_config(draws(256))]

        #[test]
        fn an_accepted_layout_touches_distinct_values_of_its_storage(
            sizes in proptest::collection::vec((0usize..5, 0usize..30), 0..4),
            start in 0u64..20,
            held in 0u64..64,
        ) {
            let (shape, strides): (Vec<_>, Vec<_>) = sizes.into_iter().unzip();
            if let Ok(layout) = Layout::new(0, held, start, &shape, &strides) {
                let bytes: Vec<u8> = (0..held as u8).collect();
                let mut values: Vec<i64> =
                    layout.gather(&shape, Dtype::U8, &bytes).into_iter().map(|v| v as i64).collect();
                prop_assert_eq!(values.len(), shape.iter().product::<usize>());
                values.sort_unstable();
                prop_assert!(values.windows(2).all(|pair| pair[0] < pair[1]));
                prop_assert!(values.iter().all(|value| *value < held as i64));
            }
        }
    }
}
