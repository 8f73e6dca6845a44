//! `NAME.lock.toml` -> [`Lock`]: every mistake at once, each with its place.

use std::collections::BTreeMap;
use std::path::PathBuf;

use dygl_base::exit::Failure;
use dygl_spec::fields::Fields;
use dygl_spec::kind::{Kind, Range, wrong_type};
use dygl_spec::metric::Metric;
use dygl_spec::plan::{Identity, Settings};
use dygl_spec::source::{At, Origin};
use dygl_spec::tree::{self, Entry, Node, Value};
use dygl_spec::{Diagnostic, Diagnostics, schema};
use serde_json::{Value as Json, json};

use super::{Keys, Lines, Lock, LockedCell, Tolerance};
use crate::command::mistakes;

const COUNT: Kind = Kind::Count { low: 0, high: u64::MAX };

/// Reads a lock of format 1 or 2.
pub(super) fn lock(text: &str, shown: &str) -> Result<Lock, Failure> {
    let mut diagnostics = Diagnostics::default();
    let source = diagnostics.sources.add(Origin::File(PathBuf::from(shown)), text);
    let mut found = Vec::new();
    let read = tree::parse(&diagnostics.sources, source, &mut found).and_then(|node| {
        let line = |at: At| diagnostics.sources.position(at).0;
        Reader { found: &mut found, line: &line }.lock(&node)
    });
    match read {
        Some(lock) if found.is_empty() => Ok(lock),
        _ => {
            diagnostics.list = found;
            diagnostics.sort();
            Err(mistakes::refused(&diagnostics))
        }
    }
}

struct Reader<'a> {
    found: &'a mut Vec<Diagnostic>,
    line: &'a dyn Fn(At) -> usize,
}

impl Reader<'_> {
    fn lock(&mut self, node: &Node) -> Option<Lock> {
        let mut top = Fields::new("", node, self.found);
        let format = top.get("lock");
        let experiment = top.text("experiment", "add experiment = \"NAME\"", self.found);
        let profile = top.text("profile", "add profile = \"paper\", or the one that was run", self.found);
        let tolerance = top.get("tolerance");
        let cells = top.get("cell");
        top.finish(self.found);
        let format = match format {
            None => 1,
            Some(entry) => self.format(entry)?,
        };
        let lines = tolerance.and_then(|entry| entry.node.entries()).unwrap_or_default().iter();
        let lines: Vec<(String, usize)> =
            lines.map(|entry| (entry.key.clone(), (self.line)(entry.key_at))).collect();
        let tolerance = tolerance.map(|entry| self.tolerances(&entry.node)).unwrap_or_default();
        let line = |metric: &Metric| Some(lines.iter().find(|(name, _)| name == metric.name())?.1);
        let tolerance_lines = tolerance.keys().filter_map(|metric| Some((*metric, line(metric)?))).collect();
        let cells = match cells.map(|entry| &entry.node) {
            None => Vec::new(),
            Some(node) => match &node.value {
                Value::List(items) => {
                    let read: Vec<(LockedCell, At)> =
                        items.iter().filter_map(|item| Some((self.cell(item)?, item.at))).collect();
                    self.refuse_twins(&read, format);
                    read.into_iter().map(|(cell, _)| cell).collect()
                }
                _ => {
                    self.found.push(wrong_type("cell", node, "a list of tables: write [[cell]]"));
                    Vec::new()
                }
            },
        };
        Some(Lock {
            format,
            experiment: experiment?.0,
            profile: profile?.0,
            tolerance,
            tolerance_lines,
            cells,
        })
    }

    fn format(&mut self, entry: &Entry) -> Option<u64> {
        match &entry.node.value {
            Value::Integer(1) => Some(1),
            Value::Integer(2) => Some(2),
            _ => {
                self.found.push(
                    Diagnostic::new(entry.node.at, "a lock file of this format is not known")
                        .label("there are 1 and 2")
                        .help("it was written by a newer dygl: update, or accept the results again"),
                );
                None
            }
        }
    }

    /// In format 1 a sweep gave entries that nobody can tell apart; they match nothing,
    /// and `--accept` replaces them.
    fn refuse_twins(&mut self, cells: &[(LockedCell, At)], format: u64) {
        if format == 1 {
            return;
        }
        for (place, (cell, at)) in cells.iter().enumerate() {
            if let Some((_, first)) = cells[..place].iter().find(|(other, _)| other.identity == cell.identity)
            {
                self.found.push(
                    Diagnostic::new(*at, "the cell is given twice")
                        .label("again")
                        .related(*first, "first here")
                        .help("remove one of the two"),
                );
            }
        }
    }

    /// `[tolerance.METRIC]`.
    fn tolerances(&mut self, node: &Node) -> BTreeMap<Metric, Tolerance> {
        let mut read = BTreeMap::new();
        for (metric, entry) in self.by_metric("tolerance", node) {
            let path = format!("tolerance.{}", metric.name());
            let mut fields = Fields::new(&path, &entry.node, self.found);
            fields.require("absolute", "add absolute = 0.01", self.found);
            let kind = Kind::Number(Range::NOT_NEGATIVE);
            let absolute = fields.value("absolute", kind, self.found).and_then(|value| value.as_f64());
            let relative = fields.value("relative", kind, self.found).and_then(|value| value.as_f64());
            fields.finish(self.found);
            if let Some(absolute) = absolute {
                read.insert(metric, Tolerance { absolute, relative: relative.unwrap_or_default() });
            }
        }
        read
    }

    fn cell(&mut self, node: &Node) -> Option<LockedCell> {
        let mut fields = Fields::new("cell", node, self.found);
        let model = fields.text("model", "add model = \"NAME\"", self.found);
        let dataset = fields.text("dataset", "add dataset = \"NAME\"", self.found);
        let numerics =
            fields.text("numerics", "add numerics = \"flex\", or the class it was run in", self.found);
        let seed = fields.require("seed", "add seed = 42, or the one that was run", self.found);
        let seed = seed.and_then(|_| fields.value("seed", COUNT, self.found)).and_then(|seed| seed.as_u64());
        let mut text =
            |key: &'static str, found: &mut Vec<Diagnostic>| match fields.value(key, Kind::Text, found) {
                Some(Json::String(text)) => Some(text),
                _ => None,
            };
        let asked = text("asked", self.found);
        let pretrained = text("pretrained", self.found);
        let simd = text("simd", self.found);
        let commit = text("commit", self.found);
        let date = text("date", self.found);
        let scores_digest = text("scores_digest", self.found);
        let mut count = |key: &'static str, found: &mut Vec<Diagnostic>| {
            fields.value(key, COUNT, found).and_then(|count| count.as_u64())
        };
        let threads = count("threads", self.found);
        let images = count("images", self.found);
        let groups = count("groups", self.found);
        let keys = fields.get("keys");
        let settings = fields.get("settings");
        let tolerance = fields.get("tolerance");
        let scores = fields.require("scores", "add [cell.scores] with dice = 0.5 and so on", self.found);
        fields.finish(self.found);
        let keys = keys.and_then(|entry| self.keys(&entry.node));
        let settings = settings.map(|entry| self.settings(&entry.node));
        let tolerance =
            tolerance.map(|entry| self.numbers("cell.tolerance", &entry.node)).unwrap_or_default();
        if let Some((metric, (_, at))) = tolerance.iter().find(|(_, (value, _))| *value < 0.0) {
            let message = format!("the tolerance of {} is negative", metric.name());
            self.found.push(Diagnostic::new(*at, message).help("0 allows no difference"));
        }
        let scores = self.numbers("cell.scores", &scores?.node);
        let lines = Lines {
            cell: (self.line)(node.at),
            scores: scores.iter().map(|(metric, (_, at))| (*metric, (self.line)(*at))).collect(),
        };
        let values = |numbers: BTreeMap<Metric, (f64, At)>| {
            numbers.into_iter().map(|(metric, (value, _))| (metric, value)).collect()
        };
        Some(LockedCell {
            identity: Identity { model: model?.0, dataset: dataset?.0, seed: seed?, pretrained, settings },
            own: Settings::new(),
            asked,
            numerics: numerics?.0,
            simd,
            threads,
            commit,
            date,
            images,
            groups,
            scores_digest,
            keys,
            tolerance: values(tolerance),
            scores: values(scores),
            per_image: Vec::new(),
            lines,
        })
    }

    fn keys(&mut self, node: &Node) -> Option<Keys> {
        let mut fields = Fields::new("cell.keys", node, self.found);
        let train = fields.text("train", "add train = \"...\"", self.found);
        let evaluation = fields.text("evaluation", "add evaluation = \"...\"", self.found);
        fields.finish(self.found);
        Some(Keys { train: train?.0, evaluation: evaluation?.0 })
    }

    fn settings(&mut self, node: &Node) -> Settings {
        if node.entries().is_none() {
            self.found.push(wrong_type("cell.settings", node, "a table"));
        }
        let mut settings = Settings::new();
        for leaf in node.leaves() {
            match as_json(leaf.node) {
                Some(value) => {
                    let setting = schema::setting(&leaf.path);
                    let value = setting.map_or(value.clone(), |setting| setting.canonical(value));
                    settings.insert(leaf.path, value);
                }
                None => {
                    let path = format!("cell.settings.{}", leaf.path);
                    self.found.push(wrong_type(&path, leaf.node, "a number, a text, true, false or a list"));
                }
            }
        }
        settings
    }

    /// Numbers by metric, with their places.
    fn numbers(&mut self, path: &str, node: &Node) -> BTreeMap<Metric, (f64, At)> {
        let mut numbers = BTreeMap::new();
        for (metric, entry) in self.by_metric(path, node) {
            let value = match entry.node.value {
                Value::Number(value) if value.is_finite() => value,
                Value::Integer(value) => value as f64,
                _ => {
                    let path = format!("{path}.{}", metric.name());
                    self.found.push(wrong_type(&path, &entry.node, "a number"));
                    continue;
                }
            };
            numbers.insert(metric, (value, entry.node.at));
        }
        numbers
    }

    /// The entries of a table whose keys are metrics.
    fn by_metric<'n>(&mut self, path: &str, node: &'n Node) -> Vec<(Metric, &'n Entry)> {
        let Some(entries) = node.entries() else {
            self.found.push(wrong_type(path, node, "a table"));
            return Vec::new();
        };
        let mut read = Vec::new();
        for entry in entries {
            match Metric::ALL.into_iter().find(|metric| metric.name() == entry.key) {
                Some(metric) => read.push((metric, entry)),
                None => self.found.push(
                    Diagnostic::new(entry.key_at, format!("{path}: there is no metric `{}`", entry.key))
                        .suggest(&entry.key, Metric::ALL.map(Metric::name), "metrics"),
                ),
            }
        }
        read
    }
}

/// A setting as the protocol's own values are written.
fn as_json(node: &Node) -> Option<Json> {
    Some(match &node.value {
        Value::Text(text) => json!(text),
        Value::Flag(flag) => json!(flag),
        Value::Number(number) => json!(number),
        Value::Integer(integer) => match u64::try_from(*integer) {
            Ok(count) => json!(count),
            Err(_) => json!(i64::try_from(*integer).ok()?),
        },
        Value::List(items) => Json::Array(items.iter().map(as_json).collect::<Option<_>>()?),
        Value::Date(_) | Value::Table(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use dygl_base::exit::Exit;
    use dygl_store::record::ImageScores;

    use super::*;

    /// A lock with everything that one may hold.
    fn whole() -> Lock {
        let scores = [(Metric::Dice, 0.5), (Metric::Iou, 1.0 / 3.0)];
        let settings = [
            ("train.epochs", json!(3)),
            ("image.mean", json!([0.5, 1.0, 0.25])),
            ("loss.lambda", json!(1.0)),
        ];
        let cell = |seed| LockedCell {
            identity: Identity {
                model: "unet".into(),
                dataset: "phantom-polyp,count=8,seed=1,size=32".into(),
                seed,
                pretrained: (seed > 1).then(|| "ab".repeat(32)),
                settings: Some(settings.clone().map(|(path, value)| (path.to_owned(), value)).into()),
            },
            own: Settings::new(),
            asked: Some("kvasir-seg".into()),
            numerics: "flex".into(),
            simd: Some("avx2".into()),
            threads: Some(2),
            commit: Some("35ce58c0".into()),
            date: Some("2025-10-09".into()),
            images: Some(8),
            groups: Some(3),
            scores_digest: Some("d".repeat(64)),
            keys: Some(Keys { train: "t".into(), evaluation: "e".into() }),
            tolerance: [(Metric::Dice, 0.0025)].into(),
            scores: scores.into(),
            per_image: Vec::<ImageScores>::new(),
            lines: Lines::default(),
        };
        Lock { cells: vec![cell(42), cell(1)], ..Lock::empty("a", "smoke") }
    }

    #[test]
    fn a_lock_reads_back_as_it_was_written() {
        let text = whole().text();
        let read = lock(&text, "a.lock.toml").expect("a lock");
        assert_eq!(read.text(), text);
        // Sorted: the order in which cells were accepted is of no account.
        assert_eq!(read.cells[0].identity.seed, 1);
        let (first, written) = (&read.cells[1], &whole().cells[0]);
        assert_eq!(first.identity, written.identity);
        assert_eq!((&first.scores, &first.tolerance), (&written.scores, &written.tolerance));
        assert_eq!((&first.keys, first.images, first.threads), (&written.keys, Some(8), Some(2)));
        let line = text.lines().nth(first.lines.scores[&Metric::Iou] - 1).expect("a line");
        assert!(line.starts_with("iou = 0.3333"), "{line}");
        assert_eq!(text.lines().nth(first.lines.cell - 1), Some("[[cell]]"));
    }

    #[test]
    fn a_score_at_the_start_of_a_line_is_a_mean() {
        let text = whole().text();
        assert_eq!(text.lines().filter(|line| line.starts_with("dice = ")).count(), 2);
    }

    #[test]
    fn the_first_format_is_read_still() {
        let text = "experiment = 'a'\nprofile = 'paper'\n[tolerance.dice]\nabsolute = 0.01\nrelative = 0.02\n\
                    [[cell]]\nmodel = 'unet'\ndataset = 'ph2'\nseed = 42\nnumerics = 'flex'\n[cell.scores]\ndice = 1\n";
        let lock = lock(text, "a.lock.toml").expect("a lock");
        assert_eq!((lock.format, lock.cells[0].identity.settings.as_ref()), (1, None));
        assert_eq!(lock.tolerance[&Metric::Dice], Tolerance { absolute: 0.01, relative: 0.02 });
        assert_eq!(lock.cells[0].scores[&Metric::Dice], 1.0);
    }

    #[test]
    fn mistakes_are_told_all_at_once_with_place_and_remedy() {
        for (old, new, told) in [
            ("[tolerance.iou]", "[tolerance.iuo]", "no metric `iuo`"),
            ("absolute = 0.01\n", "absolute = -0.01\n", "tolerance.dice.absolute"),
            ("absolute = 0.01\n", "absolute = nan\n", "tolerance.dice.absolute"),
            ("numerics = \"flex\"", "numbers = \"flex\"", "[cell] lacks `numerics`"),
            ("dice = 0.5\n", "dice = \"x\"\n", "`cell.scores.dice` must be a number"),
            ("dice = 0.5\n", "dise = 0.5\n", "did you mean `dice`?"),
            ("dice = 0.0025", "dice = -0.0025", "is negative"),
            ("lock = 2", "lock = 3", "newer dygl"),
            ("seed = 42", "seed = 1", "the cell is given twice"),
            ("train.epochs = 3", "train.epochs = {}", "cell.settings.train.epochs"),
            ("[cell.scores]", "[cell.scores", "not valid TOML"),
        ] {
            // The twin needs the same first weights.
            let text = whole().text().replace(&format!("pretrained = \"{}\"\n", "ab".repeat(32)), "");
            let broken = text.replacen(old, new, 1);
            let broken = if new == "seed = 1" { text.replace("seed = 42", "seed = 1") } else { broken };
            let broken = if old.starts_with("train.") { text.replace(old, new) } else { broken };
            assert_ne!(text, broken, "{old}");
            let failure = lock(&broken, "a.lock.toml").expect_err("refused");
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.message.contains(told), "{told}:\n{}", failure.message);
            assert!(failure.message.contains("a.lock.toml:"), "{}", failure.message);
        }
    }
}
