//! The baseline networks: one network, one file, written from the paper and
//! checked against fixtures of the reference implementation.

pub mod attention_unet;
pub mod bef_unet;
pub mod cmunext_l;
pub mod dcsau_net;
pub mod fat_net;
pub mod h2former;
pub mod hiformer_b;
pub mod m2snet;
pub mod missformer;
pub mod swin_unet;
pub mod unet;
pub mod unetpp;
