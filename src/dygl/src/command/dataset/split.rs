//! `dygl dataset split`: how a dataset is divided, and the division as a file.

use std::path::Path;

use dygl_base::exit::{Exit, Failure, OrExit};
use dygl_datasets::audit::{self, Groups};
use dygl_datasets::{DataError, Dataset, Registry, split_file};
use dygl_pixels::split::Grouping;
use dygl_pixels::{Partition, PixelError, SplitError};
use dygl_spec::name::Named;
use dygl_spec::project;
use dygl_spec::protocol::{Part, Split, SplitSource};
use serde_json::json;

use crate::cli::{Common, Division, Format};
use crate::command::{self, mistakes};

/// A dataset and its parts.
pub(super) struct Divided {
    pub registry: Registry,
    pub dataset: Dataset,
    pub split: Split,
    pub partition: Partition,
}

const PARTS: [(&str, Part); 3] =
    [("train", Part::Train), ("validation", Part::Validation), ("test", Part::Test)];

pub fn split(name: &str, division: &Division, out: Option<&Path>, common: &Common) -> Result<Exit, Failure> {
    let Divided { dataset, split, partition, .. } = divide(name, division, common)?;
    let facts = audit::Division::of(&split, &partition, dataset.images());
    let groups = Groups::of(&dataset, &partition);
    if let Some(path) = out {
        let id = &dataset.id().name;
        split_file::write(path, id, dataset.ids(), &partition, &facts.words()).or_exit(Exit::Environment)?;
        command::note(&format!("written: {}", path.display()));
    }
    if common.format == Format::Json {
        let ids: serde_json::Map<String, serde_json::Value> =
            PARTS.iter().map(|(name, part)| ((*name).to_owned(), json!(partition.part(*part)))).collect();
        command::answer_json(&json!({
            "dataset": dataset.id().to_string(), "images": dataset.images(), "expected": dataset.expected(),
            "split": facts, "groups": groups, "ids": ids,
        }))?;
        return Ok(Exit::Ok);
    }
    command::answer(&text(&dataset, &facts, &partition, &groups));
    Ok(Exit::Ok)
}

fn text(dataset: &Dataset, facts: &audit::Division, partition: &Partition, groups: &Groups) -> String {
    let mut text = format!(
        "{}: {} images, divided by {}; digest {}\n\n",
        dataset.id(),
        dataset.images(),
        facts.words(),
        &facts.digest[..12]
    );
    let mut rows = vec![["part", "images", "share"].map(str::to_owned).to_vec()];
    if groups.known {
        rows[0].push("groups".to_owned());
    }
    let all = dataset.images().max(1) as f64;
    for (name, part) in PARTS {
        let ids = partition.part(part);
        let share = format!("{:.1} %", 100.0 * ids.len() as f64 / all);
        let mut row = vec![name.to_owned(), ids.len().to_string(), share];
        if groups.known {
            let grouping = Grouping::of(ids.iter().map(|id| dataset.group(id)));
            let unknown = match grouping.unknown {
                0 => String::new(),
                images => format!(" (of {images} images not known)"),
            };
            row.push(format!("{}{unknown}", grouping.groups));
        }
        rows.push(row);
    }
    if facts.unused > 0 {
        let share = format!("{:.1} %", 100.0 * facts.unused as f64 / all);
        rows.push(vec!["unused".to_owned(), facts.unused.to_string(), share]);
    }
    text.push_str(&command::columns(&rows));
    text.push('\n');
    text.push_str(&torn(groups, dataset.images()));
    text
}

/// The groups that lie in several parts, for people.
pub(super) fn torn(groups: &Groups, images: usize) -> String {
    let mut text = format!("{}\n", groups.words(images));
    if groups.straddling.is_empty() {
        return text;
    }
    let mut rows = vec![["  group", "train", "validation", "test"].map(str::to_owned).to_vec()];
    for torn in &groups.straddling {
        let counts = [torn.train, torn.validation, torn.test].map(|count| count.to_string());
        rows.push([vec![format!("  {}", torn.group)], counts.to_vec()].concat());
    }
    text.push_str(&command::columns(&rows));
    text
}

/// Opens a dataset and divides it.
///
/// # Errors
/// Exit 2 for names and splits that cannot be, 3 for what is not there, 5 for
/// altered files.
pub(super) fn divide(name: &str, division: &Division, common: &Common) -> Result<Divided, Failure> {
    let root = std::env::current_dir().or_exit(Exit::Environment)?;
    let protocol = dygl_spec::standard_protocol(&root).map_err(|found| mistakes::refused(&found))?;
    let split = resolve(protocol.split, division)?;
    let named = Named::parse(name).or_exit(Exit::Usage)?;
    let registry = Registry::at(&common.store);
    let dataset = Dataset::open(&named, &registry).map_err(failure)?;
    let partition = dataset.split(&split).map_err(failure)?;
    Ok(Divided { registry, dataset, split, partition })
}

/// The protocol's split with the arguments in its place.
fn resolve(standard: Split, given: &Division) -> Result<Split, Failure> {
    let named = given.source.as_deref();
    let named = named.and_then(|name| SplitSource::ALL.into_iter().find(|source| source.name() == name));
    let implied = if given.file.is_some() {
        Some(SplitSource::File)
    } else {
        (given.folds.is_some() || given.fold.is_some()).then_some(SplitSource::KFold)
    };
    let source = named.or(implied).unwrap_or(standard.source);
    let clash = |flag: &str, source: &str| {
        Err(Failure::new(Exit::Usage, format!("--{flag} means nothing with --source {source}")))
    };
    match (&given.file, given.folds.or(given.fold)) {
        (Some(_), _) if source != SplitSource::File => return clash("file", source.name()),
        (_, Some(_)) if !source.has_folds() => return clash("folds and --fold", source.name()),
        _ => {}
    }
    Ok(Split {
        source,
        seed: given.seed.unwrap_or(standard.seed),
        folds: given.folds.unwrap_or(standard.folds),
        fold: given.fold.unwrap_or(standard.fold),
        file: given.file.as_deref().map_or(standard.file, project::name_of),
    })
}

/// The error with the exit code of its kind.
pub(super) fn failure(error: DataError) -> Failure {
    let exit = match &error {
        DataError::Pixels(PixelError::Split(SplitError::Read { .. })) => Exit::Environment,
        DataError::UnknownDataset { .. }
        | DataError::Pixels(
            PixelError::UnknownOption { .. }
            | PixelError::BadOption { .. }
            | PixelError::TooFew { .. }
            | PixelError::Split(_),
        ) => Exit::Usage,
        DataError::Altered { .. } | DataError::Registration { .. } => Exit::Altered,
        _ => Exit::Environment,
    };
    Failure::new(exit, error)
}
