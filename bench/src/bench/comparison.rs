//! The table of steps: what each side takes, and the ratios.

use dygl_bench::spread::Spread;

use crate::grid::{figure, markdown};
use crate::side::{Side, Task, Who};
use crate::steps::{Cell, Results};

const HEADERS: [&str; 11] = [
    "network",
    "batch",
    "backend",
    "forward ms",
    "backward ms",
    "update ms",
    "step ms",
    "images/s",
    "evaluation images/s",
    "training MiB",
    "evaluation MiB",
];
/// Columns of words.
const WORDS: usize = 3;

/// What a column is about.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Column {
    /// ms; less is better.
    Time(Task, &'static str),
    /// The same as images per second.
    Rate(Task),
    /// MiB; less is better.
    Memory(Task),
}

const COLUMNS: [Column; 8] = [
    Column::Time(Task::Training, "forward_ms"),
    Column::Time(Task::Training, "backward_ms"),
    Column::Time(Task::Training, "update_ms"),
    Column::Time(Task::Training, "step_ms"),
    Column::Rate(Task::Training),
    Column::Rate(Task::Evaluation),
    Column::Memory(Task::Training),
    Column::Memory(Task::Evaluation),
];

impl Column {
    fn task(self) -> Task {
        match self {
            Column::Time(task, _) | Column::Rate(task) | Column::Memory(task) => task,
        }
    }

    /// The measured quantity, of which less is better.
    fn measured(self, results: &Results, cell: &Cell, side: usize) -> Option<Spread> {
        let run = cell.run(side, self.task())?;
        match self {
            Column::Time(_, field) => run.spread(field),
            Column::Rate(_) => run.spread("step_ms"),
            Column::Memory(_) if results.plan.sides[side].card().is_some() => run.spread("card_mib"),
            Column::Memory(_) => run.spread("peak_mib"),
        }
    }

    fn shown(self, spread: Spread, batch: usize) -> String {
        let Spread { min, median } = spread;
        let rate = |ms: f64| 1e3 * batch as f64 / ms;
        match self {
            Column::Time(..) => format!("{} / {}", figure(min), figure(median)),
            Column::Rate(_) => format!("{} / {}", figure(rate(min)), figure(rate(median))),
            Column::Memory(_) => format!("{median:.0}"),
        }
    }

    /// Theirs / ours for times, ours / theirs for memory, of minima and medians.
    fn ratio(self, ours: Spread, theirs: Spread) -> Spread {
        let [over, under] = match self {
            Column::Memory(_) => [ours, theirs],
            Column::Time(..) | Column::Rate(_) => [theirs, ours],
        };
        Spread { min: over.min / under.min, median: over.median / under.median }
    }
}

/// The table, its notes below it.
pub fn table(results: &Results) -> String {
    let mut notes = Vec::new();
    let mut rows = Vec::new();
    for cell in &results.cells {
        let mut first = true;
        let takes = |side: &Side| side.takes(&cell.model);
        for (place, side) in results.plan.sides.iter().enumerate().filter(|(_, side)| takes(side)) {
            rows.push(side_row(results, cell, place, side, &mut first, &mut notes));
        }
        for (place, side) in results.plan.sides.iter().enumerate().filter(|(_, side)| side.who == Who::Ours) {
            rows.extend(ratio_rows(results, cell, place, side));
        }
    }
    let mut text = markdown(&HEADERS, WORDS, &rows);
    text.push_str(&legend(results));
    for (number, note) in notes.iter().enumerate() {
        text.push_str(&format!("({}) {note}\n", number + 1));
    }
    text
}

fn side_row(
    results: &Results,
    cell: &Cell,
    place: usize,
    side: &Side,
    first: &mut bool,
    notes: &mut Vec<String>,
) -> Vec<String> {
    let mut row = match std::mem::take(first) {
        true => vec![cell.model.clone(), cell.batch.to_string()],
        false => vec![String::new(), String::new()],
    };
    row.push(side.name.clone());
    let mut marks = [Task::Training, Task::Evaluation].map(|task| {
        let failure = cell.run(place, task)?.failure.as_ref()?;
        let what = if task == Task::Training { "training" } else { "evaluation" };
        notes.push(format!("{}, batch {}, {}, {what}: {failure}", cell.model, cell.batch, side.name));
        Some(format!("failed ({})", notes.len()))
    });
    row.extend(COLUMNS.map(|column| {
        let spread = column.measured(results, cell, place);
        // What was measured before it failed is no figure of the plan.
        let mark = &mut marks[usize::from(column.task() == Task::Evaluation)];
        match (mark, spread) {
            (Some(mark), _) => std::mem::replace(mark, "-".into()),
            (None, Some(spread)) => column.shown(spread, cell.batch),
            (None, None) => "-".into(),
        }
    }));
    row
}

fn ratio_rows(results: &Results, cell: &Cell, place: usize, side: &Side) -> Vec<Vec<String>> {
    let compares = |other: &Side| side.compares_with(other) && other.takes(&cell.model);
    let others = results.plan.sides.iter().enumerate().filter(|(_, other)| compares(other));
    let mut rows: Vec<Vec<String>> = others
        .map(|(other, theirs)| {
            let mut row = vec![String::new(), String::new(), format!("{} : {}", side.name, theirs.name)];
            row.extend(COLUMNS.map(|column| match ratio(results, cell, [place, other], column) {
                Some(Spread { median, .. }) if matches!(column, Column::Memory(_)) => format!("{median:.2}"),
                Some(Spread { min, median }) => format!("{min:.2} / {median:.2} x"),
                None => "-".into(),
            }));
            row
        })
        .collect();
    if rows.is_empty() {
        let mut row = vec![String::new(), String::new(), format!("{} : PyTorch", side.name)];
        row.push("make bench VENV=FOLDER".into());
        rows.push(row);
    }
    rows
}

/// None where one of both failed.
fn ratio(results: &Results, cell: &Cell, [ours, theirs]: [usize; 2], column: Column) -> Option<Spread> {
    let of = |side| {
        let run = cell.run(side, column.task())?;
        if run.failure.is_some() { None } else { column.measured(results, cell, side) }
    };
    Some(column.ratio(of(ours)?, of(theirs)?))
}

fn legend(results: &Results) -> String {
    let plan = &results.plan;
    let mut text = format!(
        "\n{} px; minimum / median over the rounds ({}), in each of which every side has its turn, a process each with {} steps on {} threads; \
         images/s: largest / median. Ratios: PyTorch's time / ours (more than 1: we are faster), our memory / PyTorch's.\n",
        plan.size, plan.rounds, plan.steps, plan.threads
    );
    text.push_str(match plan.sides.iter().any(|side| side.card().is_some()) {
        true => "Memory: what the process holds on the card after the last step, as the driver tells it.\n",
        false => "Memory: largest resident memory of the process, libraries included.\n",
    });
    if !plan.sides.iter().any(|side| side.who == Who::Torch) {
        text.push_str(
            "PyTorch was not measured: `make bench VENV=FOLDER` makes a Python with torch there.\n",
        );
    }
    if !results.complete {
        text.push_str("The run ended before its plan did.\n");
    }
    text
}

/// A ratio of each network's median, for one comparison: `(model, batch, step,
/// evaluation, memory)`, where both sides ran.
pub struct Standing {
    pub model: String,
    pub batch: usize,
    pub step: f64,
    pub evaluation: f64,
    pub memory: f64,
}

/// How our side stands to that side in every cell that both finished.
pub fn standings(results: &Results, ours: usize, theirs: usize) -> Vec<Standing> {
    let each = |cell: &Cell| {
        let of = |column| Some(ratio(results, cell, [ours, theirs], column)?.median);
        Some(Standing {
            model: cell.model.clone(),
            batch: cell.batch,
            step: of(Column::Time(Task::Training, "step_ms"))?,
            evaluation: of(Column::Rate(Task::Evaluation))?,
            memory: of(Column::Memory(Task::Training))?,
        })
    };
    results.cells.iter().filter_map(each).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::machine::Machine;
    use crate::side;
    use crate::steps::{Plan, Run};

    fn run(side: usize, task: Task, ms: f64, mib: u64, failure: Option<&str>) -> Run {
        let spread = json!({ "min": ms, "median": 2.0 * ms });
        let round = json!({
            "forward_ms": spread, "backward_ms": spread, "update_ms": spread, "step_ms": spread,
            "peak_mib": mib, "versions": format!("side {side}"),
        });
        Run { side, task, rounds: vec![round], failure: failure.map(str::to_owned) }
    }

    fn results(has_torch: bool) -> Results {
        let sides = side::sides(&["flex".into()], has_torch);
        let mut runs =
            vec![run(0, Task::Training, 500.0, 1000, None), run(0, Task::Evaluation, 100.0, 300, None)];
        if has_torch {
            runs.push(run(1, Task::Training, 600.0, 2000, None));
            runs.push(run(1, Task::Evaluation, 150.0, 400, Some("no such batch")));
            runs.push(run(2, Task::Training, 400.0, 1500, None));
            runs.push(run(2, Task::Evaluation, 50.0, 400, None));
        }
        Results {
            machine: Machine::here(2),
            plan: Plan {
                models: vec!["unet".into()],
                batches: vec![4],
                size: 224,
                rounds: 3,
                steps: 5,
                threads: 2,
                sides,
            },
            complete: true,
            cells: vec![Cell { model: "unet".into(), batch: 4, runs }],
        }
    }

    fn cells(line: &str) -> Vec<&str> {
        line.trim_matches('|').split('|').map(str::trim).collect()
    }

    #[test]
    fn both_sides_and_their_ratios_are_shown() {
        let text = table(&results(true));
        let lines: Vec<&str> = text.lines().collect();
        let ours = cells(lines[2]);
        assert_eq!(ours[..4], ["unet", "4", "flex", "500 / 1000"]);
        assert_eq!(ours[7..], ["8.00 / 4.00", "40.0 / 20.0", "1000", "300"]);
        let theirs = cells(lines[3]);
        assert_eq!(theirs[2..4], ["PyTorch", "600 / 1200"]);
        assert_eq!(theirs[8..], ["failed (1)", "2000", "-"]);
        assert_eq!(cells(lines[4])[2..4], ["PyTorch compiled", "400 / 800"]);
        let ratio = cells(lines[5]);
        assert_eq!(ratio[2..4], ["flex : PyTorch", "1.20 / 1.20 x"]);
        assert_eq!(ratio[8..], ["-", "0.50", "-"]);
        assert_eq!(cells(lines[6])[2..4], ["flex : PyTorch compiled", "0.80 / 0.80 x"]);
        assert!(text.contains("(1) unet, batch 4, PyTorch, evaluation: no such batch"), "{text}");
        assert_eq!(results(true).versions(), ["side 0", "side 1", "side 2"]);
        assert!(standings(&results(true), 0, 1).is_empty(), "one task failed");
    }

    #[test]
    fn without_pytorch_the_table_says_how_to_get_it() {
        let text = table(&results(false));
        assert_eq!(
            cells(text.lines().nth(3).expect("a ratio"))[2..4],
            ["flex : PyTorch", "make bench VENV=FOLDER"]
        );
        assert!(text.contains("`make bench VENV=FOLDER`"));
    }
}
