//! The folder of the outputs: what is there from an earlier call, what may be
//! written, and the two files that say what everything is.
//!
//! While a call is under way `.predicting.jsonl` holds who predicts and a line
//! for each image that is done; a call that was stopped is taken up from it.
//! At the end it becomes `predictions.csv` and `provenance.json`.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use dygl_base::exit::{Exit, Failure};
use dygl_exec::predict::{Outputs, Picture, Prediction};
use dygl_spec::metric::Metric;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(super) use dygl_datasets::outputs::{JOURNAL, PROVENANCE, TABLE};

/// One line of `predictions.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) prediction: Option<Prediction>,
    pub(super) name: String,
    pub(super) file: PathBuf,
    /// Why there are no outputs; empty if there are.
    pub(super) problem: String,
}

impl Row {
    pub(super) fn done(prediction: Prediction) -> Self {
        let (name, file) = (prediction.name.clone(), prediction.file.clone());
        Self { prediction: Some(prediction), name, file, problem: String::new() }
    }

    pub(super) fn failed(name: String, file: PathBuf, problem: String) -> Self {
        Self { prediction: None, name, file, problem }
    }
}

/// An output folder that this process alone writes to.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    outputs: Outputs,
    journal: File,
    /// Whether the journal of a stopped call was there.
    was_stopped: bool,
    /// Rows by name: of earlier calls, and of this one.
    rows: BTreeMap<String, Row>,
}

impl Folder {
    /// Opens the folder for a predictor and says which pictures are still to
    /// be done. `identity` holds all that the outputs depend on.
    ///
    /// # Errors
    /// Exit 2 if files that another call left would be overwritten and `force`
    /// is not given, or if another process is at work there; exit 3 if it
    /// cannot be written.
    pub(super) fn open(
        root: &Path,
        outputs: Outputs,
        identity: &Value,
        pictures: &[Picture],
        force: bool,
    ) -> Result<(Self, Vec<Picture>), Failure> {
        let cannot = |error: std::io::Error| {
            Failure::new(Exit::Environment, format!("{}: cannot be written: {error}", root.display()))
        };
        fs::create_dir_all(root).map_err(cannot)?;
        let path = root.join(JOURNAL);
        let was_stopped = path.exists();
        let journal = OpenOptions::new().create(true).append(true).read(true).open(&path).map_err(cannot)?;
        if flock(&journal, FlockOperation::NonBlockingLockExclusive).is_err() {
            let text = format!("another `dygl predict` is writing to {}", root.display());
            return Err(Failure::new(Exit::Usage, text));
        }
        let (mut earlier, mut rows) = finished(root);
        if was_stopped {
            stopped(&path, &mut earlier, &mut rows);
        }
        let mut folder = Self { root: root.to_owned(), outputs, journal, was_stopped, rows: BTreeMap::new() };
        let is_same = earlier.as_ref() == Some(identity);
        let (mut todo, mut in_the_way) = (Vec::new(), Vec::new());
        for picture in pictures {
            let there = folder.files(&picture.name).into_iter().filter(|file| file.exists()).count();
            if force || there == 0 {
                todo.push(picture.clone());
                continue;
            }
            match rows.get(&picture.name) {
                Some(row) if is_same && folder.is_done(row, picture) => {}
                // The stopped call had begun it.
                None if is_same && was_stopped => todo.push(picture.clone()),
                _ => in_the_way.push(picture.name.clone()),
            }
        }
        if !in_the_way.is_empty() {
            if !was_stopped {
                let _ = fs::remove_file(&path);
            }
            return Err(refused(root, is_same, &in_the_way));
        }
        if is_same {
            let names: Vec<&str> = todo.iter().map(|picture| picture.name.as_str()).collect();
            rows.retain(|name, _| !names.contains(&name.as_str()));
            folder.rows = rows;
        }
        folder.begin(identity).map_err(cannot)?;
        Ok((folder, todo))
    }

    /// The output files of an image.
    fn files(&self, name: &str) -> Vec<PathBuf> {
        let endings = self.outputs.endings().into_iter();
        endings.map(|ending| self.root.join(format!("{name}{ending}"))).collect()
    }

    /// Whether a row is of this very image and its files are all there.
    fn is_done(&self, row: &Row, picture: &Picture) -> bool {
        let same = |prediction: &Prediction| {
            fs::read(&picture.file)
                .is_ok_and(|bytes| blake3::hash(&bytes).to_hex().as_str() == prediction.blake3)
        };
        row.prediction.as_ref().is_some_and(same) && self.files(&row.name).iter().all(|file| file.exists())
    }

    /// Starts the journal over with what is known.
    fn begin(&mut self, identity: &Value) -> std::io::Result<()> {
        self.journal.set_len(0)?;
        let mut text = format!("{identity}\n");
        for row in self.rows.values() {
            text.push_str(&serde_json::to_string(row)?);
            text.push('\n');
        }
        self.journal.write_all(text.as_bytes())
    }

    /// Keeps a row.
    pub(super) fn add(&mut self, row: Row) {
        if let Ok(line) = serde_json::to_string(&row) {
            // A line that is lost makes a later call do the image again.
            let _ = self.journal.write_all(format!("{line}\n").as_bytes());
        }
        self.rows.insert(row.name.clone(), row);
    }

    /// Leaves the folder as it was: nothing could be begun.
    pub(super) fn leave(self) {
        if !self.was_stopped {
            // An empty journal does no harm either.
            let _ = fs::remove_file(self.root.join(JOURNAL));
        }
    }

    /// What an earlier call was computed on.
    pub(super) fn earlier_device(&self) -> Value {
        let bytes = fs::read(self.root.join(PROVENANCE)).unwrap_or_default();
        let provenance: Option<Value> = serde_json::from_slice(&bytes).ok();
        provenance.and_then(|value| value.get("device").cloned()).unwrap_or_default()
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }

    /// Writes table and provenance; the journal stays if not all is done.
    ///
    /// # Errors
    /// Exit 3 if a file cannot be written.
    pub(super) fn finish(&self, provenance: &Value, complete: bool) -> Result<(), Failure> {
        let table = self.root.join(TABLE);
        let wrong = |path: &Path, error: &dyn std::fmt::Display| {
            Failure::new(Exit::Environment, format!("{}: cannot be written: {error}", path.display()))
        };
        let bytes = csv(self.rows.values()).map_err(|error| wrong(&table, &error))?;
        replace(&table, &bytes).map_err(|error| wrong(&table, &error))?;
        let path = self.root.join(PROVENANCE);
        let text = serde_json::to_vec_pretty(provenance).map_err(|error| wrong(&path, &error))?;
        replace(&path, &text).map_err(|error| wrong(&path, &error))?;
        if complete {
            let journal = self.root.join(JOURNAL);
            fs::remove_file(&journal).map_err(|error| wrong(&journal, &error))?;
        }
        Ok(())
    }
}

/// Who predicted what in calls that came to their end.
fn finished(root: &Path) -> (Option<Value>, BTreeMap<String, Row>) {
    let provenance: Option<Value> =
        fs::read(root.join(PROVENANCE)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let identity = provenance.as_ref().and_then(|value| value.get("predictor").cloned());
    let rows: Vec<Row> = provenance
        .and_then(|value| serde_json::from_value(value.get("images")?.clone()).ok())
        .unwrap_or_default();
    (identity, rows.into_iter().map(|row| (row.name.clone(), row)).collect())
}

/// The same of a call that was stopped: its journal holds what was known
/// before it, too. A line that was cut off counts for nothing.
fn stopped(path: &Path, identity: &mut Option<Value>, rows: &mut BTreeMap<String, Row>) {
    let Ok(file) = File::open(path) else { return };
    let mut lines = BufReader::new(file).lines().map_while(Result::ok);
    let Some(first) = lines.next().and_then(|line| serde_json::from_str(&line).ok()) else { return };
    *identity = Some(first);
    let found = lines.filter_map(|line| serde_json::from_str::<Row>(&line).ok());
    *rows = found.map(|row| (row.name.clone(), row)).collect();
}

fn refused(root: &Path, is_same: bool, names: &[String]) -> Failure {
    let why = if is_same {
        "holds outputs of other images under these names"
    } else {
        "holds outputs of another network, other weights or other settings"
    };
    let shown: Vec<&str> = names.iter().take(8).map(String::as_str).collect();
    let more = if names.len() > 8 { format!(", and {} more", names.len() - 8) } else { String::new() };
    let text = format!(
        "{} {why}: {}{more}\n  give another --out, or --force to overwrite them",
        root.display(),
        shown.join(", ")
    );
    Failure::new(Exit::Usage, text)
}

/// One line an image, sorted by name; scores stand behind, where there are any.
fn csv<'a>(rows: impl Iterator<Item = &'a Row> + Clone) -> Result<Vec<u8>, csv::Error> {
    let scored = rows.clone().any(|row| row.prediction.as_ref().is_some_and(|p| p.scores.is_some()));
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut header: Vec<&str> =
        vec!["file", "name", "width", "height", "foreground", "mean_probability", "seconds", "blake3"];
    if scored {
        header.extend(Metric::ALL.map(Metric::name));
    }
    header.push("problem");
    writer.write_record(&header)?;
    for row in rows {
        let mut fields = vec![row.file.display().to_string(), row.name.clone()];
        match &row.prediction {
            Some(found) => fields.extend([
                found.width.to_string(),
                found.height.to_string(),
                found.foreground.to_string(),
                found.mean_probability.to_string(),
                format!("{:.4}", found.seconds),
                found.blake3.clone(),
            ]),
            None => fields.extend(std::iter::repeat_n(String::new(), 6)),
        }
        if scored {
            let scores = row.prediction.as_ref().and_then(|found| found.scores.as_ref());
            fields.extend(Metric::ALL.map(|metric| {
                scores.and_then(|scores| scores.get(&metric)).map_or_else(String::new, f64::to_string)
            }));
        }
        fields.push(row.problem.clone());
        writer.write_record(&fields)?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

/// Replaces a file by one rename.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    dygl_base::atomic::write(path, bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const OUTPUTS: Outputs = Outputs { probability: false, overlay: false, at_network_size: false };

    struct Bench {
        root: tempfile::TempDir,
    }

    impl Bench {
        fn new() -> Self {
            let root = tempfile::tempdir().expect("folder");
            for name in ["a", "b"] {
                fs::write(root.path().join(format!("{name}.in")), name).expect("written");
            }
            Self { root }
        }

        fn picture(&self, name: &str) -> Picture {
            Picture { file: self.root.path().join(format!("{name}.in")), name: name.into(), truth: None }
        }

        fn out(&self) -> PathBuf {
            self.root.path().join("out")
        }

        /// Opens the folder for both images; what is left to do.
        fn open(&self, identity: &Value, force: bool) -> Result<(Folder, Vec<String>), Failure> {
            let pictures = [self.picture("a"), self.picture("b")];
            let (folder, todo) = Folder::open(&self.out(), OUTPUTS, identity, &pictures, force)?;
            Ok((folder, todo.into_iter().map(|picture| picture.name).collect()))
        }

        /// Does as the worker does.
        fn predict(&self, folder: &mut Folder, name: &str) {
            fs::write(self.out().join(format!("{name}.mask.png")), "mask").expect("written");
            folder.add(Row::done(Prediction {
                name: name.into(),
                file: self.picture(name).file,
                blake3: blake3::hash(name.as_bytes()).to_hex().to_string(),
                width: 4,
                height: 3,
                facts: None,
                foreground: 0.5,
                mean_probability: 0.25,
                seconds: 1.0,
                scores: None,
            }));
        }
    }

    fn provenance(identity: &Value, folder: &Folder) -> Value {
        json!({ "predictor": identity, "images": folder.rows().collect::<Vec<_>>() })
    }

    #[test]
    fn a_stopped_call_is_taken_up_and_a_finished_one_leaves_nothing_to_do() {
        let bench = Bench::new();
        let identity = json!({ "weights": "1" });
        let (mut folder, todo) = bench.open(&identity, false).expect("new");
        assert_eq!(todo, ["a", "b"]);
        bench.predict(&mut folder, "a");
        // Killed in the middle of the second image.
        fs::write(bench.out().join("b.mask.png"), "half").expect("written");
        drop(folder);
        let (mut folder, todo) = bench.open(&identity, false).expect("taken up");
        assert_eq!(todo, ["b"]);
        bench.predict(&mut folder, "b");
        folder.finish(&provenance(&identity, &folder), true).expect("finished");
        drop(folder);
        assert!(!bench.out().join(JOURNAL).exists());
        let table = fs::read_to_string(bench.out().join(TABLE)).expect("table");
        assert_eq!(table.lines().count(), 3, "{table}");
        assert!(table.contains(",a,4,3,0.5,0.25,1.0000,"), "{table}");
        let (folder, todo) = bench.open(&identity, false).expect("again");
        assert!(todo.is_empty() && folder.rows().count() == 2);
    }

    #[test]
    fn what_others_left_is_not_overwritten_unless_forced() {
        let bench = Bench::new();
        let (one, two) = (json!({ "weights": "1" }), json!({ "weights": "2" }));
        let (mut folder, _) = bench.open(&one, false).expect("new");
        bench.predict(&mut folder, "a");
        bench.predict(&mut folder, "b");
        folder.finish(&provenance(&one, &folder), true).expect("finished");
        drop(folder);
        let refused = bench.open(&two, false).expect_err("other weights");
        assert!(refused.exit == Exit::Usage && refused.message.contains("a, b"), "{}", refused.message);
        assert!(!bench.out().join(JOURNAL).exists(), "a refusal leaves no trace");
        // The image behind a name has changed.
        fs::write(bench.root.path().join("a.in"), "other").expect("written");
        let refused = bench.open(&one, false).expect_err("other image");
        assert!(refused.message.contains("these names: a\n"), "{}", refused.message);
        assert_eq!(bench.open(&two, true).expect("forced").1, ["a", "b"]);
    }

    #[test]
    fn one_call_at_a_time() {
        let bench = Bench::new();
        let identity = json!({});
        let _held = bench.open(&identity, false).expect("new");
        let refused = bench.open(&identity, false).expect_err("held");
        assert!(refused.message.contains("another `dygl predict`"), "{}", refused.message);
    }
}
