//! `dygl report`: tables on the terminal, Markdown, CSV, JSON and HTML, all
//! from the store. Never trains.

use image::ImageFormat;

use super::context::{Chosen, Context};
use super::read::{self, Done, Reading, State};
use crate::cli::{Format, Report};
use crate::data;
use crate::exit::{Exit, Failure, OrExit};
use crate::key::revision;
use crate::metric::Metric;
use crate::spec::Experiment;
use crate::spec::name::Named;
use crate::spec::network::{self, Group};
use crate::spec::reported;
use crate::store::Attempt;
use crate::store::record::{HistoryRow, ImageScores};
use crate::table::results::{CellResult, CellState, Finished, Reported, Results, SampleImages, short};
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
        all.push(results(chosen, &of_experiment));
        readings.extend(of_experiment);
    }
    let options = crate::report::Options {
        embed_images: arguments.embed_images,
        out: arguments.out.clone(),
        generated_by: format!(
            "dygl {} ({}{})",
            env!("CARGO_PKG_VERSION"),
            short(revision::COMMIT),
            if revision::DIRTY { ", uncommitted changes" } else { "" }
        ),
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

fn results(chosen: &Chosen, readings: &[Reading]) -> Results {
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
    Results {
        name: experiment.name.clone(),
        title: experiment.title.clone(),
        question: experiment.question.clone(),
        profile: experiment.profile.name.clone(),
        paper_profile: experiment.departures.is_empty(),
        paper_table: (experiment.table.paper_table > 0).then_some(experiment.table.paper_table),
        metrics: experiment.table.metrics.clone(),
        cells: readings.iter().map(cell_result).collect(),
        marks,
        notes: experiment.warnings.clone(),
    }
}

fn cell_result(reading: &Reading) -> CellResult {
    let cell = &reading.planned.cell;
    let text = |preimage: &Option<crate::key::Preimage>| preimage.as_ref().map(|p| p.key().to_string());
    CellResult {
        cell: cell.clone(),
        label: reading.planned.label.clone(),
        group: network::find(&cell.model.name).map_or(Group::Ours, |network| network.group),
        dataset_title: title(&cell.dataset),
        train_key: text(&reading.train).unwrap_or_default(),
        eval_key: text(&reading.evaluation),
        state: state(reading),
    }
}

fn title(dataset: &Named) -> String {
    data::catalogue()
        .into_iter()
        .find(|entry| entry.id == dataset.name)
        .map_or_else(|| dataset.to_string(), |entry| entry.title)
}

fn state(reading: &Reading) -> CellState {
    let altered =
        |problem: crate::store::Problem| CellState::Altered { file: problem.path().display().to_string() };
    match &reading.state {
        State::Done(done) => match finished(done) {
            Ok(finished) => CellState::Done(Box::new(finished)),
            Err(problem) => altered(problem),
        },
        State::Conflict(all) => match all.iter().map(finished).collect() {
            Ok(finished) => CellState::Conflict(finished),
            Err(problem) => altered(problem),
        },
        State::Failed { outcome, attempt } => {
            CellState::Failed { outcome: outcome.clone(), attempt: Some(attempt.short().to_owned()) }
        }
        State::Altered { file } => CellState::Altered { file: file.clone() },
        State::Stale(_) | State::Missing(_) => CellState::Missing { reason: reading.reason() },
    }
}

/// Everything that the report shows of a result, verified as it is read.
fn finished(done: &Done) -> Result<Finished, crate::store::Problem> {
    let samples = done
        .eval
        .samples
        .iter()
        .map(|sample| {
            let picture =
                |kind: &str| png(&done.eval_attempt, &format!("samples/{}.{kind}.png", sample.file));
            Ok(SampleImages {
                sample: sample.clone(),
                image: Some(picture("image")?.into_rgb8()),
                truth: picture("truth")?.into_luma8(),
                prediction: picture("prediction")?.into_luma8(),
            })
        })
        .collect::<Result<_, _>>()?;
    Ok(Finished {
        train: done.train.clone(),
        eval: done.eval.clone(),
        attempt: done.eval_attempt.short().to_owned(),
        history: rows(&done.train_attempt, "history.csv")?,
        per_image: scores(&done.eval_attempt)?,
        samples,
    })
}

fn png(attempt: &Attempt, name: &str) -> Result<image::DynamicImage, crate::store::Problem> {
    let bytes = attempt.read(name)?;
    image::load_from_memory_with_format(&bytes, ImageFormat::Png)
        .map_err(|error| unreadable(attempt, name, &error))
}

fn rows(attempt: &Attempt, name: &str) -> Result<Vec<HistoryRow>, crate::store::Problem> {
    let bytes = attempt.read(name)?;
    csv::Reader::from_reader(bytes.as_slice())
        .deserialize()
        .collect::<Result<_, _>>()
        .map_err(|error| unreadable(attempt, name, &error))
}

fn scores(attempt: &Attempt) -> Result<Vec<ImageScores>, crate::store::Problem> {
    let name = "per_image.csv";
    let bytes = attempt.read(name)?;
    let mut reader = csv::Reader::from_reader(bytes.as_slice());
    let header = reader.headers().map_err(|error| unreadable(attempt, name, &error))?.clone();
    let mut images = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| unreadable(attempt, name, &error))?;
        let scores = Metric::ALL
            .iter()
            .filter_map(|metric| {
                let column = header.iter().position(|title| title == metric.name())?;
                Some((*metric, record.get(column)?.parse().ok()?))
            })
            .collect();
        images.push(ImageScores { id: record.get(0).unwrap_or_default().to_owned(), scores });
    }
    Ok(images)
}

fn unreadable(attempt: &Attempt, name: &str, error: &dyn std::fmt::Display) -> crate::store::Problem {
    crate::store::Problem::Unreadable { path: attempt.folder().join(name), message: error.to_string() }
}
