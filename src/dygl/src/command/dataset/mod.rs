//! `dygl dataset`, and the state of the datasets before a run.

mod add;
mod audit;
mod offer;
mod preview;
mod split;
mod summary;
mod verify;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::Path;

use dygl_base::exit::{Exit, Failure, OrExit};
use dygl_datasets::{DataError, Manifest, Registration, Registry, Terms};
use dygl_pixels::{PixelError, SplitError};
use dygl_spec::name::Named;
use dygl_spec::plan::Cell;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::context::Context;
use crate::cli::{Common, Dataset as Verb, Format};
pub use offer::offer;

pub fn dataset(verb: &Verb) -> Result<Exit, Failure> {
    match verb {
        Verb::List(common) => list(common),
        Verb::Add { name, paths, partial, accept_masks, strict, manifest, common } => {
            let terms = Terms { partial: *partial, accept_masks: *accept_masks, strict: *strict };
            add::add(name, paths, terms, manifest.as_deref(), common)
        }
        Verb::Verify { name, against, common } => verify::verify(name, against.as_deref(), common),
        Verb::Template => {
            super::answer(dygl_datasets::user::TEMPLATE);
            Ok(Exit::Ok)
        }
        Verb::Preview(arguments) => preview::preview(arguments),
        Verb::Split { name, division, out, common } => split::split(name, division, out.as_deref(), common),
        Verb::Audit { name, division, out, embed_images, fail_on, common } => {
            let how = audit::How { out: out.as_deref(), embed_images: *embed_images, fail_on };
            audit::audit(name, division, &how, common)
        }
    }
}

/// The manifest of a built-in dataset or of one of the user's own.
fn manifest(registry: &Registry, name: &str) -> Result<Cow<'static, Manifest>, Failure> {
    registry.manifest(name).map_err(split::failure)?.ok_or_else(|| {
        let folders = dygl_datasets::catalogue_in(registry).into_iter().filter(|entry| !entry.is_phantom);
        let known: Vec<String> = folders.map(|entry| entry.id).collect();
        let near = known
            .iter()
            .max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
        let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        Failure::new(Exit::Usage, format!("unknown dataset `{name}`{hint} (known: {})", known.join(", ")))
    })
}

/// Registers a folder with progress.
fn add(
    registry: &Registry,
    manifest: &Manifest,
    path: &Path,
    partial: bool,
) -> Result<Registration, Failure> {
    let registration = with_bar(&manifest.id, |progress| registry.add(manifest, path, partial, progress))
        .map_err(|error| add::failure(&error))?;
    summary::concerns(&registration, manifest.image).iter().for_each(|line| super::note(line));
    Ok(registration)
}

/// Shows a bar on a terminal while something goes through image pairs.
fn with_bar<T>(name: &str, work: impl FnOnce(&(dyn Fn(usize, usize) + Sync)) -> T) -> T {
    let bar = if std::io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{msg} {bar:32} {pos}/{len} pairs, {eta} left") {
        bar.set_style(style);
    }
    bar.set_message(name.to_owned());
    let result = work(&|done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    result
}

fn list(common: &Common) -> Result<Exit, Failure> {
    let registry = Registry::at(&common.store);
    let mut rows = vec![["id", "images", "registered", "title"].map(str::to_owned).to_vec()];
    let mut listed = Vec::new();
    for entry in dygl_datasets::catalogue_in(&registry) {
        let registration = registry.get(&entry.id).map_err(split::failure)?;
        let state = match &registration {
            Some(found) => format!("{} of {} at {}", found.images, found.expected, found.root.display()),
            None if entry.is_phantom => "built in".to_owned(),
            None => "-".to_owned(),
        };
        let images = if entry.is_phantom { "any".to_owned() } else { entry.images.to_string() };
        rows.push(vec![entry.id.clone(), images, state, entry.title.clone()]);
        listed.push(json!({
            "id": entry.id, "title": entry.title, "images": entry.images, "phantom": entry.is_phantom,
            "terms": entry.terms,
            "registered": registration.map(|r| json!({
                "images": r.images, "expected": r.expected, "root": r.root, "digest": r.digest,
            })),
        }));
    }
    if common.format == Format::Json {
        super::answer_json(&json!({ "datasets": listed }))?;
    } else {
        super::answer(&super::columns(&rows));
    }
    Ok(Exit::Ok)
}

/// Before a run: registers what `data`, the folder of `--data` or `ops.data`, holds, refuses altered files, and
/// names what is missing. Returns whether anything is (only with
/// `keep_going`; otherwise that is an error).
///
/// # Errors
/// Exit 5 with every altered file; exit 3 with the commands that bring the
/// missing datasets.
pub fn prepare(context: &Context, data: &Path, cells: &[Cell], keep_going: bool) -> Result<bool, Failure> {
    let registry = context.inputs.registry();
    let ids: BTreeSet<&Named> = cells.iter().map(|cell| &cell.dataset).collect();
    let mut missing = Vec::new();
    let mut altered = Vec::new();
    for id in ids {
        let Some(manifest) = registry.manifest(&id.name).map_err(split::failure)? else { continue };
        let found = registry.get(&id.name).map_err(split::failure)?;
        let offered = Some(data.join(&id.name)).filter(|folder| folder.is_dir());
        let registered = match (found, offered) {
            // The layout may have been found in a folder below the offered one.
            (Some(found), Some(offered))
                if offered.canonicalize().is_ok_and(|path| !found.root.starts_with(path)) =>
            {
                super::note(&format!(
                    "{id}: --data holds another copy than the registered one; registering it"
                ));
                Some(add(registry, &manifest, &offered, allows_partial(context))?)
            }
            (Some(found), _) => Some(found),
            (None, Some(offered)) => Some(add(registry, &manifest, &offered, allows_partial(context))?),
            (None, None) => None,
        };
        match registered {
            None => missing
                .push(format!("  dygl dataset add {id} PATH    # {} ({})", manifest.title, manifest.page)),
            Some(registration) => {
                let problems = registry.check(&registration).or_exit(Exit::Environment)?;
                if !problems.is_empty() {
                    altered.extend(problems.iter().map(|problem| format!("  {id}: {problem}")));
                    altered.push(format!(
                        "  restore the files, or register the dataset anew: dygl dataset add {id} {}{}",
                        registration.root.display(),
                        if registration.images < registration.expected { " --partial" } else { "" }
                    ));
                }
            }
        }
    }
    if !altered.is_empty() {
        let text =
            format!("dataset files are not as they were registered; nothing was run\n{}", altered.join("\n"));
        return Err(Failure::new(Exit::Altered, text));
    }
    divisible(context, cells)?;
    if missing.is_empty() {
        return Ok(false);
    }
    let text = format!("datasets are missing; register them with\n{}", missing.join("\n"));
    if keep_going {
        super::note(&format!("warning: {text}"));
        return Ok(true);
    }
    Err(Failure::new(Exit::Environment, text))
}

/// Refuses datasets that are there but cannot be divided as their cells ask, and
/// divisions that leave a rule nothing to select on.
///
/// # Errors
/// Exit 2 with the reason for each dataset and split; 3 where a split file cannot be read.
fn divisible(context: &Context, cells: &[Cell]) -> Result<(), Failure> {
    let mut told = BTreeSet::new();
    let mut exit = Exit::Usage;
    for cell in cells {
        match context.inputs.of(cell) {
            Err(error) => {
                if let DataError::Pixels(PixelError::Split(split)) = &*error.0 {
                    if matches!(split, SplitError::Read { .. }) {
                        exit = Exit::Environment;
                    }
                    told.insert(error.to_string());
                }
            }
            // Of datasets that were there before, the experiment's own check has said so.
            Ok(inputs) => {
                let images = inputs.partition.part(cell.protocol.selection.part).len();
                if let Some(why) = cell.protocol.nothing_to_select(images) {
                    let remedies = why.remedies().join(", ");
                    told.insert(format!(
                        "{}: the best epoch cannot be selected: {why}; {remedies}",
                        cell.dataset
                    ));
                }
            }
        }
    }
    if told.is_empty() {
        return Ok(());
    }
    let reasons: Vec<String> = told.into_iter().map(|reason| format!("  {reason}")).collect();
    let text = format!("datasets cannot be divided as asked; nothing was run\n{}", reasons.join("\n"));
    Err(Failure::new(exit, text))
}

fn allows_partial(context: &Context) -> bool {
    context.chosen.iter().any(|chosen| chosen.experiment.profile.partial)
}
