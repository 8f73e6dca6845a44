//! The worker: networks, weights, loss, optimizer and the verbs that need
//! tensors. `dygl` starts the binary `dygl-worker` for each of them.

pub mod assignment;
pub mod bits;
pub mod cost;
pub mod device;
pub mod dyglnet;
pub mod evaluate;
pub mod forward;
pub mod import;
pub mod learn;
pub mod net;
pub mod predict;
pub mod preflight;
pub mod tell;
pub mod views;
pub mod work;
