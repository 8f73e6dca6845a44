//! Operations composed of burn's primitives, where burn has none of the name.

use burn::tensor::activation::{relu, sigmoid, softmax};
use burn::tensor::ops::{GridSampleOptions, GridSamplePaddingMode, InterpolateMode};
use burn::tensor::{Device, Tensor};
use dygl_nn::op::AdamWStep;

use super::pass::of_values;

/// As `dygl_nn::op::attention`: [B, h, N, d] over [B, h, M, d].
pub fn attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, scale: f64, bias: Option<Tensor<4>>) -> Tensor<4> {
    let scores = (q * scale).matmul(k.swap_dims(2, 3)); // [B, h, N, M]
    let scores = match bias {
        Some(bias) => scores + bias,
        None => scores,
    };
    softmax(scores, 3).matmul(v)
}

/// As `dygl_nn::op::dynamic_upsample`, by sampling on a grid over -1..1.
pub fn dynamic_upsample(x: Tensor<4>, offset: Tensor<4>, groups: usize) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    let device = x.device();
    // [B, axis, group, a, b, H, W] to [B, group, H, a, W, b, axis]
    let moved = offset.reshape([batch, 2, groups, 2, 2, height, width]).permute([0, 2, 5, 3, 6, 4, 1]);
    let moved = moved.reshape([batch * groups, 2 * height, 2 * width, 2]);
    let sides = of_values(vec![2.0 / width as f32, 2.0 / height as f32], [1, 1, 1, 2], &device);
    let grid = (moved + centres(height, width, &device)) * sides - 1.0;
    let options = GridSampleOptions::new(InterpolateMode::Bilinear)
        .with_padding_mode(GridSamplePaddingMode::Border)
        .with_align_corners(false);
    let maps = x.reshape([batch * groups, channels / groups, height, width]);
    maps.grid_sample_2d(grid, options).reshape([batch, channels, 2 * height, 2 * width])
}

/// Columns and rows of the centres of the fine pixels in units of coarse ones,
/// [1, 2H, 2W, 2].
fn centres(height: usize, width: usize, device: &Device) -> Tensor<4> {
    let mut values = Vec::with_capacity(8 * height * width);
    for row in 0..2 * height {
        for column in 0..2 * width {
            values.extend([column, row].map(|index| 0.5 * index as f32 + 0.25));
        }
    }
    of_values(values, [1, 2 * height, 2 * width, 2], device)
}

/// As `dygl_nn::op::adamw`.
pub fn adamw(
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    m: Tensor<1>,
    v: Tensor<1>,
    step: AdamWStep,
) -> (Tensor<1>, Tensor<1>, Tensor<1>) {
    let gradient = gradient * step.clip;
    let m = m * step.beta1 + gradient.clone() * (1.0 - step.beta1);
    let v = v * step.beta2 + gradient.powi_scalar(2) * (1.0 - step.beta2);
    let update = m.clone() * step.size() / (v.clone().sqrt() / step.correction() + step.epsilon);
    (parameter * step.decay() - update, m, v)
}

/// As `dygl_train::learn::loss::loss` with equal parts and one Dice over the batch.
pub fn loss(logits: Tensor<4>, target: Tensor<4>) -> Tensor<1> {
    let tail = logits.clone().abs().neg().exp().log1p();
    let entropy = (relu(logits.clone()) - logits.clone() * target.clone() + tail).mean();
    let p = sigmoid(logits);
    let overlap = (p.clone() * target.clone()).sum() * 2.0 + 1.0;
    let dice = overlap / (p.sum() + target.sum() + 1.0);
    (entropy + dice.neg() + 1.0) * 0.5
}
