//! The same bits again: in another process, and with another number of threads.
//!
//! Kernels of this house divide work by fixed sizes and sum in one order, so
//! threads change nothing; matrix products are burn's, which promises that of one
//! number of threads only. That repeats within a process are the same is part of
//! [`super::harness::agrees`].

use std::collections::BTreeMap;
use std::env;
use std::process::Command;

use burn::tensor::{DType, Device};

use super::harness::{Case, Rule, run};
use super::layout::Layout;
use super::{convolution, norm, product, resample, training};
use crate::trajectory::weights_after;

/// Makes this test the child that only computes.
const CHILD: &str = "DYGL_TEST_DIGESTS";
/// Before a digest of what has one order of summation.
const KERNEL: &str = "kernel";
/// Before one of what burn sums.
const PRODUCT: &str = "product";

fn digest(outcome: impl IntoIterator<Item = (String, Vec<f64>)>) -> String {
    let mut hasher = blake3::Hasher::new();
    for (name, values) in outcome {
        hasher.update(name.as_bytes());
        values.iter().for_each(|value| {
            hasher.update(&value.to_bits().to_le_bytes());
        });
    }
    hasher.finalize().to_hex().to_string()
}

/// Values and gradients of the case on flex.
fn of(case: &Case) -> String {
    let outcome = run(case, &Device::flex(), DType::F32, Layout::Plain);
    digest(outcome.into_iter().map(|(name, tensor)| (name, tensor.values)))
}

/// Cases by whose kernels they are.
fn cases() -> Vec<(&'static str, Case)> {
    let (kernel, product) = (|case| (KERNEL, case), |case| (PRODUCT, case));
    let mut all: Vec<(&str, Case)> = convolution::large().into_iter().map(kernel).collect();
    all.extend([
        (KERNEL, convolution::pointwise([2, 64, 112, 111], 128, true)),
        (KERNEL, norm::batch_norm_train([2, 17, 112, 111])),
        (KERNEL, norm::batch_norm_train([8, 31, 7, 7])),
        (KERNEL, product::gelu([2, 64, 3136], 6.0)),
        (KERNEL, resample::dynamic_upsample([2, 64, 28, 27], 8, Rule::Between)),
        (KERNEL, training::adamw(100_003, 1e-3, 1e-2, 1.0)),
    ]);
    let products = product::large().into_iter().chain(norm::large());
    all.extend(
        products
            .filter(|case| !case.name.starts_with("batch norm in") && !case.name.starts_with("gelu"))
            .map(product),
    );
    all
}

/// What a child with so many threads computes: kind and name to digest.
fn child(threads: usize) -> BTreeMap<String, String> {
    let output = Command::new(env::current_exe().expect("own path"))
        .args(["--exact", "ops::repeat::a_child_tells_its_digests", "--nocapture", "--test-threads", "1"])
        .env(CHILD, "1")
        .env("RAYON_NUM_THREADS", threads.to_string())
        .output()
        .expect("this program starts");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let lines = text.lines().filter_map(|line| line.strip_prefix("digest "));
    lines
        .map(|line| line.rsplit_once(' ').expect("a digest"))
        .map(|(name, digest)| (name.to_owned(), digest.to_owned()))
        .collect()
}

#[test]
fn a_child_tells_its_digests() {
    if env::var_os(CHILD).is_none() {
        println!("skipped: the other test here starts it with {CHILD}");
        return;
    }
    // Behind the harness's own words, which end no line.
    println!();
    for (kind, case) in cases() {
        println!("digest {kind} {} {}", case.name, of(&case));
    }
    let weights = weights_after(("dyglnet", 64, 2, 1e-4, 2), &Device::flex(), DType::F32).expect("trained");
    println!("digest {PRODUCT} two steps of DyGLNet {}", digest(weights));
}

#[test]
fn processes_repeat_to_the_bit_and_kernels_with_any_number_of_threads() {
    let (one, two, again) = (child(1), child(2), child(2));
    assert!(one.len() > 20 && one.keys().filter(|name| name.starts_with(KERNEL)).count() > 12, "{one:?}");
    assert_eq!(two, again, "two processes with two threads each");
    for (name, digest) in &one {
        let is_same = two.get(name) == Some(digest);
        println!("ops repeat: threads {} {name}", if is_same { "change nothing in" } else { "change" });
        assert!(is_same || name.starts_with(PRODUCT), "{name}: one and two threads give other bits");
    }
}
