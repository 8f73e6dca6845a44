//! The product of the axes, and the union of several plans.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;

use super::cell::Cell;
use super::identity::{Identity, Settings, behind};
use crate::protocol::Protocol;
use crate::{DatasetChoice, Experiment, Matrix};

/// The cells of one or several experiments, each once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Shared by all who speak of them.
    pub cells: Vec<Arc<PlannedCell>>,
}

/// A cell and what the experiments call it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlannedCell {
    /// What is trained and evaluated.
    pub cell: Cell,
    /// Its row in tables: the model's label, with the cell's own settings behind it.
    pub label: String,
    /// The model's label alone.
    pub model_label: String,
    /// The cell's values of the experiment's further axes.
    pub settings: Settings,
    /// What tells it apart from every other cell of its experiment.
    pub identity: Identity,
    /// Names of the experiments that ask for it.
    pub experiments: Vec<String>,
}

impl Plan {
    /// Every cell of an experiment, in the order of the tables.
    pub fn expand(experiment: &Experiment) -> Plan {
        let matrix = &experiment.matrix;
        let tuples = matrix.positions();
        let mut cells = Vec::with_capacity(tuples.len());
        // What the values of the further axes make of the protocol.
        let mut protocols: HashMap<Vec<usize>, (Arc<Protocol>, Settings)> = HashMap::new();
        for tuple in tuples {
            let [dataset, model, settings @ .., seed] = tuple.as_slice() else { continue };
            let (Some(dataset), Some(model), Some(seed)) =
                (matrix.datasets().get(*dataset), matrix.models().get(*model), matrix.seeds().get(*seed))
            else {
                continue;
            };
            let (protocol, own) = match protocols.get(settings) {
                Some((protocol, own)) => (Arc::clone(protocol), own.clone()),
                None => {
                    let mut protocol = experiment.protocol.clone();
                    let own = put(matrix, settings, &mut protocol);
                    let protocol = Arc::new(protocol);
                    protocols.insert(settings.to_vec(), (Arc::clone(&protocol), own.clone()));
                    (protocol, own)
                }
            };
            let cell = Cell {
                model: model.model.clone(),
                dataset: dataset.used.clone(),
                asked: dataset.asked.clone(),
                seed: *seed,
                protocol,
                pretrained: model.pretrained.clone(),
            };
            cells.push(Arc::new(PlannedCell {
                label: model.label.clone() + &behind(&own),
                model_label: model.label.clone(),
                settings: own,
                identity: Identity::of(&cell, experiment),
                experiments: vec![experiment.name.clone()],
                cell,
            }));
        }
        Plan { cells }
    }

    /// The datasets of an experiment with each combination of settings that its axes
    /// give them, whether it has networks or not.
    pub fn datasets(experiment: &Experiment) -> Vec<(&DatasetChoice, Settings, Protocol)> {
        let matrix = &experiment.matrix;
        let mut found = Vec::new();
        for tuple in matrix.dataset_positions() {
            let [dataset, settings @ ..] = tuple.as_slice() else { continue };
            let Some(dataset) = matrix.datasets().get(*dataset) else { continue };
            let mut protocol = experiment.protocol.clone();
            let own = put(matrix, settings, &mut protocol);
            found.push((dataset, own, protocol));
        }
        found
    }

    /// The union: cells in the order of the plans, a repeated one where it first
    /// occurs, under its first label, with the names of all experiments.
    pub fn merge(plans: impl IntoIterator<Item = Plan>) -> Plan {
        let mut cells: Vec<Arc<PlannedCell>> = Vec::new();
        // Protocols hold floats and cannot be hashed: bucket by the rest, then compare.
        let mut buckets: HashMap<(String, String, String, u64), Vec<usize>> = HashMap::new();
        for planned in plans.into_iter().flat_map(|plan| plan.cells) {
            let Cell { model, dataset, asked, seed, .. } = &planned.cell;
            let bucket = buckets
                .entry((model.to_string(), dataset.to_string(), asked.to_string(), *seed))
                .or_default();
            match bucket.iter().find(|i| cells[**i].cell == planned.cell) {
                Some(i) => {
                    let known = &cells[*i].experiments;
                    let new: Vec<String> =
                        planned.experiments.iter().filter(|name| !known.contains(name)).cloned().collect();
                    if !new.is_empty() {
                        Arc::make_mut(&mut cells[*i]).experiments.extend(new);
                    }
                }
                None => {
                    bucket.push(cells.len());
                    cells.push(planned);
                }
            }
        }
        Plan { cells }
    }
}

/// Puts the values of the further axes at these positions into a protocol.
fn put(matrix: &Matrix, positions: &[usize], protocol: &mut Protocol) -> Settings {
    let mut own = Settings::new();
    for (axis, position) in matrix.settings().iter().zip(positions) {
        axis.apply(*position, protocol);
        let value = axis.values().get(*position).cloned().unwrap_or_default();
        own.insert(axis.path().to_owned(), value);
    }
    own
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use dygl_testing::draws;
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{experiment, load_text};

    fn matrix(lines: &[String]) -> String {
        format!("[experiment]\nname='x'\ntitle='x'\nquestion='x'\n[matrix]\n{}\n", lines.join("\n"))
    }

    fn list(values: impl IntoIterator<Item = String>) -> String {
        format!("[{}]", values.into_iter().collect::<Vec<_>>().join(", "))
    }

    #[test]
    fn cells_come_in_table_order() {
        let plan = Plan::expand(&experiment("table2", None, &["model=unet,dyglnet", "seed=1,2"]));
        let cells: Vec<String> = plan.cells.iter().map(|p| p.cell.describe()).collect();
        assert_eq!(
            cells[..5],
            [
                "unet on kvasir-seg, seed 1",
                "unet on kvasir-seg, seed 2",
                "dyglnet on kvasir-seg, seed 1",
                "dyglnet on kvasir-seg, seed 2",
                "unet on cvc-clinicdb, seed 1"
            ]
        );
        assert_eq!(plan.cells.len(), 8);
    }

    #[test]
    fn a_cells_own_settings_are_in_its_protocol_and_label() {
        let sets = ["model=unet,dyglnet", "loss.lambda=0.3,0.5", "augment.crop.scale=[0.5,1.0],[0.7,1.0]"];
        let plan = Plan::expand(&experiment("table2", None, &sets));
        assert_eq!(plan.cells.len(), 16);
        let first = &plan.cells[0];
        assert_eq!(first.label, "Unet (scale [0.5,1.0], lambda 0.3)");
        assert_eq!(first.cell.protocol.loss.lambda, 0.3);
        assert_eq!(plan.cells[2].cell.protocol.augment.crop.scale, [0.7, 1.0]);
    }

    #[test]
    fn merging_keeps_each_cell_once() {
        let table = experiment("table2", None, &["model=unet,dyglnet"]);
        let smaller = experiment("table2", None, &["model=dyglnet"]);
        let mut renamed = smaller.clone();
        renamed.name = "other".into();
        let merged = Plan::merge([Plan::expand(&table), Plan::expand(&renamed)]);
        assert_eq!(merged.cells.len(), 4);
        assert_eq!(merged.cells[1].experiments, ["table2", "other"]);
        let changed = experiment("table2", None, &["model=dyglnet", "loss.lambda=0.4"]);
        assert_eq!(Plan::merge([Plan::expand(&table), Plan::expand(&changed)]).cells.len(), 6);
    }

    #[test]
    fn ten_thousand_cells_take_milliseconds() {
        let seeds = list((0..2500).map(|i| i.to_string()));
        let lines = ["model=['unet','dyglnet']", "dataset=['ph2','tnbc']"]
            .map(String::from)
            .into_iter()
            .chain([format!("seed={seeds}")]);
        let experiment = load_text(&matrix(&lines.collect::<Vec<_>>())).expect("valid");
        let start = Instant::now();
        let plan = Plan::expand(&experiment);
        let elapsed = start.elapsed();
        assert_eq!(plan.cells.len(), 10_000);
        println!("10,000 cells in {elapsed:?}");
        assert!(elapsed.as_millis() < 500, "{elapsed:?}");
    }

    proptest! {
        #![proptest_config(draws(48))]

        #[test]
        fn the_plan_is_the_product_whatever_the_order_of_the_axes(
            seeds in proptest::collection::btree_set(0_u64..1000, 1..5),
            lambdas in proptest::collection::btree_set(0_u32..100, 1..4),
            models in 1_usize..3,
            datasets in 1_usize..4,
            order in Just([0_usize, 1, 2, 3]).prop_shuffle(),
        ) {
            let quoted = |names: &[&str]| list(names.iter().map(|n| format!("'{n}'")));
            let axes = [
                format!("model = {}", quoted(&["unet", "dyglnet"][..models])),
                format!("dataset = {}", quoted(&["ph2", "tnbc", "glas"][..datasets])),
                format!("seed = {}", list(seeds.iter().map(u64::to_string))),
                format!("loss.lambda = {}", list(lambdas.iter().map(|l| format!("{:.2}", f64::from(*l) / 100.0)))),
            ];
            let shuffled: Vec<String> = order.iter().map(|i| axes[*i].clone()).collect();
            let plan = Plan::expand(&load_text(&matrix(&axes)).expect("valid"));
            let other = Plan::expand(&load_text(&matrix(&shuffled)).expect("valid"));
            prop_assert_eq!(plan.cells.len(), models * datasets * seeds.len() * lambdas.len());
            prop_assert_eq!(&plan, &other);
            prop_assert_eq!(&Plan::merge([plan.clone(), other]), &plan);
        }

        #[test]
        fn zipped_axes_advance_together(len in 1_usize..6, seeds in 1_usize..3) {
            let lambdas = list((0..len).map(|i| format!("0.{}", i + 1)));
            let powers = list((0..len).map(|i| format!("{}.5", i)));
            let lines = [
                "model = ['unet']".to_owned(),
                "dataset = ['ph2']".to_owned(),
                format!("seed = {}", list((0..seeds).map(|i| i.to_string()))),
                format!("loss.lambda = {lambdas}"),
                format!("schedule.power = {powers}"),
                "zip = [['loss.lambda', 'schedule.power']]".to_owned(),
            ];
            let plan = Plan::expand(&load_text(&matrix(&lines)).expect("valid"));
            prop_assert_eq!(plan.cells.len(), len * seeds);
            for planned in &plan.cells {
                let protocol = &planned.cell.protocol;
                let position = (protocol.loss.lambda * 10.0).round() - 1.0;
                prop_assert_eq!(protocol.schedule.power, position + 0.5);
            }
        }
    }
}
