//! What tells a cell apart from every other: network, dataset, seed, first weights and
//! its own settings. Lists, locks, filters and reports ask here; none of them finds a
//! result by a part of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value as Json;

use super::cell::Cell;
use super::expand::PlannedCell;
use crate::experiment::plain;
use crate::{Experiment, schema};

/// Settings of the protocol by path.
pub type Settings = BTreeMap<String, Json>;

/// The identity of a cell. Within one experiment it is injective over settings: two
/// cells with one identity have one protocol.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Identity {
    /// The network with its options, defaults left out.
    pub model: String,
    /// The dataset that is used.
    pub dataset: String,
    /// Seed of the training.
    pub seed: u64,
    /// SHA-256 of the weights that training started from, if any.
    pub pretrained: Option<String>,
    /// The settings that are not those of `protocol.toml`; `None` where nobody wrote
    /// them down (locks of format 1).
    pub settings: Option<Settings>,
}

impl Identity {
    /// Of a cell of an experiment.
    pub fn of(cell: &Cell, experiment: &Experiment) -> Self {
        let mut settings = Settings::new();
        for departure in &experiment.departures {
            // Weights to start from are a departure, too, but no setting of the protocol.
            let Some(setting) = schema::setting(&departure.path) else { continue };
            let value = setting.value(&cell.protocol);
            if value != departure.base {
                settings.insert(departure.path.clone(), value);
            }
        }
        Self {
            model: cell.model.to_string(),
            dataset: cell.dataset.to_string(),
            seed: cell.seed,
            pretrained: cell.pretrained.as_ref().map(|pretrained| pretrained.sha256.clone()),
            settings: Some(settings),
        }
    }

    /// Whether all but the settings is the same.
    pub fn is_namesake(&self, other: &Self) -> bool {
        (&self.model, &self.dataset, self.seed, &self.pretrained)
            == (&other.model, &other.dataset, other.seed, &other.pretrained)
    }

    /// For people; `apart` are the settings that tell cells apart (see [`apart`]).
    pub fn describe(&self, apart: &BTreeSet<String>) -> String {
        match &self.settings {
            Some(settings) => self.describe_with(settings, apart),
            None => self.describe_with(&Settings::new(), apart),
        }
    }

    /// The same with the values of all settings, the protocol's own among them.
    pub fn describe_with(&self, values: &Settings, apart: &BTreeSet<String>) -> String {
        let own = words(values.iter().filter(|(path, _)| apart.contains(*path)));
        let start = self.pretrained.as_deref();
        sentence(&self.model, start, &self.dataset, self.seed, &own)
    }

    /// What tells it apart from its namesakes in a table: its settings in `apart` and
    /// its first weights.
    pub fn variant(&self, apart: &BTreeSet<String>) -> String {
        let settings = self.settings.iter().flatten().filter(|(path, _)| apart.contains(*path));
        let mut words = vec![words(settings)];
        words.extend(self.pretrained.as_deref().map(|sha256| format!("from {}", short(sha256))));
        words.retain(|word| !word.is_empty());
        words.join(", ")
    }

    /// The order of cells in a lock.
    pub fn place(&self) -> (&str, &str, u64, Option<&str>, Vec<String>) {
        let settings = self.settings.iter().flatten();
        let settings = settings.map(|(path, value)| format!("{path} {}", plain(value))).collect();
        (&self.model, &self.dataset, self.seed, self.pretrained.as_deref(), settings)
    }
}

/// The settings in which cells differ. A setting that some lack (they have the
/// protocol's value) counts as different.
pub fn apart<'a>(cells: impl IntoIterator<Item = &'a Identity>) -> BTreeSet<String> {
    let known: Vec<&Settings> = cells.into_iter().filter_map(|cell| cell.settings.as_ref()).collect();
    let paths: BTreeSet<&String> = known.iter().flat_map(|settings| settings.keys()).collect();
    let differs = |path: &&String| {
        known.windows(2).any(|pair| pair[0].get(path.as_str()) != pair[1].get(path.as_str()))
    };
    paths.into_iter().filter(differs).cloned().collect()
}

/// What a cell is called in a list: no two different cells of one list share a name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CellName {
    /// `unet on kvasir-seg, seed 42 (loss.lambda 0.3)`
    pub full: String,
    /// Its row in tables, with all of `settings` behind the network's label.
    pub label: String,
    /// The settings that are shown: those of the experiment's axes, and what else
    /// tells the cell apart from another of the list.
    pub settings: Settings,
}

impl CellName {
    /// `loss.lambda 0.3, train.epochs 6`
    pub fn words(&self) -> String {
        words(&self.settings)
    }
}

/// The names of the cells of a list, in its order.
pub fn names(cells: &[Arc<PlannedCell>]) -> Vec<CellName> {
    let mut shown: Vec<Settings> = cells.iter().map(|planned| planned.settings.clone()).collect();
    let full = |planned: &PlannedCell, settings: &Settings, with_asked: bool| {
        let cell = &planned.cell;
        let start = cell.pretrained.as_ref().map(|pretrained| pretrained.sha256.as_str());
        let dataset = match with_asked && cell.is_substituted() {
            true => format!("{} (for {})", cell.dataset, cell.asked),
            false => cell.dataset.to_string(),
        };
        sentence(&cell.model.to_string(), start, &dataset, cell.seed, &words(settings))
    };
    // Of several experiments, cells may differ in more than the axes of either.
    for twins in twins(cells.iter().zip(&shown).map(|(planned, settings)| full(planned, settings, true))) {
        let protocols: Vec<_> = twins.iter().map(|place| &cells[*place].cell.protocol).collect();
        let differing = schema::SETTINGS.iter().filter(|setting| {
            protocols.iter().any(|other| setting.value(other) != setting.value(protocols[0]))
        });
        for setting in differing {
            for place in &twins {
                shown[*place].insert(setting.path.to_owned(), setting.value(&cells[*place].cell.protocol));
            }
        }
    }
    let mut all: Vec<String> =
        cells.iter().zip(&shown).map(|(planned, settings)| full(planned, settings, false)).collect();
    // A profile may put one dataset in the place of two.
    for place in twins(all.iter().cloned()).into_iter().flatten() {
        all[place] = full(&cells[place], &shown[place], true);
    }
    let label = |planned: &PlannedCell, settings: &Settings| {
        let more = settings.iter().filter(|(path, _)| !planned.settings.contains_key(*path));
        planned.model_label.clone() + &behind(planned.settings.iter().chain(more))
    };
    let named = cells.iter().zip(shown).zip(all);
    named
        .map(|((planned, settings), full)| CellName { full, label: label(planned, &settings), settings })
        .collect()
}

/// The places of equal texts, as far as there are any.
fn twins(texts: impl Iterator<Item = String>) -> Vec<Vec<usize>> {
    let mut places: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    texts.enumerate().for_each(|(place, text)| places.entry(text).or_default().push(place));
    places.into_values().filter(|places| places.len() > 1).collect()
}

/// ` (scale [0.5,1.0], lambda 0.3)` behind a label; nothing without settings.
pub(super) fn behind<'a>(settings: impl IntoIterator<Item = (&'a String, &'a Json)>) -> String {
    let words = settings.into_iter().map(|(path, value)| format!("{} {}", schema::short(path), plain(value)));
    let words: Vec<String> = words.collect();
    if words.is_empty() { String::new() } else { format!(" ({})", words.join(", ")) }
}

fn words<'a>(settings: impl IntoIterator<Item = (&'a String, &'a Json)>) -> String {
    let words = settings.into_iter().map(|(path, value)| format!("{path} {}", plain(value)));
    words.collect::<Vec<_>>().join(", ")
}

/// `unet from 0123456789ab on kvasir-seg, seed 42 (loss.lambda 0.3)`
pub(super) fn sentence(model: &str, start: Option<&str>, dataset: &str, seed: u64, settings: &str) -> String {
    let start = start.map_or(String::new(), |sha256| format!(" from {}", short(sha256)));
    let settings = if settings.is_empty() { String::new() } else { format!(" ({settings})") };
    format!("{model}{start} on {dataset}, seed {seed}{settings}")
}

fn short(sha256: &str) -> &str {
    sha256.get(..12).unwrap_or(sha256)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use dygl_testing::draws;
    use proptest::prelude::*;

    use super::super::Plan;
    use super::*;
    use crate::testing::{experiment, load_with};

    fn fulls(cells: &[Arc<PlannedCell>]) -> Vec<String> {
        names(cells).into_iter().map(|name| name.full).collect()
    }

    #[test]
    fn names_of_a_sweep_hold_the_value_of_each_cell() {
        let set = ["model=unet", "dataset=kvasir-seg", "loss.lambda=0.3,0.5"];
        let plan = Plan::expand(&experiment("table2", None, &set));
        let found = names(&plan.cells);
        assert_eq!(found[0].full, "unet on kvasir-seg, seed 42 (loss.lambda 0.3)");
        // The protocol's own value, too.
        assert_eq!(found[1].full, "unet on kvasir-seg, seed 42 (loss.lambda 0.5)");
        assert_eq!((found[0].label.as_str(), &plan.cells[0].label), ("Unet (lambda 0.3)", &found[0].label));
        assert_eq!(found[1].settings["loss.lambda"], 0.5);
        // One cell of a sweep alone is called the same.
        assert_eq!(names(&plan.cells[1..]), found[1..]);
    }

    #[test]
    fn cells_of_two_experiments_are_told_apart_by_what_neither_sweeps() {
        let set = ["model=unet", "dataset=kvasir-seg"];
        let other = [set[0], set[1], "train.batch_size=8"];
        let plans = [&set[..], &other].map(|set| Plan::expand(&experiment("table2", None, set)));
        assert_eq!(fulls(&plans[0].cells), ["unet on kvasir-seg, seed 42"]);
        assert_eq!(
            fulls(&Plan::merge(plans).cells),
            [
                "unet on kvasir-seg, seed 42 (train.batch_size 16)",
                "unet on kvasir-seg, seed 42 (train.batch_size 8)"
            ]
        );
    }

    #[test]
    fn one_dataset_in_the_place_of_two_says_for_which() {
        let plan = Plan::expand(&experiment("table2", Some("smoke"), &["model=unet"]));
        let mut cells = plan.cells[..1].to_vec();
        cells.push(cells[0].clone());
        Arc::make_mut(&mut cells[1]).cell.asked = crate::name::Named::plain("other");
        let found = fulls(&cells);
        assert!(found[0].contains(" (for kvasir-seg), seed") && found[1].contains(" (for other), seed"));
    }

    proptest! {
        #![proptest_config(draws(48))]

        /// Whatever is swept, two cells share an identity only if they are one cell, and
        /// no two have one name.
        #[test]
        fn the_identity_is_injective_over_settings(
            rates in proptest::collection::btree_set(1_u32..60, 1..3),
            epochs in proptest::collection::btree_set(20_u64..200, 1..3),
            folds in proptest::collection::btree_set(0_u64..5, 1..3),
            thresholds in proptest::collection::btree_set(1_u32..100, 1..3),
            low in 1_u32..10,
            seeds in 1_u64..3,
        ) {
            let list = |values: Vec<String>| values.join(",");
            let hundredth = |value: &u32| format!("{}", f64::from(*value) / 100.0);
            let set = [
                "model=unet,unet,variant=table-exact".to_owned(),
                "dataset=kvasir-seg,ph2".to_owned(),
                format!("seed={}", list((0..seeds).map(|seed| seed.to_string()).collect())),
                format!("optimizer.learning_rate={}", list(rates.iter().map(|rate| format!("{rate}e-4")).collect())),
                format!("train.epochs={}", list(epochs.iter().map(u64::to_string).collect())),
                "split.source=k-fold".to_owned(),
                format!("split.fold={}", list(folds.iter().map(u64::to_string).collect())),
                format!("evaluate.threshold={}", list(thresholds.iter().map(hundredth).collect())),
                format!("augment.crop.scale=[0.{low},1.0],[0.0{low},1.0]"),
            ];
            let set: Vec<&str> = set.iter().map(String::as_str).collect();
            let text = "[experiment]\nname='x'\ntitle='x'\nquestion='x'\n\
                        [matrix]\nmodel=['unet']\ndataset=['ph2']\nseed=[1]\n[protocol]\nschedule.warmup_epochs=3\n";
            let cells = Plan::expand(&load_with(text, None, &set).expect("valid")).cells;
            for (place, one) in cells.iter().enumerate() {
                for other in &cells[..place] {
                    prop_assert_ne!(&one.identity, &other.identity);
                }
            }
            let found = names(&cells);
            let distinct: HashSet<&str> = found.iter().map(|name| name.full.as_str()).collect();
            prop_assert_eq!(distinct.len(), cells.len());
            // Below another list, too: every cell alone has the name that it has among all.
            for (planned, name) in cells.iter().zip(&found) {
                prop_assert_eq!(&names(std::slice::from_ref(planned))[0], name);
            }
        }
    }
}
