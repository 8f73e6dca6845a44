//! Results whose means are over different images.

use dygl_spec::metric::Metric;
use dygl_spec::network::Group;
use dygl_spec::protocol::SplitSource;

use super::super::results::{CellResult, Finished, Results};
use super::{cell, finished, results};

/// Leaves images out of an evaluation as `evaluate.empty = "skip"` does, by their places.
pub(crate) fn skip(finished: &mut Finished, places: impl IntoIterator<Item = usize>) {
    for place in places {
        finished.per_image[place].scores.clear();
    }
    let kept = || finished.per_image.iter().map(|image| &image.scores).filter(|scores| !scores.is_empty());
    let n = kept().count();
    let mean = |metric: Metric| kept().map(|scores| scores[&metric]).sum::<f64>() / n as f64;
    let means = Metric::ALL.into_iter().filter(|_| n > 0).map(|metric| (metric, mean(metric))).collect();
    finished.eval.skipped = finished.eval.images - n;
    finished.eval.mean = means;
}

/// Two networks in three folds of a cross-validation, with a setting beside the fold.
pub(crate) fn folds() -> Results {
    let mut all: Vec<CellResult> = Vec::new();
    for (model, label, group, dice) in
        [("unet", "Unet", Group::Cnn, 0.80), ("dyglnet", "DyGLNet", Group::Ours, 0.90)]
    {
        for fold in 0..3_usize {
            let row = format!("{label} (lambda 0.3, fold {fold})");
            let mut one = cell(model, &row, group, 42, dice + 0.01 * fold as f64);
            one.model_label = label.into();
            one.settings = [("loss.lambda", "0.3".to_owned()), ("split.fold", fold.to_string())]
                .map(|(k, v)| (k.into(), v))
                .into();
            one.cell.protocol_mut().loss.lambda = 0.3;
            one.cell.protocol_mut().split.source = SplitSource::KFold;
            let split = &mut one.cell.protocol_mut().split;
            (split.folds, split.fold) = (3, fold);
            all.push(one);
        }
    }
    let mut results = results(all);
    for place in 0..results.cells.len() {
        let fold = results.cells[place].cell.protocol.split.fold;
        let finished = finished(&mut results, place);
        for image in &mut finished.per_image {
            image.id = format!("{fold}-{}", image.id);
        }
        for facts in [&mut finished.train.dataset, &mut finished.eval.dataset].into_iter().flatten() {
            facts.split_digest = format!("fold {fold}");
        }
    }
    results
}
