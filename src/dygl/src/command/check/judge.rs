//! Judges a finished result by what was accepted of its cell.

use std::collections::{BTreeMap, BTreeSet};

use dygl_base::stats;
use dygl_spec::metric::Metric;
use dygl_store::record::ImageScores;

use super::lock::{LockedCell, Tolerance, rounded, scores_digest};
use super::verdict::{Bounds, Moved, Row, Tier, percent, points};

/// An image that moved by more than this is named.
const FAR: f64 = 0.1;
/// So many are named in a sentence.
const HANDFUL: usize = 5;
/// Below so many images there is no interval.
const FEW_IMAGES: usize = 10;
/// Room for rounding where a difference meets its limit exactly.
const SLACK: f64 = 1e-12;

/// What is there of a cell.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    pub mean: &'a BTreeMap<Metric, f64>,
    pub per_image: &'a [ImageScores],
    pub numerics: &'a str,
    pub simd: &'a str,
    pub threads: u64,
    /// As locks write it.
    pub commit: Option<&'a str>,
    /// Image -> what it shares a patient with; empty where the dataset knows no groups.
    pub groups: &'a BTreeMap<String, String>,
}

/// The rows of a cell, one for each locked score. `tolerance` says how far a score may
/// move.
pub fn cell(
    name: &str,
    locked: &LockedCell,
    found: &Found<'_>,
    tolerance: impl Fn(Metric) -> Tolerance,
) -> Vec<Row> {
    if let Some(reason) = other_images(locked, found) {
        return vec![Row::without_number(name, Tier::Unknown, reason, Some(locked.lines.cell))];
    }
    let metrics: BTreeSet<Metric> = locked.scores.keys().copied().collect();
    let digest = scores_digest(found.per_image, &metrics);
    let contradiction = locked.contradiction();
    let cell = Cell {
        name,
        locked,
        found,
        is_same_class: locked.numerics == found.numerics,
        has_same_scores: locked.scores_digest.as_ref() == Some(&digest),
        has_images: !locked.per_image.is_empty() && contradiction.is_none(),
    };
    let mut rows: Vec<Row> = locked
        .scores
        .iter()
        .map(|(metric, accepted)| cell.score(*metric, *accepted, tolerance(*metric)))
        .collect();
    if let Some(contradiction) = contradiction
        && !rows.iter().any(|row| matches!(row.tier, Tier::Worse | Tier::Better))
    {
        let reason =
            format!("the lock is at odds with itself: {contradiction}; restore its files or accept again");
        rows.push(Row::without_number(name, Tier::Unknown, reason, Some(locked.lines.cell)));
    }
    rows
}

/// A mean score against a printed one.
pub fn published(
    name: &str,
    metric: Metric,
    printed: f64,
    mean: &BTreeMap<Metric, f64>,
    allowed: f64,
) -> Row {
    let row = Row {
        metric: Some(metric),
        accepted: Some(printed),
        found: mean.get(&metric).copied(),
        allowed: Some(allowed),
        ..Row::without_number(name, Tier::Missing, "", None)
    };
    let tier = match row.delta() {
        None => return Row { reason: "the result has no such score".into(), ..row },
        Some(delta) if delta.abs() <= allowed + SLACK => Tier::Held,
        Some(delta) if delta > 0.0 => Tier::Better,
        Some(_) => Tier::Worse,
    };
    Row { tier, ..row }
}

/// Why the result is over other images than the accepted one; none if it is not.
fn other_images(locked: &LockedCell, found: &Found<'_>) -> Option<String> {
    let remedy = "nothing comparable was accepted; register the same dataset, or accept again";
    let count = found.per_image.len() as u64;
    if let Some(images) = locked.images
        && images != count
    {
        return Some(format!("{count} images were scored, {images} accepted; {remedy}"));
    }
    if locked.per_image.len() != found.per_image.len() {
        // A list that is not whole is a contradiction of the lock, not other data.
        return None;
    }
    let of = |images: &[ImageScores]| images.iter().map(|image| image.id.clone()).collect::<BTreeSet<_>>();
    let (accepted, scored) = (of(&locked.per_image), of(found.per_image));
    let new: Vec<&str> = scored.difference(&accepted).map(String::as_str).collect();
    (!new.is_empty()).then(|| format!("scored, but not accepted: {}; {remedy}", some_of(&new)))
}

struct Cell<'a> {
    name: &'a str,
    locked: &'a LockedCell,
    found: &'a Found<'a>,
    is_same_class: bool,
    /// Whether every image has its accepted score, to the last bit.
    has_same_scores: bool,
    /// Whether the images were accepted, too, and the lock agrees with them.
    has_images: bool,
}

impl Cell<'_> {
    fn score(&self, metric: Metric, accepted: f64, tolerance: Tolerance) -> Row {
        let allowed = tolerance.allows(accepted);
        let line = self.locked.lines.scores.get(&metric).copied().unwrap_or(self.locked.lines.cell);
        let mut row = Row {
            metric: Some(metric),
            accepted: Some(accepted),
            found: self.found.mean.get(&metric).copied(),
            allowed: Some(allowed),
            ..Row::without_number(self.name, Tier::Missing, "the result has no such score", Some(line))
        };
        let Some(delta) = row.delta() else { return row };
        let mut reasons = Vec::new();
        if !self.is_same_class {
            reasons.push(format!(
                "accepted in class {}, found in {}",
                self.locked.numerics, self.found.numerics
            ));
        }
        let direction = if delta > 0.0 { Tier::Better } else { Tier::Worse };
        // The same scores have the same mean, but for the order of its sum.
        let is_at_odds = self.has_same_scores && (delta.is_nan() || delta.abs() > 1e-9);
        row.tier = if is_at_odds {
            reasons.push(
                "the lock is at odds with itself: `scores_digest` is that of the result, the mean is not; \
                 restore the file or accept again"
                    .to_owned(),
            );
            direction
        } else if self.has_same_scores && self.is_same_class {
            Tier::Identical
        } else {
            self.by_tolerance(metric, delta, allowed, &mut row, &mut reasons)
        };
        if row.tier != Tier::Identical {
            reasons.extend(self.other_run(matches!(row.tier, Tier::Worse | Tier::Better)));
        }
        row.reason = reasons.join("; ");
        row
    }

    /// The tier of a score whose images moved or are not known.
    fn by_tolerance(
        &self,
        metric: Metric,
        delta: f64,
        allowed: f64,
        row: &mut Row,
        reasons: &mut Vec<String>,
    ) -> Tier {
        let is_beyond = delta.is_nan() || delta.abs() > allowed + SLACK;
        let pairs = self.pairs(metric);
        let interval = |level| self.interval(&pairs, level);
        row.interval = interval(0.90);
        row.moved = moved(&pairs);
        let mut tier = match (is_beyond, self.is_same_class) {
            (true, _) if delta > 0.0 => Tier::Better,
            (true, _) => Tier::Worse,
            (false, true) => Tier::Held,
            (false, false) => Tier::OtherNumerics,
        };
        // Another class may differ a little everywhere; within one, that is a finding.
        if tier == Tier::Held
            && let Some(wide) = interval(0.95)
            && delta.abs() > allowed / 2.0
            && (wide.high < 0.0 || wide.low > 0.0)
        {
            tier = if delta < 0.0 { Tier::Worse } else { Tier::Better };
            row.interval = Some(wide);
            reasons
                .push(format!("within the tolerance, but above half of it, and no chance: {}", span(wide)));
        } else if let Some(narrow) = row.interval {
            reasons.push(if is_beyond { span(narrow) } else { within(narrow, allowed) });
        }
        if !is_beyond && self.has_images && row.interval.is_none() {
            reasons.push(format!("{}: no interval", few(pairs.len())));
        }
        if tier == Tier::Held && self.locked.scores_digest.is_none() {
            reasons.push("the lock has no `scores_digest` of it: accept again to know more".to_owned());
        }
        if !row.moved.is_empty() {
            let named: Vec<String> = row
                .moved
                .iter()
                .map(|image| {
                    format!("{} ({} -> {})", image.image, percent(image.accepted), percent(image.found))
                })
                .collect();
            let named: Vec<&str> = named.iter().map(String::as_str).collect();
            reasons.push(format!("{} moved by more than 10 points", some_of(&named)));
        }
        tier
    }

    /// The images that have this score on both sides, as (id, accepted, found).
    fn pairs(&self, metric: Metric) -> Vec<(&str, f64, f64)> {
        if !self.has_images {
            return Vec::new();
        }
        let accepted: BTreeMap<&str, f64> = self
            .locked
            .per_image
            .iter()
            .filter_map(|image| Some((image.id.as_str(), *image.scores.get(&metric)?)))
            .collect();
        // Rounded as the accepted ones were: an image that did not move differs by nothing.
        self.found
            .per_image
            .iter()
            .filter_map(|image| {
                let (id, found) = (image.id.as_str(), rounded(*image.scores.get(&metric)?));
                Some((id, *accepted.get(id)?, found))
            })
            .collect()
    }

    fn interval(&self, pairs: &[(&str, f64, f64)], level: f64) -> Option<Bounds> {
        if pairs.len() < FEW_IMAGES {
            return None;
        }
        let differences: Vec<f64> = pairs.iter().map(|(_, accepted, found)| found - accepted).collect();
        let groups: Option<Vec<&str>> = (!self.found.groups.is_empty()).then(|| {
            // An image without a group is one of its own.
            pairs.iter().map(|(id, ..)| self.found.groups.get(*id).map_or(*id, String::as_str)).collect()
        });
        if let Some(groups) = &groups
            && groups.iter().collect::<BTreeSet<_>>().len() < 3
        {
            return None;
        }
        let interval = stats::mean_t(&differences, groups.as_deref(), level)?;
        Some(Bounds { low: interval.low, high: interval.high, level })
    }

    /// What else differs between the accepted run and this one.
    fn other_run(&self, with_commit: bool) -> Option<String> {
        let (locked, found) = (self.locked, self.found);
        let mut parts = Vec::new();
        if let Some(simd) = &locked.simd
            && !found.simd.is_empty()
            && simd != found.simd
        {
            parts.push(format!("vectors {simd} -> {}", found.simd));
        }
        if let Some(threads) = locked.threads
            && found.threads > 0
            && threads != found.threads
        {
            parts.push(format!("threads {threads} -> {}", found.threads));
        }
        if let (Some(then), Some(now), true) = (locked.commit.as_deref(), found.commit, with_commit)
            && then != now
        {
            parts.push(format!("commit {} -> {}", short(then), short(now)));
        }
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// A commit for people, with what is behind its digits.
fn short(commit: &str) -> String {
    let (digits, rest) = commit.split_once('-').map_or((commit, ""), |(digits, _)| (digits, "-dirty"));
    format!("{}{rest}", digits.get(..12).unwrap_or(digits))
}

/// `90 % interval by image -0.10 to +0.20`.
fn span(interval: Bounds) -> String {
    let Bounds { low, high, level } = interval;
    format!("{:.0} % interval by image {} to {}", 100.0 * level, points(low), points(high))
}

/// What an interval says of a mean within the tolerance.
fn within(interval: Bounds, allowed: f64) -> String {
    let span = span(interval);
    if interval.low >= -allowed - SLACK && interval.high <= allowed + SLACK {
        format!("equivalent ({span})")
    } else if interval.low < -allowed {
        format!("a loss of up to {} points is not excluded ({span})", percent(-interval.low))
    } else {
        format!("a gain of up to {} points is not excluded ({span})", percent(interval.high))
    }
}

fn moved(pairs: &[(&str, f64, f64)]) -> Vec<Moved> {
    let mut moved: Vec<Moved> = pairs
        .iter()
        .filter(|(_, accepted, found)| (found - accepted).abs() > FAR + 1e-9)
        .map(|(id, accepted, found)| Moved { image: (*id).to_owned(), accepted: *accepted, found: *found })
        .collect();
    // As far as the digits go: what differs behind them is in the order of the names.
    let distance = |image: &Moved| (1e5 * (image.found - image.accepted).abs()).round();
    moved.sort_by(|a, b| distance(b).total_cmp(&distance(a)).then_with(|| a.image.cmp(&b.image)));
    moved
}

/// `7 images (a, b, c, d, e and 2 more)`.
fn some_of(images: &[&str]) -> String {
    let word = if images.len() == 1 { "image" } else { "images" };
    let shown = &images[..images.len().min(HANDFUL)];
    let rest = images.len() - shown.len();
    let rest = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    format!("{} {word} ({}{rest})", images.len(), shown.join(", "))
}

fn few(images: usize) -> String {
    if images >= FEW_IMAGES { "fewer than 3 groups".to_owned() } else { format!("{images} images") }
}

#[cfg(test)]
mod tests;
