//! Linear layers, attention and GELU.

use dygl_nn::layer::LinearConfig;
use dygl_nn::op;
use proptest::prelude::*;

use super::difference::derives;
use super::harness::{Case, agrees, draws};
use super::layout::{reads_views, reads_views_to_rounding};
use super::norm::parameter;

pub fn gelu(x: [usize; 3], scale: f32) -> Case {
    let case = Case::new(format!("gelu {x:?} within {scale}"), |inputs| {
        vec![inputs.output("y", op::gelu(inputs.tensor::<3>("x")))]
    });
    case.spread("x", &x, scale, 0.0)
}

pub fn linear(x: [usize; 3], output: usize, bias: bool) -> Case {
    let case =
        Case::new(format!("linear {x:?} {output}{}", if bias { " bias" } else { "" }), move |inputs| {
            let mut layer = LinearConfig::new(x[2], output).init(&inputs.device);
            layer.weight = parameter(inputs, "w");
            layer.bias = inputs.has("b").then(|| parameter(inputs, "b"));
            vec![inputs.output("y", layer.forward(inputs.tensor::<3>("x")))]
        });
    let case = case.input("x", &x).input("w", &[output, x[2]]);
    if bias { case.input("b", &[output]) } else { case }
}

/// q [B, h, N, d] on `keys` keys, with a bias of that shape (it is broadcast).
pub fn attention(
    [batch, heads, queries, features]: [usize; 4],
    keys: usize,
    bias: Option<[usize; 4]>,
) -> Case {
    let q = [batch, heads, queries, features];
    let case = Case::new(format!("attention {q:?} on {keys}, bias {bias:?}"), move |inputs| {
        let [q, k, v] = ["q", "k", "v"].map(|name| inputs.tensor(name));
        let scale = (features as f64).sqrt().recip();
        let bias = inputs.has("bias").then(|| inputs.tensor("bias"));
        vec![inputs.output("y", op::attention(q, k, v, scale, bias))]
    });
    let other = [batch, heads, keys, features];
    let case = case.input("q", &q).input("k", &other).input("v", &other);
    match bias {
        Some(shape) => case.input("bias", &shape),
        None => case,
    }
}

#[test]
fn each_kind_is_exact_derives_and_reads_views() {
    for case in [
        gelu([2, 3, 5], 4.0),
        linear([2, 3, 5], 4, true),
        linear([1, 1, 7], 3, false),
        attention([2, 3, 4, 5], 4, None),
        // Fewer keys than queries; a single one, whose weight is always 1.
        attention([1, 2, 5, 3], 2, None),
        // A bias for all; of each head; of each image; of each query alone.
        attention([2, 2, 3, 4], 5, Some([2, 2, 3, 5])),
        attention([2, 2, 3, 4], 5, Some([1, 2, 3, 5])),
        attention([2, 2, 3, 4], 5, Some([2, 1, 3, 5])),
        attention([2, 2, 3, 4], 5, Some([1, 1, 1, 5])),
    ] {
        agrees(&case);
        derives(&case);
        reads_views_to_rounding(&case);
    }
    // Of one key the weight is 1, and neither queries nor keys move it: their
    // gradient is 0 but for rounding, so there is nothing to relate to.
    let alone = Case::new("attention on one key", |inputs| {
        let [q, k, v] = ["q", "k", "v"].map(|name| inputs.tensor(name));
        vec![inputs.output("y", op::attention(q, k, v, 0.5, None))]
    });
    let alone = alone.input("q", &[2, 2, 3, 4]).constant().input("k", &[2, 2, 1, 4]).constant();
    let alone = alone.input("v", &[2, 2, 1, 4]);
    agrees(&alone);
    derives(&alone);
}

/// Of sizes that the networks have: several tasks, so several threads.
pub fn large() -> Vec<Case> {
    vec![
        gelu([2, 64, 3136], 6.0),
        gelu([1, 1, 20_000], 12.0),
        linear([2, 196, 96], 385, true),
        linear([1, 3, 1025], 33, false),
        attention([2, 8, 196, 8], 196, None),
        attention([4, 3, 49, 32], 49, Some([1, 3, 49, 49])),
    ]
}

#[test]
fn sizes_of_the_networks_are_exact() {
    large().iter().for_each(agrees);
}

proptest! {
    #![proptest_config(draws(24))]

    #[test]
    fn any_linear_is_exact_and_reads_views(
        x in [1..4usize, 1..20, 1..40],
        output in prop::sample::select(vec![1, 3, 7, 8, 9, 15, 16, 17, 31, 33]),
        bias in any::<bool>(),
    ) {
        let case = linear(x, output, bias);
        agrees(&case);
        reads_views_to_rounding(&case);
    }

    #[test]
    fn any_attention_is_exact_and_reads_views(
        q in [1..3usize, 1..5, 1..20, 1..18],
        keys in 2..24usize,
        // Which axes of a bias are one; beyond 15 there is none.
        ones in 0..20usize,
    ) {
        let whole = [q[0], q[1], q[2], keys];
        let broadcast = |axis: usize| if ones >> axis & 1 == 1 && axis < 3 { 1 } else { whole[axis] };
        let bias = (ones < 16).then(|| [0, 1, 2, 3].map(broadcast));
        let case = attention(q, keys, bias);
        agrees(&case);
        reads_views_to_rounding(&case);
    }

    #[test]
    fn any_gelu_is_exact_and_reads_views(x in [1..4usize, 1..20, 1..40]) {
        let case = gelu(x, 5.0);
        agrees(&case);
        reads_views(&case);
    }
}
