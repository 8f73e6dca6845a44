//! What only training has: the loss, the optimizer, and noise.

use burn::tensor::{DType, Device, Tensor, TensorData};
use dygl_nn::op::{self, AdamWStep};
use dygl_spec::protocol::{Loss, Pooling};
use dygl_tests::arrays::unit;
use dygl_train::learn::loss;
use proptest::prelude::*;

use super::difference::derives;
use super::harness::{BOUND, Case, Inputs, Output, Values, agrees, devices, draws, numbers, run};
use super::layout::{Layout, reads_views};

/// Logits in [-4, 4) against soft targets in [0, 1).
pub fn losses(logits: [usize; 4], maps: usize, spec: Loss) -> Case {
    let name = format!("loss {logits:?} of {maps}, {spec:?}");
    let parts = move |inputs: &Inputs| -> Vec<Output> {
        let target: Tensor<4> = inputs.tensor("target");
        let names = ["first", "second", "third"];
        let outputs: Vec<Tensor<4>> = names[..maps].iter().map(|name| inputs.tensor(name)).collect();
        let parts = match <[Tensor<4>; 1]>::try_from(outputs.clone()) {
            Ok([logits]) => loss::loss(logits, target, &spec),
            Err(_) => loss::mean_loss(outputs, target, &spec),
        };
        vec![
            inputs.output("total", parts.total),
            inputs.output("bce", parts.bce),
            inputs.output("dice", parts.dice),
        ]
    };
    let mut case = Case::new(name, parts).spread("target", &logits, 0.5, 0.5).constant();
    for name in &["first", "second", "third"][..maps] {
        case = case.spread(name, &logits, 4.0, 0.0);
    }
    case
}

fn spec(dice_pooling: Pooling) -> Loss {
    Loss { lambda: 0.3, dice_smoothing: 1.0, dice_pooling }
}

#[test]
fn the_loss_is_exact_derives_and_reads_views() {
    for pooling in [Pooling::Batch, Pooling::Image] {
        for case in [
            losses([2, 1, 5, 4], 1, spec(pooling)),
            losses([1, 1, 3, 7], 1, spec(pooling)),
            losses([2, 1, 3, 4], 3, spec(pooling)),
        ] {
            agrees(&case);
            derives(&case);
            reads_views(&case);
        }
        agrees(&losses([2, 1, 224, 223], 1, spec(pooling)));
        agrees(&losses([4, 1, 96, 96], 1, Loss { dice_smoothing: 1e-5, ..spec(pooling) }));
    }
}

proptest! {
    #![proptest_config(draws(24))]

    #[test]
    fn any_loss_is_exact_and_reads_views(
        logits in [1..5usize, 1..2, 1..40, 1..40],
        lambda in prop::sample::select(vec![0.0, 0.3, 0.5, 1.0]),
        by_image in any::<bool>(),
    ) {
        let dice_pooling = if by_image { Pooling::Image } else { Pooling::Batch };
        let case = losses(logits, 1, Loss { lambda, dice_smoothing: 1.0, dice_pooling });
        agrees(&case);
        reads_views(&case);
    }
}

/// Some steps of AdamW in f64, by PyTorch's formula: p, m and v.
fn steps_in_f64(
    p: &[f64],
    gradients: &[Vec<f64>],
    rate: f64,
    weight_decay: f64,
    clips: &[f64],
) -> [Vec<f64>; 3] {
    let (mut p, mut m, mut v) = (p.to_vec(), vec![0.0; p.len()], vec![0.0; p.len()]);
    for (t, (gradient, clip)) in gradients.iter().zip(clips).enumerate() {
        let t = t as i32 + 1;
        for (index, g) in gradient.iter().enumerate() {
            let g = g * clip;
            m[index] = 0.9 * m[index] + 0.1 * g;
            v[index] = 0.999 * v[index] + 0.001 * g * g;
            let mean = m[index] / (1.0 - 0.9f64.powi(t));
            let root = (v[index] / (1.0 - 0.999f64.powi(t))).sqrt();
            p[index] = p[index] * (1.0 - rate * weight_decay) - rate * mean / (root + 1e-8);
        }
    }
    [p, m, v]
}

/// Five steps on gradients of sizes far apart, clipped by their norm.
pub fn adamw(count: usize, rate: f64, weight_decay: f64, clip_norm: f64) -> Case {
    const GRADIENTS: [&str; 5] = ["g0", "g1", "g2", "g3", "g4"];
    let case = Case::new(format!("adamw {count}"), move |inputs| {
        let plain = |name: &str| inputs.tensor::<1>(name).without_autodiff();
        let mut p = plain("p");
        let (mut m, mut v) = (p.zeros_like(), p.zeros_like());
        for (t, name) in GRADIENTS.iter().enumerate() {
            let gradient = plain(name);
            let norm = op::sums_of_squares([gradient.clone()]).iter().sum::<f64>().sqrt();
            let clip = (clip_norm / (norm + 1e-6)).min(1.0);
            (p, m, v) = op::adamw(p, gradient, m, v, step(t + 1, clip, rate, weight_decay));
        }
        vec![inputs.output("y", p)]
    });
    let case = case.input("p", &[count]).constant();
    GRADIENTS.iter().enumerate().fold(case, |case, (step, name)| {
        case.spread(name, &[count], 10f32.powi(step as i32 - 2), 0.0).constant()
    })
}

/// The constants of step `t`, from 1.
fn step(t: usize, clip: f64, rate: f64, weight_decay: f64) -> AdamWStep {
    AdamWStep { clip, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, rate, weight_decay, time: t as f64 }
}

#[test]
fn six_steps_of_the_optimizer_are_those_of_f64() {
    // Beside the lengths of vectors and of a task.
    for count in [1, 7, 33, 16_384, 16_385, 40_001] {
        for (rate, weight_decay) in [(1e-3, 1e-2), (1e-1, 0.0)] {
            let wide = |name: &str| {
                Values::from(&numbers(&format!("adamw {count} {name}"), &[count], 2.0, 0.0)).values
            };
            let parameter = wide("p");
            // Of sizes far apart, as gradients are; a clip that changes.
            let gradients: Vec<Vec<f64>> = (0..6)
                .map(|step| {
                    let scale = 10f32.powi(step - 4);
                    Values::from(&numbers(&format!("adamw {count} {step}"), &[count], scale, 0.0)).values
                })
                .collect();
            let clips = [1.0, 0.25, 1.0, 0.5, 0.125, 1.0];
            let wanted = steps_in_f64(&parameter, &gradients, rate, weight_decay, &clips);
            for (name, device) in devices() {
                let tensor = |values: &[f64]| {
                    Tensor::<1>::from_data(TensorData::new(values.to_vec(), [count]), (device, DType::F32))
                };
                let (mut p, mut m, mut v) =
                    (tensor(&parameter), tensor(&vec![0.0; count]), tensor(&vec![0.0; count]));
                for (t, (gradient, clip)) in gradients.iter().zip(clips).enumerate() {
                    let step = step(t + 1, clip, rate, weight_decay);
                    // Another holder keeps what it holds.
                    let before = (p.clone(), p.to_data());
                    (p, m, v) = op::adamw(p, tensor(gradient), m, v, step);
                    assert!(before.0.to_data() == before.1, "a step wrote into a tensor that another holds");
                }
                for ((found, wanted), part) in [p, m, v].into_iter().zip(&wanted).zip(["p", "m", "v"]) {
                    let found: Vec<f64> = found.into_data_dtype(DType::F64).try_to_vec().expect("f64");
                    let largest = wanted.iter().fold(0.0f64, |most, value| value.abs().max(most));
                    let apart = found.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                    println!("ops {name:8} adamw {count} {part} {:.1e} / {BOUND:.0e}", apart / largest);
                    assert!(apart <= BOUND * largest, "{count} on {name}, {part}: {apart:e} of {largest:e}");
                }
            }
        }
    }
}

#[test]
fn the_sums_of_squares_are_those_of_f64() {
    let drawn =
        [1, 7, 33, 16_385, 200_001].map(|count| numbers(&format!("squares {count}"), &[count], 1.0, 0.3));
    for (name, device) in devices() {
        let sums = op::sums_of_squares(drawn.iter().map(|numbers| {
            let data = TensorData::new(numbers.values.clone(), [numbers.values.len()]);
            Tensor::<1>::from_data(data, device)
        }));
        assert_eq!(sums.len(), drawn.len());
        for (numbers, sum) in drawn.iter().zip(sums) {
            let wanted: f64 = numbers.values.iter().map(|value| f64::from(*value).powi(2)).sum();
            let error = (sum / wanted - 1.0).abs();
            assert!(error <= 1e-6, "{} on {name}: {error:e}", numbers.values.len());
        }
    }
    assert!(op::sums_of_squares([]).is_empty());
}

/// Noise of a fixed stream: number k is u of the fill rule, moved to [0, 1).
fn noisy(name: &'static str, x: [usize; 3], drop: fn(Tensor<3>) -> Tensor<3>) -> Case {
    let case = Case::new(format!("{name} {x:?}"), move |inputs| {
        let mut index = 0;
        let _scope = op::noise(move || {
            index += 1;
            f64::from(unit("noise", index - 1, 1)) / 2.0 + 0.5
        });
        vec![inputs.output("y", drop(inputs.tensor("x")))]
    });
    case.input("x", &x)
}

#[test]
fn noise_drops_what_its_numbers_say_and_enlarges_the_rest() {
    let number = |index: usize| f64::from(unit("noise", index, 1)) / 2.0 + 0.5;
    let factor = |index: usize, rate: f64| if number(index) < rate { 0.0 } else { 1.0 / (1.0 - rate) };
    let (batch, each) = (5, 21);
    let dropout = noisy("dropout", [batch, 3, 7], |x| op::dropout(x, 0.3));
    let path = noisy("drop path", [batch, 3, 7], |x| op::drop_path(x, 0.6));
    for case in [&dropout, &path] {
        agrees(case);
        derives(case);
        reads_views(case);
    }
    for (name, device) in devices() {
        for (case, rate, of) in [(&dropout, 0.3, 1), (&path, 0.6, each)] {
            let outcome = run(case, device, DType::F32, Layout::Plain);
            let slope = numbers(&format!("{}/y slope", case.name), &[batch, 3, 7], 1.0, 0.0);
            let mut dropped = 0;
            for index in 0..batch * each {
                let factor = factor(index / of, rate);
                dropped += usize::from(factor == 0.0);
                let x = f64::from(case.inputs[0].array.values[index]);
                let close = |found: f64, wanted: f64| (found - wanted).abs() <= 1e-6 * wanted.abs();
                assert!(close(outcome["y"].values[index], factor * x), "{} on {name}", case.name);
                let wanted = factor * f64::from(slope.values[index]);
                assert!(close(outcome["d x"].values[index], wanted), "{} on {name}", case.name);
            }
            assert!(dropped > 0 && dropped < batch * each, "{}: all or nothing", case.name);
        }
    }
}

#[test]
fn extreme_logits_keep_their_gradients() {
    // Far beyond where a sigmoid is 0 or 1 in f32, the gradient is that of the cross-entropy.
    let case = Case::new("extreme logits", |inputs| {
        let parts =
            loss::loss(inputs.tensor("x"), inputs.tensor("t"), &Loss { lambda: 1.0, ..loss::REFERENCE });
        vec![inputs.output("total", parts.total)]
    });
    let array = |values: &[f32]| dygl_tests::arrays::Array {
        shape: vec![1, 1, 1, values.len()],
        values: values.to_vec(),
    };
    let x = array(&[-300.0, -90.0, -17.0, 17.0, 90.0, 300.0, -300.0, 300.0]);
    let t = array(&[1.0, 0.5, 0.0, 1.0, 0.25, 0.0, 0.0, 1.0]);
    let case = case.given("x", x).given("t", t).constant();
    agrees(&case);
    let exact = run(&case, &Device::flex(), DType::F64, Layout::Plain);
    assert!(exact["d x"].largest() > 0.0);
}
