//! Normalisations: by batch, given statistics, layer and group; values,
//! gradients and statistics.

use burn::module::{Param, ParamId};
use burn::tensor::{DType, Tensor};
use dygl_nn::layer::{BatchNorm2d, BatchNorm2dConfig, DynamicTanhConfig, GroupNormConfig, LayerNormConfig};
use dygl_nn::op;
use proptest::prelude::*;

use super::difference::derives;
use super::harness::{Case, Inputs, Output, agrees, draws};
use super::layout::{reads_views, reads_views_to_rounding};

const EPSILON: f64 = 1e-5;

/// A parameter that is an input of the case, tracked or not.
pub fn parameter<const D: usize>(inputs: &Inputs, name: &str) -> Param<Tensor<D>> {
    Param::initialized(ParamId::new(), inputs.tensor(name))
}

/// Inputs far from zero, where variance is a small difference of large numbers.
fn off_centre(case: Case, x: &[usize], parameters: usize) -> Case {
    case.spread("x", x, 2.0, 3.0).spread("w", &[parameters], 0.5, 1.0).input("b", &[parameters])
}

pub fn batch_norm_train(x: [usize; 4]) -> Case {
    let case = Case::new(format!("batch norm in training {x:?}"), |inputs| {
        let (x, w, b) = (inputs.tensor("x"), inputs.tensor("w"), inputs.tensor("b"));
        let (y, mean, var) = op::batch_norm_train(x, w, b, EPSILON);
        vec![inputs.output("y", y), inputs.output("mean", mean), inputs.output("var", var)]
    });
    off_centre(case, &x, x[1])
}

pub fn batch_norm(x: [usize; 4]) -> Case {
    let case = Case::new(format!("batch norm {x:?}"), |inputs| {
        let [mean, var] = ["mean", "var"].map(|name| inputs.tensor(name));
        let y =
            op::batch_norm(inputs.tensor("x"), inputs.tensor("w"), inputs.tensor("b"), mean, var, EPSILON);
        vec![inputs.output("y", y)]
    });
    let case = off_centre(case, &x, x[1]);
    case.spread("mean", &[x[1]], 1.0, 3.0).constant().spread("var", &[x[1]], 0.9, 1.0).constant()
}

/// The layer, its running statistics among the results.
fn running(inputs: &Inputs, forward: impl Fn(&BatchNorm2d, Tensor<4>) -> Tensor<4>) -> Vec<Output> {
    let x: Tensor<4> = inputs.tensor("x");
    let w: Param<Tensor<1>> = parameter(inputs, "w");
    let [channels] = w.val().dims();
    let mut norm = BatchNorm2dConfig::new(channels).init(&inputs.device.clone().without_autodiff());
    norm.weight = w;
    norm.bias = parameter(inputs, "b");
    let statistic = |tensor: Tensor<1>| if tensor.device().is_autodiff() { tensor.inner() } else { tensor };
    let kind: DType = x.dtype();
    norm.running_mean.set(norm.running_mean.value().cast(kind));
    norm.running_var.set(norm.running_var.value().cast(kind));
    let y = forward(&norm, x);
    vec![
        inputs.output("y", y),
        inputs.output("mean", statistic(norm.running_mean.value())),
        inputs.output("var", statistic(norm.running_var.value())),
    ]
}

pub fn batch_norm_layer(x: [usize; 4]) -> Case {
    let name = format!("batch norm layer {x:?}");
    off_centre(Case::new(name, |inputs| running(inputs, BatchNorm2d::forward)), &x, x[1])
}

fn batch_norm_repeated([batch, channels, height, width]: [usize; 4]) -> Case {
    let name = format!("batch norm of one map for {channels} {batch} {height} {width}");
    let case = Case::new(name, |inputs| running(inputs, BatchNorm2d::forward_repeated));
    off_centre(case, &[batch, 1, height, width], channels)
}

pub fn layer_norm(x: [usize; 3]) -> Case {
    let case = Case::new(format!("layer norm {x:?}"), move |inputs| {
        let mut norm = LayerNormConfig::new(x[2]).epsilon(1e-6).init(&inputs.device);
        norm.weight = parameter(inputs, "w");
        norm.bias = parameter(inputs, "b");
        vec![inputs.output("y", norm.forward(inputs.tensor::<3>("x")))]
    });
    off_centre(case, &x, x[2])
}

pub fn group_norm(x: [usize; 4], groups: usize) -> Case {
    let case = Case::new(format!("group norm {x:?} {groups}"), move |inputs| {
        let mut norm = GroupNormConfig::new(groups, x[1]).init(&inputs.device);
        norm.weight = parameter(inputs, "w");
        norm.bias = parameter(inputs, "b");
        vec![inputs.output("y", norm.forward(inputs.tensor("x")))]
    });
    off_centre(case, &x, x[1])
}

pub fn dynamic_tanh(x: [usize; 4]) -> Case {
    let case = Case::new(format!("dynamic tanh {x:?}"), move |inputs| {
        let mut norm = DynamicTanhConfig::new(x[1]).init(&inputs.device);
        norm.alpha = parameter(inputs, "a");
        norm.weight = parameter(inputs, "w");
        norm.bias = parameter(inputs, "b");
        vec![inputs.output("y", norm.forward(inputs.tensor("x")))]
    });
    off_centre(case, &x, x[1]).spread("a", &[1], 0.2, 0.5)
}

#[test]
fn each_kind_is_exact_derives_and_reads_views() {
    for case in [
        batch_norm_train([2, 3, 5, 4]),
        batch_norm_train([1, 2, 3, 3]),
        batch_norm([2, 3, 5, 4]),
        batch_norm_layer([2, 3, 4, 3]),
        batch_norm_repeated([2, 5, 3, 4]),
    ] {
        agrees(&case);
        derives(&case);
        reads_views(&case);
    }
    for case in [
        layer_norm([2, 3, 7]),
        layer_norm([1, 1, 16]),
        group_norm([2, 6, 3, 4], 3),
        group_norm([1, 4, 2, 3], 1),
        dynamic_tanh([2, 3, 4, 5]),
    ] {
        agrees(&case);
        derives(&case);
        reads_views_to_rounding(&case);
    }
}

/// Of sizes that the networks have: several tasks, so several threads.
pub fn large() -> Vec<Case> {
    vec![
        batch_norm_train([2, 17, 112, 111]),
        batch_norm_train([8, 31, 7, 7]),
        batch_norm([2, 33, 56, 56]),
        layer_norm([2, 196, 384]),
        layer_norm([1, 49, 769]),
        group_norm([2, 64, 56, 55], 1),
        dynamic_tanh([2, 16, 56, 56]),
    ]
}

#[test]
fn sizes_of_the_networks_are_exact() {
    large().iter().for_each(agrees);
}

#[test]
fn one_value_per_channel_has_no_variance_and_no_gradient() {
    // x - mean is 0: the value is the shift, and no input or scale moves it.
    agrees(&batch_norm_train([1, 9, 1, 1]));
    agrees(&batch_norm_layer([1, 3, 1, 1]));
}

proptest! {
    #![proptest_config(draws(24))]

    #[test]
    fn any_batch_norm_is_exact_and_reads_views(
        batch in 1..4usize,
        channels in prop::sample::select(vec![1, 3, 7, 8, 9, 15, 16, 17, 31, 33]),
        // Over few values the gradient is a difference of nearly equal numbers.
        sides in [3..14usize, 3..20],
    ) {
        let x = [batch, channels, sides[0], sides[1]];
        for case in [batch_norm_train(x), batch_norm(x)] {
            agrees(&case);
            reads_views(&case);
        }
    }

    #[test]
    fn any_layer_or_group_norm_is_exact_and_reads_views(
        batch in 1..4usize,
        tokens in 1..20usize,
        features in prop::sample::select(vec![7, 8, 9, 15, 16, 17, 31, 33, 65, 96]),
        groups in 1..4usize,
    ) {
        for case in [layer_norm([batch, tokens, features]), group_norm([batch, groups * 3, tokens, features], groups)] {
            agrees(&case);
            reads_views_to_rounding(&case);
        }
    }
}
