//! `dygl check`: holds results against accepted or published ones.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::json;

use super::context::{Chosen, Context};
use super::lock::{Lock, LockedCell, Tolerance};
use super::read::{self, Reading, State};
use crate::cli::{Against, Check, Format};
use crate::exit::{Exit, Failure, OrExit};
use crate::metric::Metric;
use crate::spec::reported;

/// Published numbers have two decimals in percent; a reproduction on another
/// machine is held to one point.
const PAPER: Tolerance = Tolerance { absolute: 0.01, relative: 0.0 };

/// What became of one comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    Held,
    Moved,
    Missing,
    Altered,
    Stale,
    Failed,
    /// Nothing was accepted or published for it.
    Unknown,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Verdict::Held => "held",
            Verdict::Moved => "moved",
            Verdict::Missing => "missing",
            Verdict::Altered => "altered",
            Verdict::Stale => "stale",
            Verdict::Failed => "failed",
            Verdict::Unknown => "nothing to compare",
        }
    }
}

/// One score against what it should be.
#[derive(Debug, Serialize)]
struct Comparison {
    cell: String,
    metric: Option<Metric>,
    accepted: Option<f64>,
    found: Option<f64>,
    allowed: Option<f64>,
    verdict: Verdict,
    reason: String,
}

pub fn check(arguments: &Check) -> Result<Exit, Failure> {
    let context = Context::load(&arguments.selection)?;
    let root = std::env::current_dir().or_exit(Exit::Environment)?;
    let mut comparisons = Vec::new();
    for (asked, chosen) in arguments.selection.experiments.iter().zip(&context.chosen) {
        let readings =
            read::cells(&context, &arguments.selection, &chosen.cells).or_exit(Exit::Environment)?;
        let path = Lock::path(&root, asked, &chosen.experiment.name);
        if arguments.accept {
            accept(chosen, &readings, &path)?;
            continue;
        }
        match arguments.against {
            Against::Lock => against_lock(chosen, &readings, &Lock::read(&path)?, &mut comparisons)?,
            Against::Paper => against_paper(chosen, &readings, &mut comparisons),
        }
    }
    if arguments.accept {
        return Ok(Exit::Ok);
    }
    show(arguments, &comparisons)?;
    if let Some(path) = &arguments.junit {
        std::fs::write(path, junit(&comparisons))
            .map_err(|error| Failure::new(Exit::Environment, format!("{}: {error}", path.display())))?;
    }
    Ok(exit_of(&comparisons))
}

/// Writes today's results as the accepted ones; tolerances that somebody set
/// are kept.
fn accept(chosen: &Chosen, readings: &[Reading], path: &std::path::Path) -> Result<(), Failure> {
    let mut cells = Vec::new();
    for reading in readings {
        let State::Done(done) = &reading.state else {
            let message = format!(
                "{} is {}: {}; only finished results can be accepted",
                reading.planned.cell.describe(),
                reading.word(),
                reading.reason()
            );
            return Err(Failure::new(read::exit_of(readings), message));
        };
        let cell = &reading.planned.cell;
        cells.push(LockedCell {
            model: cell.model.to_string(),
            dataset: cell.dataset.to_string(),
            seed: cell.seed,
            pretrained: cell.pretrained.as_ref().map(|pretrained| pretrained.sha256.clone()),
            numerics: done.eval.provenance.numerics.clone(),
            scores: done.eval.mean.clone(),
        });
    }
    let tolerance = if path.is_file() { Lock::read(path)?.tolerance } else { Lock::default_tolerance() };
    let lock = Lock {
        experiment: chosen.experiment.name.clone(),
        profile: chosen.experiment.profile.name.clone(),
        tolerance,
        cells,
    };
    lock.write(path)?;
    super::note(&format!("accepted {} cells: {}", lock.cells.len(), path.display()));
    Ok(())
}

fn against_lock(
    chosen: &Chosen,
    readings: &[Reading],
    lock: &Lock,
    comparisons: &mut Vec<Comparison>,
) -> Result<(), Failure> {
    if lock.profile != chosen.experiment.profile.name {
        let message = format!(
            "the lock file was accepted under profile `{}`, not `{}`: give --profile {}",
            lock.profile, chosen.experiment.profile.name, lock.profile
        );
        return Err(Failure::new(Exit::Usage, message));
    }
    for reading in readings {
        let name = reading.planned.cell.describe();
        let locked = lock.cells.iter().find(|locked| locked.is_of(&reading.planned.cell));
        match (locked, scores(reading, comparisons)) {
            (_, None) => {}
            (None, Some(_)) => comparisons.push(Comparison::without_number(
                name,
                Verdict::Unknown,
                "not in the lock file; --accept adds it".into(),
            )),
            (Some(locked), Some(found)) => {
                for (metric, accepted) in &locked.scores {
                    let Some(tolerance) = lock.tolerance.get(metric) else { continue };
                    comparisons.push(Comparison::of(
                        &name,
                        *metric,
                        *accepted,
                        found.get(metric),
                        *tolerance,
                    ));
                }
            }
        }
    }
    Ok(())
}

fn against_paper(chosen: &Chosen, readings: &[Reading], comparisons: &mut Vec<Comparison>) {
    for reading in readings {
        let cell = &reading.planned.cell;
        let name = cell.describe();
        let Some(found) = scores(reading, comparisons) else { continue };
        if let Some(reason) = super::report::not_the_papers(&chosen.experiment, reading) {
            comparisons.push(Comparison::without_number(
                name,
                Verdict::Unknown,
                format!("not comparable: {reason}"),
            ));
            continue;
        }
        let table = chosen.experiment.table.paper_table;
        if table == 0 {
            let reason = "the experiment names no table of the paper".to_owned();
            comparisons.push(Comparison::without_number(name, Verdict::Unknown, reason));
            continue;
        }
        for metric in &chosen.experiment.table.metrics {
            let printed = reported::embedded().ok().and_then(|all| {
                all.value(table, &cell.asked.name, &cell.model, metric.name())
                    .map(|printed| printed.to_string())
            });
            if let Some(published) = printed.and_then(|text| text.parse::<f64>().ok()) {
                comparisons.push(Comparison::of(&name, *metric, published / 100.0, found.get(metric), PAPER));
            }
        }
    }
}

/// The means of a finished cell; otherwise the comparison that says why not.
fn scores<'a>(
    reading: &'a Reading,
    comparisons: &mut Vec<Comparison>,
) -> Option<&'a std::collections::BTreeMap<Metric, f64>> {
    let verdict = match &reading.state {
        State::Done(done) => return Some(&done.eval.mean),
        State::Altered { .. } => Verdict::Altered,
        State::Stale(_) => Verdict::Stale,
        State::Missing(_) => Verdict::Missing,
        State::Failed { .. } | State::Conflict(_) => Verdict::Failed,
    };
    comparisons.push(Comparison::without_number(reading.planned.cell.describe(), verdict, reading.reason()));
    None
}

impl Comparison {
    fn of(cell: &str, metric: Metric, accepted: f64, found: Option<&f64>, tolerance: Tolerance) -> Self {
        let allowed = tolerance.allows(accepted);
        let verdict = match found {
            Some(found) if (found - accepted).abs() <= allowed => Verdict::Held,
            Some(_) => Verdict::Moved,
            None => Verdict::Missing,
        };
        Self {
            cell: cell.to_owned(),
            metric: Some(metric),
            accepted: Some(accepted),
            found: found.copied(),
            allowed: Some(allowed),
            verdict,
            reason: String::new(),
        }
    }

    fn without_number(cell: String, verdict: Verdict, reason: String) -> Self {
        Self { cell, metric: None, accepted: None, found: None, allowed: None, verdict, reason }
    }

    fn describe(&self) -> String {
        let percent =
            |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| format!("{:.2}", 100.0 * v));
        match self.metric {
            Some(metric) => format!(
                "{}: {} {} (accepted {}, allowed +-{})",
                self.cell,
                metric.label(),
                percent(self.found),
                percent(self.accepted),
                percent(self.allowed)
            ),
            None => format!("{}: {}", self.cell, self.reason),
        }
    }
}

fn show(arguments: &Check, comparisons: &[Comparison]) -> Result<(), Failure> {
    if arguments.selection.common.format == Format::Json {
        super::answer_json(&json!({ "comparisons": comparisons }))?;
    }
    let mut held = 0;
    for comparison in comparisons {
        if comparison.verdict == Verdict::Held {
            held += 1;
            continue;
        }
        let line = comparison.describe();
        if arguments.github {
            super::answer(&format!("::error title=dygl check::{}", line.replace('\n', " ")));
        } else if arguments.selection.common.format == Format::Text {
            super::answer(&format!("{}: {line}", comparison.verdict.word()));
        }
    }
    super::note(&format!("{held} of {} scores held", comparisons.len()));
    Ok(())
}

fn exit_of(comparisons: &[Comparison]) -> Exit {
    let any = |verdict| comparisons.iter().any(|comparison| comparison.verdict == verdict);
    if any(Verdict::Altered) {
        Exit::Altered
    } else if any(Verdict::Moved) {
        Exit::Regressed
    } else if any(Verdict::Failed) {
        Exit::Failed
    } else if any(Verdict::Stale) {
        Exit::Stale
    } else if any(Verdict::Missing) || any(Verdict::Unknown) {
        Exit::Missing
    } else {
        Exit::Ok
    }
}

/// JUnit's XML, as CI systems read it.
fn junit(comparisons: &[Comparison]) -> String {
    let failures = comparisons.iter().filter(|c| c.verdict != Verdict::Held).count();
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        xml,
        "<testsuite name=\"dygl check\" tests=\"{}\" failures=\"{failures}\">",
        comparisons.len()
    );
    for comparison in comparisons {
        let name = comparison.metric.map_or("result", Metric::name);
        let _ = write!(xml, "  <testcase classname=\"{}\" name=\"{name}\"", escape(&comparison.cell));
        if comparison.verdict == Verdict::Held {
            xml.push_str("/>\n");
        } else {
            let _ = writeln!(xml, "><failure message=\"{}\"/></testcase>", escape(&comparison.describe()));
        }
    }
    xml.push_str("</testsuite>\n");
    xml
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison(accepted: f64, found: f64) -> Comparison {
        let tolerance = Tolerance { absolute: 0.01, relative: 0.0 };
        Comparison::of("a <b>", Metric::Dice, accepted, Some(&found), tolerance)
    }

    #[test]
    fn a_score_that_moves_either_way_fails() {
        assert_eq!(exit_of(&[comparison(0.5, 0.505)]), Exit::Ok);
        assert_eq!(exit_of(&[comparison(0.5, 0.52)]), Exit::Regressed);
        assert_eq!(exit_of(&[comparison(0.5, 0.48)]), Exit::Regressed);
        assert_eq!(exit_of(&[comparison(0.5, f64::NAN)]), Exit::Regressed);
    }

    #[test]
    fn junit_is_escaped_and_counted() {
        let xml = junit(&[comparison(0.5, 0.5), comparison(0.5, 0.9)]);
        assert!(xml.contains("tests=\"2\" failures=\"1\"") && xml.contains("a &lt;b&gt;"), "{xml}");
    }
}
