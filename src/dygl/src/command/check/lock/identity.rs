//! A cell of today as locks know cells.

use std::collections::BTreeSet;

use dygl_spec::experiment::Mark;
use dygl_spec::plan::{Identity, PlannedCell, Settings};
use dygl_spec::{Experiment, schema};

/// A cell of today, as locks know cells.
#[derive(Debug, Clone)]
pub struct Subject {
    pub identity: Identity,
    /// The dataset that was asked for, where it is not the one that is used.
    pub asked: Option<String>,
    /// Whether it is one of several cells that differ in settings alone, or the command
    /// line gave it a setting: a lock without settings does not say which cell it means.
    pub has_own_settings: bool,
    /// All values of the settings that somewhere depart from the protocol.
    values: Settings,
    /// The axes of its experiment, which its name holds in any case.
    axes: BTreeSet<String>,
}

impl Subject {
    pub fn of(planned: &PlannedCell, experiment: &Experiment) -> Self {
        let cell = &planned.cell;
        let mut values = planned.settings.clone();
        let mut has_own_settings = experiment.matrix.settings().iter().any(|axis| axis.values().len() > 1);
        for departure in &experiment.departures {
            let Some(setting) = schema::setting(&departure.path) else { continue };
            let value = setting.value(&cell.protocol);
            has_own_settings |= value != departure.base && departure.by == Mark::CommandLine;
            values.insert(departure.path.clone(), value);
        }
        let asked = cell.is_substituted().then(|| cell.asked.to_string());
        let axes = planned.settings.keys().cloned().collect();
        Self { identity: planned.identity.clone(), asked, has_own_settings, values, axes }
    }

    /// For people; `apart` are the settings that tell cells apart (see
    /// [`apart`](dygl_spec::plan::apart)).
    pub fn describe(&self, apart: &BTreeSet<String>) -> String {
        self.identity.describe_with(&self.settings(apart), &apart.union(&self.axes).cloned().collect())
    }

    /// The values of its experiment's axes that are the protocol's own.
    pub fn own(&self) -> Settings {
        let is_own = |path: &String| {
            self.axes.contains(path)
                && self.identity.settings.as_ref().is_none_or(|own| !own.contains_key(path))
        };
        let all = self.values.iter().filter(|(path, _)| is_own(path));
        all.map(|(path, value)| (path.clone(), value.clone())).collect()
    }

    /// The settings that its name holds.
    pub fn settings(&self, apart: &BTreeSet<String>) -> Settings {
        let shown = |path: &String| apart.contains(path) || self.axes.contains(path);
        let all = self.values.iter().filter(|(path, _)| shown(path));
        all.map(|(path, value)| (path.clone(), value.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use dygl_spec::plan::{Plan, apart, names};
    use dygl_spec::testing::experiment;

    use super::*;

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
        // Other verbs call them the same.
        let experiment = experiment("table2", None, &[ONE[0], ONE[1], "loss.lambda=0.3,0.5"]);
        let plan = Plan::expand(&experiment).cells;
        let found: Vec<String> =
            plan.iter().map(|planned| Subject::of(planned, &experiment).describe(&apart)).collect();
        assert_eq!(found, names(&plan).into_iter().map(|name| name.full).collect::<Vec<_>>());
    }
}
