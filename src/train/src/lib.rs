//! The worker: networks, weights, loss, optimizer and the verbs that need
//! tensors. `dygl` starts the binary `dygl-worker` for each of them.

pub mod device;
pub mod dyglnet;
pub mod forward;
pub mod init;
pub mod loss;
pub mod net;
pub mod optim;
pub mod tensors;
pub mod weights;
