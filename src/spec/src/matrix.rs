//! The axes of an experiment and which of them advance together.

use serde::Serialize;
use serde_json::Value as Json;

use super::name::Named;
use super::pretrained::Pretrained;
use super::protocol::Protocol;
use super::schema;

/// More cells than this are refused before anything is allocated for them.
pub const MAX_CELLS: usize = 100_000;

/// A model of the matrix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelChoice {
    /// Canonical: defaults left out.
    pub model: Named,
    /// Its row in tables.
    pub label: String,
    /// What its weights start from, if not at random.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pretrained: Option<Pretrained>,
}

/// A dataset of the matrix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DatasetChoice {
    /// The dataset that the experiment asks for.
    pub asked: Named,
    /// What the profile puts in its place; else the same.
    pub used: Named,
}

/// A further axis: a setting of the protocol and its values.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SettingAxis {
    path: String,
    values: Vec<Json>,
}

impl SettingAxis {
    /// `None` unless every value has been checked to fit the setting.
    pub(super) fn new(path: &str, values: Vec<Json>, trial: &Protocol) -> Option<Self> {
        let setting = schema::setting(path)?;
        let mut trial = trial.clone();
        for value in &values {
            setting.assign(&mut trial, value).ok()?;
        }
        Some(Self { path: path.to_owned(), values })
    }

    /// `loss.lambda`
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Each checked to fit the setting, in the order of the experiment.
    pub fn values(&self) -> &[Json] {
        &self.values
    }

    /// Puts a value of the axis into a protocol.
    pub fn apply(&self, position: usize, protocol: &mut Protocol) {
        if let (Some(setting), Some(value)) = (schema::setting(&self.path), self.values.get(position)) {
            // Cannot fail: `new` has assigned every value once.
            let _ = setting.assign(protocol, value);
        }
    }
}

/// The axes of an experiment.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Matrix {
    pub(super) models: Vec<ModelChoice>,
    pub(super) datasets: Vec<DatasetChoice>,
    pub(super) seeds: Vec<u64>,
    /// Sorted by path.
    pub(super) settings: Vec<SettingAxis>,
    /// Names of the axes that advance together.
    pub(super) zip: Vec<Vec<String>>,
}

impl Matrix {
    /// The networks, in the order of the experiment.
    pub fn models(&self) -> &[ModelChoice] {
        &self.models
    }

    /// The datasets, in the order of the experiment.
    pub fn datasets(&self) -> &[DatasetChoice] {
        &self.datasets
    }

    /// The seeds, in the order of the experiment.
    pub fn seeds(&self) -> &[u64] {
        &self.seeds
    }

    /// The further axes, sorted by path.
    pub fn settings(&self) -> &[SettingAxis] {
        &self.settings
    }

    /// Names and lengths of all axes: dataset, model, settings, seed. This is also
    /// the order of [`Matrix::positions`].
    pub fn axes(&self) -> Vec<(&str, usize)> {
        let mut axes = vec![("dataset", self.datasets.len()), ("model", self.models.len())];
        axes.extend(self.settings.iter().map(|axis| (axis.path.as_str(), axis.values.len())));
        axes.push(("seed", self.seeds.len()));
        axes
    }

    /// One tuple of positions for each cell, in the order of [`Matrix::axes`].
    pub fn positions(&self) -> Vec<Vec<usize>> {
        let axes = self.axes();
        tuples(&axes, &self.zip)
    }

    /// One tuple of positions, along datasets and settings, for each combination of
    /// them that occurs in a cell, or would if there were networks and seeds.
    pub fn dataset_positions(&self) -> Vec<Vec<usize>> {
        let mut axes = vec![("dataset", self.datasets.len())];
        axes.extend(self.settings.iter().map(|axis| (axis.path.as_str(), axis.values.len())));
        tuples(&axes, &self.zip)
    }
}

/// Positions along `axes` for every combination, zipped axes advancing together;
/// sorted. Empty if an axis is empty.
pub(super) fn tuples<N: AsRef<str>>(axes: &[(N, usize)], zip: &[Vec<String>]) -> Vec<Vec<usize>> {
    let groups = groups(axes, zip);
    let count = groups.iter().map(|(_, len)| len).product();
    let mut tuples = Vec::with_capacity(count);
    for index in 0..count {
        let mut rest = index;
        let mut tuple = vec![0; axes.len()];
        for (members, len) in groups.iter().rev() {
            for member in members {
                tuple[*member] = rest % len;
            }
            rest /= len;
        }
        tuples.push(tuple);
    }
    tuples.sort_unstable();
    tuples
}

/// Number of combinations; `None` beyond what can be counted.
pub(super) fn count<N: AsRef<str>>(axes: &[(N, usize)], zip: &[Vec<String>]) -> Option<usize> {
    groups(axes, zip).iter().try_fold(1_usize, |product, (_, len)| product.checked_mul(*len))
}

/// Axes that advance as one, with their common (shortest) length.
fn groups<N: AsRef<str>>(axes: &[(N, usize)], zip: &[Vec<String>]) -> Vec<(Vec<usize>, usize)> {
    let mut groups: Vec<(Option<usize>, Vec<usize>, usize)> = Vec::new();
    for (member, (name, len)) in axes.iter().enumerate() {
        let zipped = zip.iter().position(|names| names.iter().any(|n| n == name.as_ref()));
        match groups.iter_mut().find(|(id, ..)| zipped.is_some() && *id == zipped) {
            Some((_, members, common)) => {
                members.push(member);
                *common = (*common).min(*len);
            }
            None => groups.push((zipped, vec![member], *len)),
        }
    }
    groups.into_iter().map(|(_, members, len)| (members, len)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_axes_multiply_and_zipped_ones_advance() {
        let axes = [("a", 2), ("b", 3), ("c", 2)];
        assert_eq!(tuples(&axes, &[]).len(), 12);
        let zip = vec![vec!["c".to_owned(), "a".to_owned()]];
        let zipped = tuples(&axes, &zip);
        assert_eq!(zipped.len(), 6);
        assert!(zipped.iter().all(|t| t[0] == t[2]));
        assert!(tuples(&[("a", 2), ("b", 0)], &[]).is_empty());
    }

    #[test]
    fn counting_does_not_overflow() {
        assert_eq!(count(&[("a", usize::MAX), ("b", 2)], &[]), None);
        assert_eq!(count(&[("a", 1000), ("b", 1000), ("c", 1000)], &[]), Some(1_000_000_000));
    }
}
