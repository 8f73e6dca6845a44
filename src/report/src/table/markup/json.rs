//! JSON: the table itself, under the names of its fields.

use serde::Serialize;

use super::super::model::Table;
use super::MarkupError;

/// Moves when a field is renamed or changes its meaning.
const SCHEMA: &str = "dygl-table-3";

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    #[serde(flatten)]
    table: &'a Table,
}

/// The table as JSON.
pub fn json(table: &Table) -> Result<String, MarkupError> {
    let mut text = serde_json::to_string_pretty(&Document { schema: SCHEMA, table })?;
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::super::super::build;
    use super::super::super::samples::{self, Paper};
    use super::*;

    #[test]
    fn names_are_stable() {
        let text = json(&build(&samples::done(), &Paper)).expect("renders");
        let value: serde_json::Value = serde_json::from_str(&text).expect("valid");
        assert_eq!(value["schema"], SCHEMA);
        let cell = &value["blocks"][0]["groups"][0]["rows"][0]["cells"][0];
        let names: Vec<&str> = cell.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(names, ["text", "emphasis", "footnotes", "reported", "link", "keys", "entries"]);
        assert_eq!(cell["entries"][0]["state"], "done");
    }
}
