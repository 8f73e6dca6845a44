//! The tokens of a map by windows and back, as attention inside windows takes them
//! (Liu et al. 2021, Swin Transformer, section 3.2): nothing is computed, each token
//! moves. burn rolls by slices of each axis, and each slice's gradient is a whole map.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

use super::backend::has_kernel;

/// How the tokens of a map lie in windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenWindows {
    /// Height and width of the map, multiples of `side`.
    pub size: [usize; 2],
    /// Of a window, tokens.
    pub side: usize,
    /// How far the map is rolled up and to the left first.
    pub shift: usize,
}

impl TokenWindows {
    /// Windows of an image.
    pub fn count(self) -> usize {
        self.size.iter().map(|size| size / self.side).product()
    }

    /// Of each token of a map, row by row, its place among the tokens by windows.
    #[cfg(feature = "flex")]
    fn places(self) -> Vec<usize> {
        let Self { size: [height, width], side, shift } = self;
        let place = |token: usize| {
            let row = (token / width + height - shift) % height;
            let column = (token % width + width - shift) % width;
            let window = row / side * (width / side) + column / side;
            (window * side + row % side) * side + column % side
        };
        (0..height * width).map(place).collect()
    }

    /// The shape of maps, [B, H, W, C].
    pub(super) fn map(self, batch: usize, features: usize) -> [usize; 4] {
        [batch, self.size[0], self.size[1], features]
    }

    /// The shape of their tokens by windows, [B windows, side^2, C].
    pub(super) fn tokens(self, batch: usize, features: usize) -> [usize; 3] {
        [batch * self.count(), self.side * self.side, features]
    }
}

/// [B, H, W, C] to [B windows, side^2, C], the windows of an image behind each other,
/// row by row.
pub fn window_partition(x: Tensor<4>, windows: TokenWindows) -> Tensor<3> {
    if has_kernel(&x) {
        return Tensor::from_dispatch(<Dispatch as WindowOps>::to_windows(x.into_dispatch(), windows));
    }
    let TokenWindows { size: [height, width], side, shift } = windows;
    let [batch, .., features] = x.dims();
    let back = -(shift as isize);
    x.roll(&[back, back], &[1, 2])
        .reshape([batch, height / side, side, width / side, side, features])
        .permute([0, 1, 3, 2, 4, 5])
        .reshape(windows.tokens(batch, features))
}

/// [B windows, side^2, C] to [B, H, W, C]: undoes [`window_partition`].
pub fn window_reverse(x: Tensor<3>, windows: TokenWindows) -> Tensor<4> {
    if has_kernel(&x) {
        return Tensor::from_dispatch(<Dispatch as WindowOps>::from_windows(x.into_dispatch(), windows));
    }
    let TokenWindows { size: [height, width], side, shift } = windows;
    let [tiles, _, features] = x.dims();
    let batch = tiles / windows.count();
    let shift = shift as isize;
    x.reshape([batch, height / side, width / side, side, side, features])
        .permute([0, 1, 3, 2, 4, 5])
        .reshape(windows.map(batch, features))
        .roll(&[shift, shift], &[1, 2])
}

/// Both ways as operations of a backend.
#[backend_extension(Flex: cfg(feature = "flex"), LibTorch: cfg(feature = "tch"), Capture, Autodiff)]
pub trait WindowOps: Backend {
    /// [B, H, W, C] to [B windows, side^2, C].
    fn to_windows(x: FloatTensor<Self>, windows: TokenWindows) -> FloatTensor<Self>;

    /// [B windows, side^2, C] to [B, H, W, C].
    fn from_windows(x: FloatTensor<Self>, windows: TokenWindows) -> FloatTensor<Self>;
}

#[derive(Debug)]
struct ToWindows;

impl<B: WindowOps> Backward<B, 1> for ToWindows {
    type State = TokenWindows;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        if let [Some(node)] = ops.parents {
            grads.register::<B>(node.id, B::from_windows(grad, ops.state));
        }
    }
}

#[derive(Debug)]
struct FromWindows;

impl<B: WindowOps> Backward<B, 1> for FromWindows {
    type State = TokenWindows;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        if let [Some(node)] = ops.parents {
            grads.register::<B>(node.id, B::to_windows(grad, ops.state));
        }
    }
}

impl<B: WindowOps, C: CheckpointStrategy> WindowOps for Autodiff<B, C> {
    fn to_windows(x: FloatTensor<Self>, windows: TokenWindows) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let y = B::to_windows(x, windows);
        match ToWindows.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(windows, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn from_windows(x: FloatTensor<Self>, windows: TokenWindows) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let y = B::from_windows(x, windows);
        match FromWindows.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(windows, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}

#[cfg(feature = "flex")]
mod flex {
    use burn::backend::{Flex, TensorMetadata};
    use rayon::prelude::*;

    use super::{TokenWindows, WindowOps};
    use crate::op::host::{CHUNK, Host, contiguous, tensor, values};

    /// Each image's tokens in another order: those of `from`.
    fn ordered(x: &Host, from: &[usize], features: usize) -> Vec<f32> {
        let input = values(x);
        let mut output = vec![0.0; input.len()];
        if output.is_empty() {
            return output;
        }
        let block = (CHUNK / features).max(1);
        output.par_chunks_mut(block * features).enumerate().for_each(|(index, tokens)| {
            for (at, to) in tokens.chunks_exact_mut(features).enumerate() {
                let token = index * block + at;
                let image = token / from.len() * from.len();
                to.copy_from_slice(&input[(image + from[token % from.len()]) * features..][..features]);
            }
        });
        output
    }

    impl WindowOps for Flex {
        fn to_windows(x: Host, windows: TokenWindows) -> Host {
            let (batch, features) = (x.shape()[0], x.shape()[3]);
            let places = windows.places();
            let mut from = vec![0; places.len()];
            places.iter().enumerate().for_each(|(token, place)| from[*place] = token);
            tensor(ordered(&contiguous(x), &from, features), windows.tokens(batch, features))
        }

        fn from_windows(x: Host, windows: TokenWindows) -> Host {
            let (batch, features) = (x.shape()[0] / windows.count(), x.shape()[2]);
            tensor(ordered(&contiguous(x), &windows.places(), features), windows.map(batch, features))
        }
    }
}

#[cfg(feature = "tch")]
mod torch {
    use burn::backend::LibTorch;

    use super::{TokenWindows, WindowOps};
    use crate::op::torch::{Torch, wrap};

    impl WindowOps for LibTorch {
        fn to_windows(x: Torch, windows: TokenWindows) -> Torch {
            let TokenWindows { size, side, shift } = windows;
            let [height, width, side, shift] = [size[0], size[1], side, shift].map(|number| number as i64);
            let features = x.tensor.size()[3];
            let rolled = if shift > 0 { x.tensor.roll([-shift, -shift], [1, 2]) } else { x.tensor };
            let split = rolled.reshape([-1, height / side, side, width / side, side, features]);
            wrap(split.permute([0, 1, 3, 2, 4, 5]).reshape([-1, side * side, features]))
        }

        fn from_windows(x: Torch, windows: TokenWindows) -> Torch {
            let TokenWindows { size, side, shift } = windows;
            let [height, width, side, shift] = [size[0], size[1], side, shift].map(|number| number as i64);
            let features = x.tensor.size()[2];
            let split = x.tensor.reshape([-1, height / side, width / side, side, side, features]);
            let map = split.permute([0, 1, 3, 2, 4, 5]).reshape([-1, height, width, features]);
            wrap(if shift > 0 { map.roll([shift, shift], [1, 2]) } else { map })
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{FloatDType, Tensor};

    use super::{TokenWindows, window_partition, window_reverse};
    use crate::op::testing::{gradients_of, normal};

    const FORMS: [TokenWindows; 4] = [
        TokenWindows { size: [4, 4], side: 2, shift: 1 },
        TokenWindows { size: [14, 21], side: 7, shift: 3 },
        TokenWindows { size: [7, 7], side: 7, shift: 0 },
        TokenWindows { size: [3, 6], side: 1, shift: 0 },
    ];

    #[test]
    fn tokens_and_gradients_go_where_burn_rolls_and_permutes_them() {
        for windows in FORMS {
            let map = [normal(windows.map(2, 5), 0.1, 1)];
            let [tiles, tokens, features] = windows.tokens(2, 5);
            let there = |[x]: [Tensor<4>; 1]| window_partition(x, windows).unsqueeze::<4>();
            let back = |[x]: [Tensor<4>; 1]| window_reverse(x.reshape([tiles, tokens, features]), windows);
            let by_windows = [normal([1, tiles, tokens, features], 0.1, 2)];
            // In f64 there is no kernel.
            let exact = |x: &[Tensor<4>; 1]| x.clone().map(|x| x.cast(FloatDType::F64));
            for (ours, burns) in [
                (gradients_of(&map, there), gradients_of(&exact(&map), there)),
                (gradients_of(&by_windows, back), gradients_of(&exact(&by_windows), back)),
            ] {
                crate::op::testing::agree(&ours, &burns, 1e-6);
                assert_eq!(ours[0], burns[0], "{windows:?}: values are copies");
            }
        }
    }

    #[test]
    fn a_window_holds_neighbours_and_the_way_back_undoes_it() {
        for windows in FORMS {
            let x = normal(windows.map(3, 2), 0.1, 3);
            let y = window_reverse(window_partition(x.clone(), windows), windows);
            assert_eq!(y.into_data(), x.into_data());
        }
        // Rolled by one, the first window begins with the token of the second row and column.
        let x = Tensor::<4>::from_floats([[[[0.0], [1.0]], [[2.0], [3.0]]]], &burn::tensor::Device::flex());
        let y = window_partition(x, TokenWindows { size: [2, 2], side: 2, shift: 1 });
        assert_eq!(y.into_data().try_to_vec::<f32>().expect("f32"), [3.0, 2.0, 1.0, 0.0]);
    }

    #[cfg(feature = "tch")]
    #[test]
    fn libtorch_agrees() {
        for windows in FORMS {
            crate::op::testing::on_both([normal(windows.map(2, 5), 0.1, 1)], |[x]| {
                let y = window_partition(x, windows);
                window_reverse(y.clone() * y, windows)
            });
        }
    }
}
