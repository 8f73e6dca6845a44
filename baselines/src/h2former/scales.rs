//! What H2Former adds to ResNet and Swin: convolutions of several sizes side
//! by side, and channel attention.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use dygl_nn::layer::{
    Conv2d, Conv2dConfig, EfficientChannelAttention, EfficientChannelAttentionConfig, LayerNorm,
    LayerNormConfig, Mlp, MlpConfig, SwinMlp, global_average, to_image, to_tokens,
};
use dygl_nn::op::{mean_axes, scale_channels, spread};
use dygl_nn::trace::{self, Kind};

/// Channels on which channel attention judges each channel.
const NEIGHBOURS: usize = 3;

fn attention(device: &Device) -> EfficientChannelAttention {
    EfficientChannelAttentionConfig::new(NEIGHBOURS).init(device)
}

/// x + x * gate: [B, C, H, W] to the same shape.
fn recalibrate(eca: &EfficientChannelAttention, x: Tensor<4>) -> Tensor<4> {
    let gate = eca.gate(global_average(x.clone()));
    scale_channels(x, gate + 1.0)
}

/// The maps of all convolutions, one behind the other.
fn side_by_side(convs: &[Conv2d], x: Tensor<4>) -> Tensor<4> {
    Tensor::cat(convs.iter().map(|conv| conv.forward(x.clone())).collect(), 1)
}

/// Kernel, padding and channels of the embedding's convolutions.
const EMBEDDINGS: [(usize, usize, usize); 4] = [(2, 0, 32), (4, 1, 16), (8, 3, 8), (16, 7, 8)];

/// Tokens of patches of four sizes, two pixels apart.
#[derive(Module, Debug)]
pub(super) struct Embedding {
    projs: Vec<Conv2d>,
    eca: EfficientChannelAttention,
    norm: LayerNorm,
}

impl Embedding {
    pub fn new(device: &Device) -> Self {
        let conv = |(kernel, padding, channels)| {
            Conv2dConfig::new(3, channels, kernel).stride(2).padding(padding).init(device)
        };
        Self {
            projs: EMBEDDINGS.map(conv).into(),
            eca: attention(device),
            norm: LayerNormConfig::new(EMBEDDINGS.iter().map(|(_, _, channels)| channels).sum()).init(device),
        }
    }

    /// [B, 3, H, W] to [B, H W / 4, 64].
    pub fn forward(&self, images: Tensor<4>) -> Tensor<3> {
        let x = recalibrate(&self.eca, side_by_side(&self.projs, images));
        self.norm.forward(to_tokens(x))
    }
}

/// Halves height and width by patches of two sizes, which double the channels.
#[derive(Module, Debug)]
pub(super) struct Merging {
    norm: LayerNorm,
    reductions: Vec<Conv2d>,
    eca: EfficientChannelAttention,
}

impl Merging {
    pub fn new(channels: usize, device: &Device) -> Self {
        let conv = |(kernel, padding)| {
            Conv2dConfig::new(channels, channels, kernel).stride(2).padding(padding).init(device)
        };
        Self {
            norm: LayerNormConfig::new(channels).init(device),
            reductions: [(2, 0), (4, 1)].map(conv).into(),
            eca: attention(device),
        }
    }

    /// [B, H W, C] of a map of `[H, W]` to [B, H W / 4, 2 C].
    pub fn forward(&self, x: Tensor<3>, size: [usize; 2]) -> Tensor<3> {
        let x = to_image(self.norm.forward(x), size);
        to_tokens(recalibrate(&self.eca, side_by_side(&self.reductions, x)))
    }
}

/// A perceptron with channel attention behind it.
#[derive(Module, Debug)]
pub(super) struct ChannelMlp {
    perceptron: Mlp,
    eca: EfficientChannelAttention,
    faithful: bool,
}

impl ChannelMlp {
    /// `features` features, four times as many inside.
    pub fn new(features: usize, faithful: bool, device: &Device) -> Self {
        Self {
            perceptron: MlpConfig::new(features, 4 * features).init(device),
            eca: attention(device),
            faithful,
        }
    }
}

impl SwinMlp for ChannelMlp {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [batch, tokens, features] = x.dims();
        let x = self.perceptron.forward(x);
        if self.faithful {
            // The reference reads the tokens' memory as [B, C, N]: a "channel"
            // is N values in a row, of several tokens and all features.
            let rows = x.reshape([batch, features, tokens]);
            trace::tell(Kind::GlobalAverage, rows.dims(), [batch, features], tokens, &[]);
            let means = mean_axes(rows.clone(), &[2]).reshape([batch, features]);
            let gate = (self.eca.gate(means) + 1.0).reshape([batch, features, 1]);
            return (rows * spread(gate, [batch, features, tokens])).swap_dims(1, 2);
        }
        trace::tell(Kind::GlobalAverage, x.dims(), [batch, features], tokens, &[]);
        let means = mean_axes(x.clone(), &[1]).reshape([batch, features]);
        let gate = (self.eca.gate(means) + 1.0).reshape([batch, 1, features]);
        x * spread(gate, [batch, tokens, features])
    }
}

#[cfg(test)]
mod tests {
    use burn::module::Param;

    use super::*;

    /// Passes positive features (nearly) as they are; the gate is 1/2 for every
    /// channel.
    fn mlp(faithful: bool) -> ChannelMlp {
        let device = Device::flex();
        let mut mlp = ChannelMlp::new(2, faithful, &device);
        let widen: Tensor<2> = Tensor::eye(2, &device).pad((0, 0, 0, 6), 0.0) * 100.0;
        mlp.perceptron.fc2.weight = Param::from_tensor(widen.clone().transpose() / 10_000.0);
        mlp.perceptron.fc1.weight = Param::from_tensor(widen);
        mlp
    }

    #[test]
    fn the_reference_scrambles_tokens_and_the_repair_does_not() {
        let tokens = [[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]]];
        let values = |faithful| -> Vec<f32> {
            let x = Tensor::<3>::from_floats(tokens, &Device::flex());
            mlp(faithful).forward(x).into_data().try_to_vec().expect("f32")
        };
        let close = |values: Vec<f32>, wanted: [f32; 8]| {
            let wanted = wanted.map(|value| 1.5 * value);
            assert!(values.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-4), "{values:?}");
        };
        close(values(false), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        // Memory 1 .. 8 as two rows of four, transposed.
        close(values(true), [1.0, 5.0, 2.0, 6.0, 3.0, 7.0, 4.0, 8.0]);
    }
}
