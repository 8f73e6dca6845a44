//! The baseline networks: one network, one file, written from the paper and
//! checked against fixtures of the reference implementation.

pub mod h2former;
pub mod missformer;
pub mod unet;
