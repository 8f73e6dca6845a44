//! Reading `[table]`: what is rendered from the results.

use super::diagnostic::Diagnostic;
use super::experiment::{Arrange, TableKind, TableSpec};
use super::fields::Fields;
use super::kind::{Kind, words, wrong_type};
use super::tree::{Node, Value};
use crate::metric::Metric;

/// Reads the table; whatever is left out gets its default (results, no paper table,
/// all six metrics, datasets below each other).
pub(super) fn read(node: Option<&Node>, found: &mut Vec<Diagnostic>) -> TableSpec {
    let mut table = TableSpec {
        kind: TableKind::Results,
        paper_table: 0,
        metrics: Metric::ALL.to_vec(),
        arrange: Arrange::default(),
    };
    let Some(node) = node else { return table };
    let mut fields = Fields::new("table", node, found);
    if let Some(word) = fields.value("kind", Kind::Word(words::<TableKind>), found) {
        table.kind = serde_json::from_value(word).unwrap_or(table.kind);
    }
    if let Some(number) = fields.value("paper_table", Kind::Count { low: 0, high: 7 }, found) {
        table.paper_table = number.as_u64().and_then(|n| u8::try_from(n).ok()).unwrap_or_default();
    }
    if let Some(entry) = fields.get("metrics") {
        table.metrics = read_metrics(&entry.node, found);
    }
    if let Some(word) = fields.value("arrange", Kind::Word(words::<Arrange>), found) {
        table.arrange = serde_json::from_value(word).unwrap_or_default();
    }
    fields.finish(found);
    table
}

fn read_metrics(node: &Node, found: &mut Vec<Diagnostic>) -> Vec<Metric> {
    let mut metrics: Vec<Metric> = Vec::new();
    let Value::List(items) = &node.value else {
        found.push(wrong_type("table.metrics", node, "a list of metrics"));
        return metrics;
    };
    if items.is_empty() {
        found.push(
            Diagnostic::new(node.at, "the table has no metrics").help("leave `metrics` out to get all six"),
        );
    }
    for item in items {
        let Value::Text(name) = &item.value else {
            found.push(wrong_type("each entry of table.metrics", item, "a text"));
            continue;
        };
        match Metric::ALL.into_iter().find(|metric| metric.name() == name) {
            Some(metric) if metrics.contains(&metric) => {
                found.push(Diagnostic::new(item.at, format!("the metric `{name}` is listed twice")));
            }
            Some(metric) => metrics.push(metric),
            None => {
                let names = Metric::ALL.map(Metric::name);
                found.push(
                    Diagnostic::new(item.at, format!("unknown metric `{name}`"))
                        .suggest(name, names, "metrics"),
                );
            }
        }
    }
    metrics
}
