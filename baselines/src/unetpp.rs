//! UNet++ (Zhou et al., DLMIA 2018), as 4uiiurz1's pytorch-nested-unet builds
//! it: a triangle of blocks, each fed by all blocks of its row before it and by
//! the enlarged one of the row below.
//!
//! | row | channels | side at 224 | blocks (input channels) |
//! |---|---|---|---|
//! | 0 | 32 | 224 | 0_0 (3), 0_1 (96), 0_2 (128), 0_3 (160), 0_4 (192) |
//! | 1 | 64 | 112 | 1_0 (32), 1_1 (192), 1_2 (256), 1_3 (320) |
//! | 2 | 128 | 56 | 2_0 (64), 2_1 (384), 2_2 (512) |
//! | 3 | 256 | 28 | 3_0 (128), 3_1 (768) |
//! | 4 | 512 | 14 | 4_0 (256) |
//!
//! Quirks, reproduced: maps are enlarged with the corners aligned, and the
//! convolutions have biases although a batch norm follows.
//!
//! `deep_supervision=true` puts a head on each of 0_1 to 0_4 instead of one on
//! 0_4, and training takes the mean of the four losses; the head of 0_4 gives
//! the mask. The paper's numbers are those of the plain network: its operation
//! count is Table 7's, and that with four heads is not.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use dygl_nn::layer::{Conv2d, Conv2dConfig, DoubleConv, DoubleConvConfig, max_pool};
use dygl_nn::network::{Initial, Network, Options};
use dygl_nn::op::{Corners, upsample_bilinear};

/// Channels of the five rows.
const WIDTHS: [usize; 5] = [32, 64, 128, 256, 512];

/// Configuration of a [`UNetPlusPlus`].
#[derive(Debug, Clone, Copy, Default)]
pub struct UNetPlusPlusConfig {
    /// Whether each block of row 0 behind the first has a head.
    pub deep_supervision: bool,
}

impl UNetPlusPlusConfig {
    /// What the options of an experiment stand for.
    pub fn of_options(options: &Options<'_>) -> Self {
        Self { deep_supervision: options.flag("deep_supervision") }
    }

    /// The network; the convolutions are zero until initialised or loaded.
    pub fn init(&self, device: &Device) -> UNetPlusPlus {
        let block = |row: usize, column: usize| {
            let width = WIDTHS[row];
            let input = match (row, column) {
                (0, 0) => 3,
                (_, 0) => WIDTHS[row - 1],
                _ => column * width + WIDTHS[row + 1],
            };
            DoubleConvConfig::new(input, width).init(device)
        };
        let head = || Conv2dConfig::new(WIDTHS[0], 1, 1).init(device);
        let rows = WIDTHS.len();
        UNetPlusPlus {
            rows: (0..rows).map(|row| (0..rows - row).map(|column| block(row, column)).collect()).collect(),
            head: if self.deep_supervision {
                Head::Each((1..rows).map(|_| head()).collect())
            } else {
                Head::Last(head())
            },
        }
    }
}

/// The network.
#[derive(Module, Debug)]
pub struct UNetPlusPlus {
    /// Row r holds the blocks r_0, r_1, ...: one fewer in each row.
    rows: Vec<Vec<DoubleConv>>,
    head: Head,
}

/// What turns maps of row 0 into logits.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "a network has one")]
enum Head {
    /// Of the last block.
    Last(Conv2d),
    /// One for each block behind the first.
    Each(Vec<Conv2d>),
}

impl Network for UNetPlusPlus {
    const NAMES: &'static [(&'static str, &'static str)] = &[
        ("rows.0.0", "conv0_0"),
        ("rows.0.1", "conv0_1"),
        ("rows.0.2", "conv0_2"),
        ("rows.0.3", "conv0_3"),
        ("rows.0.4", "conv0_4"),
        ("rows.1.0", "conv1_0"),
        ("rows.1.1", "conv1_1"),
        ("rows.1.2", "conv1_2"),
        ("rows.1.3", "conv1_3"),
        ("rows.2.0", "conv2_0"),
        ("rows.2.1", "conv2_1"),
        ("rows.2.2", "conv2_2"),
        ("rows.3.0", "conv3_0"),
        ("rows.3.1", "conv3_1"),
        ("rows.4.0", "conv4_0"),
        ("first.conv", "conv1"),
        ("first.norm", "bn1"),
        ("second.conv", "conv2"),
        ("second.norm", "bn2"),
        ("head.0", "final1"),
        ("head.1", "final2"),
        ("head.2", "final3"),
        ("head.3", "final4"),
        ("head", "final"),
    ];

    const INITIAL: &'static [(&'static str, Initial)] = &[];

    fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        let [.., last] = self.top_row(images);
        match &self.head {
            Head::Last(head) => head.forward(last),
            Head::Each(heads) => heads[heads.len() - 1].forward(last),
        }
    }

    fn outputs(&self, images: Tensor<4>) -> Vec<Tensor<4>> {
        let [first, second, third, last] = self.top_row(images);
        match &self.head {
            Head::Last(head) => vec![head.forward(last)],
            Head::Each(heads) => {
                heads.iter().zip([first, second, third, last]).map(|(head, map)| head.forward(map)).collect()
            }
        }
    }
}

impl UNetPlusPlus {
    /// [B, 3, H, W] to the maps of 0_1 to 0_4, [B, 32, H, W] each.
    fn top_row(&self, images: Tensor<4>) -> [Tensor<4>; 4] {
        // Row r of `maps` holds what the row's blocks gave so far, each
        // [B, width, H / 2^r, W / 2^r].
        let mut maps: Vec<Vec<Tensor<4>>> = Vec::with_capacity(self.rows.len());
        for blocks in &self.rows {
            let x = match maps.last() {
                None => images.clone(),
                Some(above) => max_pool(above[0].clone(), 2),
            };
            maps.push(vec![blocks[0].forward(x)]);
        }
        for column in 1..self.rows.len() {
            for row in 0..self.rows.len() - column {
                let below = upsample_bilinear(maps[row + 1][column - 1].clone(), 2, Corners::Aligned);
                let mut parts = maps[row].clone();
                parts.push(below);
                maps[row].push(self.rows[row][column].forward(Tensor::cat(parts, 1)));
            }
        }
        [1, 2, 3, 4].map(|column| maps[0][column].clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(tensor: Tensor<4>) -> Vec<f32> {
        tensor.into_data().try_to_vec().expect("f32")
    }

    #[test]
    fn four_maps_are_supervised_and_the_last_is_the_mask() {
        let device = Device::flex();
        let images = Tensor::<4>::ones([1, 3, 32, 32], &device);
        let plain = UNetPlusPlusConfig::default().init(&device);
        assert_eq!(plain.outputs(images.clone()).len(), 1);

        let mut net = UNetPlusPlusConfig { deep_supervision: true }.init(&device);
        let Head::Each(heads) = &mut net.head else { panic!("four heads") };
        for (index, head) in heads.iter_mut().enumerate() {
            head.bias = head.bias.take().map(|bias| bias.map(|bias| bias + index as f32));
        }
        let outputs: Vec<_> = net.outputs(images.clone()).into_iter().map(values).collect();
        assert_eq!(outputs.iter().map(|map| map[0]).collect::<Vec<_>>(), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(values(net.forward(images)), outputs[3]);
    }
}
