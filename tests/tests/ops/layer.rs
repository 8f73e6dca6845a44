//! Layers with a formula of their own around the operations: pixel differences,
//! channel attention, self-attention.

use burn::tensor::Tensor;
use dygl_nn::layer::{
    EfficientChannelAttentionConfig, PixelDifference, PixelDifferenceConvConfig, SelfAttentionConfig,
};

use super::difference::derives;
use super::harness::{Case, agrees};
use super::layout::{reads_views, reads_views_to_rounding};
use super::norm::parameter;

pub const DIFFERENCES: [(&str, PixelDifference); 4] = [
    ("cv", PixelDifference::Plain),
    ("cd", PixelDifference::Central),
    ("ad", PixelDifference::Angular),
    ("rd", PixelDifference::Radial),
];

/// x [B, in, H, W] to `output` channels, or each channel on its own.
pub fn pixel_difference(x: [usize; 4], output: Option<usize>, kind: PixelDifference) -> Case {
    let case = Case::new(format!("pixel difference {x:?} {output:?} {kind:?}"), move |inputs| {
        let config = match output {
            Some(output) => PixelDifferenceConvConfig::new(x[1], output, kind),
            None => PixelDifferenceConvConfig::depthwise(x[1], kind),
        };
        let mut layer = config.init(&inputs.device);
        layer.weight = parameter(inputs, "w");
        vec![inputs.output("y", layer.forward(inputs.tensor("x")))]
    });
    let weight = output.map_or([x[1], 1, 3, 3], |output| [output, x[1], 3, 3]);
    case.input("x", &x).input("w", &weight)
}

pub fn channel_gate(x: [usize; 2], kernel: usize) -> Case {
    let case = Case::new(format!("channel gate {x:?} {kernel}"), move |inputs| {
        let mut layer = EfficientChannelAttentionConfig::new(kernel).init(&inputs.device);
        layer.conv.weight = parameter(inputs, "w");
        vec![inputs.output("y", layer.gate(inputs.tensor("x")))]
    });
    case.input("x", &x).input("w", &[1, 1, kernel])
}

/// Heads of `x[2] / heads` features; a bias for all images, if there is one.
pub fn self_attention(x: [usize; 3], heads: usize, bias: bool) -> Case {
    let [_, tokens, features] = x;
    let case = Case::new(format!("self-attention {x:?} {heads} {bias}"), move |inputs| {
        let mut layer = SelfAttentionConfig::new(features, heads).init(&inputs.device);
        layer.qkv.weight = parameter(inputs, "qkv");
        layer.qkv.bias = Some(parameter(inputs, "qkv_bias"));
        layer.proj.weight = parameter(inputs, "proj");
        layer.proj.bias = Some(parameter(inputs, "proj_bias"));
        let bias: Option<Tensor<4>> = inputs.has("bias").then(|| inputs.tensor("bias"));
        vec![inputs.output("y", layer.forward(inputs.tensor("x"), bias))]
    });
    let case = case.input("x", &x).spread("qkv", &[3 * features, features], 0.5, 0.0);
    let case = case.input("qkv_bias", &[3 * features]).spread("proj", &[features, features], 0.5, 0.0);
    let case = case.input("proj_bias", &[features]);
    if bias { case.input("bias", &[1, heads, tokens, tokens]) } else { case }
}

#[test]
fn each_is_exact_derives_and_reads_views() {
    for (_, kind) in DIFFERENCES {
        for output in [Some(3), None] {
            for x in [[2, 2, 6, 5], [1, 4, 2, 3]] {
                let case = pixel_difference(x, output, kind);
                agrees(&case);
                derives(&case);
                reads_views_to_rounding(&case);
            }
        }
        agrees(&pixel_difference([2, 15, 33, 40], Some(17), kind));
    }
    for case in [channel_gate([2, 9], 3), channel_gate([1, 3], 5)] {
        agrees(&case);
        derives(&case);
        reads_views_to_rounding(&case);
    }
    for case in [self_attention([2, 5, 8], 2, false), self_attention([1, 4, 6], 3, true)] {
        agrees(&case);
        derives(&case);
        reads_views_to_rounding(&case);
    }
    agrees(&self_attention([2, 49, 96], 3, true));
    // The plain one is nothing but its convolution.
    reads_views(&pixel_difference([2, 3, 5, 6], Some(4), PixelDifference::Plain));
}
