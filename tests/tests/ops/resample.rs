//! Resizing, dynamic upsampling and pooling.

use dygl_nn::layer::{avg_pool_3x3, avg_pool_ceil, global_average, max_pool, max_pool_stem};
use dygl_nn::op::{self, Corners};
use proptest::prelude::*;

use super::difference::derives;
use super::harness::{Case, Rule, agrees, draws};
use super::layout::reads_views;

pub fn resize(x: [usize; 4], size: [usize; 2], corners: Corners) -> Case {
    let case = Case::new(format!("resize {x:?} {size:?} {corners:?}"), move |inputs| {
        vec![inputs.output("y", op::resize_bilinear(inputs.tensor("x"), size, corners))]
    });
    case.input("x", &x)
}

pub fn nearest(x: [usize; 4], factor: usize) -> Case {
    let case = Case::new(format!("nearest {x:?} {factor}"), move |inputs| {
        vec![inputs.output("y", op::upsample_nearest(inputs.tensor("x"), factor))]
    });
    case.input("x", &x)
}

/// Samples from two pixels before the map to two pixels behind it.
pub fn dynamic_upsample([batch, channels, height, width]: [usize; 4], groups: usize, rule: Rule) -> Case {
    let x = [batch, channels, height, width];
    let case = Case::new(format!("dynamic upsample {x:?} {groups}"), move |inputs| {
        vec![inputs.output("y", op::dynamic_upsample(inputs.tensor("x"), inputs.tensor("offset"), groups))]
    });
    case.input("x", &x).ruled("offset", &[batch, 8 * groups, height, width], rule)
}

pub type Pool = fn(burn::tensor::Tensor<4>) -> burn::tensor::Tensor<4>;

pub const POOLS: [(&str, Pool); 7] = [
    ("max 2", |x| max_pool(x, 2)),
    ("max 3", |x| max_pool(x, 3)),
    ("max stem", max_pool_stem),
    ("average 3x3", |x| avg_pool_3x3(x, 1)),
    ("average 3x3 half", |x| avg_pool_3x3(x, 2)),
    ("average ceil 2", |x| avg_pool_ceil(x, 2)),
    ("average ceil 3", |x| avg_pool_ceil(x, 3)),
];

pub fn pool(x: [usize; 4], (name, pool): (&str, Pool)) -> Case {
    let case = Case::new(format!("pool {name} {x:?}"), move |inputs| {
        vec![inputs.output("y", pool(inputs.tensor("x")))]
    });
    case.input("x", &x)
}

pub fn average(x: [usize; 4]) -> Case {
    let case = Case::new(format!("global average {x:?}"), |inputs| {
        vec![inputs.output("y", global_average(inputs.tensor("x")))]
    });
    case.input("x", &x)
}

#[test]
fn each_resize_is_exact_derives_and_reads_views() {
    for corners in [Corners::Centred, Corners::Aligned] {
        // Up, down, both, to and from a single pixel, and the same size.
        for (from, to) in [
            ([5, 7], [10, 14]),
            ([9, 8], [4, 3]),
            ([3, 10], [7, 4]),
            ([1, 6], [3, 5]),
            ([1, 1], [2, 3]),
            ([6, 4], [1, 1]),
            ([4, 5], [4, 5]),
        ] {
            let case = resize([2, 3, from[0], from[1]], to, corners);
            agrees(&case);
            derives(&case);
            reads_views(&case);
        }
    }
    for case in [nearest([2, 3, 4, 5], 2), nearest([1, 2, 1, 3], 4), nearest([1, 1, 2, 2], 1)] {
        agrees(&case);
        derives(&case);
        reads_views(&case);
    }
}

#[test]
fn dynamic_upsampling_is_exact_derives_and_reads_views() {
    for case in [
        dynamic_upsample([2, 8, 5, 7], 2, Rule::Between),
        dynamic_upsample([1, 4, 6, 4], 4, Rule::Between),
        dynamic_upsample([1, 2, 2, 2], 1, Rule::Between),
    ] {
        agrees(&case);
        derives(&case);
        reads_views(&case);
    }
    // A side of one pixel: every sample is that pixel, and no offset moves it.
    for case in
        [dynamic_upsample([2, 4, 1, 6], 2, Rule::Between), dynamic_upsample([1, 2, 5, 1], 1, Rule::Between)]
    {
        agrees(&case);
        reads_views(&case);
    }
    agrees(&dynamic_upsample([2, 64, 28, 27], 8, Rule::Between));
}

#[test]
fn each_pool_is_exact_derives_and_reads_views() {
    for each in POOLS {
        for x in [[2, 3, 6, 8], [1, 2, 7, 5], [1, 1, 3, 3]] {
            let case = pool(x, each);
            agrees(&case);
            derives(&case);
            reads_views(&case);
        }
    }
    for case in [average([2, 3, 5, 4]), average([1, 17, 1, 1])] {
        agrees(&case);
        derives(&case);
        reads_views(&case);
    }
    agrees(&average([2, 17, 56, 57]));
}

proptest! {
    #![proptest_config(draws(24))]

    #[test]
    fn any_resize_is_exact_and_reads_views(
        batch in 1..3usize,
        channels in prop::sample::select(vec![1, 3, 8, 17]),
        from in [1..17usize, 1..17],
        to in [1..25usize, 1..25],
        aligned in any::<bool>(),
    ) {
        let corners = if aligned { Corners::Aligned } else { Corners::Centred };
        let case = resize([batch, channels, from[0], from[1]], to, corners);
        agrees(&case);
        reads_views(&case);
    }

    #[test]
    fn any_dynamic_upsampling_is_exact_and_reads_views(
        batch in 1..3usize,
        groups in 1..5usize,
        share in 1..5usize,
        sides in [1..14usize, 1..14],
    ) {
        let case = dynamic_upsample([batch, groups * share, sides[0], sides[1]], groups, Rule::Between);
        agrees(&case);
        reads_views(&case);
    }

    #[test]
    fn any_pool_is_exact_and_reads_views(
        batch in 1..3usize,
        channels in prop::sample::select(vec![1, 3, 8, 17]),
        sides in [3..20usize, 3..20],
        which in 0..POOLS.len(),
    ) {
        let case = pool([batch, channels, sides[0], sides[1]], POOLS[which]);
        agrees(&case);
        reads_views(&case);
    }
}
