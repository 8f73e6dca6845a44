//! What the table of the datasets is made of: the paper's row, the manifest and
//! the registration of each, brought together.

use dygl_datasets::{DataError, Dataset, Manifest, Registration};
use dygl_pixels::Counts;
use dygl_report::table::datasets::{DatasetCard, Here, Numbers, Parts};
use dygl_spec::experiment::plain;
use dygl_spec::plan::{Plan, Settings};
use dygl_spec::protocol::Protocol;
use dygl_spec::reported::{Reported, ReportedDataset};
use dygl_spec::{DatasetChoice, schema};
use image::ImageReader;
use rayon::prelude::*;

use super::context::{Chosen, Context};

/// The cards of an experiment's datasets, one for each size and division that its axes
/// give a dataset; none for one that trains.
pub fn cards(context: &Context, chosen: &Chosen, published: &Reported) -> Vec<DatasetCard> {
    let mut cards = Vec::new();
    let all = Plan::datasets(&chosen.experiment);
    for choice in &chosen.datasets {
        let mut variants: Vec<(&Settings, &Protocol)> = Vec::new();
        let is_shown = |dataset: &DatasetChoice, protocol: &Protocol| {
            dataset == choice && context.filter.keeps_division(choice, protocol)
        };
        for (_, settings, protocol) in all.iter().filter(|(dataset, _, protocol)| is_shown(dataset, protocol))
        {
            let same =
                |other: &Protocol| other.image.size == protocol.image.size && other.split == protocol.split;
            if !variants.iter().any(|(_, other)| same(other)) {
                variants.push((settings, protocol));
            }
        }
        let found = Found::of(context, choice);
        for (place, (settings, protocol)) in variants.iter().enumerate() {
            let variant = if variants.len() > 1 { words(settings) } else { String::new() };
            cards.push(card(choice, published, &found, protocol, variant, place == 0));
        }
    }
    cards
}

/// The settings of a cell that a card shows: `size 64, fold 1`.
fn words(settings: &Settings) -> String {
    let shown = settings.iter().filter(|(path, _)| *path == "image.size" || path.starts_with("split."));
    let words = shown.map(|(path, value)| format!("{} {}", schema::short(path), plain(value)));
    words.collect::<Vec<_>>().join(", ")
}

fn card(
    choice: &DatasetChoice,
    published: &Reported,
    found: &Found,
    protocol: &Protocol,
    variant: String,
    is_first: bool,
) -> DatasetCard {
    let manifest = Manifest::find(&choice.used.name).ok().flatten();
    let paper = published.dataset(&choice.asked.name);
    let title = paper.map(|paper| paper.label.clone()).unwrap_or_else(|| super::report::title(&choice.used));
    DatasetCard {
        asked: choice.asked.to_string(),
        used: choice.used.to_string(),
        title,
        paper: paper.filter(|_| is_first).map(printed),
        defined: manifest.filter(|_| is_first).map(defined),
        variant,
        size: protocol.image.size,
        here: found.here(protocol, manifest),
    }
}

fn printed(paper: &ReportedDataset) -> Numbers {
    Numbers {
        images: paper.images,
        parts: Parts { train: paper.train, validation: paper.validation, test: paper.test },
        resize: Some(paper.resize),
        modality: paper.modality.clone(),
    }
}

fn defined(manifest: &Manifest) -> Numbers {
    let counts = manifest.counts();
    Numbers {
        images: manifest.images,
        parts: Parts { train: counts.train, validation: counts.validation, test: counts.test },
        resize: None,
        modality: manifest.modality.clone(),
    }
}

/// A dataset of this store, opened once for all of its cards.
struct Found {
    dataset: Result<Dataset, DataError>,
    /// See [`sizes`].
    sizes: String,
}

impl Found {
    fn of(context: &Context, choice: &DatasetChoice) -> Self {
        let dataset = Dataset::open(&choice.used, context.inputs.registry());
        let registration = dataset.as_ref().ok().and_then(Dataset::registration);
        Self { sizes: registration.map(sizes).unwrap_or_default(), dataset }
    }

    /// What there is, divided as a protocol says.
    fn here(&self, protocol: &Protocol, manifest: Option<&Manifest>) -> Here {
        let dataset = match &self.dataset {
            Ok(dataset) => dataset,
            Err(DataError::NotRegistered { name }) => {
                return Here::Missing {
                    command: format!("dygl dataset add {name} PATH"),
                    page: manifest.map(|manifest| manifest.page.clone()).unwrap_or_default(),
                };
            }
            Err(error) => return Here::Damaged { reason: error.to_string() },
        };
        let (parts, split_digest, trouble) = match dataset.split(&protocol.split) {
            Ok(partition) => {
                let Counts { train, validation, test } = partition.counts();
                (Some(Parts { train, validation, test }), partition.digest, String::new())
            }
            Err(error) => (None, String::new(), error.to_string()),
        };
        Here::Found {
            images: dataset.images(),
            expected: dataset.expected(),
            parts,
            trouble,
            sizes: self.sizes.clone(),
            digest: dataset.digest().to_owned(),
            split_digest,
            built_in: dataset.registration().is_none(),
        }
    }
}

/// `384 x 288`, or the range of widths and heights, from the headers of the
/// files; empty if one of them cannot be read so.
fn sizes(registration: &Registration) -> String {
    let size = |path: &str| {
        let reader = ImageReader::open(registration.root.join(path)).ok()?.with_guessed_format().ok()?;
        reader.into_dimensions().ok()
    };
    let all: Option<Vec<(u32, u32)>> =
        registration.entries.par_iter().map(|entry| size(&entry.image.path)).collect();
    all.map_or_else(String::new, |all| range(&all))
}

fn range(sizes: &[(u32, u32)]) -> String {
    let side = |of: fn(&(u32, u32)) -> u32| {
        let (low, high) = (sizes.iter().map(of).min()?, sizes.iter().map(of).max()?);
        Some(if low == high { low.to_string() } else { format!("{low}..{high}") })
    };
    match (side(|size| size.0), side(|size| size.1)) {
        (Some(width), Some(height)) => format!("{width} x {height}"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_one_or_a_range() {
        assert_eq!(range(&[(384, 288), (384, 288)]), "384 x 288");
        assert_eq!(range(&[(332, 487), (1920, 1072), (700, 600)]), "332..1920 x 487..1072");
        assert_eq!(range(&[]), "");
    }
}
