//! What the measuring programs share: a worker's allocator, what a card and the processors
//! tell, spreads of times, and the steps of a training.

pub mod allocator;
pub mod card;
pub mod processor;
pub mod spread;
pub mod stepping;
