//! Has the worker measure passes of a network on this machine: times and the
//! memory of the process. Nothing of it is remembered: a measurement is no
//! function of the sources.

use std::fs;
use std::time::Duration;

use dygl_base::stats;
use dygl_spec::ledger::Size;
use dygl_spec::name::Named;
use serde::{Deserialize, Serialize};

use super::Stop;
use super::child;
use super::local::{self, Local};

/// A measurement that takes longer is given up.
const PATIENCE: Duration = Duration::from_secs(3600);

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pass {
    /// Forward, without gradients and with running statistics, until the
    /// logits are there.
    Inference,
    /// Forward, loss, backward and AdamW, as the trainer does it.
    TrainingStep,
}

impl Pass {
    /// As the worker's `--pass` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Pass::Inference => "inference",
            Pass::TrainingStep => "training-step",
        }
    }

    /// For people: `training step`.
    pub fn words(self) -> &'static str {
        match self {
            Pass::Inference => "inference",
            Pass::TrainingStep => "training step",
        }
    }
}

/// What the worker is to measure, and on what.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Of the images.
    pub size: Size,
    /// Images at once; inference is also measured with one.
    pub batch: usize,
    /// Timed passes, behind one that is not timed.
    pub repeats: usize,
    /// As `--device` calls it.
    pub device: &'a str,
    /// Threads that the worker computes on.
    pub threads: usize,
}

/// What a worker found: one process for each network and pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// NAME or NAME,option=value,...
    pub model: String,
    /// Of the images.
    pub size: Size,
    /// What was measured.
    pub pass: Pass,
    /// For people.
    pub device: String,
    /// What the last digits of results depend on.
    pub numerics: String,
    /// Threads that the worker computed on.
    pub threads: usize,
    /// By batch size, smallest first; measured in turn, not one after another.
    pub timings: Vec<Timing>,
    /// Highest resident memory of the process before the first pass: program,
    /// libraries, weights and images. Main memory, never a card's.
    pub start_memory_bytes: u64,
    /// The same behind the last pass.
    pub peak_memory_bytes: u64,
}

/// Times of passes of one batch size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// Images at once.
    pub batch: usize,
    /// Seconds of each pass, in order.
    pub seconds: Vec<f64>,
    /// Median of `seconds`.
    pub median_seconds: f64,
    /// Least of `seconds`.
    pub fastest_seconds: f64,
    /// First and third quartile.
    pub quartiles_seconds: [f64; 2],
    /// Images per second at the median.
    pub images_per_second: f64,
}

impl Timing {
    /// The summary of some passes; none of no passes.
    pub fn of(batch: usize, seconds: Vec<f64>) -> Option<Self> {
        let quantile = |q| stats::quantile(&seconds, q);
        let median = quantile(0.5)?;
        Some(Self {
            batch,
            median_seconds: median,
            fastest_seconds: quantile(0.0)?,
            quartiles_seconds: [quantile(0.25)?, quantile(0.75)?],
            images_per_second: batch as f64 / median,
            seconds,
        })
    }
}

/// Why there is no measurement.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// The worker cannot be started, or its log cannot be made.
    #[error("cannot start the worker that measures: {0}")]
    Start(std::io::Error),
    /// Memory ran out; `how` tells the worker's end and the last lines of its log.
    #[error(
        "{model}, {} of {batch} at {size} px, needs more memory than there is ({how}): \
         take a smaller --batch or --size",
        pass.words()
    )]
    OutOfMemory {
        /// Network, `NAME,option=value,...`.
        model: String,
        /// What was to be measured.
        pass: Pass,
        /// Images at once.
        batch: usize,
        /// Of the images.
        size: Size,
        /// How the worker ended, with the last lines of its log.
        how: String,
    },
    /// The worker ended otherwise without an answer; `how` as above.
    #[error("{model}, {} of {batch} at {size} px, was not measured: {how}", pass.words())]
    Failed {
        /// Network, `NAME,option=value,...`.
        model: String,
        /// What was to be measured.
        pass: Pass,
        /// Images at once.
        batch: usize,
        /// Of the images.
        size: Size,
        /// How the worker ended, with the last lines of its log.
        how: String,
    },
}

/// Measures a pass in a process of its own.
///
/// # Errors
/// The worker cannot be started, or ends without an answer.
pub fn measure(
    local: &Local,
    model: &Named,
    pass: Pass,
    question: Question<'_>,
) -> Result<Measured, MeasureError> {
    let Question { size, batch, repeats, device, threads } = question;
    let folder = tempfile::tempdir().map_err(MeasureError::Start)?;
    let log = folder.path().join("log.txt");
    let mut command = child::command(local.worker(), threads);
    command.arg("measure").arg(model.to_string()).args(["--pass", pass.name(), "--device", device]);
    command.args(["--size", &size.to_string()]);
    for (option, number) in [("--batch", batch), ("--repeats", repeats)] {
        command.args([option, &number.to_string()]);
    }
    command.stderr(fs::File::create(&log).map_err(MeasureError::Start)?);
    let mut found = None;
    let end =
        child::watch(command, &Stop::default(), Some(PATIENCE), &mut |told: Measured| found = Some(told))
            .map_err(MeasureError::Start)?;
    match found {
        Some(found) if end.status.success() => Ok(found),
        _ => {
            let tail = local::log_tail(&log);
            let how = if tail.is_empty() { end.how() } else { format!("{}: {tail}", end.how()) };
            let model = model.to_string();
            Err(if end.out_of_memory(&tail) {
                MeasureError::OutOfMemory { model, pass, batch, size, how }
            } else {
                MeasureError::Failed { model, pass, batch, size, how }
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_summed_up_by_order() {
        let timing = Timing::of(4, vec![5.0, 1.0, 2.0, 4.0, 3.0]).expect("five");
        assert_eq!((timing.median_seconds, timing.fastest_seconds), (3.0, 1.0));
        assert_eq!(timing.quartiles_seconds, [2.0, 4.0]);
        assert!((timing.images_per_second - 4.0 / 3.0).abs() < 1e-12);
        assert_eq!(timing.seconds, [5.0, 1.0, 2.0, 4.0, 3.0]);
        assert_eq!(Timing::of(1, Vec::new()), None);
    }
}
