//! Progress of a run on standard error: bars on a terminal, lines elsewhere,
//! always with an estimate of the time left.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dygl_exec::event::{RunEvent, Stage, WorkerEvent};
use dygl_exec::{CellOutcome, Summary};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Without a terminal a cell's line is repeated at most this often.
const QUIET: Duration = Duration::from_secs(10);

/// Shows the events of a run. Clones show on the same screen.
#[derive(Clone)]
pub struct Progress(Arc<Mutex<State>>);

struct State {
    json: bool,
    bars: Option<MultiProgress>,
    total: Option<ProgressBar>,
    cells: usize,
    settled: usize,
    jobs: usize,
    running: BTreeMap<usize, Running>,
    /// Seconds that each cell took that ran to its end.
    took: Vec<f64>,
    began: BTreeMap<usize, Instant>,
    /// Warnings that were told: workers of one store tend to agree.
    warned: BTreeSet<String>,
    /// Seconds that training and evaluation of each cell were estimated at.
    expected: Vec<Option<(f64, f64)>>,
    over: BTreeSet<usize>,
}

struct Running {
    name: String,
    stage: Stage,
    bar: Option<ProgressBar>,
    steps: usize,
    done_at_start: usize,
    done: usize,
    since: Instant,
    told: Option<Instant>,
    note: String,
}

impl Running {
    /// Time left in this stage, from its own pace.
    fn left(&self) -> Option<Duration> {
        let fresh = self.done.saturating_sub(self.done_at_start);
        if fresh == 0 || self.steps == 0 {
            return None;
        }
        let left = self.steps.saturating_sub(self.done);
        Some(self.since.elapsed().mul_f64(left as f64 / fresh as f64))
    }
}

impl Progress {
    /// `json` writes each event as a line of JSON instead.
    pub fn new(json: bool) -> Self {
        let bars = (!json && std::io::stderr().is_terminal()).then(MultiProgress::new);
        Self(Arc::new(Mutex::new(State {
            json,
            bars,
            total: None,
            cells: 0,
            settled: 0,
            jobs: 1,
            running: BTreeMap::new(),
            took: Vec::new(),
            began: BTreeMap::new(),
            warned: BTreeSet::new(),
            expected: Vec::new(),
            over: BTreeSet::new(),
        })))
    }

    /// Begins anew with the next batch of a run.
    pub fn again(&self) {
        let json = self.state().json;
        if let Ok(fresh) = Arc::try_unwrap(Self::new(json).0) {
            *self.state() = fresh.into_inner().unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes the times that were estimated before the run, so that the time
    /// left is known from its first moment.
    pub fn expect(&self, seconds: Vec<Option<(f64, f64)>>) {
        self.state().expected = seconds;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn show(&self, event: &RunEvent) {
        let mut state = self.state();
        if state.json {
            if let Ok(line) = serde_json::to_string(event) {
                super::note(&line);
            }
            return;
        }
        state.take(event);
    }

    /// Tells what a Ctrl-C will do.
    pub fn stopping(&self, level: usize) {
        let state = self.state();
        state.line(match level {
            1 => "stopping at the next checkpoint; once more stops now (resumes at the last checkpoint)",
            _ => "stopping now",
        });
    }

    /// Clears the bars and sums up.
    pub fn finish(&self, summary: &Summary) {
        let state = self.state();
        for running in state.running.values() {
            if let Some(bar) = &running.bar {
                bar.finish_and_clear();
            }
        }
        if let Some(total) = &state.total {
            total.finish_and_clear();
        }
        if state.json {
            return;
        }
        let cached = summary.count(|outcome| *outcome == CellOutcome::Done { ran: false });
        let ran = summary.count(|outcome| *outcome == CellOutcome::Done { ran: true });
        let failed = summary.count(|o| matches!(o, CellOutcome::Failed(_) | CellOutcome::Error(_)));
        let rest = summary.cells.len() - cached - ran - failed;
        state.line(&format!("{ran} run, {cached} from the store, {failed} failed, {rest} not finished"));
        for (name, outcome) in &summary.cells {
            match outcome {
                CellOutcome::Failed(outcome) => {
                    state.line(&format!("  {name}: {}: {}", outcome.word(), outcome.reason()))
                }
                CellOutcome::Error(message) => state.line(&format!("  {name}: {message}")),
                CellOutcome::Interrupted => {
                    state.line(&format!("  {name}: interrupted; the same command resumes it"))
                }
                _ => {}
            }
        }
    }
}

impl State {
    fn take(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Planned { cells, jobs } => {
                self.cells = *cells;
                self.jobs = *jobs;
                if let Some(bars) = &self.bars {
                    let bar = bars.add(ProgressBar::new(*cells as u64));
                    bar.set_style(style("{msg:<32} {bar:24} {pos}/{len} cells  {prefix}"));
                    bar.set_message("total");
                    self.total = Some(bar);
                }
            }
            RunEvent::Cached { cell, stage: Stage::Evaluate, .. } => self.settle(*cell),
            RunEvent::Cached { .. } => {}
            RunEvent::Quarantined { name, file, moved_to, .. } => {
                self.line(&format!("{name}: {file} was altered; put aside as {moved_to}"));
            }
            RunEvent::Started { cell, name, stage, .. } => self.start(*cell, name, *stage),
            RunEvent::Worker { cell, told } => self.worker(*cell, told),
            RunEvent::Finished { cell, name, stage, outcome, reason, seconds, peak_memory_bytes, .. } => {
                if let Some(running) = self.running.remove(cell)
                    && let Some(bar) = running.bar
                {
                    bar.finish_and_clear();
                }
                let verb = verb(*stage);
                let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
                let memory = peak_memory_bytes.filter(|bytes| *bytes > 0);
                let memory = memory.map_or(String::new(), |bytes| format!(", at most {} MiB", bytes >> 20));
                self.line(&format!(
                    "{name}: {verb} {outcome} in {}{memory}{why}",
                    human(Duration::from_secs_f64(*seconds))
                ));
                if *stage == Stage::Evaluate || outcome != "done" {
                    self.settle(*cell);
                }
            }
            RunEvent::Waiting { name, holder, claim, held_seconds, remedy, .. } => self.line(&format!(
                "{name}: waiting for {holder}, at work on it for {} ({claim}); if that process is gone: {remedy}",
                human(Duration::from_secs(*held_seconds))
            )),
            RunEvent::Stopping { .. } => self.line("the time is up: stopping at the next checkpoint"),
        }
    }

    fn start(&mut self, cell: usize, name: &str, stage: Stage) {
        self.began.entry(cell).or_insert_with(Instant::now);
        let bar = self.bars.as_ref().map(|bars| {
            let bar = bars.insert(0, ProgressBar::new(0));
            bar.set_style(style("{msg:<32} {bar:24} {percent:>3}%  {prefix}"));
            bar.set_message(name.to_owned());
            bar
        });
        if self.bars.is_none() {
            self.line(&format!(
                "{name}: {} begins ({}/{} cells settled)",
                verb(stage),
                self.settled,
                self.cells
            ));
        }
        let running = Running {
            name: name.to_owned(),
            stage,
            bar,
            steps: 0,
            done_at_start: 0,
            done: 0,
            since: Instant::now(),
            told: None,
            note: String::new(),
        };
        self.running.insert(cell, running);
    }

    fn worker(&mut self, cell: usize, event: &WorkerEvent) {
        if let WorkerEvent::Warning { message } = event
            && self.warned.insert(message.clone())
        {
            self.line(&format!("warning: {message}"));
        }
        let Some(running) = self.running.get_mut(&cell) else { return };
        match event {
            WorkerEvent::Started { steps, done, .. } => {
                running.steps = *steps;
                running.done = *done;
                running.done_at_start = *done;
                running.since = Instant::now();
                if *done > 0 {
                    running.note = format!("resumed at step {done}");
                }
            }
            WorkerEvent::Step { done, epoch, loss } => {
                running.done = *done;
                running.note = format!("epoch {epoch}, loss {loss:.4}");
            }
            WorkerEvent::Epoch { epoch, epochs, loss, select_dice, .. } => {
                let dice = select_dice.map_or_else(String::new, |dice| format!(", Dice {:.2}", 100.0 * dice));
                running.note = format!("epoch {epoch}/{epochs}, loss {loss:.4}{dice}");
            }
            WorkerEvent::Packed { done, images } => running.note = format!("packing images, {done}/{images}"),
            WorkerEvent::Warning { .. } => {}
            WorkerEvent::Checkpoint { .. } => {}
            WorkerEvent::Pretrained { file, tensors, of } => {
                running.note = format!("starts from {file}: {tensors} of {of} tensors");
            }
            WorkerEvent::Scored { done } => running.done = *done,
        }
        let left = running.left().map_or_else(String::new, |left| format!("  {} left", human(left)));
        let text = format!("{}{left}", running.note);
        match &running.bar {
            Some(bar) => {
                bar.set_length(running.steps as u64);
                bar.set_position(running.done as u64);
                bar.set_prefix(text);
            }
            None if running.told.unwrap_or(running.since).elapsed() >= QUIET => {
                running.told = Some(Instant::now());
                let percent = 100 * running.done / running.steps.max(1);
                let line = format!("{}: {} {percent}%, {text}", running.name, verb(running.stage));
                let total = self
                    .left()
                    .map_or_else(String::new, |left| format!("; all cells: about {}", human(left)));
                self.line(&format!("{line}{total}"));
            }
            None => {}
        }
        if let (Some(total), Some(left)) = (&self.total, self.left()) {
            total.set_prefix(format!("about {} left", human(left)));
        }
    }

    fn settle(&mut self, cell: usize) {
        self.settled += 1;
        self.over.insert(cell);
        if let Some(began) = self.began.remove(&cell) {
            self.took.push(began.elapsed().as_secs_f64());
        }
        if let Some(total) = &self.total {
            total.set_position(self.settled as u64);
        }
    }

    /// Time left for all cells: those that run at their own pace (until they
    /// have one, as estimated), those that wait as estimated, else at the mean
    /// of what is known.
    fn left(&self) -> Option<Duration> {
        let mut known: Vec<f64> = self.took.clone();
        let mut running = Vec::new();
        for (cell, run) in &self.running {
            let spent = self.began.get(cell).map_or(0.0, |began| began.elapsed().as_secs_f64());
            let left = self.left_of(*cell, run)?;
            running.push(left);
            known.push(spent + left);
        }
        let mean = known.iter().sum::<f64>() / known.len().max(1) as f64;
        let waiting: f64 = (0..self.cells)
            .filter(|cell| !self.over.contains(cell) && !self.running.contains_key(cell))
            .map(|cell| self.expected(cell).map_or(mean, |(train, evaluate)| train + evaluate))
            .sum();
        let work = running.iter().sum::<f64>() + waiting;
        // A single run is not shared among the slots.
        let longest = running.iter().copied().fold(0.0, f64::max);
        Duration::try_from_secs_f64((work / self.jobs.max(1) as f64).max(longest)).ok()
    }

    fn expected(&self, cell: usize) -> Option<(f64, f64)> {
        self.expected.get(cell).copied().flatten()
    }

    /// Seconds left of a cell that runs.
    fn left_of(&self, cell: usize, run: &Running) -> Option<f64> {
        let expected = self.expected(cell);
        let of_stage =
            |stage| expected.map(|(train, evaluate)| if stage == Stage::Train { train } else { evaluate });
        let left = match run.left() {
            Some(left) => left.as_secs_f64(),
            None => (of_stage(run.stage)? - run.since.elapsed().as_secs_f64()).max(0.0),
        };
        let later = if run.stage == Stage::Train { of_stage(Stage::Evaluate).unwrap_or(0.0) } else { 0.0 };
        Some(left + later)
    }

    fn line(&self, text: &str) {
        match &self.bars {
            Some(bars) => {
                let _ = bars.println(text);
            }
            None => {
                let _ = writeln!(std::io::stderr(), "{text}");
            }
        }
    }
}

fn verb(stage: Stage) -> &'static str {
    match stage {
        Stage::Train => "training",
        Stage::Evaluate => "evaluation",
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

/// `1 h 05 min`, `3 min 20 s`, `12 s`.
pub(super) fn human(duration: Duration) -> String {
    let seconds = duration.as_secs_f64().round() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_is_known_before_the_first_step() {
        let progress = Progress::new(false);
        progress.expect(vec![Some((100.0, 10.0)), Some((200.0, 20.0)), Some((0.0, 0.0))]);
        progress.show(&RunEvent::Planned { cells: 3, jobs: 1 });
        progress.show(&RunEvent::Started {
            cell: 0,
            name: "a".into(),
            stage: Stage::Train,
            key: String::new(),
        });
        let left = progress.state().left().expect("estimated").as_secs_f64();
        assert!((left - 330.0).abs() < 5.0, "{left}");
        // Two slots, but the longest cell is one cell.
        progress.state().jobs = 2;
        let left = progress.state().left().expect("estimated").as_secs_f64();
        assert!((left - 165.0).abs() < 5.0, "{left}");
    }

    #[test]
    fn durations_read_well() {
        assert_eq!(human(Duration::from_secs(12)), "12 s");
        assert_eq!(human(Duration::from_secs(200)), "3 min 20 s");
        assert_eq!(human(Duration::from_secs(3900)), "1 h 05 min");
    }
}
