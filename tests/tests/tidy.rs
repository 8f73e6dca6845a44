//! The house rules that no compiler checks.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("workspace").to_owned()
}

fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for folder in ["src", "baselines", "tests"] {
        collect(&root().join(folder), &mut found);
    }
    assert!(found.len() > 50, "the sources were not found");
    found
}

fn collect(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).expect("folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("UTF-8");
            found.push((path, text));
        }
    }
}

#[test]
fn every_file_says_what_it_is() {
    for (path, text) in sources() {
        assert!(text.starts_with("//!"), "{} begins without a //! header", path.display());
    }
}

#[test]
fn only_commands_and_the_worker_print() {
    for (path, text) in sources() {
        let name = path.to_string_lossy();
        let may = ["/command/", "/tests/", "main.rs", "build.rs", "tests.rs", "/phantom/", "/examples/"];
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let prints = code.lines().any(|line| {
            let line = line.trim_start();
            line.starts_with("println!") || line.starts_with("eprintln!") || line.contains(" println!(")
        });
        assert!(!prints || may.iter().any(|part| name.contains(part)), "{name} prints");
    }
}

#[test]
fn the_harness_knows_no_tensors() {
    let manifest = fs::read_to_string(root().join("src/harness/Cargo.toml")).expect("manifest");
    for name in ["burn", "tch", "dygl-nn", "dygl-train", "dygl-baselines"] {
        assert!(!manifest.lines().any(|line| line.starts_with(name)), "the harness depends on {name}");
    }
}

#[test]
fn rooms_look_in_one_direction() {
    // Who must not look at whom (see ARCHITECTURE.md).
    let forbidden = [
        ("archive", &["spec", "plan", "key", "store", "exec", "table", "report", "command", "data"][..]),
        ("weight_file", &["spec", "plan", "key", "store", "exec", "table", "report", "command", "data"]),
        ("spec", &["plan", "key", "store", "exec", "table", "report", "command", "data"]),
        ("plan", &["key", "store", "exec", "table", "report", "command", "data"]),
        ("key", &["store", "exec", "table", "report", "command", "data"]),
        ("data", &["plan", "key", "store", "exec", "table", "report", "command", "metric", "audit"]),
        ("audit", &["plan", "key", "store", "exec", "table", "report", "command", "metric"]),
        ("claims", &["plan", "key", "store", "exec", "table", "report", "command", "data", "audit"]),
        ("metric", &["plan", "key", "store", "exec", "table", "report", "command", "data"]),
        ("store", &["exec", "table", "report", "command", "data"]),
        ("stats", &["plan", "key", "store", "exec", "table", "report", "command", "data"]),
        ("table", &["exec", "report", "command", "data"]),
        ("exec", &["table", "report", "command"]),
        ("report", &["exec", "command", "data"]),
    ];
    for (room, others) in forbidden {
        let folder = root().join("src/harness/src").join(room);
        let mut files = Vec::new();
        collect(&folder, &mut files);
        for (path, text) in files {
            let name = path.file_name().expect("name").to_string_lossy().into_owned();
            if ["tests.rs", "testing.rs", "samples.rs"].contains(&name.as_str()) {
                continue;
            }
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            for other in others {
                let spoken = format!("crate::{other}");
                let looks = text.lines().any(|line| {
                    line.split(&spoken)
                        .nth(1)
                        .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
                });
                assert!(!looks, "{} looks at {other}", path.display());
            }
        }
    }
}

#[test]
fn experiments_say_question_cost_and_command() {
    for entry in fs::read_dir(root().join("experiments")).expect("experiments").flatten() {
        let path = entry.path();
        let name = path.file_name().expect("name").to_string_lossy().into_owned();
        let is_support =
            ["protocol.toml", "profiles.toml", "reported.toml", "claims.toml"].contains(&name.as_str());
        if is_support || name.ends_with(".lock.toml") || !name.ends_with(".toml") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("UTF-8");
        for word in ["# Question:", "# Cost:", "# Command:"] {
            assert!(text.contains(word), "{name} lacks `{word}`");
        }
    }
}
