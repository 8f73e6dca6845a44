//! Cells that differ in a setting alone: every verb tells them apart, on planted results
//! and on real ones.

use std::collections::BTreeSet;
use std::fs;

use dygl_datasets::KnownDatasets;
use dygl_exec::Ended;
use dygl_exec::mock::Mock;
use dygl_spec::Request;
use dygl_spec::plan::{Cell, Plan};
use dygl_store::record::Outcome;
use dygl_tests::lab::{Lab, Output};
use serde_json::Value;

/// An experiment with an axis of its own.
fn lab(axis: &str) -> Lab {
    let lab = Lab::default().with_experiment("tiny", r#"["unet"]"#, 1);
    let path = lab.path().join("experiments/tiny.toml");
    let text = fs::read_to_string(path).expect("experiment");
    let swept = text
        .replace("name = \"tiny\"", "name = \"sweep\"")
        .replace("seed = [42]\n", &format!("seed = [42]\n{axis}\n"));
    lab.write("experiments/sweep.toml", swept);
    lab
}

const RATES: &str = "\"optimizer.learning_rate\" = [1e-3, 1e-2]";

/// Plants results of an experiment.
fn plant(lab: &Lab, experiment: &str, set: &[&str]) {
    plant_with(&Mock::default(), lab, experiment, set);
}

/// Plants what an executor makes of an experiment, failures of before tried again.
fn plant_with(mock: &Mock, lab: &Lab, experiment: &str, set: &[&str]) {
    let set: Vec<String> = set.iter().map(ToString::to_string).collect();
    let request = Request { experiment, profile: None, set: &set, root: lab.path() };
    let loaded = dygl_spec::load(&request, &KnownDatasets).expect("a sound experiment");
    let cells: Vec<Cell> = Plan::expand(&loaded).cells.iter().map(|planned| planned.cell.clone()).collect();
    mock.plant(&lab.path().join(".dygl"), &cells);
}

fn call(lab: &Lab, verb: &str, experiment: &str, more: &[&str]) -> Output {
    lab.dygl(&[&[verb, experiment, "--device", "flex"], more].concat())
}

fn cells(output: Output) -> Vec<Value> {
    output.json()["cells"].as_array().expect("cells").clone()
}

#[test]
fn no_verb_prints_two_equal_rows_of_a_sweep() {
    let lab = lab(&format!("{RATES}\n\"evaluate.threshold\" = [0.3, 0.9]"));
    plant(&lab, "sweep", &[]);
    for verb in ["plan", "status", "explain"] {
        let shown = call(&lab, verb, "sweep", &[]).exits(0).stdout;
        let rows: BTreeSet<&str> = shown.lines().filter(|line| line.contains("unet")).collect();
        assert_eq!(rows.len(), 4, "{verb}:\n{shown}");
        assert!(shown.contains("evaluate.threshold 0.3, optimizer.learning_rate 0.01"), "{verb}:\n{shown}");
        let listed = cells(call(&lab, verb, "sweep", &["--format", "json"]).exits(0));
        let of = |key: &str| listed.iter().map(|cell| cell[key].to_string()).collect::<BTreeSet<_>>();
        for key in ["name", "label", "settings"] {
            assert_eq!(of(key).len(), 4, "{verb}: {key}: {listed:?}");
        }
        assert_eq!(listed[1]["settings"]["optimizer.learning_rate"], 0.01);
        assert_eq!(listed[1]["settings"]["evaluate.threshold"], 0.3);
    }
    // What the store has is served by the names of the sweep, too.
    let ran = cells(call(&lab, "run", "sweep", &["--format", "json"]).exits(0));
    let names: BTreeSet<String> = ran.iter().map(|cell| cell["cell"].to_string()).collect();
    assert_eq!(names.len(), 4, "{ran:?}");
    assert!(ran.iter().all(|cell| cell["outcome"] == "cached"), "{ran:?}");
}

#[test]
fn the_lock_knows_the_cells_of_a_sweep_and_a_filter_selects_them() {
    let lab = lab(RATES);
    plant(&lab, "sweep", &[]);
    call(&lab, "check", "sweep", &["--accept"]).exits(0);
    let held = call(&lab, "check", "sweep", &["--junit", "j.xml"]).exits(0);
    assert!(held.stderr.contains("12 scores: 12 identical"), "{}", held.stderr);
    let junit = fs::read_to_string(lab.path().join("j.xml")).expect("junit");
    assert!(
        junit.contains("(optimizer.learning_rate 0.001)") && junit.contains("(optimizer.learning_rate 0.01)")
    );
    for spelt in ["optimizer.learning_rate=1e-3", "optimizer.learning_rate=0.001,model=unet"] {
        let one = cells(call(&lab, "status", "sweep", &["--filter", spelt, "--format", "json"]).exits(0));
        assert_eq!(
            (one.len(), &one[0]["settings"]["optimizer.learning_rate"]),
            (1, &0.001.into()),
            "{spelt}"
        );
        let half = call(&lab, "check", "sweep", &["--filter", spelt]).exits(0);
        assert!(half.stderr.contains("6 scores: 6 identical"), "{}", half.stderr);
    }
    let refused = call(&lab, "plan", "sweep", &["--filter", "optimizer.learning_rate=fast"]).exits(2);
    assert!(refused.stderr.contains("`optimizer.learning_rate` must be a number"), "{}", refused.stderr);
    let none = call(&lab, "plan", "sweep", &["--filter", "optimizer.learning_rate=0.5"]).exits(4);
    assert!(none.stderr.contains("there are 0.001, 0.01"), "{}", none.stderr);
    // Accepting one of the two leaves the other where it is.
    let lock = fs::read_to_string(lab.path().join("experiments/sweep.lock.toml")).expect("lock");
    let part =
        call(&lab, "check", "sweep", &["--accept", "--filter", "optimizer.learning_rate=0.01"]).exits(0);
    assert!(part.stdout.contains("kept: unet on") && part.stdout.contains("(optimizer.learning_rate 0.001)"));
    assert_eq!(fs::read_to_string(lab.path().join("experiments/sweep.lock.toml")).expect("lock"), lock);
    // Without any tolerance, nothing would be compared.
    let bare: String = lock.split("\n[tolerance.").next().unwrap_or_default().to_owned()
        + "\n[tolerance]\n\n[[cell]]"
        + lock.split_once("[[cell]]").expect("cells").1;
    lab.write("experiments/sweep.lock.toml", bare);
    let refused = call(&lab, "check", "sweep", &[]).exits(2);
    assert!(refused.stderr.contains("`dice` of 2 cells has no tolerance"), "{}", refused.stderr);
}

#[test]
fn pages_list_the_values_that_the_cells_have() {
    let lab = lab(RATES);
    let set = ["--set", "optimizer.learning_rate=0.5,0.7", "--out", "out"];
    let shown = call(&lab, "report", "tiny", &set).exits(7).stdout;
    let told = "Set on the command line: optimizer.learning_rate = 0.5, 0.7.";
    assert!(shown.contains(told), "{shown}");
    // Markdown and LaTeX have a backslash before the underscore.
    for end in ["md", "json", "tex"] {
        let text = fs::read_to_string(lab.path().join(format!("out/tiny.{end}"))).expect("a file");
        assert!(text.contains("= 0.5, 0.7."), "{text}");
    }
    let page = fs::read_to_string(lab.path().join("out/index.html")).expect("page");
    let protocol = "<code>optimizer.learning_rate</code></th><td>0.5, 0.7</td>";
    assert!(page.contains(protocol), "the protocol of the page, too");
    // An axis of the file, and one of its cells alone.
    call(&lab, "report", "sweep", &["--out", "out"]).exits(7);
    assert!(fs::read_to_string(lab.path().join("out/index.html")).expect("page").contains("0.001, 0.01"));
    call(&lab, "report", "sweep", &["--out", "out", "--filter", "optimizer.learning_rate=0.01"]).exits(7);
    assert!(!fs::read_to_string(lab.path().join("out/index.html")).expect("page").contains("0.001, 0.01"));
}

#[test]
fn costs_and_datasets_have_a_row_for_each_size_and_fold() {
    let lab = Lab::default();
    let sizes = ["--filter", "model=dyglnet", "--set", "image.size=64,96", "--out", "out"];
    lab.dygl(&[&["report", "table7"][..], &sizes].concat()).exits(0);
    let json = fs::read_to_string(lab.path().join("out/table7.json")).expect("json");
    let json: Value = serde_json::from_str(&json).expect("json");
    let costs = json["costs"].as_array().expect("costs");
    let found: Vec<(&Value, &Value)> = costs.iter().map(|card| (&card["size"], &card["label"])).collect();
    assert_eq!(found, [(&64.into(), &"DyGLNet (size 64)".into()), (&96.into(), &"DyGLNet (size 96)".into())]);
    assert!(costs[0]["operations"].as_u64() < costs[1]["operations"].as_u64(), "{json}");
    lab.write(
        "experiments/sets.toml",
        "[experiment]\nname = 'sets'\ntitle = 'S'\nquestion = '?'\n[matrix]\n\
         dataset = ['phantom-polyp,count=12,seed=1,size=32']\n\"image.size\" = [32, 64]\n\"split.fold\" = [0, 1]\n\
         [protocol]\nsplit.source = 'k-fold'\nsplit.folds = 2\n[table]\nkind = 'datasets'\n",
    );
    let shown = lab.dygl(&["report", "sets", "--out", "out"]).exits(0).stdout;
    for row in ["here (size 32, fold 0)", "here (size 64, fold 1)", "32 x 32, 64 x 64"] {
        assert!(shown.contains(row), "{row} is missing in\n{shown}");
    }
    let one = ["report", "sets", "--filter", "image.size=64,split.fold=1", "--out", "out"];
    let shown = lab.dygl(&one).exits(0).stdout;
    assert!(shown.contains("64 x 64") && !shown.contains("32 x 32"), "{shown}");
}

#[test]
fn a_result_of_another_cell_is_no_earlier_one() {
    let lab = lab("\"optimizer.learning_rate\" = [3e-3, 4e-3]");
    plant(&lab, "tiny", &["optimizer.learning_rate=0.003"]);
    let listed = cells(call(&lab, "status", "sweep", &["--format", "json"]).exits(7));
    assert_eq!((&listed[0]["state"], &listed[1]["state"]), (&"done".into(), &"missing".into()));
    assert_eq!(listed[1]["reason"], "never run (nearest: optimizer.learning_rate 0.003 -> 0.004)");
    // A filter changes nothing about it.
    call(&lab, "status", "sweep", &["--filter", "optimizer.learning_rate=0.004"]).exits(7);
    let why = call(&lab, "explain", "sweep", &[]).exits(0).stdout;
    assert!(why.contains("runs: never run; the nearest result is another cell's"), "{why}");
    assert!(why.contains("protocol.optimizer.learning_rate: 0.003 -> 0.004"), "{why}");
    // A setting that no axis sweeps and that was edited: the result is the cell's own.
    call(&lab, "status", "tiny", &["--set", "optimizer.learning_rate=0.003", "--set", "loss.lambda=0.4"])
        .exits(8);
}

#[test]
fn a_stopped_training_is_called_stopped() {
    let lab = lab(RATES);
    let key = cells(call(&lab, "status", "tiny", &["--set", "train.epochs=14", "--format", "json"]).exits(7))
        [0]["train_key"]
        .as_str()
        .expect("a key")
        .to_owned();
    let work = lab.path().join(".dygl/store/v1").join(&key[..2]).join(&key).join("work");
    fs::create_dir_all(work.join("checkpoint/000004")).expect("a checkpoint");
    let stopped = call(&lab, "status", "tiny", &["--set", "train.epochs=14"]).exits(7).stdout;
    assert!(stopped.contains("stopped at epoch 4 of 14") && !stopped.contains("never run"), "{stopped}");
}

#[test]
fn axes_are_zipped_and_ranges_written_on_the_command_line() {
    let lab = lab(RATES);
    let count = |more: &[&str]| {
        cells(call(&lab, "plan", "sweep", &[more, &["--format", "json"]].concat()).exits(0)).len()
    };
    assert_eq!(count(&["--set", "seed=1..5"]), 10);
    assert_eq!(count(&["--set", "seed=1..2"]), 4);
    assert_eq!(count(&["--set", "seed=1..2", "--zip", "seed,optimizer.learning_rate"]), 2);
    assert_eq!(count(&["--set", "seed=1..2", "--set", "zip=seed,optimizer.learning_rate"]), 2);
    let refused =
        call(&lab, "plan", "sweep", &["--set", "seed=1..3", "--zip", "seed,optimizer.learning_rate"])
            .exits(2);
    assert!(refused.stderr.contains("zipped axes must be equally long"), "{}", refused.stderr);
}

#[test]
fn the_list_of_the_store_shows_the_attempt_that_counts() {
    let lab = lab(RATES);
    let seeds = ["seed=1..8"];
    plant_with(&Mock::with(|_| Ended::Died(Outcome::TimedOut { seconds: 1.0 })), &lab, "tiny", &seeds);
    plant(&lab, "tiny", &seeds);
    let listed = lab.dygl(&["store", "list", "--format", "json"]).exits(0).json();
    let results = listed["results"].as_array().expect("results");
    let trained: Vec<&Value> = results.iter().filter(|result| result["kind"] == "training").collect();
    assert_eq!(trained.len(), 8);
    for result in trained {
        assert_eq!((&result["outcome"], &result["attempts"]), (&"done".into(), &2.into()), "{result}");
    }
}

#[test]
fn each_evaluation_of_one_training_is_reproduced() {
    let lab = lab(RATES);
    let thresholds = ["--set", "evaluate.threshold=0.3,0.9999"];
    call(&lab, "run", "tiny", &thresholds).exits(0);
    let listed =
        cells(call(&lab, "status", "tiny", &[&thresholds[..], &["--format", "json"]].concat()).exits(0));
    assert_eq!(listed[0]["train_key"], listed[1]["train_key"]);
    for key in [&listed[0]["eval_key"], &listed[1]["eval_key"], &listed[0]["train_key"]] {
        let key = key.as_str().expect("a key");
        let again = lab.dygl(&["reproduce", key, "--format", "json"]).exits(0).json();
        assert_eq!(
            (&again["weights_equal"], &again["scores_equal"]),
            (&true.into(), &true.into()),
            "{again}"
        );
        assert_eq!(again["dice_stored"], again["dice_reproduced"]);
    }
}

#[test]
fn weights_that_are_no_numbers_have_diverged() {
    let lab = lab(RATES);
    let wild = ["--set", "optimizer.learning_rate=1e9", "--set", "optimizer.clip_norm=0.0"];
    call(&lab, "run", "tiny", &wild).exits(1);
    let listed = cells(call(&lab, "status", "tiny", &[&wild[..], &["--format", "json"]].concat()).exits(1));
    assert_eq!(listed[0]["state"], "diverged", "{listed:?}");
}
