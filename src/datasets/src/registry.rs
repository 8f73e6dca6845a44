//! Which datasets are there, and whether they still are what they were.
//!
//! `<store>/datasets/<id>.json` holds a [`Registration`]; it is replaced as a
//! whole (written beside, synced, renamed), so a reader sees the old or the
//! new one.

use std::borrow::Cow;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use dygl_base::atomic;
use rayon::prelude::*;

use super::files::{Depth, FileEntry, State};
use super::ingest::{FORMAT, Progress, Registration, Terms, extras, ingest};
use super::manifest::Manifest;
use super::{DataError, Problem};

/// What comparing one file gave.
type Look = io::Result<State>;

/// The registered datasets of a store.
#[derive(Debug, Clone)]
pub struct Registry {
    folder: PathBuf,
}

impl Registry {
    /// The registry of a store. Nothing is created until something is added.
    pub fn at(store_root: &Path) -> Self {
        Self { folder: store_root.join("datasets") }
    }

    /// Reads the folder at `path` and registers it in place of any earlier
    /// registration. Every problem found is in the error; masks that the rule does
    /// not fit are one. `progress` is called with (pairs done, pairs in all), from
    /// several threads.
    pub fn add(
        &self,
        manifest: &Manifest,
        path: &Path,
        partial: bool,
        progress: Progress<'_>,
    ) -> Result<Registration, DataError> {
        let terms = Terms { partial, ..Terms::default() };
        let mut registration = ingest(manifest, path, terms, progress, &AtomicBool::new(false))?;
        registration.manifest = self.own_manifest(manifest)?;
        self.write(&registration)?;
        Ok(registration)
    }

    /// The manifest of a dataset: built in, or the one that the user's own
    /// dataset was registered with; `None` for unknown names.
    pub fn manifest(&self, id: &str) -> Result<Option<Cow<'static, Manifest>>, DataError> {
        if let Some(manifest) = Manifest::find(id)? {
            return Ok(Some(Cow::Borrowed(manifest)));
        }
        if !super::user::is_valid_id(id) {
            return Ok(None);
        }
        Ok(self.read(id)?.map(|(_, manifest)| manifest))
    }

    /// Ids of the user's own datasets, sorted.
    pub fn own_ids(&self) -> Vec<String> {
        let files = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let names = files.filter_map(|entry| entry.file_name().into_string().ok());
        let mut ids: Vec<String> = names
            .filter_map(|name| name.strip_suffix(".json").map(str::to_owned))
            .filter(|id| super::user::is_valid_id(id) && !super::known_ids().contains(&id.as_str()))
            .collect();
        ids.sort_unstable();
        ids
    }

    /// Folder of the registrations, and of what was unpacked from archives.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The text that a user's own dataset is already registered with, so that
    /// it can be registered anew without giving the manifest again.
    pub(super) fn own_manifest(&self, manifest: &Manifest) -> Result<Option<String>, DataError> {
        if Manifest::find(&manifest.id)?.is_some() {
            return Ok(None);
        }
        Ok(self.get(&manifest.id)?.and_then(|registration| registration.manifest))
    }

    /// The registration of a dataset, `None` if there is none.
    pub fn get(&self, id: &str) -> Result<Option<Registration>, DataError> {
        Ok(self.read(id)?.map(|(registration, _)| registration))
    }

    /// A registration with the manifest that it stands under.
    fn read(&self, id: &str) -> Result<Option<(Registration, Cow<'static, Manifest>)>, DataError> {
        let path = self.path(id);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(DataError::Read { path, source }),
        };
        let damaged =
            |message: String| DataError::Registration { name: id.to_owned(), path: path.clone(), message };
        let found: Registration = serde_json::from_slice(&text).map_err(|e| damaged(e.to_string()))?;
        if found.format != FORMAT {
            return Err(damaged(format!("its format is {}, this program writes {FORMAT}", found.format)));
        }
        if found.dataset != id || found.images != found.entries.len() {
            return Err(damaged("it contradicts itself".to_owned()));
        }
        let manifest = match (Manifest::find(id)?, &found.manifest) {
            (Some(manifest), _) => Cow::Borrowed(manifest),
            (None, Some(text)) => {
                Cow::Owned(Manifest::of_user(id, text).map_err(|all| damaged(all.to_string()))?)
            }
            (None, None) => return Err(damaged("it has no manifest".to_owned())),
        };
        if found.digest != found.content_digest(&manifest) {
            return Err(damaged("its digest is not that of its entries".to_owned()));
        }
        Ok(Some((found, manifest)))
    }

    /// The registration of a dataset; an error with the remedy if there is none.
    pub fn require(&self, id: &str) -> Result<Registration, DataError> {
        self.get(id)?.ok_or_else(|| DataError::NotRegistered { name: id.to_owned() })
    }

    /// Whether the files are still what was registered. Files whose stat data
    /// are as recorded are not read (see `files.rs` for when that is safe); the
    /// others are hashed, and where their content proves the same the
    /// registration is refreshed. No problem means: unchanged.
    pub fn check(&self, registration: &Registration) -> Result<Vec<Problem>, DataError> {
        self.compare(registration, Depth::Stat, &|_, _| {})
    }

    /// The same, reading every byte.
    pub fn verify(&self, id: &str, progress: Progress<'_>) -> Result<Vec<Problem>, DataError> {
        self.compare(&self.require(id)?, Depth::Content, progress)
    }

    fn compare(
        &self,
        registration: &Registration,
        depth: Depth,
        progress: Progress<'_>,
    ) -> Result<Vec<Problem>, DataError> {
        let root = &registration.root;
        if !root.is_dir() {
            return Ok(vec![Problem::NoFolder { folder: root.display().to_string() }]);
        }
        let id = &registration.dataset;
        let manifest = self.manifest(id)?.ok_or_else(|| super::unknown_dataset(id))?;

        let all: Vec<_> = registration.all_entries().collect();
        let total = all.len();
        let done = AtomicUsize::new(0);
        let looked: Vec<Vec<(Look, &FileEntry)>> = all
            .par_iter()
            .map(|entry| {
                let found = entry.files().map(|file| (file.state(root, depth), file)).collect();
                progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
                found
            })
            .collect();

        let mut refreshed = registration.clone();
        let mut touched = false;
        let mut problems = Vec::new();
        let into = refreshed.entries.iter_mut().chain(&mut refreshed.left_out);
        for (entry, states) in into.zip(looked) {
            for ((state, file), into) in states.into_iter().zip(entry.files_mut()) {
                let name = file.path.clone();
                match state {
                    Ok(State::Unchanged) => {}
                    Ok(State::Touched(anew)) => {
                        touched = true;
                        *into = anew;
                    }
                    Ok(State::Altered) => problems.push(Problem::Altered { file: name }),
                    Ok(State::Missing) => problems.push(Problem::Missing { file: name }),
                    Err(error) => {
                        problems.push(Problem::Unreadable { file: name, message: error.to_string() });
                    }
                }
            }
        }
        problems.extend(extras(&manifest, registration)?);
        if touched {
            self.refresh(registration, &refreshed)?;
        }
        Ok(problems)
    }

    /// Writes refreshed stat data, unless another registration took the place
    /// meanwhile. A store that cannot be written to costs speed, not truth.
    fn refresh(&self, from: &Registration, to: &Registration) -> Result<(), DataError> {
        match self.get(&from.dataset) {
            Ok(Some(current)) if current.root == from.root && current.digest == from.digest => {
                match self.write(to) {
                    Err(DataError::Write { source, .. })
                        if matches!(
                            source.kind(),
                            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
                        ) =>
                    {
                        Ok(())
                    }
                    other => other,
                }
            }
            _ => Ok(()),
        }
    }

    pub(super) fn path(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }

    pub(super) fn write(&self, registration: &Registration) -> Result<(), DataError> {
        let path = self.path(&registration.dataset);
        let write = || -> io::Result<()> {
            fs::create_dir_all(&self.folder)?;
            let mut file = atomic::temporary(&self.folder)?;
            serde_json::to_writer(io::BufWriter::new(file.as_file_mut()), registration)?;
            file.as_file_mut().write_all(b"\n")?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|e| e.error)?;
            fs::File::open(&self.folder)?.sync_all()
        };
        write().map_err(|source| DataError::Write { path: path.clone(), source })
    }
}
