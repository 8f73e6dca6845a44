//! Asks the worker for its devices, and remembers the answer beside the store.
//!
//! ```text
//! <root>/devices/<host>.json   the last answer, and what it depends on
//! <root>/classes/<name>.json   a numerics class that runs have used
//! ```
//!
//! Loading libtorch takes longer than a whole run that finds everything done,
//! so the worker is asked again only when the program, its libtorch, the
//! driver or the environment changed. Both folders can be deleted at any time.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use dygl_base::atomic;
use dygl_store::key::Preimage;
use dygl_store::key::numerics::{self, Processor};
use dygl_store::key::revision::Revisions;
use dygl_store::{Store, StoreError, host};
use serde::{Deserialize, Serialize};

use super::ENVIRONMENT;
use super::device::Device;
use super::devices::{Class, Devices};
use super::local::Local;

/// Why the worker did not say what it can do.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The worker's program cannot be started.
    #[error("cannot start {}: {source}", worker.display())]
    Start {
        /// Path of the worker's program.
        worker: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The dynamic loader cannot load the worker: the libtorch that it was built against is gone.
    #[error(
        "{} cannot start: {message}; it was built against a libtorch that is not there now: bring it back with \
         `make libtorch`, or build without it (`make build`)", worker.display()
    )]
    Loader {
        /// Path of the worker's program.
        worker: PathBuf,
        /// What the loader said.
        message: String,
    },
    /// The worker ended without success; `message` is what it said, else its exit status.
    #[error("{} does not know its devices: {message}", worker.display())]
    Failed {
        /// Path of the worker's program.
        worker: PathBuf,
        /// The worker's standard error, else its exit status.
        message: String,
    },
    /// The worker does not know the question, or its answer cannot be read: it is of other sources.
    #[error("{} answers in other words: it was built from other sources; build both with `make`", worker.display())]
    Answer {
        /// Path of the worker's program.
        worker: PathBuf,
    },
}

/// What environment variables a device may depend on, beside
/// [`numerics::VARIABLES`].
const VARIABLES: [&str; 5] = ["CUDA_VISIBLE_DEVICES", "DYGL_SIMD", "LD_LIBRARY_PATH", "LD_PRELOAD", "PATH"];

/// All that an answer depends on.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Basis {
    worker: Option<Stat>,
    libtorch: Option<Stat>,
    driver: String,
    /// A machine may come back with another one under its name.
    processor: String,
    environment: Vec<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stat {
    path: PathBuf,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Stat {
    fn of(path: &Path) -> Option<Self> {
        let of = |m: Metadata| Self {
            path: path.to_owned(),
            inode: m.ino(),
            size: m.size(),
            modified: (m.mtime(), m.mtime_nsec()),
        };
        fs::metadata(path).ok().map(of)
    }
}

impl Basis {
    fn of(worker: &Path, devices: &Devices) -> Self {
        let variable =
            |name: &&str| std::env::var_os(name).unwrap_or_default().to_string_lossy().into_owned();
        Self {
            worker: Stat::of(worker),
            libtorch: devices.libtorch.as_ref().and_then(|libtorch| Stat::of(Path::new(&libtorch.path))),
            driver: fs::read_to_string("/proc/driver/nvidia/version").unwrap_or_default(),
            processor: format!("{:?}", Processor::here()),
            environment: VARIABLES.iter().chain(&numerics::VARIABLES).map(variable).collect(),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    basis: Basis,
    devices: Devices,
}

/// The devices of a worker. `root` is the store's folder.
///
/// # Errors
/// The worker cannot be started, or does not answer.
pub fn devices(local: &Local, root: &Path) -> Result<Devices, AskError> {
    let remembered =
        fs::read(answer(root)).ok().and_then(|text| serde_json::from_slice::<Remembered>(&text).ok());
    if let Some(Remembered { basis, devices }) = remembered
        && basis == Basis::of(local.worker(), &devices)
    {
        return Ok(devices);
    }
    let devices = ask(local.worker())?;
    // A folder that is not there yet is not made for this.
    if root.is_dir() {
        keep(local, root, &devices);
    }
    Ok(devices)
}

/// Remembers an answer, making the folder. Where it cannot be kept, the worker
/// is asked again.
pub fn keep(local: &Local, root: &Path, devices: &Devices) {
    let basis = Basis::of(local.worker(), devices);
    let _ = write(&answer(root), &Remembered { basis, devices: devices.clone() });
}

fn answer(root: &Path) -> PathBuf {
    root.join("devices").join(format!("{}.json", host()))
}

fn ask(worker: &Path) -> Result<Devices, AskError> {
    let worker = worker.to_owned();
    let output = match Command::new(&worker).args(["devices", "--format", "json"]).envs(ENVIRONMENT).output()
    {
        Ok(output) => output,
        Err(source) => return Err(AskError::Start { worker, source }),
    };
    let told = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    match output.status.code() {
        Some(0) => serde_json::from_slice(&output.stdout).map_err(|_| AskError::Answer { worker }),
        // The dynamic loader's.
        Some(127) => Err(AskError::Loader { worker, message: told }),
        // clap's, for a verb it does not know.
        Some(2) => Err(AskError::Answer { worker }),
        _ if told.is_empty() => Err(AskError::Failed { worker, message: output.status.to_string() }),
        _ => Err(AskError::Failed { worker, message: told }),
    }
}

/// Remembers that results of a class are about to be made, so that machines
/// without its device find them. flex is known to all.
///
/// # Errors
/// The folder cannot be written.
pub fn note(root: &Path, class: &Class) -> io::Result<()> {
    let Some(libtorch) = &class.libtorch else { return Ok(()) };
    let digest = blake3::hash(libtorch.as_bytes()).to_hex();
    let path = root.join("classes").join(format!("{}-{}.json", class.numerics, &digest[..8]));
    if path.is_file() { Ok(()) } else { write(&path, class) }
}

fn write(path: &Path, value: &impl Serialize) -> io::Result<()> {
    fs::create_dir_all(atomic::folder_of(path))?;
    atomic::write(path, &serde_json::to_vec_pretty(value)?)
}

/// The classes whose results a reading verb looks for, most preferred first:
/// those that runs on so many threads would have on this machine's devices as
/// they are today, then those that other machines, and runs on other threads,
/// have left in the store. Without a worker there is flex.
///
/// # Errors
/// I/O in the store.
pub fn classes_for_reading(device: Device, threads: usize, store: &Store) -> Result<Vec<Class>, StoreError> {
    if device == Device::Flex {
        return Ok(vec![Class::flex()]);
    }
    let here = Local::beside_this_program().ok().and_then(|local| devices(&local, store.root()).ok());
    let mut classes = here.unwrap_or_else(Devices::flex_alone).classes(threads);
    let foreign = noted(store)?;
    let foreign = foreign.into_iter().filter(|c| !classes.iter().any(|here| here.numerics == c.numerics));
    classes.extend(foreign.collect::<Vec<_>>());
    classes.retain(|class| device.reads(&class.numerics));
    if classes.is_empty() {
        // Nothing of that kind is known: a class without results.
        classes.push(Class { numerics: device.numerics().to_owned(), libtorch: None });
    }
    Ok(classes)
}

/// The classes that runs have noted; read off the results where nobody has.
fn noted(store: &Store) -> Result<Vec<Class>, StoreError> {
    let folder = store.root().join("classes");
    let mut found: Vec<Class> = match fs::read_dir(&folder) {
        Ok(entries) => entries
            .flatten()
            .filter_map(|entry| serde_json::from_slice(&fs::read(entry.path()).ok()?).ok())
            .collect(),
        Err(_) => {
            let found = of_results(store)?;
            if store.root().is_dir() && !store.keys()?.is_empty() {
                // If it cannot be kept, the results are read again.
                let _ = fs::create_dir_all(&folder);
                found.iter().for_each(|class| drop(note(store.root(), class)));
            }
            found
        }
    };
    found.sort();
    found.dedup();
    Ok(found)
}

fn of_results(store: &Store) -> Result<Vec<Class>, StoreError> {
    let field = format!("revision.{}", Revisions::LIBTORCH);
    let mut found = Vec::new();
    for key in store.keys()? {
        for attempt in store.attempts(&key)? {
            let Ok(preimage) = attempt.read_json::<Preimage>("key.json") else { continue };
            if let (Some(numerics), Some(libtorch)) = (preimage.get("numerics"), preimage.get(&field)) {
                found.push(Class { numerics: numerics.to_owned(), libtorch: Some(libtorch.to_owned()) });
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A worker that is a shell script; it counts how often it was asked.
    fn worker(folder: &Path, body: &str) -> Local {
        let path = folder.join("worker");
        dygl_testing::script(&path, &format!("echo x >> {}/asked\n{body}", folder.display()));
        Local::with(path)
    }

    fn asked(folder: &Path) -> usize {
        fs::read_to_string(folder.join("asked")).unwrap_or_default().lines().count()
    }

    const ANSWER: &str = r#"echo '{"devices":[{"name":"flex","numerics":"flex","simd":"avx2","description":"f"}],"libtorch":null}'"#;

    #[test]
    fn an_answer_is_remembered_until_the_worker_changes() {
        let folder = tempfile::tempdir().expect("folder");
        let local = worker(folder.path(), ANSWER);
        for _ in 0..3 {
            assert_eq!(devices(&local, folder.path()).expect("answer").devices[0].name, "flex");
        }
        assert_eq!(asked(folder.path()), 1);
        let local = worker(folder.path(), &format!("{ANSWER}\n# rebuilt"));
        devices(&local, folder.path()).expect("answer");
        assert_eq!(asked(folder.path()), 2);
        // Nothing is left where there is no store.
        let nowhere = folder.path().join("nowhere");
        devices(&local, &nowhere).expect("answer");
        assert!(!nowhere.exists());
    }

    #[test]
    fn a_worker_that_cannot_start_is_told_with_the_remedy() {
        let folder = tempfile::tempdir().expect("folder");
        let missing = "echo 'error while loading shared libraries: libtorch_cpu.so' >&2; exit 127";
        for (body, said) in [
            (missing, "make libtorch"),
            ("exit 2", "other sources"),
            ("echo not json", "other sources"),
            ("echo 'no driver' >&2; exit 3", "no driver"),
        ] {
            let text = devices(&worker(folder.path(), body), folder.path()).expect_err("refused").to_string();
            assert!(text.contains(said), "{text}");
        }
        let gone = Local::with(folder.path().join("gone"));
        assert!(matches!(devices(&gone, folder.path()), Err(AskError::Start { .. })));
    }

    #[test]
    fn classes_of_other_machines_are_found_by_note() {
        let folder = tempfile::tempdir().expect("folder");
        let store = Store::at(folder.path());
        let class = |numerics: &str, version: &str| Class {
            numerics: numerics.into(),
            libtorch: Some(format!("libtorch {version}")),
        };
        let [sm_90, sm_80] = [class("libtorch-cuda-sm_90", "2.9.0"), class("libtorch-cuda-sm_80", "2.9.0")];
        let [one, two] = ["libtorch-cpu-avx2-1t", "libtorch-cpu-avx2-2t"].map(|name| class(name, "2.9.0"));
        let past = class(numerics::PAST_CPU, "2.9.0");
        for noted in [&sm_90, &sm_80, &sm_90, &two, &past, &one, &Class::flex()] {
            note(folder.path(), noted).expect("noted");
        }
        let read = |device| classes_for_reading(device, 1, &store).expect("read");
        assert_eq!(read(Device::TchCuda(0)), [sm_80.clone(), sm_90.clone()]);
        // Of any number of threads, but not of an unknown one.
        assert_eq!(read(Device::TchCpu), [one, two]);
        assert!(!read(Device::Any).contains(&past));
        assert_eq!(read(Device::Flex), [Class::flex()]);
        assert!(read(Device::Any).contains(&sm_80));
        assert_eq!(read(Device::Wgpu(0))[0].numerics, "wgpu");
    }
}
