//! The decoder: dynamic upsampling (eq. 8-12) and fusion with the skip.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use dygl_nn::layer::{Conv2d, Conv2dConfig, ConvTranspose2d, ConvTranspose2dConfig};
use dygl_nn::op::{Corners, dynamic_upsample, upsample_bilinear};
use dygl_nn::trace;

use super::mixer::{DilatedBlock, DilatedBlockConfig, Local};

/// Groups of channels that share their offsets.
const GROUPS: usize = 4;
/// Factor on the predicted offsets, input pixels.
const RANGE: f64 = 0.25;

/// How the decoder doubles the side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Upsample {
    /// DySample (Liu et al. 2023): learned offsets from the bilinear positions.
    #[default]
    Dysample,
    /// Bilinear (Table 6, "w BiIn").
    Bilinear,
    /// Transposed convolution that halves the channels too (Table 6, "w TConv").
    Transposed,
    /// Transposed convolution of all channels, and the 1x1 that halves them:
    /// another reading.
    TransposedWide,
}

/// Configuration of an [`Up`].
pub(super) struct UpConfig {
    pub(super) skip: usize,
    pub(super) input: usize,
    pub(super) upsample: Upsample,
    pub(super) local: Local,
}

impl UpConfig {
    pub(super) fn init(&self, device: &Device) -> Up {
        let (skip, input) = (self.skip, self.input);
        let reduce = || Conv2dConfig::new(input, input / 2, 1).init(device);
        let transposed = |output| ConvTranspose2dConfig::new(input, output, 2, 2).init(device);
        Up {
            enlarge: match self.upsample {
                Upsample::Dysample => Enlarge::Dynamic(Dynamic {
                    sampler: Sampler { offset: Conv2dConfig::new(input, 8 * GROUPS, 1).init(device) },
                    reduce: reduce(),
                }),
                Upsample::Bilinear => Enlarge::Bilinear(Bilinear { reduce: reduce() }),
                Upsample::Transposed => {
                    Enlarge::Transposed(Transposed { transposed: transposed(input / 2), reduce: None })
                }
                Upsample::TransposedWide => {
                    Enlarge::Transposed(Transposed { transposed: transposed(input), reduce: Some(reduce()) })
                }
            },
            align: Conv2dConfig::new(input / 2, skip, 1).init(device),
            refine: DilatedBlockConfig { channels: 2 * skip, dilations: self.local.decoder() }.init(device),
            smooth: Conv2dConfig::new(2 * skip, skip, 3).padding(1).init(device),
        }
    }
}

/// Enlarge, align channels, concatenate (skip first), refine, smooth.
#[derive(Module, Debug)]
pub(super) struct Up {
    enlarge: Enlarge,
    align: Conv2d,
    refine: DilatedBlock,
    smooth: Conv2d,
}

impl Up {
    /// x [B, C, h, w], skip [B, S, 2h, 2w] to [B, S, 2h, 2w].
    pub(super) fn forward(&self, x: Tensor<4>, skip: Tensor<4>) -> Tensor<4> {
        let x = match &self.enlarge {
            Enlarge::Dynamic(layer) => layer.forward(x),
            Enlarge::Bilinear(layer) => {
                let enlarged = trace::functional(|| upsample_bilinear(x, 2, Corners::Centred));
                layer.reduce.forward(enlarged)
            }
            Enlarge::Transposed(layer) => {
                let enlarged = layer.transposed.forward(x);
                match &layer.reduce {
                    Some(reduce) => reduce.forward(enlarged),
                    None => enlarged,
                }
            }
        }; // [B, C/2, 2h, 2w]
        let x = self.align.forward(x); // [B, S, 2h, 2w]
        let x = self.refine.forward(Tensor::cat(vec![skip, x], 1)); // [B, 2S, 2h, 2w]
        self.smooth.forward(x) // [B, S, 2h, 2w]
    }
}

#[derive(Module, Debug)]
enum Enlarge {
    Dynamic(Dynamic),
    Bilinear(Bilinear),
    Transposed(Transposed),
}

#[derive(Module, Debug)]
struct Dynamic {
    sampler: Sampler,
    reduce: Conv2d,
}

impl Dynamic {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let offset = self.sampler.offset.forward(x.clone()) * RANGE; // [B, 32, h, w]
        self.reduce.forward(dynamic_upsample(x, offset, GROUPS))
    }
}

#[derive(Module, Debug)]
struct Sampler {
    offset: Conv2d,
}

#[derive(Module, Debug)]
struct Bilinear {
    reduce: Conv2d,
}

#[derive(Module, Debug)]
struct Transposed {
    transposed: ConvTranspose2d,
    reduce: Option<Conv2d>,
}
