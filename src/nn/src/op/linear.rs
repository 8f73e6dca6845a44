//! Rows times a weight matrix, plus a bias. burn on flex adds the bias in a pass
//! of its own, sums its gradient on one thread, and multiplies in an order that
//! the processor chooses.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

use super::backend::has_kernel;

/// x [N, in], weight [out, in] and bias `[out]` to [N, out]: x W^T + b.
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
    let [output, _] = weight.dims();
    if !has_kernel(&x) {
        let y = x.matmul(weight.transpose());
        return match bias {
            Some(bias) => y + bias.reshape([1, output]),
            None => y,
        };
    }
    let bias = bias.unwrap_or_else(|| Tensor::zeros([output], (&x.device(), x.dtype())));
    let y =
        <Dispatch as LinearOps>::linear_rows(x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(y)
}

/// [`linear`] as one operation of a backend.
#[backend_extension(Flex: cfg(feature = "flex"), LibTorch: cfg(feature = "tch"), Capture, Autodiff)]
pub trait LinearOps: Backend {
    /// [N, out].
    fn linear_rows(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

/// The gradient of [`LinearOps::linear_rows`].
pub trait LinearBackward: Backend {
    /// Of x (if it `needs` one), weight and bias, given that of the output.
    fn linear_rows_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        needs: bool,
    ) -> [Option<FloatTensor<Self>>; 3];
}

#[derive(Debug)]
struct Linear;

impl<B: LinearOps + LinearBackward> Backward<B, 3> for Linear {
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let (x, weight) = ops.state;
        let found = B::linear_rows_backward(x, weight, grad, ops.parents[0].is_some());
        for (node, gradient) in ops.parents.into_iter().zip(found) {
            if let (Some(node), Some(gradient)) = (node, gradient) {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

impl<B: LinearOps + LinearBackward, C: CheckpointStrategy> LinearOps for Autodiff<B, C> {
    fn linear_rows(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let (x, x_node) = x.into_parts();
        let (weight, weight_node) = weight.into_parts();
        let (bias, bias_node) = bias.into_parts();
        let y = B::linear_rows(x.clone(), weight.clone(), bias);
        match Linear.prepare::<C>([x_node, weight_node, bias_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x, weight), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}

#[cfg(feature = "flex")]
mod flex {
    use burn::backend::{Flex, TensorMetadata};

    use super::{LinearBackward, LinearOps};
    use crate::op::gemm::products;
    use crate::op::host::{Host, contiguous, forwards, matrix, tensor, values};
    use crate::op::matrix::Matrix;
    use crate::op::sum::flex::column_sums;

    /// The product of two matrices, [rows of a, columns of b].
    fn product(a: Matrix<'_>, b: Matrix<'_>, bias: Option<&[f32]>) -> Host {
        let mut c = vec![0.0; a.rows * b.columns];
        products(&[[a, b]], &mut c, bias);
        tensor(c, [a.rows, b.columns])
    }

    impl LinearOps for Flex {
        fn linear_rows(x: Host, weight: Host, bias: Host) -> Host {
            let (x, weight, bias) = (forwards(x), forwards(weight), contiguous(bias));
            product(matrix(&x), matrix(&weight).transposed(), Some(values(&bias)))
        }
    }

    impl LinearBackward for Flex {
        fn linear_rows_backward(x: Host, weight: Host, grad: Host, needs: bool) -> [Option<Host>; 3] {
            let output = weight.shape()[0];
            let (x, weight, grad) = (forwards(x), forwards(weight), contiguous(grad));
            let of_bias = tensor(column_sums(values(&grad), output), [output]);
            let slope = matrix(&grad);
            let of_weight = product(slope.transposed(), matrix(&x), None);
            let of_x = needs.then(|| product(slope, matrix(&weight), None));
            [of_x, Some(of_weight), Some(of_bias)]
        }
    }
}

#[cfg(feature = "tch")]
mod torch {
    use burn::backend::LibTorch;

    use super::{LinearBackward, LinearOps};
    use crate::op::torch::{Torch, wrap};

    impl LinearOps for LibTorch {
        fn linear_rows(x: Torch, weight: Torch, bias: Torch) -> Torch {
            wrap(bias.tensor.addmm(&x.tensor, &weight.tensor.tr()))
        }
    }

    impl LinearBackward for LibTorch {
        fn linear_rows_backward(x: Torch, weight: Torch, grad: Torch, needs: bool) -> [Option<Torch>; 3] {
            let grad = grad.tensor;
            let of_bias = grad.sum_dim_intlist([0i64].as_slice(), false, None);
            let of_weight = grad.tr().mm(&x.tensor);
            let of_x = needs.then(|| grad.mm(&weight.tensor));
            [of_x, Some(of_weight), Some(of_bias)].map(|gradient| gradient.map(wrap))
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{FloatDType, Tensor};

    use super::linear;
    use crate::op::testing::{agree, gradients_of, normal};

    #[test]
    fn values_and_gradients_are_those_of_a_matrix_product_in_f64() {
        for [rows, input, output] in [[1, 1, 1], [7, 5, 3], [98, 192, 577], [1030, 33, 17]] {
            for with_bias in [true, false] {
                let inputs = [
                    normal([1, 1, rows, input], 0.1, 1),
                    normal([1, 1, output, input], 0.1, 2),
                    normal([1, 1, 1, output], 0.1, 3),
                ];
                let run = |[x, w, b]: [Tensor<4>; 3]| {
                    let b = with_bias.then(|| b.reshape([output]));
                    let y = linear(x.reshape([rows, input]), w.reshape([output, input]), b);
                    y.reshape([1, 1, rows, output])
                };
                let ours = gradients_of(&inputs, run);
                let exact = gradients_of(&inputs.map(|x| x.cast(FloatDType::F64)), run);
                agree(&ours, &exact, 3e-6);
            }
        }
    }

    #[cfg(feature = "tch")]
    #[test]
    fn libtorch_agrees() {
        let inputs =
            [normal([1, 1, 33, 50], 0.1, 1), normal([1, 1, 17, 33], 0.1, 2), normal([1, 1, 1, 17], 0.1, 3)];
        crate::op::testing::on_both(inputs, |[x, w, b]| {
            let x = x.reshape([33, 50]).transpose();
            linear(x, w.reshape([17, 33]), Some(b.reshape([17]))).reshape([1, 1, 50, 17])
        });
    }
}
