//! `dygl plan`: the cells, and what each would need.

use serde_json::json;

use super::context::Context;
use super::read::{self, State};
use crate::cli::{Format, Selection};
use crate::exit::{Exit, Failure, OrExit};

pub fn plan(selection: &Selection) -> Result<Exit, Failure> {
    let context = Context::load(selection)?;
    let cells = context.cells();
    let readings = read::cells(&context, selection, &cells).or_exit(Exit::Environment)?;
    if selection.common.format == Format::Json {
        let listed: Vec<_> = readings
            .iter()
            .map(|reading| {
                let cell = &reading.planned.cell;
                json!({
                    "label": reading.planned.label, "model": cell.model, "dataset": cell.dataset, "asked": cell.asked,
                    "seed": cell.seed, "state": reading.word(), "reason": reading.reason(),
                    "train_key": reading.train.as_ref().map(|p| p.key()), "pretrained": cell.pretrained,
                    "protocol": cell.protocol,
                })
            })
            .collect();
        super::answer_json(&json!({ "cells": listed }))?;
        return Ok(Exit::Ok);
    }
    let mut rows = vec![["model", "dataset", "seed", "key", "state"].map(str::to_owned).to_vec()];
    for reading in &readings {
        let cell = &reading.planned.cell;
        let dataset = if cell.is_substituted() {
            format!("{} (for {})", cell.dataset, cell.asked)
        } else {
            cell.dataset.to_string()
        };
        let key = reading.train.as_ref().map_or_else(|| "-".to_owned(), |p| p.key().short().to_owned());
        let state = match &reading.state {
            State::Missing(_) if reading.train.is_none() => "no data",
            _ => reading.word(),
        };
        let start = cell.pretrained.as_ref();
        let start = start.map_or(String::new(), |pretrained| format!(" (from {})", pretrained.short()));
        rows.push(vec![
            format!("{}{start}", cell.model),
            dataset,
            cell.seed.to_string(),
            key,
            state.to_owned(),
        ]);
    }
    super::answer(&super::columns(&rows));
    let done = readings.iter().filter(|r| matches!(r.state, State::Done(_))).count();
    super::note(&format!("{} cells, {done} done, {} to do", readings.len(), readings.len() - done));
    Ok(Exit::Ok)
}
