//! Sentences about order: best, only these are better, one group above another,
//! falls, largest falls.

use dygl_spec::name::Named;
use dygl_spec::reported::Printed;

use super::judge::{Judge, Judged};
use super::numbers::{Block, MEAN, listed, metric_label};
use super::predicate::{Best, Falls, Groups, Most, OnlyAbove, Rival};
use super::{Draft, Missing, Severity, Topic, Verdict};

/// Where a network stands in one column.
struct Standing<'a, 'b> {
    block: &'b Block<'a>,
    metric: &'a str,
    own: &'a Printed,
    above: Vec<(&'a Named, &'a Printed)>,
    ties: Vec<(&'a Named, &'a Printed)>,
    /// The best of the others.
    next: Option<(&'a Named, &'a Printed)>,
    /// Networks that are compared, with itself.
    of: usize,
}

impl Standing<'_, '_> {
    fn rank(&self) -> usize {
        self.above.len() + 1
    }
}

impl<'a> Judge<'a> {
    /// The blocks of some datasets, of all if none is named.
    fn blocks(
        &self,
        table: Option<u8>,
        datasets: &[String],
        models: &[&Named],
    ) -> Result<Vec<&Block<'a>>, Missing> {
        let all: Vec<&str> = self.numbers.datasets();
        let wanted: Vec<&str> = match datasets {
            [] => all,
            named => named.iter().map(String::as_str).collect(),
        };
        wanted.into_iter().map(|dataset| self.block(table, dataset, models)).collect()
    }

    pub(super) fn is_rival(&self, rivals: &[Rival], model: &Named) -> bool {
        rivals.is_empty()
            || rivals.iter().any(|rival| match rival {
                Rival::Model(rival) => self.numbers.id(rival) == *model,
                Rival::Group(group) => self.group(model) == group,
            })
    }

    fn group(&self, model: &Named) -> &'a str {
        self.numbers.reported.model(model).map_or("", |entry| entry.group.as_str())
    }

    fn standing<'b>(
        &self,
        block: &'b Block<'a>,
        metric: &'a str,
        model: &Named,
        is_rival: impl Fn(&Named) -> bool,
    ) -> Result<Standing<'a, 'b>, Missing> {
        let own = self.number(block, model, metric)?;
        let id = self.numbers.id(model);
        let mut rivals = block.column(metric);
        rivals.retain(|(rival, _)| **rival != id && is_rival(rival));
        rivals.sort_by(|a, b| b.1.value.total_cmp(&a.1.value));
        Ok(Standing {
            block,
            metric,
            own,
            above: rivals.iter().copied().filter(|(_, number)| number.value > own.value).collect(),
            ties: rivals.iter().copied().filter(|(_, number)| number.value == own.value).collect(),
            next: rivals.first().copied(),
            of: rivals.len() + 1,
        })
    }

    /// `AttentionUnet 90.37 and DCSAUnet 89.87`
    pub(super) fn networks(&self, rows: &[(&Named, &Printed)]) -> String {
        let words: Vec<String> =
            rows.iter().map(|(model, number)| format!("{} {number}", self.numbers.model(model))).collect();
        listed(&words)
    }

    /// The finding of some standings that are not first.
    fn not_first(
        &self,
        severity: Severity,
        says: String,
        standings: &[Standing<'a, '_>],
        model: &Named,
    ) -> Draft {
        let mut draft = Draft::new(Topic::Ranks, severity, says);
        for standing in standings {
            let place = self.place(standing.block.dataset, standing.metric);
            let (rank, of) = (standing.rank(), standing.of);
            let mut words = format!("{place}: {}, rank {rank} of {of}", standing.own);
            if !standing.above.is_empty() {
                words.push_str(&format!("; above it {}", self.networks(&standing.above)));
            }
            if !standing.ties.is_empty() {
                words.push_str(&format!("; equal {}", self.networks(&standing.ties)));
            }
            draft.details.push(words);
            draft.figures.insert(format!("rank {} {}", standing.block.dataset, standing.metric), rank as f64);
            let id = self.numbers.id(model);
            draft.cells.extend(standing.block.cell(&id, standing.metric));
            for (rival, _) in standing.above.iter().chain(&standing.ties) {
                draft.cells.extend(standing.block.cell(rival, standing.metric));
            }
        }
        draft
    }

    pub(super) fn best(&self, best: &Best) -> Judged {
        let except: Vec<Named> = best.except.iter().map(|model| self.numbers.id(model)).collect();
        let mut named: Vec<&Named> = vec![&best.model];
        named.extend(best.than.iter().filter_map(|rival| match rival {
            Rival::Model(model) => Some(model),
            Rival::Group(_) => None,
        }));
        let (mut refuted, mut tied, mut beyond) = (Vec::new(), Vec::new(), Vec::new());
        let mut lead: Option<(f64, String)> = None;
        for block in self.blocks(best.table, &best.datasets, &named)? {
            if let Some(absent) = best.metrics.iter().find(|m| !block.metrics.contains(&m.as_str())) {
                return Err(Missing(format!(
                    "table {} has no `{absent}` for `{}`",
                    block.table, block.dataset
                )));
            }
            for metric in block.metrics.iter().copied() {
                let is_named = best.metrics.is_empty() || best.metrics.iter().any(|name| name == metric);
                if !is_named && !best.unqualified {
                    continue;
                }
                let rival = |model: &Named| !except.contains(model) && self.is_rival(&best.than, model);
                let standing = self.standing(block, metric, &best.model, rival)?;
                let Some((next, number)) = standing.next else {
                    return Err(Missing(format!(
                        "table {} has no network to compare `{}` with",
                        block.table, best.model
                    )));
                };
                let ahead = standing.own.value - number.value;
                if is_named && lead.as_ref().is_none_or(|(least, _)| ahead < *least) {
                    let place = self.place(block.dataset, metric);
                    lead = Some((ahead, format!("{place}, {ahead:.2} above {}", self.numbers.model(next))));
                }
                match (standing.above.is_empty(), standing.ties.is_empty(), is_named) {
                    (true, true, _) => {}
                    (_, _, false) => beyond.push(standing),
                    (false, _, true) => refuted.push(standing),
                    (true, false, true) => tied.push(standing),
                }
            }
        }
        let mut verdicts = Vec::new();
        let label = self.numbers.model(&best.model);
        let mut add = |suffix, severity, says: String, standings: &[Standing<'a, '_>]| {
            if !standings.is_empty() {
                let draft = self.not_first(severity, says, standings, &best.model);
                verdicts.push(Verdict::Found(Draft { suffix, ..draft }));
            }
        };
        let many = |standings: &[Standing<'a, '_>]| match standings.len() {
            1 => "one column".to_owned(),
            n => format!("{n} columns"),
        };
        let words = format!("{label} is not first in {}", many(&refuted));
        let (severity, words) = match best.hedged {
            false => (Severity::Contradiction, words),
            true => (Severity::Overstatement, format!("{words}; the sentence is hedged")),
        };
        add("", severity, words, &refuted);
        let words = format!("{label} shares the first place in {}", many(&tied));
        // Who is almost first may share the place.
        add("tie", Severity::Overstatement, words, if best.hedged { &[] } else { &tied });
        let words = format!(
            "it holds for {}; it does not for {} of the same table{}",
            listed(&best.metrics.iter().map(|metric| metric_label(metric)).collect::<Vec<_>>()),
            many(&beyond).replace(" column", " other column"),
            if best.datasets.len() == 1 { "" } else { "s" }
        );
        add("beyond", Severity::Overstatement, words, &beyond);
        if verdicts.is_empty() {
            let lead = lead.map(|(_, words)| words).unwrap_or_default();
            verdicts.push(Verdict::Holds(format!("{label} is first; the least lead is {lead}")));
        }
        Ok(verdicts)
    }

    pub(super) fn only_above(&self, only: &OnlyAbove) -> Judged {
        let block = self.block(only.table, &only.dataset, &[&only.model])?;
        self.number(block, &only.model, &only.metric)?;
        let metric = block.metrics.iter().copied().find(|m| *m == only.metric).unwrap_or_default();
        let standing = self.standing(block, metric, &only.model, |_| true)?;
        let said: Vec<Named> = only.above.iter().map(|model| self.numbers.id(model)).collect();
        let unsaid: Vec<_> = standing.above.iter().copied().filter(|(m, _)| !said.contains(m)).collect();
        let wrong: Vec<_> = block
            .column(metric)
            .into_iter()
            .filter(|(m, number)| said.contains(m) && number.value <= standing.own.value)
            .collect();
        let label = self.numbers.model(&only.model);
        let place = self.place(&only.dataset, metric);
        let rank = standing.rank();
        if unsaid.is_empty() && wrong.is_empty() {
            let above = self.networks(&standing.above);
            return Ok(vec![Verdict::Holds(format!(
                "{place}: {label} {} below {above} alone",
                standing.own
            ))]);
        }
        let mut says = Vec::new();
        if !unsaid.is_empty() {
            says.push(format!("{} above it too", self.networks(&unsaid)));
        }
        if !wrong.is_empty() {
            says.push(format!("{} not above it", self.networks(&wrong)));
        }
        let says = format!(
            "{place}: {label} has {}, rank {rank} of {}; {}",
            standing.own,
            standing.of,
            says.join(", ")
        );
        let mut draft = Draft::new(Topic::Ranks, Severity::Contradiction, says)
            .figure(format!("rank {} {metric}", only.dataset), rank as f64);
        draft.cells.extend(block.cell(&self.numbers.id(&only.model), metric));
        draft.cells.extend(unsaid.iter().chain(&wrong).filter_map(|(model, _)| block.cell(model, metric)));
        Ok(vec![Verdict::Found(draft)])
    }

    pub(super) fn groups(&self, groups: &Groups) -> Judged {
        let mut details = Vec::new();
        let mut cells = Vec::new();
        let (mut pairs, mut all) = (0, 0);
        let mut means = Vec::new();
        for block in self.blocks(None, &groups.datasets, &[])? {
            for metric in &groups.metrics {
                let members = |names: &[String]| -> Vec<(&'a Named, &'a Printed)> {
                    let mut rows = block.column(metric);
                    rows.retain(|(model, _)| names.iter().any(|name| self.group(model) == name));
                    rows
                };
                let place = self.place(block.dataset, metric);
                for group in &groups.below {
                    let (above, below) = (members(&groups.above), members(std::slice::from_ref(group)));
                    if above.is_empty() || below.is_empty() {
                        return Err(Missing(format!(
                            "table {} has no `{metric}` of {} and {group} for `{}`",
                            block.table,
                            listed(&groups.above),
                            block.dataset
                        )));
                    }
                    let (high, low) = (mean(&above), mean(&below));
                    means.push((
                        high > low,
                        format!("{place}, means: {} {high:.2}, {group} {low:.2}", listed(&groups.above)),
                    ));
                    if groups.by_mean {
                        if high <= low {
                            let of = |rows: &[(&Named, &Printed)]| self.networks(rows);
                            details.push(format!("{}: {}", listed(&groups.above), of(&above)));
                            details.push(format!("{group}: {}", of(&below)));
                            pairs += 1;
                        }
                        all += 1;
                        continue;
                    }
                    for (model, number) in &above {
                        let not_below: Vec<_> =
                            below.iter().copied().filter(|(_, other)| other.value >= number.value).collect();
                        all += below.len();
                        if not_below.is_empty() {
                            continue;
                        }
                        pairs += not_below.len();
                        let label = self.numbers.model(model);
                        details.push(format!(
                            "{place}: {label} {number} is not above {}",
                            self.networks(&not_below)
                        ));
                        cells.extend(block.cell(model, metric));
                        cells.extend(not_below.iter().filter_map(|(other, _)| block.cell(other, metric)));
                    }
                }
            }
        }
        let words: Vec<&str> = means.iter().map(|(_, words)| words.as_str()).collect();
        if pairs == 0 {
            return Ok(vec![Verdict::Holds(words.join("; "))]);
        }
        cells.sort();
        cells.dedup();
        let (above, below) = (listed(&groups.above), listed(&groups.below));
        let by_mean = match means.iter().all(|(holds, _)| *holds) {
            true => "; it holds for the groups' means",
            false => "; the groups' means differ in it too",
        };
        let says = match groups.by_mean {
            true => words.join("; "),
            false => format!(
                "{pairs} of {all} pairs of a network of {above} and one of {below} are the other way round{by_mean}"
            ),
        };
        let severity = if groups.hedged { Severity::Overstatement } else { Severity::Contradiction };
        let mut draft =
            Draft::new(Topic::Groups, severity, says).figure("pairs", pairs as f64).figure("of", all as f64);
        if !groups.by_mean {
            details.extend(means.into_iter().map(|(_, words)| words));
        }
        draft.details = details;
        draft.cells = cells;
        Ok(vec![Verdict::Found(draft)])
    }

    pub(super) fn falls(&self, falls: &Falls) -> Judged {
        let mut named: Vec<&Named> = vec![&falls.from];
        named.extend(&falls.models);
        let mut draft = Draft::new(Topic::Ablation, Severity::Contradiction, "");
        let mut examined = 0;
        for block in self.blocks(falls.table, &falls.datasets, &named)? {
            let metrics: Vec<&str> = match falls.metrics.as_slice() {
                [] => block.metrics.clone(),
                named => named.iter().map(String::as_str).collect(),
            };
            for (metric, model) in
                metrics.iter().flat_map(|metric| falls.models.iter().map(move |m| (metric, m)))
            {
                let (number, from) =
                    (self.number(block, model, metric)?, self.number(block, &falls.from, metric)?);
                examined += 1;
                if number.value >= from.value {
                    draft.details.push(format!(
                        "{}: {} {number}, {} {from}",
                        self.place(block.dataset, metric),
                        self.numbers.model(model),
                        self.numbers.model(&falls.from)
                    ));
                    draft.cells.extend(block.cell(&self.numbers.id(model), metric));
                    draft.cells.extend(block.cell(&self.numbers.id(&falls.from), metric));
                }
            }
        }
        if draft.details.is_empty() {
            return Ok(vec![Verdict::Holds(format!("all {examined} numbers are lower"))]);
        }
        draft.says = format!("{} of {examined} numbers are not lower", draft.details.len());
        let count = draft.details.len() as f64;
        Ok(vec![Verdict::Found(draft.figure("not lower", count))])
    }

    pub(super) fn most(&self, most: &Most) -> Judged {
        let mut drops = Vec::new();
        let blocks: Vec<&Block<'a>> = self
            .numbers
            .datasets()
            .into_iter()
            .filter(|dataset| *dataset != MEAN)
            .filter_map(|dataset| self.numbers.block(most.table, dataset, &[&most.model, &most.from]))
            .collect();
        for block in &blocks {
            let number = self.number(block, &most.model, &most.metric)?;
            let from = self.number(block, &most.from, &most.metric)?;
            drops.push((*block, from.value - number.value));
        }
        drops.sort_by(|a, b| b.1.total_cmp(&a.1));
        if let Some(absent) =
            most.datasets.iter().find(|d| !drops.iter().any(|(block, _)| block.dataset == *d))
        {
            return Err(Missing(format!(
                "no table has `{}` beside `{}` for `{absent}`",
                most.model, most.from
            )));
        }
        let is_named = |block: &Block<'_>| most.datasets.iter().any(|dataset| dataset == block.dataset);
        let order: Vec<String> = drops
            .iter()
            .map(|(block, drop)| format!("{} {drop:.2}", self.numbers.dataset(block.dataset)))
            .collect();
        let order = format!("{} falls, in points: {}", metric_label(&most.metric), order.join(", "));
        let least = drops
            .iter()
            .filter(|(block, _)| is_named(block))
            .map(|(_, drop)| *drop)
            .fold(f64::INFINITY, f64::min);
        let larger: Vec<_> =
            drops.iter().filter(|(block, drop)| !is_named(block) && *drop > least + 1e-9).collect();
        if larger.is_empty() {
            return Ok(vec![Verdict::Holds(order)]);
        }
        let ranks: Vec<String> = drops
            .iter()
            .enumerate()
            .filter(|(_, (block, _))| is_named(block))
            .map(|(i, (block, _))| {
                format!("{} is {} of {}", self.numbers.dataset(block.dataset), i + 1, drops.len())
            })
            .collect();
        let larger: Vec<&str> = larger.iter().map(|(block, _)| self.numbers.dataset(block.dataset)).collect();
        let says = format!("by the size of its fall {}; {} fall more", listed(&ranks), listed(&larger));
        let mut draft = Draft::new(Topic::Ablation, Severity::Contradiction, says);
        draft.details.push(order);
        for (i, (block, drop)) in drops.iter().enumerate() {
            draft.figures.insert(format!("drop {}", block.dataset), *drop);
            if is_named(block) {
                draft.figures.insert(format!("rank {}", block.dataset), (i + 1) as f64);
            }
            for model in [&most.model, &most.from] {
                draft.cells.extend(block.cell(&self.numbers.id(model), &most.metric));
            }
        }
        Ok(vec![Verdict::Found(draft)])
    }
}

fn mean(rows: &[(&Named, &Printed)]) -> f64 {
    rows.iter().map(|(_, number)| number.value).sum::<f64>() / rows.len() as f64
}
