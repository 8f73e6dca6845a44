//! What lists of cells say of each: the same names, columns and JSON in every verb.

use dygl_spec::plan::{CellName, PlannedCell};
use serde_json::{Map, Value, json};

/// What tells a cell apart, for programs.
pub fn facts(planned: &PlannedCell, name: &CellName) -> Map<String, Value> {
    let cell = &planned.cell;
    let mut facts = Map::new();
    let mut put = |key: &str, value: Value| drop(facts.insert(key.to_owned(), value));
    put("name", json!(name.full));
    put("label", json!(name.label));
    put("model", json!(cell.model));
    put("dataset", json!(cell.dataset));
    put("asked", json!(cell.asked));
    put("seed", json!(cell.seed));
    put("pretrained", json!(cell.pretrained));
    put("settings", json!(name.settings));
    facts
}

/// The same with more behind it: `more` must be an object.
pub fn with(planned: &PlannedCell, name: &CellName, more: Value) -> Value {
    let mut facts = facts(planned, name);
    if let Value::Object(more) = more {
        facts.extend(more);
    }
    Value::Object(facts)
}

/// The columns that tell cells apart; that of the settings only where a cell has any.
pub struct Columns {
    has_settings: bool,
}

impl Columns {
    pub fn of(names: &[CellName]) -> Self {
        Self { has_settings: names.iter().any(|name| !name.settings.is_empty()) }
    }

    /// The row of headings, with `more` behind it.
    pub fn head(&self, more: &[&str]) -> Vec<String> {
        let settings = self.has_settings.then_some("settings");
        let own = ["model", "dataset", "seed"].into_iter().chain(settings);
        own.chain(more.iter().copied()).map(str::to_owned).collect()
    }

    /// The row of a cell, with `more` behind it.
    pub fn row(&self, planned: &PlannedCell, name: &CellName, more: Vec<String>) -> Vec<String> {
        let cell = &planned.cell;
        let start = cell.pretrained.as_ref();
        let start = start.map_or(String::new(), |pretrained| format!(" (from {})", pretrained.short()));
        let dataset = if cell.is_substituted() {
            format!("{} (for {})", cell.dataset, cell.asked)
        } else {
            cell.dataset.to_string()
        };
        let mut row = vec![format!("{}{start}", cell.model), dataset, cell.seed.to_string()];
        if self.has_settings {
            let words = name.words();
            row.push(if words.is_empty() { "-".to_owned() } else { words });
        }
        row.extend(more);
        row
    }
}

#[cfg(test)]
mod tests {
    use dygl_spec::plan::{Plan, names};
    use dygl_spec::testing::experiment;

    use super::*;

    #[test]
    fn no_two_rows_of_a_list_are_equal() {
        let set = ["model=unet", "optimizer.learning_rate=1e-3,1e-2", "evaluate.threshold=0.3,0.9999"];
        let cells = Plan::expand(&experiment("table2", Some("smoke"), &set)).cells;
        let names = names(&cells);
        let columns = Columns::of(&names);
        assert_eq!(columns.head(&["key"]), ["model", "dataset", "seed", "settings", "key"]);
        let rows: Vec<Vec<String>> =
            cells.iter().zip(&names).map(|(cell, name)| columns.row(cell, name, Vec::new())).collect();
        assert_eq!(rows[2][3], "evaluate.threshold 0.9999, optimizer.learning_rate 0.001");
        let listed: Vec<Value> =
            cells.iter().zip(&names).map(|(cell, name)| Value::Object(facts(cell, name))).collect();
        assert_eq!(listed[2]["settings"]["evaluate.threshold"], 0.9999);
        assert_eq!(listed[2]["label"], "Unet (threshold 0.9999, learning_rate 0.001)");
        for (place, row) in rows.iter().enumerate() {
            assert!(!rows[..place].contains(row) && !listed[..place].contains(&listed[place]), "{row:?}");
        }
        // Without settings of its own a list has no column of them.
        let plain = Plan::expand(&experiment("table2", None, &["model=unet"])).cells;
        assert_eq!(Columns::of(&dygl_spec::plan::names(&plain)).head(&[]), ["model", "dataset", "seed"]);
    }
}
