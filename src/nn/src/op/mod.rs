//! Operations without parameters of their own.

use burn::tensor::activation;
use burn::tensor::module::{conv2d, interpolate};
use burn::tensor::ops::{
    ConvOptions, GridSampleOptions, GridSamplePaddingMode, InterpolateMode, InterpolateOptions,
};
use burn::tensor::{Device, Tensor, TensorData};

/// x Phi(x) with the exact normal distribution function, any shape.
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    activation::gelu(x)
}

/// Batch norm with given statistics.
pub fn batch_norm(
    x: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    mean: Tensor<1>,
    var: Tensor<1>,
    epsilon: f64,
) -> Tensor<4> {
    burn::tensor::module::batch_norm(x, weight, bias, mean, var, epsilon)
}

/// Batch norm with the batch's own statistics; (y, mean, biased variance),
/// the latter two off the gradient tape.
pub fn batch_norm_train(
    x: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f64,
) -> (Tensor<4>, Tensor<1>, Tensor<1>) {
    let result = burn::tensor::module::batch_norm_train(x, weight, bias, epsilon);
    (result.output, result.mean.without_autodiff(), result.variance.without_autodiff())
}

/// 1x1 convolution: x [B, in, H, W], weight [out, in, 1, 1], bias [out].
pub fn pointwise(x: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>) -> Tensor<4> {
    let [batch, input, height, width] = x.dims();
    let [output, ..] = weight.dims();
    let weight = weight.reshape([1, output, input]).expand([batch, output, input]);
    let y = weight.matmul(x.reshape([batch, input, height * width]));
    let y = y.reshape([batch, output, height, width]);
    match bias {
        Some(bias) => y + bias.reshape([1, output, 1, 1]),
        None => y,
    }
}

/// One filter per channel: x [B, C, H, W], weight [C, 1, k, k].
pub fn depthwise(
    x: Tensor<4>,
    weight: Tensor<4>,
    stride: usize,
    padding: usize,
    dilation: usize,
) -> Tensor<4> {
    let [_, channels, _, _] = x.dims();
    conv2d(x, weight, None, ConvOptions::new([stride; 2], [padding; 2], [dilation; 2], channels))
}

/// Bilinear x2, pixel centres (`align_corners=False`).
pub fn upsample_bilinear(x: Tensor<4>) -> Tensor<4> {
    let [_, _, height, width] = x.dims();
    let options = InterpolateOptions::new(InterpolateMode::Bilinear)
        .with_align_corners(false)
        .with_output_size([2 * height, 2 * width]);
    interpolate(x, options)
}

/// Dynamic upsampling.
pub fn dynamic_upsample(x: Tensor<4>, offset: Tensor<4>, groups: usize) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    let device = x.device();
    // [B, c, m, a, b, H, W] -> [B, m, H, a, W, b, c]
    let offset = offset.reshape([batch, 2, groups, 2, 2, height, width]);
    let offset = offset.permute([0, 2, 5, 3, 6, 4, 1]).reshape([batch * groups, 2 * height, 2 * width, 2]);
    let grid = (offset + base(height, width, &device)) * scale(height, width, &device) - 1.0;
    let options = GridSampleOptions::new(InterpolateMode::Bilinear)
        .with_padding_mode(GridSamplePaddingMode::Border)
        .with_align_corners(false);
    x.reshape([batch * groups, channels / groups, height, width]).grid_sample_2d(grid, options).reshape([
        batch,
        channels,
        2 * height,
        2 * width,
    ])
}

fn base(height: usize, width: usize, device: &Device) -> Tensor<4> {
    let values: Vec<f32> = (0..2 * height)
        .flat_map(|row| {
            (0..2 * width).flat_map(move |column| [column as f32 * 0.5 + 0.25, row as f32 * 0.5 + 0.25])
        })
        .collect();
    Tensor::from_data(TensorData::new(values, [1, 2 * height, 2 * width, 2]), device)
}

fn scale(height: usize, width: usize, device: &Device) -> Tensor<4> {
    Tensor::from_data(TensorData::new(vec![2.0 / width as f32, 2.0 / height as f32], [1, 1, 1, 2]), device)
}

/// Sum of the squares, on the host, in f64 where the backend allows.
pub fn sum_of_squares(x: Tensor<1>) -> f64 {
    f64::from((x.clone() * x).sum().into_scalar::<f32>())
}

/// Constants of one AdamW step.
#[derive(Debug, Clone, Copy)]
pub struct AdamWStep {
    /// Factor on the gradient.
    pub clip: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
    /// Factor on the parameter, 1 - rate x decay.
    pub decay: f64,
    /// rate / (1 - beta1^t).
    pub size: f64,
    /// sqrt(1 - beta2^t).
    pub correction: f64,
}

/// One AdamW step on flat tensors: (parameter, gradient, m, v) to the new (parameter, m, v).
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
    let update = m.clone() * step.size / (v.clone().sqrt() / step.correction + step.epsilon);
    (parameter * step.decay - update, m, v)
}
