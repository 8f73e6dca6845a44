//! What a run's page says of one attempt: scores, warnings, figures, overlays,
//! every image, provenance.

use dygl_base::random::Stream;
use dygl_base::stats::{self, Interval};
use dygl_spec::metric::Metric;
use serde::Serialize;

use dygl_datasets::overlay::overlay;

use super::picture::{PictureError, data_uri, thumbnail_uri};
use super::provenance::{Facts, provenance};
use super::{Options, ReportError, format};
use crate::plot;
use crate::table::results::{Finished, ImageScores};
use crate::table::{part_name, warnings};

const RESAMPLES: usize = 1_000;
const LEVEL: f64 = 0.95;
/// Below this many images a percentile interval is known to be too narrow.
const ENOUGH_IMAGES: usize = 50;

/// One attempt with numbers.
#[derive(Debug, Serialize)]
pub(super) struct Attempt {
    digest: String,
    scores: Vec<Score>,
    /// Images in the means.
    images: usize,
    /// Images left out of them.
    skipped: usize,
    interval_note: String,
    all_foreground: String,
    mean_mask: String,
    warnings: Vec<String>,
    curves: Vec<Figure>,
    distributions: Vec<Figure>,
    /// Headers of the scores in `per_image`.
    metrics: Vec<&'static str>,
    /// Every scored image, lowest Dice first.
    per_image: Vec<ImageRow>,
    overlays: Vec<Overlay>,
    images_withheld: bool,
    provenance: Vec<Facts>,
}

#[derive(Debug, Serialize)]
struct Score {
    metric: &'static str,
    mean: String,
    interval: Option<String>,
    std: String,
    median: Option<String>,
}

#[derive(Debug, Serialize)]
struct Figure {
    title: &'static str,
    svg: String,
}

#[derive(Debug, Serialize)]
struct ImageRow {
    id: String,
    /// Percent, one per metric.
    scores: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Overlay {
    role: String,
    id: String,
    dice: String,
    uri: String,
}

/// What there is to say of a finished attempt.
pub(super) fn attempt(finished: &Finished, options: &Options) -> Result<Attempt, ReportError> {
    let eval = &finished.eval;
    let show_images = may_show_images(finished, options);
    let mut overlays = Vec::new();
    for sample in &finished.samples {
        let image = sample.image.as_ref().filter(|_| show_images);
        overlays.push(Overlay {
            role: sample.sample.role.clone(),
            id: sample.sample.id.clone(),
            dice: format::percent(sample.sample.dice),
            uri: data_uri(&overlay(image, &sample.truth, &sample.prediction).map_err(PictureError::from)?)?,
        });
    }
    let scores: Vec<(Metric, Vec<f64>)> = eval.mean.keys().map(|m| (*m, values(finished, *m))).collect();
    let dice_interval = interval(finished, Metric::Dice);
    Ok(Attempt {
        digest: finished.attempt.clone(),
        scores: scores.iter().map(|(metric, values)| score(finished, *metric, values)).collect(),
        images: eval.averaged(),
        skipped: eval.skipped,
        interval_note: format!(
            "{:.0} % CI over {} images ({RESAMPLES} bootstrap resamples)",
            LEVEL * 100.0,
            part_name(eval.cell.protocol.evaluate.part)
        ),
        all_foreground: format::percent(eval.trivial.all_foreground),
        mean_mask: format::percent(eval.trivial.mean_mask),
        warnings: warnings(finished, dice_interval),
        curves: curves(finished)?,
        distributions: distributions(&scores)?,
        metrics: scores.iter().map(|(metric, _)| metric.label()).collect(),
        per_image: per_image(finished),
        images_withheld: !show_images && finished.samples.iter().any(|s| s.image.is_some()),
        overlays,
        provenance: provenance(finished),
    })
}

/// Whether the dataset's images may be embedded. Terms that are not stated are
/// taken as restrictive.
fn may_show_images(finished: &Finished, options: &Options) -> bool {
    let facts = finished.eval.dataset.as_ref();
    options.embed_images || facts.is_some_and(|facts| facts.redistributable)
}

/// A small overlay of the median image; none where it was not kept.
pub(super) fn thumbnail(finished: &Finished, options: &Options) -> Result<Option<String>, ReportError> {
    // Of a single image there is no median.
    let median = finished.samples.iter().find(|s| s.sample.role == "median");
    let Some(shown) = median.or(finished.samples.first()) else { return Ok(None) };
    let image = shown.image.as_ref().filter(|_| may_show_images(finished, options));
    Ok(Some(thumbnail_uri(&overlay(image, &shown.truth, &shown.prediction).map_err(PictureError::from)?)?))
}

fn values(finished: &Finished, metric: Metric) -> Vec<f64> {
    let scores = finished.per_image.iter().filter_map(|image| image.scores.get(&metric).copied());
    scores.filter(|score| score.is_finite()).collect()
}

/// Bootstrap interval over the images; the evaluation key names the stream.
fn interval(finished: &Finished, metric: Metric) -> Option<Interval> {
    let stream = Stream::new(0, "bootstrap", &[&finished.eval.key, metric.name()]);
    stats::bootstrap_mean(&values(finished, metric), RESAMPLES, LEVEL, stream)
}

fn score(finished: &Finished, metric: Metric, values: &[f64]) -> Score {
    let range = |i: Interval| format!("{} to {}", format::percent(i.low), format::percent(i.high));
    let recorded = |from: &std::collections::BTreeMap<Metric, f64>| {
        format::percent(from.get(&metric).copied().unwrap_or(f64::NAN))
    };
    Score {
        metric: metric.label(),
        mean: recorded(&finished.eval.mean),
        interval: interval(finished, metric).map(range),
        std: recorded(&finished.eval.std),
        median: stats::median(values).map(format::percent),
    }
}

/// What a reader of the numbers must not overlook.
fn warnings(finished: &Finished, dice_interval: Option<Interval>) -> Vec<String> {
    if finished.is_all_skipped() {
        let images = finished.eval.images;
        return vec![format!(
            "All {images} images were left out of the means (truth and prediction empty, evaluate.empty = `skip`): \
             there is nothing to average."
        )];
    }
    let mut warnings = warnings::of(finished);
    let (name, floor) = finished.eval.trivial.best();
    let dice = finished.eval.mean.get(&Metric::Dice).copied().unwrap_or(f64::NAN);
    if dice > floor && dice_interval.is_some_and(|interval| interval.low <= floor) {
        warnings.push(format!(
            "The interval of the Dice reaches down to that of a predictor that {name} ({}).",
            format::percent(floor)
        ));
    }
    let scores = values(finished, Metric::Dice);
    match stats::mean(&scores) {
        Some(mean) if (mean - dice).abs() > 1e-6 => warnings.push(format!(
            "The per-image scores average to {}, the record says {}.",
            format::percent(mean),
            format::percent(dice)
        )),
        Some(_) if scores.len() != finished.eval.averaged() => warnings.push(format!(
            "{} images have scores of their own, the record's means are over {}.",
            scores.len(),
            finished.eval.averaged()
        )),
        Some(_) if scores.len() < ENOUGH_IMAGES => warnings.push(format!(
            "{} images are few: the intervals are narrower than they should be.",
            scores.len()
        )),
        Some(_) => {}
        None => warnings.push("No per-image scores were kept: no interval can be given.".to_owned()),
    }
    warnings
}

fn curves(finished: &Finished) -> Result<Vec<Figure>, ReportError> {
    let drawn = [
        ("Training loss", plot::loss(&finished.history)?),
        ("Dice on the selection part", plot::selection(&finished.history)?),
        ("Learning rate", plot::learning_rate(&finished.history)?),
        ("Gradient norm", plot::gradient_norm(&finished.history)?),
    ];
    Ok(drawn.into_iter().filter_map(|(title, svg)| Some(Figure { title, svg: svg? })).collect())
}

/// A histogram for each score that was recorded per image.
fn distributions(scores: &[(Metric, Vec<f64>)]) -> Result<Vec<Figure>, ReportError> {
    let drawn = scores.iter().map(|(metric, values)| Ok((metric, plot::distribution(*metric, values)?)));
    let drawn = drawn.collect::<Result<Vec<_>, ReportError>>()?;
    Ok(drawn
        .into_iter()
        .filter_map(|(metric, svg)| Some(Figure { title: metric.label(), svg: svg? }))
        .collect())
}

fn per_image(finished: &Finished) -> Vec<ImageRow> {
    let score = |image: &ImageScores, metric| image.scores.get(&metric).copied().unwrap_or(f64::NAN);
    let mut images: Vec<&ImageScores> = finished.per_image.iter().collect();
    images.sort_by(|a, b| {
        score(a, Metric::Dice).total_cmp(&score(b, Metric::Dice)).then_with(|| a.id.cmp(&b.id))
    });
    let metrics: Vec<Metric> = finished.eval.mean.keys().copied().collect();
    let row = |image: &&ImageScores| ImageRow {
        id: image.id.clone(),
        scores: metrics.iter().map(|metric| format::percent(score(image, *metric))).collect(),
    };
    images.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::samples;

    fn first(change: impl FnMut(&mut Finished)) -> Vec<String> {
        let mut results = samples::done();
        samples::each_finished(&mut results, change);
        let finished = &results.cells[0].state.finished()[0];
        warnings(finished, interval(finished, Metric::Dice))
    }

    #[test]
    fn a_good_result_needs_no_warning() {
        assert_eq!(first(|_| {}), Vec::<String>::new());
    }

    #[test]
    fn a_weak_result_is_called_weak() {
        assert!(first(|f| f.eval.trivial.all_foreground = 0.9)[0].contains("everything as foreground"));
        assert!(first(|f| f.eval.trivial.mean_mask = 0.8795)[0].contains("reaches down"));
        assert!(first(|f| f.per_image.clear())[0].contains("No per-image scores"));
        let wrong = first(|f| {
            f.eval.mean.insert(Metric::Dice, 0.99);
        });
        assert!(wrong[0].contains("the record says 99.00"));
    }
}
