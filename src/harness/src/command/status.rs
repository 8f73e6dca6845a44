//! `dygl status`: how each cell stands.

use std::collections::BTreeMap;

use serde_json::json;

use super::context::Context;
use super::read::{self, State};
use crate::cli::{Format, Selection};
use crate::exit::{Exit, Failure, OrExit};
use crate::metric::Metric;

pub fn status(selection: &Selection) -> Result<Exit, Failure> {
    let context = Context::load(selection)?;
    let cells = context.cells();
    let readings = read::cells(&context, selection, &cells).or_exit(Exit::Environment)?;
    if selection.common.format == Format::Json {
        let listed: Vec<_> = readings
            .iter()
            .map(|reading| {
                let cell = &reading.planned.cell;
                let mean = match &reading.state {
                    State::Done(done) => Some(&done.eval.mean),
                    _ => None,
                };
                json!({
                    "model": cell.model, "dataset": cell.dataset, "seed": cell.seed, "state": reading.word(),
                    "reason": reading.reason(), "train_key": reading.train.as_ref().map(|p| p.key()),
                    "eval_key": reading.evaluation.as_ref().map(|p| p.key()), "mean": mean,
                })
            })
            .collect();
        super::answer_json(&json!({ "cells": listed }))?;
        return Ok(read::exit_of(&readings));
    }
    let mut rows =
        vec![["model", "dataset", "seed", "key", "state", "dice", "reason"].map(str::to_owned).to_vec()];
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for reading in &readings {
        *counts.entry(reading.word()).or_default() += 1;
        let cell = &reading.planned.cell;
        let key = reading.train.as_ref().map_or_else(|| "-".to_owned(), |p| p.key().short().to_owned());
        let dice = match &reading.state {
            State::Done(done) => done.eval.mean.get(&Metric::Dice).map(|dice| format!("{:.2}", 100.0 * dice)),
            _ => None,
        };
        rows.push(vec![
            cell.model.to_string(),
            cell.dataset.to_string(),
            cell.seed.to_string(),
            key,
            reading.word().to_owned(),
            dice.unwrap_or_else(|| "-".to_owned()),
            reading.reason(),
        ]);
    }
    super::answer(&super::columns(&rows));
    let summary: Vec<String> = counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
    super::note(&summary.join(", "));
    Ok(read::exit_of(&readings))
}
