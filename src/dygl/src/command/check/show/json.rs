//! `dygl-check-2`: the answer for programs. Scores are in 0..1.

use serde_json::{Map, Value, json};

use super::super::verdict::Tier;
use super::Answer;

const SCHEMA: &str = "dygl-check-2";

/// Every comparison, how many there are of each tier, and the exit code.
pub fn json(answer: &Answer) -> Value {
    let mut cells = Vec::new();
    for suite in &answer.suites {
        for row in &suite.rows {
            cells.push(json!({
                "experiment": suite.experiment,
                "cell": row.cell,
                "label": row.label,
                "settings": row.settings,
                "metric": row.metric,
                "accepted": row.accepted,
                "found": row.found,
                "delta": row.delta(),
                "allowed": row.allowed,
                "tier": row.tier,
                "low": row.interval.map(|interval| interval.low),
                "high": row.interval.map(|interval| interval.high),
                "level": row.interval.map(|interval| interval.level),
                "images_moved": row.moved,
                "reason": row.reason,
            }));
        }
    }
    let counts: Map<String, Value> =
        Tier::ALL.iter().map(|tier| (tier.word().to_owned(), answer.count(*tier).into())).collect();
    json!({ "schema": SCHEMA, "cells": cells, "counts": counts, "exit": answer.exit() as u8 })
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn every_field_is_there_for_every_row() {
        let value = json(&samples::answer());
        assert_eq!((&value["schema"], &value["exit"]), (&json!("dygl-check-2"), &json!(5)));
        assert_eq!(value["counts"]["other-numerics"], 1);
        let rows = value["cells"].as_array().expect("cells");
        assert_eq!(rows.len(), Tier::ALL.len());
        for row in rows {
            for field in [
                "experiment",
                "cell",
                "label",
                "settings",
                "metric",
                "accepted",
                "found",
                "delta",
                "allowed",
                "tier",
                "low",
                "high",
                "level",
                "images_moved",
                "reason",
            ] {
                assert!(row.get(field).is_some(), "{field} is missing in {row}");
            }
        }
        let worse = rows.iter().find(|row| row["tier"] == "worse").expect("a row");
        assert!((worse["delta"].as_f64().expect("a number") + 0.02).abs() < 1e-12);
        assert_eq!(worse["images_moved"], json!([{ "image": "x", "accepted": 0.5, "found": 0.1 }]));
        assert_eq!(rows[0]["metric"], Value::Null);
    }
}
