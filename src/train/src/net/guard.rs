//! What the networks leave to burn on flex, held against a list: only what is free
//! of order may remain (see `dygl_nn::vector`). burn's capture device records
//! the pass, each kernel of ours as one operation with its name.
//!
//! The gradients of the listed operations are of the same kind (burn-autodiff
//! 0.22.1, read): copies, arithmetic, and sums in the order of an index. Those of
//! arithmetic between different shapes are sums in an order of the processor's,
//! unless the repeated side carries none.

use std::collections::{BTreeMap, HashMap};

use burn::backend::ir::{
    BaseOperationIr as Base, BinaryOpIr, FloatOperationIr as Float, ModuleOperationIr as Module,
    NumericOperationIr as Numeric, OperationIr as Operation,
};
use burn::tensor::{Device, Tensor};
use dygl_nn::op::{Pass, as_on_flex};
use dygl_spec::name::Named;

use crate::bits::variants;
use crate::cost::graph::{self, Flow, Mode, capture, id};
use crate::learn::loss::{REFERENCE, mean_loss};
use crate::learn::weights;
use crate::net::Net;

/// Side of the images, pixels.
const SIDE: usize = 64;

/// Why an operation must not stand in a graph, if so.
fn fault(operation: &Operation, flow: &Flow<'_>) -> Option<String> {
    let repeats = |op: &BinaryOpIr| {
        let side =
            [&op.lhs, &op.rhs].into_iter().any(|side| side.shape != op.out.shape && flow.is_tracked(side));
        side.then(|| "the gradient of a repeated operand: repeat it by `op::spread`".to_owned())
    };
    let tracked = |why: &str| {
        let found = operation.inputs().any(|input| flow.is_tracked(input));
        found.then(|| why.to_owned())
    };
    match operation {
        Operation::Custom(_) | Operation::Drop(_) | Operation::Init(_) => None,
        // Integers and truth values are exact.
        Operation::BaseInt(_) | Operation::BaseBool(_) | Operation::NumericInt(..) => None,
        Operation::Bool(_) | Operation::Int(_) => None,
        Operation::BaseFloat(base) => match base {
            // Copies; the gradient of a selection is a sum in the order of its index.
            Base::Reshape(_) | Base::SwapDims(_) | Base::Permute(_) | Base::Flip(_) | Base::Slice(_) => None,
            Base::SliceAssign(_) | Base::Select(_) | Base::Cat(_) | Base::Cast(_) => None,
            Base::Empty(_) | Base::Ones(_) | Base::Zeros(_) => None,
            Base::Expand(_) | Base::RepeatDim(_) => tracked("its gradient is a sum: use `op::spread`"),
            other => Some(format!("not on the list: {other:?}")),
        },
        Operation::NumericFloat(_, numeric) => match numeric {
            Numeric::Add(op) | Numeric::Sub(op) | Numeric::Mul(op) | Numeric::Div(op) => repeats(op),
            Numeric::AddScalar(_) | Numeric::SubScalar(_) | Numeric::MulScalar(_) => None,
            Numeric::DivScalar(_) | Numeric::Neg(_) | Numeric::Abs(_) | Numeric::Full(_) => None,
            Numeric::Pad(_) => None,
            other => Some(format!("not on the list: {other:?}")),
        },
        Operation::Float(_, float) => match float {
            // IEEE's, exact; the gradient of a root is a power, which is the C library's.
            Float::Recip(_) => None,
            Float::Sqrt(_) => tracked("its gradient is the C library's: use `op::inverse_root`"),
            other => Some(format!("not on the list: {other:?}")),
        },
        // A maximum; its gradient is a sum in the order of the windows.
        Operation::Module(Module::MaxPool2d(_)) => None,
        other => Some(format!("not on the list: {other:?}")),
    }
}

/// The faults of a graph, in few words each.
fn faults(pass: &graph::Pass) -> Vec<String> {
    let flow = Flow::of(pass);
    let mut found: Vec<String> =
        pass.operations.iter().filter_map(|operation| fault(operation, &flow)).collect();
    found.iter_mut().for_each(|text| text.truncate(300));
    found.dedup();
    found
}

fn hold(model: &str, pass: Pass) -> Vec<String> {
    let named = Named::parse(model).expect("valid");
    let mode = if pass == Pass::Training { Mode::Training } else { Mode::Inference };
    let graph = as_on_flex(pass, || capture(&named, SIDE, 2, mode)).expect("captured");
    let kernels = graph.operations.iter().filter(|operation| matches!(operation, Operation::Custom(_)));
    assert!(kernels.count() > 10, "{model}: no kernels are recorded");
    faults(&graph).into_iter().map(|fault| format!("{model}, {pass:?}: {fault}")).collect()
}

#[test]
fn nothing_is_left_to_burn_whose_order_the_processor_chooses() {
    let mut found = Vec::new();
    for model in variants() {
        found.extend(hold(&model, Pass::Training));
        found.extend(hold(&model, Pass::Evaluation));
    }
    assert!(found.is_empty(), "{} faults:\n{}", found.len(), found.join("\n"));
}

/// The faults of what `run` computes of a parameter.
fn faults_of(run: impl FnOnce(Tensor<4>)) -> Vec<String> {
    let plain = Net::build(&Named::parse("unet").expect("valid"), [32; 2], &Device::flex()).expect("built");
    let site = weights::sites(&plain).into_iter().find(|site| !site.is_buffer()).expect("a parameter");
    let device = Device::capture();
    let mut parameter = None;
    let graph = device.capture_scope(|scope| {
        let x = Tensor::<4>::ones([2, 1, 8, 8], &device);
        parameter = id(&x).ok();
        as_on_flex(Pass::Training, || run(x));
        scope.complete([], [])
    });
    let parameter = parameter.expect("captured");
    faults(&graph::Pass {
        events: Vec::new(),
        operations: graph.expect("captured").graph.operations,
        images: parameter,
        logits: Vec::new(),
        weights: HashMap::from([(parameter, site)]),
        sites: BTreeMap::new(),
        aliases: &[],
    })
}

#[test]
fn the_loss_is_of_our_own_sums() {
    let found = faults_of(|logits| {
        let targets = Tensor::zeros([2, 1, 8, 8], &logits.device());
        let _ = mean_loss(vec![logits.clone(), logits], targets, &REFERENCE);
    });
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn what_burn_sums_is_found() {
    let found = faults_of(|x| {
        let _ = x.clone().sum_dim(1);
        let _ = x.clone() * x.clone().narrow(2, 0, 1);
        let _ = x.clone().matmul(x.clone()).exp();
        let _ = x.sqrt();
    });
    let words = ["SumDim", "op::spread", "Matmul", "Exp", "op::inverse_root"];
    assert_eq!(found.len(), words.len(), "{found:#?}");
    for (fault, word) in found.iter().zip(words) {
        assert!(fault.contains(word), "{fault}");
    }
}
