//! The house rules that no compiler checks.

use std::collections::{BTreeMap, BTreeSet};
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

/// A file that no other one names is never compiled, and its tests never run.
#[test]
fn every_file_is_a_module_of_another() {
    let mut orphans = Vec::new();
    let sources = sources();
    // Examples share files by `#[path = "../common/card.rs"]`.
    let shared = |path: &Path| {
        let end: PathBuf = path.iter().rev().take(2).collect::<Vec<_>>().into_iter().rev().collect();
        let end = format!("{}\"]", end.display());
        sources
            .iter()
            .any(|(_, text)| text.lines().any(|line| line.contains("#[path = ") && line.contains(&end)))
    };
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
        if !parents.into_iter().any(declares) && !shared(path) {
            orphans.push(path.strip_prefix(root()).expect("inside").display().to_string());
        }
    }
    assert!(
        orphans.is_empty(),
        "no `mod` names these files, so they are not compiled (tests are listed in tests/tests/main.rs):\n{}",
        orphans.join("\n")
    );
}

/// A room of the harness, as ARCHITECTURE.md has it.
struct Room {
    name: String,
    /// Those that it looks at, without exceptions in parentheses.
    looks: Vec<String>,
    exceptions: Vec<String>,
    sees_all: bool,
    /// Every other room may look at it.
    is_open: bool,
}

/// The words in backticks.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The rows of the table of rooms. What stands in parentheses behind the rooms that one
/// looks at is an exception.
fn rooms() -> Vec<Room> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("map");
    let (_, table) = text.split_once("## The rooms of the harness").expect("the heading of the rooms");
    let rows =
        table.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let mut rooms = Vec::new();
    for row in rows.skip(2) {
        let columns: Vec<&str> = row.trim_matches('|').split('|').collect();
        let [names, _, looks] = columns.as_slice() else { panic!("three columns: {row}") };
        let (straight, exceptions) = looks.split_once('(').unwrap_or((looks, ""));
        for name in quoted(names) {
            rooms.push(Room {
                name,
                looks: quoted(straight),
                exceptions: quoted(exceptions),
                sees_all: straight.trim() == "all",
                is_open: straight.contains("open to all"),
            });
        }
    }
    assert!(rooms.len() > 15, "the table of rooms was not found");
    rooms
}

/// The rooms of the harness that lines of code speak of: `crate::NAME`, `crate::{NAME, ...}`.
fn spoken(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let code: Vec<&str> =
        before_tests(text).map(|line| line.split("//").next().unwrap_or_default()).collect();
    let word =
        |text: &str| -> String { text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect() };
    for rest in code.join("\n").split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(list) => {
                let list = list.split('}').next().unwrap_or_default();
                found.extend(list.split(',').map(|name| word(name.trim())));
            }
            None => drop(found.insert(word(rest))),
        }
    }
    found
}

/// The modules of the harness with the text of their files, tests and samples apart.
fn modules() -> BTreeMap<String, Vec<(PathBuf, String)>> {
    let folder = root().join("src/harness/src");
    let mut files = Vec::new();
    collect(&folder, &mut files);
    let mut modules: BTreeMap<String, Vec<(PathBuf, String)>> = BTreeMap::new();
    for (path, text) in files {
        let inside = path.strip_prefix(&folder).expect("inside").to_owned();
        let first = inside.components().next().expect("a part").as_os_str().to_string_lossy().into_owned();
        let name = first.trim_end_matches(".rs").to_owned();
        let mut parts = inside.components().map(|part| part.as_os_str().to_string_lossy().into_owned());
        let is_test = parts.any(|part| {
            ["tests", "tests.rs", "testing.rs", "samples", "samples.rs"].contains(&part.as_str())
        });
        if !["lib", "main", "testing"].contains(&name.as_str()) {
            let files = modules.entry(name).or_default();
            if !is_test {
                files.push((inside, text));
            }
        }
    }
    modules
}

#[test]
fn the_map_shows_every_room_and_no_other() {
    let mapped: Vec<String> = rooms().into_iter().map(|room| room.name).collect();
    let there: Vec<String> = modules().into_keys().collect();
    let mut sorted = mapped.clone();
    sorted.sort();
    assert_eq!(sorted, there, "left: the table of rooms in ARCHITECTURE.md; right: src/harness/src");
}

#[test]
fn rooms_look_in_one_direction() {
    let rooms = rooms();
    let known: BTreeSet<&str> = rooms.iter().map(|room| room.name.as_str()).collect();
    let find = |name: &str| rooms.iter().find(|room| room.name == name);
    // What a room may look at: what the map says, and what those look at.
    fn reach(room: &Room, rooms: &[Room], path: &mut Vec<String>, seen: &mut BTreeSet<String>) {
        assert!(!path.contains(&room.name), "a circle: {} -> {}", path.join(" -> "), room.name);
        path.push(room.name.clone());
        for name in &room.looks {
            if let Some(next) = rooms.iter().find(|room| room.name == *name) {
                seen.insert(name.clone());
                reach(next, rooms, path, seen);
            }
        }
        path.pop();
    }
    let mut complaints = Vec::new();
    for (name, files) in modules() {
        let Some(room) = find(&name) else { continue };
        let mut allowed: BTreeSet<String> = room.exceptions.iter().cloned().collect();
        allowed.extend(rooms.iter().filter(|other| other.is_open).map(|room| room.name.clone()));
        reach(room, &rooms, &mut Vec::new(), &mut allowed);
        let mut all = BTreeSet::new();
        for (path, text) in files {
            for other in spoken(&text).into_iter().filter(|other| known.contains(other.as_str())) {
                if other != name && !room.sees_all && !allowed.contains(&other) {
                    complaints
                        .push(format!("{} looks at {other}, which the map does not allow", path.display()));
                }
                all.insert(other);
            }
        }
        for arrow in room.looks.iter().chain(&room.exceptions).filter(|arrow| known.contains(arrow.as_str()))
        {
            if !all.contains(arrow) {
                complaints.push(format!("the map has {name} look at {arrow}, and it does not"));
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn files_that_the_map_names_are_there() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("map");
    // Blocks of code are drawings.
    let prose: String = text.split("```").step_by(2).collect();
    let bases = ["", "src/harness", "src/harness/src", "src/train/src", "src/nn/src", "src", "tests"];
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

#[test]
fn code_that_speaks_of_a_room_is_recognised() {
    let text = "use crate::data::{self, X};\nuse crate::{plan, key::Key};\n// crate::report\nfn f() { crate::exit::g() }\n\
                #[cfg(test)]\nmod tests;\nuse crate::store::S;\n#[cfg(test)]\nmod more {\n use crate::exec::E;\n}\n";
    let found: Vec<String> = spoken(text).into_iter().collect();
    assert_eq!(found, ["data", "exit", "key", "plan", "store"]);
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
