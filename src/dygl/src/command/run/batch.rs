//! Cells that are carried out in the same way: those of the experiments whose `[ops]`
//! come to the same under the command line.
//!
//! `dygl run A B` does for each cell what its own file says. So experiments that ask
//! for other threads, times, folders or numbers of jobs are batches, one after the
//! other; what the command line gives counts for all, and then they are one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dygl_base::exit::{Exit, Failure};
use dygl_spec::Ops;
use dygl_spec::ops::ExecutorName;
use dygl_spec::plan::{Cell, Plan, PlannedCell};

use crate::cli::{Place, Run};
use crate::command::context::{Chosen, Context};

/// Cells and how they are carried out.
pub(super) struct Batch<'c> {
    pub(super) ops: Ops,
    pub(super) chosen: Vec<&'c Chosen>,
    /// Those of no batch before.
    pub(super) planned: Vec<Arc<PlannedCell>>,
}

impl Batch<'_> {
    /// The experiments, for people.
    pub(super) fn names(&self) -> String {
        let names: Vec<&str> = self.chosen.iter().map(|chosen| chosen.experiment.name.as_str()).collect();
        names.join(", ")
    }

    /// Its cells, as the runner takes them.
    pub(super) fn cells(&self) -> Vec<Cell> {
        self.planned.iter().map(|planned| planned.cell.clone()).collect()
    }

    /// Runs at the same time.
    pub(super) fn jobs(&self) -> usize {
        self.ops.jobs
    }

    /// Threads of each.
    pub(super) fn threads(&self) -> usize {
        self.ops.threads_of_each(self.ops.jobs)
    }
}

/// The batches in the order of the command line, and what is to be said about them.
///
/// # Errors
/// Exit 2 where two of them offer one dataset from two folders: a store has one copy.
pub(super) fn batches<'c>(
    arguments: &Run,
    context: &'c Context,
) -> Result<(Vec<Batch<'c>>, Vec<String>), Failure> {
    let mut batches: Vec<Batch<'c>> = Vec::new();
    for chosen in &context.chosen {
        let ops = ops(arguments, context, chosen);
        match batches.iter_mut().find(|batch| batch.ops == ops) {
            Some(batch) => batch.chosen.push(chosen),
            None => batches.push(Batch { ops, chosen: vec![chosen], planned: Vec::new() }),
        }
    }
    refuse_two_copies(&batches)?;
    let mut notes = Vec::new();
    let mut taken: BTreeMap<String, String> = BTreeMap::new();
    for batch in &mut batches {
        let plans = batch.chosen.iter().map(|chosen| Plan { cells: chosen.cells.clone() });
        let names = batch.names();
        let mut shared = BTreeSet::new();
        for planned in Plan::merge(plans).cells {
            // What makes two cells one, as `Plan::merge` has it.
            let identity = serde_json::to_string(&planned.cell).unwrap_or_default();
            match taken.get(&identity) {
                Some(other) => drop(shared.insert(other.clone())),
                None => {
                    taken.insert(identity, names.clone());
                    batch.planned.push(planned);
                }
            }
        }
        for other in shared {
            notes.push(format!("cells of {names} that {other} has, too, are run as {other} says"));
        }
    }
    Ok((batches, notes))
}

/// `[ops]` of an experiment under the command line; what this machine has no use for
/// makes no difference.
fn ops(arguments: &Run, context: &Context, chosen: &Chosen) -> Ops {
    let own = &chosen.experiment.ops;
    let on = match arguments.on {
        Some(Place::Local) => ExecutorName::Local,
        Some(Place::Slurm) => ExecutorName::Slurm,
        None => own.on,
    };
    Ops {
        on,
        jobs: arguments.jobs.unwrap_or(own.jobs),
        data: context.data_of(&chosen.experiment).to_owned(),
        preflight: arguments.preflight.unwrap_or(own.preflight),
        slurm_args: if on == ExecutorName::Slurm { own.slurm_args.clone() } else { Vec::new() },
        ..own.clone()
    }
}

fn refuse_two_copies(batches: &[Batch<'_>]) -> Result<(), Failure> {
    let mut offered: BTreeMap<&str, (std::path::PathBuf, String)> = BTreeMap::new();
    let mut mistakes = Vec::new();
    for batch in batches {
        let cells = batch.chosen.iter().flat_map(|chosen| &chosen.cells).map(|planned| &planned.cell.dataset);
        let rows = batch.chosen.iter().flat_map(|chosen| &chosen.datasets).map(|choice| &choice.used);
        let ids: BTreeSet<&str> = cells.chain(rows).map(|named| named.name.as_str()).collect();
        for id in ids {
            let Ok(folder) = batch.ops.data.join(id).canonicalize() else { continue };
            match offered.get(id) {
                Some((other, names)) if *other != folder => mistakes.push(format!(
                    "`{id}` lies in {} (ops.data of {names}) and in {} (ops.data of {})",
                    other.display(),
                    folder.display(),
                    batch.names()
                )),
                Some(_) => {}
                None => drop(offered.insert(id, (folder, batch.names()))),
            }
        }
    }
    if mistakes.is_empty() {
        return Ok(());
    }
    mistakes
        .push("a store has one copy of a dataset: give --data, or run them one after the other".to_owned());
    Err(Failure::new(Exit::Usage, mistakes.join("\n")))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Verb};

    const EXPERIMENT: &str = "[experiment]\nname = \"NAME\"\ntitle = \"t\"\nquestion = \"?\"\n\n[matrix]\n\
        model = [\"unet\"]\ndataset = [\"phantom-skin,count=10,size=48\"]\nseed = SEED\n\n[ops]\n";

    struct Bench(tempfile::TempDir);

    /// Names, jobs, threads and cells of a batch.
    type Told = (String, usize, usize, usize);

    impl Bench {
        fn new(experiments: &[(&str, &str, &str)]) -> Self {
            let folder = tempfile::tempdir().expect("folder");
            fs::create_dir(folder.path().join("experiments")).expect("folder");
            for (name, seed, ops) in experiments {
                let text = EXPERIMENT.replace("NAME", name).replace("SEED", seed);
                let path = folder.path().join(format!("experiments/{name}.toml"));
                fs::write(path, format!("{text}{ops}\n")).expect("written");
            }
            Self(folder)
        }

        /// For each batch its names, jobs, threads and cells; and the notes.
        fn batches(&self, more: &[&str]) -> (Vec<Told>, Vec<String>) {
            let store = self.0.path().join(".dygl").display().to_string();
            let arguments = [&["dygl", "run", "--store", &store], more].concat();
            let Verb::Run(run) = Cli::parse_from(arguments).verb else { panic!("run") };
            let context = Context::load_at(&run.selection, self.0.path()).expect("sound");
            let (batches, notes) = super::batches(&run, &context).expect("batches");
            let told = batches.iter().map(|b| (b.names(), b.jobs(), b.threads(), b.planned.len()));
            (told.collect(), notes)
        }
    }

    #[test]
    fn each_cell_is_carried_out_as_its_own_file_says() {
        let bench = Bench::new(&[
            ("a", "[1, 2]", "jobs = 2\nthreads = 1"),
            ("b", "[3]", "jobs = 1\nthreads = 2"),
            ("c", "[4]", "threads = 1\njobs = 2"),
        ]);
        let told = |name: &str, jobs, threads, cells| (name.to_owned(), jobs, threads, cells);
        let (found, notes) = bench.batches(&["a", "b", "c"]);
        assert_eq!(found, [told("a, c", 2, 1, 3), told("b", 1, 2, 1)]);
        assert!(notes.is_empty());
        // What the command line says counts for all, whole or in part.
        let (found, _) = bench.batches(&["a", "b", "--jobs", "3", "--set", "ops.threads=4"]);
        assert_eq!(found, [told("a, b", 3, 4, 3)]);
        let (found, _) = bench.batches(&["a", "b", "--jobs", "3"]);
        assert_eq!(found, [told("a", 3, 1, 2), told("b", 3, 2, 1)]);
    }

    #[test]
    fn every_field_makes_a_batch_and_a_cell_is_run_once() {
        for field in ["timeout_hours = 2.5", "preflight = \"always\"", "data = \"elsewhere\"", "threads = 3"]
        {
            let bench = Bench::new(&[("a", "[1]", "jobs = 1"), ("b", "[1, 2]", field)]);
            let (found, notes) = bench.batches(&["a", "b"]);
            assert_eq!(found.iter().map(|batch| batch.3).collect::<Vec<_>>(), [1, 1], "{field}");
            assert_eq!(notes, ["cells of b that a has, too, are run as a says"], "{field}");
        }
        let bench = Bench::new(&[("a", "[1]", "jobs = 1"), ("b", "[1, 2]", "slurm_args = [\"x\"]")]);
        assert_eq!(bench.batches(&["a", "b"]).0.len(), 1, "of no use here");
    }
}
