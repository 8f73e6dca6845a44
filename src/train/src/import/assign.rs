//! Which tensor of a file goes where in a network.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use dygl_nn::network::{Backbone, reference_name};

use super::choose::ten;
use crate::learn::weights::{Mismatch, Site, is_ignored};

/// A tensor that a file offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) shape: Vec<usize>,
    /// Its type, if that is none of fractions.
    pub(super) integers: Option<&'static str>,
}

/// What a file gives to a network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Assigned {
    /// Tensor of the network -> tensors of the file, which must be equal where
    /// there are several.
    pub(super) sources: BTreeMap<String, Vec<String>>,
    /// Tensors of the file that the part has no use for.
    pub(super) left_over: Vec<String>,
}

/// Why a file and a network do not fit: everything at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Misfit {
    /// Tensors that are missing, unknown or of another shape, by name.
    pub mismatch: Mismatch,
    /// Tensors of whole numbers where fractions belong: (name, type).
    pub integers: Vec<(String, String)>,
    /// Tensors of the network that a tensor of the file does fit.
    pub filled: usize,
}

impl Misfit {
    fn is_empty(&self) -> bool {
        self.mismatch.is_empty() && self.integers.is_empty()
    }
}

impl fmt::Display for Misfit {
    /// The counts, and one tensor a line, at most ten of each kind.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mismatch { missing, unexpected, misshaped } = &self.mismatch;
        let misshaped: Vec<String> = misshaped
            .iter()
            .map(|(name, network, file)| format!("{name}: {file:?} in the file, {network:?} in the network"))
            .collect();
        let integers: Vec<String> =
            self.integers.iter().map(|(name, dtype)| format!("{name}: {dtype}")).collect();
        write!(f, "\n{} of the network's tensors fit", self.filled)?;
        for (heading, lines) in [
            ("missing in the file", missing),
            ("unknown to the network", unexpected),
            ("of another shape", &misshaped),
            ("not of fractions", &integers),
        ] {
            if !lines.is_empty() {
                write!(f, "\n{} {heading}:", lines.len())?;
                write!(f, "\n  {}", ten(lines, "\n  "))?;
            }
        }
        Ok(())
    }
}

/// The whole network: every tensor, under the reference's names or their
/// aliases, and nothing else. A tensor of whole numbers that the network does not
/// know is left over: no network here has one, so it is a counter or an index.
pub(super) fn whole(
    sites: &[Site],
    aliases: &[(&str, &str)],
    offers: &BTreeMap<String, Offer>,
) -> Result<Assigned, Misfit> {
    let known: BTreeSet<&str> = sites.iter().map(|site| site.name.as_str()).collect();
    let mut assigned = Assigned::default();
    let mut misfit = Misfit::default();
    for (name, offer) in offers.iter().filter(|(name, _)| !is_ignored(name)) {
        let own = || reference_name(&name.split('.').collect::<Vec<_>>(), aliases);
        let target = if known.contains(name.as_str()) { name.clone() } else { own() };
        if known.contains(target.as_str()) {
            assigned.sources.entry(target).or_default().push(name.clone());
        } else if offer.integers.is_some() {
            assigned.left_over.push(name.clone());
        } else {
            misfit.mismatch.unexpected.push(name.clone());
        }
    }
    for site in sites.iter().filter(|site| !assigned.sources.contains_key(&site.name)) {
        misfit.mismatch.missing.push(site.name.clone());
    }
    compare(sites, offers, assigned, misfit)
}

/// One part of the network, from a network for classification.
pub(super) fn part(
    sites: &[Site],
    backbone: &Backbone,
    offers: &BTreeMap<String, Offer>,
) -> Result<Assigned, Misfit> {
    let known: BTreeSet<&str> = sites.iter().map(|site| site.name.as_str()).collect();
    let mut assigned = Assigned::default();
    for name in offers.keys().filter(|name| !is_ignored(name)) {
        let mut used = false;
        for (there, here) in backbone.parts {
            // The reader takes DataParallel's prefix off every name.
            let there = there.strip_prefix("module.").unwrap_or(there);
            let Some(rest) = behind(name, there) else { continue };
            let target =
                [*here, rest].into_iter().filter(|run| !run.is_empty()).collect::<Vec<_>>().join(".");
            if known.contains(target.as_str()) {
                assigned.sources.entry(target).or_default().push(name.clone());
                used = true;
            }
        }
        if !used {
            assigned.left_over.push(name.clone());
        }
    }
    let mut misfit = Misfit::default();
    // A pair that goes into the top of the network does not say which of its tensors it means.
    let belongs = |site: &&Site| {
        backbone.parts.iter().any(|(_, here)| !here.is_empty() && behind(&site.name, here).is_some())
    };
    for site in sites.iter().filter(belongs).filter(|site| !assigned.sources.contains_key(&site.name)) {
        misfit.mismatch.missing.push(site.name.clone());
    }
    compare(sites, offers, assigned, misfit)
}

/// The name in a file of Swin's authors for a name of timm: since its version
/// 0.9, timm counts a patch merging to the stage behind it, they to the one
/// before. `None` for files that are not of the newer timm.
pub(super) fn swin_name(name: &str, names: &BTreeSet<&str>) -> Option<String> {
    const LAST: &str = "layers.3.downsample.reduction.weight";
    const FIRST: &str = "layers.0.downsample.reduction.weight";
    if !names.contains(LAST) || names.contains(FIRST) {
        return None;
    }
    let (stage, rest) = name.strip_prefix("layers.")?.split_once('.')?;
    let stage = stage.parse::<usize>().ok()?.checked_sub(1)?;
    rest.starts_with("downsample.").then(|| format!("layers.{stage}.{rest}"))
}

/// The components of a name behind a leading run of them.
fn behind<'a>(name: &'a str, run: &str) -> Option<&'a str> {
    if run.is_empty() {
        return Some(name);
    }
    match name.strip_prefix(run)? {
        "" => Some(""),
        rest => rest.strip_prefix('.'),
    }
}

fn compare(
    sites: &[Site],
    offers: &BTreeMap<String, Offer>,
    assigned: Assigned,
    mut misfit: Misfit,
) -> Result<Assigned, Misfit> {
    for site in sites {
        let before = misfit.mismatch.misshaped.len() + misfit.integers.len();
        for name in assigned.sources.get(&site.name).into_iter().flatten() {
            let Some(offer) = offers.get(name) else { continue };
            let shown =
                if *name == site.name { name.clone() } else { format!("{name} (here {})", site.name) };
            if offer.shape != site.shape {
                misfit.mismatch.misshaped.push((shown, site.shape.clone(), offer.shape.clone()));
            } else if let Some(dtype) = offer.integers {
                misfit.integers.push((shown, dtype.to_owned()));
            }
        }
        let is_right = misfit.mismatch.misshaped.len() + misfit.integers.len() == before;
        misfit.filled += usize::from(is_right && assigned.sources.contains_key(&site.name));
    }
    if misfit.is_empty() { Ok(assigned) } else { Err(misfit) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sites(names: &[(&str, &[usize])]) -> Vec<Site> {
        names
            .iter()
            .map(|(name, shape)| Site {
                name: (*name).to_owned(),
                layer: "Conv2d".to_owned(),
                shape: shape.to_vec(),
            })
            .collect()
    }

    fn offers(names: &[(&str, &[usize])]) -> BTreeMap<String, Offer> {
        let offer = |shape: &[usize]| Offer { shape: shape.to_vec(), integers: None };
        names.iter().map(|(name, shape)| ((*name).to_owned(), offer(shape))).collect()
    }

    const STEM: &[usize] = &[64, 3, 7, 7];

    #[test]
    fn a_backbone_goes_into_its_parts_and_the_rest_is_left_over() {
        let network = sites(&[
            ("first.conv.weight", STEM),
            ("encoder.0.weight", &[64]),
            ("copy.0.weight", &[64]),
            ("decoder.weight", &[9]),
        ]);
        let backbone = Backbone {
            name: "resnet",
            parts: &[("module.conv1", "first.conv"), ("layer1", "encoder"), ("layer1", "copy")],
        };
        let file = offers(&[
            ("conv1.weight", STEM),
            ("layer1.0.weight", &[64]),
            ("layer1.0.num_batches_tracked", &[]),
            // Begins with the letters of a part, not with its name.
            ("layer10.0.weight", &[64]),
            ("fc.weight", &[1000, 512]),
        ]);
        let assigned = part(&network, &backbone, &file).expect("fits");
        assert_eq!(assigned.sources["first.conv.weight"], ["conv1.weight"]);
        assert_eq!(assigned.sources["encoder.0.weight"], ["layer1.0.weight"]);
        assert_eq!(assigned.sources["copy.0.weight"], ["layer1.0.weight"]);
        assert_eq!(assigned.sources.len(), 3);
        assert_eq!(assigned.left_over, ["fc.weight", "layer10.0.weight"]);

        let mut cut = file;
        cut.remove("layer1.0.weight");
        cut.insert("conv1.weight".into(), Offer { shape: vec![64, 1, 7, 7], integers: None });
        let misfit = part(&network, &backbone, &cut).expect_err("incomplete");
        assert_eq!(misfit.mismatch.missing, ["encoder.0.weight", "copy.0.weight"]);
        let text = misfit.to_string();
        assert!(text.contains("conv1.weight (here first.conv.weight): [64, 1, 7, 7] in the file"), "{text}");
    }

    #[test]
    fn every_name_may_mean_a_part() {
        let network = sites(&[("conv1.weight", STEM), ("head.weight", &[4]), ("body.fc.weight", &[4])]);
        let top = Backbone { name: "x", parts: &[("", "")] };
        let assigned = part(&network, &top, &offers(&[("conv1.weight", STEM), ("fc.weight", &[3])]));
        assert_eq!(assigned.expect("fits").left_over, ["fc.weight"]);
        let below = Backbone { name: "x", parts: &[("", "body")] };
        let assigned = part(&network, &below, &offers(&[("fc.weight", &[4])])).expect("fits");
        assert_eq!(assigned.sources["body.fc.weight"], ["fc.weight"]);
    }

    #[test]
    fn mergings_of_newer_files_of_timm_go_to_their_stage() {
        let newer = BTreeSet::from([
            "layers.1.downsample.reduction.weight",
            "layers.3.downsample.reduction.weight",
            "layers.1.blocks.0.norm1.weight",
        ]);
        let named = |name| swin_name(name, &newer);
        assert_eq!(named("layers.1.downsample.norm.bias").as_deref(), Some("layers.0.downsample.norm.bias"));
        assert_eq!(named("layers.1.blocks.0.norm1.weight"), None);
        let older = BTreeSet::from(["layers.0.downsample.reduction.weight"]);
        assert_eq!(swin_name("layers.1.downsample.norm.bias", &older), None);
    }

    #[test]
    fn whole_numbers_that_no_network_knows_are_left_over() {
        let mut file = offers(&[("a.weight", &[4]), ("train_accuracy.total", &[])]);
        if let Some(offer) = file.get_mut("train_accuracy.total") {
            offer.integers = Some("I64");
        }
        let assigned = whole(&sites(&[("a.weight", &[4])]), &[], &file).expect("fits");
        assert_eq!(assigned.left_over, ["train_accuracy.total"]);
    }

    #[test]
    fn aliases_lead_to_the_one_tensor() {
        let network = sites(&[("block.weight", &[4]), ("other.weight", &[4])]);
        let aliases = [("repeat.0", "block"), ("repeat.1", "block")];
        let file = offers(&[("block.weight", &[4]), ("other.weight", &[4]), ("repeat.1.weight", &[4])]);
        let assigned = whole(&network, &aliases, &file).expect("fits");
        assert_eq!(assigned.sources["block.weight"], ["block.weight", "repeat.1.weight"]);
        let alone = offers(&[("repeat.0.weight", &[4]), ("other.weight", &[4])]);
        assert_eq!(
            whole(&network, &aliases, &alone).expect("fits").sources["block.weight"],
            ["repeat.0.weight"]
        );
    }

    #[test]
    fn what_does_not_fit_is_counted_and_ten_of_each_kind_are_named() {
        let names: Vec<String> = (0..30).map(|index| format!("layer.{index}.weight")).collect();
        let shapes: Vec<(&str, &[usize])> = names.iter().map(|name| (name.as_str(), &[2usize][..])).collect();
        let mut file = offers(&[("layer.0.weight", &[3]), ("layer.1.weight", &[2]), ("extra", &[1])]);
        if let Some(offer) = file.get_mut("layer.1.weight") {
            offer.integers = Some("I64");
        }
        let misfit = whole(&sites(&shapes), &[], &file).expect_err("differs");
        assert_eq!((misfit.filled, misfit.mismatch.missing.len()), (0, 28));
        let text = misfit.to_string();
        for line in [
            "28 missing in the file:\n  layer.2.weight\n",
            "  layer.11.weight\n  and 18 more",
            "1 unknown to the network:\n  extra",
            "layer.1.weight: I64",
            "0 of the network's tensors fit",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
