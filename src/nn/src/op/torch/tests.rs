//! The functions of `aten` against libtorch's own tape, which walks the forward
//! pass back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use tch::{Device, Kind, Tensor};

use super::aten::{self, Form, Rates};
use crate::op::testing::{normals, uniform};

const F64: (Kind, Device) = (Kind::Double, Device::Cpu);
const F32: (Kind, Device) = (Kind::Float, Device::Cpu);

const NO_RATES: Rates =
    Rates { rate: 0.0, beta1: 0.9, beta2: 0.999, decay: 0.0, epsilon: 1e-8, time: 1.0, clip: 1.0 };

/// Not libtorch's own draws: its generator is shared by tests that run at once.
fn random(shape: &[i64], (kind, device): (Kind, Device), seed: u64) -> Tensor {
    let numbers = normals(shape.iter().product::<i64>() as usize, seed);
    Tensor::from_slice(&numbers).reshape(shape).to_kind(kind).to_device(device)
}

/// The value of f, a slope for it, and the gradients that the tape gives.
fn taped<const N: usize>(
    inputs: [&Tensor; N],
    f: impl Fn(&[Tensor; N]) -> Tensor,
) -> (Tensor, Tensor, Vec<Tensor>) {
    let leaves = inputs.map(|input| input.detach().set_requires_grad(true));
    let y = tch::with_grad(|| f(&leaves));
    let slope = random(&y.size(), (y.kind(), Device::Cpu), 100);
    let sum = tch::with_grad(|| (&y * &slope).sum(None));
    let gradients = Tensor::run_backward(&[sum], &leaves, false, false);
    (y.detach(), slope, gradients)
}

#[track_caller]
fn close(ours: &Tensor, theirs: &Tensor, bound: f64) {
    assert_eq!(ours.size(), theirs.size());
    let scale = theirs.abs().max().double_value(&[]);
    let apart = (ours - theirs).abs().max().double_value(&[]);
    assert!(apart <= bound * scale, "{apart} of {scale}");
}

fn plain(padding: i64) -> Form {
    Form { stride: 1, padding, output_padding: 0, dilation: 1, groups: 1, transposed: false }
}

fn convolve(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, form: Form) -> Tensor {
    let pair = |side: i64| [side; 2];
    x.convolution(
        weight,
        bias,
        pair(form.stride),
        pair(form.padding),
        pair(form.dilation),
        form.transposed,
        pair(form.output_padding),
        form.groups,
    )
}

#[test]
fn convolutions_have_the_gradients_of_the_tape() {
    for (form, weight) in [
        (plain(1), [6, 4, 3, 3]),
        (Form { stride: 2, ..plain(1) }, [6, 4, 3, 3]),
        (Form { dilation: 2, groups: 2, ..plain(2) }, [6, 2, 3, 3]),
        (Form { stride: 2, transposed: true, ..plain(0) }, [4, 6, 2, 2]),
        (Form { stride: 2, output_padding: 1, transposed: true, ..plain(1) }, [4, 6, 3, 3]),
    ] {
        let (x, w, b) = (random(&[2, 4, 9, 12], F64, 1), random(&weight, F64, 2), random(&[6], F64, 3));
        let (_, slope, tape) = taped([&x, &w, &b], |[x, w, b]| convolve(x, w, Some(b), form));
        for wanted in [[true; 3], [false, true, true], [true, false, false], [false, true, false]] {
            let ours = aten::convolution_backward(&slope, &x, &w, form, wanted);
            for ((ours, tape), wanted) in ours.into_iter().zip(&tape).zip(wanted) {
                assert_eq!(ours.is_some(), wanted, "{form:?}");
                if let Some(ours) = ours {
                    close(&ours, tape, 1e-12);
                }
            }
        }
    }
}

#[test]
fn norms_have_the_gradients_of_the_tape() {
    let (x, w, b) = (random(&[3, 5, 4, 6], F64, 1), random(&[5], F64, 2), random(&[5], F64, 3));
    let none = None::<&Tensor>;
    let batch_norm = |x: &Tensor, w: &Tensor, b: &Tensor| {
        x.native_batch_norm(Some(w), Some(b), none, none, true, 0.1, 1e-5)
    };
    let (_, slope, tape) = taped([&x, &w, &b], |[x, w, b]| batch_norm(x, w, b).0);
    let (_, mean, inverse) = batch_norm(&x, &w, &b);
    let ours = aten::batch_norm_backward(&slope, &x, &w, [&mean, &inverse], 1e-5);
    ours.iter().zip(&tape).for_each(|(ours, tape)| close(ours, tape, 1e-11));

    let (w, b) = (random(&[6], F64, 4), random(&[6], F64, 5));
    let layer_norm = |x: &Tensor, w: &Tensor, b: &Tensor| x.native_layer_norm([6], Some(w), Some(b), 1e-5);
    let (_, slope, tape) = taped([&x, &w, &b], |[x, w, b]| layer_norm(x, w, b).0);
    let (_, mean, inverse) = layer_norm(&x, &w, &b);
    let ours = aten::layer_norm_backward(&slope, &x, &w, [&mean, &inverse]);
    ours.iter().zip(&tape).for_each(|(ours, tape)| close(ours, tape, 1e-11));
}

#[test]
fn samplings_have_the_gradients_of_the_tape() {
    let x = random(&[2, 3, 5, 7], F64, 1);
    // Some samples lie beyond the border.
    let grid = (Tensor::from_slice(&uniform(2 * 10 * 14 * 2, 2)).reshape([2, 10, 14, 2]) - 0.5) * 2.4;
    let (_, slope, tape) = taped([&x, &grid], |[x, grid]| x.grid_sampler_2d(grid, 0, 1, false));
    let ours = aten::grid_sampler_backward(&slope, &x, &grid, [0, 1]);
    ours.iter().zip(&tape).for_each(|(ours, tape)| close(ours, tape, 1e-12));
}

#[test]
fn depthwise_kernels_are_convolutions() {
    for (side, padding, dilation, size) in [
        (3, 1, 1, [2, 5, 17, 33]),
        (3, 2, 2, [1, 3, 16, 16]),
        (3, 3, 3, [3, 2, 40, 47]),
        (3, 0, 1, [1, 2, 3, 3]),
        (3, 1, 2, [2, 2, 9, 20]),
        (5, 2, 1, [2, 4, 14, 14]),
        (7, 3, 1, [1, 3, 28, 31]),
        (7, 1, 2, [1, 2, 20, 15]),
    ] {
        let form = Form { dilation, groups: size[1], ..plain(padding) };
        let (x, w) = (random(&size, F32, 1), random(&[size[1], 1, side, side], F32, 2));
        assert!(aten::has_depthwise(&x, &w, form), "{form:?}");
        let exact = [x.to_kind(Kind::Double), w.to_kind(Kind::Double)];
        let (y, slope, tape) = taped([&exact[0], &exact[1]], |[x, w]| convolve(x, w, None, form));
        close(&aten::depthwise(&x, &w, form), &y, 1e-6);
        // A map whose channels of a pixel lie side by side is read as any other.
        let apart = x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
        close(&aten::depthwise(&apart, &w, form), &y, 1e-6);
        let slope = slope.to_kind(Kind::Float);
        let ours = aten::depthwise_backward(&slope, &x, &w, form);
        ours.iter().zip(&tape).for_each(|(ours, tape)| close(ours, tape, 2e-6));
    }
}

#[test]
fn depthwise_kernels_are_for_what_they_can() {
    let (x, w) = (random(&[1, 4, 8, 8], F32, 1), random(&[4, 1, 3, 3], F32, 2));
    let form = Form { groups: 4, ..plain(1) };
    assert!(aten::has_depthwise(&x, &w, form));
    for other in [
        Form { stride: 2, ..form },
        Form { padding: 3, ..form },
        Form { transposed: true, ..form },
        Form { dilation: 6, padding: 1, ..form },
    ] {
        assert!(!aten::has_depthwise(&x, &w, other), "{other:?}");
    }
    assert!(!aten::has_depthwise(&x.to_kind(Kind::Double), &w.to_kind(Kind::Double), form));
    assert!(!aten::has_depthwise(&x, &random(&[4, 1, 2, 2], F32, 3), form));
    assert!(!aten::has_depthwise(&x, &random(&[8, 1, 3, 3], F32, 4), form));
}

#[test]
fn the_result_does_not_depend_on_the_number_of_threads() {
    let form = Form { groups: 13, dilation: 2, ..plain(2) };
    let (x, w) = (random(&[2, 13, 70, 61], F32, 1), random(&[13, 1, 3, 3], F32, 2));
    let slope = random(&[2, 13, 70, 61], F32, 3);
    let before = tch::get_num_threads();
    let run = |threads| {
        tch::set_num_threads(threads);
        let [a, b] = aten::depthwise_backward(&slope, &x, &w, form);
        [aten::depthwise(&x, &w, form), a, b]
    };
    let (one, two) = (run(1), run(2));
    tch::set_num_threads(before);
    assert!(one.iter().zip(&two).all(|(one, two)| one == two));
}

#[test]
fn a_step_of_adamw_is_the_formula() {
    let (rate, decay, beta1, beta2, epsilon) = (1e-2, 1e-1, 0.9, 0.999, 1e-8);
    for (clip, time) in [(1.0, 1.0), (0.25, 3.0)] {
        let [mut p, g, mut m, v] = [1, 2, 3, 4].map(|seed| random(&[1000], F32, seed));
        let mut v = v.square();
        let [p0, g0, m0, v0] = [&p, &g, &m, &v].map(|x| x.to_kind(Kind::Double));
        let rates = Rates { rate, beta1, beta2, decay, epsilon, time, clip };
        aten::adamw(&mut p, &mut g.copy(), [&mut m, &mut v], rates);
        let g = g0 * clip;
        let m1 = m0 * beta1 + &g * (1.0 - beta1);
        let v1 = v0 * beta2 + g.square() * (1.0 - beta2);
        let (m_hat, v_hat) = (&m1 / (1.0 - f64::powf(beta1, time)), &v1 / (1.0 - f64::powf(beta2, time)));
        let p1 = p0 * (1.0 - rate * decay) - m_hat * rate / (v_hat.sqrt() + epsilon);
        for (ours, exact) in [(p, p1), (m, m1), (v, v1)] {
            close(&ours.to_kind(Kind::Double), &exact, 1e-6);
        }
    }
}

#[test]
fn what_libtorch_refuses_comes_with_its_text() {
    let (x, w) = (random(&[1, 4, 8, 8], F32, 1), random(&[6, 4, 3, 3], F32, 2));
    let wrong = random(&[1, 5, 8, 8], F32, 3);
    let call = || aten::convolution_backward(&wrong, &x, &w, plain(1), [true; 3]);
    let panic = catch_unwind(AssertUnwindSafe(call)).expect_err("five channels of six");
    let text = panic.downcast_ref::<String>().expect("text");
    assert!(text.starts_with("libtorch: ") && text.len() > 20, "{text}");

    let form = Form { groups: 4, ..plain(1) };
    let (filter, rates) = (random(&[4, 1, 3, 3], F32, 4), Rates { rate: 0.1, ..NO_RATES });
    let call = || aten::depthwise_backward(&wrong, &x, &filter, form);
    assert!(catch_unwind(AssertUnwindSafe(call)).is_err(), "five channels of four");
    let call = || {
        let [mut p, mut g, mut m, mut v] = [4, 4, 3, 4].map(|n| random(&[n], F32, 5));
        aten::adamw(&mut p, &mut g, [&mut m, &mut v], rates);
    };
    assert!(catch_unwind(AssertUnwindSafe(call)).is_err(), "three values of four");
}

/// For tests of which blocks wait: one at a time.
static BLOCKS: Mutex<()> = Mutex::new(());

#[test]
fn a_freed_block_waits_for_a_tensor_that_fills_half_of_it() {
    let _alone = BLOCKS.lock().unwrap_or_else(PoisonError::into_inner);
    aten::keep_memory();
    let bytes = |mebibytes: i64| Tensor::ones([mebibytes << 20], (Kind::Uint8, Device::Cpu));
    let first = bytes(37);
    let place = first.data_ptr();
    drop(first);
    // For the one it is more than twice too large, for the other too small.
    let others = [bytes(18), bytes(38)];
    assert!(others.iter().all(|other| other.data_ptr() != place));
    let second = bytes(36);
    assert_eq!(second.data_ptr(), place);
    assert_eq!(second.sum(Kind::Int64).int64_value(&[]), 36 << 20);
}

#[test]
fn no_two_tensors_share_a_block() {
    aten::keep_memory();
    let mut held = Vec::new();
    for number in 0..120 {
        let side = 300 + 50 * ((7 * number) % 11);
        held.push(Tensor::full([2, side, side], number, F32));
        if number % 3 > 0 {
            drop(held.swap_remove((5 * number as usize) % held.len()));
        }
    }
    for tensor in &held {
        assert_eq!(tensor.min().double_value(&[]), tensor.max().double_value(&[]));
    }
}

#[test]
fn no_more_waits_than_half_of_what_tensors_needed() {
    let _alone = BLOCKS.lock().unwrap_or_else(PoisonError::into_inner);
    aten::keep_memory();
    for mebibytes in [310, 630, 1270] {
        // Nothing is written, so that no page is taken.
        let tensor = Tensor::empty([mebibytes << 20], (Kind::Uint8, Device::Cpu));
        let [used, waiting, peak] = aten::memory();
        assert!(used >= mebibytes << 20);
        let bound = peak + (peak / 2).max(256 << 20);
        assert!(used + waiting <= bound, "{used} in tensors, {waiting} wait, peak {peak}");
        drop(tensor);
    }
}
