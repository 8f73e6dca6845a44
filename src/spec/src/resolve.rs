//! From checked layers to the resolved experiment.

use serde_json::Value as Json;

use super::axes::{RawAxis, RawMatrix};
use super::experiment::{Departure, Experiment, Mark, Profile, TableSpec};
use super::layers::Layers;
use super::load::Head;
use super::matrix::{DatasetChoice, Matrix, ModelChoice, SettingAxis};
use super::name::Named;
use super::network;
use super::ops::Ops;
use super::pretrained::{self, Pretrained};
use super::protocol::Protocol;
use super::reported;
use super::source::Origin;

/// Everything that was read, without a mistake.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) head: Head,
    pub(super) profile: Profile,
    pub(super) layers: Layers,
    pub(super) raw: RawMatrix,
    /// The tables of `[pretrained]`.
    pub(super) starts: Vec<(Named, Pretrained)>,
    pub(super) table: TableSpec,
    pub(super) ops: Ops,
    pub(super) warnings: Vec<String>,
    pub(super) sources: Vec<Origin>,
}

/// `None` cannot happen for parts that passed every check.
pub(super) fn resolve(parts: Parts) -> Option<Experiment> {
    let Parts { head, mut profile, layers, raw, starts, table, ops, warnings, sources } = parts;
    let protocol = layers.protocol()?;
    let matrix = resolve_matrix(&raw, &profile, &protocol)?;
    // Only what touches this experiment is worth a word in its reports.
    profile.substitutes.retain(|s| matrix.datasets.iter().any(|d| d.asked == s.asked && d.used != d.asked));
    let axes: Vec<(String, Mark, Vec<Json>)> =
        setting_axes(&raw).map(|axis| (axis.name.clone(), axis.mark, values(axis))).collect();
    let mut departures: Vec<Departure> = pretrained_departures(&raw, &starts);
    departures.extend(layers.departures(&axes));
    Some(Experiment {
        name: head.name,
        title: head.title,
        question: head.question,
        profile,
        marks: layers.marks(&axes),
        departures,
        protocol,
        matrix,
        table,
        ops,
        warnings,
        sources,
    })
}

/// Weights that do not start at random: the protocol knows of none.
fn pretrained_departures(raw: &RawMatrix, starts: &[(Named, Pretrained)]) -> Vec<Departure> {
    let mut departures: Vec<Departure> = Vec::new();
    for entry in raw.axis("model").map(|axis| axis.values.as_slice()).unwrap_or_default() {
        let (Some(model), Some(used)) = (entry.value.as_ref().and_then(named), &entry.pretrained) else {
            continue;
        };
        // As it was written, not as it was resolved.
        let file = match pretrained::of_model(starts, &model).filter(|table| *table == used) {
            Some(table) => &table.file,
            None => &used.file,
        };
        departures.push(Departure {
            path: format!("pretrained.{model}"),
            base: "none".into(),
            values: vec![format!("{file} ({})", used.short()).into()],
            by: Mark::Experiment,
        });
    }
    departures
}

fn setting_axes(raw: &RawMatrix) -> impl Iterator<Item = &RawAxis> {
    raw.axes.iter().filter(|axis| !matches!(axis.name.as_str(), "model" | "dataset" | "seed"))
}

fn values(axis: &RawAxis) -> Vec<Json> {
    axis.values.iter().filter_map(|value| value.value.clone()).collect()
}

fn resolve_matrix(raw: &RawMatrix, profile: &Profile, protocol: &Protocol) -> Option<Matrix> {
    let mut matrix = Matrix { zip: raw.zip_names(), ..Matrix::default() };
    for value in raw.axis("model").map(|axis| axis.values.as_slice()).unwrap_or_default() {
        let model = named(value.value.as_ref()?)?;
        let label = match &value.label {
            Some(label) => label.clone(),
            None => model_label(&model),
        };
        matrix.models.push(ModelChoice { model, label, pretrained: value.pretrained.clone() });
    }
    for value in raw.axis("dataset").map(values).unwrap_or_default() {
        let asked = named(&value)?;
        let substitute = profile.substitutes.iter().find(|substitute| substitute.asked == asked);
        let used = substitute.map_or_else(|| asked.clone(), |substitute| substitute.used.clone());
        matrix.datasets.push(DatasetChoice { asked, used });
    }
    for value in raw.axis("seed").map(values).unwrap_or_default() {
        matrix.seeds.push(value.as_u64()?);
    }
    for axis in setting_axes(raw) {
        matrix.settings.push(SettingAxis::new(&axis.name, values(axis), protocol)?);
    }
    matrix.settings.sort_by(|a, b| a.path().cmp(b.path()));
    matrix.zip.retain(|names| names.len() > 1);
    Some(matrix)
}

fn named(value: &Json) -> Option<Named> {
    value.as_str().and_then(|text| Named::parse(text).ok())
}

/// The row of a model that gives no label: as the paper prints it where it does,
/// else the network's label with the options behind it.
pub fn model_label(model: &Named) -> String {
    if let Some(label) = reported::embedded_label(model) {
        return label.to_owned();
    }
    let label = network::find(&model.name).map_or(model.name.as_str(), |network| network.label);
    if model.options.is_empty() {
        return label.to_owned();
    }
    let options: Vec<String> = model.options.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!("{label} ({})", options.join(", "))
}
