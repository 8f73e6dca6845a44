//! What a report shows of a result beyond its records: histories, scores,
//! pictures, logs. Every byte is verified as it is read.

use std::collections::BTreeMap;

use dygl_report::table::results::{Finished, Journal, SampleImages};
use dygl_spec::metric::Metric;
use dygl_store::record::{HistoryRow, ImageScores};
use dygl_store::{Attempt, Problem};
use image::ImageFormat;
use serde_json::Value;

use super::read::{Done, State};

/// Lines of a log that a page shows.
const TAIL: usize = 40;

/// Everything that the report shows of a result, verified as it is read.
pub fn finished(done: &Done) -> Result<Finished, Problem> {
    let samples = done
        .eval
        .samples
        .iter()
        .map(|sample| {
            let picture =
                |kind: &str| png(&done.eval_attempt, &format!("samples/{}.{kind}.png", sample.file));
            Ok(SampleImages {
                sample: sample.clone(),
                image: Some(picture("image")?.into_rgb8()),
                truth: picture("truth")?.into_luma8(),
                prediction: picture("prediction")?.into_luma8(),
            })
        })
        .collect::<Result<_, _>>()?;
    Ok(Finished {
        train: done.train.clone(),
        eval: done.eval.clone(),
        attempt: done.eval_attempt.short().to_owned(),
        history: rows(&done.train_attempt, "history.csv")?,
        per_image: scores(&done.eval_attempt)?,
        samples,
    })
}

fn png(attempt: &Attempt, name: &str) -> Result<image::DynamicImage, Problem> {
    let bytes = attempt.read(name)?;
    image::load_from_memory_with_format(&bytes, ImageFormat::Png)
        .map_err(|error| unreadable(attempt, name, &error))
}

fn rows(attempt: &Attempt, name: &str) -> Result<Vec<HistoryRow>, Problem> {
    let bytes = attempt.read(name)?;
    csv::Reader::from_reader(bytes.as_slice())
        .deserialize()
        .collect::<Result<_, _>>()
        .map_err(|error| unreadable(attempt, name, &error))
}

/// The scores of every image of an evaluation, in the order of the file.
///
/// # Errors
/// A file whose bytes were altered, or that is no table.
pub fn scores(attempt: &Attempt) -> Result<Vec<ImageScores>, Problem> {
    let name = "per_image.csv";
    let bytes = attempt.read(name)?;
    let mut reader = csv::Reader::from_reader(bytes.as_slice());
    let header = reader.headers().map_err(|error| unreadable(attempt, name, &error))?.clone();
    let mut images = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| unreadable(attempt, name, &error))?;
        let scores = Metric::ALL
            .iter()
            .filter_map(|metric| {
                let column = header.iter().position(|title| title == metric.name())?;
                Some((*metric, record.get(column)?.parse().ok()?))
            })
            .collect();
        images.push(ImageScores { id: record.get(0).unwrap_or_default().to_owned(), scores });
    }
    Ok(images)
}

/// What the stages behind a state wrote while they ran, in their order.
///
/// # Errors
/// A log whose bytes were altered.
pub fn journals(state: &State) -> Result<Vec<Journal>, Problem> {
    let of_done = |done: &Done| -> Result<[Journal; 2], Problem> {
        Ok([journal("training", &done.train_attempt)?, journal("evaluation", &done.eval_attempt)?])
    };
    match state {
        State::Done(done) => Ok(of_done(done)?.into()),
        State::Conflict(all) => {
            let mut journals: Vec<Journal> = Vec::new();
            for journal in all.iter().map(of_done).collect::<Result<Vec<_>, _>>()?.into_iter().flatten() {
                // Attempts in conflict may share their training.
                if !journals.contains(&journal) {
                    journals.push(journal);
                }
            }
            Ok(journals)
        }
        State::Failed { attempt, .. } => {
            let record: Value = attempt.read_json("record.json")?;
            let is_training = record.get("train_key").is_none();
            let mut journal = journal(if is_training { "training" } else { "evaluation" }, attempt)?;
            journal.provenance =
                record.get("provenance").and_then(|found| serde_json::from_value(found.clone()).ok());
            Ok(vec![journal])
        }
        State::Altered { .. } | State::Stale(_) | State::Missing(_) => Ok(Vec::new()),
    }
}

fn journal(stage: &'static str, attempt: &Attempt) -> Result<Journal, Problem> {
    let log = text(attempt, "log.txt")?;
    let lines: Vec<&str> = log.lines().collect();
    let earlier = lines.len().saturating_sub(TAIL);
    let mut events: Vec<(String, usize)> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for line in text(attempt, "events.jsonl")?.lines() {
        let told: Option<Value> = serde_json::from_str(line).ok();
        let Some(name) = told.as_ref().and_then(|told| told["event"].as_str()) else { continue };
        let place = *places.entry(name.to_owned()).or_insert_with(|| {
            events.push((name.to_owned(), 0));
            events.len() - 1
        });
        events[place].1 += 1;
    }
    Ok(Journal {
        stage,
        attempt: attempt.short().to_owned(),
        tail: lines[earlier..].iter().map(|line| (*line).to_owned()).collect(),
        earlier,
        events,
        provenance: None,
    })
}

/// A file that a stage may or may not have left; empty where it did not.
fn text(attempt: &Attempt, name: &str) -> Result<String, Problem> {
    match attempt.read(name) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(Problem::Unlisted(_)) => Ok(String::new()),
        Err(problem) => Err(problem),
    }
}

fn unreadable(attempt: &Attempt, name: &str, error: &dyn std::fmt::Display) -> Problem {
    Problem::Unreadable { path: attempt.folder().join(name), message: error.to_string() }
}
