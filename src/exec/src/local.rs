//! The local executor: a process per task, so that no panic, leak or crash of
//! one run touches another.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use dygl_base::exit::{Exit, Failure};
use dygl_store::record::Outcome;

use super::child::{self, End};
use super::event::WorkerEvent;
use super::job::{self, Job};
use super::{Ended, Executor, Stop};

/// Name of the file that takes a worker's standard error.
pub const LOG: &str = "log.txt";

/// Runs tasks as child processes on this machine.
#[derive(Debug)]
pub struct Local {
    worker: PathBuf,
}

impl Local {
    /// With the worker that lies beside this program.
    ///
    /// # Errors
    /// There is none.
    pub fn beside_this_program() -> Result<Self, Failure> {
        let own = std::env::current_exe().map_err(|error| Failure::new(Exit::Environment, error))?;
        let worker = own.with_file_name(format!("dygl-worker{}", std::env::consts::EXE_SUFFIX));
        if worker.is_file() {
            Ok(Self { worker })
        } else {
            Err(Failure::new(
                Exit::Environment,
                format!("{} is missing: build it with `make` (or `cargo build`)", worker.display()),
            ))
        }
    }

    /// With a given worker.
    pub fn with(worker: PathBuf) -> Self {
        Self { worker }
    }

    /// The worker program.
    pub fn worker(&self) -> &Path {
        &self.worker
    }

    fn command(&self, job: &Job, folder: &Path) -> std::io::Result<Command> {
        let text = serde_json::to_vec_pretty(job)?;
        fs::write(folder.join(job::FILE), text)?;
        let log = OpenOptions::new().create(true).append(true).open(folder.join(LOG))?;
        let mut command = child::command(&self.worker, job.threads);
        command.arg("run").arg(folder).stderr(log);
        Ok(command)
    }
}

impl Executor for Local {
    fn run(&self, job: &Job, folder: &Path, stop: &Stop, tell: &dyn Fn(WorkerEvent)) -> Ended {
        let limit = job.timeout_seconds.and_then(|limit| Duration::try_from_secs_f64(limit).ok());
        let ended = self
            .command(job, folder)
            .and_then(|command| child::watch(command, stop, limit, &mut |event| tell(event)));
        match ended {
            Ok(end) => judge(&end, folder),
            Err(error) => {
                let message = format!("cannot run {}: {error}", self.worker.display());
                Ended::Died(Outcome::Failed { message })
            }
        }
    }
}

/// What a worker's end means.
fn judge(end: &End, folder: &Path) -> Ended {
    if end.timed_out {
        return Ended::Died(Outcome::TimedOut { seconds: end.seconds });
    }
    let (code, asked) = (end.status.code(), end.asked > 0);
    if code == Some(Exit::Interrupted as i32) || (asked && code.is_none()) {
        return Ended::Interrupted;
    }
    if code.is_some() && folder.join("record.json").is_file() {
        return Ended::Recorded;
    }
    let (how, tail) = (end.how(), log_tail(&folder.join(LOG)));
    if end.out_of_memory(&tail) {
        let tail = if tail.is_empty() { String::new() } else { format!(": {tail}") };
        let held = end.peak as f64 / f64::from(1 << 30);
        let message = format!(
            "{how} with {held:.1} GiB in use{tail}; run fewer cells at once (--jobs), or smaller batches \
             (--set train.batch_size=N, another key)"
        );
        return Ended::Died(Outcome::OutOfMemory { message });
    }
    let message = if tail.is_empty() { how } else { format!("{how}: {tail}") };
    Ended::Died(Outcome::Failed { message })
}

/// The last lines of a log, in one.
pub(super) fn log_tail(path: &Path) -> String {
    let Ok(file) = File::open(path) else { return String::new() };
    let lines: Vec<String> = BufReader::new(file).lines().map_while(Result::ok).collect();
    let told: Vec<&str> = lines
        .iter()
        .map(|line| line.trim())
        .filter(|line| !line.is_empty() && !line.starts_with("stack backtrace") && !line.starts_with("note:"))
        .collect();
    told[told.len().saturating_sub(3)..].join(" | ")
}
