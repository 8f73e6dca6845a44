//! The house rules that no compiler checks.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("workspace").to_owned()
}

fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for folder in ["src", "baselines", "bench", "tests"] {
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
        let may = [
            "/command/",
            "/tests/",
            "main.rs",
            "build.rs",
            "tests.rs",
            "/phantom/",
            "/bench/",
            "/testing/",
            "/examples/",
        ];
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
    let computing = ["nn", "baselines", "train"];
    for (name, (folder, houses)) in manifests() {
        let text = fs::read_to_string(root().join(&folder).join("Cargo.toml")).expect("manifest");
        let may = ["dygl-nn", "dygl-baselines", "dygl-train", "dygl-bench", "dygl-tests"];
        let knows = computing.iter().any(|house| houses.contains(*house))
            || ["burn", "tch"].iter().any(|name| text.contains(&format!("\n{name}.workspace")));
        assert!(!knows || may.contains(&name.as_str()), "{name} knows tensors");
    }
}

/// A file that no other one names is never compiled, and its tests never run.
#[test]
fn every_file_is_a_module_of_another() {
    let mut orphans = Vec::new();
    let sources = sources();
    // Programs, tests and examples that a manifest names.
    let named: Vec<PathBuf> = manifests()
        .values()
        .flat_map(|(folder, _)| {
            let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("manifest");
            let paths = manifest.lines().filter_map(|line| line.strip_prefix("path = \"")?.strip_suffix('"'));
            paths.map(|path| root().join(folder).join(path)).collect::<Vec<_>>()
        })
        .collect();
    for (path, _) in &sources {
        let file = path.file_name().expect("name").to_string_lossy().into_owned();
        let folder = path.parent().expect("folder").to_owned();
        let is_root = ["lib.rs", "main.rs", "build.rs"].contains(&file.as_str())
            || folder.file_name().is_some_and(|name| name == "examples" || name == "bin");
        if is_root {
            continue;
        }
        let (name, folder) = if file == "mod.rs" {
            let name = folder.file_name().expect("name").to_string_lossy().into_owned();
            (name, folder.parent().expect("folder").to_owned())
        } else {
            (file.trim_end_matches(".rs").to_owned(), folder)
        };
        let beside = folder.with_extension("rs");
        let parents =
            ["mod.rs", "lib.rs", "main.rs"].map(|file| folder.join(file)).into_iter().chain([beside]);
        let declares = |parent: PathBuf| {
            let text = fs::read_to_string(parent).unwrap_or_default();
            let end = format!("mod {name};");
            text.lines().map(str::trim).any(|line| line == end || line.ends_with(&format!(" {end}")))
        };
        if !parents.into_iter().any(declares) && !named.contains(path) {
            orphans.push(path.strip_prefix(root()).expect("inside").display().to_string());
        }
    }
    assert!(
        orphans.is_empty(),
        "no `mod` names these files, so they are not compiled (tests are listed in tests/tests/main.rs):\n{}",
        orphans.join("\n")
    );
}

/// The words in backticks.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Crate -> (folder, crates that it stands on, without `dygl-`), of every manifest of the
/// workspace but for what tests alone need.
fn manifests() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let read =
        |path: &Path| -> toml::Table { fs::read_to_string(path).expect("manifest").parse().expect("TOML") };
    let workspace = read(&root().join("Cargo.toml"));
    let members = workspace["workspace"]["members"].as_array().expect("members");
    let mut found = BTreeMap::new();
    for folder in members.iter().map(|member| member.as_str().expect("a folder")) {
        let manifest = read(&root().join(folder).join("Cargo.toml"));
        let names = |table: &str| {
            let table = manifest.get(table).and_then(toml::Value::as_table).cloned().unwrap_or_default();
            table.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        let all = names("dependencies").into_iter().chain(names("build-dependencies"));
        let houses = all.filter_map(|name| name.strip_prefix("dygl-").map(str::to_owned)).collect();
        let name = manifest["package"]["name"].as_str().expect("a name").to_owned();
        found.insert(name, (folder.to_owned(), houses));
    }
    found
}

#[test]
fn the_map_of_the_houses_is_that_of_the_manifests() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("map");
    let (_, table) = text.split_once("## The houses").expect("the heading of the houses");
    let rows =
        table.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let mut mapped = BTreeMap::new();
    let mut any = Vec::new();
    for row in rows.skip(2) {
        let columns: Vec<&str> = row.trim_matches('|').split('|').collect();
        let [name, folder, _, houses] = columns.as_slice() else { panic!("four columns: {row}") };
        let (name, folder) = (quoted(name).remove(0), quoted(folder).remove(0));
        if houses.trim() == "any" {
            any.push(name.clone());
        }
        mapped.insert(name, (folder, quoted(houses).into_iter().collect::<BTreeSet<_>>()));
    }
    let mut there = manifests();
    for name in any {
        there.get_mut(&name).expect("a crate").1.clear();
    }
    assert_eq!(mapped, there, "left: the table of houses in ARCHITECTURE.md; right: the manifests");
}

/// A crate that the worker does not need would make everybody who trains compile it.
#[test]
fn the_worker_links_nothing_of_the_report() {
    let manifests = manifests();
    let mut linked = BTreeSet::new();
    let mut next = vec!["train".to_owned()];
    while let Some(house) = next.pop() {
        if linked.insert(house.clone()) {
            next.extend(manifests[&format!("dygl-{house}")].1.iter().cloned());
        }
    }
    for house in ["report", "paper", "dygl"] {
        assert!(!linked.contains(house), "the worker links dygl-{house}");
    }
    let drawn = ["tera", "plotters", "indicatif", "clap_complete", "codespan-reporting", "dejavu", "base64"];
    for house in linked {
        let folder = &manifests[&format!("dygl-{house}")].0;
        let text = fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("manifest");
        for name in drawn {
            assert!(!text.contains(&format!("\n{name}.workspace")), "{folder} depends on {name}");
        }
    }
}

/// A house that grows beyond this is to be divided.
#[test]
fn no_house_is_too_large() {
    for (name, (folder, _)) in manifests() {
        let mut files = Vec::new();
        collect(&root().join(&folder), &mut files);
        let lines: usize = files.iter().map(|(_, text)| text.lines().count()).sum();
        assert!(lines <= 14_000, "{name} has {lines} lines");
    }
}

#[test]
fn files_that_the_map_names_are_there() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("map");
    // Blocks of code are drawings.
    let prose: String = text.split("```").step_by(2).collect();
    let bases = ["", "src/train/src", "src/nn/src", "src/dygl/src", "src/report/src", "src", "tests"];
    for name in quoted(&prose) {
        let is_path = name.ends_with(".rs") || name.ends_with('/') || name.starts_with("src/");
        if !is_path || name.contains(['*', '<', ' ']) {
            continue;
        }
        let is_there = bases.iter().any(|base| root().join(base).join(&name).exists())
            || sources().iter().any(|(path, _)| path.ends_with(&name));
        assert!(is_there, "ARCHITECTURE.md names `{name}`, which is not there");
    }
}

/// A temporary file made in another way would be its maker's alone.
#[test]
fn every_file_that_is_renamed_into_place_is_made_by_one_function() {
    let mut complaints = Vec::new();
    for (path, text) in sources() {
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let is_private = code.contains("NamedTempFile::new") || code.contains("tempfile::Builder::new");
        // Folders, and a file that only the worker reads, which are gone with the call.
        let may = ["atomic.rs", "unpack.rs", "store/src/probe.rs", "predict/mod.rs"];
        let obeys = code.contains("permissions(Permissions::from_mode(0o666))");
        let is_test = path.to_string_lossy().contains("/tests/");
        if is_private && !obeys && !is_test && !may.iter().any(|name| path.ends_with(name)) {
            complaints.push(path);
        }
    }
    assert!(complaints.is_empty(), "take `atomic::builder` in {complaints:?}");
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
    "src/base/src/random.rs",
    "src/pixels/src",
    "src/spec/src/metric",
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
