//! `dygl report`: tables on the terminal, Markdown, CSV, JSON, LaTeX and HTML,
//! all from the store. Never trains.

use super::cards;
use super::context::{Chosen, Context};
use super::costs;
use super::finished::{finished, journals};
use super::read::{self, Reading, State};
use crate::cli::{Format, Report};
use crate::data;
use crate::exit::{Exit, Failure, OrExit};
use crate::key::revision;
use crate::metric::Metric;
use crate::spec::Experiment;
use crate::spec::name::Named;
use crate::spec::network::{self, Group};
use crate::spec::project;
use crate::spec::reported;
use crate::store::Problem;
use crate::table::results::{CellResult, CellState, Reported, Results, short};
use crate::table::{self, markup};

/// The numbers of the paper, as the tables ask for them.
struct Published(&'static reported::Reported);

impl Reported for Published {
    fn value(&self, table: u8, dataset: &str, model: &Named, metric: Metric) -> Option<String> {
        self.0.value(table, dataset, model, metric.name()).map(ToString::to_string)
    }
}

pub fn report(arguments: &Report) -> Result<Exit, Failure> {
    let selection = &arguments.selection;
    let context = Context::load(selection)?;
    let published = Published(reported::embedded().or_exit(Exit::Usage)?);
    let mut all = Vec::new();
    let mut readings = Vec::new();
    for chosen in &context.chosen {
        let of_experiment = read::cells(&context, selection, &chosen.cells).or_exit(Exit::Environment)?;
        all.push(results(&context, chosen, published.0, &of_experiment)?);
        // A table of costs is whole without a single run.
        let may_lack = chosen.experiment.table.kind.is_of_costs();
        readings.extend(of_experiment.into_iter().filter(|reading| !may_lack || !reading.is_open()));
    }
    let store = &selection.common.store;
    let options = crate::report::Options {
        embed_images: arguments.embed_images,
        out: arguments.out.clone(),
        generated_by: format!(
            "dygl {} ({}{})",
            env!("CARGO_PKG_VERSION"),
            short(revision::COMMIT),
            if revision::DIRTY { ", uncommitted changes" } else { "" }
        ),
        store: (*store != project::store()).then(|| store.display().to_string()),
    };
    let page = crate::report::render(&all, &published, &options).or_exit(Exit::Environment)?;
    if selection.common.format == Format::Json {
        let tables: Vec<_> = all.iter().map(|results| table::build(results, &published)).collect();
        super::answer_json(&serde_json::json!({ "page": page, "tables": tables }))?;
    } else {
        let style = markup::Style { ansi: super::colour_out(), width: None };
        for results in &all {
            super::answer(&markup::terminal(&table::build(results, &published), style));
        }
        let absolute = page.canonicalize().unwrap_or(page);
        super::answer(&format!("report: {}", absolute.display()));
    }
    Ok(read::exit_of(&readings))
}

/// Why a cell's numbers may not stand beside the paper's; none if they may.
pub(super) fn not_the_papers(experiment: &Experiment, reading: &Reading) -> Option<String> {
    let cell = &reading.planned.cell;
    if let Some(departure) = experiment.departures.first() {
        return Some(departure.to_string());
    }
    if cell.is_substituted() {
        return Some(format!("{} in the place of {}", cell.dataset, cell.asked));
    }
    match &reading.state {
        State::Done(done) => {
            let facts = done.eval.dataset.as_ref()?;
            facts.is_partial().then(|| format!("{} of {} images", facts.images, facts.expected))
        }
        _ => None,
    }
}

fn results(
    context: &Context,
    chosen: &Chosen,
    published: &reported::Reported,
    readings: &[Reading],
) -> Result<Results, Failure> {
    let experiment = &chosen.experiment;
    let values = serde_json::to_value(&experiment.protocol).unwrap_or_default();
    let marks = experiment
        .marks
        .iter()
        .map(|(path, mark)| {
            let leaf = path.split('.').fold(&values, |value, name| &value[name]);
            let text = leaf.as_str().map_or_else(|| leaf.to_string(), str::to_owned);
            (path.to_owned(), text, mark.word().to_owned())
        })
        .collect();
    Ok(Results {
        name: experiment.name.clone(),
        title: experiment.title.clone(),
        question: experiment.question.clone(),
        profile: experiment.profile.name.clone(),
        paper_profile: experiment.departures.is_empty(),
        paper_table: (experiment.table.paper_table > 0).then_some(experiment.table.paper_table),
        kind: experiment.table.kind,
        arrange: experiment.table.arrange,
        metrics: experiment.table.metrics.clone(),
        cells: readings.iter().map(cell_result).collect(),
        datasets: cards::cards(context, chosen, published),
        costs: costs::cards(context, chosen, published, readings)?,
        marks,
        notes: experiment.warnings.clone(),
    })
}

fn cell_result(reading: &Reading) -> CellResult {
    let cell = &reading.planned.cell;
    let text = |preimage: &Option<crate::key::Preimage>| preimage.as_ref().map(|p| p.key().to_string());
    let (state, journals) = match journals(&reading.state) {
        Ok(journals) => (state(reading), journals),
        Err(problem) => (altered(&problem), Vec::new()),
    };
    CellResult {
        cell: cell.clone(),
        label: reading.planned.label.clone(),
        group: network::find(&cell.model.name).map_or(Group::Ours, |network| network.group),
        dataset_title: title(&cell.dataset),
        train_key: text(&reading.train).unwrap_or_default(),
        eval_key: text(&reading.evaluation),
        state,
        journals,
    }
}

/// A dataset's name as the paper's tables print it; of phantoms what they are.
pub(super) fn title(dataset: &Named) -> String {
    if let Some(manifest) = data::manifest(&dataset.name) {
        return manifest.name.clone();
    }
    data::catalogue()
        .into_iter()
        .find(|entry| entry.id == dataset.name)
        .map_or_else(|| dataset.to_string(), |entry| entry.title)
}

fn altered(problem: &Problem) -> CellState {
    CellState::Altered { file: problem.path().display().to_string() }
}

fn state(reading: &Reading) -> CellState {
    match &reading.state {
        State::Done(done) => match finished(done) {
            Ok(finished) => CellState::Done(Box::new(finished)),
            Err(problem) => altered(&problem),
        },
        State::Conflict(all) => match all.iter().map(finished).collect() {
            Ok(finished) => CellState::Conflict(finished),
            Err(problem) => altered(&problem),
        },
        State::Failed { outcome, attempt } => {
            CellState::Failed { outcome: outcome.clone(), attempt: Some(attempt.short().to_owned()) }
        }
        State::Altered { file } => CellState::Altered { file: file.clone() },
        State::Stale(_) | State::Missing(_) => CellState::Missing { reason: reading.reason() },
    }
}
