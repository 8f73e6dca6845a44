//! How a lock is written: one line for each fact, in an order that does not depend on
//! what was accepted first, so that a diff shows what moved and nothing else.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use dygl_base::exit::{Exit, Failure};
use dygl_spec::metric::Metric;
use serde_json::Value as Json;

use super::{Lock, LockedCell, Place, images};

impl Lock {
    /// Writes it, whole or not at all, and its images beside it where `with_images`
    /// says so; images that are not kept any more are removed.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, place: &Place, with_images: bool) -> Result<(), Failure> {
        let beside = place.images();
        if with_images {
            replace(&beside, &images::write(self)?)?;
        }
        replace(place, &self.text())?;
        if !with_images && beside.path.is_file() {
            fs::remove_file(&beside.path).map_err(|error| at(&beside, &error))?;
        }
        Ok(())
    }

    /// The file as it is written; cells in the order of their names.
    pub fn text(&self) -> String {
        let mut out = format!(
            "# Accepted results of `{0}`, written by `dygl check {0} --accept`.\n\
             # Scores are means over the test images, 0..1. A check calls a result identical where\n\
             # the score of every image is the accepted one to the last bit (`scores_digest`), held\n\
             # where the mean is within the tolerance, else worse or better.\n\n\
             lock = {1}\nexperiment = {2}\nprofile = {3}\n",
            self.experiment,
            Self::FORMAT,
            quoted(&self.experiment),
            quoted(&self.profile)
        );
        for (metric, tolerance) in &self.tolerance {
            let _ =
                write!(out, "\n[tolerance.{}]\nabsolute = {}\n", metric.name(), number(tolerance.absolute));
            if tolerance.relative > 0.0 {
                let _ = writeln!(out, "relative = {}", number(tolerance.relative));
            }
        }
        let mut cells: Vec<&LockedCell> = self.cells.iter().collect();
        cells.sort_by(|a, b| a.identity.place().cmp(&b.identity.place()));
        cells.iter().for_each(|cell| write_cell(&mut out, cell));
        out
    }
}

fn write_cell(out: &mut String, cell: &LockedCell) {
    let identity = &cell.identity;
    let mut line = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            let _ = writeln!(out, "{key} = {value}");
        }
    };
    let text = |text: &Option<String>| text.as_deref().map(quoted);
    let count = |count: Option<u64>| count.map(|count| count.to_string());
    line("\n[[cell]]\nmodel", Some(quoted(&identity.model)));
    line("dataset", Some(quoted(&identity.dataset)));
    line("asked", text(&cell.asked));
    line("seed", Some(identity.seed.to_string()));
    line("pretrained", text(&identity.pretrained));
    line("numerics", Some(quoted(&cell.numerics)));
    line("simd", text(&cell.simd));
    line("threads", count(cell.threads));
    line("commit", text(&cell.commit));
    line("date", text(&cell.date));
    line("images", count(cell.images));
    line("groups", count(cell.groups));
    line("scores_digest", text(&cell.scores_digest));
    let keys = cell.keys.as_ref();
    line(
        "keys",
        keys.map(|k| format!("{{ train = {}, evaluation = {} }}", quoted(&k.train), quoted(&k.evaluation))),
    );
    // On one line: a score at the start of a line is a mean.
    line("tolerance", (!cell.tolerance.is_empty()).then(|| inline(&cell.tolerance)));
    if identity.settings.is_some() {
        out.push_str("\n[cell.settings]\n");
        for (path, value) in cell.settings() {
            let _ = writeln!(out, "{path} = {}", toml_value(&value));
        }
    }
    out.push_str("\n[cell.scores]\n");
    for (metric, value) in &cell.scores {
        let _ = writeln!(out, "{} = {}", metric.name(), number(*value));
    }
}

fn inline(values: &BTreeMap<Metric, f64>) -> String {
    let fields: Vec<String> =
        values.iter().map(|(metric, value)| format!("{} = {}", metric.name(), number(*value))).collect();
    format!("{{ {} }}", fields.join(", "))
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// The shortest text that reads back as the same number.
fn number(value: f64) -> String {
    toml::Value::Float(value).to_string()
}

fn toml_value(value: &Json) -> String {
    match value {
        Json::String(text) => quoted(text),
        Json::Number(n) if n.is_f64() => number(n.as_f64().unwrap_or(f64::NAN)),
        Json::Array(items) => {
            format!("[{}]", items.iter().map(toml_value).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// Puts a text into a file's place, whole or not at all.
fn replace(place: &Place, text: &str) -> Result<(), Failure> {
    let folder = place.path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|error| at(place, &error))?;
    dygl_base::atomic::write(&place.path, text.as_bytes()).map_err(|error| at(place, &error))
}

fn at(place: &Place, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Environment, format!("{} cannot be written: {error}", place.shown))
}
