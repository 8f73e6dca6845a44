//! `dygl dataset preview`: a contact sheet to look at before anything is trained.

use std::path::{Path, PathBuf};
use std::process::Command;

use dygl_base::exit::{AtPath, Exit, Failure, OrExit};
use dygl_base::random::Stream;
use dygl_datasets::{DataError, Dataset, KnownDatasets, Registry};
use dygl_exec::local::Local;
use dygl_exec::views::{self, Views};
use dygl_pixels::{Partition, PixelError, Sample, mask};
use dygl_report::sheet::{Sheet, Tile};
use dygl_spec::Request;
use dygl_spec::name::Named;
use dygl_spec::protocol::{Part, Protocol};
use rayon::prelude::*;
use serde_json::json;

use crate::cli::{Format, Preview};
use crate::command::mistakes;

/// The experiment whose protocol says how datasets are divided and augmented;
/// any shipped one has the protocol of `protocol.toml` or says where it departs.
const EXPERIMENT: &str = "table2";
/// Most pictures of a sheet.
const MOST: usize = 200;
/// Seed of the views where none is given: the paper's.
const SEED: u64 = 42;
/// Training views of each image.
const EPOCHS: usize = 3;

pub fn preview(arguments: &Preview) -> Result<Exit, Failure> {
    if !(1..=MOST).contains(&arguments.count) {
        let text = format!("--count {}: a sheet holds 1 to {MOST} pictures", arguments.count);
        return Err(Failure::new(Exit::Usage, text));
    }
    let named = Named::parse(&arguments.name).or_exit(Exit::Usage)?;
    let registry = Registry::at(&arguments.common.store);
    let dataset = Dataset::open(&named, &registry).map_err(told)?;
    let protocol = protocol(arguments.profile.as_deref())?;
    let partition = match (dataset.split(&protocol.split), arguments.part) {
        (Ok(partition), _) => Some(partition),
        (Err(_), None) => None,
        (Err(error), Some(_)) => return Err(told(error)),
    };
    let part = arguments.part.map(Part::from);
    let among = match (&partition, part) {
        (Some(partition), Some(part)) => partition.part(part),
        _ => dataset.ids(),
    };
    if among.is_empty() {
        let text = format!("{}: the part is empty; leave --part out", dataset.id());
        return Err(Failure::new(Exit::NothingSelected, text));
    }
    let images = if arguments.augment { arguments.count.div_ceil(EPOCHS) } else { arguments.count };
    let ids = choose(among, images, arguments.seed);
    let tiles = if arguments.augment {
        augmented(arguments, &dataset, &protocol, &ids)?
    } else {
        let drawn: Result<Vec<Tile>, DataError> =
            ids.par_iter().map(|id| Ok(plain(id, dataset.load(id)?))).collect();
        drawn.map_err(told)?
    };
    let shown = tiles.len();
    let sheet = Sheet {
        title: format!("{}: {}", dataset.id(), dataset.title()),
        notes: notes(arguments, &dataset, partition.as_ref(), shown),
        tiles,
    };
    let path = arguments.out.clone().unwrap_or_else(|| PathBuf::from(format!("{}.png", dataset.id().name)));
    sheet.save(&path).or_exit(Exit::Environment)?;
    if arguments.common.format == Format::Json {
        super::super::answer_json(&json!({
            "id": dataset.id().to_string(), "path": path, "images": ids, "digest": dataset.digest(),
        }))?;
    } else {
        super::super::answer(&path.display().to_string());
    }
    Ok(Exit::Ok)
}

/// What is wrong with the name is usage; with files, the environment.
fn told(error: DataError) -> Failure {
    let exit = match &error {
        DataError::UnknownDataset { .. }
        | DataError::Pixels(PixelError::UnknownOption { .. } | PixelError::BadOption { .. }) => Exit::Usage,
        DataError::Altered { .. } => Exit::Altered,
        _ => Exit::Environment,
    };
    Failure::new(exit, error)
}

fn protocol(profile: Option<&str>) -> Result<Protocol, Failure> {
    let root = std::env::current_dir().or_exit(Exit::Environment)?;
    let request = Request { experiment: EXPERIMENT, profile, set: &[], root: &root };
    dygl_spec::load(&request, &KnownDatasets)
        .map(|experiment| experiment.protocol)
        .map_err(|found| mistakes::refused(&found))
}

/// Sorted ids: evenly spread over all of them, or drawn with a seed.
fn choose(among: &[String], count: usize, seed: Option<u64>) -> Vec<String> {
    let count = count.min(among.len());
    let Some(seed) = seed else {
        return (0..count).map(|i| among[i * among.len() / count].clone()).collect();
    };
    let mut drawn = among.to_vec();
    Stream::new(seed, "preview", &[]).shuffle(&mut drawn);
    drawn.truncate(count);
    drawn.sort_unstable();
    drawn
}

fn plain(id: &str, sample: Sample) -> Tile {
    let about = format!("{}x{}, {} foreground", sample.image.width(), sample.image.height(), share(&sample));
    let Sample { image, mask } = sample;
    Tile { image, mask: mask::hard(&mask), caption: vec![id.to_owned(), about] }
}

fn share(sample: &Sample) -> String {
    let inside = sample.mask.pixels().filter(|pixel| mask::is_foreground(pixel.0[0])).count();
    let all = (sample.mask.width() as usize * sample.mask.height() as usize).max(1);
    format!("{:.1} %", 100.0 * inside as f64 / all as f64)
}

/// Training views, the first epochs of each image, by the worker.
fn augmented(
    arguments: &Preview,
    dataset: &Dataset,
    protocol: &Protocol,
    ids: &[String],
) -> Result<Vec<Tile>, Failure> {
    let store = &arguments.common.store;
    let views: Vec<(String, usize)> = ids
        .iter()
        .flat_map(|id| (0..EPOCHS).map(|epoch| (id.clone(), epoch)))
        .take(arguments.count)
        .collect();
    let asked = Views {
        dataset: dataset.id().clone(),
        // A store that does not exist yet has no registrations: phantoms need none.
        root: store.canonicalize().unwrap_or_else(|_| store.clone()),
        protocol: protocol.clone(),
        seed: arguments.seed.unwrap_or(SEED),
        views,
    };
    let folder = tempfile::tempdir().at("make a folder in", &std::env::temp_dir())?;
    let text = serde_json::to_vec(&asked).or_exit(Exit::Failed)?;
    std::fs::write(folder.path().join(views::FILE), text).at("write into", folder.path())?;
    let local = Local::beside_this_program()?;
    let output = Command::new(local.worker()).arg("views").arg(folder.path()).output();
    let output = output.at("start", local.worker())?;
    if !output.status.success() {
        let exit = match output.status.code() {
            Some(2) => Exit::Usage,
            Some(3) => Exit::Environment,
            Some(5) => Exit::Altered,
            _ => Exit::Failed,
        };
        let told = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let told = if told.is_empty() { format!("the worker ended with {}", output.status) } else { told };
        return Err(Failure::new(exit, told));
    }
    let read = |name: String| -> Result<image::DynamicImage, Failure> {
        let path: &Path = &folder.path().join(name);
        image::open(path).map_err(|error| Failure::new(Exit::Failed, format!("{}: {error}", path.display())))
    };
    asked
        .views
        .iter()
        .enumerate()
        .map(|(view, (id, epoch))| {
            let image = read(views::image_name(view))?.into_rgb8();
            let sample = Sample { image, mask: read(views::mask_name(view))?.into_luma8() };
            let about = format!("epoch {}, {} foreground", epoch + 1, share(&sample));
            let Sample { image, mask } = sample;
            Ok(Tile { image, mask: mask::hard(&mask), caption: vec![id.clone(), about] })
        })
        .collect()
}

/// Counts, choice, digest and terms, below the title.
fn notes(arguments: &Preview, dataset: &Dataset, partition: Option<&Partition>, shown: usize) -> Vec<String> {
    let mut counts = if dataset.images() < dataset.expected() {
        format!("{} of {} images", dataset.images(), dataset.expected())
    } else {
        format!("{} images", dataset.images())
    };
    if let Some(parts) = partition.map(Partition::counts) {
        counts.push_str(&format!(
            ": {} train, {} validation, {} test",
            parts.train, parts.validation, parts.test
        ));
    }
    let mut choice = if arguments.augment {
        format!("{shown} training views, {EPOCHS} epochs of each image")
    } else {
        format!("{shown} shown")
    };
    if let Some(part) = arguments.part {
        choice.push_str(&format!(" of the part {}", part.word()));
    }
    choice.push_str(&match arguments.seed {
        Some(seed) => format!(", drawn with seed {seed}"),
        None => ", evenly spread over the sorted ids".to_owned(),
    });
    let mut notes = vec![format!("{counts}; {choice}"), format!("digest {}", dataset.digest())];
    if !dataset.redistributable() {
        notes.push("The terms of this dataset do not allow showing its images to others.".to_owned());
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_is_sorted_spread_and_seeded() {
        let ids: Vec<String> = (0..100).map(|i| format!("{i:03}")).collect();
        assert_eq!(choose(&ids, 4, None), ["000", "025", "050", "075"]);
        assert_eq!(choose(&ids[..3], 12, None), ids[..3]);
        let drawn = choose(&ids, 10, Some(7));
        assert!(drawn.is_sorted() && drawn.len() == 10);
        assert_eq!(drawn, choose(&ids, 10, Some(7)));
        assert_ne!(drawn, choose(&ids, 10, Some(8)));
    }
}
