//! Revisions: what a cached result was computed by, read off the sources.
//!
//! A revision is the digest of the *token stream* of some source files, so
//! that comments, doc comments, formatting and unit tests do not count, and
//! every other edit does. `dygl` takes them at build time and puts them into
//! the key of a result.
//!
//! | revision | sources |
//! |---|---|
//! | `network.<name>` | the network's files and, transitively, the layers and operations whose public names it uses |
//! | `pixels` | `src/pixels`, what computes pixels, masks, splits and order, with the random numbers and vector loops it stands on |
//! | `pack` | `src/datasets/src/pack`, how computed images are kept and read again; names packs, and is in no key |
//! | `train` | `src/train/src/learn`, what touches the weights, with the operations it uses |
//! | `cost` | `src/train/src/cost`, the cost ledger |
//! | `metric` | `src/spec/src/metric` and `src/train/src/evaluate`, scores and the evaluation loop |
//! | `library.*` | locked versions of the crates that compute |
//!
//! Each is a folder: what lies in it counts, and no list says otherwise. In all of them
//! `tests.rs` and `tests/` are left out, and `error.rs`, which holds the words of errors.

mod lock;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use tokens::{Source, digest};

/// Revision name -> hex digest (or, for `library.*`, the versions as text).
pub type Revisions = BTreeMap<String, String>;

/// Where random numbers come from.
const RANDOM: &str = "src/base/src/random.rs";

/// Revisions that are what lies in some folders, and no more.
const FOLDERS: &[(&str, &[&str])] = &[
    ("pixels", &["src/pixels/src", RANDOM, "src/base/src/vector.rs"]),
    ("pack", &["src/datasets/src/pack"]),
    ("metric", &["src/spec/src/metric", "src/train/src/evaluate"]),
];

/// Revisions that are what lies in some folders, with the layers and operations that it uses.
const USERS: &[(&str, &[&str])] =
    &[("train", &["src/train/src/learn", RANDOM]), ("cost", &["src/train/src/cost", TOLD[0], TOLD[1]])];

/// How a pass tells what it does, and how it is recorded: belong to the revision
/// `cost` alone.
const TOLD: [&str; 2] = ["src/nn/src/trace.rs", "src/nn/src/op/recorded.rs"];

/// Where C++ is that computes.
const FOREIGN: &str = "src/nn/src/op/torch";

/// All revisions of the workspace at `root`.
///
/// # Errors
/// A source that cannot be read or is no Rust; the message names the file.
pub fn of_workspace(root: &Path) -> io::Result<Revisions> {
    let mut revisions = Revisions::new();
    let all = |folders: &[&str]| -> io::Result<Vec<PathBuf>> {
        let files = folders.iter().map(|folder| rust_files(&root.join(folder)));
        Ok(files.collect::<io::Result<Vec<_>>>()?.concat())
    };
    for (name, folders) in FOLDERS {
        revisions.insert((*name).into(), digest(&read(root, all(folders)?)?));
    }

    // Layers and operations, and what networks declare about themselves.
    let shared = shared(root)?;
    for (name, folders) in USERS {
        let own = read(root, all(folders)?)?;
        revisions.insert((*name).into(), digest(&with_used(own, &shared)));
    }
    for (network, files) in networks(root)? {
        let own = read(root, files)?;
        revisions.insert(format!("network.{network}"), digest(&with_used(own, &shared)));
    }

    let lock = fs::read_to_string(root.join("Cargo.lock"))?;
    revisions.extend(lock::libraries(&lock));
    Ok(revisions)
}

/// The files that a network's revision covers, relative to the root, sorted.
#[cfg(test)]
fn files_of_network(root: &Path, network: &str) -> io::Result<Vec<String>> {
    let shared = shared(root)?;
    let own =
        networks(root)?.remove(network).ok_or_else(|| io::Error::other(format!("no network {network}")))?;
    let mut labels: Vec<String> =
        with_used(read(root, own)?, &shared).into_iter().map(|source| source.label).collect();
    labels.sort();
    Ok(labels)
}

/// The source files that the revisions depend on: what a build script watches.
///
/// # Errors
/// A folder that cannot be listed.
pub fn watched(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = vec![root.join("Cargo.lock")];
    let computing = ["src/nn/src", "baselines/src", "src/train/src/dyglnet"];
    let folders = FOLDERS.iter().chain(USERS).flat_map(|(_, folders)| folders.iter().copied());
    for folder in folders.chain(computing) {
        files.push(root.join(folder));
        files.extend(rust_files(&root.join(folder))?);
    }
    files.extend(foreign_files(&root.join(FOREIGN)).unwrap_or_default());
    Ok(files)
}

/// The layers and operations, without what only tells of them: no number
/// depends on it, and it speaks the names of all of them.
fn shared(root: &Path) -> io::Result<Vec<Source>> {
    let mut files = rust_files(&root.join("src/nn/src"))?;
    files.retain(|file| TOLD.iter().all(|told| *file != root.join(told)));
    read(root, files)
}

/// Network name -> its files: `dyglnet` in the worker, every file or folder
/// of `baselines/src` but the crate root.
fn networks(root: &Path) -> io::Result<BTreeMap<String, Vec<PathBuf>>> {
    let mut found = BTreeMap::new();
    found.insert("dyglnet".to_owned(), rust_files(&root.join("src/train/src/dyglnet"))?);
    let baselines = root.join("baselines/src");
    for entry in fs::read_dir(&baselines)? {
        let path = entry?.path();
        let name = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        if name != "lib" {
            found.insert(name, rust_files(&path)?);
        }
    }
    Ok(found)
}

/// `own` plus the shared files that it uses, directly or through others. A
/// file is used when one of its public names is spoken, or when it adds an
/// `impl` to what a used file defines. This may take one file too many (two
/// items of one name) but never one too few.
fn with_used(own: Vec<Source>, shared: &[Source]) -> Vec<Source> {
    let mut spoken: BTreeSet<&str> = own.iter().flat_map(Source::names).collect();
    let mut defined: BTreeSet<&str> = BTreeSet::new();
    let mut used = BTreeSet::new();
    loop {
        let before = used.len();
        for (index, file) in shared.iter().enumerate() {
            let is_used = file.defines().any(|name| spoken.contains(name))
                || file.extends().any(|name| defined.contains(name));
            if is_used && used.insert(index) {
                spoken.extend(file.names());
                defined.extend(file.defines());
            }
        }
        if used.len() == before {
            break;
        }
    }
    own.iter().chain(used.iter().map(|index| &shared[*index])).cloned().collect()
}

fn read(root: &Path, mut files: Vec<PathBuf>) -> io::Result<Vec<Source>> {
    files.sort();
    files
        .iter()
        .map(|path| {
            let text = fs::read_to_string(path).map_err(|e| named(path, &e))?;
            let label = path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/");
            let mut source = Source::parse(&label, &text).map_err(|e| named(path, &e))?;
            for foreign in foreign_files(path.parent().unwrap_or(root))? {
                source.add_foreign(&fs::read_to_string(&foreign).map_err(|e| named(&foreign, &e))?);
            }
            Ok(source)
        })
        .collect()
}

fn named(path: &Path, error: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {error}", path.display()))
}

/// The `.rs` files at or below `path`, sorted; none if it does not exist.
/// `tests.rs` and what lies in a folder `tests` hold unit tests alone, `error.rs` words.
fn rust_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    if path.file_stem().is_some_and(|stem| stem == "tests" || stem == "error") {
        return Ok(files);
    }
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            files.extend(rust_files(&entry?.path())?);
        }
    } else if path.is_file() && path.extension().is_some_and(|e| e == "rs") {
        files.push(path.to_owned());
    }
    files.sort();
    Ok(files)
}

/// The C++ files in a folder, sorted: each is a part of the Rust files beside it.
fn foreign_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "cpp" || extension == "h") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A workspace in miniature.
    fn house() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("temporary folder");
        for (path, text) in [
            ("Cargo.lock", "[[package]]\nname = \"burn\"\nversion = \"0.22.1\"\n"),
            ("src/base/src/random.rs", "pub struct Stream;"),
            ("src/pixels/src/lib.rs", "pub mod decode;"),
            ("src/pixels/src/decode.rs", "pub fn rgb() {}"),
            ("src/pixels/src/error.rs", "pub enum PixelError { A }"),
            ("src/pixels/src/split/folds.rs", "pub fn k_fold() {}"),
            ("src/pixels/src/augment/mod.rs", "fn flip() {}"),
            ("src/datasets/src/ingest.rs", "pub fn ingest() {}"),
            ("src/datasets/src/pack/file.rs", "pub fn open() {}"),
            ("src/spec/src/metric/mod.rs", "pub fn dice() {}"),
            ("src/nn/src/layer/conv.rs", "pub struct Conv; impl Conv { fn f() { gelu() } }"),
            ("src/nn/src/layer/dyt.rs", "pub struct DyT;"),
            ("src/nn/src/op/gelu.rs", "pub trait Gelu {} pub fn gelu() { erf() }"),
            ("src/nn/src/op/kernel.rs", "impl Gelu for Flex { fn f() { 1 } }"),
            ("src/nn/src/op/adamw.rs", "pub fn adamw() { 1 }"),
            ("baselines/src/lib.rs", "pub mod unet;"),
            ("baselines/src/unet.rs", "use dygl_nn::Conv; struct UNet(Conv);"),
            ("src/train/src/dyglnet/mod.rs", "use dygl_nn::{Conv, DyT}; struct DyGLNet(Conv, DyT);"),
            ("src/train/src/evaluate/mod.rs", "fn evaluate() {}"),
            ("src/train/src/learn/fit.rs", "fn fit() { adamw() }"),
            ("src/train/src/net.rs", "enum Net {}"),
        ] {
            write(dir.path(), path, text);
        }
        dir
    }

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("parent")).expect("folder");
        fs::write(path, text).expect("written");
    }

    #[test]
    fn code_of_cpp_is_a_part_of_the_rust_beside_it() {
        let dir = house();
        write(dir.path(), "src/nn/src/op/torch/aten.rs", "impl Gelu for Torch { fn f() { call() } }");
        let taken = |text: &str| {
            write(dir.path(), "src/nn/src/op/torch/aten.cpp", text);
            of_workspace(dir.path()).expect("revisions")
        };
        let before = taken("int call() { return 1; }");
        assert_eq!(before, taken("// What it is for.\nint  call() {\n  return 1; // one\n}\n"));
        let after = taken("int call() { return 2; }");
        let moved: Vec<&String> = after
            .iter()
            .filter(|(name, value)| before.get(*name) != Some(value))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(moved, ["network.dyglnet", "network.unet"]);
    }

    /// The revisions that an edit moves.
    fn moved(path: &str, text: &str) -> Vec<String> {
        let dir = house();
        let before = of_workspace(dir.path()).expect("revisions");
        write(dir.path(), path, text);
        let after = of_workspace(dir.path()).expect("revisions");
        after
            .into_iter()
            .filter(|(name, value)| before.get(name) != Some(value))
            .map(|(name, _)| name)
            .collect()
    }

    #[test]
    fn each_edit_moves_what_it_touches_and_no_more() {
        let both = ["network.dyglnet", "network.unet"];
        for (path, text, expected) in [
            (
                "src/train/src/dyglnet/mod.rs",
                "use dygl_nn::{Conv, DyT}; struct DyGLNet(DyT, Conv);",
                &["network.dyglnet"][..],
            ),
            ("src/nn/src/layer/dyt.rs", "pub struct DyT(f32);", &["network.dyglnet"]),
            ("src/nn/src/op/gelu.rs", "pub trait Gelu {} pub fn gelu() { tanh() }", &both),
            // A kernel in a file of its own, reached through a trait alone.
            ("src/nn/src/op/kernel.rs", "impl Gelu for Flex { fn f() { 2 } }", &both),
            ("src/nn/src/op/adamw.rs", "pub fn adamw() { 2 }", &["train"]),
            ("baselines/src/unet.rs", "use dygl_nn::Conv; struct UNet(Conv, Conv);", &["network.unet"]),
            ("src/pixels/src/augment/mod.rs", "fn flip() { no() }", &["pixels"]),
            ("src/pixels/src/decode.rs", "pub fn rgb() { 1 }", &["pixels"]),
            ("src/pixels/src/split/folds.rs", "pub fn k_fold() { 1 }", &["pixels"]),
            ("src/pixels/src/newer.rs", "pub fn level() {}", &["pixels"]),
            // Words, and what finds and registers files.
            ("src/pixels/src/error.rs", "pub enum PixelError { B }", &[]),
            ("src/datasets/src/ingest.rs", "pub fn ingest() { 1 }", &[]),
            ("src/datasets/src/pack/file.rs", "pub fn open() { 1 }", &["pack"]),
            ("src/spec/src/metric/mod.rs", "pub fn dice() { 1 }", &["metric"]),
            ("src/train/src/evaluate/mod.rs", "fn evaluate() { 1 }", &["metric"]),
            ("src/train/src/learn/fit.rs", "fn fit() { adamw() + 1 }", &["train"]),
            ("src/train/src/work.rs", "fn work() {}", &[]),
            ("src/base/src/random.rs", "pub struct Stream(u8);", &["pixels", "train"]),
            ("src/train/src/net.rs", "enum Net { UNet }", &[]),
            ("Cargo.lock", "[[package]]\nname = \"burn\"\nversion = \"0.23.0\"\n", &["library.tensor"]),
        ] {
            assert_eq!(moved(path, text), expected, "{path}");
        }
    }

    /// A folder that was renamed would leave its revision empty and never moving.
    #[test]
    fn every_folder_of_a_revision_holds_code() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for (name, folders) in FOLDERS.iter().chain(USERS) {
            for folder in *folders {
                assert!(!rust_files(&root.join(folder)).expect("listed").is_empty(), "{name}: {folder}");
            }
        }
    }

    /// Of this workspace: words of registration move no key, a filter of resizing moves
    /// that of every cell.
    #[test]
    fn an_edit_of_this_workspace_moves_what_it_should() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let pixels = || rust_files(&root.join("src/pixels/src")).expect("listed");
        let sources = read(&root, pixels()).expect("read");
        let with = |label: &str, from: &str, to: &str| {
            let text = fs::read_to_string(root.join(label)).expect("read");
            assert!(text.contains(from), "{label} lacks `{from}`");
            let edited = Source::parse(label, &text.replacen(from, to, 1)).expect("Rust");
            let mut sources = sources.clone();
            match sources.iter_mut().find(|source| source.label == label) {
                Some(source) => *source = edited,
                None => assert!(!label.starts_with("src/pixels/") || label.ends_with("/error.rs"), "{label}"),
            }
            digest(&sources)
        };
        let now = digest(&sources);
        assert_eq!(now, with("src/pixels/src/error.rs", "does not decode", "cannot be decoded"));
        assert_eq!(now, with("src/datasets/src/error.rs", "is not registered", "was never registered"));
        assert_ne!(now, with("src/pixels/src/lanczos.rs", "LOBES: f32 = 3.0", "LOBES: f32 = 2.0"));
    }

    #[test]
    fn comments_formatting_and_tests_move_nothing() {
        let edit = "//! docs\n// note\n/// Fits.\n#[doc = \"x\"]\nfn   fit( ) {\n adamw(\n)}\n#[cfg(test)]\nmod tests { fn t() {} }\n#[cfg(all(test, unix))]\nmod more { fn t() {} }\n";
        assert_eq!(moved("src/train/src/learn/fit.rs", edit), Vec::<String>::new());
        for tests in ["src/pixels/src/augment/tests.rs", "src/pixels/src/decode/tests/golden.rs"] {
            assert_eq!(moved(tests, "fn helper() {}"), Vec::<String>::new());
        }
    }

    #[test]
    fn a_network_of_this_workspace_covers_what_it_uses_alone() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let unet = files_of_network(&root, "unet").expect("listed");
        let dyglnet = files_of_network(&root, "dyglnet").expect("listed");
        println!("{unet:#?} {dyglnet:#?}");
        let has = |files: &[String], end: &str| files.iter().any(|file| file.ends_with(end));
        for common in ["layer/conv.rs", "layer/batch_norm.rs", "op/batch_norm.rs"] {
            assert!(has(&unet, common) && has(&dyglnet, common), "{common}");
        }
        for own in ["layer/dynamic_tanh.rs", "layer/squeeze_excitation.rs", "op/sample.rs", "op/gelu.rs"] {
            assert!(has(&dyglnet, own), "{own}");
        }
        for foreign in ["layer/dynamic_tanh.rs", "layer/squeeze_excitation.rs", "op/sample.rs"] {
            assert!(!has(&unet, foreign), "{foreign}");
        }
    }

    #[test]
    fn a_broken_source_is_named() {
        let dir = house();
        write(dir.path(), "src/train/src/learn/fit.rs", "fn fit( {");
        let error = of_workspace(dir.path()).expect_err("no Rust").to_string();
        assert!(error.contains("fit.rs"), "{error}");
    }
}
