//! A worker process under watch: its events, its memory, its end.

use std::io::{self, BufRead, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::de::DeserializeOwned;

use super::Stop;
use super::machine::{self, Memory};

/// Tells the worker which process it must not outlive.
pub const PARENT: &str = "DYGL_PARENT";

/// glibc gives large blocks back to the system and asks for them anew in each
/// step, and the kernel clears every page again. Keeping them saves about a
/// tenth of a training step; no number depends on it.
pub const ALLOCATOR: [(&str, &str); 3] = [
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

/// A process that was killed with this share of all memory in its hands, or
/// with less than the rest left to anybody, was killed for want of memory.
const NEAR: f64 = 0.9;

/// A process whose address space is limited asks for blocks of tens of
/// megabytes: with this share in use the next one may be refused.
const CRAMPED: f64 = 0.75;

/// The worker with a verb, ready to be started: it computes on `threads`
/// threads, tells on its standard output, and dies with this process.
pub(super) fn command(worker: &Path, threads: usize) -> Command {
    let mut command = Command::new(worker);
    command
        .env("RAYON_NUM_THREADS", threads.to_string())
        .env(PARENT, std::process::id().to_string())
        .envs(ALLOCATOR)
        .envs(ENVIRONMENT)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // A Ctrl-C at the terminal reaches the caller alone, which then asks
        // its workers to stop.
        .process_group(0);
    command
}

/// How a watched process ended.
#[derive(Debug)]
pub(super) struct End {
    pub(super) status: ExitStatus,
    /// How often it was asked to stop.
    pub(super) asked: usize,
    pub(super) timed_out: bool,
    pub(super) seconds: f64,
    /// Highest resident memory that was seen, bytes.
    pub(super) peak: u64,
    /// Whether memory had run short when it ended.
    short: bool,
    /// Whether it had little left of a limited address space.
    cramped: bool,
}

impl End {
    /// Whether it ended for want of memory. `tail` is the end of its log.
    pub(super) fn out_of_memory(&self, tail: &str) -> bool {
        match self.status.signal() {
            Some(9) => self.asked < 2 && !self.timed_out && self.short,
            // A stack that cannot grow any further is a segmentation fault.
            Some(11) if self.cramped => true,
            // Rust aborts when an allocation fails, after naming it; libtorch
            // and the drivers below it throw.
            _ => ["memory allocation of", "can't allocate memory", "out of memory"]
                .iter()
                .any(|told| tail.contains(told)),
        }
    }

    /// `exit status 1`, `killed by signal 9`.
    pub(super) fn how(&self) -> String {
        match (self.status.code(), self.status.signal()) {
            (Some(code), _) => format!("exit status {code}"),
            (None, Some(signal)) => format!("killed by signal {signal}"),
            (None, None) => "ended".to_owned(),
        }
    }
}

/// Starts a process and stays with it until it ends. Each line of its standard
/// output that is an event is told. A stop request of level 1 interrupts it,
/// level 2 and `limit` kill it.
///
/// # Errors
/// It cannot be started.
pub(super) fn watch<E: DeserializeOwned + Send + 'static>(
    mut command: Command,
    stop: &Stop,
    limit: Option<Duration>,
    tell: &mut dyn FnMut(E),
) -> io::Result<End> {
    let kills_before = machine::oom_kills();
    let mut child = command.spawn()?;
    let stdout = child.stdout.take().ok_or_else(|| io::Error::other("it has no standard output"))?;
    let (sender, events) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Ok(event) = serde_json::from_str::<E>(&line)
                && sender.send(event).is_err()
            {
                break;
            }
        }
    });

    let started = Instant::now();
    let (mut asked, mut timed_out) = (0, false);
    let mut gauge = Gauge::default();
    loop {
        match events.recv_timeout(TICK) {
            Ok(event) => tell(event),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        gauge.look(child.id());
        if stop.level() > asked {
            asked = stop.level();
            signal(&child, if asked > 1 { Signal::KILL } else { Signal::INT });
        }
        if !timed_out && limit.is_some_and(|limit| started.elapsed() > limit) {
            timed_out = true;
            signal(&child, Signal::KILL);
        }
    }
    let status = child.wait()?;
    // The channel closed because the reader came to its end.
    let _ = reader.join();
    Ok(End {
        status,
        asked,
        timed_out,
        seconds: started.elapsed().as_secs_f64(),
        peak: gauge.peak,
        short: machine::oom_kills() > kills_before || gauge.is_short(),
        cramped: gauge.address >= CRAMPED,
    })
}

/// What a process and the machine had of memory when they were last looked at.
#[derive(Debug, Default)]
struct Gauge {
    looked: Option<Instant>,
    peak: u64,
    memory: Memory,
    /// Share of a limited address space.
    address: f64,
}

impl Gauge {
    fn look(&mut self, pid: u32) {
        if self.looked.is_some_and(|at| at.elapsed() < 2 * TICK) {
            return;
        }
        self.looked = Some(Instant::now());
        if let Some(peak) = machine::peak_resident(pid) {
            self.peak = self.peak.max(peak);
            self.memory = machine::memory();
            self.address = self.address.max(machine::address_space(pid).unwrap_or(0.0));
        }
    }

    fn is_short(&self) -> bool {
        let Memory { total, available } = self.memory;
        let total = total as f64;
        total > 0.0 && (self.peak as f64 >= NEAR * total || available as f64 <= 0.5 * (1.0 - NEAR) * total)
    }
}

fn signal(child: &Child, signal: Signal) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It may have ended meanwhile; waiting tells.
        let _ = kill_process(pid, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(status: i32, asked: usize, short: bool) -> End {
        let status = ExitStatus::from_raw(status);
        End { status, asked, timed_out: false, seconds: 0.0, peak: 0, short, cramped: false }
    }

    #[test]
    fn a_kill_counts_as_want_of_memory_only_where_memory_was_short() {
        assert!(end(9, 0, true).out_of_memory(""));
        assert!(!end(9, 0, false).out_of_memory(""), "somebody killed it");
        assert!(!end(9, 2, true).out_of_memory(""), "we did");
        assert!(end(6, 0, false).out_of_memory("memory allocation of 800 bytes failed"));
        assert!(!end(6, 0, true).out_of_memory("assertion failed"));
        assert!(!end(11, 0, true).out_of_memory(""), "a mistake of the program");
        assert!(End { cramped: true, ..end(11, 0, false) }.out_of_memory(""), "its stack could not grow");
        assert!(end(101 << 8, 0, false).out_of_memory("CUDA out of memory. Tried to allocate 2.00 GiB"));
    }

    #[test]
    fn memory_is_short_near_the_limit() {
        let gauge =
            |peak, available| Gauge { peak, memory: Memory { total: 1000, available }, ..Gauge::default() };
        assert!(gauge(900, 500).is_short());
        assert!(gauge(10, 40).is_short());
        assert!(!gauge(600, 300).is_short());
        assert!(!Gauge::default().is_short(), "nothing is known");
    }

    #[test]
    fn events_and_the_end_are_told() {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "echo '{\"a\":1}'; echo no event; echo '{\"a\":2}'; exit 7"])
            .stdout(Stdio::piped());
        let mut told = Vec::new();
        let end = watch(shell, &Stop::default(), None, &mut |event: serde_json::Value| told.push(event))
            .expect("started");
        assert_eq!(told.iter().map(|event| event["a"].as_i64()).collect::<Vec<_>>(), [Some(1), Some(2)]);
        assert_eq!((end.status.code(), end.asked, end.timed_out), (Some(7), 0, false));

        let mut shell = Command::new("sleep");
        shell.arg("60").stdout(Stdio::piped());
        let limit = Some(Duration::from_millis(100));
        let end = watch(shell, &Stop::default(), limit, &mut |_: serde_json::Value| {}).expect("started");
        assert!(end.timed_out && end.seconds < 30.0 && !end.out_of_memory(""));
    }
}
