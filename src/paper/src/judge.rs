//! Sentences about single numbers: values, differences, counts, parts.

use dygl_spec::ledger::Ledger;
use dygl_spec::name::Named;
use dygl_spec::reported::Printed;

use super::numbers::{Block, MEAN, Numbers, RESULTS, listed, metric_label, same, slack};
use super::predicate::{
    Arithmetic, Change, Count, Counted, Images, Measured, Members, Predicate, Prints, Ratio, Reading, Value,
};
use super::{Cell, Draft, Missing, Severity, Topic, Verdict};

/// Who holds checks against numbers.
pub(super) struct Judge<'a> {
    pub numbers: &'a Numbers<'a>,
    pub costs: Option<&'a [Ledger]>,
}

pub(super) type Judged = Result<Vec<Verdict>, Missing>;

impl<'a> Judge<'a> {
    pub fn check(&self, predicate: &Predicate) -> Judged {
        match predicate {
            Predicate::Value(value) => self.value(value),
            Predicate::Change(change) => self.change(change),
            Predicate::Best(best) => self.best(best),
            Predicate::OnlyAbove(only) => self.only_above(only),
            Predicate::Groups(groups) => self.groups(groups),
            Predicate::Falls(falls) => self.falls(falls),
            Predicate::Most(most) => self.most(most),
            Predicate::Cheaper(cheaper) => self.cheaper(cheaper),
            Predicate::CostsLess(less) => Ok(self.costs_less(less)),
            Predicate::Members(members) => Ok(self.members(members)),
            Predicate::Images(images) => self.images(images),
            Predicate::Ratio(ratio) => self.ratio(ratio),
            Predicate::Count(count) => Ok(self.count(count)),
            Predicate::Prints(prints) => Ok(self.prints(prints)),
            // Held against each other once all are known.
            Predicate::Quantity(_) => Ok(Vec::new()),
            Predicate::Arithmetic(arithmetic) => Ok(arithmetic_holds(arithmetic)),
            Predicate::Measured(measured) => Ok(self.measured(measured)),
        }
    }

    pub fn block(&self, table: Option<u8>, dataset: &str, models: &[&Named]) -> Result<&Block<'a>, Missing> {
        self.numbers.block(table, dataset, models).ok_or_else(|| {
            let names: Vec<String> = models.iter().map(|model| format!("`{model}`")).collect();
            let table = table.map_or("no table has".to_owned(), |table| format!("table {table} has no"));
            Missing(format!("{table} rows of {} for `{dataset}`", listed(&names)))
        })
    }

    pub fn number(&self, block: &Block<'a>, model: &Named, metric: &str) -> Result<&'a Printed, Missing> {
        block.get(&self.numbers.id(model), metric).ok_or_else(|| {
            Missing(format!("table {} has no `{metric}` of `{model}` for `{}`", block.table, block.dataset))
        })
    }

    /// `Kvasir-SEG Dice`
    pub fn place(&self, dataset: &str, metric: &str) -> String {
        if dataset == MEAN {
            return metric_label(metric).to_owned();
        }
        format!("{} {}", self.numbers.dataset(dataset), metric_label(metric))
    }

    fn value(&self, value: &Value) -> Judged {
        let block = self.block(value.table, &value.dataset, &[&value.model])?;
        let mut wrong = Vec::new();
        let mut cells = Vec::new();
        for (metric, said) in &value.values {
            let printed = self.number(block, &value.model, metric)?;
            if !same(said, printed) {
                wrong.push(format!(
                    "{}: {said} in the text, {printed} in table {}",
                    self.place(&value.dataset, metric),
                    block.table
                ));
                cells.extend(block.cell(&self.numbers.id(&value.model), metric));
            }
        }
        if wrong.is_empty() {
            return Ok(vec![Verdict::Holds(format!("as in table {}", block.table))]);
        }
        let model = self.numbers.model(&value.model);
        let mut draft = Draft::new(
            Topic::Values,
            Severity::Contradiction,
            format!("the text and table {} give {model} different numbers", block.table),
        );
        draft.details = wrong;
        draft.cells = cells;
        Ok(vec![Verdict::Found(draft)])
    }

    fn change(&self, change: &Change) -> Judged {
        let (block, steps) = self.steps(change)?;
        let mut draft = Draft::new(Topic::Percentages, Severity::Contradiction, "");
        let (mut wrong, mut held) = (false, Vec::new());
        for step in &steps {
            let words = format!(
                "{}: {}% in the text; {} - {} = {:.2} points, {:.2}% of {}",
                self.place(&change.dataset, step.metric),
                step.said,
                step.high,
                step.low,
                step.points,
                step.relative,
                step.reference
            );
            match step.readings().as_slice() {
                [] => wrong = true,
                [Reading::Points] => held.push("in points"),
                [Reading::Relative] => held.push("relative"),
                _ => held.push("in points and relative"),
            }
            draft.details.push(words);
            for model in [&change.model, &change.reference] {
                draft.cells.extend(block.cell(&self.numbers.id(model), step.metric));
            }
            draft.figures.insert(format!("points {}", step.metric), step.points);
            draft.figures.insert(format!("relative {}", step.metric), step.relative);
        }
        if !wrong {
            held.dedup();
            return Ok(vec![Verdict::Holds(format!("true {}; {}", listed(&held), draft.details.join("; ")))]);
        }
        draft.says = format!(
            "neither the difference of {} and {} nor its share is as the text says",
            self.numbers.model(&change.model),
            self.numbers.model(&change.reference)
        );
        Ok(vec![Verdict::Found(draft)])
    }

    /// The differences that a sentence speaks of.
    pub fn steps<'c>(&self, change: &'c Change) -> Result<(&Block<'a>, Vec<Step<'c, 'a>>), Missing> {
        let block = self.block(change.table, &change.dataset, &[&change.model, &change.reference])?;
        let step = |(metric, said): &'c (String, Printed)| {
            let model = self.number(block, &change.model, metric)?;
            let reference = self.number(block, &change.reference, metric)?;
            let (high, low) = if change.is_drop { (reference, model) } else { (model, reference) };
            let points = high.value - low.value;
            Ok(Step {
                metric,
                said,
                high,
                low,
                reference,
                points,
                relative: 100.0 * points / reference.value,
            })
        };
        Ok((block, change.values.iter().map(step).collect::<Result<_, _>>()?))
    }

    fn members(&self, members: &Members) -> Vec<Verdict> {
        let said: Vec<Named> = members.models.iter().map(|model| self.numbers.id(model)).collect();
        let printed: Vec<&Named> = self
            .numbers
            .reported
            .models
            .iter()
            .filter(|model| model.group == members.group)
            .map(|model| &model.id)
            .collect();
        let label = |model: &Named| self.numbers.model(model).to_owned();
        let absent: Vec<String> = said.iter().filter(|m| !printed.contains(m)).map(label).collect();
        let unsaid: Vec<String> = printed.iter().filter(|m| !said.contains(m)).map(|m| label(m)).collect();
        if absent.is_empty() && unsaid.is_empty() {
            return vec![Verdict::Holds(format!("the tables' group has the same {} networks", said.len()))];
        }
        let mut draft = Draft::new(
            Topic::Groups,
            Severity::Contradiction,
            format!("the tables' group `{}` has other networks", members.group),
        );
        if !absent.is_empty() {
            draft.details.push(format!("only in the text: {}", listed(&absent)));
        }
        if !unsaid.is_empty() {
            draft.details.push(format!("only in the tables: {}", listed(&unsaid)));
        }
        vec![Verdict::Found(draft)]
    }

    fn images(&self, images: &Images) -> Judged {
        let row = self.row(&images.dataset)?;
        let mut draft = Draft::new(
            Topic::Datasets,
            Severity::Contradiction,
            format!("the text and table 1 count {} differently", row.label),
        );
        for (part, said) in &images.counts {
            let printed = match *part {
                "train" => row.train,
                "validation" => row.validation,
                "test" => row.test,
                _ => row.images,
            };
            if printed != *said {
                draft.details.push(format!("{part}: {said} in the text, {printed} in table 1"));
                draft.cells.push(table_1(&row.id, part, printed));
            }
        }
        if draft.details.is_empty() {
            return Ok(vec![Verdict::Holds("as in table 1".to_owned())]);
        }
        Ok(vec![Verdict::Found(draft)])
    }

    fn ratio(&self, ratio: &Ratio) -> Judged {
        let row = self.row(&ratio.dataset)?;
        let printed = [row.train, row.validation, row.test];
        let sum: usize = ratio.parts.iter().sum();
        let expected: Vec<f64> =
            ratio.parts.iter().map(|part| row.images as f64 * *part as f64 / sum as f64).collect();
        // Less than one image off: rounded up, down or to the nearest.
        let fits =
            printed.iter().zip(&expected).all(|(part, expected)| (*part as f64 - expected).abs() < 1.0);
        let words: Vec<String> = ratio.parts.iter().filter(|part| **part > 0).map(usize::to_string).collect();
        let words = words.join(":");
        if fits {
            return Ok(vec![Verdict::Holds(format!("the parts of table 1 are {words} of {}", row.images))]);
        }
        let mut draft = Draft::new(
            Topic::Datasets,
            Severity::Contradiction,
            format!(
                "the parts that table 1 prints of {} are not {words} of its {} images",
                row.label, row.images
            ),
        );
        for ((name, part), expected) in ["train", "validation", "test"].iter().zip(printed).zip(&expected) {
            draft.details.push(format!("{name}: {part} printed, {expected:.1} by the ratio"));
            draft.cells.push(table_1(&row.id, name, part));
            draft.figures.insert(format!("expected {name}"), *expected);
        }
        Ok(vec![Verdict::Found(draft)])
    }

    fn row(&self, dataset: &str) -> Result<&'a dygl_spec::reported::ReportedDataset, Missing> {
        let row = self.numbers.reported.dataset(dataset);
        row.ok_or_else(|| Missing(format!("table 1 has no row of `{dataset}`")))
    }

    fn count(&self, count: &Count) -> Vec<Verdict> {
        let printed = match count.of {
            Counted::Datasets => self.numbers.reported.datasets.len(),
            Counted::Metrics => self.numbers.metrics().len(),
            Counted::Models => {
                self.numbers.reported.models.iter().filter(|model| model.group != "ablation").count()
            }
        };
        let of = count.of.word();
        if printed == count.number {
            return vec![Verdict::Holds(format!("the tables have {printed} {of}"))];
        }
        let says = format!("the text has {} {of}, the tables have {printed}", count.number);
        let draft = Draft::new(Topic::Values, Severity::Contradiction, says).figure(of, printed as f64);
        vec![Verdict::Found(draft)]
    }

    fn prints(&self, prints: &Prints) -> Vec<Verdict> {
        let all = self.numbers.datasets();
        let datasets: Vec<&str> = match prints.datasets.as_slice() {
            [] => all,
            named => named.iter().map(String::as_str).collect(),
        };
        let mut details = Vec::new();
        for dataset in datasets {
            let of_dataset = |block: &&Block<'_>| RESULTS.contains(&block.table) && block.dataset == dataset;
            let lacking: Vec<&str> = prints
                .metrics
                .iter()
                .filter(|metric| {
                    let mut blocks = self.numbers.blocks.iter().filter(of_dataset);
                    !blocks.any(|block| block.metrics.contains(&metric.as_str()))
                })
                .map(|metric| metric_label(metric))
                .collect();
            if !lacking.is_empty() {
                details.push(format!("{}: no {}", self.numbers.dataset(dataset), listed(&lacking)));
            }
        }
        if details.is_empty() {
            return vec![Verdict::Holds("all are printed".to_owned())];
        }
        let says = format!("for {} of the datasets not all of these scores are printed", details.len());
        let mut draft = Draft::new(Topic::Evidence, Severity::Overstatement, says)
            .figure("datasets", details.len() as f64);
        draft.details = details;
        vec![Verdict::Found(draft)]
    }

    fn measured(&self, measured: &Measured) -> Vec<Verdict> {
        let printed = self.numbers.blocks.iter().flat_map(|block| &block.metrics);
        match printed.copied().find(|metric| measured.metrics.iter().any(|wanted| wanted == metric)) {
            Some(metric) => vec![Verdict::Holds(format!("{} is printed", metric_label(metric)))],
            None => {
                let says =
                    format!("no table prints a number that shows it ({})", measured.metrics.join(", "));
                vec![Verdict::Found(Draft::new(Topic::Evidence, Severity::Unsupported, says))]
            }
        }
    }
}

/// One difference of two printed numbers, and what the text says of it.
pub(super) struct Step<'c, 'a> {
    pub metric: &'c str,
    pub said: &'c Printed,
    pub high: &'a Printed,
    pub low: &'a Printed,
    pub reference: &'a Printed,
    pub points: f64,
    pub relative: f64,
}

impl Step<'_, '_> {
    /// The readings under which the text is right, given that all three are rounded.
    pub fn readings(&self) -> Vec<Reading> {
        let off = slack(&[self.high, self.low]);
        let mut found = Vec::new();
        if (self.points - self.said.value).abs() <= self.said.rounding() + off {
            found.push(Reading::Points);
        }
        let off = off * 100.0 / self.reference.value;
        if (self.relative - self.said.value).abs() <= self.said.rounding() + off {
            found.push(Reading::Relative);
        }
        found
    }
}

/// A number of table 1.
pub(super) fn table_1(dataset: &str, part: &str, printed: usize) -> Cell {
    Cell {
        table: 1,
        dataset: dataset.to_owned(),
        model: String::new(),
        metric: part.to_owned(),
        printed: printed.to_string(),
    }
}

fn arithmetic_holds(arithmetic: &Arithmetic) -> Vec<Verdict> {
    let (name, sign) = if arithmetic.is_product { ("product", " x ") } else { ("sum", " + ") };
    let result: usize =
        if arithmetic.is_product { arithmetic.parts.iter().product() } else { arithmetic.parts.iter().sum() };
    let parts: Vec<String> = arithmetic.parts.iter().map(usize::to_string).collect();
    let parts = parts.join(sign);
    if result == arithmetic.total {
        return vec![Verdict::Holds(format!("{parts} = {result}"))];
    }
    let says = format!("{parts} = {result}, not {}", arithmetic.total);
    vec![Verdict::Found(
        Draft::new(Topic::Method, Severity::Contradiction, says)
            .figure(name, result as f64)
            .figure("stated", arithmetic.total as f64),
    )]
}
