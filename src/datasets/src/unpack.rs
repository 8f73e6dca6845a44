//! Registering a dataset from the archives that it is published as.
//!
//! What the layouts can match is unpacked into a folder of its own beside the
//! registrations, read and checked there, and only then moved to
//! `<store>/datasets/<id>/`; a reader sees the old dataset or the new one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use dygl_archive::{Archive, ArchiveError, Fault, Limits, Watch};
use dygl_base::digest::hex;
use sha2::{Digest, Sha256};

use super::DataError;
use super::ingest::{ArchiveFacts, Progress, Registration, Terms, ingest};
use super::manifest::Manifest;
use super::registry::Registry;
use super::scan::{Pair, Scan, Tree, scan};

/// What to register.
#[derive(Clone, Copy)]
pub struct Addition<'a> {
    /// Of the dataset that is registered.
    pub manifest: &'a Manifest,
    /// The text of the manifest, for a dataset of the user's own.
    pub own: Option<&'a str>,
    /// One folder, or archives that together hold the dataset.
    pub sources: &'a [PathBuf],
    /// What is accepted of the files, and what is not.
    pub terms: Terms,
    /// Called while files are read.
    pub progress: Progress<'a>,
    /// Called while archives are unpacked; can stop that and the reading.
    pub watch: Watch<'a>,
}

/// Ends of names that archives have, for a hint.
const ENDS: [&str; 6] = [".zip", ".rar", ".tar", ".tar.gz", ".tgz", ".7z"];
/// Begin of the names of folders in which somebody is unpacking.
const WORK: &str = ".unpack-";

impl Registry {
    /// Registers from a folder or from archives, in place of any earlier
    /// registration.
    ///
    /// # Errors
    /// Every problem found; nothing of the earlier registration is lost.
    pub fn add_from(&self, addition: &Addition<'_>) -> Result<Registration, DataError> {
        let Addition { manifest, sources, .. } = *addition;
        if let Some(gone) = sources.iter().find(|path| !path.exists()) {
            let source = io::Error::from(io::ErrorKind::NotFound);
            return Err(DataError::Read { path: gone.clone(), source });
        }
        let registration = match sources {
            [folder] if folder.is_dir() => {
                let mut registration =
                    ingest(manifest, folder, addition.terms, addition.progress, addition.watch.stop)
                        .map_err(|error| hint(error, || files_of(folder)))?;
                registration.manifest = self.own_text(addition)?;
                self.write(&registration)?;
                registration
            }
            archives if !archives.is_empty() && archives.iter().all(|path| !path.is_dir()) => {
                self.add_archives(addition)?
            }
            _ => return Err(DataError::Sources { name: manifest.id.clone() }),
        };
        Ok(registration)
    }

    fn own_text(&self, addition: &Addition<'_>) -> Result<Option<String>, DataError> {
        match addition.own {
            Some(text) => Ok(Some(text.to_owned())),
            None => self.own_manifest(addition.manifest),
        }
    }

    fn add_archives(&self, addition: &Addition<'_>) -> Result<Registration, DataError> {
        let Addition { manifest, sources, watch, .. } = *addition;
        let write = |source| DataError::Write { path: self.folder().to_owned(), source };
        fs::create_dir_all(self.folder()).map_err(write)?;
        let folder = self.folder().canonicalize().map_err(write)?;
        sweep(&folder);
        let work = tempfile::Builder::new().prefix(&work_prefix()).tempdir_in(&folder).map_err(write)?;
        let limits = Limits::for_folder(&folder).map_err(write)?;

        let mut archives = Vec::new();
        for (number, path) in sources.iter().enumerate() {
            let scratch = work.path().join(format!("scratch-{number}"));
            fs::create_dir(&scratch).map_err(write)?;
            archives.push(Archive::open(path, &scratch, limits, watch)?);
        }
        let scan = scan_all(manifest, &archives, addition.terms.partial)?;
        let tree = work.path().join("tree");
        fs::create_dir(&tree).map_err(write)?;
        let objections = scan.objections(manifest, addition.terms.partial);
        if !objections.is_empty() {
            let path = sources.first().cloned().unwrap_or_default();
            return Err(DataError::Problems { name: manifest.id.clone(), path, problems: objections });
        }
        extract(manifest, &archives, &scan, &tree, watch)?;
        rustix::fs::syncfs(File::open(&tree).map_err(write)?).map_err(|e| write(e.into()))?;

        let mut registration = ingest(manifest, &tree, addition.terms, addition.progress, watch.stop)?;
        registration.manifest = self.own_text(addition)?;
        // The unpacked tree holds the pairs alone.
        registration.left_over = scan.left_over;
        registration.archives = sources.iter().map(|path| facts(path)).collect::<Result<_, _>>()?;
        let place = folder.join(&manifest.id);
        registration.root = place.clone();

        // The moment of change: two renames and the registration.
        let old = work.path().join("old");
        let had = place.exists();
        if had {
            fs::rename(&place, &old).map_err(write)?;
        }
        let published = fs::rename(&tree, &place)
            .and_then(|()| File::open(&folder)?.sync_all())
            .map_err(write)
            .and_then(|()| self.write(&registration));
        if let Err(error) = published {
            // Back to what was; if that fails too, the first error still tells why.
            let _ = fs::rename(&place, &tree);
            if had {
                let _ = fs::rename(&old, &place);
            }
            return Err(error);
        }
        Ok(registration)
    }
}

/// Finds the pairs in the lists of all archives together.
fn scan_all(manifest: &Manifest, archives: &[Archive], partial: bool) -> Result<Scan, DataError> {
    let mut names = Vec::new();
    let mut seen: BTreeMap<&str, &Path> = BTreeMap::new();
    for archive in archives {
        let mut faults = Vec::new();
        for member in archive.members() {
            match seen.get(member.name.as_str()) {
                None => names.push(member.name.clone()),
                Some(other) => {
                    faults.push((member.name.clone(), Fault::InBoth { other: other.to_path_buf() }))
                }
            }
            seen.entry(&member.name).or_insert(archive.path());
        }
        // Archives of one dataset may share a README, never what is unpacked.
        faults.retain(|(name, _)| is_wanted(manifest, name));
        if !faults.is_empty() {
            return Err(ArchiveError::Refused { archive: archive.path().to_owned(), faults }.into());
        }
    }
    let path = archives.first().map_or(Path::new(""), Archive::path);
    let found = scan(manifest, Tree::Names { archive: path, names: &names })
        .map_err(|error| hint(error, || names.clone()))?;
    if !found.problems.is_empty() {
        let (name, path) = (manifest.id.clone(), path.to_owned());
        let mut problems = found.problems.clone();
        problems.extend(found.objections(manifest, partial));
        return Err(DataError::Problems { name, path, problems });
    }
    Ok(found)
}

/// Whether any layout could take a file, wherever its folder stands.
fn is_wanted(manifest: &Manifest, name: &str) -> bool {
    let tails = std::iter::once(0).chain(name.match_indices('/').map(|(at, _)| at + 1));
    let mut tails = tails.map(|at| &name[at..]);
    tails.any(|tail| {
        manifest
            .layouts
            .iter()
            .filter_map(|layout| layout.patterns().ok())
            .any(|(image, masks)| image.matches(tail) || masks.iter().any(|mask| mask.matches(tail)))
    })
}

/// Writes the files of the pairs, and the table of groups if there is one.
fn extract(
    manifest: &Manifest,
    archives: &[Archive],
    scan: &Scan,
    tree: &Path,
    watch: Watch<'_>,
) -> Result<(), DataError> {
    let pairs = scan.pairs.iter().flat_map(Pair::files);
    let table = manifest.group.as_ref().and_then(|rule| rule.table());
    let files: BTreeSet<&str> = pairs.chain(table).collect();
    for archive in archives {
        let wanted: BTreeMap<String, String> = archive
            .members()
            .iter()
            .filter_map(|member| {
                let inside = member.name.strip_prefix(scan.base.as_str())?;
                files.contains(inside).then(|| (member.name.clone(), inside.to_owned()))
            })
            .collect();
        archive.extract(&wanted, tree, watch)?;
    }
    Ok(())
}

fn facts(path: &Path) -> Result<ArchiveFacts, DataError> {
    let read = |source| DataError::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(read)?;
    let mut hasher = Sha256::new();
    let size = io::copy(&mut file, &mut hasher).map_err(read)?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(ArchiveFacts { name, size, sha256: hex(&hasher.finalize()) })
}

/// Where no layout fits, archives among the files are the likely reason.
fn hint(error: DataError, files: impl FnOnce() -> Vec<String>) -> DataError {
    match error {
        DataError::NoLayout { name, path, looked_for, there } => {
            let is_archive = |file: &String| {
                let lower = file.to_lowercase();
                ENDS.iter().any(|end| lower.ends_with(end))
            };
            let inner: Vec<String> = files().into_iter().filter(is_archive).collect();
            if inner.is_empty() {
                DataError::NoLayout { name, path, looked_for, there }
            } else {
                DataError::Nested { name, path, inner }
            }
        }
        other => other,
    }
}

fn files_of(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names
}

/// `.unpack-<process>-<host>-`: whose folder it is.
fn work_prefix() -> String {
    format!("{WORK}{}-{}-", std::process::id(), host())
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().replace('/', "_")
}

/// Removes folders of unpackers of this host that are no more. One that cannot
/// be removed costs space only.
fn sweep(folder: &Path) {
    for name in files_of(folder) {
        let Some((process, rest)) = name.strip_prefix(WORK).and_then(|rest| rest.split_once('-')) else {
            continue;
        };
        let is_dead =
            process.parse::<u32>().is_ok_and(|id| !Path::new("/proc").join(id.to_string()).exists());
        if is_dead && Path::new("/proc/self").exists() && rest.starts_with(&format!("{}-", host())) {
            let _ = fs::remove_dir_all(folder.join(name));
        }
    }
}
