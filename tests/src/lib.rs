//! What the integration tests stand on.

pub mod arrays;
pub mod classifier;
pub mod kept;
pub mod lab;
pub mod malformed;
pub mod parity;
