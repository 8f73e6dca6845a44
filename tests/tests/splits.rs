//! Dividing datasets through the program: sources, files, mistakes, folds as
//! an axis.

use std::collections::BTreeSet;
use std::fs;

use dygl_tests::lab::Lab;
use serde_json::Value;

const PHANTOM: &str = "phantom-polyp,count=40,seed=1,size=32";

fn ids(split: &Value, part: &str) -> Vec<String> {
    let list = split["ids"][part].as_array().expect("a list");
    list.iter().map(|id| id.as_str().expect("an id").to_owned()).collect()
}

#[track_caller]
fn split(lab: &Lab, arguments: &[&str]) -> Value {
    let all = [&["dataset", "split"], arguments, &["--format", "json"]].concat();
    lab.dygl(&all).exits(0).json()
}

#[test]
fn a_written_split_is_read_again_with_the_same_digest() {
    let lab = Lab::default();
    let seeded = split(&lab, &[PHANTOM, "--source", "seeded", "--seed", "7"]);
    assert_eq!(seeded["split"]["train"], 32);
    for file in ["splits/a.toml", "splits/b.csv", "c.txt"] {
        lab.dygl(&["dataset", "split", PHANTOM, "--seed", "7", "--out", file]).exits(0);
        let read = split(&lab, &[PHANTOM, "--file", file]);
        assert_eq!(read["split"]["digest"], seeded["split"]["digest"], "{file}");
        assert_eq!(read["split"]["source"], "file");
    }
    let text = lab.dygl(&["dataset", "split", PHANTOM]).exits(0).stdout;
    assert!(text.contains("divided by manifest, seed 42") && text.contains("80.0 %"), "{text}");
}

#[test]
fn every_image_tests_in_one_fold() {
    let lab = Lab::default();
    let mut tested = Vec::new();
    for fold in ["0", "1", "2", "3", "4"] {
        let of = split(&lab, &[PHANTOM, "--folds", "5", "--fold", fold]);
        let all = ["train", "validation", "test"].map(|part| ids(&of, part));
        assert_eq!(all.each_ref().map(Vec::len), [24, 8, 8]);
        assert_eq!(all.concat().into_iter().collect::<BTreeSet<_>>().len(), 40);
        tested.extend(ids(&of, "test"));
    }
    assert_eq!(tested.len(), 40);
    assert_eq!(tested.into_iter().collect::<BTreeSet<_>>().len(), 40);
}

#[test]
fn mistakes_of_a_file_are_told_all_at_once() {
    let lab = Lab::default();
    lab.write("bad.csv", "id,part\n00000,train\n00000,test\n99999,test\n00001,tset\n");
    let refused = lab.dygl(&["dataset", "split", PHANTOM, "--file", "bad.csv"]).exits(2);
    for told in [
        "bad.csv:3: `00000` is named twice",
        "bad.csv:4:",
        "no image `99999`",
        "bad.csv:5: there is no part `tset`",
    ] {
        assert!(refused.stderr.contains(told), "{told} is missing in\n{}", refused.stderr);
    }
    assert!(refused.stderr.contains("`00002` is missing"), "{}", refused.stderr);
    assert_eq!(refused.stdout, "");
}

#[test]
fn splits_that_cannot_be_are_usage_errors() {
    let lab = Lab::default();
    for (arguments, told) in [
        (&[PHANTOM, "--source", "by-group"][..], "these have groups: "),
        (&[PHANTOM, "--source", "official"], "has no official split"),
        (&[PHANTOM, "--source", "file"], "needs split.file"),
        (&[PHANTOM, "--folds", "2"], "3 or more"),
        (&[PHANTOM, "--folds", "5", "--fold", "5"], "0 to 4"),
        (&[PHANTOM, "--source", "seeded", "--fold", "1"], "means nothing"),
        (&[PHANTOM, "--out", "split.json"], ".toml, .csv or .txt"),
        (&["phantom-polp"], "did you mean `phantom-polyp`"),
    ] {
        let all = [&["dataset", "split"], arguments].concat();
        let output = lab.dygl(&all);
        assert!(output.stderr.contains(told), "{told} is missing in\n{}", output.stderr);
        assert_eq!(output.code, if arguments.contains(&"--out") { 3 } else { 2 }, "{arguments:?}");
    }
    lab.dygl(&["dataset", "split", "tnbc"]).exits(3);
}

#[test]
fn folds_sweep_as_an_axis_and_are_cells_of_their_own() {
    let lab = Lab::default().with_experiment("tiny", r#"["unet"]"#, 1);
    let folds = ["--set", "split.source=k-fold", "--set", "split.folds=3", "--set", "split.fold=0,1,2"];
    let plan = lab.dygl(&[&["plan", "tiny", "--format", "json"][..], &folds].concat()).exits(0).json();
    let cells = plan["cells"].as_array().expect("cells");
    let planned: Vec<&Value> = cells.iter().map(|cell| &cell["protocol"]["split"]["fold"]).collect();
    assert_eq!(planned, [0, 1, 2]);
    let keys: BTreeSet<String> = cells.iter().map(|cell| cell["train_key"].to_string()).collect();
    assert_eq!(keys.len(), 3);
    lab.dygl(&[&["run", "tiny"][..], &folds].concat()).exits(0);
    assert_eq!(lab.stored("model.safetensors").len(), 3);
    let report = lab.dygl(&[&["report", "tiny", "--out", "out"][..], &folds].concat()).exits(0);
    assert!(report.stdout.contains("Images are divided by: k-fold"), "{}", report.stdout);
    let refused = lab.dygl(&["plan", "tiny", "--set", "split.fold=1"]).exits(2);
    assert!(refused.stderr.contains("k-fold or grouped-k-fold"), "{}", refused.stderr);
}

#[test]
fn a_split_file_moves_keys_by_content_and_not_by_path() {
    let lab = Lab::default().with_experiment("tiny", r#"["unet"]"#, 1);
    let phantom = "phantom-polyp,count=12,seed=1,size=32";
    lab.dygl(&["dataset", "split", phantom, "--seed", "3", "--out", "a.csv"]).exits(0);
    lab.dygl(&["dataset", "split", phantom, "--seed", "4", "--out", "b.csv"]).exits(0);
    fs::copy(lab.path().join("a.csv"), lab.path().join("copy.csv")).expect("copied");
    let with = |verb: &str, file: &str| {
        let file = format!("split.file={file}");
        lab.dygl(&[verb, "tiny", "--set", "split.source=file", "--set", &file])
    };
    with("run", "a.csv").exits(0);
    // Another path, the same lists: the result is there already.
    with("status", "copy.csv").exits(0);
    with("status", "b.csv").exits(8);
    let explained = with("explain", "b.csv").exits(0).stdout;
    assert!(explained.contains("split.digest"), "{explained}");
    fs::write(lab.path().join("a.csv"), "id,part\n").expect("written");
    let refused = with("run", "a.csv").exits(2);
    assert!(refused.stderr.contains("cannot be divided as asked"), "{}", refused.stderr);
}

#[test]
fn selecting_on_the_reported_part_is_said_above_the_table() {
    let lab = Lab::default().with_experiment("tiny", r#"["unet"]"#, 1);
    let set = ["--set", "selection.part=test"];
    lab.dygl(&[&["run", "tiny"][..], &set].concat()).exits(0);
    let report = lab.dygl(&[&["report", "tiny", "--out", "out"][..], &set].concat()).exits(0);
    assert!(report.stdout.contains("was scored during training"), "{}", report.stdout);
}

#[test]
fn the_slides_of_tnbc_stay_whole_if_asked_for() {
    let Some(lab) = Lab::default().with_shared("tnbc") else { return };
    let torn = |of: &Value| of["groups"]["straddling"].as_array().expect("a list").len();
    let seeded = split(&lab, &["tnbc"]);
    assert_eq!((&seeded["split"]["train"], &seeded["split"]["validation"]), (&40.into(), &0.into()));
    assert!(torn(&seeded) >= 5, "{}", seeded["groups"]);
    for source in ["by-group", "grouped-k-fold"] {
        let whole = split(&lab, &["tnbc", "--source", source]);
        assert_eq!(torn(&whole), 0);
        let test = whole["split"]["test"].as_u64().expect("a count");
        assert!((9..=11).contains(&test), "{source}: {test}");
        assert_eq!(whole["split"]["validation"], 0);
    }
}
