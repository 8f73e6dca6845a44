//! For tests: an operation on flex against the same on libtorch.

use burn::tensor::{Device, Tensor};

/// Values and gradients of f over x, y on both backends, which must agree to
/// rounding; the loss is the sum of cubes (that of squares has no gradient
/// behind a normalisation).
#[track_caller]
pub(crate) fn on_both<const N: usize>(inputs: [Tensor<4>; N], f: impl Fn([Tensor<4>; N]) -> Tensor<4>) {
    let torch = Device::libtorch();
    let run = |device: Device| {
        let leaves = inputs
            .clone()
            .map(|x| Tensor::from_data(x.into_data(), &device.clone().autodiff()).require_grad());
        let y = f(leaves.clone());
        let grads = y.clone().powi_scalar(3).sum().backward();
        let mut all = vec![y.inner()];
        all.extend(leaves.map(|leaf| leaf.grad(&grads).expect("tracked")));
        all
    };
    let names = ["value", "first gradient", "second gradient", "third gradient"];
    for ((ours, theirs), name) in run(torch).into_iter().zip(run(Device::flex())).zip(names) {
        close(ours, theirs, name);
    }
}

/// Agreement to rounding, relative to the largest value.
#[track_caller]
pub(crate) fn close(ours: Tensor<4>, theirs: Tensor<4>, what: &str) {
    assert_eq!(ours.dims(), theirs.dims(), "{what}");
    let flex = Device::flex();
    let (ours, theirs) =
        (Tensor::<4>::from_data(ours.into_data(), &flex), Tensor::from_data(theirs.into_data(), &flex));
    let scale = theirs.clone().abs().max().into_scalar::<f32>();
    let difference = (ours - theirs).abs().max().into_scalar::<f32>();
    assert!(difference <= 3e-6 * scale, "{what}: {difference} of {scale}");
}
