//! The decoder of HiFormer (Heidari et al., WACV 2023), which BEFUnet (Manzari
//! et al. 2024) took over: a fine and a coarse map, brought to one size, are
//! added and turned into logits.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{Conv2d, Conv2dConfig, GroupNorm, GroupNormConfig};
use crate::op::{Corners, relu, upsample_bilinear};
use crate::trace;

/// Channels of both towers.
const WIDTH: usize = 128;

/// Groups of their normalisations.
const GROUPS: usize = 32;

/// Channels before the head.
const NARROW: usize = 16;

/// Image pixels along a side of a pixel of the fine map.
const PATCH: usize = 4;

/// Configuration of a [`DoubleLevelDecoder`].
#[derive(Debug, Clone, Copy)]
pub struct DoubleLevelDecoderConfig {
    fine: usize,
    coarse: usize,
    doublings: usize,
}

impl DoubleLevelDecoderConfig {
    /// A fine and a coarse map of that many channels; the fine one is
    /// 2^`doublings` times as high and wide.
    pub fn new(fine: usize, coarse: usize, doublings: usize) -> Self {
        Self { fine, coarse, doublings }
    }

    /// The decoder; its convolutions are zeros.
    pub fn init(&self, device: &Device) -> DoubleLevelDecoder {
        DoubleLevelDecoder {
            fine: Tower::new(self.fine, 1, false, device),
            coarse: Tower::new(self.coarse, self.doublings, true, device),
            predict: Conv2dConfig::new(WIDTH, NARROW, 1).init(device),
            head: Conv2dConfig::new(NARROW, 1, 3).padding(1).init(device),
        }
    }
}

/// The decoder. A network names its field `decoder`.
#[derive(Module, Debug)]
pub struct DoubleLevelDecoder {
    /// One step, not enlarged.
    pub fine: Tower,
    /// One step for each doubling.
    pub coarse: Tower,
    /// Narrows their sum.
    pub predict: Conv2d,
    /// To logits.
    pub head: Conv2d,
}

impl DoubleLevelDecoder {
    /// What turns field names into reference names.
    pub const NAMES: [(&'static str, &'static str); 10] = [
        ("decoder.fine", "ConvUp_l"),
        ("decoder.coarse", "ConvUp_s"),
        ("tower.0.conv", "conv_tower.0"),
        ("tower.0.norm", "conv_tower.1"),
        ("tower.1.conv", "conv_tower.4"),
        ("tower.1.norm", "conv_tower.5"),
        ("tower.2.conv", "conv_tower.8"),
        ("tower.2.norm", "conv_tower.9"),
        ("decoder.predict", "conv_pred.0"),
        ("decoder.head", "segmentation_head.0"),
    ];

    /// The reference registers the towers twice.
    pub const ALIASES: [(&'static str, &'static str); 1] = [("convs_level", "conv_tower")];

    /// fine [B, fine, h, w] and coarse [B, coarse, h / 2^doublings, ..] to
    /// logits [B, 1, 4 h, 4 w].
    pub fn forward(&self, fine: Tensor<4>, coarse: Tensor<4>) -> Tensor<4> {
        let x = self.fine.forward(fine) + self.coarse.forward(coarse); // [B, 128, h, w]
        let x = relu(self.predict.forward(x)); // [B, 16, h, w]
        self.head.forward(upsample_bilinear(x, PATCH, Corners::Centred))
    }
}

/// Steps of a 3 x 3 convolution, group norm and ReLU, each of which may be
/// followed by a doubling of height and width.
#[derive(Module, Debug)]
pub struct Tower {
    /// From the map to the sum.
    pub tower: Vec<Step>,
    doubles: bool,
}

impl Tower {
    fn new(input: usize, steps: usize, doubles: bool, device: &Device) -> Self {
        let step = |index| Step {
            conv: Conv2dConfig::new(if index == 0 { input } else { WIDTH }, WIDTH, 3)
                .padding(1)
                .no_bias()
                .init(device),
            norm: GroupNormConfig::new(GROUPS, WIDTH).init(device),
        };
        Self { tower: (0..steps).map(step).collect(), doubles }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.tower.iter().fold(x, |x, step| {
            let x = relu(step.norm.forward(step.conv.forward(x)));
            if !self.doubles {
                return x;
            }
            trace::registered_twice(|| upsample_bilinear(x, 2, Corners::Centred))
        })
    }
}

/// One step of a [`Tower`].
#[derive(Module, Debug)]
pub struct Step {
    /// Keeps the size.
    pub conv: Conv2d,
    /// Behind it.
    pub norm: GroupNorm,
}
