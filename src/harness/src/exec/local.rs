//! The local executor: a process per task, so that no panic, leak or crash of
//! one run touches another.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::event::WorkerEvent;
use super::job::{self, Job};
use super::{Ended, Executor, Stop};
use crate::exit::{Exit, Failure};
use crate::store::record::Outcome;

/// Name of the file that takes a worker's standard error.
pub const LOG: &str = "log.txt";

/// Tells the worker which process it must not outlive.
pub const PARENT: &str = "DYGL_PARENT";

/// glibc gives large blocks back to the system and asks for them anew in each
/// step, and the kernel clears every page again. Keeping them saves about a
/// tenth of a training step; no number depends on it.
const ALLOCATOR: [(&str, &str); 3] = [
    ("MALLOC_TRIM_THRESHOLD_", "17179869184"),
    ("MALLOC_MMAP_THRESHOLD_", "33554432"),
    ("MALLOC_TOP_PAD_", "67108864"),
];

/// What the libraries of a CUDA device look at when they are loaded: f32 means
/// f32 (no TF32), cards are numbered as the driver lists them, and cuBLAS
/// takes a workspace of fixed size, without which sums may differ.
pub const ENVIRONMENT: [(&str, &str); 3] = [
    ("NVIDIA_TF32_OVERRIDE", "0"),
    ("CUDA_DEVICE_ORDER", "PCI_BUS_ID"),
    ("CUBLAS_WORKSPACE_CONFIG", ":4096:8"),
];

/// How often a running worker is looked after.
const TICK: Duration = Duration::from_millis(50);

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

    fn start(&self, job: &Job, folder: &Path) -> std::io::Result<Child> {
        let text = serde_json::to_vec_pretty(job)?;
        fs::write(folder.join(job::FILE), text)?;
        let log = OpenOptions::new().create(true).append(true).open(folder.join(LOG))?;
        Command::new(&self.worker)
            .arg("run")
            .arg(folder)
            .env("RAYON_NUM_THREADS", job.threads.to_string())
            .env(PARENT, std::process::id().to_string())
            .envs(ALLOCATOR)
            .envs(ENVIRONMENT)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            // A Ctrl-C at the terminal reaches the runner alone, which then
            // asks its workers to stop at a checkpoint.
            .process_group(0)
            .spawn()
    }
}

impl Executor for Local {
    fn run(&self, job: &Job, folder: &Path, stop: &Stop, tell: &dyn Fn(WorkerEvent)) -> Ended {
        let oom_before = oom_kills();
        let mut child = match self.start(job, folder) {
            Ok(child) => child,
            Err(error) => {
                let message = format!("cannot start {}: {error}", self.worker.display());
                return Ended::Died(Outcome::Failed { message });
            }
        };
        let Some(stdout) = child.stdout.take() else {
            return Ended::Died(Outcome::Failed { message: "the worker has no standard output".into() });
        };
        let (sender, events) = mpsc::channel();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Ok(event) = serde_json::from_str::<WorkerEvent>(&line)
                    && sender.send(event).is_err()
                {
                    break;
                }
            }
        });

        let started = Instant::now();
        let mut asked = 0;
        let mut timed_out = false;
        loop {
            match events.recv_timeout(TICK) {
                Ok(event) => tell(event),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if stop.level() > asked {
                asked = stop.level();
                signal(&child, if asked > 1 { Signal::KILL } else { Signal::INT });
            }
            let limit = job.timeout_seconds.unwrap_or(f64::INFINITY);
            if !timed_out && started.elapsed().as_secs_f64() > limit {
                timed_out = true;
                signal(&child, Signal::KILL);
            }
        }
        let status = child.wait();
        // The channel closed because the reader came to its end.
        let _ = reader.join();
        match status {
            Ok(_) if timed_out => Ended::Died(Outcome::TimedOut { seconds: started.elapsed().as_secs_f64() }),
            Ok(status) => judge(status, folder, asked, oom_kills() > oom_before),
            Err(error) => Ended::Died(Outcome::Failed { message: format!("the worker was lost: {error}") }),
        }
    }
}

/// What a worker's exit means.
fn judge(status: ExitStatus, folder: &Path, asked: usize, oom: bool) -> Ended {
    if status.code() == Some(Exit::Interrupted as i32) || (asked > 0 && status.signal().is_some()) {
        return Ended::Interrupted;
    }
    if status.code().is_some() && folder.join("record.json").is_file() {
        return Ended::Recorded;
    }
    let tail = log_tail(&folder.join(LOG));
    let out_of_memory = match status.signal() {
        Some(9) => oom,
        // Rust aborts when an allocation fails, after naming it.
        Some(6) => tail.contains("memory allocation of"),
        _ => false,
    };
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    };
    let message = if tail.is_empty() { how } else { format!("{how}: {tail}") };
    Ended::Died(if out_of_memory { Outcome::OutOfMemory { message } } else { Outcome::Failed { message } })
}

/// The last lines of a worker's log, in one.
fn log_tail(path: &Path) -> String {
    let Ok(file) = File::open(path) else { return String::new() };
    let lines: Vec<String> = BufReader::new(file).lines().map_while(Result::ok).collect();
    let told: Vec<&str> = lines
        .iter()
        .map(|line| line.trim())
        .filter(|line| !line.is_empty() && !line.starts_with("stack backtrace") && !line.starts_with("note:"))
        .collect();
    told[told.len().saturating_sub(3)..].join(" | ")
}

/// How many processes the kernel has killed for want of memory.
fn oom_kills() -> u64 {
    let vmstat = fs::read_to_string("/proc/vmstat").unwrap_or_default();
    vmstat.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()).unwrap_or(0)
}

fn signal(child: &Child, signal: Signal) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It may have ended meanwhile; waiting tells.
        let _ = kill_process(pid, signal);
    }
}
