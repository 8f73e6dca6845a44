//! `dygl reproduce`: run a stored result's cell again, apart, and compare.

use std::sync::Arc;

use serde_json::json;

use super::progress::Progress;
use super::show;
use crate::cli::{Format, KeyArgs};
use crate::exec::ask;
use crate::exec::local::Local;
use crate::exec::pretrained;
use crate::exec::{CellOutcome, Inputs, Options, Runner, Stop};
use crate::exit::{Exit, Failure, OrExit};
use crate::key::numerics;
use crate::key::revision::Revisions;
use crate::metric::Metric;
use crate::store::record::{EvalRecord, TrainRecord};
use crate::store::{Lookup, Store};

pub fn reproduce(arguments: &KeyArgs) -> Result<Exit, Failure> {
    let store = Store::at(&arguments.common.store);
    let key = show::find(&store, &arguments.key)?;
    let found = store.lookup(&key).or_exit(Exit::Environment)?;
    if let Lookup::Altered(_, problem) = &found {
        let text = format!("{problem}; `dygl run` puts it aside and runs it again");
        return Err(Failure::new(Exit::Altered, text));
    }
    let Lookup::Hit(attempt) = found else {
        return Err(Failure::new(Exit::Missing, format!("{} has no sound finished result", key.short())));
    };
    // A key names a training or an evaluation; both name the cell.
    let evaluation = attempt.read_json::<EvalRecord>("record.json").ok();
    let (cell, profile, provenance) = match &evaluation {
        Some(record) => (record.cell.clone(), record.profile.clone(), record.provenance.clone()),
        None => {
            let record: TrainRecord = attempt.read_json("record.json").or_exit(Exit::Altered)?;
            (record.cell, record.profile, record.provenance)
        }
    };
    let (threads, class) = (provenance.threads, provenance.numerics.as_str());
    let executor = Local::beside_this_program()?;
    let devices = ask::devices(&executor, store.root()).or_exit(Exit::Environment)?;
    let device = devices.of_class(class).ok_or_else(|| {
        let remedy = if class == numerics::PAST_CPU {
            "nothing says how to compute it again; `dygl run` makes a result that says it"
        } else {
            "it is reproduced where a device of that class is (`dygl doctor` lists those of this machine)"
        };
        let words = numerics::words(class);
        let text = format!("{} was computed in class {class} ({words}): {remedy}", key.short());
        Failure::new(Exit::Environment, text)
    })?;
    let revisions = device.class.revisions(&Revisions::of_this_build());
    let inputs = Inputs::at(store.root());
    let today = inputs.of(&cell).or_exit(Exit::Environment)?.train_key(&cell, class, &revisions);
    let recorded = evaluation.as_ref().map_or(key.as_str(), |record| record.train_key.as_str());
    if today.key().as_str() != recorded {
        super::note(&format!(
            "today's sources, data or libraries differ from those of {}: the result may differ, too (`dygl explain`)",
            &recorded[..12]
        ));
    }
    super::run::refuse(&pretrained::check([&cell]))?;
    // The attempt is run in a store of its own: the stored one must not answer.
    let apart = tempfile::tempdir().or_exit(Exit::Environment)?;
    let apart_store = Store::at(apart.path());
    let datasets = store.root().join("datasets");
    if datasets.is_dir() {
        std::os::unix::fs::symlink(
            datasets.canonicalize().or_exit(Exit::Environment)?,
            apart.path().join("datasets"),
        )
        .or_exit(Exit::Environment)?;
    }
    let options = Options {
        profile,
        jobs: 1,
        threads,
        device: device.name.clone(),
        numerics: class.to_owned(),
        keep_going: false,
        retry_failed: false,
        force: false,
        timeout: None,
        budget: None,
    };
    let progress = Progress::new(false);
    let stop = Arc::new(Stop::default());
    let apart_inputs = Inputs::at(apart.path());
    let runner = Runner {
        store: &apart_store,
        inputs: &apart_inputs,
        revisions: &revisions,
        executor: &executor,
        options: &options,
        stop: &stop,
        tell: &|event| progress.show(&event),
    };
    let summary = runner.run(std::slice::from_ref(&cell));
    progress.finish(&summary);
    if summary.count(|outcome| matches!(outcome, CellOutcome::Done { .. })) != 1 {
        return Ok(Exit::Failed);
    }
    compare(arguments, &store, &apart_store, recorded)
}

/// Holds the new result against the stored one.
fn compare(arguments: &KeyArgs, stored: &Store, apart: &Store, train_key: &str) -> Result<Exit, Failure> {
    let (old_train, old) = results(stored, Some(train_key))?;
    let (new_train, new) = results(apart, None)?;
    let weights_equal = old_train.weights == new_train.weights;
    let scores_equal = old.as_ref().zip(new.as_ref()).map(|(a, b)| a.scores == b.scores);
    let dice = |record: &Option<EvalRecord>| record.as_ref().and_then(|r| r.mean.get(&Metric::Dice).copied());
    let (old_dice, new_dice) = (dice(&old), dice(&new));
    if arguments.common.format == Format::Json {
        super::answer_json(&json!({
            "key": train_key, "weights_equal": weights_equal, "scores_equal": scores_equal,
            "dice_stored": old_dice, "dice_reproduced": new_dice,
        }))?;
    } else {
        let verdict = if weights_equal { "bit-identical" } else { "DIFFERENT" };
        super::answer(&format!("weights: {verdict}"));
        let number =
            |dice: Option<f64>| dice.map_or_else(|| "-".to_owned(), |dice| format!("{:.4}", 100.0 * dice));
        super::answer(&format!("mean Dice: stored {}, reproduced {}", number(old_dice), number(new_dice)));
        if new_train.provenance.threads != old_train.provenance.threads
            || new_train.provenance.simd != old_train.provenance.simd
        {
            super::note("thread count or SIMD level differ from the stored run's");
        }
    }
    Ok(if weights_equal && scores_equal != Some(false) { Exit::Ok } else { Exit::Regressed })
}

/// The training (of a key, or the only one) and its evaluation, if any.
fn results(store: &Store, train_key: Option<&str>) -> Result<(TrainRecord, Option<EvalRecord>), Failure> {
    let mut train: Option<TrainRecord> = None;
    let mut evaluations = Vec::new();
    for key in store.keys().or_exit(Exit::Environment)? {
        let Lookup::Hit(attempt) = store.lookup(&key).or_exit(Exit::Environment)? else { continue };
        if let Ok(record) = attempt.read_json::<EvalRecord>("record.json") {
            evaluations.push(record);
        } else if let Ok(record) = attempt.read_json::<TrainRecord>("record.json")
            && train_key.is_none_or(|wanted| wanted == record.key)
        {
            train = Some(record);
        }
    }
    let train = train.ok_or_else(|| Failure::new(Exit::Missing, "the training is not in the store"))?;
    let evaluation = evaluations.into_iter().find(|record| record.train_key == train.key);
    Ok((train, evaluation))
}
