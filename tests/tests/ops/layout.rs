//! How an input lies in memory: an operation must read what it is given in its
//! order, whatever larger or turned tensor it is a view of.

use burn::tensor::{DType, Device, Tensor};

use super::harness::{Case, Outcome, Values, apart, devices, run};

/// The view that an operation gets of a flat leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// As it is.
    Plain,
    /// All axes in reverse order (`permute`).
    Turned,
    /// The last two axes exchanged (`swap_dims`).
    Swapped,
    /// A part of a tensor that is larger by two on each axis (`slice`).
    Sliced,
    /// The last axis, or the last two, read from behind (`flip`).
    Flipped,
    /// The first axis repeats one slice (`expand`); needs an input that does.
    Expanded,
}

/// Around a slice.
const MARGIN: usize = 1;
/// Relative difference of sums in another order.
const ROUNDING: f64 = 1e-5;
/// What no operation may read.
const POISON: f64 = f64::NAN;

/// Shape and place of every element, row-major: `visit(flat index, position)`.
fn each(shape: &[usize], mut visit: impl FnMut(usize, &[usize])) {
    let mut position = vec![0; shape.len()];
    for index in 0..shape.iter().product() {
        visit(index, &position);
        for axis in (0..shape.len()).rev() {
            position[axis] += 1;
            if position[axis] < shape[axis] {
                break;
            }
            position[axis] = 0;
        }
    }
}

fn index(shape: &[usize], position: impl IntoIterator<Item = usize>) -> usize {
    position.into_iter().zip(shape).fold(0, |index, (at, side)| index * side + at)
}

impl Layout {
    /// Axes in the order in which the leaf holds them.
    fn axes(self, rank: usize) -> Vec<usize> {
        let mut axes: Vec<usize> = (0..rank).collect();
        match self {
            Self::Turned => axes.reverse(),
            Self::Swapped if rank > 1 => axes.swap(rank - 2, rank - 1),
            _ => {}
        }
        axes
    }

    /// The leaf's shape for a tensor of `shape`.
    fn leaf(self, shape: &[usize]) -> Vec<usize> {
        match self {
            Self::Sliced => shape.iter().map(|side| side + 2 * MARGIN).collect(),
            Self::Expanded if !shape.is_empty() => [&[1], &shape[1..]].concat(),
            _ => self.axes(shape.len()).into_iter().map(|axis| shape[axis]).collect(),
        }
    }

    /// Where an element of the tensor lies in the leaf.
    fn place(self, shape: &[usize], leaf: &[usize], position: &[usize]) -> usize {
        let rank = shape.len();
        match self {
            Self::Plain => index(leaf, position.iter().copied()),
            Self::Turned | Self::Swapped => {
                index(leaf, self.axes(rank).into_iter().map(|axis| position[axis]))
            }
            Self::Sliced => index(leaf, position.iter().map(|at| at + MARGIN)),
            Self::Flipped => {
                let turn = |axis: usize| {
                    if axis + 2 >= rank { shape[axis] - 1 - position[axis] } else { position[axis] }
                };
                index(leaf, (0..rank).map(turn))
            }
            Self::Expanded => index(leaf, std::iter::once(0).chain(position[1..].iter().copied())),
        }
    }

    /// The leaf's values.
    pub fn lay(self, tensor: &Values) -> Vec<f64> {
        let leaf = self.leaf(&tensor.shape);
        let mut values = vec![POISON; leaf.iter().product()];
        each(&tensor.shape, |at, position| {
            let place = self.place(&tensor.shape, &leaf, position);
            assert!(
                values[place].is_nan() || values[place] == tensor.values[at],
                "the first axis repeats nothing"
            );
            values[place] = tensor.values[at];
        });
        values
    }

    /// The tensor as a view of its leaf.
    pub fn view<const D: usize>(self, flat: Tensor<1>, shape: [usize; D]) -> Tensor<D> {
        let leaf: [usize; D] = self.leaf(&shape).try_into().expect("a leaf of that rank");
        let x = flat.reshape(leaf);
        match self {
            Self::Plain => x,
            // Both orders are their own inverse.
            Self::Turned | Self::Swapped => {
                let axes: [usize; D] = self.axes(D).try_into().expect("all axes");
                x.permute(axes)
            }
            Self::Sliced => {
                let ranges: [_; D] = shape.map(|side| MARGIN..MARGIN + side);
                x.slice(ranges)
            }
            Self::Flipped if D == 1 => x.flip([0]),
            Self::Flipped => x.flip([D - 2, D - 1]),
            Self::Expanded => x.expand(shape),
        }
    }

    /// A result in the order of the leaf: its gradient arrives as a view.
    pub fn flatten<const D: usize>(self, y: Tensor<D>) -> Tensor<1> {
        let axes: [usize; D] = self.axes(D).try_into().expect("all axes");
        let y = if self.axes(D).is_sorted() { y } else { y.permute(axes) };
        let y = match self {
            Self::Flipped if D == 1 => y.flip([0]),
            Self::Flipped => y.flip([D - 2, D - 1]),
            _ => y,
        };
        y.reshape([-1])
    }

    /// Which way [`Self::flatten`] orders.
    fn flattening(self) -> Self {
        match self {
            Self::Sliced | Self::Expanded => Self::Plain,
            other => other,
        }
    }

    /// Row-major values in the order of [`Self::flatten`].
    pub fn order(self, tensor: &Values) -> Vec<f64> {
        self.flattening().lay(tensor)
    }

    /// The inverse of [`Self::order`].
    pub fn disorder(self, flat: Vec<f64>, shape: &[usize]) -> Vec<f64> {
        self.flattening().lift(flat, shape).1
    }

    /// The gradient of a leaf as that of the tensor, row-major. Of an expanded
    /// one it has the leaf's shape.
    pub fn lift(self, flat: Vec<f64>, shape: &[usize]) -> (Vec<usize>, Vec<f64>) {
        let leaf = self.leaf(shape);
        if self == Self::Expanded {
            return (leaf, flat);
        }
        let mut values = vec![0.0; shape.iter().product()];
        each(shape, |at, position| values[at] = flat[self.place(shape, &leaf, position)]);
        (shape.to_vec(), values)
    }
}

/// Views give what their copies give: the same bits on flex; on the others,
/// which may choose another algorithm for them, to rounding.
#[track_caller]
pub fn reads_views(case: &Case) {
    for (name, device) in devices() {
        reads(case, name, device, if name == "flex" { 0.0 } else { ROUNDING });
    }
}

/// Views give what their copies give, to rounding: burn's matrix products and
/// sums over an axis go through memory in another order.
#[track_caller]
pub fn reads_views_to_rounding(case: &Case) {
    for (name, device) in devices() {
        reads(case, name, device, ROUNDING);
    }
}

#[track_caller]
fn reads(case: &Case, name: &str, device: &Device, bound: f64) {
    let plain = run(case, device, DType::F32, Layout::Plain);
    for layout in [Layout::Turned, Layout::Swapped, Layout::Sliced, Layout::Flipped] {
        let (error, at) = apart(case, &run(case, device, DType::F32, layout), &plain);
        assert!(error <= bound, "{} on {name}, {layout:?}: {error:e}, {at}", case.name);
    }
    reads_repeats(case, name, device, bound);
}

/// The same for a first axis that repeats itself. The gradient of what is
/// repeated is the sum of those of the repeats.
#[track_caller]
fn reads_repeats(case: &Case, name: &str, device: &Device, bound: f64) {
    let mut case = case.clone();
    for input in &mut case.inputs {
        let count = input.array.shape[0].max(1);
        let slice = input.array.values.len() / count;
        input.array.values = input.array.values[..slice].repeat(count);
    }
    let parts = |layout| -> (Outcome, Outcome) {
        let outcome = run(&case, device, DType::F32, layout);
        outcome.into_iter().partition(|(name, _)| !name.starts_with("d "))
    };
    let ((plain, each), (view, sums)) = (parts(Layout::Plain), parts(Layout::Expanded));
    let (error, at) = apart(&case, &view, &plain);
    assert!(error <= bound, "{} on {name}, expanded: {error:e}, {at}", case.name);
    let each = each.into_iter().map(|(name, gradient)| {
        let slice: usize = gradient.shape[1..].iter().product();
        let mut sum = vec![0.0; slice];
        for part in gradient.values.chunks(slice.max(1)) {
            sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        }
        let shape = [&[1], &gradient.shape[1..]].concat();
        (name, Values { shape, values: sum })
    });
    let (error, at) = apart(&case, &sums, &each.collect());
    assert!(error <= ROUNDING, "{} on {name}, expanded: {error:e}, {at}", case.name);
}
