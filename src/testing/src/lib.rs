//! What the tests of all rooms share.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use proptest::test_runner::{Config, RngSeed};

/// Of a property, so many cases: the same ones on every machine and every day.
pub fn draws(cases: u32) -> Config {
    Config { cases, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..Config::default() }
}

/// A folder that holds these files, all of them empty.
pub fn folder(files: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("folder");
    for file in files {
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().expect("parent")).expect("made");
        fs::write(path, "").expect("written");
    }
    root
}

/// A program of these lines for `sh`. Written by another process: a file that this one
/// holds open for writing, if only in a child that a thread beside it has just started,
/// cannot be executed.
pub fn script(path: &Path, lines: &str) {
    let mut shell = Command::new("sh")
        .args(["-c", "cat > \"$0\" && chmod 755 \"$0\""])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .expect("sh starts");
    let mut input = shell.stdin.take().expect("piped");
    input.write_all(format!("#!/bin/sh\n{lines}\n").as_bytes()).expect("written");
    drop(input);
    assert!(shell.wait().expect("ends").success(), "{} was not written", path.display());
}

/// The folder with the real images, or a printed skip.
pub fn shared_data() -> Option<std::path::PathBuf> {
    let folder = std::env::var_os("DYGL_SHARED").map(|shared| std::path::Path::new(&shared).join("data"));
    if folder.is_none() {
        println!("skipped: DYGL_SHARED is not set");
    }
    folder
}
