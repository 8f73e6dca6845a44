//! A laboratory in a temporary folder: experiments, store, the real programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// What a command came to.
#[derive(Debug)]
pub struct Output {
    /// Exit code; -1 where a signal ended the command.
    pub code: i32,
    /// Standard output, what is no UTF-8 replaced.
    pub stdout: String,
    /// Standard error, what is no UTF-8 replaced.
    pub stderr: String,
}

impl Output {
    /// Holds the exit code against the expected one.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

/// A folder to work in, removed afterwards.
pub struct Lab {
    folder: TempDir,
}

impl Default for Lab {
    fn default() -> Self {
        Self { folder: tempfile::tempdir().expect("temporary folder") }
    }
}

/// A program of the workspace, beside this test.
pub fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("own path");
    let folder = own.parent().and_then(Path::parent).expect("target/debug/deps");
    let path = folder.join(name);
    assert!(
        path.is_file(),
        "{} is missing: run `cargo build --workspace` first (`make test` does)",
        path.display()
    );
    path
}

/// The devices that the built worker offers, fastest first: always `flex`,
/// and those of libtorch if it is compiled in.
pub fn devices() -> Vec<String> {
    let output = Command::new(program("dygl-worker"))
        .args(["devices", "--format", "json"])
        .output()
        .expect("dygl-worker starts");
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let names = told["devices"].as_array().expect("devices").iter();
    names.map(|device| device["name"].as_str().expect("a name").to_owned()).collect()
}

/// Whether the worker offers a device; else says that a test is skipped.
pub fn offers(device: &str) -> bool {
    let is_offered = devices().iter().any(|name| name == device);
    if !is_offered {
        println!("skipped: the worker offers no {device} (`make libtorch`, `make BACKEND=tch test`)");
    }
    is_offered
}

/// A folder of the shared data, if `DYGL_SHARED` names one; else says that a
/// test is skipped.
pub fn shared(below: &str) -> Option<PathBuf> {
    let shared = std::env::var_os("DYGL_SHARED").map(|shared| PathBuf::from(shared).join(below));
    if shared.is_none() {
        println!("skipped: DYGL_SHARED is not set");
    }
    shared
}

impl Lab {
    /// The folder: experiments and store lie in it, and commands run there.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file, making its folders.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folder made");
        fs::write(&path, content).expect("file written");
        path
    }

    /// An experiment of real but tiny runs: 32 pixels, a few phantoms.
    #[must_use]
    pub fn with_experiment(self, name: &str, models: &str, epochs: usize) -> Self {
        self.with_experiment_on("phantom-polyp,count=12,seed=1,size=32", name, models, epochs)
    }

    /// The same on a dataset.
    #[must_use]
    pub fn with_experiment_on(self, dataset: &str, name: &str, models: &str, epochs: usize) -> Self {
        let text = format!(
            r#"[experiment]
name = "{name}"
title = "A tiny matrix"
question = "Does it run?"

[matrix]
model = {models}
dataset = ["{dataset}"]
seed = [42]

[protocol]
image.size = 32
train = {{ epochs = {epochs}, batch_size = 4 }}
schedule.warmup_epochs = 0
selection.every = 1

[table]
kind = "results"
metrics = ["dice", "iou"]

[ops]
threads = 1
"#
        );
        self.write(&format!("experiments/{name}.toml"), text);
        self
    }

    /// `dygl` with arguments, in this folder, with nothing of the caller's environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("dygl"));
        command
            .args(arguments)
            .current_dir(self.path())
            .env_remove("DYGL_STORE")
            .env_remove("DYGL_DATA")
            .env_remove("GITHUB_STEP_SUMMARY")
            .env("NO_COLOR", "1");
        command
    }

    /// Runs `dygl` to its end.
    pub fn dygl(&self, arguments: &[&str]) -> Output {
        let output = self.command(arguments).output().expect("dygl starts");
        Output {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Starts `dygl` and leaves it running; its output is thrown away.
    pub fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("dygl starts")
    }

    /// Adds the real images of a dataset that are shared; not if there are none.
    #[must_use]
    pub fn with_shared(self, dataset: &str) -> Option<Self> {
        let path = shared("data")?.join(dataset);
        self.dygl(&["dataset", "add", dataset, path.to_str().expect("UTF-8")]).exits(0);
        Some(self)
    }

    /// Digests of the weights of the trainings in the store, by network.
    pub fn weights(&self) -> Vec<(String, String)> {
        let mut found: Vec<(String, String)> = self
            .stored("record.json")
            .iter()
            .map(|path| serde_json::from_slice::<Value>(&fs::read(path).expect("record")).expect("JSON"))
            .filter(|record| record.get("train_key").is_none())
            .map(|record| (record["cell"]["model"].to_string(), record["weights"].to_string()))
            .collect();
        found.sort();
        found
    }

    /// Files of the store with this name, sorted.
    pub fn stored(&self, name: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        collect(&self.path().join(".dygl/store"), name, &mut found);
        found.sort();
        found
    }
}

fn collect(folder: &Path, name: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, name, found);
        } else if path.file_name().is_some_and(|file| file == name) {
            found.push(path);
        }
    }
}

/// Alters one byte in the middle of a file.
pub fn alter(path: &Path) {
    let mut bytes = fs::read(path).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).expect("written");
}
