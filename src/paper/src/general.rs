//! Checks that need no single sentence: they look at all sentences, all tables, or
//! the ledger at once.

use std::collections::{BTreeMap, BTreeSet};

use dygl_spec::ledger::Ledger;
use dygl_spec::name::Named;

use super::expense::{NO_LEDGER, millions};
use super::judge::{Judge, table_1};
use super::numbers::{COSTS, MEAN, listed};
use super::predicate::{Claim, Predicate, Quantity, Reading};
use super::relations::{self, Drafts};
use super::{Audit, Claims, Draft, General, Severity, Topic, Unchecked};

/// Makes them and adds what they found.
pub(super) fn add(audit: &mut Audit, claims: &Claims, judge: &Judge<'_>) {
    let (quantities, alone) = quantities(claims, judge);
    audit.alone = alone;
    let all: [(&'static str, (usize, Drafts)); 10] = [
        ("parts of table 1 that add up", relations::split_sums(judge.numbers)),
        ("mean Dice of table 7", relations::means(judge)),
        ("numbers in two tables", relations::repeated_rows(judge)),
        ("bounds between scores", relations::bounds(judge)),
        ("tables with repeated values", relations::repeats(judge)),
        ("percentages of one meaning", percentages(claims, judge)),
        ("quantities stated again", quantities),
        ("datasets with validation images", validation(claims, judge)),
        ("names with one spelling", spellings(claims)),
        ("costs of table 7 by the ledger", ledger(judge)),
    ];
    for (name, (examined, drafts)) in all {
        audit.general.push(General { name, examined, found: drafts.len() });
        for (id, place, draft) in drafts {
            audit.findings.push(draft.finding(id, place, None));
        }
    }
    if judge.costs.is_none() {
        audit.unchecked.push(Unchecked {
            id: "ledger".to_owned(),
            place: format!("Table {COSTS}"),
            quote: String::new(),
            why: format!("{NO_LEDGER}: what the counter of #Param and Flops leaves out or counts twice"),
        });
    }
}

/// One way of computing percentages throughout.
fn percentages(claims: &Claims, judge: &Judge<'_>) -> (usize, Drafts) {
    let mut by: BTreeMap<Reading, Vec<String>> = BTreeMap::new();
    let mut draft = Draft::new(Topic::Percentages, Severity::Ambiguity, "");
    let mut places: Vec<String> = Vec::new();
    let mut examined = 0;
    for (claim, change) in claims.claims.iter().flat_map(|claim| {
        claim.checks.iter().filter_map(move |check| match &check.predicate {
            Predicate::Change(change) => Some((claim, change)),
            _ => None,
        })
    }) {
        // Its own check has told what is missing.
        let Ok((block, steps)) = judge.steps(change) else { continue };
        for step in steps {
            examined += 1;
            // A number that fits both readings, or none, says nothing about the meaning.
            let [reading] = step.readings()[..] else { continue };
            by.entry(reading).or_default().push(format!("{}%", step.said));
            draft.details.push(format!(
                "{}, {}: {}% is {}: {} - {} = {:.2} points, {:.2}% of {}",
                claim.place(),
                judge.place(&change.dataset, step.metric),
                step.said,
                if reading == Reading::Points { "in points" } else { "relative" },
                step.high,
                step.low,
                step.points,
                step.relative,
                step.reference
            ));
            for model in [&change.model, &change.reference] {
                draft.cells.extend(block.cell(&judge.numbers.id(model), step.metric));
            }
            if !places.contains(&claim.place()) {
                places.push(claim.place());
            }
        }
    }
    let (Some(points), Some(relative)) = (by.get(&Reading::Points), by.get(&Reading::Relative)) else {
        return (examined, Drafts::new());
    };
    draft.says = format!(
        "percentages mean two things: {} are differences in points, {} are relative to the other network",
        listed(points),
        listed(relative)
    );
    let draft = draft.figure("in points", points.len() as f64).figure("relative", relative.len() as f64);
    (examined, vec![("mixed-percentages".to_owned(), places.join(", "), draft)])
}

/// A quantity that is stated twice has one value. Also counts those stated once.
fn quantities(claims: &Claims, judge: &Judge<'_>) -> ((usize, Drafts), usize) {
    let mut stated: BTreeMap<&str, Vec<(String, String)>> = BTreeMap::new();
    let said = |claim: &Claim, quantity: &Quantity| (claim.place(), quantity.value.clone());
    for claim in &claims.claims {
        for check in &claim.checks {
            if let Predicate::Quantity(quantity) = &check.predicate {
                stated.entry(&quantity.name).or_default().push(said(claim, quantity));
            }
        }
    }
    if let Some(sizes) = stated.get_mut("image.size") {
        let printed: BTreeSet<usize> =
            judge.numbers.reported.datasets.iter().flat_map(|d| d.resize).collect();
        sizes.extend(printed.into_iter().map(|side| ("Table 1".to_owned(), side.to_string())));
    }
    let mut found = Drafts::new();
    let mut alone = 0;
    let mut examined = 0;
    for (name, values) in stated {
        if values.len() == 1 {
            alone += 1;
            continue;
        }
        examined += 1;
        let number = |text: &String| text.parse::<f64>().unwrap_or(f64::NAN);
        let mut distinct: Vec<f64> = values.iter().map(|(_, value)| number(value)).collect();
        distinct.sort_by(f64::total_cmp);
        distinct.dedup();
        if distinct.len() == 1 {
            continue;
        }
        let words: Vec<String> = values.iter().map(|(place, value)| format!("{value} in {place}")).collect();
        let says = format!("{name}: {}", listed(&words));
        let mut draft = Draft::new(Topic::Values, Severity::Contradiction, says);
        for (i, value) in distinct.iter().enumerate() {
            draft.figures.insert(format!("value {}", i + 1), *value);
        }
        let places: Vec<&str> = values.iter().map(|(place, _)| place.as_str()).collect();
        found.push((format!("quantity/{}", name.replace([' ', ','], "-")), places.join(", "), draft));
    }
    ((examined, found), alone)
}

/// Where some datasets have validation images, an epoch is selected on them; a dataset
/// without needs a rule.
fn validation(claims: &Claims, judge: &Judge<'_>) -> (usize, Drafts) {
    let rows = &judge.numbers.reported.datasets;
    let without: Vec<_> = rows.iter().filter(|row| row.validation == 0).collect();
    if without.is_empty() || without.len() == rows.len() || claims.selection.is_some() {
        return (rows.len(), Drafts::new());
    }
    let labels: Vec<&str> = without.iter().map(|row| row.label.as_str()).collect();
    let says = format!(
        "{} have no validation images and no rule is stated by which their weights are selected",
        listed(&labels)
    );
    let mut draft = Draft::new(Topic::Method, Severity::Ambiguity, says)
        .figure("without validation", without.len() as f64)
        .figure("of", rows.len() as f64);
    draft.cells = without
        .iter()
        .flat_map(|row| {
            [("validation", row.validation), ("test", row.test)].map(|(p, n)| table_1(&row.id, p, n))
        })
        .collect();
    (rows.len(), vec![("no-validation".to_owned(), "Table 1".to_owned(), draft)])
}

/// One thing is spelled one way.
fn spellings(claims: &Claims) -> (usize, Drafts) {
    /// Each form with the places that use it.
    type Forms<'a> = Vec<(&'a str, Vec<&'a str>)>;
    let mut by: BTreeMap<(&str, &str), Forms<'_>> = BTreeMap::new();
    for names in &claims.names {
        for (what, id, form) in &names.forms {
            let forms = by.entry((*what, id.as_str())).or_default();
            match forms.iter_mut().find(|(known, _)| known == form) {
                Some((_, places)) => places.push(&names.place),
                None => forms.push((form, vec![&names.place])),
            }
        }
    }
    let examined = by.len();
    let mut found = Drafts::new();
    for ((what, id), forms) in by.into_iter().filter(|(_, forms)| forms.len() > 1) {
        let plain = |form: &str| -> String {
            form.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
        };
        let distinct: BTreeSet<String> = forms.iter().map(|(form, _)| plain(form)).collect();
        let kind = if distinct.len() == 1 { "differ in capitals or signs only" } else { "differ in letters" };
        let words: Vec<String> = forms.iter().map(|(form, _)| format!("\"{form}\"")).collect();
        let says = format!("one {what} is called {} ({kind})", listed(&words));
        let mut draft =
            Draft::new(Topic::Names, Severity::Spelling, says).figure("spellings", forms.len() as f64);
        draft.details =
            forms.iter().map(|(form, places)| format!("\"{form}\": {}", places.join(", "))).collect();
        let places: Vec<&str> = forms.iter().filter_map(|(_, places)| places.first().copied()).collect();
        found.push((format!("spelling/{what}/{id}"), places.join(", "), draft));
    }
    (examined, found)
}

/// What table 7 prints against what the ledger counts.
fn ledger(judge: &Judge<'_>) -> (usize, Drafts) {
    let numbers = judge.numbers;
    let mut found = Drafts::new();
    let (Some(costs), Some(block)) = (judge.costs, numbers.block(Some(COSTS), MEAN, &[])) else {
        return (0, found);
    };
    let place = format!("Table {COSTS}");
    let mut examined = 0;
    let mut counted: Vec<(&str, &Ledger)> = Vec::new();
    let mut draft = Draft::new(Topic::Costs, Severity::Contradiction, "");
    let is_of = |ledger: &Ledger, model: &Named| {
        Named::parse(&ledger.model).is_ok_and(|named| numbers.id(&named) == *model)
    };
    for (model, printed) in block.column("flops_g") {
        let of: Vec<&Ledger> = costs.iter().filter(|cost| is_of(cost, model)).collect();
        let Some(parameters) = block.get(model, "params_m").filter(|_| !of.is_empty()) else { continue };
        examined += 1;
        let label = numbers.model(model);
        // The network as its paper has it may not be the one that was counted.
        let fits = |cost: &&&Ledger| {
            (cost.published.operations as f64 / 1e9 - printed.value).abs() <= printed.rounding() + 1e-9
                && (cost.published.parameters as f64 / 1e6 - parameters.value).abs()
                    <= parameters.rounding() + 1e-9
        };
        let Some(cost) = of.iter().find(fits) else {
            let counts: Vec<String> = of
                .iter()
                .map(|cost| {
                    format!(
                        "{}: {} and {}",
                        cost.model,
                        millions(cost.published.parameters),
                        millions(cost.published.operations)
                    )
                })
                .collect();
            let says = format!(
                "{label}: {parameters} M and {printed} G are printed; counted the same way {}",
                counts.join(", ")
            );
            let mut draft = Draft::new(Topic::Costs, Severity::Contradiction, says);
            draft.cells.extend(["params_m", "flops_g"].iter().filter_map(|metric| block.cell(model, metric)));
            found.push((format!("counted/{model}"), place.clone(), draft));
            continue;
        };
        counted.push((label, cost));
        let (thop, truth) = (cost.published.operations as f64, cost.operations as f64);
        draft.figures.insert(format!("true operations {model}"), truth);
        draft.figures.insert(format!("printed over true {model}"), thop / truth);
        draft.figures.insert(format!("parameters {model}"), cost.parameters as f64);
        draft.cells.extend(block.cell(model, "flops_g"));
        let mut words = format!(
            "{label}: {printed} G printed, {} multiply-accumulates ({:+.0} %)",
            millions(cost.operations),
            100.0 * (thop / truth - 1.0)
        );
        if cost.parameters != cost.published.parameters {
            words.push_str(&format!("; {parameters} M parameters printed, {}", millions(cost.parameters)));
        }
        for difference in &cost.differences {
            words.push_str(&format!("; {}: {}", difference.kind.words(), difference.what));
        }
        draft.details.push(words);
    }
    if counted.is_empty() {
        return (examined, found);
    }
    let order = |of: fn(&Ledger) -> u64| -> Vec<&str> {
        let mut sorted = counted.clone();
        sorted.sort_by_key(|(_, cost)| of(cost));
        sorted.into_iter().map(|(label, _)| label).collect()
    };
    let (printed, truly) = (order(|cost| cost.published.operations), order(|cost| cost.operations));
    let moved = printed.iter().zip(&truly).filter(|(a, b)| a != b).count();
    let ratio = |(_, cost): &(&str, &Ledger)| cost.published.operations as f64 / cost.operations as f64;
    let (low, high) =
        counted.iter().map(ratio).fold((f64::INFINITY, 0.0_f64), |(l, h), r| (l.min(r), h.max(r)));
    // A counter that errs for all alike would leave every comparison as it is.
    if high / low < 1.01 {
        return (examined, found);
    }
    if moved == 0 {
        draft.severity = Severity::Overstatement;
    }
    draft.says = format!(
        "Flops are multiply-accumulates by a counter that errs differently: from {:.0} % to {:.0} % of the true \
         number; {moved} of {} networks change their rank",
        100.0 * low,
        100.0 * high,
        counted.len()
    );
    draft.details.push(format!("from the lowest, as printed: {}", printed.join(", ")));
    draft.details.push(format!("from the lowest, counted truly: {}", truly.join(", ")));
    let draft = draft
        .figure("ranks that change", moved as f64)
        .figure("least share", low)
        .figure("greatest share", high);
    found.push(("counter".to_owned(), place, draft));
    (examined, found)
}
