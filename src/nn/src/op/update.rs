//! Operations of the optimizer, on flat tensors without gradients. In f64 they
//! are composed of burn's own.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Scalar, backend_extension};
use burn::tensor::Tensor;

/// Sums of the squares of flat tensors, on the host. They leave the device
/// together: it is waited for once.
pub fn sums_of_squares(tensors: impl IntoIterator<Item = Tensor<1>>) -> Vec<f64> {
    let sum = |x: Tensor<1>| <Dispatch as UpdateOps>::sum_of_squares(x.into_dispatch());
    let sums: Vec<Tensor<1>> = tensors.into_iter().map(|x| Tensor::from_dispatch(sum(x))).collect();
    match sums.is_empty() {
        true => Vec::new(),
        false => Tensor::cat(sums, 0).into_data().iter::<f64>().collect(),
    }
}

/// One AdamW step on flat tensors: (parameter, gradient, m, v) to the new
/// (parameter, m, v).
pub fn adamw(
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    m: Tensor<1>,
    v: Tensor<1>,
    step: AdamWStep,
) -> (Tensor<1>, Tensor<1>, Tensor<1>) {
    let (parameter, m, v) = <Dispatch as UpdateOps>::adamw(
        parameter.into_dispatch(),
        gradient.into_dispatch(),
        m.into_dispatch(),
        v.into_dispatch(),
        step,
    );
    (Tensor::from_dispatch(parameter), Tensor::from_dispatch(m), Tensor::from_dispatch(v))
}

/// Constants of one AdamW step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWStep {
    /// Factor on the gradient.
    pub clip: f64,
    /// Decay of the first moment m, 0..1.
    pub beta1: f64,
    /// Decay of the second moment v, 0..1.
    pub beta2: f64,
    /// Added to the root of v without its bias.
    pub epsilon: f64,
    /// Of this step.
    pub rate: f64,
    /// Decay of the parameter as a part of the rate.
    pub weight_decay: f64,
    /// Number of this step, from 1.
    pub time: f64,
}

impl AdamWStep {
    /// Factor on the parameter.
    pub fn decay(&self) -> f64 {
        1.0 - self.rate * self.weight_decay
    }

    /// Factor on m: the rate over m's bias.
    pub fn size(&self) -> f64 {
        self.rate / (1.0 - libm::pow(self.beta1, self.time))
    }

    /// The root of v's bias.
    pub fn correction(&self) -> f64 {
        (1.0 - libm::pow(self.beta2, self.time)).sqrt()
    }
}

/// The optimizer's operations on a backend. All tensors are flat, of one length.
#[backend_extension(Flex: cfg(feature = "flex"), LibTorch: cfg(feature = "tch"))]
pub trait UpdateOps: Backend {
    /// Sum of the squares `[1]`.
    fn sum_of_squares(x: FloatTensor<Self>) -> FloatTensor<Self> {
        composed_sum::<Self>(x)
    }

    /// The new (parameter, m, v).
    fn adamw(
        parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        m: FloatTensor<Self>,
        v: FloatTensor<Self>,
        step: AdamWStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        composed_adamw::<Self>(parameter, gradient, m, v, step)
    }
}

/// Of burn's own words.
fn composed_sum<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_sum(B::float_mul(x.clone(), x))
}

fn composed_adamw<B: Backend>(
    parameter: FloatTensor<B>,
    gradient: FloatTensor<B>,
    m: FloatTensor<B>,
    v: FloatTensor<B>,
    step: AdamWStep,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let times = |x, factor| B::float_mul_scalar(x, Scalar::Float(factor));
    let gradient = times(gradient, step.clip);
    let square = B::float_mul(gradient.clone(), gradient.clone());
    let m = B::float_add(times(m, step.beta1), times(gradient, 1.0 - step.beta1));
    let v = B::float_add(times(v, step.beta2), times(square, 1.0 - step.beta2));
    let root = times(B::float_sqrt(v.clone()), step.correction().recip());
    let root = B::float_add_scalar(root, Scalar::Float(step.epsilon));
    let update = B::float_div(times(m.clone(), step.size()), root);
    (B::float_sub(times(parameter, step.decay()), update), m, v)
}

#[cfg(feature = "tch")]
mod torch {
    use burn::backend::LibTorch;

    use super::{AdamWStep, UpdateOps};
    use crate::op::torch::aten::{self, Rates};
    use crate::op::torch::{Torch, wrap};

    /// Memory of its own, to be written to: as it is if nobody else holds it.
    fn owned(x: Torch) -> Torch {
        if x.can_mut() && x.tensor.is_contiguous() { x } else { wrap(x.tensor.copy()) }
    }

    impl UpdateOps for LibTorch {
        fn sum_of_squares(x: Torch) -> Torch {
            wrap(x.tensor.dot(&x.tensor).reshape([1]))
        }

        /// libtorch's fused kernel, one pass.
        fn adamw(
            parameter: Torch,
            gradient: Torch,
            m: Torch,
            v: Torch,
            step: AdamWStep,
        ) -> (Torch, Torch, Torch) {
            let (mut parameter, mut gradient) = (owned(parameter), owned(gradient));
            let (mut m, mut v) = (owned(m), owned(v));
            let AdamWStep { clip, beta1, beta2, epsilon, rate, weight_decay: decay, time, .. } = step;
            let rates = Rates { rate, beta1, beta2, decay, epsilon, time, clip };
            let moments = [&mut m.tensor, &mut v.tensor];
            aten::adamw(&mut parameter.tensor, &mut gradient.tensor, moments, rates);
            (parameter, m, v)
        }
    }
}

#[cfg(feature = "flex")]
mod flex {
    use burn::backend::Flex;
    use burn::tensor::DType;
    use rayon::prelude::*;

    use super::{AdamWStep, UpdateOps, composed_adamw, composed_sum};
    use crate::op::host::{CHUNK, Host, owned, sum2, tensor, values, vectorised};

    impl UpdateOps for Flex {
        fn sum_of_squares(x: Host) -> Host {
            if x.dtype() == DType::F64 {
                return composed_sum::<Flex>(x);
            }
            let x = x.to_contiguous();
            let parts: Vec<f64> = values(&x)
                .par_chunks(CHUNK)
                .map(|x| {
                    vectorised(
                        #[inline(always)]
                        || sum2(x, x, |x, _| x * x),
                    )
                })
                .collect();
            tensor(vec![parts.iter().sum::<f64>() as f32], [1])
        }

        fn adamw(parameter: Host, gradient: Host, m: Host, v: Host, step: AdamWStep) -> (Host, Host, Host) {
            if parameter.dtype() == DType::F64 {
                return composed_adamw::<Flex>(parameter, gradient, m, v, step);
            }
            let gradient = gradient.to_contiguous();
            let (mut parameter, mut m, mut v) = (owned(parameter), owned(m), owned(v));
            let narrow = |value: f64| value as f32;
            let [clip, beta1, beta2] = [step.clip, step.beta1, step.beta2].map(narrow);
            let [rest1, rest2] = [1.0 - step.beta1, 1.0 - step.beta2].map(narrow);
            let [epsilon, decay, size, root] =
                [step.epsilon, step.decay(), step.size(), step.correction().recip()].map(narrow);
            parameter
                .storage_mut::<f32>()
                .par_chunks_mut(CHUNK)
                .zip(values(&gradient).par_chunks(CHUNK))
                .zip(m.storage_mut::<f32>().par_chunks_mut(CHUNK))
                .zip(v.storage_mut::<f32>().par_chunks_mut(CHUNK))
                .for_each(|(((p, g), m), v)| {
                    vectorised(
                        #[inline(always)]
                        || {
                            for (((p, g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
                                let g = g * clip;
                                *m = *m * beta1 + g * rest1;
                                *v = *v * beta2 + g * g * rest2;
                                *p = *p * decay - *m * size / (v.sqrt() * root + epsilon);
                            }
                        },
                    );
                });
            (parameter, m, v)
        }
    }
}
