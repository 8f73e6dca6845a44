//! From measurements to times, memory and disk of a whole run.

use std::collections::BTreeMap;

use dygl_spec::plan::Cell;
use dygl_spec::protocol::SelectionRule;
use serde::Serialize;

use super::measure::Measured;
use super::{Need, Surveyed, Work};
use crate::machine::Memory;

/// Records, logs and scores of one cell, bytes, besides its sample images.
const RECORDS: u64 = 512 << 10;
/// Sample images that an evaluation keeps; of each image, truth and prediction.
const SAMPLES: u64 = 5;
/// Of the memory that is available, as much as may be needed without a warning.
const COMFORTABLE: f64 = 0.85;

/// How long one cell will take.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CellEstimate {
    /// The cell, for people.
    pub name: String,
    /// What is to do of it.
    #[serde(flatten)]
    pub need: Need,
    /// None where nothing was measured.
    pub train_seconds: Option<f64>,
    /// The same of its final scores.
    pub evaluate_seconds: Option<f64>,
}

impl CellEstimate {
    /// Seconds of both stages; none where they are not known.
    pub fn seconds(&self) -> Option<f64> {
        Some(self.train_seconds? + self.evaluate_seconds?)
    }
}

/// One measurement and the cells that it speaks for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupEstimate {
    /// Network of its cells, `NAME,option=value,...`.
    pub model: String,
    /// Side of the square image, pixels.
    pub size: usize,
    /// Images of one training step.
    pub batch: usize,
    /// How many cells it speaks for.
    pub cells: usize,
    /// None if the measurement failed.
    pub measured: Option<Measured>,
    /// Whether it was taken in an earlier run.
    pub remembered: bool,
    /// Why there is none.
    pub problem: String,
}

/// Main memory of all workers at their highest, bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemoryNeed {
    /// Sum of the measured peaks of as many cells as run at once, the largest ones.
    pub needed: u64,
    /// What this machine has.
    pub machine: Memory,
    /// Most jobs that fit; none if not even one does.
    pub fitting_jobs: Option<usize>,
}

/// What the run will write, bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// Weights files of the cells that are to be trained.
    pub weights: u64,
    /// Records, logs, scores and sample images.
    pub records: u64,
    /// Gone when the run is over.
    pub checkpoints: u64,
    /// Upper bound of packed copies of the datasets at the network's size.
    pub images: u64,
    /// None where the system does not tell.
    pub free: Option<u64>,
}

impl Disk {
    /// All of it together, bytes.
    pub fn needed(&self) -> u64 {
        self.weights + self.records + self.checkpoints + self.images
    }
}

/// What a run will come to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// Workers at once.
    pub jobs: usize,
    /// Threads of each worker.
    pub threads: usize,
    /// Of the whole run; none if a measurement failed.
    pub seconds: Option<f64>,
    /// Need of main memory, and what there is.
    pub memory: MemoryNeed,
    /// Need of disk, and what there is.
    pub disk: Disk,
    /// What was measured.
    pub groups: Vec<GroupEstimate>,
    /// One for each cell of the survey, in its order.
    pub cells: Vec<CellEstimate>,
}

impl Estimate {
    /// Puts a survey and the measurements of its groups together; `group_of`
    /// names each cell's.
    pub fn new(
        survey: &[Surveyed<'_>],
        group_of: &[Option<usize>],
        groups: Vec<GroupEstimate>,
        (jobs, threads): (usize, usize),
        machine: Memory,
        free: Option<u64>,
    ) -> Self {
        let measured: Vec<Option<&Measured>> =
            group_of.iter().map(|group| groups.get((*group)?)?.measured.as_ref()).collect();
        let cells: Vec<CellEstimate> =
            survey.iter().zip(&measured).map(|(surveyed, measured)| cell(surveyed, *measured)).collect();
        let times: Vec<Option<f64>> =
            cells.iter().filter(|cell| cell.need.is_work()).map(CellEstimate::seconds).collect();
        let mut peaks: Vec<u64> = survey
            .iter()
            .zip(&measured)
            .filter(|(surveyed, _)| surveyed.need.is_work())
            .filter_map(|(_, measured)| Some(measured.as_ref()?.peak_memory_bytes))
            .collect();
        peaks.sort_unstable_by(|a, b| b.cmp(a));
        let fits = |jobs: usize| peaks.iter().take(jobs).sum::<u64>() <= machine.available;
        let memory = MemoryNeed {
            needed: peaks.iter().take(jobs).sum(),
            machine,
            fitting_jobs: (1..=jobs).rev().find(|jobs| fits(*jobs)),
        };
        Self {
            jobs,
            threads,
            seconds: times.into_iter().collect::<Option<Vec<f64>>>().map(|times| makespan(&times, jobs)),
            memory,
            disk: Disk { free, ..disk(survey, &measured, jobs) },
            groups,
            cells,
        }
    }

    /// How many cells need what `which` says.
    pub fn count(&self, which: fn(Need) -> bool) -> usize {
        self.cells.iter().filter(|cell| which(cell.need)).count()
    }

    /// Why the run cannot come to its end on this machine, with the remedy.
    pub fn obstacles(&self) -> Vec<String> {
        let mut found = Vec::new();
        let MemoryNeed { needed, machine, fitting_jobs } = &self.memory;
        if machine.total > 0 && *needed > machine.available {
            let remedy = match fitting_jobs {
                Some(jobs) => format!("--jobs {jobs} fits"),
                None => "a smaller batch (--set train.batch_size=N) is another key; or use a larger machine"
                    .into(),
            };
            found.push(format!(
                "{} at once need {} of memory, and {} of {} are available: {remedy}",
                plural(self.jobs, "worker"),
                bytes(*needed),
                bytes(machine.available),
                bytes(machine.total)
            ));
        }
        if let Some(free) = self.disk.free.filter(|free| self.disk.needed() > *free) {
            found.push(format!(
                "the results need {} of disk, and {} are free: make room, or give another --store",
                bytes(self.disk.needed()),
                bytes(free)
            ));
        }
        found
    }

    /// What may go wrong.
    pub fn warnings(&self) -> Vec<String> {
        let MemoryNeed { needed, machine, .. } = &self.memory;
        let mut found = Vec::new();
        let share = *needed as f64 / machine.available.max(1) as f64;
        if machine.total > 0 && share > COMFORTABLE && share <= 1.0 {
            found.push(format!(
                "{} of the {} of available memory are needed; other programs may not fit beside",
                bytes(*needed),
                bytes(machine.available)
            ));
        }
        for group in self.groups.iter().filter(|group| !group.problem.is_empty()) {
            let GroupEstimate { model, size, problem, .. } = group;
            found.push(format!("{model} at {size} px could not be measured: {problem}"));
        }
        found
    }
}

fn cell(surveyed: &Surveyed<'_>, measured: Option<&Measured>) -> CellEstimate {
    let (cell, need, work) = (surveyed.cell, surveyed.need, &surveyed.work);
    let known = |seconds: &dyn Fn(&Measured) -> f64| measured.map(seconds);
    let (train_seconds, evaluate_seconds) = match need {
        Need::Training { epochs_done } => {
            (known(&|m| training(cell, work, epochs_done, m)), known(&|m| evaluation(work, m)))
        }
        Need::Evaluation => (Some(0.0), known(&|m| evaluation(work, m))),
        Need::Nothing | Need::Failed | Need::Data => (Some(0.0), Some(0.0)),
    };
    CellEstimate { name: cell.describe(), need, train_seconds, evaluate_seconds }
}

/// Seconds of the epochs that are left, with their selection scores.
fn training(cell: &Cell, work: &Work, epochs_done: usize, measured: &Measured) -> f64 {
    let protocol = &cell.protocol;
    let epochs = protocol.train.epochs.saturating_sub(epochs_done) as f64;
    let per_image = measured.seconds_per_step / measured.batch.max(1) as f64;
    let scored = match protocol.selection.every {
        0 => 0,
        every => protocol.train.epochs / every - epochs_done.min(protocol.train.epochs) / every,
    };
    measured.seconds_to_start
        + epochs * work.per_epoch as f64 * per_image
        + (scored * work.select) as f64 * measured.seconds_per_scored
}

/// Seconds of the final scores. The trivial predictors look at the training part.
fn evaluation(work: &Work, measured: &Measured) -> f64 {
    measured.seconds_to_start
        + work.report as f64 * measured.seconds_per_scored
        + work.train as f64 * measured.seconds_per_load
}

/// Seconds until the last is done: each next cell goes to the slot that is
/// free first, as the runner has it.
fn makespan(times: &[f64], jobs: usize) -> f64 {
    let mut slots = vec![0.0f64; jobs.max(1)];
    for time in times {
        if let Some(first) = slots.iter_mut().min_by(|a, b| a.total_cmp(b)) {
            *first += time;
        }
    }
    slots.into_iter().fold(0.0, f64::max)
}

fn disk(survey: &[Surveyed<'_>], measured: &[Option<&Measured>], jobs: usize) -> Disk {
    let mut disk = Disk::default();
    let mut checkpoints = Vec::new();
    let mut images: BTreeMap<(String, usize), u64> = BTreeMap::new();
    for (surveyed, measured) in survey.iter().zip(measured) {
        let (cell, need) = (surveyed.cell, surveyed.need);
        if !need.is_work() {
            continue;
        }
        let size = cell.protocol.image.size;
        let area = (size as u64).pow(2);
        disk.records += RECORDS + SAMPLES * (3 + 1 + 1) * area;
        images.insert((cell.dataset.to_string(), size), surveyed.work.packed);
        if let (Need::Training { .. }, Some(measured)) = (need, measured) {
            disk.weights += measured.weights_bytes;
            // Weights and two moments of each; the best weights where they are
            // kept; and the next checkpoint is written before the last one goes.
            let best = u64::from(cell.protocol.selection.rule == SelectionRule::BestDice);
            checkpoints.push(2 * (3 + best) * measured.weights_bytes);
        }
    }
    checkpoints.sort_unstable_by(|a, b| b.cmp(a));
    disk.checkpoints = checkpoints.into_iter().take(jobs).sum();
    disk.images = images.into_values().sum();
    disk
}

/// `3.2 GiB`, `120 MiB`.
pub fn bytes(bytes: u64) -> String {
    match bytes >> 20 {
        0 => format!("{} KiB", bytes >> 10),
        1..1024 => format!("{} MiB", bytes >> 20),
        _ => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
    }
}

/// `1 worker`, `2 workers`.
fn plural(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use dygl_spec::name::Named;
    use dygl_spec::testing::protocol;

    use super::*;

    const GIB: u64 = 1 << 30;

    fn cell_of(dataset: &str) -> Cell {
        let named = |text| Named::parse(text).expect("valid");
        let (model, dataset) = (named("dyglnet"), named(dataset));
        Cell {
            model,
            asked: dataset.clone(),
            dataset,
            seed: 42,
            protocol: protocol().into(),
            pretrained: None,
        }
    }

    fn measured() -> Measured {
        Measured {
            steps: 4,
            batch: 16,
            seconds_per_step: 32.0,
            seconds_per_scored: 0.5,
            seconds_per_load: 0.01,
            seconds_to_start: 1.0,
            parameters: 10_000_000,
            weights_bytes: 40_000_000,
            peak_memory_bytes: 6 * GIB,
            device: "flex".into(),
        }
    }

    fn estimate(jobs: usize, available: u64, measured: Option<Measured>) -> Estimate {
        let cells = [cell_of("kvasir-seg"), cell_of("kvasir-seg"), cell_of("cvc-clinicdb"), cell_of("tnbc")];
        let work =
            Work { per_epoch: 880, train: 880, select: 60, report: 60, images: 1000, packed: 200 << 20 };
        let needs = [Need::Training { epochs_done: 0 }, Need::Evaluation, Need::Nothing, Need::Data];
        let survey: Vec<Surveyed<'_>> =
            cells.iter().zip(needs).map(|(cell, need)| Surveyed { cell, need, work }).collect();
        let problem = if measured.is_none() { "it broke".to_owned() } else { String::new() };
        let group = GroupEstimate {
            model: "dyglnet".into(),
            size: 224,
            batch: 16,
            cells: 2,
            measured,
            remembered: false,
            problem,
        };
        let memory = Memory { total: 16 * GIB, available };
        let group_of = [Some(0), Some(0), None, None];
        Estimate::new(&survey, &group_of, vec![group], (jobs, 2), memory, Some(GIB))
    }

    #[test]
    fn times_are_those_of_the_images() {
        let found = estimate(1, 15 * GIB, Some(measured()));
        // 130 epochs of 880 images at 2 s, 13 selections of 60, one start.
        assert_eq!(found.cells[0].train_seconds, Some(1.0 + 130.0 * 880.0 * 2.0 + 13.0 * 60.0 * 0.5));
        assert_eq!(found.cells[0].evaluate_seconds, Some(1.0 + 30.0 + 8.8));
        assert_eq!(found.cells[1].train_seconds, Some(0.0));
        assert_eq!(found.cells[2].seconds(), Some(0.0));
        let both = found.cells[0].seconds().expect("known") + found.cells[1].seconds().expect("known");
        assert_eq!(found.seconds, Some(both));
        assert!(found.obstacles().is_empty() && found.warnings().is_empty());
    }

    #[test]
    fn a_checkpoint_spares_its_epochs() {
        let (cell, work) = (cell_of("tnbc"), Work { per_epoch: 16, select: 10, ..Work::default() });
        // Epochs 100 to 130 are left, and the scores after 110, 120 and 130.
        assert_eq!(training(&cell, &work, 100, &measured()), 1.0 + 30.0 * 32.0 + 30.0 * 0.5);
        assert_eq!(training(&cell, &work, 130, &measured()), 1.0);
    }

    #[test]
    fn slots_take_the_next_cell_when_they_are_free() {
        assert_eq!(makespan(&[4.0, 1.0, 1.0, 1.0], 2), 4.0);
        assert_eq!(makespan(&[1.0, 1.0, 4.0], 2), 5.0);
        assert_eq!(makespan(&[], 2), 0.0);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_remedy() {
        let found = estimate(2, 8 * GIB, Some(measured())).obstacles();
        assert!(found.len() == 1 && found[0].contains("--jobs 1 fits"), "{found:?}");
        let found = estimate(2, 5 * GIB, Some(measured())).obstacles();
        assert!(found[0].contains("12.0 GiB") && found[0].contains("train.batch_size"), "{found:?}");
        let large = Measured { weights_bytes: 4 * GIB, ..measured() };
        let found = estimate(1, 15 * GIB, Some(large)).obstacles();
        assert!(found.len() == 1 && found[0].contains("of disk"), "{found:?}");
        assert_eq!(estimate(1, 6 * GIB + 1, Some(measured())).warnings().len(), 1);
    }

    #[test]
    fn disk_counts_each_thing_once() {
        let disk = estimate(1, 15 * GIB, Some(measured())).disk;
        // Two cells of one dataset share its packed images.
        assert_eq!(disk.images, 200 << 20);
        assert_eq!((disk.weights, disk.checkpoints), (40_000_000, 6 * 40_000_000));
    }

    #[test]
    fn without_a_measurement_there_is_no_time_but_a_reason() {
        let found = estimate(1, 15 * GIB, None);
        assert_eq!(found.seconds, None);
        assert!(found.warnings()[0].contains("it broke"), "{:?}", found.warnings());
    }
}
