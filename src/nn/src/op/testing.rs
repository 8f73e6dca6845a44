//! For tests: an operation on flex against the same in f64 and on libtorch.

use burn::tensor::{Device, Tensor, TensorData};

/// Numbers in 0..1, the same ones for each seed (SplitMix64).
pub(crate) fn uniform(count: usize, seed: u64) -> Vec<f64> {
    // Not by the increment below: two seeds would give one stream, a few numbers apart.
    let mut state = seed.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mut draw = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    (0..count).map(|_| draw()).collect()
}

/// Numbers around 0 with a deviation of about 1 (sums of four uniform ones), the same
/// ones for each seed.
pub(crate) fn normals(count: usize, seed: u64) -> Vec<f64> {
    let numbers = uniform(4 * count, seed);
    numbers.chunks_exact(4).map(|four| (four.iter().sum::<f64>() - 2.0) * 3f64.sqrt()).collect()
}

/// [`normals`] around a mean, on flex.
pub(crate) fn normal<const D: usize>(shape: [usize; D], mean: f64, seed: u64) -> Tensor<D> {
    let numbers = normals(shape.iter().product(), seed);
    let values: Vec<f32> = numbers.into_iter().map(|number| (mean + number) as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

/// Numbers between two bounds, on flex, the same ones for each seed.
pub(crate) fn between<const D: usize>(shape: [usize; D], [low, high]: [f64; 2], seed: u64) -> Tensor<D> {
    let numbers = uniform(shape.iter().product(), seed);
    let values: Vec<f32> = numbers.into_iter().map(|unit| (low + unit * (high - low)) as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

/// Values of f, and the gradients of its inputs under a loss that is not
/// symmetric, as numbers.
pub(crate) fn gradients_of<const N: usize>(
    inputs: &[Tensor<4>; N],
    f: impl Fn([Tensor<4>; N]) -> Tensor<4>,
) -> Vec<Vec<f64>> {
    // With its kind of numbers: by itself burn makes f32 of everything.
    let leaves = inputs.clone().map(|x| {
        let like = (&x.device().autodiff(), x.dtype());
        Tensor::<4>::from_data(x.to_data(), like).require_grad()
    });
    let y = f(leaves.clone());
    let grads = (y.clone() + 0.5).powi_scalar(3).mean().backward();
    let gradients = leaves.iter().filter_map(|leaf| leaf.grad(&grads));
    let all = std::iter::once(y.clone().inner()).chain(gradients);
    all.map(|x| x.into_data().iter::<f64>().collect()).collect()
}

/// Agreement within `bound`, relative to each tensor's largest value.
#[track_caller]
pub(crate) fn agree(ours: &[Vec<f64>], exact: &[Vec<f64>], bound: f64) {
    assert_eq!(ours.len(), exact.len());
    for (which, (ours, exact)) in ours.iter().zip(exact).enumerate() {
        assert_eq!(ours.len(), exact.len(), "tensor {which}");
        let scale = exact.iter().fold(0.0f64, |most, value| most.max(value.abs()));
        for (index, (ours, exact)) in ours.iter().zip(exact).enumerate() {
            let apart = (ours - exact).abs();
            assert!(apart <= bound * scale, "tensor {which}, value {index}: {ours} {exact} of {scale}");
        }
    }
}

/// Values and gradients of f over x, y on both backends, which must agree to
/// rounding; the loss is the sum of cubes (that of squares has no gradient
/// behind a normalisation).
#[cfg(feature = "tch")]
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
#[cfg(feature = "tch")]
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
