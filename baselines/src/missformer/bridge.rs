//! The bridge between encoder and decoder: all four levels as one sequence of
//! tokens of 64 features, so that a level of 64 m channels has m tokens for
//! each position.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use dygl_nn::layer::{
    Conv2d, Conv2dConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig, to_image, to_tokens,
};

use super::WIDTHS;
use super::block::{MixFeedForward, attend};

/// Features of a token.
const FEATURES: usize = WIDTHS[0];

/// Sides of the tiles that the keys and values of the first three levels stand
/// for: all come to the fourth's size.
const REDUCTIONS: [usize; 3] = [8, 4, 2];

/// Tokens of a level in the sequence: groups of 64 channels, position by
/// position.
fn tokens([height, width]: [usize; 2], channels: usize) -> usize {
    height * width * channels / FEATURES
}

/// One level of the sequence: [B, H W m, 64] to [B, H W, 64 m].
fn level(sequence: Tensor<3>, channels: usize) -> Tensor<3> {
    let [batch, tokens, features] = sequence.dims();
    sequence.reshape([batch, tokens * features / channels, channels])
}

/// The inverse of [`level`].
fn groups(level: Tensor<3>) -> Tensor<3> {
    let [batch, positions, channels] = level.dims();
    level.reshape([batch, positions * channels / FEATURES, FEATURES])
}

/// The four levels of a sequence, each still in tokens of 64 features.
fn split(sequence: Tensor<3>, sizes: [[usize; 2]; 4]) -> Vec<Tensor<3>> {
    let lengths = (0..4).map(|index| tokens(sizes[index], WIDTHS[index])).collect();
    sequence.split_with_sizes(lengths, 1)
}

/// Four layers over the sequence of all levels.
#[derive(Module, Debug)]
pub(super) struct Bridge {
    layers: Vec<Layer>,
}

impl Bridge {
    pub fn new(faithful: bool, device: &Device) -> Self {
        Self { layers: (0..4).map(|_| Layer::new(faithful, device)).collect() }
    }

    /// Levels [B, H W, C] of maps of `sizes` to the same shapes.
    pub fn forward(&self, levels: Vec<Tensor<3>>, sizes: [[usize; 2]; 4]) -> Vec<Tensor<3>> {
        let mut x = Tensor::cat(levels.into_iter().map(groups).collect(), 1); // [B, 6076 at 224, 64]
        for layer in &self.layers {
            x = layer.forward(x, sizes);
        }
        split(x, sizes).into_iter().zip(WIDTHS).map(|(part, channels)| level(part, channels)).collect()
    }
}

/// x + attention(norm(x)) over the whole sequence, then x + the feed-forward
/// part of each level(norm(x)).
#[derive(Module, Debug)]
struct Layer {
    norm1: LayerNorm,
    attn: SequenceAttention,
    norm2: LayerNorm,
    mixers: Vec<MixFeedForward>,
}

impl Layer {
    fn new(faithful: bool, device: &Device) -> Self {
        let norm = || LayerNormConfig::new(FEATURES).init(device);
        Self {
            norm1: norm(),
            attn: SequenceAttention::new(faithful, device),
            norm2: norm(),
            mixers: WIDTHS.map(|channels| MixFeedForward::new(channels, device)).into(),
        }
    }

    fn forward(&self, x: Tensor<3>, sizes: [[usize; 2]; 4]) -> Tensor<3> {
        let x = x.clone() + self.attn.forward(self.norm1.forward(x), sizes);
        let parts = split(self.norm2.forward(x.clone()), sizes);
        let mixed = parts.into_iter().enumerate().map(|(index, part)| {
            groups(self.mixers[index].forward(level(part, WIDTHS[index]), sizes[index]))
        });
        x + Tensor::cat(mixed.collect(), 1)
    }
}

/// One head; every token of the sequence attends to the reduced levels.
#[derive(Module, Debug)]
struct SequenceAttention {
    q: Linear,
    kv: Linear,
    proj: Linear,
    scale_reduce: Reduction,
}

impl SequenceAttention {
    fn new(faithful: bool, device: &Device) -> Self {
        Self {
            q: LinearConfig::new(FEATURES, FEATURES).init(device),
            kv: LinearConfig::new(FEATURES, 2 * FEATURES).init(device),
            proj: LinearConfig::new(FEATURES, FEATURES).init(device),
            scale_reduce: Reduction::new(faithful, device),
        }
    }

    fn forward(&self, x: Tensor<3>, sizes: [[usize; 2]; 4]) -> Tensor<3> {
        let source = self.scale_reduce.forward(x.clone(), sizes);
        self.proj.forward(attend(self.q.forward(x), self.kv.forward(source), 1))
    }
}

/// Where keys and values come from: the first three levels brought to the size
/// of the fourth, and the fourth.
#[derive(Module, Debug)]
struct Reduction {
    convs: Vec<Conv2d>,
    norm: LayerNorm,
    faithful: bool,
}

impl Reduction {
    fn new(faithful: bool, device: &Device) -> Self {
        let conv = |(side, channels)| Conv2dConfig::new(channels, channels, side).stride(side).init(device);
        Self {
            convs: REDUCTIONS.into_iter().zip(WIDTHS).map(conv).collect(),
            norm: LayerNormConfig::new(FEATURES).init(device),
            faithful,
        }
    }

    /// The sequence to [B, 16 h w, 64], h and w the sides of the fourth level.
    fn forward(&self, sequence: Tensor<3>, sizes: [[usize; 2]; 4]) -> Tensor<3> {
        let mut parts = split(sequence, sizes);
        for (index, conv) in self.convs.iter().enumerate() {
            let part = level(parts[index].clone(), WIDTHS[index]);
            let reduced = conv.forward(to_image(part, sizes[index])); // [B, 64 m, h, w]
            parts[index] = if self.faithful { scrambled(reduced) } else { groups(to_tokens(reduced)) };
        }
        self.norm.forward(Tensor::cat(parts, 1))
    }
}

/// [B, 64 m, h, w] to [B, h w m, 64] by the reference's reinterpretation as
/// [B, 64, m h w]: feature c of token t is channel c m + t / (h w) at position
/// t mod (h w), so that a token's features are m channels apart.
fn scrambled(x: Tensor<4>) -> Tensor<3> {
    let [batch, channels, height, width] = x.dims();
    x.reshape([batch, FEATURES, channels / FEATURES * height * width]).swap_dims(1, 2)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Int, Shape, TensorData};

    use super::*;

    /// [1, 128, 1, 2]: channel times ten plus position.
    fn map() -> Tensor<4> {
        let values: Vec<f32> = (0..256).map(|index| (index / 2 * 10 + index % 2) as f32).collect();
        Tensor::from_data(TensorData::new(values, [1, 128, 1, 2]), &Device::flex())
    }

    fn token(x: &Tensor<3>, token: usize) -> Vec<f32> {
        x.clone().slice([0..1, token..token + 1, 0..2]).into_data().try_to_vec().expect("f32")
    }

    #[test]
    fn the_reference_scrambles_channels_and_the_repair_keeps_groups() {
        let faithful = scrambled(map());
        assert_eq!(faithful.dims(), [1, 4, 64]);
        // Token 3: channels 1, 3, ... at position 1.
        assert_eq!(token(&faithful, 3), [11.0, 31.0]);
        let repaired = groups(to_tokens(map()));
        assert_eq!(repaired.dims(), [1, 4, 64]);
        // Token 3: channels 64, 65, ... at position 1.
        assert_eq!(token(&repaired, 3), [641.0, 651.0]);
    }

    #[test]
    fn levels_come_back_from_the_sequence() {
        let device = Device::flex();
        let sizes = [[8, 16], [4, 8], [2, 4], [1, 2]];
        let levels: Vec<Tensor<3>> = (0..4)
            .map(|index| {
                let shape = [2, sizes[index][0] * sizes[index][1], WIDTHS[index]];
                let count = Shape::from(shape).num_elements() as i64;
                Tensor::<1, Int>::arange(0..count, &device).float().reshape(shape) + 0.1 * index as f64
            })
            .collect();
        let sequence = Tensor::cat(levels.iter().cloned().map(groups).collect(), 1);
        assert_eq!(sequence.dims(), [2, 128 + 64 + 40 + 16, 64]);
        for ((part, channels), wanted) in split(sequence, sizes).into_iter().zip(WIDTHS).zip(levels) {
            level(part, channels).into_data().assert_eq(&wanted.into_data(), true);
        }
    }
}
