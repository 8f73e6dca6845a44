//! `dygl plan`: the cells, and what each would need.

use dygl_base::exit::{Exit, Failure};
use serde_json::json;

use super::cells::{self, Columns};
use super::read::{self, State};
use crate::cli::{Format, Selection};

pub fn plan(selection: &Selection) -> Result<Exit, Failure> {
    let (_, readings, names) = read::selected(selection)?;
    if selection.common.format == Format::Json {
        let listed: Vec<_> = readings
            .iter()
            .zip(&names)
            .map(|(reading, name)| {
                let more = json!({
                    "state": reading.word(), "reason": reading.reason(),
                    "train_key": reading.train, "protocol": *reading.planned.cell.protocol,
                });
                cells::with(&reading.planned, name, more)
            })
            .collect();
        super::answer_json(&json!({ "cells": listed }))?;
        return Ok(Exit::Ok);
    }
    let columns = Columns::of(&names);
    let mut rows = vec![columns.head(&["key", "state"])];
    for (reading, name) in readings.iter().zip(&names) {
        let key = reading.train.as_ref().map_or_else(|| "-".to_owned(), |key| key.short().to_owned());
        let state = match &reading.state {
            State::Missing(_) if reading.train.is_none() => "no data",
            _ => reading.word(),
        };
        rows.push(columns.row(&reading.planned, name, vec![key, state.to_owned()]));
    }
    super::answer(&super::columns(&rows));
    let done = readings.iter().filter(|r| matches!(r.state, State::Done(_))).count();
    super::note(&format!("{} cells, {done} done, {} to do", readings.len(), readings.len() - done));
    Ok(Exit::Ok)
}
