//! Batch normalisation (Ioffe & Szegedy 2015) over [B, C, H, W] with the
//! semantics of PyTorch's `BatchNorm2d`.

use burn::module::{Module, Param};
use burn::tensor::{Device, FloatDType, Tensor};

use super::{Buffer, ones, zeros};
use crate::op::{self, Activation};
use crate::trace::{self, Kind};

/// Weight of the newest batch in the running statistics.
const MOMENTUM: f64 = 0.1;
/// Added to the variance.
const EPSILON: f64 = 1e-5;

/// Configuration of a [`BatchNorm2d`].
#[derive(Debug, Clone, Copy)]
pub struct BatchNorm2dConfig {
    channels: usize,
}

impl BatchNorm2dConfig {
    /// Over `channels` channels; eps 1e-5, momentum 0.1.
    pub fn new(channels: usize) -> Self {
        Self { channels }
    }

    /// Scale 1, shift 0, running mean 0, running variance 1.
    pub fn init(&self, device: &Device) -> BatchNorm2d {
        BatchNorm2d {
            weight: ones([self.channels], device),
            bias: zeros([self.channels], device),
            running_mean: Buffer::new(Tensor::zeros([self.channels], device)),
            running_var: Buffer::new(Tensor::ones([self.channels], device)),
        }
    }
}

/// y = (x - mean) / sqrt(var + eps) * weight + bias per channel.
///
/// Training normalises with the batch's biased variance (two passes) and moves
/// the running variance towards the *unbiased* one, n / (n - 1) times as large;
/// burn's layer moves it towards the biased one. Evaluation uses the running
/// statistics.
#[derive(Module, Debug)]
pub struct BatchNorm2d {
    /// Scale `[C]`.
    pub weight: Param<Tensor<1>>,
    /// Shift `[C]`.
    pub bias: Param<Tensor<1>>,
    /// Running mean `[C]`.
    pub running_mean: Buffer,
    /// Running unbiased variance `[C]`.
    pub running_var: Buffer,
}

impl BatchNorm2d {
    /// [B, C, H, W] to the same shape. Trains if the input is on an autodiff device.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.forward_then(x, Activation::Identity)
    }

    /// [`Self::forward`] with an activation behind it, in one go where the
    /// backend can.
    pub fn forward_then(&self, x: Tensor<4>, activation: Activation) -> Tensor<4> {
        self.tell(x.dims());
        if !op::trains(&x) {
            let (given, epsilon) = self.given();
            return op::batch_norm_then(x, given, epsilon, activation);
        }
        let (weight, bias) = (self.weight.val(), self.bias.val());
        let n = per_channel(&x);
        let (y, mean, var) = op::batch_norm_train_then(x, weight, bias, EPSILON, activation);
        self.follow(n, mean, var);
        y
    }

    /// [B, 1, H, W], which stands for C equal channels, to [B, C, H, W]: what
    /// [`Self::forward`] gives for the map repeated C times, statistics
    /// included, without that map.
    pub fn forward_repeated(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, _, height, width] = x.dims();
        let [channels] = self.weight.dims();
        if !op::trains(&x) {
            return self.forward(op::spread(x, [batch, channels, height, width]));
        }
        self.tell([batch, channels, height, width]);
        let n = per_channel(&x);
        let like = (&x.device(), x.dtype());
        // One normalisation serves all channels; they differ behind it.
        let (plain, mean, var) =
            op::batch_norm_train(x, Tensor::ones([1], like), Tensor::zeros([1], like), EPSILON);
        let all = |x: Tensor<1>| op::spread(x, [channels]);
        self.follow(n, all(mean), all(var));
        let shape = [batch, channels, height, width];
        let channel = |x: Tensor<1>| op::spread(x.reshape([1, channels, 1, 1]), shape);
        op::spread(plain, shape) * channel(self.weight.val()) + channel(self.bias.val())
    }

    /// [B, C] to the same shape in f64: x is f64, the parameters are f32 as
    /// ever. For norms over the batch alone, which enlarge small differences
    /// between images, and their rounding with them, by up to
    /// 1 / (2 sqrt(eps)) = 158.
    pub fn forward_double(&self, x: Tensor<2>) -> Tensor<2> {
        let [batch, channels] = x.dims();
        self.tell([batch, channels, 1, 1]);
        let row = |x: Tensor<1>| x.cast(FloatDType::F64).reshape([1, channels]);
        let all = |x: Tensor<2>| op::spread(x, [batch, channels]);
        let normal = if op::trains(&x) {
            let mean = op::mean_axes(x.clone(), &[0]);
            let centred = x - all(mean.clone());
            let var = op::mean_axes(centred.clone() * centred.clone(), &[0]);
            let statistic = |x: &Tensor<2>| x.clone().without_autodiff().reshape([channels]);
            self.follow(batch as f64, statistic(&mean), statistic(&var));
            centred * all(op::inverse_root(var + EPSILON))
        } else {
            let (mean, var) = (row(self.running_mean.value()), row(self.running_var.value()));
            (x - mean) / (var + EPSILON).sqrt()
        };
        normal * all(row(self.weight.val())) + all(row(self.bias.val()))
    }

    /// What evaluation normalises with: scale, shift, mean and variance `[C]`; and
    /// what is added to the variance.
    pub(super) fn given(&self) -> ([Tensor<1>; 4], f64) {
        let (mean, var) = (self.running_mean.value(), self.running_var.value());
        ([self.weight.val(), self.bias.val(), mean, var], EPSILON)
    }

    pub(super) fn tell(&self, shape: [usize; 4]) {
        trace::tell(Kind::BatchNorm, shape, shape, 1, &[trace::of(&self.weight), trace::of(&self.bias)]);
    }

    /// Moves the running statistics towards a batch's mean and biased
    /// variance `[C]` of `n` values each.
    fn follow(&self, n: f64, mean: Tensor<1>, var: Tensor<1>) {
        let like = self.running_mean.value().dtype();
        let (mean, var) = (mean.cast(like), var.cast(like));
        // One value per channel has no unbiased variance; its biased one is 0.
        let unbiased = var * (n / (n - 1.0).max(1.0));
        self.running_mean.set(self.running_mean.value() * (1.0 - MOMENTUM) + mean * MOMENTUM);
        self.running_var.set(self.running_var.value() * (1.0 - MOMENTUM) + unbiased * MOMENTUM);
    }
}

/// Number of values of a channel.
fn per_channel(x: &Tensor<4>) -> f64 {
    let [batch, _, height, width] = x.dims();
    (batch * height * width) as f64
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::op::testing::{between, normal};

    fn values(tensor: Tensor<1>) -> Vec<f32> {
        tensor.into_data().try_to_vec().expect("f32")
    }

    #[test]
    fn running_statistics_are_unbiased_and_current_right_after_a_step() {
        let device = Device::flex();
        let norm = BatchNorm2dConfig::new(1).init(&device).train();
        let x = Tensor::<4>::from_data([[[[1.0f32, 3.0], [5.0, 7.0]]]], &device.autodiff());
        let y: Vec<f32> = norm.forward(x).into_data().try_to_vec().expect("f32");
        // Mean 4, biased variance 5, unbiased 20 / 3.
        assert!((y[0] + 3.0 / 5.0f32.sqrt()).abs() < 1e-5);
        assert!((values(norm.running_mean.value())[0] - 0.4).abs() < 1e-6);
        assert!((values(norm.running_var.value())[0] - (0.9 + 0.1 * 20.0 / 3.0)).abs() < 1e-6);
    }

    #[test]
    fn a_repeated_channel_is_normalised_once_for_all() {
        let device = Device::flex();
        let draw = |seed| between([3], [0.5, 2.0], seed);
        let mut norm = BatchNorm2dConfig::new(3).init(&device);
        norm.weight = Param::from_tensor(draw(1));
        norm.bias = Param::from_tensor(draw(2));
        norm.running_mean.set(draw(3));
        norm.running_var.set(draw(4));
        let close = |ours: Vec<f32>, theirs: Vec<f32>, what: &str| {
            assert_eq!(ours.len(), theirs.len(), "{what}");
            let scale = theirs.iter().fold(0.0f32, |most, value| most.max(value.abs()));
            for (ours, theirs) in ours.iter().zip(&theirs) {
                assert!((ours - theirs).abs() <= 1e-5 * scale, "{what}: {ours} instead of {theirs}");
            }
        };
        let map = normal([2, 1, 4, 5], 0.0, 5) * 2.0 + 3.0;
        let flat = |x: Tensor<4>| x.into_data().try_to_vec::<f32>().expect("f32");
        close(
            flat(norm.forward_repeated(map.clone())),
            flat(norm.forward(map.clone().expand([2, 3, 4, 5]))),
            "evaluation",
        );
        let run = |f: &dyn Fn(&BatchNorm2d, Tensor<4>) -> Tensor<4>| {
            let norm = norm.clone().train();
            let x = Tensor::<4>::from_data(map.to_data(), &device.clone().autodiff()).require_grad();
            let y = f(&norm, x.clone());
            let grads = y.clone().powi_scalar(3).sum().backward();
            [
                flat(y.inner()),
                flat(x.grad(&grads).expect("x")),
                values(norm.weight.val().grad(&grads).expect("weight")),
                values(norm.bias.val().grad(&grads).expect("bias")),
                values(norm.running_mean.value()),
                values(norm.running_var.value()),
            ]
        };
        let once = run(&|norm, x| norm.forward_repeated(x));
        let whole = run(&|norm, x| norm.forward(x.expand([2, 3, 4, 5])));
        let names = ["value", "input", "weight", "bias", "mean", "variance"];
        for ((once, whole), name) in once.into_iter().zip(whole).zip(names) {
            close(once, whole, name);
        }
    }

    #[test]
    fn a_clone_keeps_its_own_statistics() {
        let device = Device::flex();
        let norm = BatchNorm2dConfig::new(1).init(&device).train();
        let copy = norm.clone();
        norm.forward(Tensor::<4>::ones([1, 1, 2, 2], &device.autodiff()));
        assert_eq!(values(copy.running_mean.value()), [0.0]);
        assert_ne!(values(norm.running_mean.value()), [0.0]);
    }

    #[test]
    fn evaluation_uses_the_running_statistics_and_leaves_them() {
        let device = Device::flex();
        let norm = BatchNorm2dConfig::new(1).init(&device);
        norm.running_mean.set(Tensor::from_floats([2.0], &device));
        norm.running_var.set(Tensor::from_floats([4.0], &device));
        let y: Vec<f32> = norm
            .forward(Tensor::<4>::full([1, 1, 1, 2], 6.0, &device))
            .into_data()
            .try_to_vec()
            .expect("f32");
        assert!((y[0] - 2.0).abs() < 1e-5);
        assert_eq!(values(norm.running_mean.value()), [2.0]);
    }
}
