//! What the tests of all rooms share.

use std::fs;

use proptest::test_runner::{Config, RngSeed};

/// Of a property, so many cases: the same ones on every machine and every day.
pub(crate) fn draws(cases: u32) -> Config {
    Config { cases, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..Config::default() }
}

/// A folder that holds these files, all of them empty.
pub(crate) fn folder(files: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("folder");
    for file in files {
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().expect("parent")).expect("made");
        fs::write(path, "").expect("written");
    }
    root
}
