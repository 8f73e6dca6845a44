//! `dygl explain`: why a cell would run, field by field.

use dygl_base::exit::{Exit, Failure, OrExit};
use dygl_store::StoreError;
use dygl_store::key::{self, Change};
use serde_json::json;

use super::context::Context;
use super::read::{self, Reading, State};
use crate::cli::{Format, Selection};

pub fn explain(selection: &Selection) -> Result<Exit, Failure> {
    let (context, readings, names) = read::selected(selection)?;
    let mut listed = Vec::new();
    let mut text = String::new();
    for (reading, name) in readings.iter().zip(names) {
        let (verdict, changes) = verdict(&context, reading).or_exit(Exit::Environment)?;
        text.push_str(&format!("{}: {verdict}\n", name.full));
        for change in &changes {
            text.push_str(&format!("  {}\n", change.describe()));
        }
        let more = json!({ "state": reading.word(), "verdict": verdict, "changes": changes });
        listed.push(super::cells::with(&reading.planned, &name, more));
    }
    if selection.common.format == Format::Json {
        super::answer_json(&json!({ "cells": listed }))?;
    } else {
        super::answer(&text);
    }
    Ok(Exit::Ok)
}

/// What would happen to a cell, and what moved.
fn verdict(context: &Context, reading: &Reading) -> Result<(String, Vec<Change>), StoreError> {
    if reading.running.is_some() {
        return Ok((format!("runs now: {}", reading.reason()), Vec::new()));
    }
    Ok(match &reading.state {
        State::Done(done) => (
            format!("up to date (training {}, evaluation {})", &done.train.key[..12], &done.eval.key[..12]),
            Vec::new(),
        ),
        State::Stale(changes) => ("trains again".to_owned(), changes.clone()),
        State::Missing(_) if reading.evaluation.is_some() => {
            let changes = evaluation_changes(context, reading)?;
            let path = |change: &Change| change.field.strip_prefix("protocol.").map(str::to_owned);
            let is_own = |path: String| reading.planned.settings.contains_key(&path);
            // The scores of another cell with the same weights are none of this one.
            let is_first = changes.is_empty() || changes.iter().filter_map(path).any(is_own);
            let verdict =
                if is_first { "evaluates, does not train" } else { "evaluates again, does not retrain" };
            (verdict.to_owned(), changes)
        }
        State::Missing(_) if !reading.nearest.is_empty() => {
            ("runs: never run; the nearest result is another cell's".to_owned(), reading.nearest.clone())
        }
        State::Missing(reason) if reading.train.is_some() => (format!("runs: {reason}"), Vec::new()),
        State::Missing(reason) => (format!("cannot run: {reason}"), Vec::new()),
        State::Failed { .. } => {
            (format!("failed before ({}); runs with --retry-failed", reading.reason()), Vec::new())
        }
        State::Altered { .. } | State::Conflict(_) => (reading.reason(), Vec::new()),
    })
}

/// Against the most similar evaluation of the same weights.
fn evaluation_changes(context: &Context, reading: &Reading) -> Result<Vec<Change>, StoreError> {
    let Some(today) = &reading.evaluation else { return Ok(Vec::new()) };
    let mut nearest: Option<Vec<Change>> = None;
    for stored in context.store.keys()? {
        let Some(old) = read::preimage(&context.store, &stored)? else { continue };
        if old.domain == today.domain && old.get("train") == today.get("train") {
            let changes = key::compare(&old, today);
            if nearest.as_ref().is_none_or(|best| changes.len() < best.len()) {
                nearest = Some(changes);
            }
        }
    }
    Ok(nearest.unwrap_or_default())
}
