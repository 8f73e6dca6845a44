//! What identifies a result.
