//! M2SNet: "M2SNet: Multi-scale in Multi-scale Subtraction Network for Medical
//! Image Segmentation" (Zhao, Jia, Pang, Lv, Tian, Zhang, Sun & Lu, 2023). The
//! maps of a Res2Net-50 are brought to 64 channels; differences of neighbours,
//! then differences of neighbouring differences, and so on, form a triangle
//! whose diagonals are added up and decoded from coarse to fine.
//!
//! | step | channels | side at 224 |
//! |---|---|---|
//! | `resnet`: x1 .. x5 | 64, 256, 512, 1024, 2048 | 56, 56, 28, 14, 7 |
//! | `reduce` of x5, x4, x3, x2 | 64 | 7, 14, 28, 56 |
//! | `first` differences: 5-4, 4-3, 3-2, 2-1 | 64 | 14, 28, 56, 56 |
//! | `second` | 64 | 28, 56, 56 |
//! | `third` | 64 | 56, 56 |
//! | `fourth` | 64 | 56 |
//! | `level3`, `level2`, `level1` | 64 | 28, 56, 56 |
//! | `bottom`, `output4` .. `output1` | 64, 64, 64, 64, 1 | 7, 14, 28, 56, 56 |
//! | resized | 1 | 224 |
//!
//! A difference of two maps sees three scales: the pixels themselves, and the
//! maps behind a 3x3 and a 5x5 convolution whose kernels are all ones, each
//! with batch norm and ReLU ([`Sum`]).
//!
//! Any size goes, since every map is resized to the one that it meets.
//!
//! Quirks of the published code, all kept:
//! 1. The two all-ones convolutions, and with them their batch norms, are
//!    shared by all ten differences: each is applied 20 times in a forward
//!    pass, with 20 statistics in training, which the running ones follow in
//!    turn. Their kernels are constants, not parameters. All their output
//!    channels are equal; here they are one, computed as sum over channels and
//!    window, which differs from the dense product by rounding only.
//! 2. The classifier of the Res2Net, 2 049 000 parameters, is carried along.
//! 3. The decoder resizes the logits from a quarter of the image's size.
//! 4. The loss network of the paper is a training loss, not part of this; the
//!    harness trains all networks with one loss.

mod res2net;

use std::array;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use dygl_nn::layer::{
    BatchNorm2d, BatchNorm2dConfig, Conv2d, Conv2dConfig, ConvNormRelu, ConvNormReluConfig,
};
use dygl_nn::network::{Backbone, Initial, Network, Options};
use dygl_nn::op::{Convolution, Corners, convolution, relu, resize_bilinear, sum_axes};
use dygl_nn::trace::{self, Kind};

use res2net::{Res2Net, Res2NetConfig};

/// Channels of everything behind the Res2Net.
const WIDTH: usize = 64;

/// Configuration of an [`M2SNet`].
#[derive(Debug, Clone, Copy, Default)]
pub struct M2SNetConfig;

impl M2SNetConfig {
    /// What the options of an experiment stand for: there are none.
    pub fn of_options(_: &Options<'_>) -> Self {
        Self
    }

    /// The network; the convolutions are zero until initialised or loaded.
    pub fn init(&self, device: &Device) -> M2SNet {
        let [_, c2, c3, c4, c5] = Res2NetConfig::CHANNELS;
        let conv = |input| ConvNormReluConfig::new(input, WIDTH).init(device);
        let sum = |side| SumConfig { side }.init(device);
        M2SNet {
            resnet: Res2NetConfig.init(device),
            differences: Differences { sum3: sum(3), sum5: sum(5) },
            reduce: [c5, c4, c3, c2].map(conv),
            first: [WIDTH; 4].map(conv),
            second: [WIDTH; 3].map(conv),
            third: [WIDTH; 2].map(conv),
            before_fourth: conv(WIDTH),
            fourth: conv(WIDTH),
            level3: conv(WIDTH),
            level2: conv(WIDTH),
            level1: conv(WIDTH),
            bottom: conv(c5),
            output4: conv(WIDTH),
            output3: conv(WIDTH),
            output2: conv(WIDTH),
            output1: Conv2dConfig::new(WIDTH, 1, 3).padding(1).init(device),
        }
    }
}

/// The network.
#[derive(Module, Debug)]
pub struct M2SNet {
    resnet: Res2Net,
    differences: Differences,
    reduce: [ConvNormRelu; 4],
    first: [ConvNormRelu; 4],
    second: [ConvNormRelu; 3],
    third: [ConvNormRelu; 2],
    before_fourth: ConvNormRelu,
    fourth: ConvNormRelu,
    level3: ConvNormRelu,
    level2: ConvNormRelu,
    level1: ConvNormRelu,
    bottom: ConvNormRelu,
    output4: ConvNormRelu,
    output3: ConvNormRelu,
    output2: ConvNormRelu,
    output1: Conv2d,
}

impl Network for M2SNet {
    const NAMES: &'static [(&'static str, &'static str)] = &[
        // Res2Net
        ("stem1", "conv1.0"),
        ("stem_norm1", "conv1.1"),
        ("stem2", "conv1.3"),
        ("stem_norm2", "conv1.4"),
        ("stem3", "conv1.6"),
        ("shortcut.conv", "downsample.1"),
        ("shortcut.norm", "downsample.2"),
        ("differences.sum3.norm", "conv_3.norm"),
        ("differences.sum5.norm", "conv_5.norm"),
        ("reduce.0", "x5_dem_1"),
        ("reduce.1", "x4_dem_1"),
        ("reduce.2", "x3_dem_1"),
        ("reduce.3", "x2_dem_1"),
        ("first.0", "x5_x4"),
        ("first.1", "x4_x3"),
        ("first.2", "x3_x2"),
        ("first.3", "x2_x1"),
        ("second.0", "x5_x4_x3"),
        ("second.1", "x4_x3_x2"),
        ("second.2", "x3_x2_x1"),
        ("third.0", "x5_x4_x3_x2"),
        ("third.1", "x4_x3_x2_x1"),
        ("before_fourth", "x5_dem_4"),
        ("fourth", "x5_x4_x3_x2_x1"),
        ("bottom", "x5_dem_5"),
        ("output1", "output1.0"),
        // ConvNormRelu
        ("conv", "0"),
        ("norm", "1"),
    ];

    /// The convolutions of the Res2Net as He et al. 2015.
    const INITIAL: &'static [(&'static str, Initial)] = &[
        ("resnet.conv1.0.weight", Initial::KaimingNormalFanOut),
        ("resnet.conv1.3.weight", Initial::KaimingNormalFanOut),
        ("resnet.conv1.6.weight", Initial::KaimingNormalFanOut),
        ("resnet.*.*.conv1.weight", Initial::KaimingNormalFanOut),
        ("resnet.*.*.convs.*.weight", Initial::KaimingNormalFanOut),
        ("resnet.*.*.conv3.weight", Initial::KaimingNormalFanOut),
        ("resnet.*.*.downsample.1.weight", Initial::KaimingNormalFanOut),
    ];

    const DEAD: &'static [&'static str] = &["resnet.fc.*"];

    /// The weights of the authors of Res2Net, classifier included.
    const BACKBONES: &'static [Backbone] =
        &[Backbone { name: "res2net50_v1b_26w_4s", parts: &[("", "resnet")] }];

    fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        let [_, _, height, width] = images.dims();
        let [x1, x2, x3, x4, x5] = self.resnet.forward(images);
        let bottom = self.bottom.forward(x5.clone()); // [B, 64, H/32, W/32]
        let [r5, r4, r3, r2] = &self.reduce;
        let maps = [r5.forward(x5), r4.forward(x4), r3.forward(x3), r2.forward(x2), x1];

        // The triangle, row by row: each row has a map less than the one
        // before. The sizes are those of the finer map.
        let first: [_; 4] = self.row(&self.first, &maps);
        let second: [_; 3] = self.row(&self.second, &first);
        let third: [_; 2] = self.row(&self.third, &second);
        let coarse = self.before_fourth.forward(third[0].clone());
        let fourth = self.fourth.forward(self.differences.forward(coarse, third[1].clone()));

        // The diagonals, from coarse to fine.
        let [f5, f4, f3, f2] = first;
        let [s4, s3, s2] = second;
        let [t3, t2] = third;
        let level4 = f5; // [B, 64, H/16, W/16]
        let level3 = self.level3.forward(f4 + s4); // [B, 64, H/8, W/8]
        let level2 = self.level2.forward(f3 + s3 + t3); // [B, 64, H/4, W/4]
        let level1 = self.level1.forward(f2 + s2 + t2 + fourth); // [B, 64, H/4, W/4]

        let x = self.output4.forward(resize_as(bottom, &level4) + level4); // [B, 64, H/16, W/16]
        let x = self.output3.forward(resize_as(x, &level3) + level3); // [B, 64, H/8, W/8]
        let x = self.output2.forward(resize_as(x, &level2) + level2); // [B, 64, H/4, W/4]
        let x = self.output1.forward(resize_as(x, &level1) + level1); // [B, 1, H/4, W/4]
        trace::functional(|| resize_bilinear(x, [height, width], Corners::Centred)) // [B, 1, H, W]
    }
}

impl M2SNet {
    /// The differences of each map and the next, which is as fine or finer,
    /// each convolved. `N` is one less than `M`.
    fn row<const M: usize, const N: usize>(
        &self,
        convs: &[ConvNormRelu],
        maps: &[Tensor<4>; M],
    ) -> [Tensor<4>; N] {
        array::from_fn(|index| {
            let (coarse, fine) = (maps[index].clone(), maps[index + 1].clone());
            convs[index].forward(self.differences.forward(coarse, fine))
        })
    }
}

/// x resized to the height and width of another map.
fn resize_as(x: Tensor<4>, other: &Tensor<4>) -> Tensor<4> {
    let [_, _, height, width] = other.dims();
    trace::functional(|| resize_bilinear(x, [height, width], Corners::Centred))
}

/// |a - b| at three scales, added up.
#[derive(Module, Debug)]
struct Differences {
    sum3: Sum,
    sum5: Sum,
}

impl Differences {
    /// A coarse [B, 64, h, w] and a fine map [B, 64, H, W] to [B, 64, H, W].
    fn forward(&self, coarse: Tensor<4>, fine: Tensor<4>) -> Tensor<4> {
        let coarse = resize_as(coarse, &fine);
        // The order is that of the running statistics.
        let at = |sum: &Sum| {
            let coarse = sum.forward(coarse.clone());
            (coarse - sum.forward(fine.clone())).abs()
        };
        let (small, large) = (at(&self.sum3), at(&self.sum5));
        (coarse - fine).abs() + small + large
    }
}

struct SumConfig {
    side: usize,
}

impl SumConfig {
    fn init(&self, device: &Device) -> Sum {
        Sum { norm: BatchNorm2dConfig::new(WIDTH).init(device), side: self.side }
    }
}

/// The sum over all channels and a square window (zeros beyond the border),
/// the same for all 64 channels of the result; batch norm, ReLU.
#[derive(Module, Debug)]
struct Sum {
    norm: BatchNorm2d,
    side: usize,
}

impl Sum {
    /// [B, 64, H, W] to the same shape.
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let Self { side, .. } = *self;
        // The reference convolves with a kernel of ones, by a function.
        let terms = WIDTH * side * side;
        trace::functional(|| trace::tell(Kind::Convolution, x.dims(), x.dims(), terms, &[]));
        let ones = Tensor::ones([1, 1, side, side], (&x.device(), x.dtype()));
        let form = Convolution { padding: side / 2, ..Convolution::PLAIN };
        let sum = convolution(sum_axes(x, &[1]), ones, None, form); // [B, 1, H, W]
        relu(self.norm.forward_repeated(sum))
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Result;
    use burn::tensor::module::conv2d;
    use burn::tensor::ops::ConvOptions;
    use dygl_nn::network::matches;
    use dygl_tests::classifier::check;

    use super::*;
    use crate::testing::{image, laid, map, numbers};

    #[test]
    fn a_res2net50_of_timm_gives_its_own_maps() -> Result<()> {
        check("m2snet", "res2net50_v1b_26w_4s", |tensors| {
            let maps = laid(M2SNetConfig.init(&Device::flex()), tensors).resnet.forward(image());
            let names = ["stem", "layer1", "layer2", "layer3", "layer4"].map(str::to_owned);
            names.into_iter().zip(maps.iter().map(map)).collect()
        })
    }

    #[test]
    fn a_sum_is_the_convolution_with_ones() {
        let device = Device::flex();
        let sum = SumConfig { side: 5 }.init(&device);
        sum.norm.running_mean.set((numbers("running_mean", [WIDTH]) + 1.0) / 2.0);
        let x = numbers("x", [2, WIDTH, 7, 9]);
        let ours = sum.forward(x.clone());
        let ones = Tensor::ones([WIDTH, WIDTH, 5, 5], &device);
        let dense = conv2d(x, ones, None, ConvOptions::new([1; 2], [2; 2], [1; 2], 1));
        let dense = sum.norm.forward_then(dense, dygl_nn::op::Activation::Relu);
        let scale = dense.clone().max().into_scalar::<f32>();
        assert!(scale > 1.0);
        let difference = (ours - dense).abs().max().into_scalar::<f32>();
        assert!(difference < 1e-5 * scale, "{difference} of {scale}");
    }

    #[test]
    fn the_convolutions_of_the_res2net_start_as_they_were_published() {
        let initial = |name: &str| M2SNet::INITIAL.iter().find(|(pattern, _)| matches(pattern, name));
        for name in [
            "resnet.conv1.6.weight",
            "resnet.layer1.0.conv1.weight",
            "resnet.layer3.5.convs.2.weight",
            "resnet.layer4.0.conv3.weight",
            "resnet.layer2.0.downsample.1.weight",
        ] {
            assert_eq!(initial(name).map(|pair| pair.1), Some(Initial::KaimingNormalFanOut), "{name}");
        }
        for name in [
            "resnet.conv1.1.weight",
            "resnet.layer1.0.bns.0.weight",
            "resnet.layer2.0.downsample.2.weight",
            "resnet.fc.weight",
            "x5_x4_x3.0.weight",
            "output1.0.weight",
        ] {
            assert_eq!(initial(name), None, "{name}");
        }
    }
}
