//! `dygl reproduce`: run a stored result's cell again, apart, and compare.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dygl_base::exit::{AtPath, Exit, Failure, OrExit};
use dygl_exec::ask;
use dygl_exec::local::Local;
use dygl_exec::pretrained;
use dygl_exec::{CellOutcome, Inputs, Options, Runner, Stop};
use dygl_report::table::results::short;
use dygl_spec::metric::Metric;
use dygl_store::key::revision::Revisions;
use dygl_store::key::{self, Key, numerics};
use dygl_store::record::{EvalRecord, ImageScores, TrainRecord};
use dygl_store::{Attempt, Lookup, Store};
use serde::Serialize;
use serde_json::json;

use super::finished;
use super::progress::Progress;
use super::show;
use crate::cli::{Format, KeyArgs};

pub fn reproduce(arguments: &KeyArgs) -> Result<Exit, Failure> {
    let store = Store::at(&arguments.common.store);
    let key = show::find(&store, &arguments.key)?;
    let attempt = sound(&store, &key)?;
    // A key names a training or an evaluation; both name the cell.
    let evaluation = Evaluation::read(&attempt)?;
    let (cell, profile, provenance) = match &evaluation {
        Some(Evaluation { record, .. }) => {
            (record.cell.clone(), record.profile.clone(), record.provenance.clone())
        }
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
    let today =
        inputs.of(&cell).or_exit(Exit::Environment)?.train_key(&cell, class, &revisions).key().clone();
    let evaluated = |train: &TrainRecord, key: &Key| {
        key::evaluation(key, &train.weights, &cell, class, &revisions).key().clone()
    };
    let stored = match evaluation {
        Some(evaluation) => Outcome::of_evaluation(&store, evaluation)?,
        None => Outcome::of_training(&store, &key, &evaluated)?,
    };
    if stored.evaluation.is_none() {
        super::note("no evaluation of it under today's sources is stored: the weights alone are compared");
    }
    let recorded = stored.train.key.as_str();
    if today.as_str() != recorded {
        super::note(&format!(
            "today's sources, data or libraries differ from those of {}: the result may differ, too (`dygl explain`)",
            short(recorded)
        ));
    }
    super::run::refuse(&pretrained::check([&cell]))?;
    // The attempt is run in a store of its own: the stored one must not answer.
    let apart = tempfile::tempdir().at("make a folder in", &std::env::temp_dir())?;
    let apart_store = Store::at(apart.path());
    let datasets = store.root().join("datasets");
    if datasets.is_dir() {
        std::os::unix::fs::symlink(
            datasets.canonicalize().at("find", &datasets)?,
            apart.path().join("datasets"),
        )
        .at("make a link in", apart.path())?;
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
    compare(arguments, &stored, &Outcome::of_training(&apart_store, &today, &evaluated)?)
}

/// The sound finished attempt of a key: the one that `dygl status` would show.
fn sound(store: &Store, key: &Key) -> Result<Attempt, Failure> {
    let why = match store.lookup(key).or_exit(Exit::Environment)? {
        Lookup::Hit(attempt) => return Ok(attempt),
        Lookup::Conflict(all) => {
            let digests: Vec<&str> = all.iter().map(Attempt::short).collect();
            let text = "has finished results that contradict each other: which one is meant?";
            return Err(Failure::new(
                Exit::Failed,
                format!("{} {text} ({}; `dygl show` tells of each)", key.short(), digests.join(", ")),
            ));
        }
        Lookup::Altered(_, problem) => {
            let text = format!("{problem}; `dygl run` puts it aside and runs it again");
            return Err(Failure::new(Exit::Altered, text));
        }
        Lookup::Failed(_, outcome) => format!("{}: {}", outcome.word(), outcome.reason()),
        Lookup::Miss => "nothing was finished".to_owned(),
    };
    Err(Failure::new(Exit::Missing, format!("{} has no sound finished result ({why})", key.short())))
}

/// The scores of some weights.
struct Evaluation {
    record: EvalRecord,
    per_image: Vec<ImageScores>,
}

impl Evaluation {
    /// None of an attempt that is a training.
    fn read(attempt: &Attempt) -> Result<Option<Self>, Failure> {
        let Ok(record) = attempt.read_json::<EvalRecord>("record.json") else { return Ok(None) };
        let per_image = finished::scores(attempt).or_exit(Exit::Altered)?;
        Ok(Some(Self { record, per_image }))
    }
}

/// A training and the evaluation that is compared with it, if there is one.
struct Outcome {
    train: TrainRecord,
    evaluation: Option<Evaluation>,
}

impl Outcome {
    /// A training with the evaluation that `evaluated` says is its cell's.
    fn of_training(
        store: &Store,
        key: &Key,
        evaluated: &dyn Fn(&TrainRecord, &Key) -> Key,
    ) -> Result<Self, Failure> {
        let train: TrainRecord = sound(store, key)?.read_json("record.json").or_exit(Exit::Altered)?;
        let evaluation = match store.lookup(&evaluated(&train, key)).or_exit(Exit::Environment)? {
            Lookup::Hit(attempt) => Evaluation::read(&attempt)?,
            _ => None,
        };
        Ok(Self { train, evaluation })
    }

    /// An evaluation with the training whose weights it scored.
    fn of_evaluation(store: &Store, evaluation: Evaluation) -> Result<Self, Failure> {
        let record = &evaluation.record;
        let key = Key::parse(&record.train_key).ok_or_else(|| {
            Failure::new(Exit::Altered, format!("{}: its record names no training key", short(&record.key)))
        })?;
        let attempts = match store.lookup(&key).or_exit(Exit::Environment)? {
            Lookup::Conflict(attempts) => attempts,
            _ => vec![sound(store, &key)?],
        };
        for attempt in attempts {
            let train: TrainRecord = attempt.read_json("record.json").or_exit(Exit::Altered)?;
            if train.weights == record.weights {
                return Ok(Self { train, evaluation: Some(evaluation) });
            }
        }
        let text = format!("the weights that {} scored are not in the store any more", short(&record.key));
        Err(Failure::new(Exit::Missing, text))
    }

    fn mean(&self) -> BTreeMap<Metric, f64> {
        self.evaluation.as_ref().map(|evaluation| evaluation.record.mean.clone()).unwrap_or_default()
    }
}

/// A mean score that was not reproduced.
#[derive(Debug, PartialEq, Serialize)]
struct Difference {
    metric: Metric,
    stored: Option<f64>,
    reproduced: Option<f64>,
}

/// Holds the new result against the stored one.
fn compare(arguments: &KeyArgs, stored: &Outcome, again: &Outcome) -> Result<Exit, Failure> {
    let weights_equal = stored.train.weights == again.train.weights;
    let both = stored.evaluation.as_ref().zip(again.evaluation.as_ref());
    let scores_equal = both.map(|(a, b)| a.record.scores == b.record.scores);
    let (old, new) = (stored.mean(), again.mean());
    let (differences, images) = match both {
        Some((a, b)) => (differences(&old, &new), other_images(&a.per_image, &b.per_image)),
        None => (Vec::new(), Vec::new()),
    };
    if arguments.common.format == Format::Json {
        super::answer_json(&json!({
            "key": stored.train.key, "evaluation": stored.evaluation.as_ref().map(|e| &e.record.key),
            "weights_equal": weights_equal, "scores_equal": scores_equal,
            "dice_stored": old.get(&Metric::Dice), "dice_reproduced": new.get(&Metric::Dice),
            "differences": differences, "images_differ": images,
        }))?;
    } else {
        let verdict = if weights_equal { "bit-identical" } else { "DIFFERENT" };
        super::answer(&format!("weights: {verdict}"));
        let line = |metric: Metric| {
            format!(
                "mean {}: stored {}, reproduced {}",
                metric.label(),
                number(old.get(&metric)),
                number(new.get(&metric))
            )
        };
        super::answer(&line(Metric::Dice));
        let others = differences.iter().filter(|difference| difference.metric != Metric::Dice);
        others.for_each(|difference| super::answer(&line(difference.metric)));
        if scores_equal == Some(false) {
            super::answer(&format!("scores: DIFFERENT for {}", some_of(&images)));
        }
        if again.train.provenance.threads != stored.train.provenance.threads
            || again.train.provenance.simd != stored.train.provenance.simd
        {
            super::note("thread count or SIMD level differ from the stored run's");
        }
    }
    Ok(if weights_equal && scores_equal != Some(false) { Exit::Ok } else { Exit::Regressed })
}

fn number(score: Option<&f64>) -> String {
    score.map_or_else(|| "-".to_owned(), |score| format!("{:.4}", 100.0 * score))
}

/// The means that are not the same to the bit.
fn differences(old: &BTreeMap<Metric, f64>, new: &BTreeMap<Metric, f64>) -> Vec<Difference> {
    let differs =
        |metric: &Metric| old.get(metric).map(|x| x.to_bits()) != new.get(metric).map(|x| x.to_bits());
    let difference = |metric| Difference {
        metric,
        stored: old.get(&metric).copied(),
        reproduced: new.get(&metric).copied(),
    };
    Metric::ALL.into_iter().filter(differs).map(difference).collect()
}

/// Ids of the images that have other scores, or are on one side alone.
fn other_images(old: &[ImageScores], new: &[ImageScores]) -> Vec<String> {
    let by_id = |images: &[ImageScores]| -> BTreeMap<String, BTreeMap<Metric, f64>> {
        images.iter().map(|image| (image.id.clone(), image.scores.clone())).collect()
    };
    let (old, new) = (by_id(old), by_id(new));
    let ids: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    ids.into_iter().filter(|id| old.get(*id) != new.get(*id)).cloned().collect()
}

/// `3 images (a, b, c)`, some of many.
fn some_of(images: &[String]) -> String {
    const NAMED: usize = 5;
    let shown = images.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let rest = if images.len() > NAMED { ", ..." } else { "" };
    format!("{} {} ({shown}{rest})", images.len(), if images.len() == 1 { "image" } else { "images" })
}

#[cfg(test)]
mod tests {
    use dygl_exec::devices::Class;
    use dygl_exec::mock::Mock;
    use dygl_spec::plan::{Cell, Plan};
    use dygl_spec::testing::load_text;

    use super::*;

    const TEXT: &str = "[experiment]\nname='x'\ntitle='x'\nquestion='x'\n\
                        [matrix]\nmodel=['unet']\ndataset=['phantom-polyp,count=12,seed=1,size=32']\nseed=[1]\n\
                        \"evaluate.threshold\"=[0.3, 0.9999, 0.5]\n[protocol]\nimage.size=32\n";

    /// A store with one training and its evaluations, and the cells.
    fn store(root: &std::path::Path) -> (Store, Vec<Cell>, Revisions) {
        let cells: Vec<Cell> = Plan::expand(&load_text(TEXT).expect("valid"))
            .cells
            .iter()
            .map(|planned| planned.cell.clone())
            .collect();
        let class = Class::flex();
        let revisions = class.revisions(&Revisions::of_this_build());
        let options = Options {
            profile: "paper".into(),
            jobs: 1,
            threads: 1,
            device: "flex".into(),
            numerics: class.numerics,
            keep_going: true,
            retry_failed: false,
            force: false,
            timeout: None,
            budget: None,
        };
        let store = Store::at(root);
        let runner = Runner {
            store: &store,
            inputs: &Inputs::at(root),
            revisions: &revisions,
            executor: &Mock::default(),
            options: &options,
            stop: &Stop::default(),
            tell: &|_| {},
        };
        runner.run(&cells);
        (store, cells, revisions)
    }

    #[test]
    fn each_evaluation_of_one_training_is_found_by_its_own_key() {
        let folder = tempfile::tempdir().expect("folder");
        let (store, cells, revisions) = store(folder.path());
        let inputs = Inputs::at(folder.path());
        let key =
            inputs.of(&cells[0]).expect("inputs").train_key(&cells[0], "flex", &revisions).key().clone();
        let mut seen = BTreeSet::new();
        for cell in &cells {
            let evaluated = |train: &TrainRecord, key: &Key| {
                key::evaluation(key, &train.weights, cell, "flex", &revisions).key().clone()
            };
            let of_cell = Outcome::of_training(&store, &key, &evaluated).expect("trained");
            let evaluation = of_cell.evaluation.as_ref().expect("evaluated");
            assert_eq!(evaluation.record.cell, *cell);
            // The same by the key of the evaluation itself.
            let own = Key::parse(&evaluation.record.key).expect("a key");
            let asked =
                Evaluation::read(&sound(&store, &own).expect("sound")).expect("read").expect("scores");
            let by_key = Outcome::of_evaluation(&store, asked).expect("its training");
            assert_eq!((by_key.mean(), by_key.train.key.as_str()), (of_cell.mean(), key.as_str()));
            seen.insert(own);
        }
        assert_eq!(seen.len(), 3);
    }

    #[test]
    fn what_was_not_reproduced_is_named() {
        let old = BTreeMap::from([(Metric::Dice, 0.5), (Metric::Iou, 0.4)]);
        let new = BTreeMap::from([(Metric::Dice, 0.5), (Metric::Iou, 0.4_f64.next_up())]);
        let found = differences(&old, &new);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].metric, found[0].stored), (Metric::Iou, Some(0.4)));
        assert!(differences(&old, &old).is_empty());
        let image =
            |id: &str, dice| ImageScores { id: id.into(), scores: BTreeMap::from([(Metric::Dice, dice)]) };
        let images = other_images(&[image("a", 0.1), image("b", 0.2)], &[image("b", 0.3), image("c", 0.1)]);
        assert_eq!(images, ["a", "b", "c"]);
        assert_eq!(some_of(&images), "3 images (a, b, c)");
    }
}
