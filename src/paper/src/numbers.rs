//! The printed numbers, arranged for questions.

use dygl_spec::metric::Metric;
use dygl_spec::name::Named;
use dygl_spec::reported::{Printed, Reported};

use super::Cell;

/// The dataset id of means over all datasets.
pub(super) const MEAN: &str = "all";
/// The tables of results; what comes after repeats or sums them up.
pub(super) const RESULTS: std::ops::RangeInclusive<u8> = 2..=5;
/// The table of costs.
pub(super) const COSTS: u8 = 7;

/// What one table prints of one dataset.
#[derive(Debug)]
pub(super) struct Block<'a> {
    pub table: u8,
    pub dataset: &'a str,
    pub metrics: Vec<&'a str>,
    pub rows: Vec<(&'a Named, Vec<&'a Printed>)>,
}

impl<'a> Block<'a> {
    pub fn row(&self, model: &Named) -> Option<&[&'a Printed]> {
        self.rows.iter().find(|(id, _)| *id == model).map(|(_, row)| row.as_slice())
    }

    pub fn get(&self, model: &Named, metric: &str) -> Option<&'a Printed> {
        let column = self.metrics.iter().position(|name| *name == metric)?;
        self.row(model)?.get(column).copied()
    }

    /// The numbers of one metric, in the order of the rows.
    pub fn column(&self, metric: &str) -> Vec<(&'a Named, &'a Printed)> {
        let Some(column) = self.metrics.iter().position(|name| *name == metric) else { return Vec::new() };
        self.rows.iter().filter_map(|(id, row)| Some((*id, *row.get(column)?))).collect()
    }

    pub fn cell(&self, model: &Named, metric: &str) -> Option<Cell> {
        Some(Cell {
            table: self.table,
            dataset: self.dataset.to_owned(),
            model: model.to_string(),
            metric: metric.to_owned(),
            printed: self.get(model, metric)?.text.clone(),
        })
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Numbers<'a> {
    pub reported: &'a Reported,
    pub blocks: Vec<Block<'a>>,
}

impl<'a> Numbers<'a> {
    pub fn new(reported: &'a Reported) -> Self {
        let mut blocks: Vec<Block<'a>> = Vec::new();
        for value in reported.iter() {
            let at = blocks.iter().position(|b| b.table == value.table && b.dataset == value.dataset);
            let at = at.unwrap_or_else(|| {
                blocks.push(Block {
                    table: value.table,
                    dataset: value.dataset,
                    metrics: Vec::new(),
                    rows: Vec::new(),
                });
                blocks.len() - 1
            });
            let block = &mut blocks[at];
            if !block.metrics.contains(&value.metric) {
                block.metrics.push(value.metric);
            }
            match block.rows.iter_mut().find(|(id, _)| *id == value.model) {
                Some((_, row)) => row.push(value.printed),
                None => block.rows.push((value.model, vec![value.printed])),
            }
        }
        Self { reported, blocks }
    }

    /// The id under which a network's row stands.
    pub fn id(&self, model: &Named) -> Named {
        self.reported.model(model).map_or_else(|| model.clone(), |entry| entry.id.clone())
    }

    /// As the paper's tables print it.
    pub fn model<'n>(&self, model: &'n Named) -> &'n str
    where
        'a: 'n,
    {
        self.reported.model(model).map_or(model.name.as_str(), |entry| entry.label.as_str())
    }

    pub fn dataset<'n>(&self, id: &'n str) -> &'n str
    where
        'a: 'n,
    {
        if id == MEAN {
            return "mean of all datasets";
        }
        self.reported.dataset(id).map_or(id, |dataset| dataset.label.as_str())
    }

    /// The datasets with results, in the order of the tables.
    pub fn datasets(&self) -> Vec<&'a str> {
        let mut found = Vec::new();
        for block in self.blocks.iter().filter(|b| RESULTS.contains(&b.table)) {
            if !found.contains(&block.dataset) {
                found.push(block.dataset);
            }
        }
        found
    }

    /// The scores that are printed for any dataset, in the order of the tables.
    pub fn metrics(&self) -> Vec<&'a str> {
        let mut found = Vec::new();
        for block in self.blocks.iter().filter(|b| RESULTS.contains(&b.table)) {
            for metric in &block.metrics {
                if !found.contains(metric) {
                    found.push(metric);
                }
            }
        }
        found
    }

    /// The block of a dataset: of `table` if one is asked for, else of the first
    /// table that has a row for each of `models`.
    pub fn block(&self, table: Option<u8>, dataset: &str, models: &[&Named]) -> Option<&Block<'a>> {
        let mut fits: Vec<&Block<'a>> = self
            .blocks
            .iter()
            .filter(|block| block.dataset == dataset && table.is_none_or(|table| block.table == table))
            .filter(|block| models.iter().all(|model| block.row(&self.id(model)).is_some()))
            .collect();
        fits.sort_by_key(|block| block.table);
        fits.first().copied()
    }
}

/// As the paper's tables print a metric.
pub(super) fn metric_label(metric: &str) -> &str {
    match metric {
        "mdice" => "mDice",
        "params_m" => "#Param",
        "flops_g" => "Flops",
        other => Metric::ALL.iter().find(|m| m.name() == other).map_or(other, |m| m.label()),
    }
}

/// `A`, `A and B`, `A, B and C`.
pub(super) fn listed<S: AsRef<str>>(words: &[S]) -> String {
    match words {
        [] => String::new(),
        [one] => one.as_ref().to_owned(),
        [most @ .., last] => {
            let most: Vec<&str> = most.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", most.join(", "), last.as_ref())
        }
    }
}

/// Half of the last digits of some numbers: how far a sum of them may be off.
pub(super) fn slack(numbers: &[&Printed]) -> f64 {
    numbers.iter().map(|number| number.rounding()).sum::<f64>() + 1e-9
}

/// Whether two printed numbers may be roundings of one number.
pub(super) fn same(a: &Printed, b: &Printed) -> bool {
    let coarser = a.rounding().max(b.rounding());
    let finest = if (a.rounding() - b.rounding()).abs() < 1e-12 { 0.0 } else { coarser };
    (a.value - b.value).abs() <= finest + 1e-9
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(text: &str) -> Printed {
        Printed::parse(text).expect("a number")
    }

    #[test]
    fn a_number_with_fewer_digits_may_be_a_rounding_of_another() {
        assert!(same(&printed("91.34"), &printed("91.34")));
        assert!(!same(&printed("91.34"), &printed("91.35")));
        assert!(same(&printed("91.3"), &printed("91.34")));
        assert!(!same(&printed("91.3"), &printed("91.36")));
    }

    #[test]
    fn the_first_table_with_all_networks_is_meant() {
        let reported = dygl_spec::reported::embedded().expect("readable");
        let numbers = Numbers::new(reported);
        let (full, variant) = (Named::plain("dyglnet"), Named::parse("dyglnet,norm=group").expect("a name"));
        let table = |models: &[&Named]| numbers.block(None, "ph2", models).map(|block| block.table);
        assert_eq!(table(&[&full]), Some(4));
        assert_eq!(table(&[&full, &variant]), Some(6));
        assert_eq!(table(&[&Named::plain("absent")]), None);
        assert_eq!(numbers.datasets().len(), 7);
        assert_eq!(numbers.metrics().len(), 6);
    }

    #[test]
    fn lists_are_words() {
        assert_eq!(listed::<&str>(&[]), "");
        assert_eq!(listed(&["a", "b", "c"]), "a, b and c");
    }
}
