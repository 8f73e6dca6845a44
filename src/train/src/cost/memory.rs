//! What a pass must hold in memory, from its captured graph, on flex.
//!
//! *Inference*: the largest sum of activations that are alive at once, each
//! from where it is computed to its last reader. Reshaped, permuted, expanded
//! and cut tensors share the memory of what they look at, and an elementwise
//! operation writes over an operand that nobody reads again: so does flex.
//!
//! *Training*: the activations that the forward pass leaves for the backward
//! pass, each once, however many operations read it.
//!
//! | operation | keeps |
//! |---|---|
//! | product, of matrices or by element | each factor whose partner has a gradient |
//! | quotient | the divisor; the dividend if the divisor has a gradient |
//! | convolution of any kind, pool of means, resize | its input |
//! | max pool (`dygl_nn::op::max_pool`) | its choices |
//! | batch norm | its input, and mean and variance per channel |
//! | layer norm | its input, and mean and deviation per row |
//! | softmax | the shifted input, its exponential, one value per row |
//! | attention (`dygl_nn::op::attention`) | queries, keys, values and what is added to the scores |
//! | GELU, sigmoid, tanh, exponential, root, power ... | its input |
//! | ReLU | its output |
//! | ReLU or GELU right behind a batch norm | nothing: both are one operation |
//! | samples | the map and the positions |
//! | sum, difference, mean, look, cut, concatenation, scaling by a constant | nothing |
//!
//! The workspace of kernels (padded planes, tiles of a product), the loss, the
//! gradients that flow back and what the allocator does with all of it are in
//! neither figure.

use std::collections::{BTreeSet, HashMap, HashSet};

use burn::backend::ir::{
    ActivationOperationIr as Activation, BaseOperationIr as Base, FloatOperationIr as Float,
    ModuleOperationIr as Module, NumericOperationIr as Numeric, OperationIr, TensorId, TensorIr,
};
use dygl_spec::ledger::Memory;

use super::CostError;
use super::graph::{Flow, Pass, as_view, values};

/// Bytes of a value of the parameters.
const F32: u64 = 4;
/// Bytes of a choice of a max pool.
const CHOICE: u64 = 4;

/// What a network holds in inference and in a training step of `batch` images.
///
/// # Errors
/// The training pass holds an operation that no rule is known for.
pub(crate) fn memory(inference: &Pass, training: &Pass, batch: usize) -> Result<Memory, CostError> {
    let sites = || inference.sites.values();
    let all: u64 = sites().map(|site| site.elements() as u64).sum();
    let trained: u64 = sites().filter(|site| !site.is_buffer()).map(|site| site.elements() as u64).sum();
    Ok(Memory {
        batch,
        inference: Storages::of(inference).peak(inference),
        kept: kept(training)?,
        weights: F32 * all,
        gradients: F32 * trained,
        optimizer: 2 * F32 * trained,
    })
}

/// A piece of memory.
struct Storage {
    bytes: u64,
    /// The network holds it all the time.
    is_weight: bool,
    /// The last operation that reads it; the end for logits.
    last: usize,
}

/// A tensor as a look at a storage.
#[derive(Clone)]
struct Look {
    storage: usize,
    strides: Vec<usize>,
}

/// Where each tensor of a pass lies.
struct Storages {
    all: Vec<Storage>,
    looks: HashMap<TensorId, Look>,
}

impl Storages {
    fn of(pass: &Pass) -> Self {
        let mut storages = Self { all: Vec::new(), looks: HashMap::new() };
        for (index, operation) in pass.operations.iter().enumerate() {
            for input in operation.inputs() {
                let look = storages.look(input, pass);
                storages.all[look.storage].last = index;
            }
            match as_view(operation).and_then(|(input, out)| {
                let look = storages.look(input, pass);
                Some((out, Look { strides: strides(operation, input, &look.strides)?, ..look }))
            }) {
                Some((out, look)) => {
                    storages.looks.insert(out.id, look);
                }
                None => operation.outputs().for_each(|out| storages.add(out, false, index)),
            }
        }
        for look in pass.logits.iter().filter_map(|id| storages.looks.get(id)) {
            storages.all[look.storage].last = pass.operations.len();
        }
        storages
    }

    fn add(&mut self, tensor: &TensorIr, is_weight: bool, now: usize) {
        let bytes = values(tensor) * tensor.dtype.size() as u64;
        self.looks
            .insert(tensor.id, Look { storage: self.all.len(), strides: contiguous(&tensor.shape.to_vec()) });
        self.all.push(Storage { bytes, is_weight, last: now });
    }

    /// Where a tensor lies; what was there before the pass is made known now.
    fn look(&mut self, tensor: &TensorIr, pass: &Pass) -> Look {
        if !self.looks.contains_key(&tensor.id) {
            // All that was there before the pass belongs to the network.
            self.add(tensor, tensor.id != pass.images, 0);
        }
        self.looks[&tensor.id].clone()
    }

    /// Bytes that are alive at once.
    fn peak(&self, pass: &Pass) -> u64 {
        let images = self.looks.get(&pass.images).map(|look| look.storage);
        let mut alive: BTreeSet<usize> = images.into_iter().collect();
        let mut sum: u64 = alive.iter().map(|storage| self.all[*storage].bytes).sum();
        let mut peak = sum;
        for (index, operation) in pass.operations.iter().enumerate() {
            let reused = self.reused(operation, index, &alive);
            for look in operation.outputs().filter_map(|out| self.looks.get(&out.id)) {
                let storage = &self.all[look.storage];
                if !storage.is_weight && alive.insert(look.storage) {
                    sum += storage.bytes;
                }
            }
            // Written in place: the operand is the result from here on.
            sum -= reused.map_or(0, |storage| self.all[storage].bytes);
            if let Some(storage) = reused {
                alive.remove(&storage);
            }
            peak = peak.max(sum);
            alive.retain(|storage| {
                let is_alive = self.all[*storage].last > index;
                if !is_alive {
                    sum -= self.all[*storage].bytes;
                }
                is_alive
            });
        }
        peak
    }

    /// The operand that the result of an elementwise operation is written over.
    fn reused(&self, operation: &OperationIr, index: usize, alive: &BTreeSet<usize>) -> Option<usize> {
        if !is_elementwise(operation) {
            return None;
        }
        let out = operation.outputs().next()?;
        let size = values(out) * out.dtype.size() as u64;
        operation.inputs().find_map(|input| {
            let look = self.looks.get(&input.id)?;
            let storage = &self.all[look.storage];
            let is_whole = storage.bytes == size && look.strides == contiguous(&input.shape.to_vec());
            (is_whole && storage.last == index && alive.contains(&look.storage)).then_some(look.storage)
        })
    }
}

/// Strides of a row-major tensor; axes of one value have none.
fn contiguous(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![0; shape.len()];
    let mut step = 1;
    for (stride, side) in strides.iter_mut().zip(shape).rev() {
        if *side != 1 {
            *stride = step;
            step *= side;
        }
    }
    strides
}

/// The strides behind a look; none where the values must be copied.
fn strides(operation: &OperationIr, input: &TensorIr, strides: &[usize]) -> Option<Vec<usize>> {
    let (OperationIr::BaseFloat(base) | OperationIr::BaseInt(base) | OperationIr::BaseBool(base)) = operation
    else {
        return None;
    };
    let mut strides = strides.to_vec();
    match base {
        Base::Reshape(op) => {
            (strides == contiguous(&input.shape.to_vec())).then(|| contiguous(&op.out.shape.to_vec()))
        }
        Base::SwapDims(op) => {
            strides.swap(op.dim1, op.dim2);
            Some(strides)
        }
        Base::Permute(op) => Some(op.axes.iter().map(|axis| strides[*axis]).collect()),
        // New axes come first; a repeated value has no stride.
        Base::Expand(op) => {
            let new = op.out.shape.num_dims() - strides.len();
            Some(std::iter::repeat_n(0, new).chain(strides).collect())
        }
        Base::Slice(op) => {
            let steps = op.ranges.iter().map(|range| range.step.unsigned_abs()).chain(std::iter::repeat(1));
            let sides = op.out.shape.to_vec();
            let looks = strides.iter().zip(steps).zip(sides);
            Some(looks.map(|((stride, step), side)| if side == 1 { 0 } else { stride * step }).collect())
        }
        _ => None,
    }
}

/// Whether a result lies where its operand did, value by value.
fn is_elementwise(operation: &OperationIr) -> bool {
    match operation {
        OperationIr::NumericFloat(_, numeric) => matches!(
            numeric,
            Numeric::Add(_)
                | Numeric::AddScalar(_)
                | Numeric::Sub(_)
                | Numeric::SubScalar(_)
                | Numeric::Mul(_)
                | Numeric::MulScalar(_)
                | Numeric::Div(_)
                | Numeric::DivScalar(_)
        ),
        OperationIr::Float(_, float) => {
            matches!(float, Float::Exp(_) | Float::Sqrt(_) | Float::Tanh(_) | Float::Log(_) | Float::Recip(_))
        }
        OperationIr::Activation(activation) => {
            matches!(activation, Activation::Relu(_) | Activation::Sigmoid(_))
        }
        _ => false,
    }
}

/// Bytes that the forward pass leaves for the backward pass, without weights.
fn kept(pass: &Pass) -> Result<u64, CostError> {
    let flow = Flow::of(pass);
    let mut storages = Storages::of(pass);
    let normalised = normalised(pass);
    let attended = attended(pass);
    let mut kept = BTreeSet::new();
    // What a composed operation keeps beside tensors of the graph.
    let mut inside = 0;
    for operation in &pass.operations {
        if !operation.inputs().any(|input| flow.is_tracked(input)) {
            continue;
        }
        if let OperationIr::Activation(Activation::Relu(op) | Activation::Gelu(op)) = operation
            && normalised.contains(&op.input.id)
        {
            continue;
        }
        if let Some(parts) = operation.outputs().next().and_then(|out| attended.get(&out.id)) {
            kept.extend(parts.iter().map(|tensor| storages.look(tensor, pass).storage));
            continue;
        }
        let rule = rule(operation, &flow)?;
        inside += rule.inside;
        for tensor in rule.tensors {
            kept.insert(storages.look(tensor, pass).storage);
        }
    }
    let held = kept.iter().map(|storage| &storages.all[*storage]);
    Ok(inside + held.filter(|storage| !storage.is_weight).map(|storage| storage.bytes).sum::<u64>())
}

/// Results of batch norms that one operation reads.
fn normalised(pass: &Pass) -> HashSet<TensorId> {
    let mut readers: HashMap<TensorId, usize> = HashMap::new();
    for input in pass.operations.iter().flat_map(OperationIr::inputs) {
        *readers.entry(input.id).or_default() += 1;
    }
    let norms = pass.operations.iter().filter_map(|operation| match operation {
        OperationIr::Module(Module::BatchNorm(op)) => Some(op.out.id),
        _ => None,
    });
    norms.filter(|id| readers.get(id) == Some(&1)).collect()
}

/// The results inside and at the end of an attention, which is one operation
/// on flex, and what is kept for each: softmax over the last of four axes of a
/// product with scaled queries, whose only reader is a product.
fn attended(pass: &Pass) -> HashMap<TensorId, Vec<&TensorIr>> {
    let makers: HashMap<TensorId, &OperationIr> = pass
        .operations
        .iter()
        .flat_map(|operation| operation.outputs().map(move |out| (out.id, operation)))
        .collect();
    let mut found = HashMap::new();
    for operation in &pass.operations {
        let OperationIr::Float(_, Float::Matmul(last)) = operation else { continue };
        let Some(OperationIr::Activation(Activation::Softmax(soft))) = makers.get(&last.lhs.id) else {
            continue;
        };
        let (scores, bias) = match makers.get(&soft.input.id) {
            Some(OperationIr::NumericFloat(_, Numeric::Add(sum))) => (&sum.lhs, Some(&sum.rhs)),
            _ => (&soft.input, None),
        };
        let Some(OperationIr::Float(_, Float::Matmul(first))) = makers.get(&scores.id) else { continue };
        let Some(OperationIr::NumericFloat(_, Numeric::MulScalar(scaled))) = makers.get(&first.lhs.id) else {
            continue;
        };
        if soft.input.shape.num_dims() != 4 || soft.axis != 3 {
            continue;
        }
        // Without a bias the scores are the input of the softmax.
        found.insert(soft.input.id, bias.into_iter().collect());
        found.insert(first.out.id, vec![&scaled.lhs, &first.rhs]);
        found.insert(soft.out.id, Vec::new());
        found.insert(last.out.id, vec![&last.rhs]);
    }
    found
}

/// What an operation keeps: tensors of the graph, and bytes beside them.
struct Kept<'a> {
    tensors: Vec<&'a TensorIr>,
    inside: u64,
}

fn rule<'a>(operation: &'a OperationIr, flow: &Flow<'_>) -> Result<Kept<'a>, CostError> {
    let of = |tensors: Vec<&'a TensorIr>| Kept { tensors, inside: 0 };
    let product = |lhs: &'a TensorIr, rhs: &'a TensorIr| {
        let of_lhs = flow.is_tracked(rhs).then_some(lhs);
        of(of_lhs.into_iter().chain(flow.is_tracked(lhs).then_some(rhs)).collect())
    };
    let nothing = of(Vec::new());
    let unknown = || {
        let text = format!("{operation:?}");
        CostError::Unknown { operation: text.chars().take(60).collect() }
    };
    Ok(match operation {
        OperationIr::BaseFloat(base) => match base {
            Base::Select(op) => of(vec![&op.indices]),
            Base::Gather(op) => of(vec![&op.indices]),
            Base::MaskWhere(op) => of(vec![&op.mask]),
            Base::MaskFill(op) => of(vec![&op.mask]),
            Base::Reshape(_)
            | Base::SwapDims(_)
            | Base::Permute(_)
            | Base::Flip(_)
            | Base::Expand(_)
            | Base::Slice(_)
            | Base::SliceAssign(_)
            | Base::RepeatDim(_)
            | Base::Cat(_)
            | Base::Cast(_) => nothing,
            _ => return Err(unknown()),
        },
        OperationIr::NumericFloat(_, numeric) => match numeric {
            Numeric::Mul(op) => product(&op.lhs, &op.rhs),
            Numeric::Div(op) => {
                of(flow.is_tracked(&op.rhs).then_some(&op.lhs).into_iter().chain([&op.rhs]).collect())
            }
            Numeric::Abs(op) => of(vec![&op.input]),
            Numeric::PowiScalar(op) => of(vec![&op.lhs]),
            Numeric::Add(_)
            | Numeric::AddScalar(_)
            | Numeric::Sub(_)
            | Numeric::SubScalar(_)
            | Numeric::MulScalar(_)
            | Numeric::DivScalar(_)
            | Numeric::MeanDim(_)
            | Numeric::Mean(_)
            | Numeric::SumDim(_)
            | Numeric::Sum(_)
            | Numeric::Neg(_)
            | Numeric::Pad(_) => nothing,
            _ => return Err(unknown()),
        },
        OperationIr::Float(_, float) => match float {
            Float::Matmul(op) => product(&op.lhs, &op.rhs),
            Float::Exp(op)
            | Float::Log(op)
            | Float::Erf(op)
            | Float::Sqrt(op)
            | Float::Tanh(op)
            | Float::Recip(op) => of(vec![&op.input]),
            Float::PowfScalar(op) => of(vec![&op.lhs]),
            Float::GridSample2d(op) => of(vec![&op.tensor, &op.grid]),
            _ => return Err(unknown()),
        },
        OperationIr::Activation(activation) => match activation {
            Activation::Relu(op) => of(vec![&op.out]),
            Activation::Sigmoid(op) | Activation::Gelu(op) => of(vec![&op.input]),
            Activation::Softmax(op) => {
                let (all, bytes) = (values(&op.input), op.input.dtype.size() as u64);
                let rows = all / op.input.shape[op.axis].max(1) as u64;
                Kept { tensors: Vec::new(), inside: (2 * all + rows) * bytes }
            }
            _ => return Err(unknown()),
        },
        OperationIr::Module(module) => match module {
            Module::Conv1d(op) => of(vec![&op.x, &op.weight]),
            Module::Conv2d(op) => of(vec![&op.x, &op.weight]),
            Module::ConvTranspose2d(op) => of(vec![&op.x, &op.weight]),
            Module::AvgPool2d(op) => of(vec![&op.x]),
            Module::AdaptiveAvgPool2d(op) => of(vec![&op.x]),
            Module::MaxPool2d(op) => Kept { tensors: Vec::new(), inside: CHOICE * values(&op.out) },
            Module::Interpolate(op) => of(vec![&op.x]),
            Module::BatchNorm(op) => {
                Kept { tensors: vec![&op.x, &op.gamma], inside: 2 * F32 * values(&op.gamma) }
            }
            Module::LayerNorm(op) => {
                let rows = values(&op.input) / values(&op.gamma).max(1);
                Kept { tensors: vec![&op.input, &op.gamma], inside: 2 * F32 * rows }
            }
            _ => return Err(unknown()),
        },
        _ => return Err(unknown()),
    })
}
