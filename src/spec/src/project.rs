//! The project: the folder that holds `experiments/` and `.dygl/`.
//!
//! A name means the project's file from anywhere inside it, as with git. The
//! project is looked for from the working directory upwards, and not beyond a
//! repository's top or the file system. Where there is none, the working directory
//! is one. Paths of the command line stay relative to the working directory; what
//! files of the project say is relative to the project.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;

/// Experiments of a project.
pub const EXPERIMENTS: &str = "experiments";
/// Results of a project.
pub const STORE: &str = ".dygl";

/// The way from a folder to its project: empty, `..`, `../..`. Shown and joined as it is.
pub fn of(folder: &Path) -> PathBuf {
    let start = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let Ok(start) = fs::canonicalize(start) else { return PathBuf::new() };
    let mut last = None;
    for (steps, folder) in start.ancestors().enumerate() {
        let device = fs::metadata(folder).map(|metadata| metadata.dev()).ok();
        if device.is_none() || last.is_some_and(|last| Some(last) != device) {
            break;
        }
        last = device;
        if is_project(folder) {
            return vec![".."; steps].iter().collect();
        }
        if folder.join(".git").exists() {
            break;
        }
    }
    PathBuf::new()
}

/// Other programs have folders of experiments, too: one of ours holds TOML files.
fn is_project(folder: &Path) -> bool {
    let is_toml = |entry: fs::DirEntry| entry.path().extension().is_some_and(|end| end == "toml");
    folder.join(STORE).is_dir()
        || fs::read_dir(folder.join(EXPERIMENTS)).is_ok_and(|entries| entries.flatten().any(is_toml))
}

/// The way from the working directory to its project, looked for once.
pub fn here() -> &'static Path {
    static HERE: OnceLock<PathBuf> = OnceLock::new();
    HERE.get_or_init(|| of(Path::new("")))
}

/// The store of the project.
pub fn store() -> PathBuf {
    here().join(STORE)
}

/// A path that a file of the project names, as it is reached from the working directory.
pub fn reach(path: &str) -> PathBuf {
    here().join(path)
}

/// A path of the command line as a file of the project would name it, so that one file
/// has one name: relative to the project where it lies inside, else absolute.
pub fn name_of(path: &str) -> String {
    match std::env::current_dir() {
        Ok(folder) => name_between(path, &folder, here()),
        Err(_) => path.to_owned(),
    }
}

/// The same for a working directory and the way from it to its project.
fn name_between(path: &str, folder: &Path, way: &Path) -> String {
    if path.is_empty() || way.as_os_str().is_empty() || Path::new(path).is_absolute() {
        return path.to_owned();
    }
    let project = folder.ancestors().nth(way.components().count()).unwrap_or(folder);
    let mut whole = PathBuf::new();
    for part in folder.join(path).components() {
        match part {
            Component::ParentDir => {
                whole.pop();
            }
            Component::CurDir => {}
            other => whole.push(other),
        }
    }
    whole.strip_prefix(project).unwrap_or(&whole).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project() -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("folder");
        fs::create_dir_all(root.path().join("a/b/c")).expect("folders");
        // Whatever lies above the folder of temporary files is not looked at.
        fs::create_dir(root.path().join(".git")).expect("a top");
        root
    }

    #[test]
    fn the_nearest_folder_with_experiments_or_a_store_is_the_project() {
        let root = project();
        let of = |path: &str| of(&root.path().join(path)).display().to_string();
        assert_eq!(of("a/b"), "", "no project: the working directory");
        fs::create_dir(root.path().join("experiments")).expect("folder");
        assert_eq!(of("a/b"), "", "a folder of that name, without a TOML file");
        fs::write(root.path().join("experiments/smoke.toml"), "").expect("written");
        assert_eq!((of(""), of("a"), of("a/b"), of("experiments")), strings(["", "..", "../..", ".."]));
        fs::create_dir(root.path().join("a/.dygl")).expect("folder");
        assert_eq!((of("a"), of("a/b"), of("a/b/c"), of("experiments")), strings(["", "..", "../..", ".."]));
    }

    fn strings(words: [&str; 4]) -> (String, String, String, String) {
        let [a, b, c, d] = words.map(str::to_owned);
        (a, b, c, d)
    }

    #[test]
    fn a_repository_is_not_left() {
        let root = project();
        fs::create_dir(root.path().join(".dygl")).expect("folder");
        assert_eq!(of(&root.path().join("a/b")), Path::new("../.."), "its top may be the project");
        fs::create_dir(root.path().join("a/.git")).expect("folder");
        assert_eq!(of(&root.path().join("a/b")), Path::new(""));
        // A worktree's is a file.
        fs::remove_dir(root.path().join("a/.git")).expect("removed");
        fs::write(root.path().join("a/b/.git"), "gitdir: elsewhere").expect("written");
        assert_eq!(of(&root.path().join("a/b/c")), Path::new(""));
        assert_eq!(of(Path::new("/nowhere/at/all")), Path::new(""));
    }

    #[test]
    fn one_file_has_one_name() {
        let name = |path: &str, way: &str| name_between(path, Path::new("/p/a/b"), Path::new(way));
        assert_eq!(name("x.csv", ""), "x.csv");
        assert_eq!(name("x.csv", "../.."), "a/b/x.csv");
        assert_eq!(name("./../x.csv", "../.."), "a/x.csv");
        assert_eq!(name("../../s/x.csv", "../.."), "s/x.csv");
        assert_eq!(name("../../../x.csv", "../.."), "/x.csv");
        assert_eq!(name("../../x.csv", ".."), "/p/x.csv");
        assert_eq!((name("/x.csv", ".."), name("", "..")), ("/x.csv".to_owned(), String::new()));
    }
}
