//! An operation made ready to run: ours as the layers call it, and the oracle,
//! which is burn's primitives.

use std::cell::Cell;

use burn::module::Param;
use burn::tensor::activation::softmax;
use burn::tensor::module;
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions, InterpolateMode, InterpolateOptions};
use burn::tensor::{Device, Tensor, TensorData};
use dygl_base::random::Stream;
use dygl_nn::layer::{Conv2dConfig, ConvTranspose2dConfig, LayerNormConfig};
use dygl_nn::op::{self, AdamWStep, Corners};
use dygl_train::learn::loss::{self, REFERENCE};

use super::list::Operation;

/// Added to variances, everywhere.
const EPSILON: f64 = 1e-5;

/// Whose kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kernel {
    Ours,
    Oracle,
}

/// Runs the operation once and gives its output, flat, where it has gradients.
pub type Pass = Box<dyn FnMut() -> Option<Tensor<1>>>;

/// The tensor of a number, the same in every run: uniform in -1..1.
pub fn draw<const D: usize>(number: u64, shape: [usize; D], device: &Device) -> Tensor<D> {
    let mut values = vec![0.0; shape.iter().product()];
    Stream::new(1, "bench", &[&number.to_string()]).fill(-1.0, 1.0, &mut values);
    of_values(values, shape, device)
}

/// Inputs with gradients.
pub struct Leaves {
    device: Device,
    drawn: Cell<u64>,
}

impl Leaves {
    /// On a device, with or without autodiff.
    pub fn on(device: &Device) -> Self {
        Self { device: device.clone().autodiff(), drawn: Cell::new(0) }
    }

    /// Uniform in -1..1; without a gradient unless `tracked`.
    pub fn random<const D: usize>(&self, shape: [usize; D], tracked: bool) -> Tensor<D> {
        let number = self.drawn.get();
        self.drawn.set(number + 1);
        let x = draw(number, shape, &self.device);
        if tracked { x.require_grad() } else { x }
    }

    pub fn leaf<const D: usize>(&self, shape: [usize; D]) -> Tensor<D> {
        self.random(shape, true)
    }
}

/// The output of a pass as [`Pass`] wants it.
pub fn flat<const D: usize>(y: Tensor<D>) -> Option<Tensor<1>> {
    let count = y.shape().num_elements();
    Some(y.reshape([count]))
}

fn rows(shape: &[usize]) -> [usize; 2] {
    let last = shape.last().copied().unwrap_or(1);
    [shape.iter().product::<usize>() / last.max(1), last]
}

/// The operation on a device; `tracked`: its input wants a gradient, too.
pub fn prepare(what: &Operation, kernel: Kernel, device: &Device, tracked: bool) -> Pass {
    let leaves = Leaves::on(device);
    let is_ours = kernel == Kernel::Ours;
    match *what {
        Operation::Convolution { .. } => convolution(what, kernel, &leaves, tracked),
        Operation::BatchNorm { input } => {
            let (x, weight, bias) = (leaves.leaf(input), leaves.leaf([input[1]]), leaves.leaf([input[1]]));
            Box::new(move || {
                let (x, weight, bias) = (x.clone(), weight.clone(), bias.clone());
                flat(match is_ours {
                    true => op::batch_norm_train(x, weight, bias, EPSILON).0,
                    false => module::batch_norm_train(x, weight, bias, EPSILON).output,
                })
            })
        }
        Operation::Gelu { ref input } => {
            let x = leaves.leaf([input.iter().product()]);
            Box::new(move || {
                flat(if is_ours { op::gelu(x.clone()) } else { burn::tensor::activation::gelu(x.clone()) })
            })
        }
        Operation::Sample { input, groups } => {
            let [batch, _, height, width] = input;
            let (x, offset) = (leaves.leaf(input), leaves.leaf([batch, 8 * groups, height, width]));
            Box::new(move || {
                let (x, offset) = (x.clone(), offset.clone());
                flat(match is_ours {
                    true => op::dynamic_upsample(x, offset, groups),
                    false => super::oracle::dynamic_upsample(x, offset, groups),
                })
            })
        }
        Operation::Resize { input, output, aligned } => {
            let x = leaves.leaf(input);
            let corners = if aligned { Corners::Aligned } else { Corners::Centred };
            let options = InterpolateOptions::new(InterpolateMode::Bilinear)
                .with_align_corners(aligned)
                .with_output_size([output; 2]);
            Box::new(move || {
                flat(match is_ours {
                    true => op::resize_bilinear(x.clone(), [output; 2], corners),
                    false => module::interpolate(x.clone(), options.clone()),
                })
            })
        }
        Operation::Attention { input, keys, bias } => {
            let [batch, heads, queries, features] = input;
            let [k, v] = [(); 2].map(|()| leaves.leaf([batch, heads, keys, features]));
            let q = leaves.leaf(input);
            let bias = bias.then(|| leaves.leaf([1, heads, queries, keys]));
            let scale = (features as f64).powf(-0.5);
            let attend = if is_ours { op::attention } else { super::oracle::attention };
            Box::new(move || flat(attend(q.clone(), k.clone(), v.clone(), scale, bias.clone())))
        }
        Operation::LayerNorm { ref input } => {
            let [count, features] = rows(input);
            let x = leaves.leaf([count, features]);
            let (weight, bias) = (leaves.leaf([features]), leaves.leaf([features]));
            let mut layer = LayerNormConfig::new(features).init(device);
            (layer.weight, layer.bias) =
                (Param::from_tensor(weight.clone()), Param::from_tensor(bias.clone()));
            Box::new(move || {
                flat(match is_ours {
                    true => layer.forward(x.clone()),
                    false => module::layer_norm(x.clone(), weight.clone(), Some(bias.clone()), EPSILON),
                })
            })
        }
        // The layers call burn's.
        Operation::Softmax { ref input } => {
            let x = leaves.leaf(rows(input));
            Box::new(move || flat(softmax(x.clone(), 1)))
        }
        Operation::Adamw { input } => adamw(input, is_ours, device),
        Operation::Loss { input } => {
            let (logits, target) = (leaves.leaf(input), leaves.random(input, false).abs());
            Box::new(move || {
                let (logits, target) = (logits.clone(), target.clone());
                Some(match is_ours {
                    true => loss::loss(logits, target, &REFERENCE).total,
                    false => super::oracle::loss(logits, target),
                })
            })
        }
    }
}

fn convolution(what: &Operation, kernel: Kernel, leaves: &Leaves, tracked: bool) -> Pass {
    let &Operation::Convolution {
        input,
        output,
        kernel: side,
        stride,
        padding,
        dilation,
        groups,
        bias,
        transposed,
    } = what
    else {
        return Box::new(|| None);
    };
    let channels = input[1];
    let [first, second] = if transposed { [channels, output] } else { [output, channels] };
    let x = leaves.random(input, tracked);
    let weight = leaves.leaf([first, second / groups, side, side]);
    let bias = bias.then(|| leaves.leaf([output]));
    let device = x.device();
    match (kernel, transposed) {
        (Kernel::Ours, true) => {
            let config = ConvTranspose2dConfig::new(channels, output, side, stride).padding(padding);
            let mut layer = config.init(&device);
            layer.weight = Param::from_tensor(weight);
            // The layer has one always.
            layer.bias = Param::from_tensor(bias.unwrap_or_else(|| leaves.leaf([output])));
            Box::new(move || flat(layer.forward(x.clone())))
        }
        (Kernel::Ours, false) => {
            let config = Conv2dConfig::new(channels, output, side);
            let config = config.stride(stride).padding(padding).dilation(dilation).groups(groups);
            let mut layer = config.no_bias().init(&device);
            layer.weight = Param::from_tensor(weight);
            layer.bias = bias.map(Param::from_tensor);
            Box::new(move || flat(layer.forward(x.clone())))
        }
        (Kernel::Oracle, true) => {
            let options = ConvTransposeOptions::new([stride; 2], [padding; 2], [0; 2], [dilation; 2], groups);
            Box::new(move || {
                flat(module::conv_transpose2d(x.clone(), weight.clone(), bias.clone(), options.clone()))
            })
        }
        (Kernel::Oracle, false) => {
            let options = ConvOptions::new([stride; 2], [padding; 2], [dilation; 2], groups);
            Box::new(move || flat(module::conv2d(x.clone(), weight.clone(), bias.clone(), options.clone())))
        }
    }
}

/// Constants of the hundredth step at rate 1e-4.
const STEP: AdamWStep = AdamWStep {
    clip: 0.5,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    rate: 1e-4,
    weight_decay: 1e-4,
    time: 100.0,
};

fn adamw(shape: [usize; 1], is_ours: bool, device: &Device) -> Pass {
    let [gradient, parameter, m, v] = [0, 1, 2, 3].map(|number| draw(number, shape, device));
    // The optimizer owns what it steps, and may write over it.
    let mut state = Some((parameter, m, v.abs()));
    let step = if is_ours { op::adamw } else { super::oracle::adamw };
    Box::new(move || {
        let (parameter, m, v) = state.take()?;
        state = Some(step(parameter, gradient.clone(), m, v, STEP));
        None
    })
}

/// A tensor of values on a device.
pub fn of_values<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}
