//! A lock compares nothing in silence: every score has a tolerance that can fail, every
//! tolerance a score.

use std::collections::{BTreeMap, BTreeSet};

use dygl_base::exit::{Exit, Failure};
use dygl_spec::metric::Metric;
use dygl_spec::plan::apart;
use dygl_spec::protocol::Protocol;
use dygl_spec::schema;
use serde_json::Value as Json;

use super::{Lock, LockedCell, Place, Tolerance};

impl Lock {
    /// Reads the settings of its cells by the protocol of today: what has the protocol's
    /// own value is no part of a cell's identity.
    ///
    /// # Errors
    /// Exit 2 if two cells are one by that.
    pub fn settle(&mut self, base: &Protocol, place: &Place) -> Result<(), Failure> {
        for cell in &mut self.cells {
            let Some(settings) = &mut cell.identity.settings else { continue };
            let is_own = |path: &String, value: &Json| {
                schema::setting(path).is_some_and(|setting| setting.value(base) == *value)
            };
            let own = settings.iter().filter(|(path, value)| is_own(path, value));
            cell.own = own.map(|(path, value)| (path.clone(), value.clone())).collect();
            settings.retain(|path, _| !cell.own.contains_key(path));
        }
        // Of format 1 nobody knows the settings; such twins match nothing.
        let known = || self.cells.iter().filter(|cell| cell.identity.settings.is_some()).enumerate();
        for (index, cell) in known() {
            if let Some((_, first)) = known().take(index).find(|(_, other)| other.identity == cell.identity) {
                let (line, first) = (cell.lines.cell, first.lines.cell);
                let what = format!("the cell is that of line {first} again; remove one of the two");
                return Err(Failure::new(Exit::Usage, format!("{}:{line}: {what}", place.shown)));
            }
        }
        Ok(())
    }

    /// # Errors
    /// Exit 2 with the line of every score without a tolerance, of every tolerance
    /// without a score, and of every tolerance that no score could fail.
    pub fn refuse_holes(&self, place: &Place) -> Result<(), Failure> {
        // Of an empty lock every cell of the experiment is told.
        if self.cells.is_empty() {
            return Ok(());
        }
        let apart = apart(self.cells.iter().map(|cell| &cell.identity));
        let remedy = format!("`dygl check {} --accept` writes it", self.experiment);
        let mut found: Vec<(usize, String)> = Vec::new();
        for metric in Metric::ALL {
            let name = metric.name();
            let line = self.tolerance_lines.get(&metric).copied().unwrap_or(1);
            if self.tolerance.contains_key(&metric) && !self.has(metric) {
                let what = format!("[tolerance.{name}]: no cell has such a score; remove the table");
                found.push((line, what));
                continue;
            }
            // One line for a tolerance that all cells lack, not one for each cell.
            let without = |cell: &&LockedCell| {
                cell.scores.contains_key(&metric) && self.tolerance(cell, metric).is_none()
            };
            let bare: Vec<&LockedCell> = self.cells.iter().filter(without).collect();
            if let Some(first) = bare.first() {
                let line = first.lines.scores.get(&metric).copied().unwrap_or(first.lines.cell);
                let of = match bare.len() {
                    1 => first.describe(&apart),
                    count => format!("{count} cells"),
                };
                let what = format!(
                    "the score `{name}` of {of} has no tolerance; add [tolerance.{name}] with absolute = 0.01, or \
                     {remedy}"
                );
                found.push((line, what));
            }
        }
        for cell in &self.cells {
            let name = cell.describe(&apart);
            let asked: BTreeSet<Metric> = self
                .tolerance
                .keys()
                .filter(|metric| self.has(**metric))
                .chain(cell.tolerance.keys())
                .copied()
                .collect();
            for metric in asked {
                let (word, tolerance) = (metric.name(), self.tolerance(cell, metric));
                match (cell.scores.get(&metric), tolerance) {
                    (None, _) => found.push((
                        cell.lines.cell,
                        format!("{name} has a tolerance for `{word}` and no such score; add it, or {remedy}"),
                    )),
                    (Some(accepted), Some(tolerance)) if tolerance.allows_anything(*accepted) => found.push((
                        cell.lines.scores.get(&metric).copied().unwrap_or(cell.lines.cell),
                        format!(
                            "the tolerance for `{word}` of {name} lets every score pass (accepted {accepted}, allowed \
                             +-{}); write a smaller one",
                            tolerance.allows(*accepted)
                        ),
                    )),
                    _ => {}
                }
            }
        }
        if found.is_empty() {
            return Ok(());
        }
        found.sort();
        let lines: Vec<String> =
            found.into_iter().map(|(line, what)| format!("{}:{line}: {what}", place.shown)).collect();
        Err(Failure::new(Exit::Usage, lines.join("\n")))
    }

    /// Gives scores without a tolerance the usual one and drops tolerances without a
    /// score, so that what is written has no holes. Says what it did to a lock that was
    /// there before.
    pub fn fill_holes(&mut self) -> Vec<String> {
        let mut notes = Vec::new();
        let default = Self::default_tolerance();
        for metric in Metric::ALL {
            let word = metric.name();
            let lacks = |cell: &LockedCell| {
                cell.scores.contains_key(&metric) && self.tolerance(cell, metric).is_none()
            };
            if self.cells.iter().any(lacks) {
                notes.push(format!(
                    "the lock gave no tolerance for {word}: {} is written",
                    default[&metric].absolute
                ));
                self.tolerance.insert(metric, default[&metric]);
            }
            if !self.has(metric) && self.tolerance.remove(&metric).is_some() {
                notes.push(format!("the tolerance for {word} is dropped: no cell has such a score"));
            }
        }
        for cell in &mut self.cells {
            let LockedCell { tolerance, scores, identity, .. } = cell;
            let lost: BTreeMap<Metric, f64> = tolerance
                .iter()
                .filter(|(metric, _)| !scores.contains_key(metric))
                .map(|(m, t)| (*m, *t))
                .collect();
            for metric in lost.into_keys() {
                tolerance.remove(&metric);
                let name = identity.describe(&BTreeSet::new());
                notes.push(format!(
                    "the tolerance for {} of {name} is dropped: it has no such score",
                    metric.name()
                ));
            }
        }
        notes
    }
}

/// The tolerance that a lock gives a score; every score has one after [`Lock::refuse_holes`].
pub fn of_score(lock: &Lock, cell: &LockedCell, metric: Metric) -> Tolerance {
    lock.tolerance(cell, metric).unwrap_or(Tolerance::absolute(0.0))
}
