//! Loops for the widest vectors that the processor has, chosen at run time.

use macerator::Simd;

/// Runs a loop compiled for the widest vectors that the processor has. What it
/// calls must be inlined into it. No loop contracts products and sums, so the
/// width does not change results.
#[inline(always)]
pub fn vectorised<R>(f: impl FnOnce() -> R) -> R {
    dispatch(f)
}

/// The compiler vectorises `f` for each instruction set that it is inlined for.
#[allow(clippy::extra_unused_type_parameters, reason = "the macro asks for the instruction set's type")]
#[macerator::with_simd]
fn dispatch<S: Simd, R, F: FnOnce() -> R>(f: F) -> R {
    f()
}
