//! Loops for the widest vectors that the processor has, chosen at run time.
//!
//! **Results do not depend on the choice.** That is one rule, kept by every
//! kernel of this crate:
//!
//! - A sum runs over a number of lanes that stands in the source (16 or 32),
//!   however many of them fit a register, and the lanes are added in order.
//! - Work is divided by shapes alone: never by the processor, its caches or the
//!   number of threads.
//! - Whether a product is fused with a sum stands in the source (`fma`,
//!   [`f32::mul_add`]). The compiler fuses nothing by itself, and a processor
//!   without the instruction computes the same bits slowly.
//! - exp, tanh, erf and their like are written out here (`op/curve.rs`): those of
//!   a C library differ from one to the next. Roots and quotients are IEEE's.
//!
//! What burn computes besides is free of order: copies, arithmetic of one element
//! with another, comparisons, maxima.
//!
//! `DYGL_SIMD=scalar|avx2|avx512` takes narrower vectors than are there.

use std::sync::OnceLock;

use macerator::WithSimd;

/// The variable that takes narrower vectors.
pub const VARIABLE: &str = "DYGL_SIMD";

/// Sets of vector instructions, from the narrowest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// None.
    Scalar,
    /// 4 lanes of f32, fused products (AArch64).
    Neon,
    /// 8 lanes of f32, fused products (x86-64-v3).
    Avx2,
    /// 16 lanes of f32, fused products (x86-64-v4).
    Avx512,
}

impl Level {
    /// All levels of any processor.
    pub const ALL: [Self; 4] = [Self::Scalar, Self::Neon, Self::Avx2, Self::Avx512];

    /// The name, as [`VARIABLE`] takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Neon => "neon",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// The widest one of this processor.
    pub fn widest() -> Self {
        native::widest()
    }

    /// Those of this processor, from the narrowest.
    pub fn available() -> Vec<Self> {
        let widest = Self::widest();
        Self::ALL.into_iter().filter(|level| *level <= widest && native::has(*level)).collect()
    }

    /// The one that kernels run on: [`Self::widest`], or what [`VARIABLE`] says.
    ///
    /// # Panics
    /// [`VARIABLE`] names none of this processor; programs ask [`Self::check`]
    /// before.
    pub fn current() -> Self {
        static CHOSEN: OnceLock<Level> = OnceLock::new();
        *CHOSEN.get_or_init(|| Self::check().unwrap_or_else(|error| panic!("{error}")))
    }

    /// The level that [`VARIABLE`] asks for.
    ///
    /// # Errors
    /// This processor has no such level: the message names those that it has.
    pub fn check() -> Result<Self, String> {
        match std::env::var(VARIABLE) {
            Ok(text) if !text.is_empty() => Self::of_text(&text),
            _ => Ok(Self::widest()),
        }
    }

    fn of_text(text: &str) -> Result<Self, String> {
        let available = Self::available();
        available.iter().copied().find(|level| level.name() == text).ok_or_else(|| {
            let names: Vec<_> = available.iter().map(|level| level.name()).collect();
            format!("{VARIABLE}={text}: this processor has {}", names.join(", "))
        })
    }
}

#[cfg(target_arch = "x86_64")]
mod native {
    use macerator::Arch;

    use super::Level;

    pub(super) fn widest() -> Level {
        match Arch::detect() {
            // Without fused products SSE brings a sum of products nothing.
            Arch::Scalar | Arch::V2 => Level::Scalar,
            Arch::V3 => Level::Avx2,
            _ => Level::Avx512,
        }
    }

    pub(super) fn has(level: Level) -> bool {
        level != Level::Neon
    }

    pub(super) fn arch(level: Level) -> Arch {
        match level {
            Level::Avx512 => Arch::V4,
            Level::Avx2 => Arch::V3,
            Level::Scalar | Level::Neon => Arch::Scalar,
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod native {
    use macerator::Arch;

    use super::Level;

    pub(super) fn widest() -> Level {
        if matches!(Arch::detect(), Arch::Scalar) { Level::Scalar } else { Level::Neon }
    }

    pub(super) fn has(level: Level) -> bool {
        level <= Level::Neon
    }

    pub(super) fn arch(level: Level) -> Arch {
        if level == Level::Neon { Arch::NeonFma } else { Arch::Scalar }
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod native {
    use macerator::Arch;

    use super::Level;

    pub(super) fn widest() -> Level {
        Level::Scalar
    }

    pub(super) fn has(level: Level) -> bool {
        level == Level::Scalar
    }

    pub(super) fn arch(_: Level) -> Arch {
        Arch::Scalar
    }
}

/// Runs a kernel compiled for the current level.
#[inline(always)]
pub(crate) fn dispatch<Op: WithSimd>(kernel: Op) -> Op::Output {
    dispatch_on(Level::current(), kernel)
}

/// Runs a kernel compiled for a level of this processor; a wider one is narrowed.
#[inline(always)]
#[allow(unsafe_code, reason = "macerator has no safe way to a level other than the widest")]
pub(crate) fn dispatch_on<Op: WithSimd>(level: Level, kernel: Op) -> Op::Output {
    let level = level.min(Level::widest());
    // Safety: the instructions are there, since `level` is at most the widest
    // that was detected, and each level has those of the ones below it.
    unsafe { native::arch(level).dispatch(kernel) }
}

/// Runs a loop compiled for the current level. What it calls must be inlined
/// into it. No loop contracts products and sums, so the width does not change
/// results.
#[inline(always)]
pub(crate) fn vectorised<R>(f: impl FnOnce() -> R) -> R {
    dispatch(f)
}

/// a b + c, rounded once, without the instruction for it: the product of two
/// f32 is exact in f64; the sum is rounded to odd there (towards its remainder
/// where its last bit is even), which a second rounding cannot spoil (Boldo &
/// Melquiond 2008).
#[inline(always)]
pub(crate) fn fused(a: f32, b: f32, c: f32) -> f32 {
    let (product, c) = (f64::from(a) * f64::from(b), f64::from(c));
    let sum = product + c;
    let back = sum - product;
    let rest = (product - (sum - back)) + (c - back);
    let bits = sum.to_bits();
    let is_even = bits & 1 == 0;
    // Away from zero if the remainder has the sum's sign. Not a number has none.
    let grows = (rest > 0.0) == (sum > 0.0);
    let is_inexact = rest != 0.0 && !rest.is_nan();
    let odd = if grows { bits.wrapping_add(1) } else { bits.wrapping_sub(1) };
    f64::from_bits(if is_inexact && is_even { odd } else { bits }) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fused_without_the_instruction_is_fused() {
        // Every exponent, small numbers and halves in many ways, from a
        // multiplicative generator.
        let mut state = 42u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u32
        };
        let special =
            [0.0, -0.0, 1.0, -1.0, f32::MIN_POSITIVE, f32::MAX, f32::INFINITY, 1e-45, 1.5, 8_388_609.0];
        for round in 0..2_000_000u32 {
            let mut draw = || match round % 4 {
                0 => f32::from_bits(next()),
                // Exponents near each other: sums that cancel and that tie.
                1 => f32::from_bits((next() & 0x807f_ffff) | ((120 + next() % 16) << 23)),
                2 => f32::from_bits((next() & 0x8000_0fff) | ((50 + next() % 40) << 23)),
                _ => special[next() as usize % special.len()],
            };
            let (a, b, c) = (draw(), draw(), draw());
            let (ours, exact) = (fused(a, b, c), a.mul_add(b, c));
            let is_equal = ours.to_bits() == exact.to_bits() || (ours.is_nan() && exact.is_nan());
            assert!(is_equal, "{a:e} {b:e} {c:e}: {ours:e} {exact:e}");
        }
    }

    #[test]
    fn a_level_that_is_not_there_is_refused_by_name() {
        assert_eq!(Level::of_text("scalar"), Ok(Level::Scalar));
        assert_eq!(Level::of_text(Level::widest().name()), Ok(Level::widest()));
        let error = Level::of_text("sse9").expect_err("unknown");
        assert!(error.starts_with("DYGL_SIMD=sse9: this processor has scalar"), "{error}");
    }

    #[test]
    fn the_levels_of_a_processor_end_with_its_widest() {
        let available = Level::available();
        assert_eq!(available.first(), Some(&Level::Scalar));
        assert_eq!(available.last(), Some(&Level::widest()));
    }
}
