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
    /// From this byte on, of the file with that number (0, but for shards).
    At { file: usize, start: u64 },
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
    /// bounds, values outside the storage, or one value in two places. A stride
    /// of 0 repeats values on purpose (`Tensor.expand`), up to a limit: a few
    /// bytes must not become any number of values.
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
        let repeats = |stride: usize, size: usize| stride == 0 && size > 1;
        let pairs = || strides.iter().copied().zip(shape.iter().copied());
        // Each value of the storage at most once, but for dimensions that repeat.
        let once = pairs().map(|(stride, size)| if repeats(stride, size) { 1 } else { size });
        product(once).filter(|elements| *elements <= held).ok_or_else(beyond)?;
        let elements = product(shape.iter().copied()).ok_or_else(beyond)?;
        if elements > held.max(limits::EXPANDED) {
            let most = limits::EXPANDED;
            return Err(format!("{elements} values from a view of {held}; at most {most} are made"));
        }
        // From the shortest stride on, each step must lead beyond all that the shorter ones reach.
        let mut steps: Vec<(usize, usize)> =
            pairs().filter(|(stride, size)| *size > 1 && !repeats(*stride, *size)).collect();
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

fn product(mut sizes: impl Iterator<Item = usize>) -> Option<usize> {
    sizes.try_fold(1usize, |product, size| product.checked_mul(size))
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
    use dygl_testing::draws;
    use proptest::prelude::*;

    use super::*;

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
        // Strides of 0 repeat: one value, a row, a column; also more values than are held.
        assert_eq!(view(7, &[3], &[0]), [7.0; 3]);
        assert_eq!(view(7, &[20], &[0]), [7.0; 20]);
        assert_eq!(view(0, &[2, 3], &[0, 1]), [0., 1., 2., 0., 1., 2.]);
        assert_eq!(view(1, &[2, 3], &[6, 0]), [1., 1., 1., 7., 7., 7.]);
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
        // Windows that slide over each other, also where another dimension repeats.
        assert!(refused(0, &[4, 3, 3], &[0, 1, 1]).contains("two places"));
        // A repetition beyond all measure, or of what is not there.
        assert!(refused(0, &[1 << 40], &[0]).contains("at most"));
        assert!(refused(0, &[1 << 40, 1 << 40], &[0, 0]).contains("outside"));
        assert!(refused(12, &[4], &[0]).contains("outside"));
        assert!(refused(0, &[3, 3], &[1, 1]).contains("two places"));
        assert!(refused(0, &[2, 4], &[3, 1]).contains("two places"));
        assert!(refused(0, &[2], &[1, 1]).contains("strides"));
        assert!(refused(0, &[1; 9], &[1; 9]).contains("dimensions"));
    }

    proptest! {
        #![proptest_config(draws(256))]

        #[test]
        fn an_accepted_layout_touches_distinct_values_of_its_storage(
            sizes in proptest::collection::vec((0usize..5, 1usize..30), 0..4),
            repeated in 0usize..4,
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
                // The same once more for each step of a dimension that repeats.
                let (shape, strides) =
                    ([&[repeated], &shape[..]].concat(), [&[0], &strides[..]].concat());
                let layout = Layout::new(0, held, start, &shape, &strides).expect("a view of it");
                let mut again: Vec<i64> =
                    layout.gather(&shape, Dtype::U8, &bytes).into_iter().map(|v| v as i64).collect();
                prop_assert_eq!(again.len(), shape.iter().product::<usize>());
                again.dedup();
                again.sort_unstable();
                again.dedup();
                prop_assert!(repeated == 0 || again == values);
            }
        }
    }
}
