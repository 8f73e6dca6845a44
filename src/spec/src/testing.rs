//! What the tests of this crate share: a protocol and a set of datasets.

use super::choice::{DatasetNames, DatasetProblem};
use super::diagnostic::Diagnostics;
use super::embedded;
use super::experiment::Experiment;
use super::layers::Layers;
use super::load::{Request, load};
use super::name::Named;
use super::protocol::{Part, Protocol, Split};
use super::source::Origin;
use super::tree::parse_text;

/// The paper's protocol.
pub fn protocol() -> Protocol {
    let (node, _) = parse_text(embedded::PROTOCOL, Origin::Argument("test")).expect("valid");
    let mut found = Vec::new();
    let layers = Layers::from_protocol(&node, &mut found);
    assert_eq!(found, []);
    layers.protocol().expect("complete")
}

/// The ids of the shipped experiments; phantoms take count, size and seed.
#[derive(Debug, Clone, Copy)]
pub struct FakeDatasets;

const IDS: &[&str] = &[
    "kvasir-seg",
    "cvc-clinicdb",
    "brain-mri",
    "isic2016",
    "ph2",
    "glas",
    "tnbc",
    "kvasir-seg-352",
    "isic2016-ids-512",
    "phantom-polyp",
    "phantom-skin",
    "phantom-flair",
    "phantom-gland",
    "phantom-nuclei",
];

impl DatasetNames for FakeDatasets {
    fn resolve(&self, named: &Named) -> Result<Named, DatasetProblem> {
        if !IDS.contains(&named.name.as_str()) {
            return Err(DatasetProblem {
                message: format!("unknown dataset `{}`", named.name),
                word: named.name.clone(),
                candidates: self.known_ids(),
            });
        }
        let options: &[&str] =
            if named.name.starts_with("phantom") { &["count", "size", "seed"] } else { &[] };
        match named.options.keys().find(|key| !options.contains(&key.as_str())) {
            Some(key) => Err(DatasetProblem {
                message: format!("dataset `{}` has no option `{key}`", named.name),
                word: key.clone(),
                candidates: options.iter().map(ToString::to_string).collect(),
            }),
            None => Ok(named.clone()),
        }
    }

    fn known_ids(&self) -> Vec<String> {
        IDS.iter().map(ToString::to_string).collect()
    }

    fn lacks_part(&self, dataset: &Named, _: &Split, part: Part) -> bool {
        part == Part::Validation && ["isic2016", "tnbc"].contains(&dataset.name.as_str())
    }
}

/// A built-in experiment under a profile with `--set` arguments.
pub fn experiment(name: &str, profile: Option<&str>, set: &[&str]) -> Experiment {
    let set: Vec<String> = set.iter().map(ToString::to_string).collect();
    let root = tempfile::tempdir().expect("a folder");
    let request = Request { experiment: name, profile, set: &set, root: root.path() };
    load(&request, &FakeDatasets).unwrap_or_else(|diagnostics| panic!("{diagnostics}"))
}

/// An experiment given as text, under the paper's profile.
pub fn load_text(text: &str) -> Result<Experiment, Diagnostics> {
    load_with(text, None, &[])
}

/// An experiment given as text, as `experiments/test.toml` of an empty folder.
pub fn load_with(text: &str, profile: Option<&str>, set: &[&str]) -> Result<Experiment, Diagnostics> {
    let set: Vec<String> = set.iter().map(ToString::to_string).collect();
    let root = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(root.path().join("experiments")).expect("a folder");
    std::fs::write(root.path().join("experiments/test.toml"), text).expect("a file");
    load(&Request { experiment: "test", profile, set: &set, root: root.path() }, &FakeDatasets)
}
