//! `dygl dataset verify`: are the files what was registered, and are they what
//! the dataset's authors published?

use std::path::Path;

use dygl_base::exit::{Exit, Failure, OrExit};
use dygl_datasets::official::{Comparison, List};
use dygl_datasets::{Manifest, Problem, Registration, Registry};
use serde_json::json;

use crate::cli::{Common, Format};

pub fn verify(name: &str, against: Option<&Path>, common: &Common) -> Result<Exit, Failure> {
    let registry = Registry::at(&common.store);
    let manifest = super::manifest(&registry, name)?;
    let list = list(&manifest, against)?;
    let problems =
        super::with_bar(name, |progress| registry.verify(name, progress)).or_exit(Exit::Environment)?;
    let registration = registry.require(name).or_exit(Exit::Environment)?;
    // What is not as registered is not worth comparing further.
    let compared = match &list {
        Some(list) if problems.is_empty() => Some(
            super::with_bar(name, |progress| list.compare(&manifest, &registration, progress))
                .or_exit(Exit::Environment)?,
        ),
        _ => None,
    };
    if common.format == Format::Json {
        let listed: Vec<String> = problems.iter().map(ToString::to_string).collect();
        super::super::answer_json(&json!({
            "id": name, "problems": listed, "list": origin(list.is_some(), against), "release": compared,
        }))?;
    } else {
        super::super::answer(&text(
            name,
            &problems,
            list.is_some(),
            against,
            compared.as_ref(),
            &registration,
        ));
    }
    let strange = |c: &Comparison| !c.differing.is_empty() || !c.unknown.is_empty();
    // A user's own list is taken at its word: it should be there as a whole.
    let lacking = |c: &Comparison| against.is_some() && !registration.is_partial() && !c.missing.is_empty();
    let is_sound = problems.is_empty() && !compared.as_ref().is_some_and(|c| strange(c) || lacking(c));
    Ok(if is_sound { Exit::Ok } else { Exit::Altered })
}

fn list(manifest: &Manifest, against: Option<&Path>) -> Result<Option<List>, Failure> {
    let Some(path) = against else { return List::built_in(&manifest.id).or_exit(Exit::Environment) };
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::new(Exit::Environment, format!("{}: {error}", path.display())))?;
    List::sha256sum(manifest, path, &text).map(Some).or_exit(Exit::Usage)
}

fn origin(is_known: bool, against: Option<&Path>) -> Option<String> {
    match against {
        Some(path) => Some(path.display().to_string()),
        None => is_known.then(|| "built-in".to_owned()),
    }
}

fn text(
    name: &str,
    problems: &[Problem],
    is_known: bool,
    against: Option<&Path>,
    compared: Option<&Comparison>,
    registration: &Registration,
) -> String {
    if !problems.is_empty() {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        return lines.join("\n");
    }
    let mut lines = vec![format!("{name}: every file as registered")];
    let release = match against {
        Some(path) => path.display().to_string(),
        None => "the official release".to_owned(),
    };
    match compared {
        None if !is_known => lines.push(format!(
            "{name}: no checksums of an official release are known; --against FILE.sha256 takes a list of yours"
        )),
        None => {}
        Some(found) => {
            lines.push(format!(
                "{name}: {} of {} pairs as in {release}; {} files differ, {} are not in it, {} of it are not here",
                found.official,
                found.expected,
                found.differing.len(),
                found.unknown.len(),
                found.missing.len()
            ));
            lines.extend(found.differing.iter().map(|file| format!("{file}: differs from {release}")));
            lines.extend(found.unknown.iter().map(|file| format!("{file}: is not in {release}")));
            // A partial registration says by its count what it lacks.
            if against.is_some() || !registration.is_partial() {
                lines.extend(found.missing.iter().map(|file| format!("{file}: of {release}, is not here")));
            }
        }
    }
    lines.join("\n")
}
