//! Progress of predictions on standard error: a bar on a terminal, a line now
//! and then elsewhere, with an estimate of the time left.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use dygl_exec::predict::Event;
use indicatif::{ProgressBar, ProgressStyle};

use super::super::{note, progress::human};

/// Without a terminal a line is written at most this often.
const QUIET: Duration = Duration::from_secs(10);

pub(super) struct Progress {
    json: bool,
    bar: Option<ProgressBar>,
    total: usize,
    done: usize,
    /// Since the network is loaded.
    began: Option<Instant>,
    told: Instant,
}

impl Progress {
    /// `json` writes each event as a line of JSON instead.
    pub(super) fn new(json: bool, total: usize) -> Self {
        let bar = (!json && std::io::stderr().is_terminal()).then(|| {
            let style = ProgressStyle::with_template("predicting {bar:24} {pos}/{len} images  {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(total as u64).with_style(style.progress_chars("=> "))
        });
        Self { json, bar, total, done: 0, began: None, told: Instant::now() }
    }

    pub(super) fn show(&mut self, event: &Event) {
        if self.json {
            if let Ok(line) = serde_json::to_string(event) {
                note(&line);
            }
            return;
        }
        if let Event::Started { device, .. } = event {
            self.began = Some(Instant::now());
            note(&format!("{} images on {device}", self.total));
            return;
        }
        self.done += 1;
        let elapsed = self.began.map_or(Duration::ZERO, |began| began.elapsed());
        let left = elapsed.mul_f64((self.total - self.done.min(self.total)) as f64 / self.done as f64);
        match &self.bar {
            Some(bar) => {
                bar.set_position(self.done as u64);
                bar.set_message(format!("{} left", human(left)));
            }
            None if self.told.elapsed() >= QUIET => {
                self.told = Instant::now();
                note(&format!("{}/{} images, {} left", self.done, self.total, human(left)));
            }
            None => {}
        }
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
