//! Predicting masks of images that belong to no dataset: what the worker is
//! told, and what it tells.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use dygl_datasets::outputs;
use dygl_pixels::ImageRule;
use dygl_pixels::decode::Facts;
use dygl_pixels::mask::MaskRule;
use dygl_spec::metric::Metric;
use dygl_spec::name::Named;
use dygl_spec::ops::cores;
use dygl_spec::protocol::{Evaluate, Image};
use serde::{Deserialize, Serialize};

use super::child;
use super::local::Local;
use super::{Stop, machine};

/// What `dygl-worker predict FILE` finds in its file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The network, `NAME,option=value,...`.
    pub model: Named,
    /// Safetensors under the reference's names.
    pub weights: PathBuf,
    /// blake3 of that file; the worker refuses another.
    pub weights_digest: String,
    /// How an image becomes network input.
    pub image: Image,
    /// How the values of a file become levels of 8 bits before that.
    #[serde(default)]
    pub range: ImageRule,
    /// The threshold, and how scores treat empty masks.
    pub evaluate: Evaluate,
    /// What of the true masks is foreground.
    pub truth_rule: MaskRule,
    /// Images of one forward pass.
    pub batch_size: usize,
    /// `auto`, `flex`, ...
    pub device: String,
    /// Images to predict, in this order.
    pub pictures: Vec<Picture>,
    /// Folder of the outputs.
    pub out: PathBuf,
    /// What is written for each of them.
    pub outputs: Outputs,
}

/// What is written for each image, beside the mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outputs {
    /// Whether a picture of the foreground probabilities is written.
    pub probability: bool,
    /// Whether a picture of the mask over the image is written.
    pub overlay: bool,
    /// Everything at the network's size instead of the image's own.
    pub at_network_size: bool,
}

/// One image to predict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// Path of the image.
    pub file: PathBuf,
    /// Name of its outputs inside the folder, without the endings of
    /// [`Outputs::endings`]; may hold folders.
    pub name: String,
    /// The true mask, where scores are wanted.
    pub truth: Option<PathBuf>,
}

impl Outputs {
    /// How the files of an image end. The mask is written last: where it is,
    /// all are.
    pub fn endings(self) -> Vec<&'static str> {
        let mut endings = Vec::new();
        if self.probability {
            endings.push(outputs::PROBABILITY);
        }
        if self.overlay {
            endings.push(outputs::OVERLAY);
        }
        endings.push(outputs::MASK);
        endings
    }
}

/// One image, predicted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// [`Picture::name`].
    pub name: String,
    /// [`Picture::file`].
    pub file: PathBuf,
    /// blake3 of the image file.
    pub blake3: String,
    /// Of the image as it is shown: turned as its orientation tag says.
    pub width: u32,
    /// Of the same.
    pub height: u32,
    /// What the image's file holds beside its pixels, orientation tag included.
    #[serde(default)]
    pub facts: Option<Facts>,
    /// Share of the mask's pixels that are foreground, 0..1.
    pub foreground: f64,
    /// Mean over the pixels, 0..1.
    pub mean_probability: f64,
    /// Reading and writing this image, and its share of the forward pass.
    pub seconds: f64,
    /// Against the true mask; none without one, or where the empty-mask rule
    /// leaves the image out.
    pub scores: Option<BTreeMap<Metric, f64>>,
}

/// Told by the worker, one JSON object a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The network is loaded; the images follow.
    Started {
        /// Trainable values of the network.
        parameters: u64,
        /// Human name of the device.
        device: String,
        /// The numerics class of what it computes.
        numerics: String,
        /// The vector instructions in use.
        simd: String,
        /// Threads that it computes on.
        threads: usize,
    },
    /// The outputs of an image are written.
    Predicted(Prediction),
    /// This image has no outputs.
    Failed {
        /// [`Picture::name`].
        name: String,
        /// [`Picture::file`].
        file: PathBuf,
        /// blake3 of the image file; none where that could not be read.
        blake3: Option<String>,
        /// Why, for people.
        reason: String,
    },
}

/// How the worker ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// `exit status 1`, `killed by signal 9`, and that memory ran out.
    pub how: String,
}

/// Runs the worker on a job that was written to `job`. What it has to say
/// besides events goes to this process's standard error.
///
/// # Errors
/// The worker cannot be started.
pub fn run(local: &Local, job: &Path, stop: &Stop, tell: &mut dyn FnMut(Event)) -> std::io::Result<Ended> {
    let mut command = child::command(local.worker(), cores());
    command.arg("predict").arg(job).stderr(Stdio::inherit());
    let end = child::watch(command, stop, None, tell)?;
    let mut how = end.how();
    if end.out_of_memory("") {
        how.push_str(&format!(
            ": out of memory with {} MiB of {} MiB in use; give a smaller --batch",
            end.peak >> 20,
            machine::memory().total >> 20
        ));
    }
    Ok(Ended { code: end.status.code(), how })
}
