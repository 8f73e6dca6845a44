//! The verb `predict`: masks, probabilities and overlays of images that
//! belong to no dataset.
//!
//! An image goes the way of an evaluated one: decoded and turned as its
//! orientation tag says, so that the outputs lie as a viewer shows it, resized to the
//! network's size by the protocol's filter, normalised, through the network.
//! The logits are then resized to the image's own size ([`picture::resize`]),
//! and only there become probabilities and a mask. An image that has the
//! network's size gets exactly the mask that an evaluation gives it.

mod picture;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData};
use dygl_base::exit::Exit;
use dygl_datasets::Problem;
use dygl_exec::predict::{Event, Job, Picture, Prediction};
use dygl_pixels::decode::{self, Decoded, Facts};
use dygl_pixels::prepare::Resized;
use dygl_pixels::{mask, resize};
use dygl_spec::metric::{self, Counts};
use image::{GrayImage, Luma};
use rayon::prelude::*;

use crate::device::{self, Backend, DeviceError};
use crate::learn::weights::{self, WeightsError};
use crate::net::Net;
use crate::work;

/// Images with more pixels than this are read and written one at a time.
const LARGE: u64 = 1 << 25;

/// Why nothing could be predicted; completes "failed to".
#[derive(Debug, thiserror::Error)]
pub enum PredictError {
    /// The job cannot be read.
    #[error("read the job {}: {message}", path.display())]
    Job {
        /// The file that it is written in.
        path: PathBuf,
        /// What the system or the parser says.
        message: String,
    },
    /// The device cannot be used.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The network cannot be built; why.
    #[error("build the network: {0}")]
    Network(String),
    /// The weights cannot be read, or are of another network.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The weights are not those any more whose digest the job names.
    #[error("use {}: the file changed since it was looked at; start again", path.display())]
    Changed {
        /// Their file.
        path: PathBuf,
    },
    /// SIGINT and SIGTERM cannot be watched for.
    #[error("watch for signals: {0}")]
    Signals(std::io::Error),
}

impl PredictError {
    /// The exit code that says what kind of failure it is.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Network(_) => Exit::Usage,
            Self::Weights(WeightsError::File(error)) if error.is_missing() => Exit::Environment,
            Self::Weights(_) => Exit::Usage,
            Self::Device(DeviceError::Unknown(_)) => Exit::Usage,
            _ => Exit::Environment,
        }
    }
}

/// Does the job that is written in a file. Each image is told of as soon as
/// its files are in place; one that cannot be read or written ends nothing.
///
/// # Errors
/// The job, the device or the weights cannot be used: nothing was written.
pub fn run(path: &Path) -> Result<Exit, PredictError> {
    work::die_with_parent();
    let unreadable = |message: String| PredictError::Job { path: path.to_owned(), message };
    let text = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
    let job: Job = serde_json::from_slice(&text).map_err(|error| unreadable(error.to_string()))?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop)).map_err(PredictError::Signals)?;
    }
    let backend = device::parse(&job.device)?;
    let net = load(&job, &backend)?;
    tell(&Event::Started {
        parameters: net.parameters() as u64,
        device: backend.description.clone(),
        numerics: backend.numerics.to_owned(),
        simd: backend.simd.to_owned(),
        threads: rayon::current_num_threads(),
    });
    for chunk in job.pictures.chunks(job.batch_size.max(1)) {
        if stop.load(Ordering::SeqCst) {
            return Ok(Exit::Interrupted);
        }
        predict(&job, &net, &backend.device, chunk).iter().for_each(tell);
    }
    Ok(Exit::Ok)
}

fn load(job: &Job, backend: &Backend) -> Result<Net, PredictError> {
    let net = Net::build(&job.model, [job.image.size; 2], &backend.device)
        .map_err(|error| PredictError::Network(error.to_string()))?;
    let net = weights::load(net, &job.weights)?;
    // After the load: what was loaded is what was looked at, or it is no longer there.
    match work::digest(&job.weights) {
        Ok(digest) if digest == job.weights_digest => Ok(net),
        _ => Err(PredictError::Changed { path: job.weights.clone() }),
    }
}

/// Whoever started this may have hung up; the files are written all the same.
fn tell(event: &Event) {
    if let Ok(line) = serde_json::to_string(event) {
        let _ = writeln!(std::io::stdout(), "{line}");
    }
}

/// An image that was read.
struct Read<'a> {
    picture: &'a Picture,
    /// The file's bytes: the picture itself is decoded again when it is drawn
    /// upon, so that a batch of large images is never in memory as a whole.
    bytes: Vec<u8>,
    blake3: String,
    /// As it is shown.
    width: u32,
    height: u32,
    facts: Facts,
    resized: Resized,
    seconds: f64,
}

/// Predicts one batch; an event for each image, in their order.
fn predict(job: &Job, net: &Net, device: &Device, chunk: &[Picture]) -> Vec<Event> {
    let read: Vec<Result<Read<'_>, Box<Event>>> =
        chunk.par_iter().map(|picture| read(job, picture)).collect();
    let good: Vec<&Read<'_>> = read.iter().flatten().collect();
    let (side, started) = (job.image.size, Instant::now());
    let plane = side * side;
    let mut input = vec![0.0; good.len() * 3 * plane];
    for (read, into) in good.iter().zip(input.chunks_exact_mut(3 * plane)) {
        read.resized.write_input(&job.image, into);
    }
    let logits = if good.is_empty() {
        Ok(Vec::new())
    } else {
        let input = TensorData::new(input, [good.len(), 3, side, side]);
        picture::values(net.forward(Tensor::<4>::from_data(input, device)))
    };
    let share = started.elapsed().as_secs_f64() / good.len().max(1) as f64;
    let each = |(index, read): (usize, &&Read<'_>)| {
        let outcome = match &logits {
            Ok(all) => write(job, device, read, &all[index * plane..][..plane], share),
            Err(message) => Err(message.clone()),
        };
        outcome.map_or_else(
            |reason| Event::Failed {
                name: read.picture.name.clone(),
                file: read.picture.file.clone(),
                blake3: Some(read.blake3.clone()),
                reason,
            },
            Event::Predicted,
        )
    };
    let large = good.iter().any(|read| u64::from(read.width) * u64::from(read.height) > LARGE);
    let written: Vec<Event> = if large {
        good.iter().enumerate().map(each).collect()
    } else {
        good.par_iter().enumerate().map(each).collect()
    };
    let mut written = written.into_iter();
    read.into_iter()
        .filter_map(|read| match read {
            Ok(_) => written.next(),
            Err(failed) => Some(*failed),
        })
        .collect()
}

fn read<'a>(job: &Job, picture: &'a Picture) -> Result<Read<'a>, Box<Event>> {
    let started = Instant::now();
    let failed = |reason: String, blake3: Option<String>| {
        let (name, file) = (picture.name.clone(), picture.file.clone());
        Box::new(Event::Failed { name, file, blake3, reason })
    };
    let bytes = std::fs::read(&picture.file)
        .map_err(|error| failed(format!("{}: {error}", picture.file.display()), None))?;
    let blake3 = blake3::hash(&bytes).to_hex().to_string();
    let Decoded { pixels: decoded, facts } = decode::rgb(&bytes, &picture.file, job.range)
        .map_err(|error| failed(error.to_string(), Some(blake3.clone())))?;
    if let Some(dark) = facts.too_dark(job.range) {
        return Err(failed(format!("{}: {dark}", picture.file.display()), Some(blake3)));
    }
    let (width, height) = decoded.dimensions();
    if width == 0 || height == 0 {
        let reason = format!("{}: it has no pixels ({width}x{height})", picture.file.display());
        return Err(failed(reason, Some(blake3)));
    }
    let size = job.image.size;
    let rgb = resize::image(&decoded, size as u32, job.image.filter).into_raw();
    let resized = Resized { size, rgb, mask: Vec::new() };
    let seconds = started.elapsed().as_secs_f64();
    Ok(Read { picture, bytes, blake3, width, height, facts, resized, seconds })
}

/// From an image's logits at the network's size to its files.
fn write(
    job: &Job,
    device: &Device,
    read: &Read<'_>,
    logits: &[f32],
    share: f64,
) -> Result<Prediction, String> {
    let started = Instant::now();
    let side = job.image.size as u32;
    let (width, height) = if job.outputs.at_network_size { (side, side) } else { (read.width, read.height) };
    let logits = picture::resize(logits, side, width, height);
    let probabilities = picture::probabilities(logits, device)?;
    if probabilities.iter().any(|p| p.is_nan()) {
        return Err(format!("{}: the network gives NaN for it", read.picture.file.display()));
    }
    let mask: Vec<u8> =
        probabilities.iter().map(|p| mask::level(f64::from(*p) > job.evaluate.threshold)).collect();
    let pixels = probabilities.len() as f64;
    let foreground = mask.iter().filter(|value| **value > 0).count() as f64 / pixels;
    let mean_probability = probabilities.iter().map(|p| f64::from(*p)).sum::<f64>() / pixels;
    let mask = GrayImage::from_raw(width, height, mask).ok_or("the mask has another size")?;
    let truth = truth(read, job, (width, height))?;

    let place = |ending: &str| job.out.join(format!("{}{ending}", read.picture.name));
    if job.outputs.probability {
        let grey = GrayImage::from_fn(width, height, |x, y| {
            Luma([(probabilities[y as usize * width as usize + x as usize] * 255.0).round() as u8])
        });
        picture::save(&place(".probability.png"), grey)?;
    }
    if job.outputs.overlay {
        let mut image = decode::rgb(&read.bytes, &read.picture.file, job.range)
            .map_err(|error| error.to_string())?
            .pixels;
        if job.outputs.at_network_size {
            image = resize::image(&image, side, job.image.filter);
        }
        picture::save(&place(".overlay.png"), picture::overlay(image, &mask, truth.as_ref())?)?;
    }
    let scores = match &truth {
        Some(truth) => {
            let counts =
                Counts::of_bytes(mask.as_raw(), truth.as_raw()).map_err(|error| error.to_string())?;
            metric::scores(&counts, &job.evaluate).map(metric::Scores::to_map)
        }
        None => None,
    };
    picture::save(&place(".mask.png"), mask)?;
    Ok(Prediction {
        name: read.picture.name.clone(),
        file: read.picture.file.clone(),
        blake3: read.blake3.clone(),
        width: read.width,
        height: read.height,
        facts: Some(read.facts.clone()),
        foreground,
        mean_probability,
        seconds: read.seconds + share + started.elapsed().as_secs_f64(),
        scores,
    })
}

/// The true mask as 0 and 255, at the size that is scored.
fn truth(read: &Read<'_>, job: &Job, size: (u32, u32)) -> Result<Option<GrayImage>, String> {
    let Some(path) = &read.picture.truth else { return Ok(None) };
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let Decoded { pixels: truth, facts } =
        decode::mask(&bytes, path, job.truth_rule).map_err(|error| error.to_string())?;
    let shown = (read.width, read.height);
    if truth.dimensions() != shown {
        let [image, file] = [&read.picture.file, path].map(|file| file.display().to_string());
        let problem = Problem::of_sizes((&image, shown, &read.facts), (&file, truth.dimensions(), &facts));
        return Err(problem.to_string());
    }
    let truth = if job.outputs.at_network_size { resize::mask(&truth, size.0) } else { truth };
    Ok(Some(mask::hard(&truth)))
}
