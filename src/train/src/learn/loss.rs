//! The paper's loss (eq. 13-15): lambda BCE + (1 - lambda) Dice.

use burn::tensor::Tensor;
use dygl_nn::op;
use dygl_spec::protocol::{Loss, Pooling};

/// The loss and its two parts, one value each, on the gradient tape.
#[derive(Debug, Clone)]
pub struct LossParts {
    /// lambda bce + (1 - lambda) dice (eq. 15) `[1]`.
    pub total: Tensor<1>,
    /// Mean binary cross-entropy (eq. 14) `[1]`.
    pub bce: Tensor<1>,
    /// 1 - soft Dice (eq. 13) `[1]`.
    pub dice: Tensor<1>,
}

/// What `model forward --train` reports: equal weights, one Dice over the
/// whole batch, smoothing 1.
pub const REFERENCE: Loss = Loss { lambda: 0.5, dice_smoothing: 1.0, dice_pooling: Pooling::Batch };

/// The loss of logits [B, 1, H, W] against targets [B, 1, H, W] in 0..1
/// (soft targets allowed).
///
/// With p = sigmoid(logit): dice = 1 - (2 sum(p t) + s) / (sum(p) + sum(t) + s),
/// sums over the batch, or over each image and then averaged.
pub fn loss(logits: Tensor<4>, target: Tensor<4>, spec: &Loss) -> LossParts {
    let [batch, channels, height, width] = logits.dims();
    let groups = match spec.dice_pooling {
        Pooling::Batch => 1,
        Pooling::Image => batch,
    };
    let values = batch * channels * height * width;
    let shape = [groups, values / groups];
    let [entropy, overlap, predicted, marked] =
        op::overlap_sums(logits.reshape(shape), target.reshape(shape)); // each [groups]
    // A product, because burn takes the gradient of a quotient in f32.
    let bce = op::sum_axes(entropy, &[0]) * (values as f64).recip();
    let ratio = (overlap * 2.0 + spec.dice_smoothing) / (predicted + marked + spec.dice_smoothing);
    let dice = op::mean_axes(ratio, &[0]).neg() + 1.0;

    let total = bce.clone() * spec.lambda + dice.clone() * (1.0 - spec.lambda);
    LossParts { total, bce, dice }
}

/// The mean over several maps of logits of the [`loss`] of each, part by part.
///
/// # Panics
/// There is no map.
pub fn mean_loss(outputs: Vec<Tensor<4>>, target: Tensor<4>, spec: &Loss) -> LossParts {
    let count = outputs.len() as f64;
    let each = outputs.into_iter().map(|logits| loss(logits, target.clone(), spec));
    let sum = each.reduce(|sum, parts| LossParts {
        total: sum.total + parts.total,
        bce: sum.bce + parts.bce,
        dice: sum.dice + parts.dice,
    });
    let LossParts { total, bce, dice } = sum.expect("a network has an output");
    if count == 1.0 {
        return LossParts { total, bce, dice };
    }
    LossParts { total: total / count, bce: bce / count, dice: dice / count }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    fn parts(logits: &[f32], target: &[f32], batch: usize, spec: &Loss) -> [f64; 3] {
        let device = Device::flex();
        let tensor = |values: &[f32]| {
            Tensor::<1>::from_floats(values, &device).reshape([batch, 1, 1, values.len() / batch])
        };
        let parts = loss(tensor(logits), tensor(target), spec);
        [parts.total, parts.bce, parts.dice].map(|value| f64::from(value.into_scalar::<f32>()))
    }

    fn expected(logits: &[f32], target: &[f32], batch: usize, spec: &Loss) -> [f64; 3] {
        let n = logits.len() / batch;
        let pairs: Vec<(f64, f64)> =
            logits.iter().zip(target).map(|(x, t)| (f64::from(*x), f64::from(*t))).collect();
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let entropy = |(x, t): &(f64, f64)| -(t * sigmoid(*x).ln() + (1.0 - t) * (1.0 - sigmoid(*x)).ln());
        let bce = pairs.iter().map(entropy).sum::<f64>() / pairs.len() as f64;
        let chunk = match spec.dice_pooling {
            Pooling::Batch => pairs.len(),
            Pooling::Image => n,
        };
        let s = spec.dice_smoothing;
        let ratios = pairs.chunks(chunk).map(|image| {
            let overlap: f64 = image.iter().map(|(x, t)| sigmoid(*x) * t).sum();
            let size: f64 = image.iter().map(|(x, t)| sigmoid(*x) + t).sum();
            (2.0 * overlap + s) / (size + s)
        });
        let dice = 1.0 - ratios.sum::<f64>() / (pairs.len() / chunk) as f64;
        [spec.lambda * bce + (1.0 - spec.lambda) * dice, bce, dice]
    }

    #[test]
    fn both_poolings_match_the_formulas_in_f64() {
        let logits = [0.3, -1.2, 2.5, 0.0, -3.0, 1.0];
        let target = [1.0, 0.0, 0.7, 0.2, 0.0, 1.0];
        for dice_pooling in [Pooling::Batch, Pooling::Image] {
            let spec = Loss { lambda: 0.3, dice_smoothing: 1e-3, dice_pooling };
            let (got, want) = (parts(&logits, &target, 2, &spec), expected(&logits, &target, 2, &spec));
            for (got, want) in got.iter().zip(want) {
                assert!((got - want).abs() < 1e-6, "{got} {want}");
            }
        }
    }

    #[test]
    fn several_maps_count_alike_and_one_counts_as_itself() {
        let device = Device::flex();
        let map = |values: [f32; 2]| Tensor::<4>::from_data([[[values]]], &device);
        let value = |tensor: Tensor<1>| tensor.into_scalar::<f32>();
        let (first, second, target) = (map([0.3, -1.2]), map([2.0, 0.1]), map([1.0, 0.0]));
        let one = |logits: &Tensor<4>| loss(logits.clone(), target.clone(), &REFERENCE);
        let mean = |outputs| mean_loss(outputs, target.clone(), &REFERENCE);

        let (alone, plain) = (mean(vec![first.clone()]), one(&first));
        assert_eq!(value(alone.total), value(plain.total.clone()));
        let (both, other) = (mean(vec![first, second.clone()]), one(&second));
        for (mean, parts) in [
            (both.total, [plain.total, other.total]),
            (both.bce, [plain.bce, other.bce]),
            (both.dice, [plain.dice, other.dice]),
        ] {
            let [first, second] = parts.map(value);
            assert!((value(mean) - (first + second) / 2.0).abs() < 1e-6 && first != second);
        }
    }

    #[test]
    fn extreme_logits_stay_finite() {
        let [total, bce, _] = parts(&[200.0, -200.0], &[0.0, 1.0], 1, &REFERENCE);
        assert!((bce - 200.0).abs() < 1e-3 && total.is_finite());
        let device = Device::flex().autodiff();
        let logits = Tensor::<4>::from_data([[[[200.0f32, -200.0]]]], &device).require_grad();
        let target = Tensor::<4>::from_data([[[[0.0f32, 1.0]]]], &device);
        let grads = loss(logits.clone(), target, &REFERENCE).total.backward();
        let gradient: Vec<f32> = logits.grad(&grads).expect("tracked").into_data().try_to_vec().expect("f32");
        assert!((gradient[0] - 0.25).abs() < 1e-6 && (gradient[1] + 0.25).abs() < 1e-6, "{gradient:?}");
    }
}
