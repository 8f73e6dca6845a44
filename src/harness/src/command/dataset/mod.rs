//! `dygl dataset`, and the state of the datasets before a run.

mod offer;

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::context::Context;
use crate::cli::{Common, Dataset as Verb, Format};
use crate::data::{self, Manifest, Registration, Registry};
use crate::exit::{Exit, Failure, OrExit};
use crate::plan::Cell;
use crate::spec::name::Named;

pub use offer::offer;

pub fn dataset(verb: &Verb) -> Result<Exit, Failure> {
    match verb {
        Verb::List(common) => list(common),
        Verb::Add { name, path, partial, common } => {
            let manifest = manifest(name)?;
            let registration = add(&Registry::at(&common.store), manifest, path, *partial)?;
            if common.format == Format::Json {
                super::answer_json(&json!({
                    "id": name, "images": registration.images, "expected": registration.expected,
                    "digest": registration.digest, "root": registration.root,
                }))?;
            } else {
                super::answer(&format!(
                    "{name}: {} of {} images, digest {}",
                    registration.images,
                    registration.expected,
                    &registration.digest[..12]
                ));
            }
            Ok(Exit::Ok)
        }
        Verb::Verify { name, common } => verify(name, common),
    }
}

fn manifest(name: &str) -> Result<&'static Manifest, Failure> {
    Manifest::find(name).or_exit(Exit::Usage)?.ok_or_else(|| {
        let folders = data::catalogue().into_iter().filter(|entry| !entry.is_phantom);
        let known: Vec<String> = folders.map(|entry| entry.id).collect();
        let near = known
            .iter()
            .max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
        let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        Failure::new(Exit::Usage, format!("unknown dataset `{name}`{hint} (known: {})", known.join(", ")))
    })
}

/// Registers with progress.
fn add(
    registry: &Registry,
    manifest: &Manifest,
    path: &Path,
    partial: bool,
) -> Result<Registration, Failure> {
    with_bar(&manifest.id, |progress| registry.add(manifest, path, partial, progress))
        .or_exit(Exit::Environment)
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
    for entry in data::catalogue() {
        let registration = registry.get(&entry.id).or_exit(Exit::Altered)?;
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

fn verify(name: &str, common: &Common) -> Result<Exit, Failure> {
    manifest(name)?;
    let registry = Registry::at(&common.store);
    let problems = with_bar(name, |progress| registry.verify(name, progress)).or_exit(Exit::Environment)?;
    if common.format == Format::Json {
        let listed: Vec<String> = problems.iter().map(ToString::to_string).collect();
        super::answer_json(&json!({ "id": name, "problems": listed }))?;
    } else if problems.is_empty() {
        super::answer(&format!("{name}: every file as registered"));
    } else {
        for problem in &problems {
            super::answer(&problem.to_string());
        }
    }
    Ok(if problems.is_empty() { Exit::Ok } else { Exit::Altered })
}

/// Before a run: registers what `--data` holds, refuses altered files, and
/// names what is missing. Returns whether anything is (only with
/// `keep_going`; otherwise that is an error).
///
/// # Errors
/// Exit 5 with every altered file; exit 3 with the commands that bring the
/// missing datasets.
pub fn prepare(context: &Context, cells: &[Cell], keep_going: bool) -> Result<bool, Failure> {
    let registry = context.inputs.registry();
    let ids: BTreeSet<&Named> = cells.iter().map(|cell| &cell.dataset).collect();
    let mut missing = Vec::new();
    let mut altered = Vec::new();
    for id in ids {
        let Some(manifest) = Manifest::find(&id.name).or_exit(Exit::Usage)? else { continue };
        let found = registry.get(&id.name).or_exit(Exit::Altered)?;
        let offered =
            context.data.as_ref().map(|folder| folder.join(&id.name)).filter(|folder| folder.is_dir());
        let registered = match (found, offered) {
            (Some(found), Some(offered)) if offered.canonicalize().is_ok_and(|path| path != found.root) => {
                super::note(&format!(
                    "{id}: --data holds another copy than the registered one; registering it"
                ));
                Some(add(registry, manifest, &offered, allows_partial(context))?)
            }
            (Some(found), _) => Some(found),
            (None, Some(offered)) => Some(add(registry, manifest, &offered, allows_partial(context))?),
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

fn allows_partial(context: &Context) -> bool {
    context.chosen.iter().any(|chosen| chosen.experiment.profile.partial)
}
