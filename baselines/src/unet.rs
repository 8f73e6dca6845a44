//! U-Net (Ronneberger, Fischer & Brox, MICCAI 2015), as Milesi's
//! Pytorch-UNet builds it: padded 3x3 convolutions with batch norm,
//! transposed convolutions on the way up, width 64, five levels.
//!
//! | level | channels | side at 224 |
//! |---|---|---|
//! | `inc` | 64 | 224 |
//! | `down1` .. `down4` | 128, 256, 512, 1024 | 112, 56, 28, 14 |
//! | `up1` .. `up4` | 512, 256, 128, 64 | 28, 56, 112, 224 |
//! | `outc` | 1 | 224 |
//!
//! Quirk: the variant `table-exact` cuts one pixel from each side of the
//! transposed convolutions' results and pads zeros back. It is not published
//! anywhere; it is the one variant whose operation count, counted as the
//! paper's tool counts it, is the table's 41.48 G.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use dygl_nn::layer::{
    Conv2d, Conv2dConfig, ConvTranspose2d, ConvTranspose2dConfig, DoubleConv, DoubleConvConfig, max_pool,
    pad_to,
};
use dygl_nn::network::{Initial, Network, Options};

/// Channels of the five levels.
const WIDTHS: [usize; 5] = [64, 128, 256, 512, 1024];

/// Which of the two nearly equal networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Variant {
    /// The published code.
    #[default]
    Published,
    /// The one whose operation count meets the paper's Table 7.
    TableExact,
}

/// Configuration of a [`UNet`].
#[derive(Debug, Clone, Copy, Default)]
pub struct UNetConfig {
    /// Padding of the transposed convolutions.
    pub variant: Variant,
}

impl UNetConfig {
    /// What the options of an experiment stand for.
    pub fn of_options(options: &Options<'_>) -> Self {
        let variant = match options.word("variant") {
            "table-exact" => Variant::TableExact,
            _ => Variant::Published,
        };
        Self { variant }
    }

    /// The network; the convolutions are zero until initialised or loaded.
    pub fn init(&self, device: &Device) -> UNet {
        let [w1, w2, w3, w4, w5] = WIDTHS;
        let double = |input, output| DoubleConvConfig::new(input, output).no_bias().init(device);
        let up = |input, output| UpConfig { input, output, variant: self.variant }.init(device);
        UNet {
            inc: double(3, w1),
            down1: double(w1, w2),
            down2: double(w2, w3),
            down3: double(w3, w4),
            down4: double(w4, w5),
            up1: up(w5, w4),
            up2: up(w4, w3),
            up3: up(w3, w2),
            up4: up(w2, w1),
            outc: Conv2dConfig::new(w1, 1, 1).init(device),
        }
    }
}

/// The network.
#[derive(Module, Debug)]
pub struct UNet {
    inc: DoubleConv,
    down1: DoubleConv,
    down2: DoubleConv,
    down3: DoubleConv,
    down4: DoubleConv,
    up1: Up,
    up2: Up,
    up3: Up,
    up4: Up,
    outc: Conv2d,
}

impl Network for UNet {
    const NAMES: &'static [(&'static str, &'static str)] = &[
        ("down1", "down1.maxpool_conv.1"),
        ("down2", "down2.maxpool_conv.1"),
        ("down3", "down3.maxpool_conv.1"),
        ("down4", "down4.maxpool_conv.1"),
        ("first.conv", "double_conv.0"),
        ("first.norm", "double_conv.1"),
        ("second.conv", "double_conv.3"),
        ("second.norm", "double_conv.4"),
        ("outc", "outc.conv"),
    ];

    const INITIAL: &'static [(&'static str, Initial)] = &[];

    fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        let x1 = self.inc.forward(images); // [B, 64, H, W]
        let x2 = self.down1.forward(max_pool(x1.clone(), 2)); // [B, 128, H/2, W/2]
        let x3 = self.down2.forward(max_pool(x2.clone(), 2)); // [B, 256, H/4, W/4]
        let x4 = self.down3.forward(max_pool(x3.clone(), 2)); // [B, 512, H/8, W/8]
        let x5 = self.down4.forward(max_pool(x4.clone(), 2)); // [B, 1024, H/16, W/16]
        let x = self.up1.forward(x5, x4); // [B, 512, H/8, W/8]
        let x = self.up2.forward(x, x3); // [B, 256, H/4, W/4]
        let x = self.up3.forward(x, x2); // [B, 128, H/2, W/2]
        let x = self.up4.forward(x, x1); // [B, 64, H, W]
        self.outc.forward(x) // [B, 1, H, W]
    }
}

struct UpConfig {
    input: usize,
    output: usize,
    variant: Variant,
}

impl UpConfig {
    fn init(&self, device: &Device) -> Up {
        let padding = match self.variant {
            Variant::Published => 0,
            Variant::TableExact => 1,
        };
        Up {
            up: ConvTranspose2dConfig::new(self.input, self.output, 2, 2).padding(padding).init(device),
            conv: DoubleConvConfig::new(self.input, self.output).no_bias().init(device),
        }
    }
}

/// Enlarge, pad to the skip's size, concatenate (skip first), double convolution.
#[derive(Module, Debug)]
struct Up {
    up: ConvTranspose2d,
    conv: DoubleConv,
}

impl Up {
    /// x [B, 2C, h, w], skip [B, C, H, W] to [B, C, H, W].
    fn forward(&self, x: Tensor<4>, skip: Tensor<4>) -> Tensor<4> {
        let x = pad_to(self.up.forward(x), &skip);
        self.conv.forward(Tensor::cat(vec![skip, x], 1))
    }
}
