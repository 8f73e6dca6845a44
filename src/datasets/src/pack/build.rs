//! Building a pack in parts.
//!
//! The images are divided into parts of [`PART`] in order of their ids. Each
//! part is a packed file of its own in the folder `NAME.parts`, written beside
//! and renamed; the pack is put together from all of them, every image checked
//! once more, and the folder removed. So a killed builder's finished parts
//! serve the next one, and builders that work at the same time share the work
//! without locks: each begins at another part and passes over those that are
//! there. Which of them writes a part, or the pack, makes no difference: the
//! bytes are the same.

use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use dygl_base::atomic;
use dygl_pixels::Sample;
use dygl_pixels::prepare::{self, Form, Resized};
use rayon::prelude::*;
use tempfile::NamedTempFile;

use super::PackError;
use super::file::{self, Pack, Writer};
use crate::ingest::Progress;
use crate::{DataError, Dataset};

/// Images of a part.
const PART: usize = 32;
/// How often parts that turn out damaged are made again.
const TRIES: usize = 3;

/// What is to be built.
pub(super) struct Plan<'a> {
    pub dataset: &'a Dataset,
    pub form: Form,
    pub name: &'a str,
    /// Of the finished pack.
    pub path: &'a Path,
    pub progress: Progress<'a>,
}

/// A decoded image in its form.
enum Decoded {
    Stored(Sample),
    Resized(Resized),
}

/// Builds and opens a pack. The folder it lies in exists.
///
/// # Errors
/// An image cannot be loaded, or the folder cannot be written.
pub(super) fn build(plan: &Plan<'_>) -> Result<Pack, PackError> {
    let folder = plan.path.with_extension("parts");
    let mut last = io::Error::other("it cannot be built");
    for _ in 0..TRIES {
        match attempt(plan, &folder) {
            // Another builder has finished and taken the folder away.
            Err(PackError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
        match Pack::open(plan.path, plan.name, plan.form, plan.dataset.ids()) {
            Ok(pack) => {
                // A folder that stays wastes space until the next build.
                let _ = fs::remove_dir_all(&folder);
                return Ok(pack);
            }
            Err(error) => last = error,
        }
    }
    Err(failed(plan.path)(last))
}

fn attempt(plan: &Plan<'_>, folder: &Path) -> Result<(), PackError> {
    fs::create_dir_all(folder).map_err(failed(folder))?;
    let parts: Vec<&[String]> = plan.dataset.ids().chunks(PART).collect();
    let done = AtomicUsize::new(0);
    // Builders that start together begin at different parts.
    let first = std::process::id() as usize % parts.len().max(1);
    for step in 0..parts.len() {
        if plan.path.exists() {
            return Ok(());
        }
        let place = (first + step) % parts.len();
        let path = part_path(folder, place);
        match Pack::open(&path, plan.name, plan.form, parts[place]) {
            Ok(_) => {
                let before = done.fetch_add(parts[place].len(), Ordering::Relaxed);
                (plan.progress)(before + parts[place].len(), plan.dataset.images());
            }
            Err(_) => make_part(plan, folder, &path, parts[place], &done)?,
        }
    }
    assemble(plan, folder, &parts)
}

fn part_path(folder: &Path, place: usize) -> PathBuf {
    folder.join(format!("{place:05}.pack"))
}

/// Decodes the images of a part, as many at once as there are threads, and
/// writes it.
fn make_part(
    plan: &Plan<'_>,
    folder: &Path,
    path: &Path,
    ids: &[String],
    done: &AtomicUsize,
) -> Result<(), PackError> {
    let failed = failed(path);
    let temporary = atomic::temporary(folder).map_err(failed)?;
    let mut writer = Writer::begin(BufWriter::new(temporary), plan.name).map_err(failed)?;
    for some in ids.chunks(rayon::current_num_threads()) {
        let decoded: Vec<Decoded> = some
            .par_iter()
            .map(|id| {
                let decoded = decode(plan, id)?;
                (plan.progress)(done.fetch_add(1, Ordering::Relaxed) + 1, plan.dataset.images());
                Ok(decoded)
            })
            .collect::<Result<_, DataError>>()?;
        for (id, image) in some.iter().zip(&decoded) {
            let picture = match image {
                Decoded::Stored(sample) => sample.picture(),
                Decoded::Resized(resized) => resized.picture(),
            };
            writer.add(id, picture).map_err(failed)?;
        }
    }
    let written = writer.finish().and_then(|buffer| buffer.into_inner().map_err(|e| e.into_error()));
    written.map_err(failed)?.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

fn decode(plan: &Plan<'_>, id: &str) -> Result<Decoded, DataError> {
    // Straight from the source, whose bytes are checked against what was registered.
    let sample = plan.dataset.load(id)?;
    Ok(match plan.form {
        Form::Stored => Decoded::Stored(sample),
        Form::Resized { size, filter } => {
            let picture = sample.picture();
            Decoded::Resized(prepare::window(picture, picture.whole(), size, filter))
        }
    })
}

/// Puts the parts together. A part with an altered image is removed, and
/// the pack is not written.
fn assemble(plan: &Plan<'_>, folder: &Path, parts: &[&[String]]) -> Result<(), PackError> {
    let failed = failed(plan.path);
    let temporary = atomic::temporary(folder).map_err(failed)?;
    let mut writer =
        Writer::begin(BufWriter::with_capacity(1 << 20, temporary), plan.name).map_err(failed)?;
    for (place, ids) in parts.iter().enumerate() {
        let path = part_path(folder, place);
        let part = match Pack::open(&path, plan.name, plan.form, ids) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return file::remove(&path);
            }
            other => other.map_err(failed)?,
        };
        for id in *ids {
            // `get` has removed the part if it is altered.
            let Some(picture) = part.get(id) else { return Ok(()) };
            writer.add(id, picture).map_err(failed)?;
        }
    }
    let written = writer.finish().and_then(|buffer| buffer.into_inner().map_err(|e| e.into_error()));
    let temporary = written.map_err(failed)?;
    let seal = |temporary: NamedTempFile| -> io::Result<()> {
        // Nobody writes to a pack again; who may read it is the umask's to say.
        let mode = temporary.as_file().metadata()?.permissions().mode();
        temporary.as_file().set_permissions(Permissions::from_mode(mode & 0o444))?;
        temporary.as_file().sync_all()?;
        temporary.persist(plan.path).map_err(|error| error.error)?;
        plan.path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
    };
    seal(temporary).map_err(failed)
}

fn failed(path: &Path) -> impl Fn(io::Error) -> PackError + Copy + '_ {
    |source| PackError::Io { path: path.to_owned(), source }
}
