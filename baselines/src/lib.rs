//! The baseline networks: one network, one file, written from the paper and
//! checked against fixtures of the reference implementation.

pub mod bef_unet;
pub mod hiformer_b;
pub mod swin_unet;
pub mod unet;
