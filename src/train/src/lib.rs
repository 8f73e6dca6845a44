//! The worker: networks, weights, loss, optimizer and the verbs that need
//! tensors. `dygl` starts the binary `dygl-worker` for each of them.

pub mod augment;
pub mod batch;
pub mod bits;
pub mod checkpoint;
pub mod cost;
pub mod device;
pub mod dyglnet;
pub mod evaluate;
pub mod fit;
pub mod forward;
pub mod import;
pub mod init;
pub mod loss;
pub mod net;
pub mod optim;
pub mod predict;
pub mod preflight;
pub mod pretrained;
pub mod schedule;
pub mod tell;
pub mod tensors;
#[cfg(feature = "tch")]
pub mod torch;
pub mod views;
pub mod weights;
pub mod work;
