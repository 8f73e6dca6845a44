//! Scaled dot-product attention (Vaswani et al. 2017). On flex one operation,
//! which computes the weights of some queries at a time and keeps none: the
//! backward pass computes them again.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;
use burn::tensor::activation::softmax;

use super::backend::has_kernel;
use super::spread;
use crate::trace::{self, Kind};

/// softmax(q k^T scale + bias) v: q [B, h, N, d], k and v [B, h, M, d], bias
/// broadcast to [B, h, N, M]; gives [B, h, N, d]. Scores and softmax are f32
/// in mixed precision, too.
pub fn attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, scale: f64, bias: Option<Tensor<4>>) -> Tensor<4> {
    let [batch, heads, queries, _] = q.dims();
    tell(q.dims(), k.dims());
    if has_kernel(&q) {
        let bias = bias.map(|bias| spread(bias, [batch, heads, queries, k.dims()[2]]));
        let [q, k, v] = [q, k, v].map(Tensor::into_dispatch);
        let y = match bias {
            Some(bias) => <Dispatch as AttentionOps>::attend_with(q, k, v, bias.into_dispatch(), scale),
            None => <Dispatch as AttentionOps>::attend(q, k, v, scale),
        };
        return Tensor::from_dispatch(y);
    }
    composed([q, k, v], scale, bias)
}

/// Tells the trace of an attention of q [B, h, N, d] to k [B, h, M, d].
pub(super) fn tell(q: [usize; 4], k: [usize; 4]) {
    let [batch, heads, queries, features] = q;
    let keys = k[2];
    let matrix = [batch, heads, queries, keys];
    trace::tell(Kind::Product, q, matrix, features, &[]);
    trace::tell(Kind::Softmax, matrix, matrix, keys, &[]);
    trace::tell(Kind::Product, matrix, q, keys, &[]);
}

/// [`attention`] of burn's products and softmax, for every backend.
pub(super) fn composed([q, k, v]: [Tensor<4>; 3], scale: f64, bias: Option<Tensor<4>>) -> Tensor<4> {
    let scores = (q * scale).matmul(k.swap_dims(2, 3));
    let scores = match bias {
        Some(bias) => scores + bias,
        None => scores,
    };
    softmax(scores, 3).matmul(v)
}

/// [`attention`] as one operation of a backend; a bias is [B, h, N, M].
#[backend_extension(Flex: cfg(feature = "flex"), LibTorch: cfg(feature = "tch"), Capture, Autodiff)]
pub trait AttentionOps: Backend {
    /// [B, h, N, d].
    fn attend(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        scale: f64,
    ) -> FloatTensor<Self>;

    /// The same with a bias.
    fn attend_with(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        scale: f64,
    ) -> FloatTensor<Self>;
}

/// What an attention reads.
#[derive(Debug, Clone)]
pub struct Attended<T> {
    /// Queries `[B, h, N, d]`.
    pub q: T,
    /// Keys `[B, h, M, d]`.
    pub k: T,
    /// Values `[B, h, M, d]`.
    pub v: T,
    /// Added to the scaled scores, `[B, h, N, M]`.
    pub bias: Option<T>,
    /// Factor on the scores q k^T.
    pub scale: f64,
}

/// The gradient of [`AttentionOps`].
pub trait AttentionBackward: Backend {
    /// Of q, k, v and (if it `needs` one) the bias, given that of the output.
    fn attend_backward(
        of: Attended<FloatTensor<Self>>,
        grad: FloatTensor<Self>,
        needs: bool,
    ) -> ([FloatTensor<Self>; 3], Option<FloatTensor<Self>>);
}

#[derive(Debug)]
struct Attend;

impl<B: AttentionOps + AttentionBackward> Backward<B, 3> for Attend {
    type State = Attended<FloatTensor<B>>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let (found, _) = B::attend_backward(ops.state, grad, false);
        for (node, gradient) in ops.parents.into_iter().zip(found) {
            if let Some(node) = node {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

#[derive(Debug)]
struct AttendWith;

impl<B: AttentionOps + AttentionBackward> Backward<B, 4> for AttendWith {
    type State = Attended<FloatTensor<B>>;

    fn backward(self, ops: Ops<Self::State, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let (found, bias) = B::attend_backward(ops.state, grad, ops.parents[3].is_some());
        for (node, gradient) in ops.parents.into_iter().zip(found.map(Some).into_iter().chain([bias])) {
            if let (Some(node), Some(gradient)) = (node, gradient) {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

impl<B: AttentionOps + AttentionBackward, C: CheckpointStrategy> AttentionOps for Autodiff<B, C> {
    fn attend(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        scale: f64,
    ) -> FloatTensor<Self> {
        let ((q, q_node), (k, k_node), (v, v_node)) = (q.into_parts(), k.into_parts(), v.into_parts());
        let y = B::attend(q.clone(), k.clone(), v.clone(), scale);
        match Attend.prepare::<C>([q_node, k_node, v_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(Attended { q, k, v, bias: None, scale }, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn attend_with(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        scale: f64,
    ) -> FloatTensor<Self> {
        let ((q, q_node), (k, k_node), (v, v_node)) = (q.into_parts(), k.into_parts(), v.into_parts());
        let (bias, bias_node) = bias.into_parts();
        let y = B::attend_with(q.clone(), k.clone(), v.clone(), bias.clone(), scale);
        match AttendWith.prepare::<C>([q_node, k_node, v_node, bias_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(Attended { q, k, v, bias: Some(bias), scale }, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}

#[cfg(feature = "tch")]
mod torch {
    use burn::backend::LibTorch;
    use tch::{Device, Tensor};

    use super::{Attended, AttentionBackward, AttentionOps};
    use crate::op::torch::{Torch, wrap};

    /// softmax(q k^T scale + bias) [B, h, N, M].
    fn weights(q: &Tensor, k: &Tensor, bias: Option<&Tensor>, scale: f64) -> Tensor {
        let mut scores = (q * scale).matmul(&k.transpose(2, 3));
        if let Some(bias) = bias {
            scores += bias;
        }
        scores.softmax(-1, None)
    }

    /// On the CPU libtorch has a kernel that keeps the weights in the cache. Its
    /// gradient is no faster than that of the products, and has none of a bias.
    fn blockwise(q: &Tensor, k: &Tensor, v: &Tensor, scale: f64) -> Option<Tensor> {
        // It reads the features of a token in one piece.
        let reads = |x: &Tensor| x.stride().last() == Some(&1);
        let has_kernel = q.device() == Device::Cpu && [q, k, v].into_iter().all(reads);
        let mask = None::<&Tensor>;
        has_kernel.then(|| {
            Tensor::internal_scaled_dot_product_flash_attention_for_cpu(q, k, v, 0.0, false, mask, scale).0
        })
    }

    impl AttentionOps for LibTorch {
        fn attend(q: Torch, k: Torch, v: Torch, scale: f64) -> Torch {
            let (q, k, v) = (q.tensor, k.tensor, v.tensor);
            let y = blockwise(&q, &k, &v, scale);
            wrap(y.unwrap_or_else(|| weights(&q, &k, None, scale).matmul(&v)))
        }

        fn attend_with(q: Torch, k: Torch, v: Torch, bias: Torch, scale: f64) -> Torch {
            wrap(weights(&q.tensor, &k.tensor, Some(&bias.tensor), scale).matmul(&v.tensor))
        }
    }

    impl AttentionBackward for LibTorch {
        /// The weights are computed again: fewer products than the gradient has,
        /// but no memory.
        fn attend_backward(of: Attended<Torch>, grad: Torch, needs: bool) -> ([Torch; 3], Option<Torch>) {
            let (q, k, v, grad) = (of.q.tensor, of.k.tensor, of.v.tensor, grad.tensor);
            let weights = weights(&q, &k, of.bias.as_ref().map(|bias| &bias.tensor), of.scale);
            let of_v = weights.transpose(2, 3).matmul(&grad);
            let of_weights = grad.matmul(&v.transpose(2, 3));
            let slope = Tensor::internal_softmax_backward_data(&of_weights, &weights, -1, weights.kind());
            let of_q = slope.matmul(&(k * of.scale));
            let of_k = slope.transpose(2, 3).matmul(&(q * of.scale));
            ([of_q, of_k, of_v].map(wrap), needs.then(|| wrap(slope)))
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{Device, FloatDType, Tensor};

    use super::attention;
    use crate::op::testing::{agree, between, gradients_of, normal};

    #[test]
    fn values_and_gradients_are_those_of_burn_in_f64() {
        // [images, heads, queries, keys, features], and the shape of the bias.
        for ([batch, heads, queries, keys, features], bias) in [
            ([1, 1, 1, 1, 1], None),
            ([2, 3, 49, 49, 32], Some([1, 3, 49, 49])),
            ([4, 2, 9, 17, 5], Some([4, 1, 9, 17])),
            ([1, 2, 700, 49, 16], None),
            ([2, 1, 1100, 30, 8], Some([1, 1, 1, 30])),
        ] {
            let scale = (features as f64).sqrt().recip();
            // Heads beside each other in memory, as a layer gives them.
            let tokens = |count, seed| normal([batch, count, heads, features], 0.1, seed);
            let scores = normal(bias.unwrap_or([1, 1, 1, 1]), 0.1, 4);
            let inputs = [tokens(queries, 1), tokens(keys, 2), tokens(keys, 3), scores];
            let run = |[q, k, v, b]: [Tensor<4>; 4]| {
                let [q, k, v] = [q, k, v].map(|x| x.swap_dims(1, 2));
                attention(q, k, v, scale, bias.map(|_| b))
            };
            let ours = gradients_of(&inputs, run);
            assert_eq!(ours, gradients_of(&inputs, run), "repeats differ");
            let exact = gradients_of(&inputs.map(|x| x.cast(FloatDType::F64)), run);
            agree(&ours, &exact, 5e-6);
        }
    }

    #[test]
    fn masked_keys_get_no_weight() {
        let device = Device::flex();
        let [q, k, v] = [1, 2, 3].map(|seed| between([1, 1, 3, 4], [0.0, 1.0], seed));
        for mask in [-1e9, f32::NEG_INFINITY] {
            let bias = Tensor::<4>::from_floats([[[[0.0, mask, mask]]]], &device);
            let y = attention(q.clone(), k.clone(), v.clone(), 1.0, Some(bias));
            let first = v.clone().slice([0..1, 0..1, 0..1, 0..4]).expand([1, 1, 3, 4]);
            assert!((y - first).abs().max().into_scalar::<f32>() < 1e-6);
        }
    }

    #[cfg(feature = "tch")]
    #[test]
    fn libtorch_agrees() {
        let tokens = |count, seed| normal([2, count, 3, 8], 0.1, seed);
        for with_bias in [true, false] {
            let inputs = [tokens(50, 1), tokens(21, 2), tokens(21, 3)];
            let bias = normal([1, 3, 50, 21], 0.1, 4).into_data();
            crate::op::testing::on_both(inputs, |[q, k, v]| {
                let bias = with_bias.then(|| Tensor::from_data(bias.clone(), &q.device()));
                let [q, k, v] = [q, k, v].map(|x| x.swap_dims(1, 2));
                attention(q, k, v, 0.35, bias)
            });
        }
    }
}
