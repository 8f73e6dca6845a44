//! What the tests of all rooms share.

use proptest::test_runner::{Config, RngSeed};

/// Of a property, so many cases: the same ones on every machine and every day.
pub(crate) fn draws(cases: u32) -> Config {
    Config { cases, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..Config::default() }
}
