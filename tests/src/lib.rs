//! What the integration tests stand on.

pub mod lab;
pub mod malformed;
pub mod parity;
