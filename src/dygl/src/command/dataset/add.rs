//! `dygl dataset add`: from a folder or archives to a registration.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use dygl_archive::{ArchiveError, Watch};
use dygl_base::exit::{Exit, Failure, OrExit};
use dygl_datasets::{Addition, DataError, Manifest, Registration, Registry, Terms, user};
use dygl_spec::Origin;
use indicatif::{ProgressBar, ProgressStyle};

use super::super::mistakes;
use super::summary;
use crate::cli::{Common, Format};

pub fn add(
    name: &str,
    paths: &[PathBuf],
    terms: Terms,
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
            terms,
            progress: &told,
            watch,
        })
    });
    unpacking.finish_and_clear();
    let registration = registration.map_err(|error| failure(&error))?;
    tell(&manifest, &registration, common)?;
    Ok(Exit::Ok)
}

pub(super) fn failure(error: &DataError) -> Failure {
    let exit = match error {
        DataError::Archive(ArchiveError::Stopped) => Exit::Interrupted,
        DataError::Sources { .. } => Exit::Usage,
        error if error.is_of_the_manifest() => Exit::Usage,
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
        .map_err(|error| Failure::new(Exit::Environment, format!("{}: {error}", file.display())))?;
    let manifest = Manifest::read_user(name, Origin::File(file.to_owned()), &text)
        .map_err(|all| mistakes::refused(&all))?;
    Ok((manifest, text))
}

/// The summary; what speaks against the dataset goes to standard error.
fn tell(manifest: &Manifest, found: &Registration, common: &Common) -> Result<(), Failure> {
    summary::concerns(found, manifest.image).iter().for_each(|line| super::super::note(line));
    if common.format == Format::Json {
        return super::super::answer_json(&summary::json(found));
    }
    super::super::answer(&summary::text(found));
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
