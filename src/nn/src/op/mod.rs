//! Operations without parameters of their own.
//!
//! Each file holds one operation that burn lacks or does badly: a backend
//! extension with a kernel for flex, its gradient, and (where burn has a
//! correct one) a default that serves every other backend.

mod batch_norm;
mod depthwise;
mod gelu;
#[cfg(feature = "flex")]
mod host;
mod sample;
mod update;

use burn::backend::{Dispatch, DispatchDevice};
use burn::tensor::module::interpolate;
use burn::tensor::ops::{GridSampleOptions, GridSamplePaddingMode, InterpolateMode, InterpolateOptions};
use burn::tensor::{Device, Tensor, TensorData};

pub use batch_norm::BatchNormOps;
pub use depthwise::{DepthwiseOps, Window};
pub use gelu::GeluOps;
pub use sample::{SampleBackward, SampleOps};
pub use update::{AdamWStep, UpdateOps};

/// x Phi(x) with the exact normal distribution function, any shape.
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as GeluOps>::gelu_exact(x.into_dispatch()))
}

/// Batch norm with given statistics: x [B, C, H, W], the others [C].
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

/// Batch norm with the batch's own statistics: x [B, C, H, W], the others [C].
/// Gives (y, mean, biased variance), the latter two off the gradient tape.
pub fn batch_norm_train(
    x: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f64,
) -> (Tensor<4>, Tensor<1>, Tensor<1>) {
    let (y, mean, var) = <Dispatch as BatchNormOps>::normalise(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
        epsilon,
    );
    let statistic = |tensor| Tensor::from_dispatch(tensor).without_autodiff();
    (Tensor::from_dispatch(y), statistic(mean), statistic(var))
}

/// 1x1 convolution as a matrix product: x [B, in, H, W], weight
/// [out, in, 1, 1], bias [out] to [B, out, H, W].
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

/// One filter per channel: x [B, C, H, W], weight [C, 1, k, k] to [B, C, H', W'].
pub fn depthwise(x: Tensor<4>, weight: Tensor<4>, window: Window) -> Tensor<4> {
    let y = <Dispatch as DepthwiseOps>::depthwise(x.into_dispatch(), weight.into_dispatch(), window);
    Tensor::from_dispatch(y)
}

/// Bilinear x2 with pixel centres (`align_corners=False`): [B, C, H, W] to
/// [B, C, 2H, 2W].
pub fn upsample_bilinear(x: Tensor<4>) -> Tensor<4> {
    let [_, _, height, width] = x.dims();
    let options = InterpolateOptions::new(InterpolateMode::Bilinear)
        .with_align_corners(false)
        .with_output_size([2 * height, 2 * width]);
    interpolate(x, options)
}

/// Bilinear samples of x [B, C, H, W] at the positions of a bilinear x2 plus
/// an offset in input pixels, clamped to the border: [B, C, 2H, 2W].
///
/// offset is [B, 8 groups, H, W]; its channels are, from the slowest index:
/// axis (0 column, 1 row), group of C / groups channels, sub-row, sub-column.
pub fn dynamic_upsample(x: Tensor<4>, offset: Tensor<4>, groups: usize) -> Tensor<4> {
    if is_flex(&x.device()) {
        let y = <Dispatch as SampleOps>::sample(x.into_dispatch(), offset.into_dispatch(), groups);
        return Tensor::from_dispatch(y);
    }
    dynamic_upsample_grid(x, offset, groups)
}

/// [`dynamic_upsample`] through burn's grid sampling, for every backend.
fn dynamic_upsample_grid(x: Tensor<4>, offset: Tensor<4>, groups: usize) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    let device = x.device();
    // [B, axis, group, a, b, H, W] to [B, group, H, a, W, b, axis]
    let offset = offset.reshape([batch, 2, groups, 2, 2, height, width]);
    let offset = offset.permute([0, 2, 5, 3, 6, 4, 1]).reshape([batch * groups, 2 * height, 2 * width, 2]);
    let grid = (offset + centres(height, width, &device)) * sides(height, width, &device) - 1.0;
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

/// Centres of the fine pixels in units of coarse ones, [1, 2H, 2W, 2].
fn centres(height: usize, width: usize, device: &Device) -> Tensor<4> {
    let centre = |index: usize| index as f32 * 0.5 + 0.25;
    let values: Vec<f32> = (0..2 * height)
        .flat_map(|row| (0..2 * width).flat_map(move |column| [centre(column), centre(row)]))
        .collect();
    Tensor::from_data(TensorData::new(values, [1, 2 * height, 2 * width, 2]), device)
}

/// Grid units per coarse pixel, [1, 1, 1, 2].
fn sides(height: usize, width: usize, device: &Device) -> Tensor<4> {
    let values = vec![2.0 / width as f32, 2.0 / height as f32];
    Tensor::from_data(TensorData::new(values, [1, 1, 1, 2]), device)
}

fn is_flex(device: &Device) -> bool {
    #[cfg(feature = "flex")]
    {
        matches!(device.clone().without_autodiff().as_dispatch(), DispatchDevice::Flex(_))
    }
    #[cfg(not(feature = "flex"))]
    {
        false
    }
}

/// Sum of the squares of a flat tensor, on the host.
pub fn sum_of_squares(x: Tensor<1>) -> f64 {
    let sum = <Dispatch as UpdateOps>::sum_of_squares(x.into_dispatch());
    f64::from(Tensor::<1>::from_dispatch(sum).into_scalar::<f32>())
}

/// One AdamW step on flat tensors: (parameter, gradient, m, v) to the new
/// (parameter, m, v).
pub fn adamw(
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    m: Tensor<1>,
    v: Tensor<1>,
    step: AdamWStep,
) -> (Tensor<1>, Tensor<1>, Tensor<1>) {
    let (parameter, m, v) = <Dispatch as UpdateOps>::adamw(
        parameter.into_dispatch(),
        gradient.into_dispatch(),
        m.into_dispatch(),
        v.into_dispatch(),
        step,
    );
    (Tensor::from_dispatch(parameter), Tensor::from_dispatch(m), Tensor::from_dispatch(v))
}
