//! Mixed precision: operands, results and gradients are rounded to bfloat16,
//! and what is summed is not.
//!
//! Inputs and slopes are multiples of 2^-8 below 2, of which bfloat16 holds the
//! smaller ones only. All products and sums of the rounded ones fit into f32, so
//! that order and fused products are no excuse: on flex the bits are known.

use burn::module::{Param, ParamId};
use burn::tensor::{DType, Device, Tensor, TensorData};
use dygl_nn::layer::{Conv2dConfig, ConvTranspose2dConfig, LinearConfig};
use dygl_nn::op;
use dygl_tests::arrays::Array;

use super::harness::{devices, numbers};

/// To eight significant bits, halves to the even neighbour.
fn narrow(value: f64) -> f64 {
    let bits = (value as f32).to_bits();
    let half = 0x7fff + (bits >> 16 & 1);
    f64::from(f32::from_bits(bits.wrapping_add(half) & 0xffff_0000))
}

fn grid(name: &str, shape: &[usize]) -> Array {
    let mut array = numbers(name, shape, 2.0, 0.0);
    array.values.iter_mut().for_each(|value| *value = (*value * 256.0).round() / 256.0);
    array
}

fn narrowed(array: &Array) -> Array {
    let values = array.values.iter().map(|value| narrow(f64::from(*value)) as f32);
    Array { shape: array.shape.clone(), values: values.collect() }
}

fn tensor<const D: usize>(array: &Array, device: &Device, kind: DType) -> Tensor<D> {
    let data = TensorData::new(array.values.clone(), array.shape.clone());
    Tensor::from_inner(Tensor::from_data(data, (device, kind)))
}

fn values<const D: usize>(x: Tensor<D>) -> Vec<f64> {
    x.into_data_dtype(DType::F64).try_to_vec().expect("f64")
}

type Layer<const D: usize> = fn(Tensor<D>, Tensor<D>) -> Tensor<D>;

/// Result and both gradients.
fn run<const D: usize>(
    layer: Layer<D>,
    [x, w, slope]: [&Array; 3],
    device: &Device,
    kind: DType,
) -> [Vec<f64>; 3] {
    let x = tensor::<D>(x, device, kind).require_grad();
    let w = tensor::<D>(w, device, kind).require_grad();
    let y = layer(x.clone(), w.clone());
    assert_eq!(y.dtype(), kind, "what leaves a layer is as wide as what came");
    let grads = (y.clone() * tensor::<D>(slope, device, kind)).sum().backward();
    [values(y.inner()), values(x.grad(&grads).expect("x")), values(w.grad(&grads).expect("w"))]
}

#[track_caller]
fn rounds<const D: usize>(what: &str, layer: Layer<D>, x: [usize; D], w: [usize; D], y: [usize; D]) {
    let [x, w, slope] =
        [("x", x), ("w", w), ("y", y)].map(|(name, shape)| grid(&format!("{what}/{name}"), &shape));
    let narrower = [&x, &w, &slope].map(narrowed);
    assert!(narrower[0] != x && narrower[1] != w && narrower[2] != slope, "{what}: nothing to round");
    let [a, b, c] = &narrower;
    let exact = run(layer, [a, b, c], &Device::flex(), DType::F64);
    for (name, device) in devices() {
        let _scope = op::autocast(true);
        let found = run(layer, [&x, &w, &slope], device, DType::F32);
        for ((found, exact), part) in found.iter().zip(&exact).zip(["y", "d x", "d w"]) {
            assert_eq!(found.len(), exact.len());
            for (index, (found, exact)) in found.iter().zip(exact).enumerate() {
                let wanted = narrow(*exact);
                // libtorch may sum in parts that are rounded: to a neighbour.
                let is_good = *found == wanted
                    || (name != "flex"
                        && (found - wanted).abs() <= wanted.abs() / 128.0
                        && *found == narrow(*found));
                assert!(
                    is_good,
                    "{what} on {name}, {part}[{index}]: {found} instead of {wanted}, {exact} rounded"
                );
            }
        }
    }
}

fn parameter<const D: usize>(tensor: Tensor<D>) -> Param<Tensor<D>> {
    Param::initialized(ParamId::new(), tensor)
}

/// A layer's own product, without a bias (which is added in f32).
fn convolve(config: Conv2dConfig, x: Tensor<4>, w: Tensor<4>) -> Tensor<4> {
    let mut layer = config.no_bias().init(&x.device());
    layer.weight = parameter(w);
    layer.forward(x)
}

#[test]
fn operands_results_and_gradients_are_rounded_and_sums_are_not() {
    rounds(
        "dense",
        |x, w| convolve(Conv2dConfig::new(3, 5, 3).padding(1), x, w),
        [2, 3, 5, 4],
        [5, 3, 3, 3],
        [2, 5, 5, 4],
    );
    rounds(
        "pointwise",
        |x, w| convolve(Conv2dConfig::new(9, 4, 1), x, w),
        [2, 9, 3, 4],
        [4, 9, 1, 1],
        [2, 4, 3, 4],
    );
    rounds(
        "depthwise",
        |x, w| convolve(Conv2dConfig::new(3, 3, 3).padding(2).dilation(2).groups(3), x, w),
        [2, 3, 5, 4],
        [3, 1, 3, 3],
        [2, 3, 5, 4],
    );
    rounds(
        "transposed",
        |x, w| {
            let mut layer = ConvTranspose2dConfig::new(4, 3, 2, 2).init(&x.device());
            // The bias is 0 and leaves the bits.
            layer.bias = parameter(layer.bias.val().cast(w.dtype()));
            layer.weight = parameter(w);
            layer.forward(x)
        },
        [2, 4, 3, 2],
        [4, 3, 2, 2],
        [2, 3, 6, 4],
    );
    rounds(
        "linear",
        |x, w| {
            let [output, input] = w.dims();
            let mut layer = LinearConfig::new(input, output).no_bias().init(&x.device());
            layer.weight = parameter(w);
            layer.forward(x)
        },
        [7, 9],
        [5, 9],
        [7, 5],
    );
}

#[test]
fn a_bias_stays_f32() {
    for (name, device) in devices() {
        let device = device.clone().autodiff();
        // The product is 1; the bias has bits that bfloat16 has not.
        let bias = 1.0 + 1.0 / 1024.0;
        let mut layer = Conv2dConfig::new(1, 1, 1).init(&device);
        layer.weight = parameter(Tensor::ones([1, 1, 1, 1], &device));
        layer.bias = Some(parameter(Tensor::from_floats([bias], &device)));
        let mut linear = LinearConfig::new(1, 1).init(&device);
        linear.weight = parameter(Tensor::ones([1, 1], &device));
        linear.bias = Some(parameter(Tensor::from_floats([bias], &device)));
        let _scope = op::autocast(true);
        let one = Tensor::<4>::ones([1, 1, 1, 1], &device);
        assert_eq!(values(layer.forward(one.clone()).inner()), [1.0 + bias], "{name}");
        assert_eq!(values(linear.forward(one).inner()), [1.0 + bias], "{name}");
    }
}
