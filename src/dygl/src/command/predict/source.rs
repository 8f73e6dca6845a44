//! What predicts: a run of the store, or a network with a file of weights.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use dygl_base::exit::{Exit, Failure, OrExit};
use dygl_datasets::Registry;
use dygl_pixels::ImageRule;
use dygl_pixels::mask::MaskRule;
use dygl_spec::name::Named;
use dygl_spec::network;
use dygl_spec::protocol::{Evaluate, Image};
use dygl_spec::schema;
use dygl_store::key::Key;
use dygl_store::key::revision::Revisions;
use dygl_store::record::{EvalRecord, TrainRecord};
use dygl_store::{Attempt, Lookup, Problem, Store};
use serde::Serialize;

use super::super::{mistakes, note, read, show};
use crate::cli::Predict;

/// A network with everything that decides its masks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Predictor {
    /// Training key of the run that the weights come from.
    pub(super) run: Option<String>,
    pub(super) model: Named,
    #[serde(skip)]
    pub(super) weights: PathBuf,
    /// blake3 of the weights file.
    pub(super) weights_digest: String,
    pub(super) image: Image,
    /// Which stored value is white: that of the run's dataset, or as stated.
    #[serde(skip_serializing_if = "ImageRule::is_default")]
    pub(super) range: ImageRule,
    pub(super) evaluate: Evaluate,
    /// What of true masks is foreground.
    #[serde(skip)]
    pub(super) truth_rule: MaskRule,
    #[serde(skip)]
    pub(super) batch_size: usize,
}

/// The predictor that the arguments name.
///
/// # Errors
/// Exit 2 for a bad model, size or threshold (all at once), 3 for weights that
/// are not there, 5 for altered ones, 7 for a run that is not there.
pub(super) fn find(arguments: &Predict) -> Result<Predictor, Failure> {
    let mut predictor = match (&arguments.run, &arguments.model, &arguments.weights) {
        (Some(key), _, _) => of_run(&Store::at(&arguments.common.store), key)?,
        (None, Some(model), Some(weights)) => of_file(model, weights)?,
        _ => return Err(Failure::new(Exit::Usage, "give --run KEY, or --model M with --weights W")),
    };
    let mut mistakes = Vec::new();
    if let Some(rule) = arguments.truth_rule {
        predictor.truth_rule = rule;
    }
    if let Some(white) = arguments.white {
        mistakes.extend(ImageRule::refuse(white).map(|why| format!("--{}", why.replacen(" = ", " ", 1))));
        predictor.range.white = Some(white);
    }
    // A flag has the range of the setting that it stands for.
    let mut hold = |flag: &str, path: &str, given: &dyn Display| {
        if let Err(message) = schema::read::<serde_json::Value>(path, &given.to_string()) {
            mistakes.push(format!("{flag} {given}: {message}"));
        }
    };
    if let Some(size) = arguments.size {
        hold("--size", "image.size", &size);
        predictor.image.size = size;
    }
    if let Some(threshold) = arguments.threshold {
        hold("--threshold", "evaluate.threshold", &threshold);
        predictor.evaluate.threshold = threshold;
    }
    if let Some(batch) = arguments.batch {
        hold("--batch", "train.batch_size", &batch);
        predictor.batch_size = batch;
    }
    let network = network::find(&predictor.model.name);
    if let Some(network) = network
        && let Err(nearest) = network.check_size(predictor.image.size)
    {
        mistakes.push(format!(
            "--size {}: {} takes multiples of {}, at least {}: take {nearest}",
            predictor.image.size, network.name, network.size_multiple, network.size_min
        ));
    }
    if mistakes.is_empty() { Ok(predictor) } else { Err(Failure::new(Exit::Usage, mistakes.join("\n"))) }
}

fn of_file(model: &str, weights: &Path) -> Result<Predictor, Failure> {
    let named =
        Named::parse(model).map_err(|error| format!("--model {model}: {error}")).or_exit(Exit::Usage)?;
    let (_, named) = network::resolve(&named)
        .map_err(|error| format!("--model {model}: {error} (known: {})", error.candidates().join(", ")))
        .or_exit(Exit::Usage)?;
    let root = std::env::current_dir().or_exit(Exit::Environment)?;
    let protocol = dygl_spec::standard_protocol(&root).map_err(|found| mistakes::refused(&found))?;
    let weights_digest = digest(weights)
        .map_err(|error| format!("--weights {}: {error}", weights.display()))
        .or_exit(Exit::Environment)?;
    Ok(Predictor {
        run: None,
        model: named,
        weights: weights.to_owned(),
        weights_digest,
        image: protocol.image.clone(),
        range: ImageRule::default(),
        evaluate: protocol.evaluate,
        truth_rule: MaskRule::OF_LEVELS,
        batch_size: protocol.train.batch_size,
    })
}

fn digest(path: &Path) -> std::io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(std::fs::File::open(path)?)?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// The weights of a training or of an evaluation's training, every byte verified.
fn of_run(store: &Store, digits: &str) -> Result<Predictor, Failure> {
    let key = show::find(store, digits)?;
    let attempts = finished(store, &key)?;
    let evaluations: Vec<EvalRecord> =
        attempts.iter().filter_map(|attempt| attempt.read_json("record.json").ok()).collect();
    // An evaluation names its training, its weights and its threshold.
    let evaluation = evaluations.into_iter().next();
    let train_key = match &evaluation {
        Some(record) => Key::parse(&record.train_key).ok_or_else(|| {
            Failure::new(Exit::Altered, format!("{}: its record names no training key", key.short()))
        })?,
        None => key,
    };
    let (record, attempt) = trained(store, &train_key, evaluation.as_ref())?;
    let today = Revisions::of_this_build();
    let then = read::preimage(store, &train_key).or_exit(Exit::Environment)?;
    let network = then.as_ref().and_then(|then| then.get("revision.network"));
    if network.is_some_and(|then| then != today.network(&record.cell.model.name)) {
        note(
            "note: the network's sources changed since this run; its masks may differ from those it was scored by",
        );
    }
    let truth_rule = rule_of(store, &record)?;
    let protocol = record.cell.protocol;
    Ok(Predictor {
        run: Some(record.key),
        model: record.cell.model,
        weights: attempt.folder().join("model.safetensors"),
        weights_digest: record.weights,
        image: protocol.image.clone(),
        range: ImageRule { white: record.dataset.and_then(|dataset| dataset.white) },
        evaluate: evaluation
            .map_or_else(|| protocol.evaluate.clone(), |record| record.cell.protocol.evaluate.clone()),
        truth_rule,
        batch_size: protocol.train.batch_size,
    })
}

/// The rule that a run's own masks were read by: that of the record, or, for records
/// of earlier versions, that of the dataset as it is registered now.
fn rule_of(store: &Store, record: &TrainRecord) -> Result<MaskRule, Failure> {
    let stated = record.dataset.as_ref().map(|facts| facts.mask_rule.as_str()).unwrap_or_default();
    if !stated.is_empty() {
        return stated.parse().or_exit(Exit::Altered);
    }
    let manifest =
        Registry::at(store.root()).manifest(&record.cell.dataset.name).or_exit(Exit::Environment)?;
    Ok(manifest.map_or(MaskRule::OF_LEVELS, |manifest| manifest.mask))
}

/// The one training whose weights are meant, every byte verified. Altered
/// attempts are put aside; a sound one beside them predicts in their place.
fn trained(
    store: &Store,
    key: &Key,
    evaluation: Option<&EvalRecord>,
) -> Result<(TrainRecord, Attempt), Failure> {
    let mut aside = Vec::new();
    loop {
        let attempts = match finished(store, key) {
            Err(failure) if failure.exit == Exit::Missing && !aside.is_empty() => {
                return Err(Failure::new(Exit::Altered, aside.join("\n")));
            }
            other => other?,
        };
        let mut trained: Vec<(TrainRecord, Attempt)> = Vec::new();
        for attempt in attempts {
            let record: TrainRecord = attempt.read_json("record.json").or_exit(Exit::Altered)?;
            let wanted = evaluation.is_none_or(|evaluation| evaluation.weights == record.weights);
            if wanted && trained.iter().all(|(other, _)| other.weights != record.weights) {
                trained.push((record, attempt));
            }
        }
        let (record, attempt) = match trained.len() {
            1 => trained.remove(0),
            0 if !aside.is_empty() => return Err(Failure::new(Exit::Altered, aside.join("\n"))),
            0 => {
                let text = format!(
                    "the weights of {} are not in the store any more; `dygl run` trains them again",
                    key.short()
                );
                return Err(Failure::new(Exit::Missing, text));
            }
            count => {
                let text = format!(
                    "{} has {count} finished trainings with different weights; give the key of an evaluation",
                    key.short()
                );
                return Err(Failure::new(Exit::Failed, text));
            }
        };
        let problems = attempt.verify();
        if let Some(unread) = problems.iter().find(|problem| !problem.is_damage()) {
            return Err(Failure::new(Exit::Environment, unread));
        }
        let Some(problem) = problems.first() else {
            aside.iter().for_each(|text| note(&format!("note: {text}")));
            return Ok((record, attempt));
        };
        aside.push(put_aside(store, key, &attempt, problem)?);
    }
}

/// Puts an altered attempt aside; says so.
fn put_aside(store: &Store, key: &Key, attempt: &Attempt, problem: &Problem) -> Result<String, Failure> {
    let moved = store.quarantine(key, attempt).map_err(|error| {
        Failure::new(Exit::Altered, format!("{problem}\n  it cannot be put aside: {error}"))
    })?;
    Ok(format!(
        "{} was altered and is put aside as {}; `dygl run` runs it again\n  {problem}",
        key.short(),
        moved.display()
    ))
}

/// The finished attempts of a key. Altered ones are put aside.
fn finished(store: &Store, key: &Key) -> Result<Vec<Attempt>, Failure> {
    let mut aside: Vec<String> = Vec::new();
    loop {
        return match store.lookup(key).or_exit(Exit::Environment)? {
            Lookup::Hit(attempt) => Ok(vec![attempt]),
            Lookup::Conflict(attempts) => Ok(attempts),
            Lookup::Altered(attempt, problem) => {
                aside.push(put_aside(store, key, &attempt, &problem)?);
                continue;
            }
            Lookup::Failed(_, outcome) => {
                aside.iter().for_each(|text| note(&format!("note: {text}")));
                let text =
                    format!("{} has no weights: {}: {}", key.short(), outcome.word(), outcome.reason());
                Err(Failure::new(Exit::Failed, text))
            }
            Lookup::Miss if !aside.is_empty() => Err(Failure::new(Exit::Altered, aside.join("\n"))),
            Lookup::Miss => {
                Err(Failure::new(Exit::Missing, format!("{} has no finished result", key.short())))
            }
        };
    }
}
