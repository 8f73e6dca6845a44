//! `dygl report`: tables on the terminal, Markdown, CSV, JSON, LaTeX and HTML,
//! all from the store. Never trains.

use dygl_base::exit::{Exit, Failure, OrExit};
use dygl_report::table::results::{CellResult, CellState, Reported, Results, short};
use dygl_report::table::{self, markup};
use dygl_spec::experiment::plain;
use dygl_spec::metric::Metric;
use dygl_spec::name::Named;
use dygl_spec::network::{self, Group};
use dygl_spec::plan::Plan;
use dygl_spec::protocol::Protocol;
use dygl_spec::{project, reported, schema};
use dygl_store::Problem;
use dygl_store::key::Key;
use dygl_store::key::revision;

use super::cards;
use super::context::{Chosen, Context};
use super::costs;
use super::finished::{finished, journals};
use super::read::{self, Reading, State};
use crate::cli::{Format, Report};

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
    let options = dygl_report::Options {
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
    let page = dygl_report::render(&all, &published, &options).or_exit(Exit::Environment)?;
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

fn results(
    context: &Context,
    chosen: &Chosen,
    published: &reported::Reported,
    readings: &[Reading],
) -> Result<Results, Failure> {
    let experiment = &chosen.experiment;
    Ok(Results {
        name: experiment.name.clone(),
        title: experiment.title.clone(),
        question: experiment.question.clone(),
        profile: experiment.profile.name.clone(),
        departures: experiment.departures.clone(),
        paper_table: (experiment.table.paper_table > 0).then_some(experiment.table.paper_table),
        kind: experiment.table.kind,
        arrange: experiment.table.arrange,
        metrics: experiment.table.metrics.clone(),
        cells: readings.iter().map(cell_result).collect(),
        datasets: cards::cards(context, chosen, published),
        costs: costs::cards(context, chosen, published, readings)?,
        marks: marks(chosen, readings),
        notes: experiment.warnings.clone(),
    })
}

/// Each setting with its values in the cells that are shown, in their order, and who
/// gave it. A table of datasets has no cells; its datasets have settings all the same.
fn marks(chosen: &Chosen, readings: &[Reading]) -> Vec<(String, String, String)> {
    let experiment = &chosen.experiment;
    let of_datasets = Plan::datasets(experiment);
    let mut protocols: Vec<&Protocol> =
        readings.iter().map(|reading| &*reading.planned.cell.protocol).collect();
    if protocols.is_empty() {
        let shown = of_datasets.iter().filter(|(dataset, ..)| chosen.datasets.contains(dataset));
        protocols.extend(shown.map(|(.., protocol)| protocol));
    }
    if protocols.is_empty() {
        protocols.push(&experiment.protocol);
    }
    protocols.dedup();
    let values = |path: &str| {
        let Some(setting) = schema::setting(path) else { return String::new() };
        let mut texts: Vec<String> = Vec::new();
        for protocol in &protocols {
            let text = plain(&setting.value(protocol));
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        texts.join(", ")
    };
    let marked = experiment.marks.iter();
    marked.map(|(path, mark)| (path.to_owned(), values(path), mark.word().to_owned())).collect()
}

fn cell_result(reading: &Reading) -> CellResult {
    let cell = &reading.planned.cell;
    let (state, journals) = match journals(&reading.state) {
        Ok(journals) => (state(reading), journals),
        Err(problem) => (altered(&problem), Vec::new()),
    };
    CellResult {
        cell: cell.clone(),
        label: reading.planned.label.clone(),
        model_label: reading.planned.model_label.clone(),
        settings: reading.planned.settings.iter().map(|(path, value)| (path.clone(), plain(value))).collect(),
        group: network::find(&cell.model.name).map_or(Group::Ours, |network| network.group),
        dataset_title: title(&cell.dataset),
        train_key: reading.train.as_ref().map(Key::to_string).unwrap_or_default(),
        eval_key: reading.evaluation.as_ref().map(|evaluation| evaluation.key().to_string()),
        state,
        journals,
    }
}

/// A dataset's name as the paper's tables print it; of phantoms what they are.
pub(super) fn title(dataset: &Named) -> String {
    if let Some(manifest) = dygl_datasets::manifest(&dataset.name) {
        return manifest.name.clone();
    }
    dygl_datasets::catalogue()
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
