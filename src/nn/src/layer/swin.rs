//! The block of Swin Transformer (Liu et al. 2021): attention inside windows,
//! which every second block shifts.

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::{LayerNorm, LayerNormConfig, Linear, LinearConfig, join_heads, zeros};
use crate::op::{self, TokenWindows};

/// Score of a pair of tokens that the shift has put into one window although
/// they lie on opposite borders.
const MASKED: f32 = -100.0;

/// What a [`SwinBlock`] does with each token behind the attention.
pub trait SwinMlp: Module {
    /// [B, N, features] to the same shape.
    fn forward(&self, x: Tensor<3>) -> Tensor<3>;
}

impl SwinMlp for super::Mlp {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        super::Mlp::forward(self, x)
    }
}

/// Configuration of a [`SwinBlock`].
#[derive(Debug, Clone, Copy)]
pub struct SwinBlockConfig {
    features: usize,
    heads: usize,
    window: usize,
    shifted: bool,
    drop_path: f64,
}

impl SwinBlockConfig {
    /// `features` features in `heads` heads, windows of `window` x `window`
    /// tokens, not shifted, no branch dropped.
    pub fn new(features: usize, heads: usize, window: usize) -> Self {
        Self { features, heads, window, shifted: false, drop_path: 0.0 }
    }

    /// Whether the windows are shifted by half their side; they never are on
    /// a map that is one window.
    pub fn shifted(self, shifted: bool) -> Self {
        Self { shifted, ..self }
    }

    /// Probability in 0..1 with which training leaves out a branch of an image.
    pub fn drop_path(self, drop_path: f64) -> Self {
        Self { drop_path, ..self }
    }

    /// A stage: as many blocks as `drop_paths`, every second one shifted.
    pub fn stage<M: SwinMlp>(
        self,
        drop_paths: &[f64],
        mlp: impl Fn() -> M,
        device: &Device,
    ) -> Vec<SwinBlock<M>> {
        let block = |(index, drop_path): (usize, &f64)| {
            self.shifted(index % 2 == 1).drop_path(*drop_path).init(mlp(), device)
        };
        drop_paths.iter().enumerate().map(block).collect()
    }

    /// The block; its own products are zeros.
    pub fn init<M: SwinMlp>(&self, mlp: M, device: &Device) -> SwinBlock<M> {
        let Self { features, heads, window, .. } = *self;
        let offsets = 2 * window - 1;
        SwinBlock {
            norm1: LayerNormConfig::new(features).init(device),
            attn: WindowAttention {
                relative_position_bias_table: zeros([offsets * offsets, heads], device),
                qkv: LinearConfig::new(features, 3 * features).init(device),
                proj: LinearConfig::new(features, features).init(device),
                window,
                heads,
            },
            norm2: LayerNormConfig::new(features).init(device),
            mlp,
            shifted: self.shifted,
            drop_path: self.drop_path,
        }
    }
}

/// Evenly spaced probabilities from 0 to `last`, one for each of `blocks`
/// blocks: how stochastic depth grows with depth.
pub fn drop_path_ramp(last: f64, blocks: usize) -> Vec<f64> {
    (0..blocks).map(|index| last * index as f64 / (blocks.max(2) - 1) as f64).collect()
}

/// x + attention(norm(x)) inside windows, then x + perceptron(norm(x)).
#[derive(Module, Debug)]
pub struct SwinBlock<M: Module> {
    /// Before the attention.
    pub norm1: LayerNorm,
    /// Inside each window.
    pub attn: WindowAttention,
    /// Before the perceptron.
    pub norm2: LayerNorm,
    /// Of each token.
    pub mlp: M,
    shifted: bool,
    drop_path: f64,
}

impl<M: SwinMlp> SwinBlock<M> {
    /// [B, H W, C] of a map of `[H, W]`, multiples of the window, to the same
    /// shape.
    pub fn forward(&self, x: Tensor<3>, size: [usize; 2]) -> Tensor<3> {
        let branch = self.windows(self.norm1.forward(x.clone()), size);
        let x = x + op::drop_path(branch, self.drop_path);
        let branch = self.mlp.forward(self.norm2.forward(x.clone()));
        x + op::drop_path(branch, self.drop_path)
    }

    fn windows(&self, x: Tensor<3>, [height, width]: [usize; 2]) -> Tensor<3> {
        let [batch, tokens, features] = x.dims();
        let window = self.attn.window;
        let [rows, columns] = [height / window, width / window];
        let shift = if self.shifted && rows.min(columns) > 1 { window / 2 } else { 0 };
        let windows = TokenWindows { size: [height, width], side: window, shift };
        let x = op::window_partition(x.reshape([batch, height, width, features]), windows);
        let mask = (shift > 0).then(|| mask([height, width], window, shift, &x.device()));
        let x = op::window_reverse(self.attn.forward(x, mask), windows);
        x.reshape([batch, tokens, features])
    }
}

/// Self-attention among the tokens of a window, with a learned score for each
/// relative position.
#[derive(Module, Debug)]
pub struct WindowAttention {
    /// [(2 w - 1)^2, heads]: row by row, of (row, column) of the query minus
    /// those of the key, from -(w - 1).
    pub relative_position_bias_table: Param<Tensor<2>>,
    /// Queries, keys and values, in this order, each head-major.
    pub qkv: Linear,
    /// Of the joined heads.
    pub proj: Linear,
    window: usize,
    heads: usize,
}

impl WindowAttention {
    /// x [B windows, w^2, C], the windows of an image beside each other; mask
    /// [windows, 1, w^2, w^2] is added to the scores.
    fn forward(&self, x: Tensor<3>, mask: Option<Tensor<4>>) -> Tensor<3> {
        let [tiles, tokens, features] = x.dims();
        let bias = self.bias(&x.device());
        let bias = match mask {
            Some(mask) => {
                let [windows, ..] = mask.dims();
                let shape = [windows, self.heads, tokens, tokens];
                let bias = op::spread(bias, shape);
                let bias = (bias.clone() + op::spread(mask.cast(bias.dtype()), shape)).unsqueeze::<5>();
                // The windows of an image beside each other, for each image.
                let images = [tiles / windows, windows, self.heads, tokens, tokens];
                op::spread(bias, images).reshape([tiles, self.heads, tokens, tokens])
            }
            None => bias,
        };
        let packed = self.qkv.forward(x);
        let scale = ((features / self.heads) as f64).sqrt().recip();
        debug_assert_eq!(tokens, self.window * self.window);
        self.proj.forward(join_heads(op::attention_packed(packed, self.heads, scale, Some(bias))))
    }

    /// The learned scores [1, heads, w^2, w^2].
    fn bias(&self, device: &Device) -> Tensor<4> {
        let window = self.window;
        let tokens = window * window;
        let at = |token: usize| (token / window, token % window);
        let mut index = Vec::with_capacity(tokens * tokens);
        for query in 0..tokens {
            for key in 0..tokens {
                let ((row, column), (key_row, key_column)) = (at(query), at(key));
                let down = row + window - 1 - key_row;
                let right = column + window - 1 - key_column;
                index.push((down * (2 * window - 1) + right) as i32);
            }
        }
        let index = Tensor::<1, Int>::from_data(TensorData::new(index, [tokens * tokens]), device);
        let bias = self.relative_position_bias_table.val().select(0, index);
        bias.reshape([tokens, tokens, self.heads]).permute([2, 0, 1]).unsqueeze::<4>()
    }
}

/// [windows, 1, w^2, w^2]: [`MASKED`] for pairs of tokens that are neighbours
/// only because the shifted map was rolled, else 0.
fn mask([height, width]: [usize; 2], window: usize, shift: usize, device: &Device) -> Tensor<4> {
    let band = |at: usize, size: usize| {
        if at < size - window {
            0
        } else if at < size - shift {
            1
        } else {
            2
        }
    };
    let [rows, columns] = [height / window, width / window];
    let tokens = window * window;
    let mut values = Vec::with_capacity(rows * columns * tokens * tokens);
    for tile in 0..rows * columns {
        let (top, left) = (tile / columns * window, tile % columns * window);
        let region =
            |token: usize| 3 * band(top + token / window, height) + band(left + token % window, width);
        let regions: Vec<usize> = (0..tokens).map(region).collect();
        for query in &regions {
            values.extend(regions.iter().map(|key| if query == key { 0.0 } else { MASKED }));
        }
    }
    Tensor::from_data(TensorData::new(values, [rows * columns, 1, tokens, tokens]), device)
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::module::ModuleMapper;

    use super::super::{Mlp, MlpConfig};
    use super::*;
    use crate::op::testing::between;

    #[test]
    fn only_rolled_neighbours_are_masked() {
        let device = Device::flex();
        let values: Vec<f32> = mask([4, 4], 2, 1, &device).into_data().try_to_vec().expect("f32");
        // The first window holds one region; the last four.
        assert!(values[..16].iter().all(|value| *value == 0.0));
        assert_eq!(values[48..].iter().filter(|value| **value == MASKED).count(), 12);
    }

    /// Draws every parameter; holds how many it has drawn, which seeds the next.
    struct Randomise(u64);

    impl ModuleMapper for Randomise {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            self.0 += 1;
            param.map(|x| between(x.dims(), [-0.5, 0.5], self.0))
        }
    }

    /// Tokens of a 4 x 4 map that a change of one token changes.
    fn seen(block: &SwinBlock<Mlp>, token: usize) -> Vec<usize> {
        let x = between([1, 16, 4], [-1.0, 1.0], 101);
        let change = between([1, 1, 4], [1.0, 2.0], 102);
        let changed = x.clone().slice_assign([0..1, token..token + 1, 0..4], change);
        let difference = (block.forward(x, [4, 4]) - block.forward(changed, [4, 4])).abs().sum_dim(2);
        let difference: Vec<f32> = difference.into_data().try_to_vec().expect("f32");
        (0..16).filter(|token| difference[*token] > 0.0).collect()
    }

    #[test]
    fn a_block_sees_its_window_and_nothing_else() {
        let device = Device::flex();
        let config = SwinBlockConfig::new(4, 2, 2);
        let block = |config: SwinBlockConfig| {
            config.init(MlpConfig::new(4, 8).init(&device), &device).map(&mut Randomise(0))
        };
        assert_eq!(seen(&block(config), 0), [0, 1, 4, 5]);
        assert_eq!(seen(&block(config), 10), [10, 11, 14, 15]);
        // Shifted by one token, the corners are on their own, and the borders in pairs.
        let shifted = block(config.shifted(true));
        assert_eq!(seen(&shifted, 5), [5, 6, 9, 10]);
        assert_eq!(seen(&shifted, 0), [0]);
        assert_eq!(seen(&shifted, 1), [1, 2]);
    }

    #[test]
    fn a_map_that_is_one_window_is_not_shifted() {
        let device = Device::flex();
        let config = SwinBlockConfig::new(4, 2, 4).shifted(true);
        let block = config.init(MlpConfig::new(4, 8).init(&device), &device).map(&mut Randomise(0));
        assert_eq!(seen(&block, 0), (0..16).collect::<Vec<_>>());
    }

    #[test]
    fn branches_are_dropped_in_training_alone() {
        let device = Device::flex();
        let config = SwinBlockConfig::new(4, 2, 2).drop_path(0.5);
        let block = config.init(MlpConfig::new(4, 8).init(&device), &device).map(&mut Randomise(0));
        let x = between([1, 16, 4], [-1.0, 1.0], 101);
        let moved = |y: Tensor<3>| (y - x.clone()).abs().max().into_scalar::<f32>();
        assert!(moved(block.forward(x.clone(), [4, 4])) > 0.0);
        let _scope = op::noise(|| 0.0);
        assert_eq!(moved(block.forward(x.clone(), [4, 4])), 0.0);
    }

    #[test]
    fn stochastic_depth_grows_evenly() {
        assert_eq!(drop_path_ramp(0.2, 3), [0.0, 0.1, 0.2]);
        assert_eq!(drop_path_ramp(0.2, 1), [0.0]);
    }
}
