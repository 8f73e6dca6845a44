//! The graph of a forward pass, as burn's capture backend records it: every
//! operation with the identities and shapes of its tensors, none computed.
//!
//! It is a second account of the pass beside what the layers tell: who counts
//! wrongly in one is found out by the other (`tests/capture.rs`), and it alone
//! knows which values are read again, and so what must be held in memory.

use std::collections::{BTreeMap, HashMap};

use burn::backend::Capture;
use burn::backend::ir::{BaseOperationIr, OperationIr, TensorId, TensorIr};
use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::{Device, Tensor};
use dygl_nn::op;
use dygl_nn::trace::{self, Event};
use dygl_spec::ledger::Size;
use dygl_spec::name::Named;

use super::CostError;
use crate::learn::weights::{self, Site};
use crate::net::Net;

/// Which pass is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The logits alone.
    Inference,
    /// Every map that a training step supervises, with what it drops. Batch
    /// norms still read their running statistics: the backend of the capture
    /// knows no gradients.
    Training,
}

/// A recorded pass.
pub struct Pass {
    /// What the layers tell of one image in inference.
    pub events: Vec<Event>,
    /// What was computed behind the images, in order.
    pub operations: Vec<OperationIr>,
    /// The images [B, 3, H, W].
    pub images: TensorId,
    /// The maps of logits.
    pub logits: Vec<TensorId>,
    /// The tensors of the network, by their identities in the graph.
    pub weights: HashMap<TensorId, Site>,
    /// The same by their identities as parameters.
    pub sites: BTreeMap<ParamId, Site>,
    /// Second names of tensors in the reference's files.
    pub aliases: &'static [(&'static str, &'static str)],
}

/// Records a pass of `batch` images.
///
/// # Errors
/// The name or an option is unknown, or burn refuses the graph.
pub fn capture(named: &Named, size: impl Into<Size>, batch: usize, mode: Mode) -> Result<Pass, CostError> {
    let sides = size.into().sides();
    let device = Device::capture();
    let mut recorded = None;
    let graph = device
        .capture_scope(|scope| {
            recorded = Some(pass(named, sides, batch, mode, &device));
            scope.complete([], [])
        })
        .map_err(|error| CostError::Capture { model: named.to_string(), message: format!("{error}") })?;
    let refused = || CostError::Capture { model: named.to_string(), message: "the pass was not run".into() };
    let mut pass = recorded.ok_or_else(refused)??;
    let mut operations = graph.graph.operations;
    let begin = operations.iter().position(|operation| operation.outputs().any(|out| out.id == pass.images));
    pass.operations = operations.split_off(begin.ok_or_else(refused)? + 1);
    Ok(pass)
}

fn pass(
    named: &Named,
    sides: [usize; 2],
    batch: usize,
    mode: Mode,
    device: &Device,
) -> Result<Pass, CostError> {
    let net = Net::build(named, sides, device)?;
    let sites: BTreeMap<ParamId, Site> = weights::sites_with_ids(&net).into_iter().collect();
    let mut found = Weights { sites: &sites, found: HashMap::new() };
    net.visit(&mut found);
    let weights = found.found;
    // While events are recorded, a network also does what only its reference
    // does: the pass that is kept comes behind.
    let [height, width] = sides;
    let image = Tensor::<4>::zeros([1, 3, height, width], device);
    let (_, events) = trace::record(|| net.forward(image));
    let images = Tensor::<4>::zeros([batch, 3, height, width], device);
    let identity = id(&images)?;
    let logits = match mode {
        Mode::Inference => vec![net.forward(images)],
        Mode::Training => {
            let _drops = op::noise(|| 0.5);
            net.outputs(images)
        }
    };
    let logits = logits.iter().map(id).collect::<Result<_, _>>()?;
    let aliases = net.aliases();
    Ok(Pass { events, operations: Vec::new(), images: identity, logits, weights, sites, aliases })
}

/// The identity of a tensor in the graph.
pub fn id<const D: usize>(tensor: &Tensor<D>) -> Result<TensorId, CostError> {
    let primitive = tensor.clone().try_into_primitive::<Capture>();
    primitive.map(|tensor| tensor.id()).map_err(|_| CostError::Elsewhere)
}

struct Weights<'a> {
    sites: &'a BTreeMap<ParamId, Site>,
    found: HashMap<TensorId, Site>,
}

impl ModuleVisitor for Weights<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let (Ok(id), Some(site)) = (id(&param.val()), self.sites.get(&param.id)) {
            self.found.insert(id, site.clone());
        }
    }
}

/// What a tensor of the graph is made of, the later the stronger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Numbers that the code writes.
    Constant,
    /// A parameter of that rank, or running statistics, and nothing of the images.
    Weight {
        /// Dimensions of the parameter's own tensor; of several that mix, the most.
        rank: usize,
    },
    /// The images.
    Activation,
}

/// The origin of each tensor of a pass, and whether a gradient flows to it.
pub struct Flow<'a> {
    pass: &'a Pass,
    found: HashMap<TensorId, (Origin, bool)>,
}

impl<'a> Flow<'a> {
    /// Follows every tensor through the pass.
    pub fn of(pass: &'a Pass) -> Self {
        let mut flow = Self { pass, found: HashMap::new() };
        flow.found.insert(pass.images, (Origin::Activation, false));
        for operation in &pass.operations {
            let inputs = || operation.inputs().map(|input| flow.of_tensor(input));
            let origin = inputs().map(|(origin, _)| origin).max().unwrap_or(Origin::Constant);
            // No gradient passes integers and truth values.
            let is_float = |out: &TensorIr| out.dtype.is_float();
            let tracked = inputs().any(|(_, tracked)| tracked);
            let outputs: Vec<_> =
                operation.outputs().map(|out| (out.id, (origin, tracked && is_float(out)))).collect();
            flow.found.extend(outputs);
        }
        flow
    }

    /// What the tensor is made of.
    pub fn origin(&self, tensor: &TensorIr) -> Origin {
        self.of_tensor(tensor).0
    }

    /// Whether a gradient flows to it in training.
    pub fn is_tracked(&self, tensor: &TensorIr) -> bool {
        self.of_tensor(tensor).1
    }

    fn of_tensor(&self, tensor: &TensorIr) -> (Origin, bool) {
        if let Some(site) = self.pass.weights.get(&tensor.id) {
            return (Origin::Weight { rank: site.shape.len() }, !site.is_buffer());
        }
        self.found.get(&tensor.id).copied().unwrap_or((Origin::Constant, false))
    }
}

/// Values of a tensor.
pub fn values(tensor: &TensorIr) -> u64 {
    tensor.shape.num_elements() as u64
}

/// Whether an operation gives another look at the memory that it reads, where
/// the strides allow it.
pub fn as_view(operation: &OperationIr) -> Option<(&TensorIr, &TensorIr)> {
    use BaseOperationIr::{Expand, Permute, Reshape, Slice, SwapDims};
    let (OperationIr::BaseFloat(base) | OperationIr::BaseInt(base) | OperationIr::BaseBool(base)) = operation
    else {
        return None;
    };
    match base {
        Reshape(op) | Expand(op) => Some((&op.input, &op.out)),
        SwapDims(op) => Some((&op.input, &op.out)),
        Permute(op) => Some((&op.input, &op.out)),
        Slice(op) => Some((&op.tensor, &op.out)),
        _ => None,
    }
}
