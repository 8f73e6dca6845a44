//! Which cell a locked result was accepted of.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use crate::plan::PlannedCell;
use crate::spec::experiment::{Mark, plain};
use crate::spec::{Experiment, schema};

/// The settings of a cell that are not those of `protocol.toml`, by path.
pub type Settings = BTreeMap<String, Json>;

/// What tells a cell apart from every other.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    pub model: String,
    pub dataset: String,
    pub seed: u64,
    /// SHA-256 of the weights that training started from, if any.
    pub pretrained: Option<String>,
    /// `None` where nobody wrote them down (format 1).
    pub settings: Option<Settings>,
}

/// A cell of today, as locks know cells.
#[derive(Debug, Clone)]
pub struct Subject {
    pub identity: Identity,
    /// The dataset that was asked for, where it is not the one that is used.
    pub asked: Option<String>,
    /// Whether an axis or the command line gave it a setting of its own.
    pub has_own_settings: bool,
    /// All values of the settings that somewhere depart from the protocol.
    values: Settings,
}

impl Subject {
    pub fn of(planned: &PlannedCell, experiment: &Experiment) -> Self {
        let cell = &planned.cell;
        let protocol = serde_json::to_value(&cell.protocol).unwrap_or_default();
        let (mut settings, mut values) = (Settings::new(), Settings::new());
        let mut has_own_settings = !planned.settings.is_empty();
        // Weights to start from are a departure, too, but no setting of the protocol.
        for departure in experiment.departures.iter().filter(|d| schema::setting(&d.path).is_some()) {
            let value = departure.path.split('.').fold(&protocol, |value, name| &value[name]).clone();
            if value != departure.base {
                has_own_settings |= departure.by == Mark::CommandLine;
                settings.insert(departure.path.clone(), value.clone());
            }
            values.insert(departure.path.clone(), value);
        }
        let identity = Identity {
            model: cell.model.to_string(),
            dataset: cell.dataset.to_string(),
            seed: cell.seed,
            pretrained: cell.pretrained.as_ref().map(|pretrained| pretrained.sha256.clone()),
            settings: Some(settings),
        };
        let asked = cell.is_substituted().then(|| cell.asked.to_string());
        Self { identity, asked, has_own_settings, values }
    }

    /// For people; `apart` are the settings that tell cells apart (see [`apart`]).
    pub fn describe(&self, apart: &BTreeSet<String>) -> String {
        self.identity.name_with(&self.values, apart)
    }
}

impl Identity {
    /// Whether all but the settings is the same.
    pub fn is_namesake(&self, other: &Self) -> bool {
        (&self.model, &self.dataset, self.seed, &self.pretrained)
            == (&other.model, &other.dataset, other.seed, &other.pretrained)
    }

    /// For people; `apart` are the settings that tell cells apart (see [`apart`]).
    pub fn describe(&self, apart: &BTreeSet<String>) -> String {
        match &self.settings {
            Some(settings) => self.name_with(settings, apart),
            None => self.name_with(&Settings::new(), apart),
        }
    }

    fn name_with(&self, values: &Settings, apart: &BTreeSet<String>) -> String {
        let start =
            self.pretrained.as_deref().map_or(String::new(), |sha256| format!(" from {}", short(sha256)));
        let own = words(values, apart).join(", ");
        let own = if own.is_empty() { own } else { format!(" ({own})") };
        format!("{}{start} on {}, seed {}{own}", self.model, self.dataset, self.seed)
    }

    /// What tells it apart from its namesakes in a table: its settings in `apart` and
    /// its first weights.
    pub fn variant(&self, apart: &BTreeSet<String>) -> String {
        let settings = self.settings.clone().unwrap_or_default();
        let mut words = words(&settings, apart);
        words.extend(self.pretrained.as_deref().map(|sha256| format!("from {}", short(sha256))));
        words.join(", ")
    }

    /// The order of cells in a lock.
    pub fn place(&self) -> (&str, &str, u64, Option<&str>, Vec<String>) {
        let settings = self.settings.iter().flatten();
        let settings = settings.map(|(path, value)| format!("{path} {}", plain(value))).collect();
        (&self.model, &self.dataset, self.seed, self.pretrained.as_deref(), settings)
    }
}

fn short(sha256: &str) -> &str {
    sha256.get(..12).unwrap_or(sha256)
}

fn words(values: &Settings, apart: &BTreeSet<String>) -> Vec<String> {
    let own = values.iter().filter(|(path, _)| apart.contains(*path));
    own.map(|(path, value)| format!("{path} {}", plain(value))).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use crate::spec::testing::experiment;

    fn subjects(set: &[&str]) -> Vec<Subject> {
        let experiment = experiment("table2", None, set);
        Plan::expand(&experiment).cells.iter().map(|planned| Subject::of(planned, &experiment)).collect()
    }

    const ONE: [&str; 2] = ["model=unet", "dataset=kvasir-seg"];

    #[test]
    fn a_setting_makes_another_cell_however_it_was_given() {
        let plain = subjects(&ONE);
        let single = subjects(&[ONE[0], ONE[1], "loss.lambda=0.3"]);
        let sweep = subjects(&[ONE[0], ONE[1], "loss.lambda=0.3,0.5"]);
        assert_eq!((plain.len(), single.len(), sweep.len()), (1, 1, 2));
        assert_eq!(sweep[0].identity, single[0].identity);
        // The protocol's own value is no setting of its own.
        assert_eq!(sweep[1].identity, plain[0].identity);
        assert_ne!(sweep[0].identity, sweep[1].identity);
        assert!(single[0].has_own_settings && sweep[1].has_own_settings && !plain[0].has_own_settings);
    }

    #[test]
    fn names_tell_a_sweep_apart_and_leave_out_what_all_share() {
        let sweep = subjects(&[ONE[0], ONE[1], "loss.lambda=0.3,0.5", "train.batch_size=8"]);
        let apart = apart(sweep.iter().map(|subject| &subject.identity));
        assert_eq!(sweep[0].describe(&apart), "unet on kvasir-seg, seed 42 (loss.lambda 0.3)");
        assert_eq!(sweep[1].describe(&apart), "unet on kvasir-seg, seed 42 (loss.lambda 0.5)");
        assert_eq!(sweep[0].identity.variant(&apart), "loss.lambda 0.3");
        assert_eq!(sweep[1].identity.variant(&apart), "");
    }
}
