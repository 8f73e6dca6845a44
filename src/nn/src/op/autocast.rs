//! Mixed precision: bfloat16 products under f32 weights.
//!
//! Inside the scope that [`autocast`] opens, convolutions and linear layers
//! round their input and weight to bfloat16 and give f32 back; the sum inside
//! a product stays f32. Everything else (biases, normalisation, attention
//! scores, loss, optimizer) computes in f32 as ever, and weights stay f32:
//! their gradients pass back through the rounding. bfloat16 has the exponents
//! of f32, so no loss scaling is needed.

use std::cell::Cell;
use std::marker::PhantomData;

use burn::tensor::{FloatDType, Tensor};

use super::backend::is_flex;

thread_local! {
    static ACTIVE: Cell<bool> = const { Cell::new(false) };
}

/// Mixed precision as long as it lives, on the thread that made it.
#[derive(Debug)]
#[must_use = "the scope ends when this is dropped"]
pub struct Autocast {
    before: bool,
    /// The scope belongs to its thread.
    stays: PhantomData<*const ()>,
}

/// Opens a scope in which products are bfloat16, if `on`; else one in which
/// they are f32.
pub fn autocast(on: bool) -> Autocast {
    Autocast { before: ACTIVE.replace(on), stays: PhantomData }
}

impl Drop for Autocast {
    fn drop(&mut self) {
        ACTIVE.set(self.before);
    }
}

/// Whether products are bfloat16 here.
pub(crate) fn is_on() -> bool {
    ACTIVE.get()
}

/// An operand of a product: rounded to bfloat16 if the scope is on.
///
/// flex has no products of bfloat16 that are worth their conversions: there
/// the rounded value is an f32, and the product the same but for the order of
/// its sum.
pub(crate) fn narrow<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if !is_on() {
        return x;
    }
    let on_flex = is_flex(&x.device());
    let x = x.cast(FloatDType::BF16);
    if on_flex { x.cast(FloatDType::F32) } else { x }
}

/// A product's result: f32, rounded to bfloat16 if the scope is on.
pub(crate) fn widen<const D: usize>(y: Tensor<D>) -> Tensor<D> {
    if !is_on() {
        return y;
    }
    let y = if is_flex(&y.device()) { y.cast(FloatDType::BF16) } else { y };
    y.cast(FloatDType::F32)
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{DType, Device, Tensor};

    use super::*;

    #[test]
    fn scopes_nest_and_end() {
        assert!(!is_on());
        {
            let _outer = autocast(true);
            assert!(is_on());
            {
                let _inner = autocast(false);
                assert!(!is_on());
            }
            assert!(is_on());
        }
        assert!(!is_on());
    }

    #[test]
    fn operands_keep_eight_bits_and_gradients_flow_back() {
        let device = Device::flex().autodiff();
        let x = Tensor::<1>::from_floats([1.0, 1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0], &device).require_grad();
        let _scope = autocast(true);
        let y = narrow(x.clone());
        assert_eq!(y.dtype(), DType::F32);
        // Eight significant bits: halves go to the even neighbour.
        let values: Vec<f32> = y.clone().into_data().try_to_vec().expect("f32");
        assert_eq!(values, [1.0, 1.0, 1.0 + 4.0 / 256.0]);
        let grads = (y * 3.0).sum().backward();
        let gradient: Vec<f32> = x.grad(&grads).expect("tracked").into_data().try_to_vec().expect("f32");
        assert_eq!(gradient, [3.0; 3]);
    }
}
