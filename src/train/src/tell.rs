//! Telling: events go to standard output, where the runner listens, and to
//! `events.jsonl`, where they stay.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use dygl_exec::event::WorkerEvent;

/// Steps are told at most this often.
const PACE: Duration = Duration::from_millis(250);

/// Tells events.
#[derive(Debug)]
pub struct Teller {
    file: File,
    last: Option<Instant>,
}

impl Teller {
    /// # Errors
    /// `events.jsonl` cannot be opened.
    pub fn into_folder(folder: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(folder.join("events.jsonl"))?;
        Ok(Self { file, last: None })
    }

    /// Tells an event and keeps it.
    pub fn tell(&mut self, event: &WorkerEvent) {
        let Ok(line) = serde_json::to_string(event) else { return };
        // Neither a full disk nor a runner that hung up may end a training.
        let _ = writeln!(self.file, "{line}");
        let _ = writeln!(io::stdout(), "{line}");
    }

    /// Tells of a step, unless the last such event is fresh; not kept.
    pub fn pace(&mut self, event: &WorkerEvent) {
        if self.last.is_some_and(|last| last.elapsed() < PACE) {
            return;
        }
        self.last = Some(Instant::now());
        if let Ok(line) = serde_json::to_string(event) {
            let _ = writeln!(io::stdout(), "{line}");
        }
    }
}
