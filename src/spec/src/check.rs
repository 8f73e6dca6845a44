//! What no value can be blamed for alone: sizes that a network cannot take,
//! a warm-up longer than the training, cells that occur twice.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value as Json;

use super::axes::{RawAxis, RawMatrix, RawValue};
use super::choice::DatasetNames;
use super::diagnostic::Diagnostic;
use super::division;
use super::experiment::Substitute;
use super::layers::Layers;
use super::matrix::{self, MAX_CELLS};
use super::name::Named;
use super::network;
use super::pretrained::Pretrained;
use super::protocol::{Exposure, Protocol};
use super::resolve::model_label;
use super::schema;
use super::selecting;
use super::source::At;

/// A value of one cell and its place.
pub(super) type Placed<'a> = (&'a Json, At);

/// Runs every check. `matrix_at` is the header of `[matrix]`, `substitutes` are those of
/// the profile.
pub(super) fn check(
    layers: &Layers,
    raw: &RawMatrix,
    matrix_at: At,
    datasets: &dyn DatasetNames,
    substitutes: &[Substitute],
    found: &mut Vec<Diagnostic>,
) -> Vec<String> {
    let lengths = raw.lengths();
    let zip = raw.zip_names();
    let cells = matrix::count(&lengths, &zip);
    if cells.is_none_or(|cells| cells > MAX_CELLS) {
        let axes: Vec<String> = lengths.iter().map(|(name, len)| format!("{name} {len}")).collect();
        let cells = cells.map_or("more cells than can be counted".to_owned(), |n| format!("{n} cells"));
        found.push(
            Diagnostic::new(matrix_at, format!("the matrix has {cells}; at most {MAX_CELLS} are allowed"))
                .label(axes.join(" x "))
                .help("split the experiment, or zip axes that belong together"),
        );
        return Vec::new();
    }
    let view = View { layers, raw, zip };
    duplicates(&view, found);
    labels(raw, found);
    sizes(&view, found);
    training(&view, found);
    division::check(&view, found);
    selecting::check(&view, datasets, substitutes, found);
    warnings(&view)
}

/// The values of every cell, each with its place.
pub(super) struct View<'a> {
    layers: &'a Layers,
    raw: &'a RawMatrix,
    zip: Vec<Vec<String>>,
}

impl<'a> View<'a> {
    /// Every combination of the values of some axes or settings that occurs in a
    /// cell; those with a refused value are left out.
    pub(super) fn combinations(&self, names: &[&str]) -> Vec<Vec<Placed<'a>>> {
        let lengths: Vec<(&str, usize)> = names
            .iter()
            .map(|name| (*name, self.raw.axis(name).map_or(1, |axis| axis.values.len())))
            .collect();
        let place = |name: &str, position: usize| -> Option<Placed<'a>> {
            match self.raw.axis(name) {
                Some(axis) => {
                    axis.values.get(position).and_then(|v| v.value.as_ref().map(|value| (value, v.at)))
                }
                None => self.layers.get(name).map(|held| (&held.value, held.at)),
            }
        };
        matrix::tuples(&lengths, &self.zip)
            .into_iter()
            .filter_map(|tuple| names.iter().zip(tuple).map(|(name, i)| place(name, i)).collect())
            .collect()
    }

    /// The same with the protocol that each combination makes of its settings.
    pub(super) fn protocols(&self, names: &[&str]) -> Vec<(Protocol, Vec<Placed<'a>>)> {
        let Some(base) = self.layers.protocol() else { return Vec::new() };
        let of = |values: Vec<Placed<'a>>| {
            let mut protocol = base.clone();
            for (name, (value, _)) in names.iter().zip(&values) {
                if let Some(setting) = schema::setting(name) {
                    setting.assign(&mut protocol, value).ok()?;
                }
            }
            Some((protocol, values))
        };
        self.combinations(names).into_iter().filter_map(of).collect()
    }
}

/// A mistake between two values: points at the one that is not of `protocol.toml`.
pub(super) fn between(view: &View<'_>, first: (At, &str), second: (At, &str), message: String) -> Diagnostic {
    let (blamed, other) = if view.layers.is_base(first.0) && !view.layers.is_base(second.0) {
        (second, first)
    } else {
        (first, second)
    };
    Diagnostic::new(blamed.0, message).label(blamed.1).related(other.0, other.1)
}

/// Two positions of an axis (or of zipped axes) with equal values are equal cells.
fn duplicates(view: &View<'_>, found: &mut Vec<Diagnostic>) {
    let free = view.raw.axes.iter().filter(|axis| !view.zip.iter().any(|zip| zip.contains(&axis.name)));
    let mut groups: Vec<Vec<&RawAxis>> = free.map(|axis| vec![axis]).collect();
    groups.extend(view.zip.iter().map(|zip| zip.iter().filter_map(|name| view.raw.axis(name)).collect()));
    for group in groups.iter().filter(|group| !group.is_empty()) {
        let len = group.iter().map(|axis| axis.values.len()).min().unwrap_or_default();
        let mut seen: HashMap<String, At> = HashMap::new();
        for i in 0..len {
            let describe = |axis: &&RawAxis| {
                let RawValue { value, pretrained, .. } = &axis.values[i];
                let start = pretrained.as_ref().map_or(String::new(), |p| format!(" from {}", p.sha256));
                value.as_ref().map(|value| format!("{}={value}{start}", axis.name))
            };
            let Some(key) = group.iter().map(describe).collect::<Option<Vec<String>>>() else {
                continue;
            };
            let at = group[0].values[i].at;
            let key = key.join(" ");
            if let Some(first) = seen.get(&key) {
                found.push(
                    Diagnostic::new(at, format!("the same cells twice: {}", key.replace('"', "")))
                        .label("again")
                        .related(*first, "first here")
                        .help("remove one of the two; an option that states its default changes nothing"),
                );
            } else {
                seen.insert(key, at);
            }
        }
    }
}

/// Two models under one label would share a row of the table.
fn labels(raw: &RawMatrix, found: &mut Vec<Diagnostic>) {
    let mut seen: HashMap<String, (Named, Option<Pretrained>, At)> = HashMap::new();
    let shown = |named: &Named, pretrained: &Option<Pretrained>| match pretrained {
        Some(pretrained) => format!("{named}, from {}", pretrained.short()),
        None => named.to_string(),
    };
    for entry in raw.axis("model").map(|axis| axis.values.as_slice()).unwrap_or_default() {
        let named = entry.value.as_ref().and_then(Json::as_str).and_then(|text| Named::parse(text).ok());
        let Some(named) = named else { continue };
        let label = entry.label.clone().unwrap_or_else(|| model_label(&named));
        match seen.get(&label) {
            Some((other, start, first)) if *other != named || *start != entry.pretrained => found.push(
                Diagnostic::new(entry.at, format!("two networks have the label `{label}`"))
                    .label(shown(&named, &entry.pretrained))
                    .related(*first, shown(other, start))
                    .help("give one of them another: { name = \"NAME\", label = \"LABEL\" }"),
            ),
            Some(_) => {}
            None => {
                seen.insert(label, (named, entry.pretrained.clone(), entry.at));
            }
        }
    }
}

fn sizes(view: &View<'_>, found: &mut Vec<Diagnostic>) {
    let mut reported = BTreeSet::new();
    for pair in view.combinations(&["model", "image.size"]) {
        let [(model, model_at), (size, size_at)] = pair.as_slice() else { continue };
        let Some(named) = model.as_str().and_then(|text| Named::parse(text).ok()) else { continue };
        let (Some(network), Some(side)) = (network::find(&named.name), size.as_u64()) else { continue };
        let side = usize::try_from(side).unwrap_or(usize::MAX);
        let Err(nearest) = network.check_size(side) else { continue };
        if !reported.insert((network.name, side)) {
            continue;
        }
        let (multiple, least) = (network.size_multiple, network.size_min);
        let rule = if multiple > 1 { format!("a multiple of {multiple} and ") } else { String::new() };
        found.push(
            between(
                view,
                (*size_at, "this size"),
                (*model_at, "this network"),
                format!(
                    "`{}` cannot take images of {side} px; the nearest valid size is {nearest}",
                    network.name
                ),
            )
            .help(format!("height and width must be {rule}at least {least}")),
        );
    }
}

fn training(view: &View<'_>, found: &mut Vec<Diagnostic>) {
    let mut places = BTreeSet::new();
    // Combinations repeat a place; one mistake there is enough.
    let mut push = |diagnostic: Diagnostic| {
        if places.insert(diagnostic.at.map(|at| (at.source, at.start))) {
            found.push(diagnostic);
        }
    };
    for pair in view.combinations(&["schedule.warmup_epochs", "train.epochs"]) {
        let [(warmup, warmup_at), (epochs, epochs_at)] = pair.as_slice() else { continue };
        if warmup.as_u64() >= epochs.as_u64() {
            push(
                between(
                    view,
                    (*warmup_at, "epochs of the warm-up"),
                    (*epochs_at, "epochs of the training"),
                    format!("a warm-up of {warmup} epochs does not end within {epochs}"),
                )
                .help("set schedule.warmup_epochs beside train.epochs; 0 switches the warm-up off"),
            );
        }
    }
    for values in view.combinations(&["train.drop_last", "train.images_per_epoch", "train.batch_size"]) {
        let [(drop, _), (images, images_at), (batch, batch_at)] = values.as_slice() else { continue };
        if **drop == true && images.as_u64() > Some(0) && images.as_u64() < batch.as_u64() {
            push(
                between(
                    view,
                    (*images_at, "images of an epoch"),
                    (*batch_at, "images of a batch"),
                    format!("with `train.drop_last`, {images} images make no full batch of {batch}"),
                )
                .help("raise train.images_per_epoch, lower train.batch_size, or keep the last batch"),
            );
        }
    }
}

/// Allowed, but to be said beside the numbers.
fn warnings(view: &View<'_>) -> Vec<String> {
    let paths = ["selection.rule", "selection.part", "selection.every", "evaluate.part"];
    let exposures: BTreeSet<Exposure> =
        view.protocols(&paths).iter().filter_map(|(protocol, _)| protocol.exposure()).collect();
    exposures.into_iter().map(|exposure| exposure.note().to_owned()).collect()
}
