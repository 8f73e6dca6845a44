//! `dygl check` as a CI system meets it: planted results, the real program.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use dygl_datasets::KnownDatasets;
use dygl_exec::mock::Mock;
use dygl_spec::Request;
use dygl_spec::metric::Metric;
use dygl_spec::plan::{Cell, Plan};
use dygl_store::record::ImageScores;
use dygl_tests::lab::Lab;

const LOCK: &str = "experiments/tiny.lock.toml";
const TABLE: &str = "experiments/tiny.lock.csv";

/// Plants results of the experiment whose Dice is higher by `shift` than usual.
fn plant(lab: &Lab, shift: f64) {
    let request = Request { experiment: "tiny", profile: None, set: &[], root: lab.path() };
    let experiment = dygl_spec::load(&request, &KnownDatasets).expect("a sound experiment");
    let cells: Vec<Cell> =
        Plan::expand(&experiment).cells.iter().map(|planned| planned.cell.clone()).collect();
    let root = lab.path().join(".dygl");
    fs::remove_dir_all(root.join("store")).ok();
    let mock = Mock::default().scoring(move |job| {
        let level = 0.4 + shift + 0.02 * job.cell.model.name.len() as f64;
        let image = |place: u32| {
            let dice = level + 0.3 * (f64::from(place) * 0.618).fract();
            let scores = BTreeMap::from([(Metric::Dice, dice), (Metric::Iou, dice / (2.0 - dice))]);
            ImageScores { id: format!("image{place:02}"), scores }
        };
        (0..16).map(image).collect()
    });
    mock.plant(&root, &cells);
}

/// With results and a lock of them.
fn locked() -> Lab {
    let lab = Lab::default().with_experiment("tiny", r#"["unet", "dyglnet"]"#, 1);
    plant(&lab, 0.0);
    let accepted = lab.dygl(&["check", "tiny", "--device", "flex", "--accept"]).exits(0);
    assert!(accepted.stdout.contains("2 added"), "{}", accepted.stdout);
    lab
}

fn text(lab: &Lab, path: &str) -> String {
    fs::read_to_string(lab.path().join(path)).expect("a file")
}

#[test]
fn a_gate_that_demands_identical_results_passes_and_fails() {
    let lab = locked();
    let gate = ["check", "tiny", "--device", "flex", "--require", "identical"];
    let passed = lab.dygl(&gate).exits(0);
    assert_eq!(passed.stdout, "");
    assert!(passed.stderr.contains("4 scores: 4 identical"), "{}", passed.stderr);
    plant(&lab, 0.001);
    let failed = lab.dygl(&gate).exits(6);
    assert!(failed.stdout.contains("held: unet on"), "{}", failed.stdout);
    lab.dygl(&["check", "tiny", "--device", "flex"]).exits(0);
    plant(&lab, -0.05);
    let worse = lab.dygl(&["check", "tiny", "--device", "flex"]).exits(6);
    assert!(worse.stdout.contains("worse: dyglnet on") && worse.stdout.contains(LOCK), "{}", worse.stdout);
}

#[test]
fn json_is_json_whatever_else_is_asked_for() {
    let lab = locked();
    plant(&lab, 0.05);
    let summary = lab.path().join("summary.md");
    let output = lab
        .command(&["check", "tiny", "--device", "flex", "--format", "json", "--github"])
        .env("GITHUB_STEP_SUMMARY", &summary)
        .output()
        .expect("dygl starts");
    assert_eq!(output.status.code(), Some(6));
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON alone");
    assert_eq!((&answer["schema"], &answer["counts"]["better"]), (&"dygl-check-2".into(), &4.into()));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains(&format!("::error file={LOCK},line=")), "{told}");
    assert!(text(&lab, "summary.md").contains("| better | unet on"));
    // As a second reader has it.
    let path = lab.write("answer.json", &output.stdout);
    match Command::new("python3").args(["-m", "json.tool"]).arg(path).output() {
        Ok(read) => assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr)),
        Err(_) => println!("skipped: python3 is not here"),
    }
}

#[test]
fn a_lost_cell_and_a_lost_tolerance_are_noticed() {
    let lab = locked();
    let lock = text(&lab, LOCK);
    lab.write(LOCK, lock.replace("[tolerance.dice]\nabsolute = 0.01\n", ""));
    plant(&lab, 0.05);
    let hole = lab.dygl(&["check", "tiny", "--device", "flex"]).exits(2);
    assert!(hole.stderr.contains("the score `dice` of 2 cells has no tolerance"), "{}", hole.stderr);
    lab.write(LOCK, lock.replace("[tolerance.dice]", "[tolerance.dise]"));
    let refused = lab.dygl(&["check", "tiny", "--device", "flex"]).exits(2);
    assert!(refused.stderr.contains("tiny.lock.toml:10:"), "{}", refused.stderr);
    lab.write(LOCK, &lock);
    let lab = lab.with_experiment("tiny", r#"["unet"]"#, 1);
    plant(&lab, 0.0);
    let lost = lab.dygl(&["check", "tiny", "--device", "flex"]).exits(7);
    assert!(lost.stdout.contains("missing: dyglnet on"), "{}", lost.stdout);
}

#[test]
fn accepting_a_part_leaves_the_rest_byte_for_byte() {
    let lab = locked();
    let before = (text(&lab, LOCK), text(&lab, TABLE));
    for part in [&["--filter", "model=unet"][..], &[]] {
        lab.dygl(&[&["check", "tiny", "--device", "flex", "--accept"], part].concat()).exits(0);
        assert_eq!((text(&lab, LOCK), text(&lab, TABLE)), before);
    }
}
