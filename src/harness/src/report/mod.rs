//! The HTML report: one self-contained page (style, figures and pictures
//! inline, no script, no network) and the tables as files beside it.
//!
//! The page is a template with a `Serialize` context; the context is made
//! here from verified results, and nothing here reads the store.

pub mod audit;
mod format;
mod lettering;
mod overlay;
mod page;
mod protocol;
mod provenance;
mod section;
pub mod sheet;
mod write;

use std::path::PathBuf;

pub use overlay::{OverlayError, overlay};

use crate::plot::PlotError;
use crate::table::markup::MarkupError;
use crate::table::results::{Reported, Results};

const TEMPLATE: &str = include_str!("../../../../reports/templates/index.html");
const STYLE: &str = include_str!("../../../../reports/assets/report.css");
/// The ending makes tera escape every value that is not marked safe.
const PAGE: &str = "index.html";

/// How to report.
#[derive(Debug, Clone)]
pub struct Options {
    /// Also embed images of datasets that may not be redistributed.
    pub embed_images: bool,
    /// Folder of the report; made where it does not exist.
    pub out: PathBuf,
    /// Program and version, for the foot of the page.
    pub generated_by: String,
}

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error("failed to write the report to {}", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("failed to fill the template of the report")]
    Template(#[from] tera::Error),
    #[error(transparent)]
    Markup(#[from] MarkupError),
    #[error(transparent)]
    Plot(#[from] PlotError),
    #[error(transparent)]
    Overlay(#[from] OverlayError),
}

/// Writes `index.html` and, for each of `results`, `<name>.md`, `<name>.csv`
/// and `<name>.json` into `options.out`. Each file appears whole or not at
/// all; the page comes last, so that it never links to what is not there.
/// Returns the path of the page.
pub fn render(
    results: &[Results],
    reported: &dyn Reported,
    options: &Options,
) -> Result<PathBuf, ReportError> {
    let (page, files) = page::page(results, reported, options)?;
    let html = fill(&page)?;
    write::folder(&options.out)?;
    for (name, content) in &files {
        write::file(&options.out, name, content)?;
    }
    write::file(&options.out, PAGE, &html)
}

fn fill(page: &page::Page) -> Result<String, ReportError> {
    let mut tera = tera::Tera::default();
    tera.add_raw_template(PAGE, TEMPLATE)?;
    let mut context = tera::Context::from_serialize(page)?;
    context.insert("style", STYLE);
    Ok(tera.render(PAGE, &context)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::results::{CellState, SampleImages};
    use crate::table::samples::{self, Paper};

    fn options(out: PathBuf) -> Options {
        Options { embed_images: false, out, generated_by: "dygl 0.1.0 <test>".into() }
    }

    fn html(results: &[Results], embed_images: bool) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let options = Options { embed_images, ..options(folder.path().join("new/report")) };
        let page = render(results, &Paper, &options).expect("rendered");
        std::fs::read_to_string(page).expect("written")
    }

    #[test]
    fn the_page_is_self_contained_and_its_files_are_beside_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let page = render(&[samples::mixed(), samples::smoke()], &Paper, &options(folder.path().into()));
        let text = std::fs::read_to_string(page.expect("rendered")).expect("written");
        let mut names: Vec<_> = std::fs::read_dir(folder.path())
            .expect("readable")
            .map(|entry| entry.expect("readable").file_name().into_string().expect("UTF-8"))
            .collect();
        names.sort();
        let expected =
            ["index.html", "smoke.csv", "smoke.json", "smoke.md", "table2.csv", "table2.json", "table2.md"];
        assert_eq!(names, expected);
        let outside =
            regex::Regex::new(r#"(src|href)="(https?:|//|/)|url\(|<script|@import"#).expect("valid");
        assert!(!outside.is_match(&text));
    }

    #[test]
    fn links_inside_the_page_lead_somewhere() {
        let text = html(&[samples::mixed(), samples::done()], false);
        let ids = regex::Regex::new(r#" id="([^"]+)""#).expect("valid");
        let ids: Vec<&str> = ids.captures_iter(&text).map(|c| c.extract::<1>().1[0]).collect();
        let mut distinct = ids.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), ids.len(), "an id is given twice");
        let links = regex::Regex::new(r##" href="#([^"]+)""##).expect("valid");
        for link in links.captures_iter(&text) {
            assert!(ids.contains(&&link[1]), "{} leads nowhere", &link[1]);
        }
    }

    #[test]
    fn everything_from_outside_is_escaped() {
        let evil = "<img src=x onerror=alert(1)>\"'&";
        let mut results = samples::mixed();
        results.title = evil.into();
        results.question = evil.into();
        results.marks.push((evil.into(), evil.into(), evil.into()));
        for cell in &mut results.cells {
            cell.label = evil.into();
            cell.train_key = evil.into();
            if let CellState::Missing { reason } = &mut cell.state {
                *reason = evil.into();
            }
        }
        samples::each_finished(&mut results, |f| {
            f.train.provenance.host = evil.into();
            f.eval.provenance.device = evil.into();
            f.samples.iter_mut().for_each(|s: &mut SampleImages| s.sample.id = evil.into());
        });
        assert!(!html(&[results], false).contains("<img src=x"));
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
    fn the_same_input_gives_the_same_page() {
        assert_eq!(html(&[samples::mixed()], false), html(&[samples::mixed()], false));
    }

    #[test]
    fn a_shared_cell_has_one_section() {
        let mut other = samples::done();
        other.name = "other".into();
        let text = html(&[samples::done(), other], false);
        assert_eq!(text.matches("<article").count(), 3);
    }

    #[test]
    fn an_altered_cell_shows_nothing_but_the_reason() {
        let mut results = samples::done();
        results.cells.truncate(1);
        results.cells[0].state = CellState::Altered { file: "record.json".into() };
        let text = html(&[results], false);
        assert!(text.contains("stored bytes of record.json do not match"));
        assert!(!text.contains("<article"));
    }

    #[test]
    fn names_that_collide_do_not_overwrite() {
        let folder = tempfile::tempdir().expect("a folder");
        render(&[samples::done(), samples::mixed()], &Paper, &options(folder.path().into()))
            .expect("rendered");
        assert!(folder.path().join("table2-2.csv").is_file());
    }

    /// Writes a report for a person to look at: set `DYGL_REPORT_PREVIEW` to
    /// a folder.
    #[test]
    fn preview() {
        let Ok(folder) = std::env::var("DYGL_REPORT_PREVIEW") else {
            println!("skipped: DYGL_REPORT_PREVIEW is not set");
            return;
        };
        let all = [samples::mixed(), samples::smoke(), samples::seeds()];
        render(&all, &Paper, &options(folder.into())).expect("rendered");
    }
}
