//! Everything that decides a pixel, a mask or which image is in which part: decoding, the
//! rule of masks, resizing, augmentation, phantoms, splits and roles.
//!
//! This crate is the revision `pixels`: an edit here moves the key of every result, save in
//! comments, tests and the words of `error.rs`. How files are found, registered, checked
//! and packed lies outside (`dygl-datasets`), and is guarded by the digests of content and
//! split that stand in every key.

pub mod augment;
pub mod decode;
pub mod mask;
pub mod merge;
pub mod phantom;
pub mod prepare;
pub mod resize;
pub mod split;

mod error;
mod lanczos;
mod role;
mod rule;
mod sample;

pub use error::PixelError;
pub use role::{ForReport, ForTraining, Reported, Scored, Selecting, Training};
pub use rule::ImageRule;
pub use sample::Sample;
pub use split::{Counts, Partition, SplitError};
