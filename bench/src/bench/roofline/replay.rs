//! Things that a step does, done alone; and what they must compute and move.

use burn::module::Param;
use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::module::{avg_pool2d, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, MaxPoolOptions};
use burn::tensor::{Device, Tensor};
use dygl_nn::layer::LinearConfig;

use crate::operations::Kernel;
use crate::operations::list::Operation;
use crate::operations::pass::{Leaves, Pass, flat, prepare};

/// Something that can be done again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Replay {
    Operation(Operation),
    /// Rows of features times a weight matrix.
    Linear {
        rows: usize,
        input: usize,
        output: usize,
    },
    /// Two activations, matrices in the last two axes.
    Product {
        left: [usize; 4],
        right: [usize; 4],
    },
    /// Window, stride, padding.
    Pool {
        input: [usize; 4],
        form: [usize; 3],
        is_max: bool,
    },
    Mean {
        input: [usize; 4],
        axis: usize,
    },
    Unary {
        act: Act,
        count: usize,
    },
    Binary {
        act: Act,
        left: [usize; 4],
        right: [usize; 4],
        tracked: [bool; 2],
    },
    /// Concatenation.
    Join {
        parts: Vec<[usize; 4]>,
        axis: usize,
    },
    /// Values put into another order.
    Copy {
        count: usize,
    },
}

/// What is done to each value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Act {
    Relu,
    Sigmoid,
    Tanh,
    Exp,
    Sqrt,
    Scale,
    Shift,
    Add,
    Multiply,
    Divide,
}

/// Multiply-accumulates and values that must be read or written, of one pass.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Load {
    pub operations: f64,
    pub values: f64,
}

fn values(shape: &[usize]) -> f64 {
    shape.iter().map(|side| *side as f64).product()
}

fn larger(left: [usize; 4], right: [usize; 4]) -> [usize; 4] {
    std::array::from_fn(|axis| left[axis].max(right[axis]))
}

impl Replay {
    /// As the cost ledger calls its kind, convolutions by their windows; else
    /// in words.
    pub fn kind(&self) -> &'static str {
        match self {
            Replay::Operation(operation) => match operation {
                Operation::Convolution { transposed: true, .. } => "transposed convolution",
                Operation::Convolution { groups, input, .. } if *groups == input[1] && *groups > 1 => {
                    "convolution, depthwise"
                }
                Operation::Convolution { kernel: 1, .. } => "convolution, 1 x 1",
                Operation::Convolution { .. } => "convolution, larger windows",
                Operation::BatchNorm { .. } => "batch norm",
                Operation::Gelu { .. } => "GELU",
                Operation::Sample { .. } => "sampling",
                Operation::Resize { .. } => "bilinear resize",
                Operation::Attention { .. } => "attention",
                Operation::LayerNorm { .. } => "layer norm",
                Operation::Softmax { .. } => "softmax",
                Operation::Adamw { .. } => "optimizer",
                Operation::Loss { .. } => "loss",
            },
            Replay::Linear { .. } => "linear",
            Replay::Product { .. } => "product of activations",
            Replay::Pool { is_max: true, .. } => "max pool",
            Replay::Pool { is_max: false, .. } => "average pool",
            Replay::Mean { .. } => "mean",
            Replay::Unary { .. } | Replay::Binary { .. } => "by element",
            Replay::Join { .. } => "concatenation",
            Replay::Copy { .. } => "reordering",
        }
    }

    /// Forward and backward: operations as the ledger counts them, for
    /// gradients once for each; every input, output, weight and gradient is
    /// read or written once.
    pub fn load(&self, tracked: bool) -> [Load; 2] {
        let input_gradient = f64::from(u8::from(tracked));
        match self {
            Replay::Operation(operation) => operation_load(operation, input_gradient),
            Replay::Linear { rows, input, output } => {
                let sum = (rows * input * output) as f64;
                product(
                    sum,
                    [rows * input, input * output, rows * output],
                    1.0 + input_gradient,
                    input_gradient,
                )
            }
            Replay::Product { left, right } => {
                let out = [left[0].max(right[0]), left[1].max(right[1]), left[2], right[3]];
                let sum = values(&out) * left[3] as f64;
                product(sum, [left, right, &out].map(|shape| values(shape) as usize), 2.0, 1.0)
            }
            Replay::Pool { input, form: [kernel, stride, padding], is_max } => {
                let side = |pixels: usize| ((pixels + 2 * padding).saturating_sub(*kernel)) / stride + 1;
                let (inputs, outputs) =
                    (values(input), values(&[input[0], input[1], side(input[2]), side(input[3])]));
                let each = if *is_max { 0.0 } else { outputs * (kernel * kernel) as f64 };
                [Load { operations: each, values: inputs + outputs }; 2]
            }
            Replay::Mean { input, axis } => {
                let (inputs, outputs) = (values(input), values(input) / input[*axis] as f64);
                [
                    Load { operations: inputs, values: inputs + outputs },
                    Load { operations: 0.0, values: inputs + outputs },
                ]
            }
            Replay::Unary { act, count } => {
                let count = *count as f64;
                let back = match act {
                    Act::Shift => 0.0,
                    Act::Scale => 2.0,
                    _ => 3.0,
                };
                [
                    Load { operations: 0.0, values: 2.0 * count },
                    Load { operations: 0.0, values: back * count * input_gradient },
                ]
            }
            Replay::Binary { act, left, right, tracked } => {
                let out = values(&larger(*left, *right));
                let sides = [values(left), values(right)];
                let mut back = 0.0;
                for place in 0..2 {
                    // A sum hands its gradient on; where a side was repeated, it is added up.
                    let is_handed_on = *act == Act::Add && sides[place] == out;
                    if tracked[place] && !is_handed_on {
                        back += out + sides[place];
                        back += if *act == Act::Add { 0.0 } else { sides[1 - place] };
                    }
                }
                let forward = sides[0] + sides[1] + out;
                [Load { operations: 0.0, values: forward }, Load { operations: 0.0, values: back }]
            }
            Replay::Join { parts, .. } => {
                let all: f64 = parts.iter().map(|part| values(part)).sum();
                [Load { operations: 0.0, values: 2.0 * all }; 2]
            }
            Replay::Copy { count } => [Load { operations: 0.0, values: 2.0 * *count as f64 }; 2],
        }
    }

    /// Made ready to run on a device.
    pub fn prepare(&self, device: &Device, tracked: bool) -> Pass {
        let leaves = Leaves::on(device);
        match self.clone() {
            Replay::Operation(operation) => prepare(&operation, Kernel::Ours, device, tracked),
            Replay::Linear { rows, input, output } => {
                let x = leaves.random([rows, input], tracked);
                let mut layer = LinearConfig::new(input, output).no_bias().init(device);
                layer.weight = Param::from_tensor(leaves.leaf([output, input]));
                Box::new(move || flat(layer.forward(x.clone())))
            }
            Replay::Product { left, right } => {
                let (left, right) = (leaves.leaf(left), leaves.leaf(right));
                Box::new(move || flat(left.clone().matmul(right.clone())))
            }
            Replay::Pool { input, form: [kernel, stride, padding], is_max } => {
                let x = leaves.leaf(input);
                let most =
                    MaxPoolOptions::new([kernel; 2]).with_stride([stride; 2]).with_padding([padding; 2]);
                let mean =
                    AvgPoolOptions::new([kernel; 2]).with_stride([stride; 2]).with_padding([padding; 2]);
                Box::new(move || {
                    flat(match is_max {
                        true => max_pool2d(x.clone(), most.clone()),
                        false => avg_pool2d(x.clone(), mean.clone()),
                    })
                })
            }
            Replay::Mean { input, axis } => {
                let x = leaves.leaf(input);
                Box::new(move || flat(x.clone().mean_dim(axis)))
            }
            Replay::Unary { act, count } => {
                let x = leaves.random([count], tracked);
                let x = if act == Act::Sqrt { x.abs() } else { x };
                Box::new(move || tracked_only(act.unary(x.clone()), tracked))
            }
            Replay::Binary { act, left, right, tracked } => {
                let (left, right) = (leaves.random(left, tracked[0]), leaves.random(right, tracked[1]));
                Box::new(move || {
                    let y = act.binary(left.clone(), right.clone());
                    if tracked[0] || tracked[1] { flat(y) } else { None }
                })
            }
            Replay::Join { parts, axis } => {
                let parts: Vec<Tensor<4>> = parts.into_iter().map(|part| leaves.leaf(part)).collect();
                Box::new(move || flat(Tensor::cat(parts.clone(), axis)))
            }
            Replay::Copy { count } => {
                let x = leaves.leaf(matrix(count));
                Box::new(move || flat(x.clone().transpose()))
            }
        }
    }
}

/// As near to a square as the count allows.
fn matrix(count: usize) -> [usize; 2] {
    let rows = (1..=count.isqrt()).rev().find(|rows| count.is_multiple_of(*rows)).unwrap_or(1);
    [rows, count / rows]
}

fn tracked_only(y: Tensor<1>, tracked: bool) -> Option<Tensor<1>> {
    tracked.then_some(y)
}

/// A product of `sum` multiply-accumulates, `back` times as many backward;
/// values of its two factors and of the result.
fn product(sum: f64, counts: [usize; 3], back: f64, input_gradient: f64) -> [Load; 2] {
    let [left, right, out] = counts.map(|count| count as f64);
    let backward = out + left + 2.0 * right + input_gradient * left;
    [Load { operations: sum, values: left + right + out }, Load { operations: back * sum, values: backward }]
}

fn operation_load(operation: &Operation, input_gradient: f64) -> [Load; 2] {
    let same = |shape: &[usize], each: f64| {
        let count = values(shape);
        [
            Load { operations: each * count, values: 2.0 * count },
            Load { operations: 2.0 * each * count, values: 3.0 * count },
        ]
    };
    match operation {
        &Operation::Convolution {
            input,
            output,
            kernel,
            stride,
            padding,
            dilation,
            groups,
            transposed,
            ..
        } => {
            let [batch, channels, height, width] = input;
            let reach = dilation * (kernel - 1) + 1;
            let side = |pixels: usize| match transposed {
                true => (pixels - 1) * stride + reach - 2 * padding,
                false => (pixels + 2 * padding - reach) / stride + 1,
            };
            let outputs = batch * output * side(height) * side(width);
            let window = kernel * kernel;
            let sum = match transposed {
                true => values(&input) * (output / groups * window) as f64,
                false => outputs as f64 * (channels / groups * window) as f64,
            };
            let weights = output * channels / groups * window;
            product(
                sum,
                [batch * channels * height * width, weights, outputs],
                1.0 + input_gradient,
                input_gradient,
            )
        }
        Operation::BatchNorm { input } => same(input, 1.0),
        Operation::Gelu { input } => same(input, 0.0),
        Operation::LayerNorm { input } => same(input, 3.0),
        Operation::Softmax { input } => same(input, 2.0),
        Operation::Sample { input, groups } => {
            let (maps, outputs) = (values(input), 4.0 * values(input));
            let offsets = values(&[input[0], 8 * groups, input[2], input[3]]);
            let forward = Load { operations: 4.0 * outputs, values: maps + offsets + outputs };
            [forward, Load { operations: 8.0 * outputs, values: outputs + 2.0 * (maps + offsets) }]
        }
        Operation::Resize { input, output, .. } => {
            let outputs = values(&[input[0], input[1], *output, *output]);
            [Load { operations: 4.0 * outputs, values: values(input) + outputs }; 2]
        }
        Operation::Attention { input, keys, bias } => {
            let [batch, heads, queries, features] = *input;
            let matrix = values(&[batch, heads, queries, *keys]);
            let sums = matrix * (2 * features + 2) as f64;
            let sides = 2.0 * (values(input) + values(&[batch, heads, *keys, features]));
            let bias = if *bias { values(&[heads, queries, *keys]) } else { 0.0 };
            // The matrix of scores need not leave the processor.
            [
                Load { operations: sums, values: sides + bias },
                Load { operations: 2.0 * sums, values: 2.0 * (sides + bias) },
            ]
        }
        Operation::Adamw { input } => {
            // Norm of the gradient; parameter, gradient, two moments; three written.
            let count = input[0] as f64;
            [Load { operations: 0.0, values: 8.0 * count }, Load::default()]
        }
        Operation::Loss { input } => {
            let count = values(input);
            [Load { operations: 0.0, values: 2.0 * count }, Load { operations: 0.0, values: 3.0 * count }]
        }
    }
}

impl Act {
    fn unary(self, x: Tensor<1>) -> Tensor<1> {
        match self {
            Act::Relu => relu(x),
            Act::Sigmoid => sigmoid(x),
            Act::Tanh => x.tanh(),
            Act::Exp => x.exp(),
            Act::Sqrt => x.sqrt(),
            Act::Shift => x + 0.5,
            _ => x * 0.5,
        }
    }

    fn binary(self, left: Tensor<4>, right: Tensor<4>) -> Tensor<4> {
        match self {
            Act::Multiply => left * right,
            Act::Divide => left / right,
            _ => left + right,
        }
    }
}
