//! Products of matrices that both carry gradients. burn's product on flex sums
//! in an order that the processor's vectors and caches choose.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, binary};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, backend_extension};
use burn::tensor::Tensor;

/// a [S, n, k] times b [S, k, m]: [S, n, m]. Neither is repeated along the sets:
/// [`super::spread`] does that.
pub fn matmul(a: Tensor<3>, b: Tensor<3>) -> Tensor<3> {
    Tensor::from_dispatch(<Dispatch as MatmulOps>::multiply(a.into_dispatch(), b.into_dispatch()))
}

/// [`matmul`] on a backend.
#[backend_extension(Flex: cfg(feature = "flex"), LibTorch: cfg(feature = "tch"), Capture, Autodiff)]
pub trait MatmulOps: Backend {
    /// [S, n, m].
    fn multiply(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_matmul(a, b)
    }
}

#[derive(Debug)]
struct Multiply;

impl<B: Backend + MatmulOps> Backward<B, 2> for Multiply {
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (a, b) = ops.state;
        binary::<B, _, _>(
            ops.parents,
            ops.node,
            grads,
            |grad| B::multiply(grad, B::float_swap_dims(b, 1, 2)),
            |grad| B::multiply(B::float_swap_dims(a, 1, 2), grad),
        );
    }
}

impl<B: Backend + MatmulOps, C: CheckpointStrategy> MatmulOps for Autodiff<B, C> {
    fn multiply(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        let ((a, a_node), (b, b_node)) = (a.into_parts(), b.into_parts());
        let c = B::multiply(a.clone(), b.clone());
        match Multiply.prepare::<C>([a_node, b_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((a, b), c),
            OpsKind::UnTracked(prep) => prep.finish(c),
        }
    }
}

#[cfg(feature = "tch")]
impl MatmulOps for burn::backend::LibTorch {}

#[cfg(feature = "flex")]
mod flex {
    use burn::backend::{Flex, TensorMetadata};
    use burn::tensor::{DType, TensorData};
    use rayon::prelude::*;

    use super::MatmulOps;
    use crate::op::gemm::products;
    use crate::op::host::{Host, forwards, matrices, tensor};

    impl MatmulOps for Flex {
        fn multiply(a: Host, b: Host) -> Host {
            let (left, right) = (a.shape(), b.shape());
            let [sets, rows, terms, columns] = [left[0], left[1], left[2], right[2]];
            if a.dtype() == DType::F64 {
                return double(a, b, [sets, rows, terms, columns]);
            }
            let (a, b) = (forwards(a), forwards(b));
            let (a, b) = (matrices(&a), matrices(&b));
            let pairs: Vec<_> = a.into_iter().zip(b).map(|(a, b)| [a, b]).collect();
            let mut c = vec![0.0; sets * rows * columns];
            products(&pairs, &mut c, None);
            tensor(c, [sets, rows, columns])
        }
    }

    /// In f64, for what is small or for the oracle of kernels: term by term.
    fn double(a: Host, b: Host, [sets, rows, terms, columns]: [usize; 4]) -> Host {
        let (a, b) = (a.to_contiguous(), b.to_contiguous());
        let (a, b) = (a.as_slice::<f64>().unwrap_or_default(), b.as_slice::<f64>().unwrap_or_default());
        let mut c = vec![0.0f64; sets * rows * columns];
        c.par_chunks_mut(columns.max(1)).enumerate().for_each(|(at, c)| {
            let (set, row) = (at / rows, at % rows);
            for term in 0..terms {
                let weight = a[(set * rows + row) * terms + term];
                let values = &b[(set * terms + term) * columns..][..columns];
                c.iter_mut().zip(values).for_each(|(sum, value)| *sum += weight * value);
            }
        });
        Host::from_data(TensorData::new(c, [sets, rows, columns]))
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{FloatDType, Tensor};

    use super::matmul;
    use crate::op::testing::{agree, gradients_of, normal};

    #[test]
    fn values_and_gradients_are_those_of_burn_in_f64() {
        for [sets, rows, terms, columns] in [[1, 1, 1, 1], [3, 7, 5, 4], [2, 49, 300, 33], [1, 70, 16, 784]] {
            let inputs = [normal([1, sets, terms, rows], 0.1, 1), normal([1, sets, columns, terms], 0.1, 2)];
            // Views of the operands, whose rows do not lie in one piece.
            let run = |product: fn(Tensor<3>, Tensor<3>) -> Tensor<3>| {
                move |[a, b]: [Tensor<4>; 2]| {
                    let a = a.reshape([sets, terms, rows]).swap_dims(1, 2);
                    let b = b.reshape([sets, columns, terms]).swap_dims(1, 2);
                    product(a, b).reshape([1, sets, rows, columns])
                }
            };
            let ours = gradients_of(&inputs, run(matmul));
            assert_eq!(ours, gradients_of(&inputs, run(matmul)), "repeats differ");
            let double = inputs.map(|x| x.cast(FloatDType::F64));
            let exact = gradients_of(&double, run(|a, b| a.matmul(b)));
            agree(&ours, &exact, 3e-6);
            agree(&gradients_of(&double, run(matmul)), &exact, 1e-13);
        }
    }

    #[cfg(feature = "tch")]
    #[test]
    fn libtorch_agrees() {
        crate::op::testing::on_both(
            [normal([1, 3, 33, 50], 0.1, 1), normal([1, 3, 50, 17], 0.1, 2)],
            |[a, b]| matmul(a.reshape([3, 33, 50]), b.reshape([3, 50, 17])).reshape([1, 3, 33, 17]),
        );
    }
}
