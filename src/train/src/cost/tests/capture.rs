//! The ledger's operations beside those of burn's captured graph, which knows
//! nothing of what the layers tell. Both are sums of integers, and must be
//! equal for every kind of which the graph has a name:
//!
//! - what the reference computes in vain (`besides`) is told and not run: only
//!   what the logits depend on is compared;
//! - a resize to the same size is told, since the reference calls one, and not
//!   run;
//! - a resize with aligned corners is run as two products with constants: the
//!   second, whose output is the resized map, stands for it;
//! - a 1 x 1 convolution is run as a product of matrices: a parameter of four
//!   axes makes it a convolution, of two a linear layer;
//! - a 1-D convolution is run as a product by element with a parameter of three
//!   axes, and a sum: each pair of factors is one multiply-accumulate;
//! - a norm over the batch alone is composed in f64: its division stands for it;
//! - a kernel that is computed from weights (pixel differences) costs the same
//!   however many images there are, and is not counted;
//! - a convolution with ones over all channels (M2SNet) is told as the reference
//!   does it, 64 channels to 64, and run for one channel of their sum;
//! - H2Former enlarges 64 channels and then makes them one, which is told; here
//!   the order is the other ([`reordered`]).

use std::collections::{BTreeMap, BTreeSet};

use burn::backend::ir::{
    ActivationOperationIr as Activation, FloatOperationIr as Float, ModuleOperationIr as Module,
    NumericOperationIr as Numeric, OperationIr, TensorIr,
};
use burn::tensor::DType;
use dygl_nn::trace::{Kind, Standing};
use dygl_spec::name::Named;
use dygl_spec::network::NETWORKS;

use crate::cost::fold;
use crate::cost::graph::{Flow, Mode, Origin, Pass, capture, values};

/// Side of the images, pixels.
const SIZE: usize = 64;
/// Channels of M2SNet's sums, in and out.
const SUMMED: u64 = 64;

/// Multiply-accumulates by kind; for a max pool, which has none, the values
/// that it looks at, and for GELU its values.
type Sums = BTreeMap<Kind, u64>;

fn told(pass: &Pass) -> Sums {
    let mut sums = Sums::new();
    for event in pass.events.iter().filter(|event| event.standing == Standing::Live) {
        let size = match event.kind {
            Kind::ResizeBilinear if event.input == event.output => continue,
            // Composed in ways of which a graph has no name.
            Kind::GlobalAverage | Kind::Mean | Kind::ResizeNearest | Kind::DynamicTanh | Kind::GroupNorm => {
                continue;
            }
            Kind::MaxPool => event.outputs() * event.terms as u64,
            Kind::Gelu => event.outputs(),
            _ => fold::operations(event),
        };
        *sums.entry(event.kind).or_default() += size;
    }
    sums
}

fn captured(pass: &Pass) -> Sums {
    let flow = Flow::of(pass);
    let mut sums = Sums::new();
    let mut add = |kind, size| *sums.entry(kind).or_default() += size;
    let area = |sides: [usize; 2]| (sides[0] * sides[1]) as u64;
    // Values of a filter that one output takes.
    let taps = |weight: &TensorIr| values(weight) / weight.shape[0] as u64;
    for operation in &pass.operations {
        match operation {
            OperationIr::Module(module) => match module {
                Module::Conv2d(op) => {
                    let summed = flow.origin(&op.weight) == Origin::Constant;
                    let pairs = if summed { SUMMED * SUMMED } else { 1 };
                    add(Kind::Convolution, pairs * values(&op.out) * taps(&op.weight));
                }
                Module::Conv1d(op) => add(Kind::Convolution1d, values(&op.out) * taps(&op.weight)),
                Module::ConvTranspose2d(op) => {
                    add(Kind::ConvolutionTransposed, values(&op.x) * taps(&op.weight));
                }
                Module::Linear(op) => add(Kind::Linear, values(&op.out) * taps(&op.weight)),
                Module::AvgPool2d(op) => add(Kind::AveragePool, values(&op.out) * area(op.kernel_size)),
                Module::MaxPool2d(op) => add(Kind::MaxPool, values(&op.out) * area(op.kernel_size)),
                Module::Interpolate(op) => add(Kind::ResizeBilinear, 4 * values(&op.out)),
                Module::BatchNorm(op) => add(Kind::BatchNorm, values(&op.x)),
                Module::LayerNorm(op) => add(Kind::LayerNorm, 3 * values(&op.input)),
                other => panic!("no rule for {other:?}"),
            },
            OperationIr::Float(_, Float::GridSample2d(op)) => add(Kind::Sample, 4 * values(&op.out)),
            OperationIr::Float(_, Float::Matmul(op)) => {
                let terms = op.lhs.shape[op.lhs.shape.num_dims() - 1] as u64;
                let size = values(&op.out) * terms;
                match (flow.origin(&op.lhs), flow.origin(&op.rhs)) {
                    (Origin::Activation, Origin::Activation) => add(Kind::Product, size),
                    (Origin::Weight { rank }, Origin::Activation)
                    | (Origin::Activation, Origin::Weight { rank }) => match rank {
                        4 => add(Kind::Convolution, size),
                        2 => add(Kind::Linear, size),
                        _ => panic!("a product with a parameter of {rank} axes: {op:?}"),
                    },
                    (Origin::Activation, Origin::Constant) => {}
                    (Origin::Constant, Origin::Activation) => add(Kind::ResizeBilinear, 4 * values(&op.out)),
                    // Kernels of pixel differences: from weights, once for all images.
                    _ => {}
                }
            }
            OperationIr::NumericFloat(_, Numeric::Div(op)) if op.out.dtype == DType::F64 => {
                if matches!(flow.origin(&op.rhs), Origin::Weight { .. }) {
                    add(Kind::BatchNorm, values(&op.out));
                }
            }
            OperationIr::NumericFloat(_, Numeric::Mul(op)) => {
                let between = [flow.origin(&op.lhs), flow.origin(&op.rhs)];
                if between.contains(&Origin::Weight { rank: 3 }) && between.contains(&Origin::Activation) {
                    add(Kind::Convolution1d, values(&op.out));
                }
            }
            OperationIr::Activation(Activation::Softmax(op)) => add(Kind::Softmax, 2 * values(&op.input)),
            OperationIr::Activation(Activation::Gelu(op)) => add(Kind::Gelu, values(&op.input)),
            _ => {}
        }
    }
    sums
}

/// What H2Former is told to do more than it does, at a size: its head of 64
/// channels, and their enlargement.
fn reordered(model: &str, kind: Kind, size: u64) -> u64 {
    let fine = size * size;
    match (model, kind) {
        ("h2former", Kind::Convolution) => 64 * (fine - fine / 4),
        ("h2former", Kind::ResizeBilinear) => 4 * (64 - 1) * fine,
        _ => 0,
    }
}

#[test]
fn the_ledger_counts_what_the_graph_holds() {
    let ablations = ["upsample=bilinear", "upsample=transposed", "norm=group", "local=none", "global=none"];
    let ablations = ablations.into_iter().chain(["split=local", "split=global"]);
    let models = NETWORKS.iter().map(|network| network.name.to_owned());
    let others = ["unet,variant=table-exact".to_owned()];
    let mut compared = 0;
    let mut wrong = Vec::new();
    for model in models.chain(ablations.map(|option| format!("dyglnet,{option}"))).chain(others) {
        let named = Named::parse(&model).expect("valid");
        let pass = capture(&named, SIZE, 1, Mode::Inference).expect("recorded");
        let (told, captured) = (told(&pass), captured(&pass));
        compared += told.len();
        let kinds: BTreeSet<&Kind> = told.keys().chain(captured.keys()).collect();
        for kind in kinds {
            let sums = [&told, &captured].map(|sums| sums.get(kind).copied().unwrap_or(0));
            if sums[0] == sums[1] + reordered(&model, *kind, SIZE as u64) {
                continue;
            }
            wrong.push(format!("{model}, {kind:?}: {} told, {} in the graph", sums[0], sums[1]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared > 100, "{compared} sums were compared");
}
