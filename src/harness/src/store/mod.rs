//! The store: results that are verified when they are read.

pub mod record;
