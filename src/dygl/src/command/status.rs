//! `dygl status`: how each cell stands.

use std::collections::BTreeMap;

use dygl_base::exit::{Exit, Failure};
use dygl_spec::metric::Metric;
use serde_json::json;

use super::cells::{self, Columns};
use super::read::{self, State};
use crate::cli::{Format, Selection};

pub fn status(selection: &Selection) -> Result<Exit, Failure> {
    let (_, readings, names) = read::selected(selection)?;
    if selection.common.format == Format::Json {
        let listed: Vec<_> = readings
            .iter()
            .zip(&names)
            .map(|(reading, name)| {
                let mean = match &reading.state {
                    State::Done(done) => Some(&done.eval.mean),
                    _ => None,
                };
                let more = json!({
                    "state": reading.word(), "reason": reading.reason(),
                    "train_key": reading.train,
                    "eval_key": reading.evaluation.as_ref().map(|p| p.key()), "mean": mean,
                });
                cells::with(&reading.planned, name, more)
            })
            .collect();
        super::answer_json(&json!({ "cells": listed }))?;
        return Ok(read::exit_of(&readings));
    }
    let columns = Columns::of(&names);
    let mut rows = vec![columns.head(&["key", "state", "dice", "reason"])];
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (reading, name) in readings.iter().zip(&names) {
        *counts.entry(reading.word()).or_default() += 1;
        let key = reading.train.as_ref().map_or_else(|| "-".to_owned(), |key| key.short().to_owned());
        let dice = match &reading.state {
            State::Done(done) => done.eval.mean.get(&Metric::Dice).map(|dice| format!("{:.2}", 100.0 * dice)),
            _ => None,
        };
        let dice = dice.unwrap_or_else(|| "-".to_owned());
        let more = vec![key, reading.word().to_owned(), dice, reading.reason()];
        rows.push(columns.row(&reading.planned, name, more));
    }
    super::answer(&super::columns(&rows));
    let summary: Vec<String> = counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
    super::note(&summary.join(", "));
    Ok(read::exit_of(&readings))
}
