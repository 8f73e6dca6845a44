//! Evaluation: masks, per-image scores, trivial predictors, sample images.

mod samples;
mod trivial;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use burn::tensor::Tensor;
use dygl_datasets::{DataError, Dataset};
use dygl_exec::event::WorkerEvent;
use dygl_nn::op::sigmoid;
use dygl_pixels::prepare::Resized;
use dygl_pixels::{ForReport, Scored};
use dygl_spec::metric::{self, Counts, Metric, Scores, Summary};
use dygl_spec::protocol::Protocol;
use dygl_store::record::{Sample, Trivial};
use rayon::prelude::*;

use crate::assignment::Assignment;
use crate::device::Backend;
use crate::learn::batch;
use crate::learn::weights::{self, WeightsError};
use crate::net::Net;
use crate::tell::Teller;

/// Why an evaluation ended without scores.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// An image or its mask cannot be loaded.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The stored weights cannot be read, or are of another network.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The network cannot be built; why.
    #[error("{0}")]
    Network(String),
    /// The output cannot be read off the device, or its size is not the mask's; why.
    #[error("the network's output cannot be read back: {0}")]
    Readback(String),
    /// An output of the network is NaN; the id of the image.
    #[error("the network gives NaN for image `{0}`")]
    NotANumber(String),
    /// The reported part holds no image; which part, in lower case.
    #[error("the reported part `{0}` holds no image")]
    NoImages(String),
    /// `per_image.csv`, or an image or the folder of the samples, cannot be written.
    #[error("{}: {source}", path.display())]
    Write {
        /// What was to be written.
        path: PathBuf,
        /// What the system, or the encoder of the image or the table, says.
        source: io::Error,
    },
}

impl EvaluateError {
    /// What it says of the weights where they are no numbers any more; none of every
    /// other failure.
    pub fn divergence(&self) -> Option<String> {
        matches!(self, EvaluateError::NotANumber(_)).then(|| self.to_string())
    }
}

/// One scored image.
#[derive(Debug)]
pub struct ScoredImage {
    /// Image id in the dataset.
    pub id: String,
    /// Predicted foreground at the network size, row-major.
    pub prediction: Vec<bool>,
    /// Image and truth at the network size.
    pub resized: Resized,
    /// None where the empty-mask rule leaves the image out.
    pub scores: Option<Scores>,
}

/// Scores the images of a role in the order of their ids. `net` must not be in training
/// mode.
///
/// # Errors
/// An image cannot be loaded, or the output cannot be read back.
pub fn score(
    net: &Net,
    dataset: &Dataset,
    images: &impl Scored,
    protocol: &Protocol,
    backend: &Backend,
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<ScoredImage>, EvaluateError> {
    let ids = images.ids();
    let plane = protocol.image.size * protocol.image.size;
    let mut scored = Vec::with_capacity(ids.len());
    for chunk in ids.chunks(protocol.train.batch_size) {
        let prepared: Vec<Resized> = chunk
            .par_iter()
            .map(|id| dataset.resized(id, &protocol.image))
            .collect::<Result<_, DataError>>()?;
        let (inputs, _) = batch::stack(&prepared, protocol).to_device(&backend.device);
        let probabilities = probabilities(net.forward(inputs))?;
        for ((id, resized), values) in chunk.iter().zip(prepared).zip(probabilities.chunks_exact(plane)) {
            if values.iter().any(|p| p.is_nan()) {
                return Err(EvaluateError::NotANumber(id.clone()));
            }
            let prediction: Vec<bool> =
                values.iter().map(|p| f64::from(*p) > protocol.evaluate.threshold).collect();
            let counts = Counts::of(&prediction, &resized.truth())
                .map_err(|error| EvaluateError::Readback(error.to_string()))?;
            let scores = metric::scores(&counts, &protocol.evaluate);
            scored.push(ScoredImage { id: id.clone(), prediction, resized, scores });
        }
        progress(scored.len());
    }
    Ok(scored)
}

fn probabilities(logits: Tensor<4>) -> Result<Vec<f32>, EvaluateError> {
    let data = sigmoid(logits).try_into_data().map_err(|error| EvaluateError::Readback(error.to_string()))?;
    data.try_to_vec::<f32>().map_err(|error| EvaluateError::Readback(format!("{error:?}")))
}

/// The means of scored images.
pub fn summarise(scored: &[ScoredImage]) -> BTreeMap<Metric, Summary> {
    let scores: Vec<Option<Scores>> = scored.iter().map(|image| image.scores).collect();
    metric::summarise(&scores)
}

/// The mean Dice by which epochs are compared; `None` of no image. It is over all images
/// whatever the epoch: one that the empty-mask rule leaves out of a report, because nothing
/// was there and nothing was found, counts as 1.
pub fn selection_dice(scored: &[ScoredImage]) -> Option<f64> {
    let of = |image: &ScoredImage| image.scores.map_or(1.0, |scores| scores.get(Metric::Dice));
    let dice: Vec<f64> = scored.iter().map(of).collect();
    Summary::of(&dice, 0).map(|summary| summary.mean)
}

/// What an evaluation came to.
pub struct Evaluated {
    /// Images scored, those that the empty-mask rule leaves out of the means among them.
    pub images: usize,
    /// Mean and spread of each metric; empty where the empty-mask rule leaves every image out.
    pub summary: BTreeMap<Metric, Summary>,
    /// Mean Dice of predictors that look at no image, on the same part.
    pub trivial: Trivial,
    /// The images that were kept for the report, at most five.
    pub samples: Vec<Sample>,
    /// blake3 of `per_image.csv`.
    pub scores_digest: String,
}

/// Scores the reported part with stored weights and leaves `per_image.csv`
/// and `samples/` in the folder.
///
/// # Errors
/// See [`EvaluateError`].
pub fn evaluate(
    Assignment { job, folder, dataset, backend }: Assignment<'_>,
    weights: &Path,
    images: ForReport<'_>,
    teller: &mut Teller,
) -> Result<Evaluated, EvaluateError> {
    let protocol = &job.cell.protocol;
    let ids = images.reported.ids();
    if ids.is_empty() {
        return Err(EvaluateError::NoImages(format!("{:?}", protocol.evaluate.part).to_lowercase()));
    }
    let net = Net::build(&job.cell.model, [job.cell.protocol.image.size; 2], &backend.device)
        .map_err(|error| EvaluateError::Network(error.to_string()))?;
    let parameters = net.parameters() as u64;
    let net = weights::load(net, weights)?;
    teller.tell(&WorkerEvent::Started { steps: ids.len(), done: 0, parameters });
    let scored = score(&net, dataset, &images.reported, protocol, backend, &mut |done| {
        teller.pace(&WorkerEvent::Scored { done });
    })?;
    let scores_digest = write_scores(&folder.join("per_image.csv"), &scored)?;
    Ok(Evaluated {
        images: scored.len(),
        summary: summarise(&scored),
        trivial: trivial::dice(dataset, images.training, &scored, protocol)?,
        samples: samples::write(&folder.join("samples"), &scored)?,
        scores_digest,
    })
}

/// One line an image, in the order of the ids; empty fields where the
/// empty-mask rule leaves it out. Returns the file's blake3.
fn write_scores(path: &Path, scored: &[ScoredImage]) -> Result<String, EvaluateError> {
    let failed = |source: io::Error| EvaluateError::Write { path: path.to_owned(), source };
    let mut writer = csv::Writer::from_writer(Vec::new());
    let header = std::iter::once("id").chain(Metric::ALL.iter().map(|metric| metric.name()));
    writer.write_record(header).map_err(|error| failed(error.into()))?;
    for image in scored {
        let values = Metric::ALL
            .iter()
            .map(|metric| image.scores.map_or_else(String::new, |s| s.get(*metric).to_string()));
        writer
            .write_record(std::iter::once(image.id.clone()).chain(values))
            .map_err(|error| failed(error.into()))?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(io::Error::other(error.to_string())))?;
    std::fs::write(path, &bytes).map_err(failed)?;
    Ok(blake3::hash(&bytes).to_hex().to_string())
}

#[cfg(test)]
mod tests {
    use dygl_spec::metric::scores;
    use dygl_spec::protocol::{EmptyRule, Evaluate, Part};

    use super::*;

    #[test]
    fn epochs_are_compared_over_the_same_images() {
        let rule = Evaluate { part: Part::Validation, threshold: 0.5, epsilon: 0.0, empty: EmptyRule::Skip };
        let image = |counts: Counts| ScoredImage {
            id: String::new(),
            prediction: Vec::new(),
            resized: Resized { size: 0, rgb: Vec::new(), mask: Vec::new() },
            scores: scores(&counts, &rule),
        };
        let half = Counts { tp: 1, fp: 1, fn_: 1, tn: 1 };
        let (nothing, alarm) =
            (Counts { tn: 4, ..Counts::default() }, Counts { fp: 2, tn: 2, ..Counts::default() });
        // A report leaves out the empty image where nothing is found in it.
        let (quiet, loud) = ([image(half), image(nothing)], [image(half), image(alarm)]);
        assert_eq!(summarise(&quiet)[&Metric::Dice].n, 1);
        assert_eq!(summarise(&loud)[&Metric::Dice].n, 2);
        assert_eq!([&quiet, &loud].map(|epoch| selection_dice(epoch)), [Some(0.75), Some(0.25)]);
        assert_eq!(selection_dice(&[image(nothing)]), Some(1.0));
        assert_eq!(selection_dice(&[]), None);
    }
}
