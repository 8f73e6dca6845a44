//! The table of operations.

use dygl_bench::spread::Spread;

use super::list::listed;
use super::{Column, Results};
use crate::grid::{figure, markdown};
use crate::side::Who;

const HEADERS: [&str; 12] = [
    "operation",
    "network",
    "forward ms",
    "burn",
    "ATen",
    "x burn",
    "x ATen",
    "backward ms",
    "burn",
    "ATen",
    "x burn",
    "x ATen",
];

/// A table for each device, its notes below it.
pub fn table(results: &Results) -> String {
    let mut text = String::new();
    let ours = results.columns.iter().filter(|column| column.side.who == Who::Ours && !column.is_oracle);
    for column in ours {
        let beside = |is: &dyn Fn(&Column) -> bool| results.columns.iter().find(|other| is(other));
        let oracle = beside(&|other| other.is_oracle && other.side == column.side);
        let torch = beside(&|other| column.side.compares_with(&other.side));
        text.push_str(&one(results, column, oracle, torch));
    }
    text
}

fn one(results: &Results, ours: &Column, oracle: Option<&Column>, torch: Option<&Column>) -> String {
    let mut notes = Vec::new();
    let mut rows = Vec::new();
    let all = [Some(ours), oracle, torch];
    for one in listed().unwrap_or_default() {
        if ours.rounds.iter().flatten().all(|line| line["name"] != one.name.as_str()) {
            continue;
        }
        let mut row = vec![one.name.clone(), one.network.clone()];
        for field in ["forward_ms", "backward_ms"] {
            let [ours, oracle, torch] = all.map(|column| column?.spread(&one.name, field));
            row.extend([ours, oracle, torch].map(shown));
            row.extend([oracle, torch].map(|theirs| ratio(ours, theirs)));
        }
        rows.push(row);
        for column in all.into_iter().flatten() {
            if let Some(failure) = column.failure(&one.name) {
                notes.push(format!("{}: {failure}", one.name));
            }
        }
    }
    let mut text = format!("{}, f32:\n\n{}", ours.side.name, markdown(&HEADERS, 2, &rows));
    text.push_str(&format!(
        "\nMinimum / median over the rounds ({}), in each of which every side has its turn, a process on {} threads. \
         burn: its primitives on the same device; x: their time / ours (more than 1: we are faster).\n",
        results.rounds, results.threads
    ));
    match torch {
        None => text
            .push_str("ATen was not measured: `make bench VENV=FOLDER` makes a Python with torch there.\n"),
        Some(Column { failure: Some(failure), .. }) => text.push_str(&format!("ATen: {failure}\n")),
        Some(_) => {}
    }
    for column in [Some(ours), oracle].into_iter().flatten() {
        if let Some(failure) = &column.failure {
            text.push_str(&format!("{}: {failure}\n", if column.is_oracle { "burn" } else { "ours" }));
        }
    }
    for note in notes {
        text.push_str(&format!("{note}\n"));
    }
    text + "\n"
}

fn shown(spread: Option<Spread>) -> String {
    spread.map_or("-".into(), |Spread { min, median }| format!("{} / {}", figure(min), figure(median)))
}

fn ratio(ours: Option<Spread>, theirs: Option<Spread>) -> String {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) => {
            format!("{} / {}", figure(theirs.min / ours.min), figure(theirs.median / ours.median))
        }
        _ => "-".into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::machine::Machine;
    use crate::side::sides;

    #[test]
    fn ratios_are_theirs_to_ours() {
        let name = &listed().expect("of the form")[0].name;
        let line = |ms: f64| json!({ "name": name, "forward_ms": { "min": ms, "median": 2.0 * ms }, "backward_ms": null });
        let all = sides(&["flex".into()], true);
        let column = |side: usize, is_oracle, ms| Column {
            side: all[side].clone(),
            is_oracle,
            rounds: vec![vec![line(ms)], vec![line(2.0 * ms)]],
            failure: None,
        };
        let columns = vec![column(0, false, 2.0), column(0, true, 8.0), column(1, false, 1.0)];
        let mut results = Results { machine: Machine::here(2), rounds: 2, threads: 2, columns };
        let text = table(&results);
        let row: Vec<&str> =
            text.lines().nth(4).expect("a row").trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(row[2..7], ["2.00 / 6.00", "8.00 / 24.0", "1.00 / 3.00", "4.00 / 4.00", "0.50 / 0.50"]);
        assert_eq!(row[7..], ["-"; 5]);
        assert_eq!(text.lines().filter(|line| line.starts_with("| ")).count(), 3, "only what was measured");
        results.columns.pop();
        assert!(table(&results).contains("ATen was not measured"));
    }
}
