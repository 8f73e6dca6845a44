//! The verb from end to end, on planted results.

mod holes;
mod tiers;

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex};

use clap::Parser;
use dygl_exec::mock::Mock;
use dygl_spec::metric::Metric;
use dygl_store::record::ImageScores;
use serde_json::Value;

use super::*;
use crate::cli::{Cli, Verb};

/// What each image of a cell scores, by network, seed and `loss.lambda`.
type Dice = Arc<Mutex<Box<dyn Fn(&str, u64, f64) -> Vec<f64> + Send + Sync>>>;

/// A working directory with an experiment and a store.
struct Bench {
    folder: tempfile::TempDir,
    dice: Dice,
}

/// What a call came to.
struct Output {
    code: u8,
    stdout: String,
    stderr: String,
}

impl Output {
    #[track_caller]
    fn exits(self, code: u8) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    fn says(self, part: &str) -> Self {
        let all = format!("{}\n{}", self.stdout, self.stderr);
        assert!(all.contains(part), "{part} is missing in\n{all}");
        self
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

const TWO: &str = r#"["unet", "dyglnet"]"#;
const LOCK: &str = "experiments/tiny.lock.toml";
const TABLE: &str = "experiments/tiny.lock.csv";

/// Twenty images about 0.6; another level for each network and seed.
fn usual(model: &str, seed: u64, lambda: f64) -> Vec<f64> {
    let level = 0.4 + 0.01 * model.len() as f64 + 0.02 * (seed % 10) as f64 + 0.1 * lambda;
    (0..20).map(|i| level + 0.3 * (f64::from(i) * 0.618).fract()).collect()
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        fs::create_dir(folder.path().join("experiments")).expect("folder");
        let bench = Self { folder, dice: Arc::new(Mutex::new(Box::new(usual))) };
        bench.experiment(TWO);
        bench
    }

    /// Writes the experiment with these networks.
    fn experiment(&self, models: &str) {
        let text = format!(
            "[experiment]\nname = 'tiny'\ntitle = 'Tiny'\nquestion = 'Does it hold?'\n\
             [matrix]\nmodel = {models}\ndataset = ['phantom-polyp,count=12,seed=1,size=32']\nseed = [42]\n\
             [protocol]\nimage.size = 32\n[table]\nkind = 'results'\nmetrics = ['dice', 'iou']\n"
        );
        self.write("experiments/tiny.toml", &text);
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.folder.path().join(path), text).expect("written");
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.folder.path().join(path)).expect("a file")
    }

    /// Replaces something in a file, which must be there.
    #[track_caller]
    fn edit(&self, path: &str, old: &str, new: &str) {
        let text = self.text(path);
        assert!(text.contains(old), "{old} is not in\n{text}");
        self.write(path, &text.replace(old, new));
    }

    /// What images score from now on.
    fn score(&self, dice: impl Fn(&str, u64, f64) -> Vec<f64> + Send + Sync + 'static) {
        *self.dice.lock().expect("dice") = Box::new(dice);
    }

    fn arguments(&self, words: &[&str]) -> Check {
        let store = self.folder.path().join(".dygl").display().to_string();
        let words = ["dygl", "check", "tiny", "--device", "flex", "--store", &store]
            .into_iter()
            .chain(words.iter().copied());
        match Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{error}")).verb {
            Verb::Check(arguments) => arguments,
            other => panic!("{other:?}"),
        }
    }

    /// Computes the cells that a call selects, anew.
    fn run(&self, words: &[&str]) {
        let arguments = self.arguments(words);
        let context = Context::load_at(&arguments.selection, self.folder.path()).expect("an experiment");
        fs::remove_dir_all(context.store.root().join("store")).ok();
        let dice = Arc::clone(&self.dice);
        let mock = Mock::default().scoring(move |job| {
            let cell = &job.cell;
            let dice = dice.lock().expect("dice")(&cell.model.name, cell.seed, cell.protocol.loss.lambda);
            let image = |(place, dice): (usize, f64)| ImageScores {
                id: format!("image{place:02}"),
                scores: BTreeMap::from([(Metric::Dice, dice), (Metric::Iou, dice / (2.0 - dice))]),
            };
            dice.into_iter().enumerate().map(image).collect()
        });
        let cells: Vec<_> = context.cells().iter().map(|planned| planned.cell.clone()).collect();
        mock.plant(context.store.root(), &cells);
    }

    fn check(&self, words: &[&str]) -> Output {
        self.check_with(words, None)
    }

    fn check_with(&self, words: &[&str], summary: Option<&Path>) -> Output {
        match carry_out(&self.arguments(words), self.folder.path(), summary) {
            Ok(told) => Output { code: told.exit as u8, stdout: told.answer, stderr: told.notes.join("\n") },
            Err(failure) => {
                Output { code: failure.exit as u8, stdout: String::new(), stderr: failure.message }
            }
        }
    }

    /// With results and a lock of them.
    fn locked() -> Self {
        let bench = Self::new();
        bench.run(&[]);
        bench.check(&["--accept"]).exits(0);
        bench
    }
}
