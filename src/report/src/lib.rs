//! The HTML report: an index page with the tables, a page for each run, and
//! the tables as files beside them. Every page is self-contained (style,
//! figures and pictures inline, no script, no network).
//!
//! A page is a template with a `Serialize` context; the context is made here
//! from verified results, and nothing here reads the store.

mod attempt;
pub mod audit;
pub mod claims;
mod figures;
mod format;
mod lettering;
mod page;
mod picture;
pub mod plot;
mod protocol;
mod provenance;
mod run;
pub mod sheet;
pub mod table;
mod write;

use std::collections::HashMap;
use std::path::PathBuf;

use rayon::prelude::*;

pub use format::utc;
pub use picture::PictureError;

use crate::plot::PlotError;
use crate::table::markup::MarkupError;
use crate::table::results::{PAGES, Reported, Results};

const INDEX_TEMPLATE: &str = include_str!("../../../reports/templates/index.html");
const RUN_TEMPLATE: &str = include_str!("../../../reports/templates/run.html");
/// What every page begins with.
const HEAD: (&str, &str) = ("head.html", include_str!("../../../reports/templates/head.html"));
const STYLE: &str = include_str!("../../../reports/assets/report.css");
/// The endings make tera escape every value that is not marked safe.
const INDEX: &str = "index.html";
const RUN: &str = "run.html";

/// How to report.
#[derive(Debug, Clone)]
pub struct Options {
    /// Also embed images of datasets that may not be redistributed.
    pub embed_images: bool,
    /// Folder of the report; made where it does not exist.
    pub out: PathBuf,
    /// Program and version, for the foot of the pages.
    pub generated_by: String,
    /// `--store` of the commands that the pages name; none for the default.
    pub store: Option<String>,
}

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file or folder of the report cannot be written.
    #[error("failed to write the report to {}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A page cannot be made of its template.
    #[error("failed to fill the template of the report")]
    Template(#[from] tera::Error),
    /// A table cannot be written in a notation.
    #[error(transparent)]
    Markup(#[from] MarkupError),
    /// A figure cannot be drawn.
    #[error(transparent)]
    Plot(#[from] PlotError),
    /// A picture of a page cannot be made.
    #[error(transparent)]
    Picture(#[from] PictureError),
}

/// Writes into `options.out`: a page for each run below [`PAGES`], for each of
/// `results` its table in every notation that has files and its figures, and
/// `index.html`.
/// Each file appears whole or not at all; the index comes last, so that it
/// never links to what is not there. Returns its path.
pub fn render(
    results: &[Results],
    reported: &dyn Reported,
    options: &Options,
) -> Result<PathBuf, ReportError> {
    let templates = templates()?;
    let (page, files) = page::page(results, reported, options)?;
    let index = fill(&templates, INDEX, &page)?;
    write::folder(&options.out)?;
    let cells = page::distinct(results);
    let places = places(results, &page);
    if cells.iter().any(|cell| cell.page().is_some()) {
        write::folder(&options.out.join(PAGES))?;
    }
    cells.par_iter().try_for_each(|cell| {
        let Some((path, page)) =
            run::run(cell, places.get(&cell.anchor()).map_or(&[], Vec::as_slice), options)?
        else {
            return Ok(());
        };
        write::file(&options.out, &path, &fill(&templates, RUN, &page)?).map(|_| ())
    })?;
    for (name, content) in files {
        write::bytes(&options.out, &name, &dygl_base::signature::signed(content))?;
    }
    write::file(&options.out, INDEX, &index)
}

/// The experiments that show each cell, with their ids on the index page.
fn places<'a>(results: &'a [Results], page: &page::Page) -> HashMap<String, Vec<(&'a Results, String)>> {
    let mut places: HashMap<String, Vec<(&Results, String)>> = HashMap::new();
    for (one, name) in results.iter().zip(page.names()) {
        for cell in &one.cells {
            let shown_in = places.entry(cell.anchor()).or_default();
            if shown_in.last().is_none_or(|(_, last)| last != name) {
                shown_in.push((one, name.to_owned()));
            }
        }
    }
    places
}

fn templates() -> Result<tera::Tera, ReportError> {
    let mut tera = tera::Tera::default();
    tera.add_raw_templates([HEAD, (INDEX, INDEX_TEMPLATE), (RUN, RUN_TEMPLATE)])?;
    Ok(tera)
}

fn fill(templates: &tera::Tera, name: &str, page: &impl serde::Serialize) -> Result<String, ReportError> {
    let mut context = tera::Context::from_serialize(page)?;
    context.insert("style", STYLE);
    Ok(templates.render(name, &context)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::table::datasets::Here;
    use crate::table::results::{CellState, SampleImages};
    use crate::table::samples::{self, Paper};

    fn options(out: PathBuf) -> Options {
        Options { embed_images: false, out, generated_by: "dygl 0.1.0 <test>".into(), store: None }
    }

    /// Every HTML page of a report by its path.
    fn pages(results: &[Results], embed_images: bool) -> BTreeMap<String, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("new/report");
        let options = Options { embed_images, ..options(out.clone()) };
        let index = render(results, &Paper, &options).expect("rendered");
        assert_eq!(index, out.join(INDEX));
        let mut pages = BTreeMap::new();
        for (prefix, folder) in [("", out.clone()), ("runs/", out.join(PAGES))] {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.expect("readable").path();
                if path.extension().is_some_and(|e| e == "html") {
                    let name = path.file_name().and_then(|n| n.to_str()).expect("UTF-8");
                    let text = std::fs::read_to_string(&path).expect("written");
                    pages.insert(format!("{prefix}{name}"), text);
                }
            }
        }
        pages
    }

    /// All pages as one text.
    fn html(results: &[Results], embed_images: bool) -> String {
        pages(results, embed_images).into_values().collect()
    }

    #[test]
    fn every_page_is_self_contained_and_the_files_are_beside_the_index() {
        let folder = tempfile::tempdir().expect("a folder");
        let all = [samples::mixed(), samples::smoke(), samples::datasets()];
        render(&all, &Paper, &options(folder.path().into())).expect("rendered");
        let mut names: Vec<_> = std::fs::read_dir(folder.path())
            .expect("readable")
            .map(|entry| entry.expect("readable").file_name().into_string().expect("UTF-8"))
            .collect();
        names.sort();
        let mut expected = vec!["index.html".to_owned(), "runs".to_owned()];
        for table in ["smoke", "table1", "table2"] {
            expected.extend(["csv", "include.tex", "json", "md", "tex"].map(|end| format!("{table}.{end}")));
        }
        expected.sort();
        assert_eq!(names, expected);
        let outside =
            regex::Regex::new(r#"(src|href)="(https?:|//|/)|url\(|<script|@import"#).expect("valid");
        for (name, text) in pages(&all, false) {
            assert!(!outside.is_match(&text), "{name}");
        }
    }

    #[test]
    fn links_lead_somewhere() {
        let mut table4 = samples::beside();
        table4.cells.extend(samples::seeds().cells);
        let pages = pages(&[samples::mixed(), samples::done(), table4, samples::datasets()], false);
        let ids = regex::Regex::new(r#" id="([^"]+)""#).expect("valid");
        let links = regex::Regex::new(r#" href="([^"]+)""#).expect("valid");
        let ids_of =
            |text: &str| -> Vec<String> { ids.captures_iter(text).map(|c| c[1].to_owned()).collect() };
        let mut to_pages = 0;
        for (name, text) in &pages {
            let mut distinct = ids_of(text);
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!(distinct.len(), ids_of(text).len(), "{name}: an id is given twice");
            for link in links.captures_iter(text) {
                let (path, id) = link[1].split_once('#').unwrap_or((&link[1], ""));
                let path = match path {
                    "" => name,
                    path => path.strip_prefix("../").unwrap_or(path),
                };
                if !path.ends_with(".html") {
                    continue;
                }
                to_pages += usize::from(path != name);
                let target = pages.get(path).unwrap_or_else(|| panic!("{name}: {path} is not there"));
                assert!(id.is_empty() || ids_of(target).iter().any(|known| known == id), "{name}: #{id}");
            }
        }
        assert!(to_pages > 50, "{to_pages}");
    }

    #[test]
    fn everything_from_outside_is_escaped() {
        let evil = "<img src=x onerror=alert(1)>\"'&";
        let mut results = samples::mixed();
        results.title = evil.into();
        results.question = evil.into();
        results.profile = evil.into();
        results.marks.push((evil.into(), evil.into(), evil.into()));
        for cell in &mut results.cells {
            cell.label = evil.into();
            cell.train_key = evil.into();
            cell.dataset_title = evil.into();
            for journal in &mut cell.journals {
                journal.tail = vec![evil.into()];
                journal.events = vec![(evil.into(), 1)];
            }
            if let CellState::Missing { reason } = &mut cell.state {
                *reason = evil.into();
            }
        }
        samples::each_finished(&mut results, |f| {
            f.train.provenance.host = evil.into();
            f.eval.provenance.device = evil.into();
            f.per_image[0].id = evil.into();
            f.samples.iter_mut().for_each(|s: &mut SampleImages| s.sample.id = evil.into());
        });
        let mut datasets = samples::datasets();
        datasets.datasets[0].title = evil.into();
        datasets.datasets[2].here = Here::Damaged { reason: evil.into() };
        let text = html(&[results, datasets], false);
        assert!(!text.contains("<img src=x") && text.contains("&lt;img src=x"));
    }

    #[test]
    fn restricted_images_are_embedded_only_on_demand() {
        let (without, with) = (html(&[samples::smoke()], false), html(&[samples::smoke()], true));
        assert!(without.contains("may not be shown") && !with.contains("may not be shown"));
        assert!(without.contains("data:image/png"));
        assert_ne!(without, with);
    }

    #[test]
    fn trivial_predictors_are_compared() {
        let text = html(&[samples::smoke()], false);
        assert!(text.contains("does not beat"), "mean mask at 90 % beats the first network");
        assert!(!html(&[samples::done()], false).contains("does not beat"));
    }

    #[test]
    fn the_same_input_gives_the_same_pages() {
        assert_eq!(pages(&[samples::mixed()], false), pages(&[samples::mixed()], false));
    }

    #[test]
    fn a_shared_cell_has_one_page_that_names_both_tables() {
        let mut other = samples::done();
        other.name = "other".into();
        let mut pages = pages(&[samples::done(), other], false);
        assert_eq!(pages.len(), 1 + 3);
        pages.remove(INDEX);
        for (name, text) in pages {
            assert!(text.contains("../index.html#table2") && text.contains("../index.html#other"), "{name}");
        }
    }

    #[test]
    fn a_runs_page_tells_the_whole_run() {
        let results = samples::done();
        let cell = &results.cells[0];
        let page = cell.page().expect("a page");
        let text = &pages(std::slice::from_ref(&results), false)[&page];
        for expected in [
            "train.batch_size", // configuration, with its mark
            "assumed",
            &cell.train_key, // provenance, keys in full
            "35ce58c0a1b2c3d4e5f60718293a4b5c6d7e8f90",
            "Gradient norm",       // curves
            "Spec of an image, %", // distributions
            "cju000&lt;",          // every image
            "predictors that look at no image",
            "slow&gt; disk", // the log's tail
            "epoch 200, checkpoint 3",
            &format!("dygl reproduce {}", &cell.train_key[..12]),
        ] {
            assert!(text.contains(expected), "{expected} is missing");
        }
        assert_eq!(text.matches("<svg").count(), 4 + 6);
        assert_eq!(text.matches("data:image/png").count(), 3);
    }

    #[test]
    fn a_failed_run_has_a_page_with_its_reason_and_log() {
        let results = samples::mixed();
        let failed = results.cells.iter().find(|c| c.state.word() == "diverged").expect("one diverged");
        let text = &pages(std::slice::from_ref(&results), false)[&failed.page().expect("a page")];
        assert!(text.contains("loss is NaN &lt;after&gt; step 12") && text.contains("slow&gt; disk"));
        assert!(!text.contains("<article") && !text.contains("dygl reproduce"));
    }

    #[test]
    fn an_altered_cell_shows_nothing_but_the_reason() {
        let mut results = samples::done();
        results.cells.truncate(1);
        results.cells[0].state = CellState::Altered { file: "record.json".into() };
        let pages = pages(&[results], false);
        assert_eq!(pages.keys().collect::<Vec<_>>(), [INDEX]);
        assert!(pages[INDEX].contains("stored bytes of record.json do not match"));
    }

    #[test]
    fn names_that_collide_do_not_overwrite() {
        let folder = tempfile::tempdir().expect("a folder");
        render(&[samples::done(), samples::mixed()], &Paper, &options(folder.path().into()))
            .expect("rendered");
        assert!(folder.path().join("table2-2.csv").is_file());
    }

    /// The paper's whole matrix with three seeds: 273 runs.
    #[test]
    fn hundreds_of_runs_leave_the_index_light() {
        let results = [samples::matrix()];
        assert_eq!(results[0].cells.len(), 13 * 7 * 3);
        let started = std::time::Instant::now();
        let folder = tempfile::tempdir().expect("a folder");
        let index = render(&results, &Paper, &options(folder.path().into())).expect("rendered");
        let text = std::fs::read_to_string(index).expect("written");
        let runs = std::fs::read_dir(folder.path().join(PAGES)).expect("pages").count();
        println!("{} runs: index of {} bytes, all written in {:?}", runs, text.len(), started.elapsed());
        assert_eq!(runs, 273);
        assert!(text.len() < 1_000_000, "{}", text.len());
        assert!(!text.contains("data:image") && !text.contains("<svg"));
    }

    /// Writes a report for a person to look at: set `DYGL_REPORT_PREVIEW` to
    /// a folder.
    #[test]
    fn preview() {
        let Ok(folder) = std::env::var("DYGL_REPORT_PREVIEW") else {
            println!("skipped: DYGL_REPORT_PREVIEW is not set");
            return;
        };
        let all =
            [samples::mixed(), samples::smoke(), samples::beside(), samples::seeds(), samples::datasets()];
        render(&all, &Paper, &options(folder.into())).expect("rendered");
    }
}
