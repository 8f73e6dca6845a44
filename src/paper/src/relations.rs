//! Numbers that follow from other numbers: sums of parts, means, bounds, the same
//! number in two tables.

use dygl_spec::reported::Printed;

use super::judge::{Judge, table_1};
use super::numbers::{COSTS, MEAN, Numbers, listed, metric_label, same, slack};
use super::{Draft, Severity, Topic};

/// What a general check found, each with its id and place.
pub(super) type Drafts = Vec<(String, String, Draft)>;

/// The parts of each dataset of table 1 add up to its images.
pub(super) fn split_sums(numbers: &Numbers<'_>) -> (usize, Drafts) {
    let mut found = Drafts::new();
    let rows = &numbers.reported.datasets;
    for row in rows {
        let parts = [row.train, row.validation, row.test];
        let sum: usize = parts.iter().sum();
        if sum == row.images {
            continue;
        }
        let words: Vec<String> = parts.iter().filter(|part| **part > 0).map(usize::to_string).collect();
        let says = format!(
            "{}: {} = {sum}, not the {} images of the first column",
            row.label,
            words.join(" + "),
            row.images
        );
        let mut draft = Draft::new(Topic::Datasets, Severity::Contradiction, says)
            .figure("sum", sum as f64)
            .figure("images", row.images as f64);
        let named = [
            ("images", row.images),
            ("train", row.train),
            ("validation", row.validation),
            ("test", row.test),
        ];
        for (name, printed) in named {
            draft.cells.push(table_1(&row.id, name, printed));
            for swapped in swaps(printed) {
                let fits = match name {
                    "images" => swapped == sum,
                    _ => sum - printed + swapped == row.images,
                };
                if fits {
                    draft.details.push(format!("with two digits of {name} exchanged, {swapped}, it adds up"));
                    draft.figures.insert(format!("exchanged {name}"), swapped as f64);
                }
            }
        }
        found.push((format!("split-sum/{}", row.id), "Table 1".to_owned(), draft));
    }
    (rows.len(), found)
}

/// The numbers that exchanging two neighbouring digits gives.
fn swaps(number: usize) -> Vec<usize> {
    let digits: Vec<char> = number.to_string().chars().collect();
    let swap = |i: usize| {
        let mut digits = digits.clone();
        digits.swap(i, i + 1);
        digits.into_iter().collect::<String>().parse().ok()
    };
    (0..digits.len().saturating_sub(1)).filter_map(swap).filter(|swapped| *swapped != number).collect()
}

/// The mean Dice of table 7 is the mean of the datasets' Dice.
pub(super) fn means(judge: &Judge<'_>) -> (usize, Drafts) {
    let numbers = judge.numbers;
    let mut found = Drafts::new();
    let mut examined = 0;
    let Some(block) = numbers.block(Some(COSTS), MEAN, &[]) else { return (0, found) };
    for (model, printed) in block.column("mdice") {
        let blocks: Vec<_> =
            numbers.datasets().into_iter().filter_map(|d| numbers.block(None, d, &[model])).collect();
        let dice: Vec<&Printed> = blocks.iter().filter_map(|block| block.get(model, "dice")).collect();
        if dice.is_empty() || dice.len() != numbers.datasets().len() {
            continue;
        }
        examined += 1;
        let count = dice.len() as f64;
        let mean = dice.iter().map(|number| number.value).sum::<f64>() / count;
        if (mean - printed.value).abs() <= printed.rounding() + slack(&dice) / count {
            continue;
        }
        let label = numbers.model(model);
        let says =
            format!("{label}: the mean of its {count} Dice is {mean:.4}, table {COSTS} prints {printed}");
        let mut draft = Draft::new(Topic::Relations, Severity::Contradiction, says).figure("mean", mean);
        draft.cells.extend(block.cell(model, "mdice"));
        draft.cells.extend(blocks.iter().filter_map(|block| block.cell(model, "dice")));
        found.push((format!("mean/{model}"), format!("Table {COSTS}"), draft));
    }
    (examined, found)
}

/// A number that two tables print is the same in both.
pub(super) fn repeated_rows(judge: &Judge<'_>) -> (usize, Drafts) {
    let numbers = judge.numbers;
    let mut found = Drafts::new();
    let mut examined = 0;
    for (i, later) in numbers.blocks.iter().enumerate() {
        for earlier in
            numbers.blocks[..i].iter().filter(|b| b.dataset == later.dataset && b.table != later.table)
        {
            for (model, _) in &later.rows {
                for metric in later.metrics.iter().filter(|metric| earlier.metrics.contains(metric)) {
                    let (Some(a), Some(b)) = (earlier.get(model, metric), later.get(model, metric)) else {
                        continue;
                    };
                    examined += 1;
                    if same(a, b) {
                        continue;
                    }
                    let says = format!(
                        "{}, {}: {a} in table {}, {b} in table {}",
                        numbers.model(model),
                        judge.place(later.dataset, metric),
                        earlier.table,
                        later.table
                    );
                    let mut draft = Draft::new(Topic::Relations, Severity::Contradiction, says);
                    draft
                        .cells
                        .extend([earlier, later].into_iter().filter_map(|block| block.cell(model, metric)));
                    let id = format!("two-tables/{}/{model}/{metric}", later.dataset);
                    found.push((id, format!("Table {}", later.table), draft));
                }
            }
        }
    }
    (examined, found)
}

/// Bounds between means over the same images. Each holds for every image, and passes
/// to the means because its right side is linear or concave.
pub(super) fn bounds(judge: &Judge<'_>) -> (usize, Drafts) {
    let numbers = judge.numbers;
    let mut found = Drafts::new();
    let mut examined = 0;
    for block in numbers.blocks.iter().filter(|block| block.dataset != MEAN) {
        for (model, _) in &block.rows {
            for (name, low, of, bound) in BOUNDS {
                let given = |metric: &&str| block.get(model, metric);
                let (Some(low_number), Some(high)) =
                    (given(low), of.iter().map(given).collect::<Option<Vec<_>>>())
                else {
                    continue;
                };
                examined += 1;
                // Both sides as far towards agreement as their rounding allows.
                let least = (low_number.value - low_number.rounding()) / 100.0;
                let most: Vec<f64> =
                    high.iter().map(|number| (number.value + number.rounding()) / 100.0).collect();
                if least <= bound(&most) + 1e-9 {
                    continue;
                }
                let printed: Vec<String> =
                    of.iter().zip(&high).map(|(metric, n)| format!("{} {n}", metric_label(metric))).collect();
                let exact: Vec<f64> = high.iter().map(|number| number.value / 100.0).collect();
                let allowed = 100.0 * bound(&exact);
                let says = format!(
                    "{}, {}: {low_number} cannot be beside {}; at most {allowed:.2} can ({name})",
                    numbers.model(model),
                    judge.place(block.dataset, low),
                    listed(&printed)
                );
                let mut draft =
                    Draft::new(Topic::Relations, Severity::Contradiction, says).figure("at most", allowed);
                draft.details.push("if both are means over images".to_owned());
                draft
                    .cells
                    .extend(std::iter::once(low).chain(of.iter()).filter_map(|m| block.cell(model, m)));
                let id = format!("bound/{}/{}/{model}/{low}/{}", block.table, block.dataset, of.join("-"));
                found.push((id, format!("Table {}", block.table), draft));
            }
        }
    }
    (examined, found)
}

type Bound = (&'static str, &'static str, &'static [&'static str], fn(&[f64]) -> f64);

/// A formula, the score that it bounds, the scores that bound it.
const BOUNDS: &[Bound] = &[
    ("Dice <= 2 IoU / (1 + IoU)", "dice", &["iou"], |x| 2.0 * x[0] / (1.0 + x[0])),
    ("IoU <= Dice", "iou", &["dice"], |x| x[0]),
    ("Dice <= (Prec + Recall) / 2", "dice", &["precision", "recall"], |x| (x[0] + x[1]) / 2.0),
    ("Dice <= 2 Prec / (1 + Prec)", "dice", &["precision"], |x| 2.0 * x[0] / (1.0 + x[0])),
    ("Dice <= 2 Recall / (1 + Recall)", "dice", &["recall"], |x| 2.0 * x[0] / (1.0 + x[0])),
    ("IoU <= Prec", "iou", &["precision"], |x| x[0]),
    ("IoU <= Recall", "iou", &["recall"], |x| x[0]),
];

/// Equal numbers of different networks in one column, where a table has more of them
/// than numbers spread evenly over the columns' ranges would, or where two networks
/// agree in several scores of a dataset.
pub(super) fn repeats(judge: &Judge<'_>) -> (usize, Drafts) {
    let numbers = judge.numbers;
    let mut found = Drafts::new();
    let mut tables: Vec<u8> =
        numbers.blocks.iter().map(|block| block.table).filter(|t| *t != COSTS).collect();
    tables.dedup();
    for table in &tables {
        let mut draft = Draft::new(Topic::Repeats, Severity::Coincidence, "");
        let (mut pairs, mut expected) = (0, 0.0);
        let mut twins = Vec::new();
        for block in numbers.blocks.iter().filter(|block| block.table == *table) {
            let mut agreeing = std::collections::BTreeMap::new();
            for metric in &block.metrics {
                let mut column = block.column(metric);
                // Stable: networks with one number stay in the order of the table.
                column.sort_by(|a, b| b.1.value.total_cmp(&a.1.value));
                let (Some(first), Some(last)) = (column.first(), column.last()) else { continue };
                let step = 2.0 * first.1.rounding();
                let steps = ((first.1.value - last.1.value) / step).round() + 1.0;
                expected += (column.len() * (column.len() - 1)) as f64 / 2.0 / steps;
                for group in column.chunk_by(|a, b| a.1.value == b.1.value).filter(|group| group.len() > 1) {
                    pairs += group.len() * (group.len() - 1) / 2;
                    let models: Vec<&str> = group.iter().map(|(model, _)| numbers.model(model)).collect();
                    draft.details.push(format!(
                        "{} {}: {}",
                        judge.place(block.dataset, metric),
                        group[0].1,
                        listed(&models)
                    ));
                    draft.cells.extend(group.iter().filter_map(|(model, _)| block.cell(model, metric)));
                    for (i, (a, _)) in group.iter().enumerate() {
                        for (b, _) in &group[i + 1..] {
                            *agreeing.entry((*a, *b)).or_insert(0) += 1;
                        }
                    }
                }
            }
            for ((a, b), scores) in agreeing {
                let share = f64::from(scores) / block.metrics.len() as f64;
                if scores > 1 && share > 0.5 {
                    twins.push(format!(
                        "{} and {} agree in {scores} of {} scores of {}",
                        numbers.model(a),
                        numbers.model(b),
                        block.metrics.len(),
                        numbers.dataset(block.dataset)
                    ));
                }
            }
        }
        let chance = at_least(pairs, expected);
        if twins.is_empty() && chance >= UNLIKELY {
            continue;
        }
        draft.says = format!(
            "{pairs} pairs of equal numbers in one column; evenly spread numbers would give {expected:.1} \
             (as many or more: {:.1} %)",
            100.0 * chance
        );
        draft.details.extend(twins);
        let draft = draft.figure("pairs", pairs as f64).figure("expected", expected).figure("chance", chance);
        found.push((format!("repeats/table-{table}"), format!("Table {table}"), draft));
    }
    (tables.len(), found)
}

/// Below this chance, equal numbers are told.
const UNLIKELY: f64 = 0.05;

/// The chance of `count` or more events where `mean` are expected (Poisson).
fn at_least(count: usize, mean: f64) -> f64 {
    let mut term = (-mean).exp();
    let mut below = 0.0;
    for k in 0..count {
        below += term;
        term *= mean / (k + 1) as f64;
    }
    (1.0 - below).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_digits_are_exchanged() {
        assert_eq!(swaps(1089), [189, 1809, 1098]);
        assert_eq!(swaps(11), [0_usize; 0]);
        assert_eq!(swaps(5), [0_usize; 0]);
    }

    #[test]
    fn the_tail_of_poisson() {
        assert!((at_least(0, 3.0) - 1.0).abs() < 1e-12);
        assert!((at_least(1, 2.0) - (1.0 - (-2.0_f64).exp())).abs() < 1e-12);
        // Tables of the distribution: P(X <= 4 | 2) = 0.94735.
        assert!((at_least(5, 2.0) - 0.052_65).abs() < 1e-4);
    }
}
