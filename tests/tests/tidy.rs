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

/// Functions of the standard library that are the C library's, or the compiler's
/// to compute in one order or another.
const NOT_PORTABLE: [&str; 31] = [
    "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "cos", "cosh", "erf", "erfc", "exp",
    "exp2", "exp_m1", "gamma", "hypot", "ln", "ln_1p", "ln_gamma", "log", "log10", "log1p", "log2", "powf",
    "powi", "sin", "sin_cos", "sinh", "tan", "tanh",
];

/// Where numbers of results come about.
const DECIDES: [&str; 6] = [
    "src/harness/src/random.rs",
    "src/harness/src/data",
    "src/harness/src/metric",
    "src/train/src",
    "src/nn/src",
    "baselines/src",
];

/// What may call one of them there, and why no result depends on it.
const PORTABLE_ALL_THE_SAME: [(&str, &str, &str); 2] = [
    (
        "src/nn/src/op/overlap.rs",
        "exp",
        "a tensor's: the composition in f64 that the operation is tested with",
    ),
    ("src/nn/src/op/overlap.rs", "log1p", "the same"),
];

/// Files that are tests as a whole.
const TESTS: [&str; 5] = ["/tests/", "tests.rs", "testing.rs", "net/suite.rs", "net/guard.rs"];

/// The lines of a file before its module of tests.
fn before_tests(text: &str) -> impl Iterator<Item = &str> {
    let mut is_next = false;
    text.lines().take_while(move |line| {
        let begins = is_next && line.contains("mod ") && line.ends_with('{');
        is_next = line.starts_with("#[cfg(") && line.contains("test");
        !begins
    })
}

/// The name of such a function in a line of code, called as a method or by its path.
fn not_portable(line: &str) -> Option<&'static str> {
    let code = line.split("//").next().unwrap_or_default();
    NOT_PORTABLE.into_iter().find(|name| {
        let is_whole = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        let method = code.contains(&format!(".{name}("));
        let path =
            ["f32::", "f64::"].iter().any(|of| code.split(&format!("{of}{name}")).skip(1).any(is_whole));
        method || path
    })
}

#[test]
fn a_call_into_the_c_library_is_recognised() {
    for (line, name) in [
        ("let y = x.exp();", Some("exp")),
        ("    .powf(2.0)", Some("powf")),
        ("[low, high].map(f64::ln)", Some("ln")),
        ("f32::powi(x, 2)", Some("powi")),
        ("libm::exp(x) + f64::lnx + x.expect(\"there\") // x.exp()", None),
        ("x.sqrt().round().mul_add(a, b)", None),
    ] {
        assert_eq!(not_portable(line), name, "{line}");
    }
}

#[test]
fn no_result_depends_on_a_c_library() {
    let root = root();
    let mut complaints = Vec::new();
    for place in DECIDES.map(|place| root.join(place)) {
        let mut files = Vec::new();
        if place.is_dir() {
            collect(&place, &mut files);
        } else {
            let text = fs::read_to_string(&place).expect("UTF-8");
            files.push((place, text));
        }
        for (path, text) in files {
            let name = path.strip_prefix(&root).expect("inside").to_string_lossy().into_owned();
            if TESTS.iter().any(|part| name.contains(part)) {
                continue;
            }
            for (number, line) in before_tests(&text).enumerate() {
                let Some(function) = not_portable(line) else { continue };
                if !PORTABLE_ALL_THE_SAME.iter().any(|(file, other, _)| *file == name && *other == function) {
                    complaints.push(format!(
                        "{name}:{}: `{function}` is the C library's and differs from one machine to the next; \
                         take `libm::{function}` (a product for powi, `op/curve.rs` for tensors), or say in \
                         tests/tests/tidy.rs why no result depends on it",
                        number + 1
                    ));
                }
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
