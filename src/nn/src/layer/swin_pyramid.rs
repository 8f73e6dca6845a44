//! The encoder that hybrids of a CNN and Swin Transformer share (HiFormer,
//! Heidari et al., WACV 2023, and those after it): at each level Swin blocks
//! see the map of the level above, and the CNN's map is added.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{
    Conv2d, Conv2dConfig, Mlp, MlpConfig, PatchMerging, PatchMergingConfig, SwinBlock, SwinBlockConfig,
    drop_path_ramp, to_tokens,
};
use crate::network::Initial;

/// One level of a [`SwinPyramid`].
#[derive(Debug, Clone, Copy)]
pub struct PyramidLevel {
    /// Channels of the CNN's map.
    pub channels: usize,
    /// Features of a token; twice those of the level above.
    pub features: usize,
    /// Heads of the attention.
    pub heads: usize,
    /// Swin blocks.
    pub depth: usize,
}

/// Configuration of a [`SwinPyramid`].
#[derive(Debug, Clone, Copy)]
pub struct SwinPyramidConfig<'a> {
    /// From the finest to the coarsest.
    pub levels: &'a [PyramidLevel],
    /// Distance of the pixels of a CNN's map that become tokens.
    pub stride: usize,
    /// Side of a window, tokens.
    pub window: usize,
    /// Of the last block; grows evenly from 0 over all blocks.
    pub drop_path: f64,
}

impl SwinPyramidConfig<'_> {
    /// The encoder; its products are zeros.
    pub fn init(&self, device: &Device) -> SwinPyramid {
        let blocks = self.levels.iter().map(|level| level.depth).sum();
        let rates = drop_path_ramp(self.drop_path, blocks);
        let mut rates = rates.as_slice();
        let mut stage = |level: &PyramidLevel| {
            let PyramidLevel { features, heads, depth, .. } = *level;
            let (own, rest) = rates.split_at(depth);
            rates = rest;
            let mlp = || MlpConfig::new(features, 4 * features).init(device);
            SwinBlockConfig::new(features, heads, self.window).stage(own, mlp, device)
        };
        let lateral =
            |level: &PyramidLevel| Conv2dConfig::new(level.channels, level.features, 1).init(device);
        let above = self.levels.iter().take(self.levels.len() - 1);
        SwinPyramid {
            stages: self.levels.iter().map(&mut stage).collect(),
            laterals: self.levels.iter().map(lateral).collect(),
            mergings: above.map(|level| PatchMergingConfig::new(level.features).init(device)).collect(),
            stride: self.stride,
        }
    }
}

/// t1 + S1(t1), then t_i + S_i(merge of the level above), with S_i the Swin
/// blocks of a level and t_i the tokens of the CNN's map. No normalisation
/// behind a level. A network names its field `pyramid`.
#[derive(Module, Debug)]
pub struct SwinPyramid {
    /// Swin blocks of each level.
    pub stages: Vec<Vec<SwinBlock<Mlp>>>,
    /// 1 x 1 convolutions from the CNN's maps.
    pub laterals: Vec<Conv2d>,
    /// Between the levels.
    pub mergings: Vec<PatchMerging>,
    stride: usize,
}

impl SwinPyramid {
    /// What turns field names into reference names, for up to four levels.
    pub const NAMES: [(&'static str, &'static str); 11] = [
        ("pyramid.stages.0", "All2Cross.pyramid.swin_transformer.layers.0.blocks"),
        ("pyramid.stages.1", "All2Cross.pyramid.swin_transformer.layers.1.blocks"),
        ("pyramid.stages.2", "All2Cross.pyramid.swin_transformer.layers.2.blocks"),
        ("pyramid.stages.3", "All2Cross.pyramid.swin_transformer.layers.3.blocks"),
        ("pyramid.laterals.0", "All2Cross.pyramid.p1_ch"),
        ("pyramid.laterals.1", "All2Cross.pyramid.p2_ch"),
        ("pyramid.laterals.2", "All2Cross.pyramid.p3_ch"),
        ("pyramid.laterals.3", "All2Cross.pyramid.p4_ch"),
        ("pyramid.mergings.0", "All2Cross.pyramid.p1_pm"),
        ("pyramid.mergings.1", "All2Cross.pyramid.p2_pm"),
        ("pyramid.mergings.2", "All2Cross.pyramid.p3_pm"),
    ];

    /// Initial values of its products and tables.
    pub const INITIAL: [(&'static str, Initial); 8] = [
        ("relative_position_bias_table", Initial::TruncatedNormal { std: 0.02 }),
        ("attn.qkv.weight", Initial::Normal { std: 0.02 }),
        ("attn.qkv.bias", Initial::Constant(0.0)),
        ("attn.proj.weight", Initial::Normal { std: 0.02 }),
        ("attn.proj.bias", Initial::Constant(0.0)),
        ("mlp.*.weight", Initial::Normal { std: 0.02 }),
        ("mlp.*.bias", Initial::Constant(0.0)),
        ("reduction.weight", Initial::Normal { std: 0.02 }),
    ];

    /// Where the tables of relative positions of Swin-T go, three levels.
    pub const TABLES: [(&'static str, &'static str); 10] = [
        (
            "layers.0.blocks.0.attn.relative_position_bias_table",
            "All2Cross.pyramid.swin_transformer.layers.0.blocks.0.attn.relative_position_bias_table",
        ),
        (
            "layers.0.blocks.1.attn.relative_position_bias_table",
            "All2Cross.pyramid.swin_transformer.layers.0.blocks.1.attn.relative_position_bias_table",
        ),
        (
            "layers.1.blocks.0.attn.relative_position_bias_table",
            "All2Cross.pyramid.swin_transformer.layers.1.blocks.0.attn.relative_position_bias_table",
        ),
        (
            "layers.1.blocks.1.attn.relative_position_bias_table",
            "All2Cross.pyramid.swin_transformer.layers.1.blocks.1.attn.relative_position_bias_table",
        ),
        (
            "layers.2.blocks.0.attn.relative_position_bias_table",
            "All2Cross.pyramid.swin_transformer.layers.2.blocks.0.attn.relative_position_bias_table",
        ),
        (
            "layers.2.blocks.1.attn.relative_position_bias_table",
            "All2Cross.pyramid.swin_transformer.layers.2.blocks.1.attn.relative_position_bias_table",
        ),
        (
            "layers.2.blocks.2.attn.relative_position_bias_table",
            "All2Cross.pyramid.swin_transformer.layers.2.blocks.2.attn.relative_position_bias_table",
        ),
        (
            "layers.2.blocks.3.attn.relative_position_bias_table",
            "All2Cross.pyramid.swin_transformer.layers.2.blocks.3.attn.relative_position_bias_table",
        ),
        (
            "layers.2.blocks.4.attn.relative_position_bias_table",
            "All2Cross.pyramid.swin_transformer.layers.2.blocks.4.attn.relative_position_bias_table",
        ),
        (
            "layers.2.blocks.5.attn.relative_position_bias_table",
            "All2Cross.pyramid.swin_transformer.layers.2.blocks.5.attn.relative_position_bias_table",
        ),
    ];

    /// The CNN's maps [B, channels, H, W], each half as large as the one
    /// before, to tokens [B, H W / stride^2, features] of each level.
    pub fn forward(&self, maps: Vec<Tensor<4>>) -> Vec<Tensor<3>> {
        let mut levels: Vec<Tensor<3>> = Vec::with_capacity(maps.len());
        let mut finer = None;
        for (index, map) in maps.into_iter().enumerate() {
            let map = self.laterals[index].forward(every(map, self.stride));
            let [_, _, height, width] = map.dims();
            let tokens = to_tokens(map);
            let seen = match (levels.last(), finer) {
                (Some(above), Some(size)) => self.mergings[index - 1].forward(above.clone(), size),
                _ => tokens.clone(),
            };
            let seen = self.stages[index].iter().fold(seen, |x, block| block.forward(x, [height, width]));
            levels.push(tokens + seen);
            finer = Some([height, width]);
        }
        levels
    }
}

/// The first of every `stride` x `stride` pixels: what a strided 1 x 1
/// convolution reads. [B, C, H, W], multiples of the stride, to
/// [B, C, H / stride, W / stride].
fn every(x: Tensor<4>, stride: usize) -> Tensor<4> {
    if stride == 1 {
        return x;
    }
    let [batch, channels, height, width] = x.dims();
    let [rows, columns] = [height / stride, width / stride];
    let x = x.reshape([batch, channels, rows, stride, columns, stride]);
    x.narrow(3, 0, 1).narrow(5, 0, 1).reshape([batch, channels, rows, columns])
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::module::Param;

    use super::*;

    fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
        x.into_data().try_to_vec().expect("f32")
    }

    #[test]
    fn a_stride_reads_the_first_pixel_of_each_tile() {
        let x = Tensor::<1>::from_floats([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], &Device::flex());
        assert_eq!(values(every(x.reshape([1, 1, 2, 4]), 2)), [0.0, 2.0]);
    }

    #[test]
    fn the_finest_level_sees_the_cnn_and_the_next_one_the_level_above() {
        let device = Device::flex();
        let level = |features| PyramidLevel { channels: 1, features, heads: 1, depth: 1 };
        let levels = [level(1), level(2)];
        let config = SwinPyramidConfig { levels: &levels, stride: 1, window: 2, drop_path: 0.0 };
        let mut pyramid = config.init(&device);
        for lateral in &mut pyramid.laterals {
            let [output, ..] = lateral.weight.dims();
            lateral.weight = Param::from_tensor(Tensor::ones([output, 1, 1, 1], &device));
        }
        // Products of zeros leave the identity in the blocks and nothing in the merging.
        let maps = vec![Tensor::ones([1, 1, 4, 4], &device), Tensor::ones([1, 1, 2, 2], &device) * 3.0];
        let found = pyramid.forward(maps);
        assert_eq!(values(found[0].clone()), [2.0; 16]);
        assert_eq!(values(found[1].clone()), [3.0; 8]);
    }
}
