//! What a training step of a network does, as things that can be done again
//! alone: read from the graph that burn captures of its forward pass, where
//! every operation stands with its shapes.
//!
//! Which kernel computes it follows from the layers of this project: products
//! with a filter are convolutions, products with a constant resizes, and what
//! leads from offsets to a sampling grid is part of the sampling. Steps of a
//! grid, views and what acts on a few values are left out by name.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::Result;
use burn::backend::ir::{
    ActivationOperationIr as Activation, BaseOperationIr as Base, FloatOperationIr as Float,
    ModuleOperationIr as Module, NumericOperationIr as Numeric, OperationIr, TensorId, TensorIr,
};
use dygl_spec::name::Named;
use dygl_train::cost::graph::{Flow, Mode, Origin, Pass, as_view, capture};

use super::replay::{Act, Replay};
use crate::operations::list::Operation;

/// One thing that is done, as often as a step does it.
#[derive(Debug, Clone, PartialEq)]
pub struct Traced {
    pub replay: Replay,
    /// Whether its first input wants a gradient.
    pub tracked: bool,
    pub calls: usize,
}

/// Everything a step does that can be done again, and how many operations of
/// which name are left out.
pub struct Trace {
    pub traced: Vec<Traced>,
    pub left_out: BTreeMap<String, usize>,
}

/// The trace of a training step's forward pass.
///
/// # Errors
/// The network is unknown, or burn refuses the graph.
pub fn trace(named: &Named, size: usize, batch: usize) -> Result<Trace> {
    let pass = capture(named, size, batch, Mode::Training)?;
    let mut reader = Reader::of(&pass, batch);
    for operation in &pass.operations {
        reader.read(operation);
    }
    Ok(Trace { traced: reader.traced, left_out: reader.left_out })
}

struct Reader<'a> {
    flow: Flow<'a>,
    batch: usize,
    /// Which operation made a tensor.
    makers: HashMap<TensorId, &'a OperationIr>,
    /// Made on the way to a grid or to an attention's weights.
    parts: HashSet<TensorId>,
    /// Softmaxes that are inside of an attention, by their output.
    attentions: HashMap<TensorId, Replay>,
    /// Tensors that are views out of the order of memory.
    scattered: HashSet<TensorId>,
    places: HashMap<(Replay, bool), usize>,
    traced: Vec<Traced>,
    left_out: BTreeMap<String, usize>,
}

impl<'a> Reader<'a> {
    fn of(pass: &'a Pass, batch: usize) -> Self {
        let mut makers = HashMap::new();
        for operation in &pass.operations {
            makers.extend(operation.outputs().map(|out| (out.id, operation)));
        }
        let mut reader = Self {
            flow: Flow::of(pass),
            batch,
            makers,
            parts: HashSet::new(),
            attentions: HashMap::new(),
            scattered: HashSet::new(),
            places: HashMap::new(),
            traced: Vec::new(),
            left_out: BTreeMap::new(),
        };
        for operation in &pass.operations {
            if let OperationIr::Float(_, Float::GridSample2d(op)) = operation {
                reader.mark_grid(op.grid.id);
            }
            if let OperationIr::Activation(Activation::Softmax(op)) = operation {
                reader.mark_attention(&op.input, &op.out);
            }
        }
        reader
    }

    /// Our kernel computes positions from offsets itself.
    fn mark_grid(&mut self, mut id: TensorId) {
        loop {
            let before = match self.makers.get(&id) {
                Some(OperationIr::NumericFloat(_, Numeric::Add(op) | Numeric::Mul(op)))
                    if self.flow.origin(&op.rhs) == Origin::Constant =>
                {
                    op.lhs.id
                }
                Some(OperationIr::NumericFloat(_, Numeric::SubScalar(op))) => op.lhs.id,
                Some(OperationIr::BaseFloat(Base::Reshape(op))) => op.input.id,
                Some(OperationIr::BaseFloat(Base::Permute(op))) => op.input.id,
                _ => return,
            };
            self.parts.insert(id);
            id = before;
        }
    }

    /// softmax(q k^T + bias) of [B, h, N, M], as `dygl_nn::op::attention` has
    /// it: the product and the addition are part of it.
    fn mark_attention(&mut self, scores: &TensorIr, weights: &TensorIr) {
        if scores.shape.num_dims() != 4 {
            return;
        }
        let (mut id, mut bias, mut within) = (scores.id, false, Vec::new());
        if let Some(OperationIr::NumericFloat(_, Numeric::Add(op))) = self.makers.get(&id) {
            (bias, id) = (true, op.lhs.id);
            within.push(op.out.id);
        }
        let Some(OperationIr::Float(_, Float::Matmul(op))) = self.makers.get(&id) else { return };
        let (Some(query), Some(keys)) = (four(&op.lhs), four(&op.rhs)) else { return };
        if [&op.lhs, &op.rhs].map(|side| self.flow.origin(side)) != [Origin::Activation; 2] {
            return;
        }
        within.extend([op.out.id, weights.id]);
        if let Some(OperationIr::NumericFloat(_, Numeric::MulScalar(scaled))) = self.makers.get(&op.lhs.id) {
            within.push(scaled.out.id);
        }
        self.parts.extend(within);
        let attention = Operation::Attention { input: query, keys: keys[3], bias };
        self.attentions.insert(weights.id, Replay::Operation(attention));
    }

    fn add(&mut self, replay: Replay, tracked: bool) {
        let place = *self.places.entry((replay.clone(), tracked)).or_insert_with(|| {
            self.traced.push(Traced { replay, tracked, calls: 0 });
            self.traced.len() - 1
        });
        self.traced[place].calls += 1;
    }

    fn leave(&mut self, what: &str) {
        *self.left_out.entry(what.to_owned()).or_default() += 1;
    }

    fn read(&mut self, operation: &OperationIr) {
        if operation.outputs().any(|out| self.parts.contains(&out.id)) {
            return;
        }
        // Weights of the network on their way to a kernel, and constants.
        let origin = operation.inputs().map(|input| self.flow.origin(input)).max();
        if origin != Some(Origin::Activation) {
            return;
        }
        match operation {
            OperationIr::Module(module) => self.module(module),
            OperationIr::Float(_, float) => self.float(float),
            OperationIr::NumericFloat(_, numeric) => self.numeric(numeric),
            OperationIr::Activation(activation) => self.activation(activation),
            OperationIr::BaseFloat(base) => self.base(operation, base),
            OperationIr::Drop(_) => {}
            _ => self.leave("others"),
        }
    }

    fn module(&mut self, module: &Module) {
        match module {
            Module::Conv2d(op) => {
                let (Some(input), Some(weight)) = (four(&op.x), four(&op.weight)) else { return };
                let form = &op.options;
                let replay = Operation::Convolution {
                    input,
                    output: weight[0],
                    kernel: weight[2],
                    stride: form.stride[0],
                    padding: form.padding[0].0,
                    dilation: form.dilation[0],
                    groups: form.groups,
                    bias: op.bias.is_some(),
                    transposed: false,
                };
                self.add(Replay::Operation(replay), self.flow.is_tracked(&op.x));
            }
            Module::ConvTranspose2d(op) => {
                let (Some(input), Some(weight)) = (four(&op.x), four(&op.weight)) else { return };
                let replay = Operation::Convolution {
                    input,
                    output: weight[1],
                    kernel: weight[2],
                    stride: op.options.stride[0],
                    padding: op.options.padding[0],
                    dilation: 1,
                    groups: 1,
                    bias: op.bias.is_some(),
                    transposed: true,
                };
                self.add(Replay::Operation(replay), true);
            }
            Module::BatchNorm(op) => match four(&op.x) {
                Some(input) => self.add(Replay::Operation(Operation::BatchNorm { input }), true),
                None => self.leave("batch norm of another rank"),
            },
            Module::LayerNorm(op) => {
                self.add(Replay::Operation(Operation::LayerNorm { input: dims(&op.input) }), true);
            }
            Module::Interpolate(op) => match four(&op.x) {
                Some(input) if op.output_size[0] == op.output_size[1] => {
                    let (output, aligned) = (op.output_size[0], op.options.align_corners);
                    self.add(Replay::Operation(Operation::Resize { input, output, aligned }), true);
                }
                _ => self.leave("resize to no square"),
            },
            Module::MaxPool2d(op) => {
                if let Some(input) = four(&op.x) {
                    let form = [op.kernel_size[0], op.stride[0], op.padding[0]];
                    self.add(Replay::Pool { input, form, is_max: true }, true);
                }
            }
            Module::AvgPool2d(op) => {
                if let Some(input) = four(&op.x) {
                    let form = [op.kernel_size[0], op.stride[0], op.padding[0]];
                    self.add(Replay::Pool { input, form, is_max: false }, true);
                }
            }
            _ => self.leave("other modules"),
        }
    }

    fn float(&mut self, float: &Float) {
        match float {
            Float::Matmul(op) => self.product(&op.lhs, &op.rhs, &op.out),
            Float::GridSample2d(op) => {
                if let Some([maps, channels, height, width]) = four(&op.tensor) {
                    let groups = maps / self.batch;
                    let input = [self.batch, channels * groups, height, width];
                    self.add(Replay::Operation(Operation::Sample { input, groups }), true);
                }
            }
            Float::Tanh(op) => self.unary(Act::Tanh, &op.input),
            Float::Exp(op) => self.unary(Act::Exp, &op.input),
            Float::Sqrt(op) => self.unary(Act::Sqrt, &op.input),
            _ => self.leave("other functions"),
        }
    }

    fn product(&mut self, left: &TensorIr, right: &TensorIr, out: &TensorIr) {
        if let Some(Replay::Operation(attention)) = self.attentions.get(&left.id).cloned() {
            return self.add(Replay::Operation(attention), true);
        }
        let tracked = self.flow.is_tracked(left) || self.flow.is_tracked(right);
        let (rows, columns) = (dims(left), dims(right));
        match [left, right].map(|side| self.flow.origin(side)) {
            // A filter on the left is a 1 x 1 convolution.
            [Origin::Weight { rank: 4 }, Origin::Activation] => {
                let [batch, channels, pixels] = columns[..] else { return self.leave("other products") };
                let replay = Operation::Convolution {
                    input: rectangle(batch, channels, pixels),
                    output: rows[rows.len() - 2],
                    kernel: 1,
                    stride: 1,
                    padding: 0,
                    dilation: 1,
                    groups: 1,
                    bias: false,
                    transposed: false,
                };
                self.add(Replay::Operation(replay), tracked);
            }
            [Origin::Activation, Origin::Weight { rank: 2 }] if rows.len() == 2 => {
                self.add(Replay::Linear { rows: rows[0], input: rows[1], output: columns[1] }, tracked);
            }
            [Origin::Activation, Origin::Activation] => match [padded(&rows), padded(&columns)] {
                [Some(left), Some(right)] => self.add(Replay::Product { left, right }, tracked),
                _ => self.leave("other products"),
            },
            // The first of the two products of a resize with aligned corners.
            [Origin::Activation, Origin::Constant] => {}
            [Origin::Constant, Origin::Activation] => {
                let [planes, height, _] = columns[..] else { return self.leave("other products") };
                let output = dims(out)[1];
                let input = [1, planes, height, height];
                self.add(Replay::Operation(Operation::Resize { input, output, aligned: true }), tracked);
            }
            _ => self.leave("other products"),
        }
    }

    fn numeric(&mut self, numeric: &Numeric) {
        match numeric {
            Numeric::Add(op) => self.binary(Act::Add, &op.lhs, &op.rhs),
            Numeric::Sub(op) => self.binary(Act::Add, &op.lhs, &op.rhs),
            Numeric::Mul(op) => self.binary(Act::Multiply, &op.lhs, &op.rhs),
            Numeric::Div(op) => self.binary(Act::Divide, &op.lhs, &op.rhs),
            Numeric::MulScalar(op) | Numeric::DivScalar(op) => self.unary(Act::Scale, &op.lhs),
            Numeric::AddScalar(op) | Numeric::SubScalar(op) => self.unary(Act::Shift, &op.lhs),
            Numeric::MeanDim(op) | Numeric::SumDim(op) => match padded(&dims(&op.input)) {
                Some(input) => {
                    let axis = op.axis + 4 - op.input.shape.num_dims();
                    self.add(Replay::Mean { input, axis }, true);
                }
                None => self.leave("other reductions"),
            },
            _ => self.leave("other arithmetic"),
        }
    }

    fn activation(&mut self, activation: &Activation) {
        match activation {
            Activation::Relu(op) => self.unary(Act::Relu, &op.input),
            Activation::Sigmoid(op) => self.unary(Act::Sigmoid, &op.input),
            Activation::Gelu(op) => {
                self.add(Replay::Operation(Operation::Gelu { input: dims(&op.input) }), true);
            }
            Activation::Softmax(op) => {
                self.add(Replay::Operation(Operation::Softmax { input: dims(&op.input) }), true);
            }
            _ => self.leave("other activations"),
        }
    }

    fn base(&mut self, operation: &OperationIr, base: &Base) {
        match base {
            Base::Cat(op) => {
                let parts: Option<Vec<[usize; 4]>> =
                    op.tensors.iter().map(|part| padded(&dims(part))).collect();
                let axis = op.dim + 4 - op.out.shape.num_dims().min(4);
                match parts {
                    Some(parts) => self.add(Replay::Join { parts, axis }, true),
                    None => self.leave("other concatenations"),
                }
            }
            // A view; what reads it reads part of the memory.
            Base::Reshape(op) => {
                if self.scattered.contains(&op.input.id) {
                    self.add(Replay::Copy { count: dims(&op.input).iter().product() }, true);
                }
            }
            Base::Cast(_) => self.leave("casts"),
            _ => match as_view(operation) {
                Some((_, out)) => {
                    self.scattered.insert(out.id);
                }
                None => self.leave("other rearrangements"),
            },
        }
    }

    fn unary(&mut self, act: Act, input: &TensorIr) {
        let count = dims(input).iter().product();
        self.add(Replay::Unary { act, count }, self.flow.is_tracked(input));
    }

    fn binary(&mut self, act: Act, left: &TensorIr, right: &TensorIr) {
        let tracked = [left, right].map(|side| self.flow.is_tracked(side));
        match [left, right].map(|side| padded(&dims(side))) {
            [Some(left), Some(right)] => self.add(Replay::Binary { act, left, right, tracked }, tracked[0]),
            _ => self.leave("arithmetic of more than four axes"),
        }
    }
}

fn dims(tensor: &TensorIr) -> Vec<usize> {
    (0..tensor.shape.num_dims()).map(|axis| tensor.shape[axis]).collect()
}

fn four(tensor: &TensorIr) -> Option<[usize; 4]> {
    dims(tensor).try_into().ok()
}

/// With axes of one in front.
fn padded(dims: &[usize]) -> Option<[usize; 4]> {
    let mut shape = [1; 4];
    shape.get_mut(4usize.checked_sub(dims.len())?..)?.copy_from_slice(dims);
    Some(shape)
}

/// Pixels in rows again: maps here are square.
fn rectangle(batch: usize, channels: usize, pixels: usize) -> [usize; 4] {
    let side = pixels.isqrt();
    if side * side == pixels { [batch, channels, side, side] } else { [batch, channels, pixels, 1] }
}
