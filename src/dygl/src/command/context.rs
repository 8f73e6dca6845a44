//! What most verbs begin with: the experiments, their cells, the store.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dygl_base::exit::{Exit, Failure, OrExit};
use dygl_datasets::Registry;
use dygl_exec::Inputs;
use dygl_spec::plan::{Filter, Plan, PlannedCell};
use dygl_spec::{DatasetChoice, Experiment, Request, TableKind};
use dygl_store::Store;
use dygl_store::key::revision::Revisions;

use crate::cli::Selection;
use crate::command::mistakes;

/// One experiment and the cells of it that were selected.
pub struct Chosen {
    pub experiment: Experiment,
    pub cells: Vec<Arc<PlannedCell>>,
    /// The rows of a table of datasets, which has no cells; else empty.
    pub datasets: Vec<DatasetChoice>,
}

/// Everything that a verb over cells needs.
pub struct Context {
    pub store: Store,
    pub inputs: Inputs,
    pub revisions: Revisions,
    pub chosen: Vec<Chosen>,
    /// `--data`, which counts for every experiment.
    data: Option<PathBuf>,
    pub filter: Filter,
    /// What the filter says to no cell, for people.
    notes: Vec<String>,
}

impl Context {
    /// Loads the experiments, expands and filters them.
    ///
    /// # Errors
    /// Exit 2 with all mistakes of all experiments; exit 4 if no cell is left.
    pub fn load(selection: &Selection) -> Result<Self, Failure> {
        let root = std::env::current_dir().or_exit(Exit::Environment)?;
        let context = Self::load_at(selection, &root)?;
        context.nothing_selected(selection).map_or(Ok(()), Err)?;
        context.tell_notes();
        Ok(context)
    }

    /// The same where `root` is the working directory; there may be no cell left.
    ///
    /// # Errors
    /// Exit 2 with all mistakes of all experiments.
    pub fn load_at(selection: &Selection, root: &Path) -> Result<Self, Failure> {
        let filter = Filter::parse(&selection.filter).map_err(|found| mistakes::refused(&found))?;
        let registry = Registry::at(&selection.common.store);
        let mut told = String::new();
        let mut chosen = Vec::new();
        let mut notes = Vec::new();
        let set = selection.settings();
        for name in &selection.experiments {
            let request =
                Request { experiment: name, profile: selection.profile.as_deref(), set: &set, root };
            match dygl_spec::load(&request, &registry) {
                Ok(experiment) => {
                    let selected = filter.apply(&Plan::expand(&experiment));
                    let mut datasets = Vec::new();
                    if experiment.table.kind == TableKind::Datasets {
                        datasets.extend_from_slice(experiment.matrix.datasets());
                        datasets.retain(|choice| filter.keeps_dataset(choice));
                    } else {
                        notes.extend(selected.notes);
                    }
                    chosen.push(Chosen { experiment, cells: selected.cells, datasets });
                }
                Err(diagnostics) => told.push_str(&mistakes::shown(&diagnostics)),
            }
        }
        if !told.is_empty() {
            return Err(Failure::new(Exit::Usage, told));
        }
        notes.dedup();
        let store = Store::at(&selection.common.store);
        Ok(Self {
            inputs: Inputs::at(store.root()),
            store,
            revisions: Revisions::of_this_build(),
            chosen,
            data: selection.data.clone(),
            filter,
            notes,
        })
    }

    /// Exit 4 with the reasons, if no cell passed the filter.
    pub fn nothing_selected(&self, selection: &Selection) -> Option<Failure> {
        if self.chosen.iter().any(|c| !c.cells.is_empty() || !c.datasets.is_empty()) {
            return None;
        }
        let filter = selection.filter.join("' or '");
        let names = selection.experiments.join(" ");
        let mut lines =
            vec![format!("no cell of {names} matches '{filter}'; `dygl plan {names}` lists them")];
        lines.extend_from_slice(&self.notes);
        Some(Failure::new(Exit::NothingSelected, lines.join("\n")))
    }

    /// Says which patterns of the filter match nothing.
    pub fn tell_notes(&self) {
        self.notes.iter().for_each(|text| super::note(&format!("note: {text}")));
    }

    /// The folder of an experiment's datasets: `--data`, else its `ops.data`.
    pub fn data_of<'a>(&'a self, experiment: &'a Experiment) -> &'a Path {
        self.data.as_deref().unwrap_or(&experiment.ops.data)
    }

    /// Threads of a run of a cell, as many as `dygl run` would take.
    pub fn threads_of(&self, planned: &PlannedCell) -> usize {
        let asks = |chosen: &&Chosen| planned.experiments.contains(&chosen.experiment.name);
        let chosen = self.chosen.iter().find(asks).or(self.chosen.first());
        chosen.map_or(1, |chosen| chosen.experiment.ops.threads_of_each(chosen.experiment.ops.jobs))
    }

    /// All selected cells; a cell of two experiments counts once.
    pub fn cells(&self) -> Vec<Arc<PlannedCell>> {
        Plan::merge(self.chosen.iter().map(|chosen| Plan { cells: chosen.cells.clone() })).cells
    }
}
