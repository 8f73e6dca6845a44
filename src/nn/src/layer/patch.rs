//! Changes of resolution between the stages of a transformer over patches.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{LayerNorm, LayerNormConfig, Linear, LinearConfig};

/// Configuration of a [`PatchMerging`].
#[derive(Debug, Clone, Copy)]
pub struct PatchMergingConfig {
    features: usize,
}

impl PatchMergingConfig {
    /// `features` to twice as many.
    pub fn new(features: usize) -> Self {
        Self { features }
    }

    /// The layer; its product is zeros.
    pub fn init(&self, device: &Device) -> PatchMerging {
        PatchMerging {
            norm: LayerNormConfig::new(4 * self.features).init(device),
            reduction: LinearConfig::new(4 * self.features, 2 * self.features).no_bias().init(device),
        }
    }
}

/// Halves height and width and doubles the features: 2 x 2 neighbours are
/// concatenated (column by column, downwards), normalised and reduced (Liu et
/// al. 2021).
#[derive(Module, Debug)]
pub struct PatchMerging {
    /// Over the four neighbours.
    pub norm: LayerNorm,
    /// Of the four neighbours.
    pub reduction: Linear,
}

impl PatchMerging {
    /// [B, H W, C] of a map of `[H, W]` to [B, H W / 4, 2 C].
    pub fn forward(&self, x: Tensor<3>, [height, width]: [usize; 2]) -> Tensor<3> {
        let [batch, _, features] = x.dims();
        let x = x.reshape([batch, height / 2, 2, width / 2, 2, features]);
        // To [.., column, row, feature]: the neighbours in the reference's order.
        let x = x.permute([0, 1, 3, 4, 2, 5]);
        let x = x.reshape([batch, height * width / 4, 4 * features]);
        self.reduction.forward(self.norm.forward(x))
    }
}

/// Configuration of a [`PatchExpanding`].
#[derive(Debug, Clone, Copy)]
pub struct PatchExpandingConfig {
    features: usize,
    factor: usize,
    output: usize,
}

impl PatchExpandingConfig {
    /// `features` to `output` features, `factor` times the height and width.
    pub fn new(features: usize, factor: usize, output: usize) -> Self {
        Self { features, factor, output }
    }

    /// The layer; its product is zeros.
    pub fn init(&self, device: &Device) -> PatchExpanding {
        let wide = self.factor * self.factor * self.output;
        PatchExpanding {
            expand: LinearConfig::new(self.features, wide).no_bias().init(device),
            norm: LayerNormConfig::new(self.output).init(device),
            factor: self.factor,
        }
    }
}

/// The inverse of merging: each token becomes `factor` x `factor` tokens (row
/// by row) of a part of its features, then each is normalised (Cao et al. 2022).
#[derive(Module, Debug)]
pub struct PatchExpanding {
    /// Of each token.
    pub expand: Linear,
    /// Of each new token.
    pub norm: LayerNorm,
    factor: usize,
}

impl PatchExpanding {
    /// [B, H W, C] of a map of `[H, W]` to [B, factor H factor W, output].
    pub fn forward(&self, x: Tensor<3>, [height, width]: [usize; 2]) -> Tensor<3> {
        let factor = self.factor;
        let x = self.expand.forward(x);
        let [batch, _, wide] = x.dims();
        let output = wide / (factor * factor);
        let x = x.reshape([batch, height, width, factor, factor, output]).permute([0, 1, 3, 2, 4, 5]);
        self.norm.forward(x.reshape([batch, factor * height * factor * width, output]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
        x.into_data().try_to_vec().expect("f32")
    }

    #[test]
    fn neighbours_are_merged_column_by_column() {
        let device = Device::flex();
        let mut layer = PatchMergingConfig::new(1).init(&device);
        let rows = Tensor::from_floats([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]], &device);
        layer.reduction.weight = burn::module::Param::from_tensor(rows);
        // A map of 2 x 2: 0 1 / 2 3. The first two neighbours are (0, 0) and (1, 0).
        let x = Tensor::<3>::from_floats([[[0.0], [1.0], [2.0], [3.0]]], &device);
        let y = values(layer.forward(x, [2, 2]));
        let scale = (1.25f32 + 1e-5).sqrt().recip();
        assert!((y[0] + 1.5 * scale).abs() < 1e-5 && (y[1] - 0.5 * scale).abs() < 1e-5, "{y:?}");
    }

    #[test]
    fn a_token_expands_row_by_row() {
        let device = Device::flex();
        let mut layer = PatchExpandingConfig::new(1, 2, 2).init(&device);
        let column = Tensor::from_floats([[0.0], [1.0], [1.0], [0.0], [0.0], [2.0], [2.0], [0.0]], &device);
        layer.expand.weight = burn::module::Param::from_tensor(column);
        let x = Tensor::<3>::from_floats([[[1.0], [1.0]]], &device);
        let y = values(layer.forward(x, [1, 2]));
        let signs: Vec<bool> = y.iter().map(|value| *value > 0.0).collect();
        let (low, high) = ([false, true], [true, false]);
        assert_eq!(signs, [low, high, low, high, low, high, low, high].concat());
    }
}
