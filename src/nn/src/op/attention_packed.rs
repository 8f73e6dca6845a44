//! Scaled dot-product attention of queries, keys and values that one linear layer
//! gave side by side. Their gradient is written side by side, too: of three slices
//! it would be put together from three maps that are zero elsewhere.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

use super::attention::{composed, tell};
use super::backend::has_kernel;
use super::spread;

/// softmax(q k^T scale + bias) v of packed [B, N, 3 h d], which holds for each token
/// its queries, keys and values, in this order, each head-major; bias broadcast to
/// [B, h, N, N]. Gives [B, h, N, d], as [`attention()`](super::attention()) does.
pub fn attention_packed(packed: Tensor<3>, heads: usize, scale: f64, bias: Option<Tensor<4>>) -> Tensor<4> {
    let [batch, tokens, features] = packed.dims();
    let each = [batch, heads, tokens, features / (3 * heads)];
    tell(each, each);
    if has_kernel(&packed) {
        let packed = packed.into_dispatch();
        let y = match bias.map(|bias| spread(bias, [batch, heads, tokens, tokens])) {
            Some(bias) => <Dispatch as PackedAttentionOps>::attend_packed_with(
                packed,
                bias.into_dispatch(),
                heads,
                scale,
            ),
            None => <Dispatch as PackedAttentionOps>::attend_packed(packed, heads, scale),
        };
        return Tensor::from_dispatch(y);
    }
    let split = packed.reshape([batch, tokens, 3 * heads, each[3]]);
    let third = |third: usize| split.clone().narrow(2, third * heads, heads).swap_dims(1, 2);
    composed([third(0), third(1), third(2)], scale, bias)
}

/// [`attention_packed`] as one operation of a backend; a bias is [B, h, N, N].
#[backend_extension(Flex: cfg(feature = "flex"), LibTorch: cfg(feature = "tch"), Capture, Autodiff)]
pub trait PackedAttentionOps: Backend {
    /// [B, h, N, d].
    fn attend_packed(packed: FloatTensor<Self>, heads: usize, scale: f64) -> FloatTensor<Self>;

    /// The same with a bias.
    fn attend_packed_with(
        packed: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        heads: usize,
        scale: f64,
    ) -> FloatTensor<Self>;
}

/// What such an attention reads.
#[derive(Debug, Clone)]
pub struct Packed<T> {
    /// [B, N, 3 h d].
    pub packed: T,
    /// [B, h, N, N].
    pub bias: Option<T>,
    /// Number of heads h.
    pub heads: usize,
    /// Factor on the scores q k^T.
    pub scale: f64,
}

/// The gradient of [`PackedAttentionOps`].
pub trait PackedAttentionBackward: Backend {
    /// Of queries, keys and values [B, N, 3 h d] and (if it `needs` one) the bias,
    /// given that of the output.
    fn attend_packed_backward(
        of: Packed<FloatTensor<Self>>,
        grad: FloatTensor<Self>,
        needs: bool,
    ) -> (FloatTensor<Self>, Option<FloatTensor<Self>>);
}

#[derive(Debug)]
struct AttendPacked;

impl<B: PackedAttentionBackward> Backward<B, 1> for AttendPacked {
    type State = Packed<FloatTensor<B>>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let (found, _) = B::attend_packed_backward(ops.state, grad, false);
        let [packed] = ops.parents;
        if let Some(node) = packed {
            grads.register::<B>(node.id, found);
        }
    }
}

#[derive(Debug)]
struct AttendPackedWith;

impl<B: PackedAttentionBackward> Backward<B, 2> for AttendPackedWith {
    type State = Packed<FloatTensor<B>>;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let [packed, bias] = ops.parents;
        let (found, of_bias) = B::attend_packed_backward(ops.state, grad, bias.is_some());
        for (node, gradient) in [(packed, Some(found)), (bias, of_bias)] {
            if let (Some(node), Some(gradient)) = (node, gradient) {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

impl<B: PackedAttentionOps + PackedAttentionBackward, C: CheckpointStrategy> PackedAttentionOps
    for Autodiff<B, C>
{
    fn attend_packed(packed: FloatTensor<Self>, heads: usize, scale: f64) -> FloatTensor<Self> {
        let (packed, node) = packed.into_parts();
        let y = B::attend_packed(packed.clone(), heads, scale);
        match AttendPacked.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(Packed { packed, bias: None, heads, scale }, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn attend_packed_with(
        packed: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        heads: usize,
        scale: f64,
    ) -> FloatTensor<Self> {
        let ((packed, node), (bias, bias_node)) = (packed.into_parts(), bias.into_parts());
        let y = B::attend_packed_with(packed.clone(), bias.clone(), heads, scale);
        match AttendPackedWith.prepare::<C>([node, bias_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(Packed { packed, bias: Some(bias), heads, scale }, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}

#[cfg(feature = "tch")]
mod torch {
    use burn::backend::LibTorch;

    use super::super::attention::{Attended, AttentionBackward, AttentionOps};
    use super::{Packed, PackedAttentionBackward, PackedAttentionOps};
    use crate::op::torch::{Torch, wrap};

    /// Queries, keys and values [B, h, N, d] of [B, N, 3 h d]; views.
    fn thirds(packed: &Torch, heads: usize) -> [Torch; 3] {
        let (batch, tokens, features) = packed.tensor.size3().expect("three axes");
        let heads = heads as i64;
        let split = packed.tensor.reshape([batch, tokens, 3, heads, features / (3 * heads)]);
        [0, 1, 2].map(|third| wrap(split.select(2, third).transpose(1, 2)))
    }

    impl PackedAttentionOps for LibTorch {
        fn attend_packed(packed: Torch, heads: usize, scale: f64) -> Torch {
            let [q, k, v] = thirds(&packed, heads);
            Self::attend(q, k, v, scale)
        }

        fn attend_packed_with(packed: Torch, bias: Torch, heads: usize, scale: f64) -> Torch {
            let [q, k, v] = thirds(&packed, heads);
            Self::attend_with(q, k, v, bias, scale)
        }
    }

    impl PackedAttentionBackward for LibTorch {
        fn attend_packed_backward(of: Packed<Torch>, grad: Torch, needs: bool) -> (Torch, Option<Torch>) {
            let Packed { packed, bias, heads, scale } = of;
            let [q, k, v] = thirds(&packed, heads);
            let (found, bias) = Self::attend_backward(Attended { q, k, v, bias, scale }, grad, needs);
            let rows = found.map(|x| x.tensor.transpose(1, 2));
            let packed = tch::Tensor::stack(&rows, 2).reshape(packed.tensor.size());
            (wrap(packed), bias)
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{FloatDType, Tensor};

    use super::attention_packed;
    use crate::op::attention;
    use crate::op::testing::{agree, gradients_of, normal};

    /// [images, heads, tokens, features of a head], and the shape of the bias.
    const SIZES: [([usize; 4], Option<[usize; 4]>); 4] = [
        ([1, 1, 1, 1], None),
        ([4, 3, 49, 8], Some([1, 3, 49, 49])),
        ([2, 2, 300, 5], None),
        ([3, 2, 17, 4], Some([3, 1, 17, 17])),
    ];

    #[test]
    fn values_and_gradients_are_those_of_burn_in_f64_and_those_of_three_slices_to_the_bit() {
        for ([batch, heads, tokens, features], bias) in SIZES {
            let scale = (features as f64).sqrt().recip();
            let inputs = [
                normal([batch, 1, tokens, 3 * heads * features], 0.1, 1),
                normal(bias.unwrap_or([1; 4]), 0.1, 2),
            ];
            let packed = |x: Tensor<4>| x.reshape([batch, tokens, 3 * heads * features]);
            let run = |[x, b]: [Tensor<4>; 2]| attention_packed(packed(x), heads, scale, bias.map(|_| b));
            let apart = |[x, b]: [Tensor<4>; 2]| {
                let each = packed(x).chunk(3, 2).into_iter();
                let each = each.map(|x| x.reshape([batch, tokens, heads, features]).swap_dims(1, 2));
                let [q, k, v] = each.collect::<Vec<_>>().try_into().expect("three");
                attention(q, k, v, scale, bias.map(|_| b))
            };
            let ours = gradients_of(&inputs, run);
            assert_eq!(ours, gradients_of(&inputs, apart));
            agree(&ours, &gradients_of(&inputs.map(|x| x.cast(FloatDType::F64)), run), 5e-6);
        }
    }

    #[cfg(feature = "tch")]
    #[test]
    fn libtorch_agrees() {
        for ([batch, heads, tokens, features], bias) in SIZES {
            let inputs = [normal([batch, 1, tokens, 3 * heads * features], 0.1, 1)];
            let bias = bias.map(|bias| normal(bias, 0.1, 2).into_data());
            crate::op::testing::on_both(inputs, |[x]| {
                let bias = bias.clone().map(|bias| Tensor::from_data(bias, &x.device()));
                attention_packed(x.reshape([batch, tokens, 3 * heads * features]), heads, 0.35, bias)
            });
        }
    }
}
