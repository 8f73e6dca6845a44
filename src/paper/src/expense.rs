//! Sentences about costs: by the printed columns, and by the ledger of true costs.

use dygl_spec::ledger::Ledger;
use dygl_spec::name::Named;
use dygl_spec::network;
use dygl_spec::reported::{Printed, Reported};

use super::judge::{Judge, Judged};
use super::numbers::{COSTS, MEAN, Numbers, listed, metric_label};
use super::predicate::{Cheaper, CostsLess, Expense, Predicate, Rival};
use super::{Claims, Draft, Severity, Topic, Verdict};

/// Why a check of costs was not made.
pub(super) const NO_LEDGER: &str = "no ledger of costs";

/// Variants whose costs a paper may have printed under the plain name of the network.
const PRINTED_AS: [(&str, &str); 1] = [("unet", "unet,variant=table-exact")];

/// The networks whose costs the sentences and the table of costs are about, each once,
/// resolved and as far as this program has them: what a ledger needs for
/// [`super::audit`] to check all of them.
pub fn networks_to_count(claims: &Claims, reported: &Reported) -> Vec<Named> {
    let numbers = Numbers::new(reported);
    let block = numbers.block(Some(COSTS), MEAN, &[]);
    let mut asked: Vec<&Named> =
        block.map(|block| block.rows.iter().map(|(model, _)| *model).collect()).unwrap_or_default();
    for check in claims.claims.iter().flat_map(|claim| &claim.checks) {
        match &check.predicate {
            Predicate::CostsLess(less) => asked.extend(std::iter::once(&less.model).chain(&less.than)),
            // Groups and "all others" are rows of the table.
            Predicate::Cheaper(cheaper) => {
                asked.push(&cheaper.model);
                asked.extend(cheaper.than.iter().filter_map(|rival| match rival {
                    Rival::Model(model) => Some(model),
                    Rival::Group(_) => None,
                }));
            }
            _ => {}
        }
    }
    let mut found: Vec<Named> = Vec::new();
    for model in asked {
        let plain = PRINTED_AS.iter().filter(|(name, _)| model.to_string() == *name);
        let variants: Vec<Named> = plain.filter_map(|(_, variant)| Named::parse(variant).ok()).collect();
        for model in std::iter::once(model).chain(&variants) {
            if let Ok((_, model)) = network::resolve(model)
                && !found.contains(&model)
            {
                found.push(model);
            }
        }
    }
    found
}

impl Expense {
    /// The printed column that is meant to hold it.
    fn of_column(metric: &str) -> Self {
        if metric == "params_m" { Expense::Parameters } else { Expense::Operations }
    }

    fn of(self, ledger: &Ledger) -> u64 {
        match self {
            Expense::Parameters => ledger.parameters,
            Expense::Operations => ledger.operations,
        }
    }
}

impl Judge<'_> {
    /// The ledger of a network, which is listed under its resolved name.
    pub fn cost(&self, model: &Named) -> Option<&Ledger> {
        let name = network::resolve(model).map_or_else(|_| model.to_string(), |(_, model)| model.to_string());
        self.costs?.iter().find(|ledger| ledger.model == name)
    }

    pub(super) fn cheaper(&self, cheaper: &Cheaper) -> Judged {
        let block = self.block(Some(COSTS), MEAN, &[&cheaper.model])?;
        let id = self.numbers.id(&cheaper.model);
        let label = self.numbers.model(&cheaper.model);
        let is_rival = |model: &Named| *model != id && self.is_rival(&cheaper.than, model);
        let mut ranks = Vec::new();
        let mut draft = Draft::new(Topic::Costs, Severity::Contradiction, "");
        let mut truth = Vec::new();
        for metric in &cheaper.metrics {
            let own = self.number(block, &cheaper.model, metric)?;
            let mut rivals = block.column(metric);
            rivals.retain(|(model, _)| is_rival(model));
            let of = rivals.len() + 1;
            let mut less: Vec<(&Named, &Printed)> =
                rivals.iter().copied().filter(|(_, number)| number.value <= own.value).collect();
            less.sort_by(|a, b| a.1.value.total_cmp(&b.1.value));
            let rank = less.iter().filter(|(_, number)| number.value < own.value).count() + 1;
            let name = metric_label(metric);
            ranks.push(format!("{rank} of {of} in {name}"));
            draft.figures.insert(format!("rank {metric}"), rank as f64);
            draft.figures.insert("of".to_owned(), of as f64);
            draft.cells.extend(block.cell(&id, metric));
            if !less.is_empty() {
                draft.details.push(format!("{name} {own}; lower or equal: {}", self.networks(&less)));
                draft.cells.extend(less.iter().filter_map(|(model, _)| block.cell(model, metric)));
            }
            let rivals: Vec<&Named> = rivals.iter().map(|(model, _)| *model).collect();
            truth.push(self.truly(Expense::of_column(metric), &cheaper.model, &rivals));
        }
        let mut verdicts = Vec::new();
        if draft.details.is_empty() {
            verdicts.push(Verdict::Holds(format!("{label} is {}", listed(&ranks))));
        } else {
            draft.says = format!("from the lowest, {label} is {}", listed(&ranks));
            if cheaper.vague {
                let beaten = self.beaten(block, &cheaper.metrics, &id);
                draft.figures.insert("next in mDice".to_owned(), beaten.len() as f64);
                if !beaten.is_empty() {
                    draft.severity = Severity::Ambiguity;
                }
                let words: Vec<&str> = beaten.iter().map(|model| self.numbers.model(model)).collect();
                draft.details.push(match words.as_slice() {
                    [] => "not even the next in mDice has more of each".to_owned(),
                    words => format!(
                        "of the others, best in mDice first, the first {} have more of each ({}), the next has not",
                        words.len(),
                        listed(words)
                    ),
                });
            }
            verdicts.push(Verdict::Found(draft));
        }
        let severity = if cheaper.vague { Severity::Ambiguity } else { Severity::Contradiction };
        verdicts.extend(under_true_costs(truth, label, severity));
        Ok(verdicts)
    }

    /// The other networks, best in mean Dice first, as long as each has more of all `metrics`.
    fn beaten<'n>(
        &self,
        block: &super::numbers::Block<'n>,
        metrics: &[String],
        id: &Named,
    ) -> Vec<&'n Named> {
        let mut others = block.column("mdice");
        others.retain(|(model, _)| *model != id);
        others.sort_by(|a, b| b.1.value.total_cmp(&a.1.value));
        let has_more = |model: &Named| {
            metrics.iter().all(|metric| {
                let (own, other) = (block.get(id, metric), block.get(model, metric));
                own.zip(other).is_some_and(|(own, other)| other.value > own.value)
            })
        };
        others.into_iter().map(|(model, _)| model).take_while(|model| has_more(model)).collect()
    }

    /// Which rivals have no more than a network, by the ledger.
    fn truly(&self, by: Expense, model: &Named, rivals: &[&Named]) -> Truth {
        if self.costs.is_none() {
            return Truth::Unknown(NO_LEDGER.to_owned());
        }
        let absent: Vec<String> = std::iter::once(model)
            .chain(rivals.iter().copied())
            .filter(|model| self.cost(model).is_none())
            .map(|model| format!("`{model}`"))
            .collect();
        let Some(own) = self.cost(model).map(|cost| by.of(cost)).filter(|_| absent.is_empty()) else {
            return Truth::Unknown(format!("the ledger of costs has no entry of {}", listed(&absent)));
        };
        let mut less: Vec<(u64, &Named)> = rivals
            .iter()
            .filter_map(|rival| Some((by.of(self.cost(rival)?), *rival)))
            .filter(|(cost, _)| *cost <= own)
            .collect();
        less.sort();
        let words: Vec<String> = less
            .iter()
            .map(|(cost, rival)| format!("{} {}", self.numbers.model(rival), millions(*cost)))
            .collect();
        Truth::Known { by, own, rank: less.iter().filter(|(cost, _)| *cost < own).count() + 1, less: words }
    }

    pub(super) fn costs_less(&self, less: &CostsLess) -> Vec<Verdict> {
        let rivals: Vec<&Named> = less.than.iter().collect();
        let truth = less.by.iter().map(|by| self.truly(*by, &less.model, &rivals)).collect();
        under_true_costs(truth, self.numbers.model(&less.model), Severity::Contradiction)
    }
}

/// What the ledger says of one expense.
enum Truth {
    Unknown(String),
    Known { by: Expense, own: u64, rank: usize, less: Vec<String> },
}

/// `11.16 M`, with two decimals, for parameters and operations alike.
pub(super) fn millions(number: u64) -> String {
    let number = number as f64;
    if number >= 1e9 { format!("{:.2} G", number / 1e9) } else { format!("{:.2} M", number / 1e6) }
}

fn under_true_costs(truth: Vec<Truth>, label: &str, severity: Severity) -> Vec<Verdict> {
    let mut draft = Draft::new(Topic::Costs, severity, "");
    draft.suffix = "true-costs";
    let mut held = Vec::new();
    let mut verdicts: Vec<Verdict> = Vec::new();
    for one in truth {
        match one {
            Truth::Unknown(why) => {
                let verdict = Verdict::Unchecked(why);
                if !verdicts.contains(&verdict) {
                    verdicts.push(verdict);
                }
            }
            Truth::Known { by, own, less, .. } if less.is_empty() => {
                held.push(format!("{} {}", millions(own), by.word()));
            }
            Truth::Known { by, own, rank, less } => {
                draft.details.push(format!(
                    "{} {}; lower or equal: {}",
                    millions(own),
                    by.word(),
                    listed(&less)
                ));
                draft.figures.insert(format!("true rank {}", by.word()), rank as f64);
                draft.figures.insert(by.word().to_owned(), own as f64);
            }
        }
    }
    if !draft.details.is_empty() {
        draft.says = format!("counted truly, {label} does not have the least");
        verdicts.push(Verdict::Found(draft));
    } else if !held.is_empty() {
        verdicts.push(Verdict::Holds(format!("counted truly, {label} has the least: {}", held.join(", "))));
    }
    verdicts
}
