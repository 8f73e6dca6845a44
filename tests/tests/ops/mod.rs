//! Every operation and every layer with a formula of its own, computed here.
//!
//! The proofs, from the same cases: the kernels in f32 against what burn
//! composes in f64 ([`harness::agrees`], relative error 1e-5), that against
//! finite differences ([`difference::derives`], 1e-6), views against copies to
//! the bit ([`layout::reads_views`]), and everything against PyTorch
//! ([`golden`]). [`repeat`] holds one thread against several. Shapes are drawn at random (proptest, always the same ones) and
//! named where they are borders. On flex, and on each other device that is here.

mod convolution;
mod difference;
mod golden;
mod harness;
pub use harness::devices;
mod layer;
mod layout;
mod norm;
mod precision;
mod product;
mod repeat;
mod resample;
mod training;
