//! Convolutions: dense, pointwise, depthwise, grouped, strided, dilated and
//! transposed.

use dygl_nn::op::{self, Convolution};
use proptest::prelude::*;

use super::difference::derives;
use super::harness::{Case, agrees_within, draws};
use super::layout::reads_views;

/// A convolution is one sum; its rounding stays below a third of what is allowed.
const BOUND: f64 = 3e-6;

fn agrees(case: &Case) {
    agrees_within(case, BOUND);
}

/// Channels beside the widths of vectors.
const CHANNELS: [usize; 10] = [1, 3, 7, 8, 9, 15, 16, 17, 31, 33];

fn plain(padding: usize) -> Convolution {
    Convolution { padding, ..Convolution::PLAIN }
}

/// x [B, groups input, H, W] with `output` channels a group and a bias or none.
pub fn convolution(x: [usize; 4], output: usize, kernel: usize, bias: bool, form: Convolution) -> Case {
    let Convolution { groups, transposed, .. } = form;
    let [_, channels, ..] = x;
    let weight = if transposed {
        [channels, output, kernel, kernel]
    } else {
        [groups * output, channels / groups, kernel, kernel]
    };
    let name = format!("convolution {x:?} {weight:?} {form:?}{}", if bias { " bias" } else { "" });
    let case = Case::new(name, move |inputs| {
        let bias = inputs.has("b").then(|| inputs.tensor("b"));
        let y = op::convolution(inputs.tensor("x"), inputs.tensor("w"), bias, form);
        vec![inputs.output("y", y)]
    });
    let case = case.input("x", &x).input("w", &weight);
    if bias { case.input("b", &[groups * output]) } else { case }
}

pub fn pointwise(x: [usize; 4], output: usize, bias: bool) -> Case {
    convolution(x, output, 1, bias, Convolution::PLAIN)
}

/// One filter per channel.
pub fn depthwise(x: [usize; 4], kernel: usize, [stride, padding, dilation]: [usize; 3], bias: bool) -> Case {
    let form = Convolution { stride, padding, dilation, groups: x[1], ..Convolution::PLAIN };
    convolution(x, 1, kernel, bias, form)
}

/// Whether a window fits into a map with its padding.
fn fits(sides: [usize; 2], kernel: usize, form: Convolution) -> bool {
    let reach = form.dilation * (kernel - 1);
    sides.iter().all(|side| match form.transposed {
        true => (side - 1) * form.stride + reach + 1 + form.output_padding > 2 * form.padding,
        false => side + 2 * form.padding > reach,
    })
}

/// One of each kind, with its borders.
fn kinds() -> Vec<Case> {
    let up = Convolution { stride: 2, transposed: true, ..plain(0) };
    vec![
        convolution([2, 3, 7, 9], 5, 3, true, plain(1)),
        convolution([1, 2, 5, 4], 3, 1, false, plain(0)),
        // Grouped, strided, dilated; then more padding than the window reaches.
        convolution([2, 6, 8, 7], 2, 3, true, Convolution { groups: 3, stride: 2, ..plain(1) }),
        convolution([1, 2, 9, 8], 3, 3, false, Convolution { dilation: 3, ..plain(3) }),
        convolution([1, 2, 4, 5], 3, 1, false, plain(2)),
        // A map smaller than the dilated window: most taps lie in the padding.
        convolution([2, 3, 3, 2], 4, 3, true, Convolution { dilation: 4, ..plain(4) }),
        // A stride beyond the window: pixels that nothing reads.
        convolution([1, 3, 11, 10], 4, 2, true, Convolution { stride: 3, ..plain(0) }),
        convolution([2, 4, 3, 5], 3, 2, true, up),
        convolution([1, 4, 4, 3], 3, 3, true, Convolution { padding: 1, output_padding: 1, ..up }),
        convolution([1, 4, 3, 4], 2, 3, false, Convolution { groups: 2, dilation: 2, ..up }),
        convolution([1, 3, 3, 2], 2, 2, true, Convolution { stride: 3, output_padding: 2, ..up }),
        pointwise([2, 5, 3, 4], 6, true),
        pointwise([1, 3, 1, 1], 2, false),
        depthwise([2, 3, 6, 7], 3, [1, 1, 1], true),
        depthwise([1, 2, 3, 4], 3, [1, 5, 5], false),
        depthwise([2, 2, 9, 8], 3, [2, 1, 2], true),
        depthwise([1, 3, 7, 8], 5, [1, 2, 1], false),
    ]
}

#[test]
fn each_kind_is_exact_derives_and_reads_views() {
    for case in kinds() {
        agrees(&case);
        derives(&case);
        reads_views(&case);
    }
}

/// Of sizes that the networks have: several tasks, so several threads.
pub fn large() -> Vec<Case> {
    let half = Convolution { stride: 2, ..plain(1) };
    vec![
        convolution([2, 64, 28, 28], 70, 3, true, plain(1)),
        convolution([1, 33, 61, 50], 20, 3, false, plain(1)),
        convolution([2, 3, 63, 65], 16, 7, false, Convolution { padding: 3, ..half }),
        convolution([1, 31, 40, 41], 17, 3, false, Convolution { dilation: 4, ..plain(4) }),
        convolution([2, 32, 14, 15], 17, 2, true, Convolution { stride: 2, transposed: true, ..plain(0) }),
        pointwise([2, 128, 28, 28], 65, true),
        pointwise([3, 300, 1, 1], 9, true),
        depthwise([2, 33, 56, 55], 3, [1, 3, 3], true),
        // Larger than a thread's buffer, with a stride and without.
        depthwise([1, 2, 331, 317], 3, [1, 2, 2], true),
        depthwise([1, 2, 701, 333], 3, [2, 1, 1], false),
        depthwise([1, 16, 28, 29], 7, [1, 3, 1], false),
    ]
}

#[test]
fn sizes_of_the_networks_are_exact() {
    large().iter().for_each(agrees);
}

prop_compose! {
    /// Any convolution that fits, some of them with a view's turn.
    fn any_convolution()(
        batch in 1..3usize,
        groups in 1..4usize,
        channels in prop::array::uniform2(prop::sample::select(&CHANNELS[..])),
        sides in [1..16usize, 1..28],
        kernel in 1..5usize,
        stride in 1..5usize,
        padding in 0..4usize,
        output_padding in 0..3usize,
        dilation in 1..4usize,
        transposed in any::<bool>(),
        bias in any::<bool>(),
    ) -> Option<Case> {
        let output_padding = if transposed { output_padding.min(stride - 1) } else { 0 };
        let form = Convolution { stride, padding, output_padding, dilation, groups, transposed };
        let x = [batch, groups * channels[0], sides[0], sides[1]];
        fits(sides, kernel, form).then(|| convolution(x, channels[1], kernel, bias, form))
    }
}

proptest! {
    #![proptest_config(draws(40))]

    #[test]
    fn any_convolution_is_exact(case in any_convolution().prop_filter_map("it fits", |case| case)) {
        agrees(&case);
    }

    #[test]
    fn any_pointwise_is_exact_and_reads_views(
        batch in 1..4usize,
        channels in prop::array::uniform2(prop::sample::select(&CHANNELS[..])),
        sides in [1..16usize, 1..16],
        bias in any::<bool>(),
    ) {
        let case = pointwise([batch, channels[0], sides[0], sides[1]], channels[1], bias);
        agrees(&case);
        reads_views(&case);
    }

    #[test]
    fn any_depthwise_is_exact_and_reads_views(
        batch in 1..3usize,
        channels in prop::sample::select(&CHANNELS[..]),
        sides in [1..16usize, 1..20],
        half in 0..4usize,
        stride in 1..4usize,
        dilation in 1..6usize,
        bias in any::<bool>(),
    ) {
        // The networks pad by the reach: a map may be smaller than the window.
        let window = [stride, half * dilation, dilation];
        let case = depthwise([batch, channels, sides[0], sides[1]], 2 * half + 1, window, bias);
        agrees(&case);
        reads_views(&case);
    }
}
