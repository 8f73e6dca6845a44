//! Attention U-Net (Oktay et al., MIDL 2018), as LeeJunHyun's
//! Image_Segmentation builds it: a U-Net that enlarges by nearest neighbours
//! and a convolution, and whose skips pass through additive attention gates.
//!
//! | level | channels | side at 224 |
//! |---|---|---|
//! | `conv1` .. `conv5` | 64, 128, 256, 512, 1024 | 224, 112, 56, 28, 14 |
//! | `level5` .. `level2` | 512, 256, 128, 64 | 28, 56, 112, 224 |
//! | `output` | 1 | 224 |
//!
//! Quirks, all reproduced: the gate's signal is the decoder's map *after*
//! enlarging and convolving, so gate and skip have one size and nothing is
//! resampled (the paper gates with the coarser map); the gated skip passes no
//! further convolution; and the convolutions have biases although a batch norm
//! follows.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use dygl_nn::layer::{
    BatchNorm2d, BatchNorm2dConfig, Conv2d, Conv2dConfig, ConvNormRelu, ConvNormReluConfig, DoubleConv,
    DoubleConvConfig, max_pool,
};
use dygl_nn::network::{Initial, Network, Options};
use dygl_nn::op::{relu, sigmoid, spread, upsample_nearest};

/// Channels of the five levels.
const WIDTHS: [usize; 5] = [64, 128, 256, 512, 1024];

/// Configuration of an [`AttentionUNet`]; there is nothing to choose.
#[derive(Debug, Clone, Copy, Default)]
pub struct AttentionUNetConfig;

impl AttentionUNetConfig {
    /// What the options of an experiment stand for.
    pub fn of_options(_: &Options<'_>) -> Self {
        Self
    }

    /// The network; the convolutions are zero until initialised or loaded.
    pub fn init(&self, device: &Device) -> AttentionUNet {
        let [w1, w2, w3, w4, w5] = WIDTHS;
        let double = |input, output| DoubleConvConfig::new(input, output).init(device);
        AttentionUNet {
            conv1: double(3, w1),
            conv2: double(w1, w2),
            conv3: double(w2, w3),
            conv4: double(w3, w4),
            conv5: double(w4, w5),
            level5: LevelConfig { channels: w4 }.init(device),
            level4: LevelConfig { channels: w3 }.init(device),
            level3: LevelConfig { channels: w2 }.init(device),
            level2: LevelConfig { channels: w1 }.init(device),
            output: Conv2dConfig::new(w1, 1, 1).init(device),
        }
    }
}

/// The network.
#[derive(Module, Debug)]
pub struct AttentionUNet {
    conv1: DoubleConv,
    conv2: DoubleConv,
    conv3: DoubleConv,
    conv4: DoubleConv,
    conv5: DoubleConv,
    level5: Level,
    level4: Level,
    level3: Level,
    level2: Level,
    output: Conv2d,
}

impl Network for AttentionUNet {
    const NAMES: &'static [(&'static str, &'static str)] = &[
        ("conv1", "Conv1"),
        ("conv2", "Conv2"),
        ("conv3", "Conv3"),
        ("conv4", "Conv4"),
        ("conv5", "Conv5"),
        ("first.conv", "conv.0"),
        ("first.norm", "conv.1"),
        ("second.conv", "conv.3"),
        ("second.norm", "conv.4"),
        ("level5.up", "Up5.up"),
        ("level5.gate", "Att5"),
        ("level5.merge", "Up_conv5"),
        ("level4.up", "Up4.up"),
        ("level4.gate", "Att4"),
        ("level4.merge", "Up_conv4"),
        ("level3.up", "Up3.up"),
        ("level3.gate", "Att3"),
        ("level3.merge", "Up_conv3"),
        ("level2.up", "Up2.up"),
        ("level2.gate", "Att2"),
        ("level2.merge", "Up_conv2"),
        // Behind `up`, whose index 0 is the enlargement.
        ("conv", "1"),
        ("norm", "2"),
        ("signal.project", "W_g.0"),
        ("signal.scale", "W_g.1"),
        ("skip.project", "W_x.0"),
        ("skip.scale", "W_x.1"),
        ("weight.project", "psi.0"),
        ("weight.scale", "psi.1"),
        ("output", "Conv_1x1"),
    ];

    const INITIAL: &'static [(&'static str, Initial)] = &[];

    fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        let x1 = self.conv1.forward(images); // [B, 64, H, W]
        let x2 = self.conv2.forward(max_pool(x1.clone(), 2)); // [B, 128, H/2, W/2]
        let x3 = self.conv3.forward(max_pool(x2.clone(), 2)); // [B, 256, H/4, W/4]
        let x4 = self.conv4.forward(max_pool(x3.clone(), 2)); // [B, 512, H/8, W/8]
        let x5 = self.conv5.forward(max_pool(x4.clone(), 2)); // [B, 1024, H/16, W/16]
        let x = self.level5.forward(x5, x4); // [B, 512, H/8, W/8]
        let x = self.level4.forward(x, x3); // [B, 256, H/4, W/4]
        let x = self.level3.forward(x, x2); // [B, 128, H/2, W/2]
        let x = self.level2.forward(x, x1); // [B, 64, H, W]
        self.output.forward(x) // [B, 1, H, W]
    }
}

struct LevelConfig {
    channels: usize,
}

impl LevelConfig {
    fn init(&self, device: &Device) -> Level {
        let channels = self.channels;
        Level {
            up: ConvNormReluConfig::new(2 * channels, channels).init(device),
            gate: GateConfig { channels, hidden: channels / 2 }.init(device),
            merge: DoubleConvConfig::new(2 * channels, channels).init(device),
        }
    }
}

/// Enlarge, gate the skip, concatenate (skip first), double convolution.
#[derive(Module, Debug)]
struct Level {
    up: ConvNormRelu,
    gate: Gate,
    merge: DoubleConv,
}

impl Level {
    /// x [B, 2C, H/2, W/2], skip [B, C, H, W] to [B, C, H, W].
    fn forward(&self, x: Tensor<4>, skip: Tensor<4>) -> Tensor<4> {
        let x = self.up.forward(upsample_nearest(x, 2)); // [B, C, H, W]
        let skip = self.gate.forward(x.clone(), skip); // [B, C, H, W]
        self.merge.forward(Tensor::cat(vec![skip, x], 1))
    }
}

struct GateConfig {
    channels: usize,
    hidden: usize,
}

impl GateConfig {
    fn init(&self, device: &Device) -> Gate {
        let projection = |input, output| Projection {
            project: Conv2dConfig::new(input, output, 1).init(device),
            scale: BatchNorm2dConfig::new(output).init(device),
        };
        Gate {
            signal: projection(self.channels, self.hidden),
            skip: projection(self.channels, self.hidden),
            weight: projection(self.hidden, 1),
        }
    }
}

/// Additive attention: skip * sigmoid(psi(ReLU(W_g g + W_x skip))), one weight
/// for each position (the paper's eq. 1 and 2, a batch norm in each product).
#[derive(Module, Debug)]
struct Gate {
    signal: Projection,
    skip: Projection,
    weight: Projection,
}

impl Gate {
    /// signal and skip [B, C, H, W] to [B, C, H, W].
    fn forward(&self, signal: Tensor<4>, skip: Tensor<4>) -> Tensor<4> {
        let sum = self.signal.forward(signal) + self.skip.forward(skip.clone()); // [B, C/2, H, W]
        let weight = sigmoid(self.weight.forward(relu(sum))); // [B, 1, H, W]
        let shape = skip.dims();
        skip * spread(weight, shape)
    }
}

/// 1 x 1 convolution, batch norm.
#[derive(Module, Debug)]
struct Projection {
    project: Conv2d,
    scale: BatchNorm2d,
}

impl Projection {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.scale.forward(self.project.forward(x))
    }
}
