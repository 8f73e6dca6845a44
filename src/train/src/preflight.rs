//! The verb `preflight`: trains a few steps of a cell as a training does, with
//! its images, its augmentation and its batch, scores one batch, and throws
//! everything away but the times.

use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::module::Module;
use dygl_datasets::{DataError, Dataset, Registry};
use dygl_exec::preflight::{Measured, Task};
use dygl_pixels::{Partition, Scored};
use rayon::prelude::*;

use crate::device::{self, Backend, DeviceError};
use crate::evaluate::{self, EvaluateError};
use crate::learn::batch;
use crate::learn::checkpoint::State;
use crate::learn::fit::{FitError, StepAt, Training};
use crate::learn::init;
use crate::learn::optim::AdamW;
use crate::learn::schedule::LearningRate;
use crate::learn::weights;
use crate::net::Net;
use crate::work;

/// More steps than these are not measured, however fast they are.
const MOST_STEPS: usize = 200;

/// Why nothing could be measured; completes "failed to".
#[derive(Debug, thiserror::Error)]
pub enum PreflightError {
    /// The task cannot be read, or what was measured not be written as JSON.
    #[error("read the task {}: {message}", path.display())]
    Task {
        /// The file that the task is written in.
        path: PathBuf,
        /// What the system or the parser says.
        message: String,
    },
    /// The device cannot be used.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The device has another numerics class than the task names.
    #[error("measure on {found}: the task wants {wanted}")]
    Numerics {
        /// The class that the task names.
        wanted: String,
        /// The class of the device here.
        found: String,
    },
    /// The dataset, its split or an image cannot be loaded.
    #[error("load images: {0}")]
    Data(#[from] DataError),
    /// The network cannot be built; why.
    #[error("build the network: {0}")]
    Network(String),
    /// A training step failed, or there is no image to train on.
    #[error("train a step: {0}")]
    Fit(Box<FitError>),
    /// The batch that is scored failed.
    #[error("score an image: {0}")]
    Evaluate(#[from] EvaluateError),
}

/// Why the images of training are not asked for any further.
enum Halt {
    Enough,
    Failed(Box<FitError>),
}

impl From<DataError> for Halt {
    fn from(error: DataError) -> Self {
        Self::Failed(Box::new(error.into()))
    }
}

/// Measures the task that is written in a file; a line of JSON.
///
/// # Errors
/// The task, its dataset or its device cannot be used, or a step fails.
pub fn run(path: &Path) -> Result<String, PreflightError> {
    let begun = Instant::now();
    work::die_with_parent();
    let unreadable = |message: String| PreflightError::Task { path: path.to_owned(), message };
    let text = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
    let task: Task = serde_json::from_slice(&text).map_err(|error| unreadable(error.to_string()))?;
    let backend = device::parse(&task.device)?;
    if backend.numerics != task.numerics {
        return Err(PreflightError::Numerics { wanted: task.numerics, found: backend.numerics });
    }
    let dataset = Dataset::open(&task.cell.dataset, &Registry::at(&task.root))?;
    let partition = dataset.split(&task.cell.protocol.split)?;
    let measured = measure(&task, &dataset, &partition, &backend, begun)?;
    serde_json::to_string(&measured).map_err(|error| unreadable(error.to_string()))
}

fn measure(
    task: &Task,
    dataset: &Dataset,
    partition: &Partition,
    backend: &Backend,
    begun: Instant,
) -> Result<Measured, PreflightError> {
    let (cell, protocol) = (&task.cell, &task.cell.protocol);
    let net = Net::build(&cell.model, [cell.protocol.image.size; 2], &backend.device)
        .map_err(|error| PreflightError::Network(error.to_string()))?;
    let parameters = net.parameters() as u64;
    let values: usize = weights::sites(&net).iter().map(weights::Site::elements).sum();
    let mut training = Training {
        net: init::initialise_for(&cell.model, net, cell.seed).train(),
        optimizer: AdamW::new(&protocol.optimizer),
        best: None,
        state: State::default(),
        seed: cell.seed,
    };
    let seconds_to_start = begun.elapsed().as_secs_f64();
    let (steps, seconds_per_step) = steps(task, dataset, partition, backend, &mut training)?;

    let reported = partition.for_report(protocol).reported.first(protocol.train.batch_size);
    let clock = Instant::now();
    evaluate::score(&training.net.valid(), dataset, &reported, protocol, backend, &mut |_| {})?;
    let seconds_per_scored = clock.elapsed().as_secs_f64() / reported.ids().len().max(1) as f64;

    let clock = Instant::now();
    let ids = partition.for_training(protocol).training.ids();
    let ids = &ids[..ids.len().min(protocol.train.batch_size)];
    ids.par_iter().try_for_each(|id| dataset.resized(id, &protocol.image).map(drop))?;
    let seconds_per_load = clock.elapsed().as_secs_f64() / ids.len().max(1) as f64;
    Ok(Measured {
        steps,
        batch: protocol.train.batch_size.min(partition.counts().train),
        seconds_per_step,
        seconds_per_scored,
        seconds_per_load,
        seconds_to_start,
        parameters,
        weights_bytes: 4 * values as u64,
        peak_memory_bytes: work::peak_memory(),
        device: backend.description.clone(),
    })
}

/// Steps that were measured, and the seconds of one. The first step, which
/// waits for its images and meets cold caches, is not among them; behind it
/// further batches are being prepared as in the middle of an epoch.
fn steps(
    task: &Task,
    dataset: &Dataset,
    partition: &Partition,
    backend: &Backend,
    training: &mut Training,
) -> Result<(usize, f64), PreflightError> {
    let (seed, protocol) = (task.cell.seed, &task.cell.protocol);
    let images = partition.for_training(protocol).training;
    if images.ids().is_empty() {
        return Err(PreflightError::Fit(Box::new(FitError::NoImages)));
    }
    let mut batches: Vec<Vec<String>> = Vec::new();
    let mut epoch = 0;
    while batches.len() < MOST_STEPS + 4 {
        let drawn = batch::order(images, seed, epoch, &protocol.train);
        let full = drawn.first().map_or(0, Vec::len);
        batches.extend(drawn.into_iter().filter(|batch| batch.len() == full));
        epoch += 1;
    }
    let rate =
        LearningRate::new(&protocol.optimizer, &protocol.schedule, protocol.train.epochs, batches.len());
    let device = backend.device.clone().autodiff();
    let mut began = None;
    let (mut count, mut seconds) = (0, 0.0);
    let ended = batch::for_each(dataset, &batches, seed, 0, protocol, |step, batch| {
        let (images, targets) = batch.to_device(&device);
        training
            .step(images, targets, protocol, StepAt { epoch: 0, step, rate: rate.at(0, step) })
            .map_err(|error| Halt::Failed(Box::new(error)))?;
        match began {
            None => began = Some(Instant::now()),
            Some(began) => {
                count = step;
                seconds = began.elapsed().as_secs_f64();
                if seconds >= task.seconds || count >= MOST_STEPS {
                    return Err(Halt::Enough);
                }
            }
        }
        Ok(())
    });
    match ended {
        Ok(()) | Err(Halt::Enough) => Ok((count, seconds / count.max(1) as f64)),
        Err(Halt::Failed(error)) => Err(PreflightError::Fit(error)),
    }
}

#[cfg(test)]
mod tests {
    use dygl_spec::name::Named;
    use dygl_spec::plan::Cell;
    use dygl_spec::standard_protocol;

    use super::*;

    #[test]
    fn a_few_real_steps_are_measured() {
        let folder = tempfile::tempdir().expect("folder");
        let mut protocol = standard_protocol(folder.path()).expect("the built-in one");
        protocol.image.size = 32;
        protocol.train.batch_size = 4;
        let named = |text| Named::parse(text).expect("valid");
        let dataset = named("phantom-polyp,count=20,seed=1,size=32");
        let cell = Cell {
            model: named("dyglnet"),
            asked: dataset.clone(),
            dataset,
            seed: 42,
            protocol: protocol.into(),
            pretrained: None,
        };
        let task = Task {
            cell,
            root: folder.path().join("store"),
            device: "flex".into(),
            numerics: "flex".into(),
            seconds: 0.2,
        };
        let path = folder.path().join("task.json");
        std::fs::write(&path, serde_json::to_vec(&task).expect("JSON")).expect("written");
        let found: Measured = serde_json::from_str(&run(&path).expect("measured")).expect("JSON");
        assert!(
            found.steps >= 1 && found.seconds_per_step > 0.0 && found.seconds_per_scored > 0.0,
            "{found:?}"
        );
        assert_eq!((found.parameters, found.batch), (9_980_098, 4));
        assert!(found.weights_bytes > 4 * found.parameters && found.peak_memory_bytes > found.weights_bytes);
        let wrong = Task { numerics: "libtorch-cpu".into(), ..task };
        std::fs::write(&path, serde_json::to_vec(&wrong).expect("JSON")).expect("written");
        assert!(matches!(run(&path), Err(PreflightError::Numerics { .. })));
    }
}
