//! A name means the project's file, from anywhere inside the project.

use std::fs;
use std::path::Path;

use dygl_tests::lab::{Lab, Output};
use serde_json::Value;

/// Runs `dygl` in a folder below the laboratory.
fn below(lab: &Lab, folder: &str, arguments: &[&str]) -> Output {
    let output = lab.command(arguments).current_dir(lab.path().join(folder)).output().expect("dygl starts");
    Output {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn cells(output: Output) -> Vec<Value> {
    output.exits(0).json()["cells"].as_array().expect("cells").clone()
}

/// A project with an experiment of the name of a built-in one, and folders below.
fn project() -> Lab {
    let lab = Lab::default().with_experiment("smoke", r#"["dyglnet"]"#, 7);
    fs::create_dir_all(lab.path().join("a/b")).expect("folders");
    lab
}

#[test]
fn experiments_are_found_from_below_and_one_note_names_the_project() {
    let lab = project();
    let here = cells(lab.dygl(&["plan", "smoke", "--format", "json"]));
    assert_eq!(here.len(), 1);
    for folder in ["a", "a/b", "experiments"] {
        let output = below(&lab, folder, &["plan", "smoke", "--format", "json"]);
        assert_eq!(output.stderr.matches("note: the project is ").count(), 1, "{}", output.stderr);
        let name = lab.path().canonicalize().expect("path");
        assert!(output.stderr.contains(&name.display().to_string()), "{}", output.stderr);
        assert_eq!(cells(output), here, "{folder}");
    }
    assert!(!lab.dygl(&["plan", "smoke"]).exits(0).stderr.contains("note: the project"));
    // A path is one from where one is.
    assert_eq!(cells(below(&lab, "a", &["plan", "../experiments/smoke.toml", "--format", "json"])), here);
    below(&lab, "a", &["plan", "experiments/smoke.toml"]).exits(2);
    // Mistakes name the file as it is reached from here.
    lab.write("experiments/bad.toml", "[experiment]\nname = 3\n");
    let told = below(&lab, "a/b", &["plan", "bad"]).exits(2).stderr;
    assert!(told.contains("../../experiments/bad.toml:2:"), "{told}");
}

#[test]
fn a_repository_is_not_left() {
    let lab = project();
    fs::create_dir(lab.path().join("a/.git")).expect("a top");
    let built_in = cells(below(&lab, "a/b", &["plan", "smoke", "--format", "json"]));
    assert!(built_in.len() > 1, "the built-in experiment has several cells");
}

#[test]
fn store_lock_protocol_and_splits_are_the_projects() {
    let lab = Lab::default().with_experiment("tiny", r#"["unet"]"#, 1);
    fs::create_dir_all(lab.path().join("a/b")).expect("folders");
    below(&lab, "a/b", &["run", "tiny"]).exits(0);
    assert!(lab.path().join(".dygl/store").is_dir());
    let nothing_below = |folder: &str| fs::read_dir(lab.path().join(folder)).expect("folder").count();
    assert_eq!((nothing_below("a"), nothing_below("a/b")), (1, 0), "nothing was left below");
    lab.dygl(&["status", "tiny"]).exits(0);
    below(&lab, "a", &["check", "tiny", "--accept"]).exits(0);
    assert!(lab.path().join("experiments/tiny.lock.toml").is_file());
    lab.dygl(&["check", "tiny"]).exits(0);
    below(&lab, "a/b", &["check", "tiny", "--require", "identical"]).exits(0);
    // What is written goes where the command line says, from where one is.
    below(&lab, "a/b", &["report", "tiny", "--out", "page"]).exits(0);
    assert!(lab.path().join("a/b/page/index.html").is_file());
    let other = below(&lab, "a", &["store", "list", "--store", "../.dygl", "--format", "json"]).exits(0);
    let own = below(&lab, "a", &["store", "list", "--format", "json"]).exits(0);
    assert_eq!(other.json(), own.json());

    // One split file: the experiment's from the project, the command line's from here.
    let name = "phantom-polyp,count=12,seed=1,size=32";
    below(&lab, "a", &["dataset", "split", name, "--out", "parts.csv"]).exits(0);
    let text = fs::read_to_string(lab.path().join("experiments/tiny.toml")).expect("text");
    let split = "[protocol]\nsplit = { source = \"file\", file = \"a/parts.csv\" }";
    lab.write("experiments/listed.toml", text.replace("\"tiny\"", "\"listed\"").replace("[protocol]", split));
    let keys = |output: Output| -> Vec<Value> {
        cells(output).iter().map(|cell| cell["train_key"].clone()).collect()
    };
    let here = keys(lab.dygl(&["plan", "listed", "--format", "json"]));
    assert!(here[0].is_string());
    assert_eq!(keys(below(&lab, "a/b", &["plan", "listed", "--format", "json"])), here);
    for (folder, file) in [("a", "parts.csv"), ("a/b", "../parts.csv"), ("", "a/parts.csv")] {
        let set = format!("split.file={file}");
        let arguments =
            ["plan", "tiny", "--set", "split.source=file", "--set", set.as_str(), "--format", "json"];
        assert_eq!(keys(below(&lab, folder, &arguments)), here, "{folder}");
        below(&lab, folder, &["dataset", "split", name, "--file", file]).exits(0);
    }

    // The protocol of the project.
    let protocol =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../experiments/protocol.toml"));
    lab.write("experiments/protocol.toml", protocol.expect("text").replace("lambda = 0.5", "lambda = 0.6"));
    let moved = keys(below(&lab, "a/b", &["plan", "tiny", "--format", "json"]));
    assert_eq!(moved, keys(lab.dygl(&["plan", "tiny", "--format", "json"])));
}

#[test]
fn the_sentences_and_numbers_of_the_paper_are_the_projects() {
    let lab = project();
    lab.write("experiments/reported.toml", "nonsense");
    for folder in ["", "a", "a/b"] {
        let told = below(&lab, folder, &["audit"]).exits(2).stderr;
        assert!(told.contains("experiments/reported.toml"), "{folder}: {told}");
    }
}

/// Each cell is run as its own file says; the command line counts for all.
#[test]
fn two_experiments_are_carried_out_each_in_its_own_way() {
    let lab = Lab::default().with_experiment("one", r#"["unet"]"#, 1);
    let text = fs::read_to_string(lab.path().join("experiments/one.toml")).expect("text");
    let two = text.replace("\"one\"", "\"two\"").replace("seed = [42]", "seed = [43]");
    lab.write("experiments/two.toml", two.replace("threads = 1", "threads = 2\ntimeout_hours = 2.0"));
    lab.dygl(&["run", "one", "two"]).exits(0);
    let threads = |name: &str| {
        let plan = cells(lab.dygl(&["status", name, "--format", "json"]));
        let key = plan[0]["train_key"].as_str().expect("key").to_owned();
        let found = lab.stored("record.json").iter().find_map(|path| {
            let record: Value = serde_json::from_slice(&fs::read(path).expect("record")).expect("JSON");
            (record["key"] == key.as_str()).then(|| record["provenance"]["threads"].clone())
        });
        found.expect("a record")
    };
    assert_eq!((threads("one"), threads("two")), (1.into(), 2.into()));
    let one_for_all = ["--set", "ops.threads=1", "--set", "ops.timeout_hours=1"];
    let told = lab.dygl(&[&["run", "one", "two"][..], &one_for_all].concat()).exits(0);
    assert!(!told.stderr.contains("threads each"), "one batch: {}", told.stderr);
}

#[test]
fn arguments_have_the_range_of_their_setting() {
    let lab = Lab::default().with_experiment("tiny", r#"["unet"]"#, 1);
    let message = "`ops.jobs` must be between 1 and 4096";
    for jobs in ["0", "99999", "1.5"] {
        let told = lab.dygl(&["run", "tiny", "--jobs", jobs]).exits(2).stderr;
        assert!(told.contains("`ops.jobs` must be "), "{told}");
        assert_eq!(told.contains(message), jobs != "1.5", "{told}");
        let set = format!("ops.jobs={jobs}");
        let told = lab.dygl(&["run", "tiny", "--set", &set]).exits(2).stderr;
        assert_eq!(told.contains(message), jobs != "1.5", "{told}");
    }
    for (flag, value) in [("--max-hours", "0"), ("--max-hours", "nan"), ("--max-hours", "-1")] {
        let told = lab.dygl(&["run", "tiny", &format!("{flag}={value}")]).exits(2).stderr;
        assert!(told.contains("`--max-hours` must be"), "{told}");
    }
    // As many slots as cells.
    lab.dygl(&["run", "tiny", "--jobs", "4096"]).exits(0);
    let split = ["dataset", "split", "phantom-polyp,count=12,seed=1,size=32"];
    for (flag, value) in [("--folds", "1"), ("--folds", "2000"), ("--fold", "-1")] {
        let argument = format!("{flag}={value}");
        let told = lab.dygl(&[&split[..], &[&argument]].concat()).exits(2).stderr;
        assert!(told.contains("`split.fold"), "{told}");
    }
}

#[test]
fn errors_name_path_cause_and_remedy() {
    let lab = Lab::default().with_experiment("tiny", r#"["unet"]"#, 1);
    lab.write("file", "no folder");
    let told = lab.dygl(&["report", "tiny", "--out", "file/page"]).exits(3).stderr;
    assert!(told.contains("file/page") && told.contains("Not a directory"), "{told}");
    let told = lab.dygl(&["plan", "tiny", "--set", "optimizer.betas=0.9,0.99"]).exits(2).stderr;
    assert!(told.contains("optimizer.betas=[0.9,0.99]") && told.contains("in brackets"), "{told}");
    let told = lab.dygl(&["plan", "tiny", "--set", "train.drop_last=True"]).exits(2).stderr;
    assert!(told.contains("train.drop_last=true"), "{told}");
    let text = fs::read_to_string(lab.path().join("experiments/tiny.toml")).expect("text");
    let labelled = text.replace("[\"unet\"]", "[{ name = \"unet\", label = \"\" }]");
    lab.write("experiments/tiny.toml", labelled);
    let told = lab.dygl(&["plan", "tiny"]).exits(2).stderr;
    assert!(told.contains("`label` is empty"), "{told}");
    assert!(!told.contains("without `,`"), "{told}");
}
