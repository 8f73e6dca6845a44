//! Which texts an experiment is read from. A file of the project wins over the one
//! built into the program.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::diagnostic::Diagnostic;
use super::embedded;
use super::project;
use super::source::{Origin, SourceMap};

/// The three texts, as indices into the source map.
#[derive(Debug, Clone)]
pub(super) struct Located {
    pub(super) experiment: usize,
    pub(super) protocol: usize,
    pub(super) profiles: usize,
    /// The experiment's folder, from which its paths begin.
    pub(super) folder: PathBuf,
}

/// Finds and reads the texts, `root` being the working directory. `name` with a `/` or
/// ending in `.toml` is a path; else `experiments/<name>.toml` of the project is looked
/// for, then the built-in experiment. `protocol.toml` and `profiles.toml` are taken from the experiment's folder
/// (`experiments/` for a built-in one) if they are there.
pub(super) fn locate(
    name: &str,
    root: &Path,
    sources: &mut SourceMap,
    found: &mut Vec<Diagnostic>,
) -> Option<Located> {
    let shown = if is_path(name) { PathBuf::from(name) } else { in_folder(root, name) };
    let folder = shown.parent().map(Path::to_path_buf).unwrap_or_default();
    let experiment = match read(root, &shown, found)? {
        Some(text) => sources.add(Origin::File(shown), text),
        None => match embedded::experiment(name) {
            Some(built_in) => sources.add(Origin::Embedded(built_in.path), built_in.text),
            None => {
                found.push(missing(name, &shown, root));
                return None;
            }
        },
    };
    let protocol = protocol(&folder, root, sources, found);
    let profiles = folder.join("profiles.toml");
    let profiles = beside(profiles, root, ("experiments/profiles.toml", embedded::PROFILES), sources, found);
    Some(Located { experiment, protocol: protocol?, profiles: profiles?, folder })
}

/// Finds and reads `protocol.toml` of the project, else the built-in one.
pub(super) fn protocol_of_project(
    root: &Path,
    sources: &mut SourceMap,
    found: &mut Vec<Diagnostic>,
) -> Option<usize> {
    protocol(&experiments(root), root, sources, found)
}

/// The same of a folder.
fn protocol(
    folder: &Path,
    root: &Path,
    sources: &mut SourceMap,
    found: &mut Vec<Diagnostic>,
) -> Option<usize> {
    let built_in = ("experiments/protocol.toml", embedded::PROTOCOL);
    beside(folder.join("protocol.toml"), root, built_in, sources, found)
}

/// A file if it is there, else the built-in text.
fn beside(
    shown: PathBuf,
    root: &Path,
    (path, text): (&'static str, &'static str),
    sources: &mut SourceMap,
    found: &mut Vec<Diagnostic>,
) -> Option<usize> {
    Some(match read(root, &shown, found)? {
        Some(text) => sources.add(Origin::File(shown), text),
        None => sources.add(Origin::Embedded(path), text),
    })
}

/// Names of the experiments that can be named: those of the folder and the built-in ones.
pub fn known_experiments(root: &Path) -> Vec<String> {
    let mut names: Vec<String> = embedded::EXPERIMENTS.iter().map(|e| e.name.to_owned()).collect();
    if let Ok(entries) = fs::read_dir(root.join(experiments(root))) {
        let files = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let stems = files
            .filter(|file| embedded::is_experiment_file(file))
            .filter_map(|file| file.strip_suffix(".toml").map(str::to_owned));
        names.extend(stems);
    }
    names.sort();
    names.dedup();
    names
}

fn is_path(name: &str) -> bool {
    name.contains(['/', '\\']) || name.ends_with(".toml")
}

/// The project's folder of experiments, as it is reached from the working directory.
fn experiments(root: &Path) -> PathBuf {
    project::of(root).join(project::EXPERIMENTS)
}

fn in_folder(root: &Path, name: &str) -> PathBuf {
    experiments(root).join(format!("{name}.toml"))
}

/// The text of a file, `Some(None)` if there is none, `None` after a diagnostic.
fn read(root: &Path, path: &Path, found: &mut Vec<Diagnostic>) -> Option<Option<String>> {
    match fs::read_to_string(root.join(path)) {
        Ok(text) => Some(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Some(None),
        Err(error) => {
            found.push(Diagnostic::nowhere(format!("failed to read {}: {error}", path.display())));
            None
        }
    }
}

fn missing(name: &str, looked: &Path, root: &Path) -> Diagnostic {
    let known = known_experiments(root);
    if is_path(name) {
        return Diagnostic::nowhere(format!("there is no experiment file {}", looked.display()))
            .help(format!("experiments that need no path: {}", known.join(", ")));
    }
    Diagnostic::nowhere(format!("there is no experiment `{name}`"))
        .suggest(name, &known, "experiments")
        .help(format!("looked for {} and among the built-in ones", looked.display()))
}
