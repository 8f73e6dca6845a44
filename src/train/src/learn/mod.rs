//! Training: everything that touches the weights, from the first values to the file.
//!
//! This folder is the revision `train`: an edit here trains every cell again.

pub mod batch;
pub mod checkpoint;
pub mod fit;
pub mod init;
pub mod loss;
pub mod optim;
pub mod pretrained;
pub mod schedule;
pub mod tensors;
#[cfg(feature = "tch")]
pub mod torch;
pub mod weights;
