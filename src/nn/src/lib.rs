//! What the networks are made of.
//!
//! [`op`] holds operations that burn lacks or does badly, [`layer`] the layers
//! with parameters, [`network`] what every network declares about itself,
//! [`trace`] how a pass tells what it does.
//!
//! Tensors are [batch, channel, row, column], f32. A layer trains when its
//! input lives on an autodiff device and evaluates when it does not: train
//! with `net.train()`, evaluate with `net.valid()`.

pub mod layer;
pub mod network;
pub mod op;
pub mod trace;
pub mod vector;
