//! What the tests of this crate share: a protocol and a set of datasets.

use super::choice::{DatasetNames, DatasetProblem};
use super::embedded;
use super::layers::Layers;
use super::name::Named;
use super::protocol::Protocol;
use super::source::Origin;
use super::tree::parse_text;

/// The paper's protocol.
pub(crate) fn protocol() -> Protocol {
    let (node, _) = parse_text(embedded::PROTOCOL, Origin::Argument("test")).expect("valid");
    let mut found = Vec::new();
    let layers = Layers::from_protocol(&node, &mut found);
    assert_eq!(found, []);
    layers.protocol().expect("complete")
}

/// The ids of the shipped experiments; phantoms take count, size and seed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FakeDatasets;

const IDS: &[&str] = &[
    "kvasir-seg",
    "cvc-clinicdb",
    "brain-mri",
    "isic2016",
    "ph2",
    "glas",
    "tnbc",
    "kvasir-seg-352",
    "phantom-polyp",
    "phantom-skin",
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
        let options: &[&str] = if named.name.starts_with("phantom") { &["count", "size", "seed"] } else { &[] };
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
}
