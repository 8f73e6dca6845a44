//! Predictors that look at no image: what a network must beat.

use dygl_datasets::{DataError, Dataset};
use dygl_pixels::Training;
use dygl_spec::metric::{self, Counts, Metric};
use dygl_spec::protocol::{EmptyRule, Protocol};
use dygl_store::record::Trivial;
use rayon::prelude::*;

use super::{EvaluateError, ScoredImage};

/// Mean Dice on the scored images of "all is foreground" and of the mean
/// training mask, thresholded where that serves the training masks best.
pub(super) fn dice(
    dataset: &Dataset,
    images: Training<'_>,
    scored: &[ScoredImage],
    protocol: &Protocol,
) -> Result<Trivial, EvaluateError> {
    let plane = protocol.image.size * protocol.image.size;
    let training: Vec<Vec<bool>> = images
        .ids()
        .par_iter()
        .map(|id| Ok(dataset.resized(id, &protocol.image)?.truth()))
        .collect::<Result<_, DataError>>()?;
    let mut frequency = vec![0.0; plane];
    for mask in &training {
        for (count, is_foreground) in frequency.iter_mut().zip(mask) {
            *count += f64::from(u8::from(*is_foreground)) / training.len() as f64;
        }
    }
    // What `skip` leaves out depends on the prediction. These are held against the network's
    // means, so they are over the same images; to find nothing where nothing is is right.
    let kept = scored.iter().filter(|image| image.scores.is_some());
    let truths: Vec<Vec<bool>> = kept.map(|image| image.resized.truth()).collect();
    let mut same = protocol.clone();
    if same.evaluate.empty == EmptyRule::Skip {
        same.evaluate.empty = EmptyRule::One;
    }
    let mut best = (vec![false; plane], f64::NEG_INFINITY);
    for tenths in 1..10 {
        let mask: Vec<bool> = frequency.iter().map(|f| *f > f64::from(tenths) / 10.0).collect();
        let dice = mean_dice(&mask, &training, protocol)?;
        if dice > best.1 {
            best = (mask, dice);
        }
    }
    Ok(Trivial {
        all_foreground: mean_dice(&vec![true; plane], &truths, &same)?,
        mean_mask: mean_dice(&best.0, &truths, &same)?,
    })
}

/// Mean Dice of one mask against many.
fn mean_dice(mask: &[bool], truths: &[Vec<bool>], protocol: &Protocol) -> Result<f64, EvaluateError> {
    let scores: Vec<_> = truths
        .iter()
        .map(|truth| {
            let counts =
                Counts::of(mask, truth).map_err(|error| EvaluateError::Readback(error.to_string()))?;
            Ok(metric::scores(&counts, &protocol.evaluate))
        })
        .collect::<Result<_, EvaluateError>>()?;
    Ok(metric::summarise(&scores).get(&Metric::Dice).map_or(0.0, |summary| summary.mean))
}
