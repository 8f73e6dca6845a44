//! `dygl dataset add`: from a folder or archives to a registration.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::archive::{ArchiveError, Watch};
use crate::cli::{Common, Format};
use crate::data::{Addition, DataError, Manifest, Problem, Registration, Registry, user};
use crate::exit::{Exit, Failure, OrExit};
use crate::spec::Origin;

pub fn add(
    name: &str,
    paths: &[PathBuf],
    partial: bool,
    file: Option<&Path>,
    common: &Common,
) -> Result<Exit, Failure> {
    let registry = Registry::at(&common.store);
    let (manifest, own) = match file {
        Some(file) => {
            let (manifest, text) = read_own(name, file)?;
            (Cow::Owned(manifest), Some(text))
        }
        None => (super::manifest(&registry, name)?, None),
    };
    let stop = watch_signals()?;
    let unpacking = unpacking_bar(name);
    let watch = Watch { told: &|bytes| unpacking.set_position(bytes), stop: &stop };
    let registration = super::with_bar(name, |progress| {
        let own = own.as_deref();
        let told = |done, total| {
            unpacking.finish_and_clear();
            progress(done, total);
        };
        registry.add_from(&Addition {
            manifest: &manifest,
            own,
            sources: paths,
            partial,
            progress: &told,
            watch,
        })
    });
    unpacking.finish_and_clear();
    let registration = registration.map_err(|error| failure(&error))?;
    tell(&manifest, &registration, common)?;
    Ok(Exit::Ok)
}

fn failure(error: &DataError) -> Failure {
    let exit = match error {
        DataError::Problems { problems, .. } if problems.iter().all(Problem::is_of_the_rules) => Exit::Usage,
        DataError::Archive(ArchiveError::Stopped) => Exit::Interrupted,
        DataError::Sources { .. } => Exit::Usage,
        _ => Exit::Environment,
    };
    Failure::new(exit, error.in_full())
}

/// Reads the manifest of a dataset of the user's own.
fn read_own(name: &str, file: &Path) -> Result<(Manifest, String), Failure> {
    if let Some(refusal) = user::refuse_id(name) {
        return Err(Failure::new(Exit::Usage, refusal));
    }
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::new(Exit::Usage, format!("{}: {error}", file.display())))?;
    let manifest = Manifest::read_user(name, Origin::File(file.to_owned()), &text)
        .map_err(|all| Failure::new(Exit::Usage, all.render(super::super::colour_err())))?;
    Ok((manifest, text))
}

fn tell(manifest: &Manifest, found: &Registration, common: &Common) -> Result<(), Failure> {
    let name = &found.dataset;
    let grouped = found.entries.iter().filter(|entry| entry.group.is_some()).count();
    if manifest.group.is_some() && grouped < found.images {
        super::super::note(&format!(
            "note: {name}: the group (patient, slide, video) of {} of {} images is not known",
            found.images - grouped,
            found.images
        ));
    }
    let mut told = found.image_files.notes("images");
    told.extend(found.image_files.scaling(manifest.image));
    told.extend(found.mask_files.notes("masks"));
    for told in told {
        super::super::note(&format!("note: {name}: {told}"));
    }
    if common.format == Format::Json {
        return super::super::answer_json(&json!({
            "id": name, "images": found.images, "expected": found.expected, "left_out": found.left_out.len(),
            "grouped": grouped, "digest": found.digest, "root": found.root, "archives": found.archives,
            "image_files": found.image_files, "mask_files": found.mask_files,
        }));
    }
    let left_out = match found.left_out.len() {
        0 => String::new(),
        count => format!(" ({count} more have empty masks and are left out)"),
    };
    super::super::answer(&format!(
        "{name}: {} of {} images{left_out}, digest {}",
        found.images,
        found.expected,
        &found.digest[..12]
    ));
    Ok(())
}

/// Bytes unpacked so far; nothing is drawn before the first.
fn unpacking_bar(name: &str) -> ProgressBar {
    use std::io::IsTerminal;
    let bar = if std::io::stderr().is_terminal() { ProgressBar::no_length() } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{msg} unpacking: {bytes}, {bytes_per_sec}") {
        bar.set_style(style);
    }
    bar.set_message(name.to_owned());
    bar
}

/// The first Ctrl-C or termination asks the work to clean up and end; the
/// second ends the program.
fn watch_signals() -> Result<Arc<AtomicBool>, Failure> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, Exit::Interrupted as i32, Arc::clone(&stop))
            .or_exit(Exit::Environment)?;
        signal_hook::flag::register(signal, Arc::clone(&stop)).or_exit(Exit::Environment)?;
    }
    Ok(stop)
}
