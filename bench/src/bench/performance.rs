//! Writes doc/performance.md: the template's prose, and for each kind of processor
//! that was measured a section with the figures of a run, its charts beside it.
//! Whatever it says follows from the figures.

use std::path::Path;

use anyhow::{Context, Result, bail};
use dygl_report::plot::{Ratio, Roof, Work, ratios};

use crate::comparison::{self, Standing, standings};
use crate::files;
use crate::grid::figure;
use crate::machine::Machine;
use crate::operations;
use crate::operations::list::listed;
use crate::roofline;
use crate::sections::{Sections, filled};
use crate::side::{Side, Who};
use crate::steps;

/// Where the figures come from and where they go.
pub struct Places<'a> {
    /// Folder of `steps.json`, `operations.json` and `roofline.json`.
    pub results: &'a Path,
    /// Of the page, and of one kind of processor.
    pub templates: [&'a Path; 2],
    /// The document; charts go into its folder.
    pub document: &'a Path,
}

/// Writes the document, with the section of this run's kind of processor new and the
/// others as they were, and its charts.
///
/// # Errors
/// Results are missing or not of one build on one machine, a template has an
/// unknown place, or a file cannot be written.
pub fn write(places: &Places<'_>) -> Result<()> {
    const COMMAND: &str = "make bench VENV=FOLDER";
    let read = |name: &str| places.results.join(name);
    let steps: steps::Results = files::read_json(&read("steps.json"), COMMAND)?;
    let operations: operations::Results = files::read_json(&read("operations.json"), COMMAND)?;
    let roofline: roofline::Results = files::read_json(&read("roofline.json"), COMMAND)?;
    let machines = [&steps.machine, &operations.machine, &roofline.machine];
    same(machines)?;
    let text = |path: &Path| {
        std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))
    };
    let [page, section] = places.templates;
    let (page, section) = (text(page)?, text(section)?);
    let mut versions = steps.versions();
    versions.extend(operations.versions());
    versions.sort();
    versions.dedup();
    let kind = steps.machine.kind();
    let slug = plain(&kind);
    let folder = places.document.parent().unwrap_or(Path::new("."));
    let parts = [
        ("kind", kind.clone()),
        ("slug", slug.clone()),
        ("machine", steps.machine.markdown(&versions)),
        ("networks-said", networks_said(&steps)),
        ("networks", comparison::table(&steps)),
        ("operations-said", operations_said(&operations)?),
        ("operations", operations::table(&operations)),
        ("roofline", rooflines(&roofline, &slug)),
    ];
    let before = if places.document.exists() { text(places.document)? } else { String::new() };
    let mut sections = Sections::of(&before);
    sections.put(&kind, &filled(&section, &parts)?);
    let page = filled(&page, &[("processors", sections.markdown())])?;
    if let Some(chart) = step_chart(&steps)? {
        files::write(&folder.join(format!("steps-{slug}.svg")), &chart)?;
    }
    for network in &roofline.networks {
        files::write(&folder.join(chart_name(network, &slug)), &roof_chart(network, &roofline)?)?;
    }
    files::write(places.document, &page)
}

/// All figures are to be of one build on one machine.
fn same(machines: [&Machine; 3]) -> Result<()> {
    let what = |machine: &Machine| {
        format!("{}, {} threads, commit {}", machine.processor, machine.threads, machine.commit)
    };
    let [steps, others @ ..] = machines.map(what);
    for (name, other) in ["operations.json", "roofline.json"].into_iter().zip(others) {
        if other != steps {
            bail!("steps.json ({steps}) and {name} ({other}) are not of one run; `make bench` measures all");
        }
    }
    Ok(())
}

/// Our sides with those that they are held against.
fn comparisons(sides: &[Side]) -> Vec<[usize; 2]> {
    let mut pairs = Vec::new();
    for (ours, side) in sides.iter().enumerate() {
        let others = sides.iter().enumerate().filter(|(_, other)| side.compares_with(other));
        pairs.extend(others.map(|(theirs, _)| [ours, theirs]));
    }
    pairs
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let logs: Vec<f64> = values.map(f64::ln).collect();
    (logs.iter().sum::<f64>() / logs.len() as f64).exp()
}

fn networks_said(results: &steps::Results) -> String {
    let sides = &results.plan.sides;
    let mut lines = Vec::new();
    for [ours, theirs] in comparisons(sides) {
        for batch in &results.plan.batches {
            let mut all = standings(results, ours, theirs);
            all.retain(|standing| standing.batch == *batch);
            all.sort_by(|a, b| a.step.total_cmp(&b.step));
            if let (Some(worst), Some(best)) = (all.first(), all.last()) {
                let whom = [&sides[ours].name, &sides[theirs].name].map(String::as_str);
                lines.push(compared(whom, *batch, &all, [worst, best]));
            }
        }
    }
    if lines.is_empty() {
        return "PyTorch was not measured in this run: `make bench VENV=FOLDER`.".into();
    }
    lines.join("\n")
}

fn compared(
    [ours, theirs]: [&str; 2],
    batch: usize,
    all: &[Standing],
    [worst, best]: [&Standing; 2],
) -> String {
    let faster = |value: fn(&Standing) -> f64| all.iter().filter(|one| value(one) >= 1.0).count();
    let count = all.len();
    format!(
        "- {ours} beside {theirs}, batches of {batch}, medians: a training step is at least as fast in {} of {count} \
         networks (ratio in the geometric mean {:.2}, from {:.2} for `{}` to {:.2} for `{}`), an evaluation in {} \
         ({:.2}); a step takes {:.2} times the memory.",
        faster(|one| one.step),
        mean(all.iter().map(|one| one.step)),
        worst.step,
        worst.model,
        best.step,
        best.model,
        faster(|one| one.evaluation),
        mean(all.iter().map(|one| one.evaluation)),
        mean(all.iter().map(|one| one.memory)),
    )
}

fn operations_said(results: &operations::Results) -> Result<String> {
    let mut lines = Vec::new();
    let listed = listed()?;
    for ours in results.columns.iter().filter(|column| column.side.who == Who::Ours && !column.is_oracle) {
        let others = results.columns.iter().filter(|other| {
            (other.is_oracle && other.side == ours.side) || ours.side.compares_with(&other.side)
        });
        for other in others {
            let mut found = Vec::new();
            for (field, direction) in [("forward_ms", "forward"), ("backward_ms", "backward")] {
                found.extend(listed.iter().filter_map(|one| {
                    let [ours, theirs] = [ours, other].map(|column| column.spread(&one.name, field));
                    Some((theirs?.min / ours?.min, format!("{}, {direction}", one.name)))
                }));
            }
            found.sort_by(|a, b| a.0.total_cmp(&b.0));
            let Some((least, which)) = found.first() else { continue };
            let name = if other.is_oracle { "burn's primitives" } else { "ATen" };
            let faster = found.iter().filter(|(ratio, _)| *ratio >= 1.0).count();
            lines.push(format!(
                "- {} beside {name}, minima: at least as fast in {faster} of {} (ratio in the geometric mean {:.2}); \
                 farthest behind: {which} ({least:.2}).",
                ours.side.name,
                found.len(),
                mean(found.iter().map(|(ratio, _)| *ratio)),
            ));
        }
    }
    Ok(lines.join("\n"))
}

fn chart_name(network: &roofline::Network, slug: &str) -> String {
    format!("roofline-{}-{slug}.svg", plain(&network.model))
}

/// A text as part of a file's name: its words in small letters.
fn plain(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_lowercase()
}

fn rooflines(results: &roofline::Results, slug: &str) -> String {
    let mut text = roofline::peaks(&results.peaks);
    for network in &results.networks {
        text.push_str(&format!(
            "\n#### {}, batches of {} at {} px\n\n{}\n\n![Roofline of a training step of {}]({})\n\n{}",
            network.model,
            network.batch,
            network.size,
            bound_said(network),
            network.model,
            chart_name(network, slug),
            roofline::markdown_of(network),
        ));
    }
    text
}

/// What takes the time, what bounds it, and where the most could be won.
fn bound_said(network: &roofline::Network) -> String {
    let parts: Vec<_> = network.kinds.iter().map(|kind| (kind, kind.both())).collect();
    let all: f64 = parts.iter().map(|(_, part)| part.ms).sum();
    let arithmetic: f64 = parts.iter().map(|(_, part)| part.arithmetic_ms).sum();
    let lost = |part: &roofline::Part| part.ms - part.roof_ms;
    let most = parts.iter().max_by(|a, b| lost(&a.1).total_cmp(&lost(&b.1)));
    let (Some((longest, part)), Some((far, above))) = (parts.first(), most) else { return String::new() };
    format!(
        "Arithmetic bounds {:.0} % of the time of its operations, memory {:.0} %. The longest kind is {} ({:.0} % of \
         it, at {:.0} % of its roof); the most time above its roof is spent in {} ({} ms).",
        100.0 * arithmetic / all,
        100.0 * (1.0 - arithmetic / all),
        longest.kind,
        100.0 * part.ms / all,
        100.0 * part.roof_ms / part.ms,
        far.kind,
        figure(lost(above)),
    )
}

fn roof_chart(network: &roofline::Network, results: &roofline::Results) -> Result<String> {
    let all: f64 = network.kinds.iter().map(|kind| kind.both().ms).sum();
    let works: Vec<Work> = network
        .kinds
        .iter()
        .map(|kind| {
            let part = kind.both();
            Work {
                name: kind.kind.clone(),
                intensity: 2.0 * part.operations / part.bytes,
                gflops: 2e-6 * part.operations / part.ms,
                share: part.ms / all,
            }
        })
        .collect();
    let roof = Roof { gflops: results.peaks.gflops(), gbs: results.peaks.gbs() };
    Ok(dygl_report::plot::roofline(&format!("a training step of {}", network.model), roof, &works)?)
}

/// Ratios of the first comparison at the smallest batch; none without PyTorch.
fn step_chart(results: &steps::Results) -> Result<Option<String>> {
    let Some([ours, theirs]) = comparisons(&results.plan.sides).first().copied() else { return Ok(None) };
    let Some(batch) = results.plan.batches.iter().min() else { return Ok(None) };
    let all = standings(results, ours, theirs).into_iter().filter(|one| one.batch == *batch);
    let bars: Vec<Ratio> =
        all.map(|one| Ratio { name: one.model, values: [one.step, one.evaluation] }).collect();
    let names = [ours, theirs].map(|side| results.plan.sides[side].name.as_str());
    let title = format!("Time of {} over that of {}, batches of {batch}", names[1], names[0]);
    Ok(Some(ratios(&title, ["training step", "evaluation"], &bars)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_name_only_places_that_there_are() {
        let page = include_str!("../../../doc/performance.in.md");
        let section = include_str!("../../../doc/performance.processor.in.md");
        let figures = ["machine", "networks-said", "networks", "operations-said", "operations", "roofline"];
        for (template, names) in [(page, &["processors"][..]), (section, &figures[..])] {
            let parts: Vec<_> =
                names.iter().chain(&["kind", "slug"]).map(|name| (*name, format!("<{name}>"))).collect();
            let text = filled(template, &parts).expect("every place is known");
            for name in names {
                assert_eq!(text.matches(&format!("<{name}>")).count(), 1, "{name}");
            }
        }
    }

    #[test]
    fn figures_of_other_runs_are_refused() {
        let here = Machine::here(2);
        let other = Machine { commit: "another".into(), ..here.clone() };
        assert!(same([&here, &here, &here]).is_ok());
        let error = same([&here, &here, &other]).expect_err("another commit").to_string();
        assert!(error.contains("roofline.json") && error.contains("make bench"), "{error}");
    }

    #[test]
    fn charts_are_told_apart_by_the_kind_of_machine() {
        let machine = Machine {
            processor: "Intel(R) Xeon(R) Processor (family 6, model 167)".into(),
            simd: "avx512".into(),
            ..Machine::here(2)
        };
        assert_eq!(plain(&machine.kind()), "intel-r-xeon-r-processor-family-6-model-167-avx512");
    }

    #[test]
    fn means_are_geometric() {
        assert!((mean([0.5, 2.0].into_iter()) - 1.0).abs() < 1e-12);
        let standing = |model: &str, step| Standing {
            model: model.into(),
            batch: 2,
            step,
            evaluation: 1.0,
            memory: 0.5,
        };
        let all = [standing("unet", 0.5), standing("dyglnet", 2.0)];
        let text = compared(["flex", "PyTorch"], 2, &all, [&all[0], &all[1]]);
        assert!(
            text.contains("in 1 of 2 networks (ratio in the geometric mean 1.00, from 0.50 for `unet`"),
            "{text}"
        );
        assert!(text.contains("an evaluation in 2 (1.00); a step takes 0.50 times the memory"), "{text}");
    }
}
