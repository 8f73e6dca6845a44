//! Operations without parameters of their own.
//!
//! Each file holds one operation that burn lacks or does badly: a backend
//! extension with a kernel for flex, its gradient, and (where burn has a
//! correct one) a default that serves every other backend.

mod batch_norm;
mod depthwise;
mod gelu;
#[cfg(feature = "flex")]
mod host;
mod pointwise;
mod resize;
mod sample;
mod update;

pub use batch_norm::{BatchNormOps, batch_norm, batch_norm_train};
pub use depthwise::{DepthwiseOps, Window, depthwise};
pub use gelu::{GeluOps, gelu};
pub use pointwise::pointwise;
pub use resize::upsample_bilinear;
pub use sample::{SampleBackward, SampleOps, dynamic_upsample};
pub use update::{AdamWStep, UpdateOps, adamw, sum_of_squares};
