//! The training loop.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use burn::module::Module;
use burn::tensor::Tensor;
use dygl_base::random::Stream;
use dygl_datasets::DataError;
use dygl_exec::event::WorkerEvent;
use dygl_exec::job::Job;
use dygl_nn::op::{autocast, noise};
use dygl_pixels::{ForTraining, Scored};
use dygl_spec::protocol::{Precision, Protocol, SelectionRule};
use dygl_spec::selecting::NothingToSelect;
use dygl_store::record::{HistoryRow, Outcome, Start};

use crate::assignment::Assignment;
use crate::evaluate::{self, EvaluateError};
use crate::learn::batch;
use crate::learn::checkpoint::{self, CheckpointError, State};
use crate::learn::init;
use crate::learn::loss::mean_loss;
use crate::learn::optim::{AdamW, GradientSet};
use crate::learn::pretrained::{self, PretrainedError};
use crate::learn::schedule::LearningRate;
use crate::learn::tensors::{self, TensorFileError, Tensors};
use crate::learn::weights;
use crate::net::Net;
use crate::tell::Teller;

/// Between checkpoints; a stop writes one at once after its epoch. Neither
/// touches the result.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(60);

/// Why training ended without weights.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    /// An image or its mask cannot be loaded.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A checkpoint cannot be written or read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// `model.safetensors` cannot be written.
    #[error(transparent)]
    Tensors(#[from] TensorFileError),
    /// The selection part cannot be scored.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// Training cannot start from the file that the cell names.
    #[error("failed to {0}")]
    Pretrained(#[from] PretrainedError),
    /// The network cannot be built; why.
    #[error("{0}")]
    Network(String),
    /// `history.csv` cannot be written.
    #[error("failed to write {}: {source}", path.display())]
    Write {
        /// Where it was to lie.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The loss, a gradient or an output of the network is not finite.
    #[error("diverged in epoch {epoch}, step {step}: {message}")]
    Diverged {
        /// 1-based.
        epoch: usize,
        /// 1-based within the epoch; 0 where scoring it behind the last step showed it.
        step: usize,
        /// What is not finite.
        message: String,
    },
    /// The training part holds no image.
    #[error("the training part is empty")]
    NoImages,
    /// The rule wants the best epoch, and none would be scored.
    #[error("the best epoch cannot be selected: {0}")]
    NothingToSelect(#[from] NothingToSelect),
}

impl FitError {
    /// As a record keeps it.
    pub fn outcome(&self) -> Outcome {
        match self {
            FitError::Diverged { epoch, step, message } => {
                Outcome::Diverged { epoch: *epoch, step: *step, message: message.clone() }
            }
            other => Outcome::Failed { message: other.to_string() },
        }
    }
}

/// What training came to.
pub enum Fitted {
    /// Every epoch is trained: what training carried, and the network's number of parameters.
    Done(State, u64),
    /// Stopped on request; the checkpoint is written.
    Stopped,
}

/// Trains a cell and leaves `model.safetensors` and `history.csv` in the folder.
///
/// # Errors
/// See [`FitError`].
pub fn fit(
    assignment: Assignment<'_>,
    images: ForTraining<'_>,
    teller: &mut Teller,
    stop: &AtomicBool,
) -> Result<Fitted, FitError> {
    let Assignment { job, folder, backend, .. } = assignment;
    let protocol = &job.cell.protocol;
    if images.training.ids().is_empty() {
        return Err(FitError::NoImages);
    }
    let scored = images.selecting.map_or(0, |selecting| selecting.ids().len());
    if let Some(nothing) = protocol.nothing_to_select(scored) {
        return Err(nothing.into());
    }
    let net = Net::build(&job.cell.model, [protocol.image.size; 2], &backend.device)
        .map_err(|error| FitError::Network(error.to_string()))?;
    let parameters = net.parameters() as u64;
    let mut run = Training::begin(job, folder, net)?;
    let steps_per_epoch = batch::order(images.training, job.cell.seed, 0, &protocol.train).len();
    let rate =
        LearningRate::new(&protocol.optimizer, &protocol.schedule, protocol.train.epochs, steps_per_epoch);
    teller.tell(&WorkerEvent::Started {
        steps: steps_per_epoch * protocol.train.epochs,
        done: run.state.steps_done,
        parameters,
    });
    if let Some(Start { file, tensors, of, .. }) = &run.state.start {
        let (file, tensors, of) = (file.clone(), *tensors, *of);
        teller.tell(&WorkerEvent::Pretrained { file, tensors, of });
    }
    let mut saved = Instant::now();
    for epoch in run.state.epochs_done..protocol.train.epochs {
        run.epoch(assignment, images, &rate, epoch, teller)?;
        let is_last = epoch + 1 == protocol.train.epochs;
        let stopping = stop.load(Ordering::SeqCst) && !is_last;
        if stopping || (saved.elapsed() >= CHECKPOINT_EVERY && !is_last) {
            checkpoint::save(folder, &run.net, &run.optimizer, run.best.as_ref(), &run.state)?;
            teller.tell(&WorkerEvent::Checkpoint { epoch: epoch + 1 });
            saved = Instant::now();
        }
        if stopping {
            return Ok(Fitted::Stopped);
        }
    }
    let path = folder.join("model.safetensors");
    match &run.best {
        Some(best) => tensors::write(&path, best)?,
        None => tensors::write(&path, &weights::snapshot(&run.net))?,
    }
    if run.best.is_none() {
        run.state.best_epoch = run.state.epochs_done;
    }
    write_history(&folder.join("history.csv"), &run.state.history)?;
    Ok(Fitted::Done(run.state, parameters))
}

/// A training under way.
pub(crate) struct Training {
    pub(crate) net: Net,
    pub(crate) optimizer: AdamW,
    /// Weights of the best epoch, where the rule wants them.
    pub(crate) best: Option<Tensors>,
    pub(crate) state: State,
    /// From which what training drops is drawn.
    pub(crate) seed: u64,
}

impl Training {
    fn begin(job: &Job, folder: &Path, net: Net) -> Result<Self, FitError> {
        let spec = &job.cell.protocol.optimizer;
        match checkpoint::load(folder, &job.key, net, spec)? {
            Ok(resumed) => Ok(Self {
                net: resumed.net.train(),
                optimizer: resumed.optimizer,
                best: resumed.best,
                state: resumed.state,
                seed: job.cell.seed,
            }),
            Err(net) => {
                let net = init::initialise_for(&job.cell.model, net, job.cell.seed);
                let (net, start) = match &job.cell.pretrained {
                    Some(from) => {
                        let (net, start) = pretrained::lay(net, from)?;
                        (net, Some(start))
                    }
                    None => (net, None),
                };
                Ok(Self {
                    net: net.train(),
                    optimizer: AdamW::new(spec),
                    best: None,
                    state: State { key: job.key.clone(), start, ..State::default() },
                    seed: job.cell.seed,
                })
            }
        }
    }

    fn epoch(
        &mut self,
        assignment: Assignment<'_>,
        images: ForTraining<'_>,
        rate: &LearningRate,
        epoch: usize,
        teller: &mut Teller,
    ) -> Result<(), FitError> {
        let Assignment { job, dataset, backend, .. } = assignment;
        let protocol = &job.cell.protocol;
        let started = Instant::now();
        let steps = batch::order(images.training, job.cell.seed, epoch, &protocol.train);
        let device = backend.device.clone().autodiff();
        let mut sums = Sums::default();
        batch::for_each(dataset, &steps, job.cell.seed, epoch, protocol, |step, batch| {
            let (inputs, targets) = batch.to_device(&device);
            let count = inputs.dims()[0] as f64;
            let at = StepAt { epoch, step, rate: rate.at(epoch, step) };
            let parts = self.step(inputs, targets, protocol, at)?;
            sums.add(&parts, count);
            self.state.steps_done += 1;
            teller.pace(&WorkerEvent::Step {
                done: self.state.steps_done,
                epoch: epoch + 1,
                loss: parts.loss,
            });
            Ok::<(), FitError>(())
        })?;
        self.state.epochs_done = epoch + 1;
        let select_dice = self.select(assignment, images, epoch)?;
        let seconds = started.elapsed().as_secs_f64();
        self.state.seconds += seconds;
        let row = HistoryRow {
            epoch: epoch + 1,
            learning_rate: rate.at(epoch, steps.len().saturating_sub(1)),
            loss: sums.loss / sums.images,
            bce: sums.bce / sums.images,
            dice_loss: sums.dice / sums.images,
            select_dice,
            gradient_norm: sums.norm / sums.images,
            seconds,
        };
        teller.tell(&WorkerEvent::Epoch {
            epoch: epoch + 1,
            epochs: protocol.train.epochs,
            loss: row.loss,
            learning_rate: row.learning_rate,
            select_dice,
            seconds,
        });
        self.state.history.push(row);
        Ok(())
    }

    /// One optimizer step; refuses to step on anything that is not finite.
    pub(crate) fn step(
        &mut self,
        images: Tensor<4>,
        targets: Tensor<4>,
        protocol: &Protocol,
        StepAt { epoch, step, rate }: StepAt,
    ) -> Result<StepParts, FitError> {
        let diverged = |message: String| FitError::Diverged { epoch: epoch + 1, step: step + 1, message };
        let outputs = {
            let _products = autocast(protocol.train.precision == Precision::Bf16Amp);
            let words = [self.net.name(), &epoch.to_string(), &step.to_string()];
            let mut stream = Stream::new(self.seed, "drop", &words);
            let _drops = noise(move || stream.unit());
            self.net.outputs(images)
        };
        let parts = mean_loss(outputs, targets, &protocol.loss);
        let value = scalar(parts.total.clone());
        if !value.is_finite() {
            return Err(diverged(format!("the loss is {value}")));
        }
        let (bce, dice) = (scalar(parts.bce), scalar(parts.dice));
        let grads = parts.total.backward();
        let gradients =
            GradientSet::collect(&self.net, &grads).map_err(|error| diverged(error.to_string()))?;
        let norm = gradients.norm();
        // The network moves through the optimizer; a clone shares its tensors.
        self.net = self.optimizer.step(self.net.clone(), gradients, rate);
        Ok(StepParts { loss: value, bce, dice, norm })
    }

    /// Scores the selection part where this epoch is due, and remembers the
    /// best weights where the rule wants them.
    fn select(
        &mut self,
        Assignment { job, dataset, backend, .. }: Assignment<'_>,
        images: ForTraining<'_>,
        epoch: usize,
    ) -> Result<Option<f64>, FitError> {
        let selection = &job.cell.protocol.selection;
        let Some(selecting) = images.selecting else { return Ok(None) };
        if !(epoch + 1).is_multiple_of(selection.every) {
            return Ok(None);
        }
        let scored =
            evaluate::score(&self.net.valid(), dataset, &selecting, &job.cell.protocol, backend, &mut |_| {})
                .map_err(|error| match error.divergence() {
                    // What the loss would show a step later.
                    Some(message) => FitError::Diverged { epoch: epoch + 1, step: 0, message },
                    None => error.into(),
                })?;
        let Some(dice) = evaluate::selection_dice(&scored) else { return Ok(None) };
        if selection.rule == SelectionRule::BestDice && (self.best.is_none() || dice > self.state.best_dice) {
            self.state.best_dice = dice;
            self.state.best_epoch = epoch + 1;
            self.best = Some(weights::snapshot(&self.net));
        }
        Ok(Some(dice))
    }
}

/// Where in a training a step is, both from 0, and its learning rate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StepAt {
    pub(crate) epoch: usize,
    pub(crate) step: usize,
    pub(crate) rate: f64,
}

pub(crate) struct StepParts {
    loss: f64,
    bce: f64,
    dice: f64,
    norm: f64,
}

/// Sums over an epoch's images.
#[derive(Default)]
struct Sums {
    loss: f64,
    bce: f64,
    dice: f64,
    norm: f64,
    images: f64,
}

impl Sums {
    fn add(&mut self, parts: &StepParts, images: f64) {
        self.loss += parts.loss * images;
        self.bce += parts.bce * images;
        self.dice += parts.dice * images;
        self.norm += parts.norm * images;
        self.images += images;
    }
}

/// The value of a tensor of one element; NaN if it cannot be read.
fn scalar(tensor: Tensor<1>) -> f64 {
    tensor
        .try_into_data()
        .ok()
        .and_then(|data| data.try_to_vec::<f32>().ok())
        .and_then(|values| values.first().copied())
        .map_or(f64::NAN, f64::from)
}

fn write_history(path: &Path, history: &[HistoryRow]) -> Result<(), FitError> {
    let failed = |error: csv::Error| FitError::Write { path: path.to_owned(), source: error.into() };
    let mut writer = csv::Writer::from_path(path).map_err(failed)?;
    for row in history {
        writer.serialize(row).map_err(failed)?;
    }
    writer.flush().map_err(|source| FitError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;
    use dygl_spec::name::Named;

    use super::*;
    use crate::device::{self, Backend};
    use crate::learn::loss::{REFERENCE, loss};

    /// All gradients of a step of DyGLNet, in the order of their names.
    fn gradients(backend: &Backend, images: &TensorData, targets: &TensorData, mixed: bool) -> Vec<f64> {
        let net = Net::build(&Named::plain("dyglnet"), [64; 2], &backend.device).expect("known");
        let net = init::initialise(net, 1).train();
        let device = backend.device.clone().autodiff();
        let logits = {
            let _products = autocast(mixed);
            net.forward(Tensor::from_data(images.clone(), &device))
        };
        let parts = loss(logits, Tensor::from_data(targets.clone(), &device), &REFERENCE);
        let found = weights::gradients(&net, &parts.total.backward());
        let values = found.values().map(|data| data.try_to_vec::<f32>().expect("gradients are f32"));
        values.flatten().map(f64::from).collect()
    }

    #[test]
    fn gradients_in_mixed_precision_point_where_those_of_f32_do() {
        let draw = |what, channels: usize, low| {
            let mut values = vec![0.0; 4 * channels * 64 * 64];
            Stream::new(1, "test", &[what]).fill(low, 1.0, &mut values);
            TensorData::new(values, [4, channels, 64, 64])
        };
        let (images, targets) = (draw("images", 3, -1.0), draw("targets", 1, 0.0));
        let offered = device::all().expect("devices").devices;
        for offer in offered.iter().filter(|offer| ["flex", "tch-cpu"].contains(&offer.name.as_str())) {
            let backend = device::parse(&offer.name).expect("offered");
            let exact = gradients(&backend, &images, &targets, false);
            let mixed = gradients(&backend, &images, &targets, true);
            let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let norms = [&exact, &mixed].map(|values| product(values, values).sqrt());
            let cosine = product(&exact, &mixed) / (norms[0] * norms[1]);
            println!("{}: cosine {cosine:.5}, norms {norms:?}", offer.name);
            // Products keep eight bits; batch statistics of small maps enlarge that:
            // over 24 draws of the images flex gave cosines from 0.950 to 0.978.
            assert!(cosine > 0.93, "{}: cosine {cosine}", offer.name);
            assert!((norms[1] / norms[0] - 1.0).abs() < 0.1, "{}: norms {norms:?}", offer.name);
            assert_ne!(exact, mixed, "{}: nothing was rounded", offer.name);
        }
    }
}
