//! `dygl predict`: masks of images by a trained network.

mod folder;
mod inputs;
mod pattern;
mod progress;
mod source;
mod truth;
mod truths;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use dygl_base::exit::{AtPath, Exit, Failure, OrExit};
use dygl_exec::devices::Chosen;
use dygl_exec::local::Local;
use dygl_exec::predict::{self, Ended, Event, Job, Outputs, Picture};
use dygl_exec::{Stop, ask};
use dygl_pixels::decode::Held;
use dygl_spec::metric::Metric;
use dygl_spec::ops::cores;
use dygl_store::key::revision::{self, Revisions};
use dygl_store::{host, record};
use folder::{Folder, Row};
use progress::Progress;
use serde_json::{Value, json};
use source::Predictor;

use crate::cli::{Format, Predict};

/// How masks come about, for whoever finds the files later.
const METHOD: &str = "image decoded, turned as its orientation tag says, samples scaled to 8 bits \
    (0 black, predictor.range.white or the greatest value of the depth white), resized to the network size by \
    image.filter, normalised, through the network in evaluation mode; logits resized bilinearly (pixel \
    centres, no anti-aliasing) to the size of the outputs; probability = sigmoid(logit), \
    mask = 255 where probability > evaluate.threshold";

pub fn predict(arguments: &Predict) -> Result<Exit, Failure> {
    let local = Local::beside_this_program()?;
    let devices = ask::devices(&local, &arguments.common.store).or_exit(Exit::Environment)?;
    let device = devices.choose(arguments.device, cores()).or_exit(Exit::Environment)?;
    let predictor = source::find(arguments)?;
    let found = inputs::collect(&arguments.images, &arguments.out, arguments.truth.as_deref())?;
    truth::check(&found.pictures, predictor.truth_rule)?;
    if found.ignored > 0 {
        super::note(&format!("note: {} files of the folders are no images", found.ignored));
    }
    if found.masks > 0 {
        super::note(&format!("note: {} pictures are the true masks of others", found.masks));
    }
    if found.written > 0 {
        super::note(&format!(
            "note: {} pictures of the folders were written by dygl itself and are passed over",
            found.written
        ));
    }
    let outputs = Outputs {
        probability: !arguments.no_probability,
        overlay: !arguments.no_overlay,
        at_network_size: arguments.at_network_size,
    };
    let identity = identity(&predictor, outputs, &device, arguments)?;
    let (mut folder, todo) =
        Folder::open(&arguments.out, outputs, &identity, &found.pictures, arguments.force)?;
    let kept = found.pictures.len() - todo.len();
    let started = record::now();
    let mut machine = folder.earlier_device();
    let ended = if todo.is_empty() {
        Ended { code: Some(0), how: String::new() }
    } else {
        let job = Job {
            model: predictor.model.clone(),
            weights: predictor.weights.clone(),
            weights_digest: predictor.weights_digest.clone(),
            image: predictor.image.clone(),
            range: predictor.range,
            evaluate: predictor.evaluate.clone(),
            truth_rule: predictor.truth_rule,
            batch_size: predictor.batch_size,
            device: device.name.clone(),
            pictures: todo,
            out: arguments.out.clone(),
            outputs,
        };
        work(arguments, &job, &local, &mut folder, &mut machine)?
    };
    // The worker has said why it could not even begin.
    if let Some(code @ (2 | 3)) = ended.code {
        folder.leave();
        return Err(Failure::new(if code == 2 { Exit::Usage } else { Exit::Environment }, ""));
    }
    let complete = ended.code == Some(0);
    let images: Vec<&Row> = folder.rows().collect();
    let provenance = json!({
        "predictor": identity,
        "method": METHOD,
        "weights_file": predictor.weights,
        "device": machine,
        "dygl_version": env!("CARGO_PKG_VERSION"),
        "commit": revision::COMMIT,
        "dirty": revision::DIRTY,
        "libraries": Revisions::of_this_build().libraries(),
        "host": host(),
        "started": started,
        "finished": record::now(),
        "complete": complete,
        "images": images,
    });
    folder.finish(&provenance, complete)?;
    tell(arguments, &predictor, &folder, &found.pictures, kept)?;
    let asked = |row: &&Row| found.pictures.iter().any(|picture| picture.name == row.name);
    let failed = folder.rows().filter(asked).filter(|row| row.prediction.is_none()).count();
    match ended.code {
        Some(0) if failed == 0 => Ok(Exit::Ok),
        Some(0) => Ok(Exit::Failed),
        Some(130) => Err(Failure::new(Exit::Interrupted, "stopped; the same command does the rest")),
        _ => Err(Failure::new(
            Exit::Failed,
            format!("the worker ended early ({}); the same command does the rest", ended.how),
        )),
    }
}

/// Everything that the outputs depend on.
fn identity(
    predictor: &Predictor,
    outputs: Outputs,
    device: &Chosen,
    arguments: &Predict,
) -> Result<Value, Failure> {
    let mut identity = serde_json::to_value(predictor).or_exit(Exit::Failed)?;
    let revisions = device.class.revisions(&Revisions::of_this_build());
    identity["at_network_size"] = outputs.at_network_size.into();
    identity["revision"] = json!({
        "network": revisions.network(&predictor.model.name), "pixels": revisions.get("pixels"),
    });
    identity["device"] = device.class.numerics.clone().into();
    identity["libtorch"] = device.class.libtorch.clone().into();
    identity["truth"] = arguments.truth.as_ref().map(|folder| folder.display().to_string()).into();
    identity["truth_rule"] = arguments.truth.as_ref().map(|_| predictor.truth_rule.to_string()).into();
    Ok(identity)
}

/// Runs the worker over the pictures that are left.
fn work(
    arguments: &Predict,
    job: &Job,
    local: &Local,
    folder: &mut Folder,
    machine: &mut Value,
) -> Result<Ended, Failure> {
    let mut file =
        tempfile::Builder::new().suffix(".json").tempfile().at("make a file in", &std::env::temp_dir())?;
    let text = serde_json::to_vec(job).or_exit(Exit::Failed)?;
    file.write_all(&text).at("write", file.path())?;
    let stop = Arc::new(Stop::default());
    let mut progress = Progress::new(arguments.common.format == Format::Json, job.pictures.len());
    let watching = super::watch_signals(&stop, |level| {
        super::note(if level > 1 { "stopping now" } else { "stopping after this batch" });
    })?;
    let ended = predict::run(local, file.path(), &stop, &mut |event| {
        progress.show(&event);
        match event {
            Event::Started { device, numerics, simd, threads, .. } => {
                *machine = json!({
                    "name": device, "numerics": numerics, "simd": simd, "threads": threads,
                });
            }
            Event::Predicted(prediction) => folder.add(Row::done(prediction)),
            Event::Failed { name, file, reason, .. } => folder.add(Row::failed(name, file, reason)),
        }
    })
    .map_err(|error| format!("cannot run {}: {error}", local.worker().display()))
    .or_exit(Exit::Environment)?;
    watching.store(false, Ordering::SeqCst);
    progress.finish();
    Ok(ended)
}

/// The answer: what was done with the images that were asked for.
fn tell(
    arguments: &Predict,
    predictor: &Predictor,
    folder: &Folder,
    pictures: &[Picture],
    kept: usize,
) -> Result<(), Failure> {
    let asked: Vec<&Row> =
        folder.rows().filter(|row| pictures.iter().any(|picture| picture.name == row.name)).collect();
    let table = arguments.out.join(folder::TABLE);
    let predicted = asked.iter().filter(|row| row.prediction.is_some()).count();
    // Without a truth, or where the empty-mask rule says so, an image has no scores.
    let scored = asked
        .iter()
        .filter(|row| row.prediction.as_ref().is_some_and(|found| found.scores.is_some()))
        .count();
    let mean = |metric: Metric| {
        let scores: Vec<f64> = asked
            .iter()
            .filter_map(|row| row.prediction.as_ref()?.scores.as_ref()?.get(&metric).copied())
            .collect();
        (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64)
    };
    let mut held = Held::default();
    for prediction in asked.iter().filter_map(|row| row.prediction.as_ref()) {
        if let Some(facts) = &prediction.facts {
            held.add(&prediction.name, facts);
        }
    }
    for told in held
        .notes("images")
        .into_iter()
        .chain(held.scaling(predictor.range))
        .chain(held.faint(predictor.range))
    {
        super::note(&format!("note: {told}"));
    }
    if arguments.common.format == Format::Json {
        let means: serde_json::Map<String, Value> = Metric::ALL
            .iter()
            .filter_map(|metric| Some((metric.name().to_owned(), mean(*metric)?.into())))
            .collect();
        let images: Vec<Value> = asked
            .iter()
            .map(|row| match &row.prediction {
                Some(found) => serde_json::to_value(found).unwrap_or_default(),
                None => json!({ "name": row.name, "file": row.file, "problem": row.problem }),
            })
            .collect();
        return super::answer_json(&json!({
            "out": arguments.out, "table": table, "provenance": arguments.out.join(folder::PROVENANCE),
            "predicted": predicted, "already_there": kept,
            "failed": asked.iter().filter(|row| row.prediction.is_none()).count(),
            "mean_scores": means, "scored": scored, "images": images,
        }));
    }
    for row in asked.iter().filter(|row| row.prediction.is_none()) {
        super::note(&format!("failed: {}", row.problem));
    }
    let means: Vec<String> = Metric::ALL
        .iter()
        .filter_map(|metric| Some(format!("{} {:.2}", metric.label(), 100.0 * mean(*metric)?)))
        .collect();
    let scores = match means.as_slice() {
        [] => String::new(),
        means => format!("\nmean of the images: {}, n = {scored}", means.join(", ")),
    };
    let there = if kept > 0 { format!(" ({kept} were there already)") } else { String::new() };
    super::answer(&format!(
        "{predicted} of {} images predicted{there}: {}{scores}",
        pictures.len(),
        table.display()
    ));
    Ok(())
}
