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
//! | `data` | what computes pixels, masks, splits and order: decoding, resizing, splits, phantoms, augmentation, random numbers |
//! | `pack` | how computed images are kept and read again; names packs, and is in no key |
//! | `train` | everything else in the worker that touches the weights, with the operations it uses |
//! | `cost` | the cost ledger |
//! | `metric` | scores and the evaluation loop |
//! | `library.*` | locked versions of the crates that compute |

mod lock;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use tokens::{Source, digest};

/// Revision name -> hex digest (or, for `library.*`, the versions as text).
pub type Revisions = BTreeMap<String, String>;

/// Files of the worker that do not belong to the revision `train`, with the
/// reason. Everything else under `src/train/src` does.
const NOT_TRAIN: &[(&str, &str)] = &[
    ("dyglnet", "a network: network.dyglnet"),
    ("net.rs", "the registry: adding a network moves nobody's results"),
    ("augment", "revision data"),
    ("cost", "counts and measures, and makes no result"),
    ("evaluate", "revision metric"),
    ("bits", "digests what is computed and makes no result"),
    ("views.rs", "draws pictures for people"),
    ("forward.rs", "the verb `model forward` makes no result"),
    ("import", "the verb `model import` makes files that are keyed by their digest"),
    ("predict", "the verb `predict` makes no result"),
    ("preflight.rs", "measures and throws away"),
    ("main.rs", "dispatch"),
    ("work.rs", "reads the job and writes the record"),
    ("tell.rs", "events"),
    ("lib.rs", "module list"),
];

/// Files of `src/harness/src/data` that compute pixels, masks, splits or the order of
/// images: the revision `data`. A file in neither list counts as one of these, and a test
/// fails until it is in one.
#[cfg(test)]
const DATA: &[&str] = &[
    "dataset.rs",
    "decode.rs",
    "decode",
    "lanczos.rs",
    "manifest.rs",
    "mask",
    "merge.rs",
    "phantom",
    "prepare.rs",
    "resize.rs",
    "role.rs",
    "split/mod.rs",
    "split/folds.rs",
    "split/groups.rs",
    "vector.rs",
];

/// Files of `src/harness/src/data` that do not belong to the revision `data`, with the
/// reason: what they find is in the key by the digests of content and split.
const NOT_DATA: &[(&str, &str)] = &[
    ("error.rs", "words"),
    ("facts.rs", "tells what was found"),
    ("files.rs", "hashes files: the hashes are in the digest of the content"),
    ("group_table.rs", "reads groups: the digest of the content"),
    ("ingest.rs", "registers: ids, parts, groups and files are in the digest of the content"),
    ("left_over.rs", "tells of pictures in no pair"),
    ("looked.rs", "reads a pair while it is registered: its files are in the digest of the content"),
    ("mod.rs", "module list, and the digests themselves"),
    ("names.rs", "which names there are"),
    ("official.rs", "checksums that others published"),
    ("outputs.rs", "knows pictures that dygl wrote"),
    ("pack", "revision pack"),
    ("pattern.rs", "finds files: the digest of the content"),
    ("problem.rs", "words"),
    ("registry.rs", "keeps registrations"),
    ("rules.rs", "parts and groups: the digest of the content"),
    ("scan", "pairs files: the digest of the content"),
    ("scan.rs", "finds files: the digest of the content"),
    ("split/error.rs", "words"),
    ("split/file.rs", "reads lists: the digest of the split"),
    ("text.rs", "names and lines: what they say is in the digests"),
    ("tree.rs", "lists files"),
    ("unpack.rs", "gets files out of archives"),
    ("user.rs", "reads manifests: what they say is in the digest of the content"),
];

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
    let harness = root.join("src/harness/src");
    let train = root.join("src/train/src");
    let random = harness.join("random.rs");

    let mut data = rust_files(&harness.join("data"))?;
    let is_data = |file: &PathBuf| {
        let inside = file.strip_prefix(harness.join("data")).unwrap_or(file);
        !NOT_DATA.iter().any(|(name, _)| inside.starts_with(name))
    };
    data.retain(is_data);
    data.extend(rust_files(&train.join("augment"))?);
    data.push(random.clone());
    revisions.insert("data".into(), digest(&read(root, data)?));

    let pack = rust_files(&harness.join("data/pack"))?;
    revisions.insert("pack".into(), digest(&read(root, pack)?));

    let mut metric = rust_files(&harness.join("metric"))?;
    metric.extend(rust_files(&train.join("evaluate"))?);
    metric.extend(rust_files(&train.join("evaluate.rs"))?);
    revisions.insert("metric".into(), digest(&read(root, metric)?));

    let mut training = vec![random];
    for file in rust_files(&train)? {
        let inside = file.strip_prefix(&train).unwrap_or(&file);
        let first = inside.components().next().map(|c| c.as_os_str().to_string_lossy().into_owned());
        let first = first.unwrap_or_default();
        let stem = first.trim_end_matches(".rs");
        if !NOT_TRAIN.iter().any(|(name, _)| name.trim_end_matches(".rs") == stem) {
            training.push(file);
        }
    }
    // Layers and operations, and what networks declare about themselves.
    let shared = shared(root)?;
    let training = read(root, training)?;
    revisions.insert("train".into(), digest(&with_used(training, &shared)));
    let mut costs = rust_files(&train.join("cost"))?;
    for file in TOLD {
        costs.extend(rust_files(&root.join(file))?);
    }
    let costs = read(root, costs)?;
    revisions.insert("cost".into(), digest(&with_used(costs, &shared)));
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
    for folder in
        ["src/harness/src/data", "src/harness/src/metric", "src/nn/src", "baselines/src", "src/train/src"]
    {
        files.push(root.join(folder));
        files.extend(rust_files(&root.join(folder))?);
    }
    files.extend(foreign_files(&root.join(FOREIGN)).unwrap_or_default());
    files.push(root.join("src/harness/src/random.rs"));
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
/// `tests.rs` and what lies in a folder `tests` hold unit tests alone.
fn rust_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    if path.file_stem().is_some_and(|stem| stem == "tests") {
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
            ("src/harness/src/random.rs", "pub struct Stream;"),
            ("src/harness/src/data/mod.rs", "pub fn digest_of() {}"),
            ("src/harness/src/data/decode.rs", "pub fn rgb() {}"),
            ("src/harness/src/data/error.rs", "pub enum DataError { A }"),
            ("src/harness/src/data/pack/file.rs", "pub fn open() {}"),
            ("src/harness/src/data/split/file.rs", "pub fn read() {}"),
            ("src/harness/src/data/split/folds.rs", "pub fn k_fold() {}"),
            ("src/harness/src/metric/mod.rs", "pub fn dice() {}"),
            ("src/nn/src/layer/conv.rs", "pub struct Conv; impl Conv { fn f() { gelu() } }"),
            ("src/nn/src/layer/dyt.rs", "pub struct DyT;"),
            ("src/nn/src/op/gelu.rs", "pub trait Gelu {} pub fn gelu() { erf() }"),
            ("src/nn/src/op/kernel.rs", "impl Gelu for Flex { fn f() { 1 } }"),
            ("src/nn/src/op/adamw.rs", "pub fn adamw() { 1 }"),
            ("baselines/src/lib.rs", "pub mod unet;"),
            ("baselines/src/unet.rs", "use dygl_nn::Conv; struct UNet(Conv);"),
            ("src/train/src/dyglnet/mod.rs", "use dygl_nn::{Conv, DyT}; struct DyGLNet(Conv, DyT);"),
            ("src/train/src/augment/mod.rs", "fn flip() {}"),
            ("src/train/src/evaluate.rs", "fn evaluate() {}"),
            ("src/train/src/fit.rs", "fn fit() { adamw() }"),
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
            ("src/train/src/augment/mod.rs", "fn flip() { no() }", &["data"]),
            // On both sides of the border through the room of data.
            ("src/harness/src/data/decode.rs", "pub fn rgb() { 1 }", &["data"]),
            ("src/harness/src/data/split/folds.rs", "pub fn k_fold() { 1 }", &["data"]),
            ("src/harness/src/data/error.rs", "pub enum DataError { B }", &[]),
            ("src/harness/src/data/split/file.rs", "pub fn read() { 1 }", &[]),
            ("src/harness/src/data/mod.rs", "pub fn digest_of() { 1 }", &[]),
            ("src/harness/src/data/pack/file.rs", "pub fn open() { 1 }", &["pack"]),
            // A file that nobody has put on a side counts.
            ("src/harness/src/data/newer.rs", "pub fn level() {}", &["data"]),
            ("src/harness/src/metric/mod.rs", "pub fn dice() { 1 }", &["metric"]),
            ("src/train/src/evaluate.rs", "fn evaluate() { 1 }", &["metric"]),
            ("src/train/src/fit.rs", "fn fit() { adamw() + 1 }", &["train"]),
            ("src/harness/src/random.rs", "pub struct Stream(u8);", &["data", "train"]),
            ("src/train/src/net.rs", "enum Net { UNet }", &[]),
            ("Cargo.lock", "[[package]]\nname = \"burn\"\nversion = \"0.23.0\"\n", &["library.tensor"]),
        ] {
            assert_eq!(moved(path, text), expected, "{path}");
        }
    }

    /// Lists that are kept by hand are whole: every file is on one side of the border,
    /// and every entry names a file.
    #[test]
    fn every_file_of_data_is_on_one_side_of_the_border() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let folder = root.join("src/harness/src/data");
        let inside = |file: &PathBuf| file.strip_prefix(&folder).expect("inside").to_owned();
        let files: Vec<PathBuf> = rust_files(&folder).expect("listed").iter().map(inside).collect();
        assert!(files.len() > 30, "{files:?}");
        let sides = |file: &Path| {
            let computes = DATA.iter().filter(|name| file.starts_with(name)).count();
            computes + NOT_DATA.iter().filter(|(name, _)| file.starts_with(name)).count()
        };
        let wrong: Vec<String> = files
            .iter()
            .filter(|file| sides(file) != 1)
            .map(|file| format!("{} is in {} of the lists DATA and NOT_DATA", file.display(), sides(file)))
            .collect();
        assert!(wrong.is_empty(), "put each into one list of src/revision/src/lib.rs:\n{}", wrong.join("\n"));
        for name in DATA.iter().chain(NOT_DATA.iter().map(|(name, _)| name)) {
            assert!(
                files.iter().any(|file| file.starts_with(name)),
                "{name} is no file of {}",
                folder.display()
            );
        }
    }

    #[test]
    fn every_exception_of_the_revision_train_is_a_file() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../train/src");
        for (name, _) in NOT_TRAIN {
            assert!(folder.join(name).exists(), "{name} is no file of {}", folder.display());
        }
        for file in TOLD {
            assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file).is_file(), "{file}");
        }
    }

    #[test]
    fn comments_formatting_and_tests_move_nothing() {
        let edit = "//! docs\n// note\n/// Fits.\n#[doc = \"x\"]\nfn   fit( ) {\n adamw(\n)}\n#[cfg(test)]\nmod tests { fn t() {} }\n#[cfg(all(test, unix))]\nmod more { fn t() {} }\n";
        assert_eq!(moved("src/train/src/fit.rs", edit), Vec::<String>::new());
        for tests in ["src/train/src/augment/tests.rs", "src/harness/src/data/tests/golden.rs"] {
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
        write(dir.path(), "src/train/src/fit.rs", "fn fit( {");
        let error = of_workspace(dir.path()).expect_err("no Rust").to_string();
        assert!(error.contains("fit.rs"), "{error}");
    }
}
