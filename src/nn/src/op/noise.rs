//! Noise of training: stochastic depth and dropout.
//!
//! Their numbers come from the scope that [`noise`] opens, drawn on the host
//! in the order of the forward pass: the same on every backend and thread
//! count. Outside a scope nothing is dropped, so that evaluation and a
//! comparison with a reference need no switch.

use std::cell::RefCell;
use std::marker::PhantomData;

use burn::tensor::{Tensor, TensorData};

/// Numbers in [0, 1).
type Source = Box<dyn FnMut() -> f64>;

thread_local! {
    static SOURCE: RefCell<Option<Source>> = const { RefCell::new(None) };
}

/// Noise as long as it lives, on the thread that made it.
#[must_use = "the scope ends when this is dropped"]
pub struct Noise {
    before: Option<Source>,
    /// The scope belongs to its thread.
    stays: PhantomData<*const ()>,
}

/// Opens a scope in which layers drop what numbers of `source` in [0, 1) say.
pub fn noise(source: impl FnMut() -> f64 + 'static) -> Noise {
    Noise { before: SOURCE.replace(Some(Box::new(source))), stays: PhantomData }
}

impl Drop for Noise {
    fn drop(&mut self) {
        SOURCE.replace(self.before.take());
    }
}

/// `count` factors, each 0 with probability `rate` and else 1 / (1 - rate);
/// none outside a scope.
fn factors(count: usize, rate: f64) -> Option<Vec<f32>> {
    SOURCE.with_borrow_mut(|source| {
        let source = source.as_mut()?;
        let kept = (1.0 - rate).recip() as f32;
        Some((0..count).map(|_| if source() < rate { 0.0 } else { kept }).collect())
    })
}

/// Stochastic depth (Huang et al. 2016): leaves out a residual branch of each
/// image with probability `rate` in 0..1 and enlarges it otherwise, so that
/// its expectation stays. The first axis counts the images.
pub fn drop_path<const D: usize>(branch: Tensor<D>, rate: f64) -> Tensor<D> {
    let mut shape = [1; D];
    shape[0] = branch.dims()[0];
    drop(branch, shape, rate)
}

/// Dropout (Srivastava et al. 2014): sets each value to 0 with probability
/// `rate` in 0..1 and enlarges the others, so that the expectation stays.
pub fn dropout<const D: usize>(x: Tensor<D>, rate: f64) -> Tensor<D> {
    let shape = x.dims();
    drop(x, shape, rate)
}

fn drop<const D: usize>(x: Tensor<D>, shape: [usize; D], rate: f64) -> Tensor<D> {
    if rate <= 0.0 {
        return x;
    }
    match factors(shape.iter().product(), rate) {
        Some(factors) => {
            let factors = Tensor::from_data(TensorData::new(factors, shape), (&x.device(), x.dtype()));
            x * factors
        }
        None => x,
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::Device;

    use super::*;

    fn values(x: Tensor<2>) -> Vec<f32> {
        x.into_data().try_to_vec().expect("f32")
    }

    #[test]
    fn nothing_is_dropped_outside_a_scope_or_at_rate_zero() {
        let x = || Tensor::<2>::ones([2, 2], &Device::flex());
        assert_eq!(values(drop_path(x(), 0.5)), [1.0; 4]);
        let _scope = noise(|| 0.0);
        assert_eq!(values(drop_path(x(), 0.0)), [1.0; 4]);
        assert_eq!(values(dropout(x(), 0.5)), [0.0; 4]);
    }

    #[test]
    fn a_path_is_dropped_image_by_image_and_scopes_end() {
        let x = || Tensor::<2>::ones([2, 2], &Device::flex());
        {
            let mut numbers = [0.1, 0.9].into_iter().cycle();
            let _scope = noise(move || numbers.next().expect("endless"));
            assert_eq!(values(drop_path(x(), 0.2)), [0.0, 0.0, 1.25, 1.25]);
            assert_eq!(values(dropout(x(), 0.5)), [0.0, 2.0, 0.0, 2.0]);
        }
        assert_eq!(values(dropout(x(), 0.5)), [1.0; 4]);
    }
}
