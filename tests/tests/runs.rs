//! Real trainings of real networks on small phantoms, with real kills.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use dygl_tests::lab::{Lab, alter};
use rustix::process::{Pid, Signal, kill_process};

/// Waits until something is so, or fails after a minute.
#[track_caller]
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(60), "waited a minute for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn signal(child: &std::process::Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
    kill_process(pid, signal).expect("signalled");
}

#[test]
fn a_run_is_cached_reported_checked_and_repeats_to_the_bit() {
    let lab = Lab::default().with_experiment("tiny", r#"["unet", "dyglnet"]"#, 1);
    lab.dygl(&["run", "tiny"]).exits(0);
    let again = lab.dygl(&["run", "tiny", "--format", "json"]).exits(0).json();
    assert!(
        again["cells"].as_array().expect("cells").iter().all(|cell| cell["outcome"] == "cached"),
        "{again}"
    );

    // The table, in every notation.
    let report = lab.dygl(&["report", "tiny", "--out", "out"]).exits(0);
    assert!(
        report.stdout.contains("DyGLNet") && report.stdout.contains("out/index.html"),
        "{}",
        report.stdout
    );
    for file in ["index.html", "tiny.md", "tiny.csv", "tiny.json", "tiny.tex", "tiny.include.tex"] {
        assert!(lab.path().join("out").join(file).is_file(), "{file}");
    }
    let page = fs::read_to_string(lab.path().join("out/index.html")).expect("page");
    assert!(page.contains("data:image/png;base64") && !page.contains("<svg") && !page.contains("http-equiv"));
    let cells = lab.dygl(&["status", "tiny", "--format", "json"]).exits(0).json();
    for cell in cells["cells"].as_array().expect("cells") {
        let key = cell["eval_key"].as_str().expect("key");
        let shown = lab.dygl(&["show", &key[..10], "--format", "json"]).exits(0).json();
        let own = shown["page"].as_str().expect("a page");
        assert!(page.contains(&format!("href=\"{own}\"")), "{own}");
        let own = fs::read_to_string(lab.path().join("out").join(own)).expect("page");
        assert!(own.contains("data:image/png;base64") && own.contains("<svg"));
        assert!(own.contains("Log of the training") && own.contains("epoch 1"), "the events are summed up");
    }

    // The lock: accepted, held, moved, and a key that shows and reproduces.
    lab.dygl(&["check", "tiny", "--accept"]).exits(0);
    lab.dygl(&["check", "tiny", "--junit", "junit.xml"]).exits(0);
    assert!(fs::read_to_string(lab.path().join("junit.xml")).expect("junit").contains("failures=\"0\""));
    let lock = lab.path().join("experiments/tiny.lock.toml");
    let text = fs::read_to_string(&lock).expect("lock");
    let moved: Vec<String> = text
        .lines()
        .map(|line| {
            line.strip_prefix("dice = ")
                .map_or(line.to_owned(), |v| format!("dice = {}", v.parse::<f64>().expect("number") + 0.02))
        })
        .collect();
    fs::write(&lock, moved.join("\n")).expect("written");
    let check = lab.dygl(&["check", "tiny", "--github"]).exits(6);
    assert!(check.stdout.contains("::error") && check.stdout.contains("Dice"), "{}", check.stdout);

    let status =
        lab.dygl(&["status", "tiny", "--filter", "model=dyglnet", "--format", "json"]).exits(0).json();
    let key = status["cells"][0]["train_key"].as_str().expect("key").to_owned();
    let shown = lab.dygl(&["show", &key[..10], "--format", "json"]).exits(0).json();
    assert_eq!(shown["attempts"][0]["record"]["parameters"], 9_980_098);
    assert!(lab.dygl(&["logs", &key[..10]]).exits(0).stdout.contains("\"event\":\"epoch\""));
    let reproduced = lab.dygl(&["reproduce", &key[..10], "--format", "json"]).exits(0).json();
    assert_eq!(reproduced["weights_equal"], true);
    assert_eq!(reproduced["scores_equal"], true);

    // Another metric re-evaluates; another loss retrains; both are explained.
    let explained = lab.dygl(&["explain", "tiny", "--set", "evaluate.threshold=0.4"]).exits(0).stdout;
    assert!(
        explained.contains("does not retrain")
            && explained.contains("protocol.evaluate.threshold: 0.5 -> 0.4"),
        "{explained}"
    );
    let explained = lab.dygl(&["explain", "tiny", "--set", "loss.lambda=0.3"]).exits(0).stdout;
    assert!(
        explained.contains("trains again") && explained.contains("protocol.loss.lambda: 0.5 -> 0.3"),
        "{explained}"
    );
    let before = lab.weights();
    lab.dygl(&["run", "tiny", "--set", "evaluate.threshold=0.4"]).exits(0);
    assert_eq!(lab.weights(), before, "nothing was retrained");
    lab.dygl(&["status", "tiny", "--set", "loss.lambda=0.3"]).exits(8);
}

#[test]
fn an_altered_byte_is_noticed_and_repaired() {
    let lab = Lab::default().with_experiment("tiny", r#"["dyglnet"]"#, 1);
    lab.dygl(&["run", "tiny"]).exits(0);
    let before = lab.weights();
    for name in ["per_image.csv", "history.csv"] {
        alter(&lab.stored(name)[0]);
        let report = lab.dygl(&["report", "tiny", "--out", "out"]).exits(5);
        assert!(report.stdout.contains("altered"), "{}", report.stdout);
        let csv = fs::read_to_string(lab.path().join("out/tiny.csv")).expect("csv");
        assert!(!csv.contains("0."), "no number is shown:\n{csv}");
        lab.dygl(&["status", "tiny"]).exits(5);
        lab.dygl(&["store", "verify"]).exits(5);
        lab.dygl(&["run", "tiny"]).exits(0);
        lab.dygl(&["report", "tiny", "--out", "out"]).exits(0);
    }
    // Training repeats to the bit, so the repaired result is the same.
    let after = lab.weights();
    assert!(after.iter().all(|weights| before.contains(weights)), "{before:?} {after:?}");
}

#[test]
fn altered_weights_are_never_evaluated() {
    let lab = Lab::default().with_experiment("tiny", r#"["dyglnet"]"#, 1);
    lab.dygl(&["run", "tiny"]).exits(0);
    let before = lab.weights();
    alter(&lab.stored("model.safetensors")[0]);
    lab.dygl(&["report", "tiny", "--out", "out"]).exits(5);
    // A new evaluation of these weights: they are trained again before it.
    let run = lab.dygl(&["run", "tiny", "--set", "evaluate.threshold=0.4"]).exits(0);
    assert!(run.stderr.contains("model.safetensors was altered; put aside"), "{}", run.stderr);
    assert!(run.stderr.contains("training begins"), "{}", run.stderr);
    assert!(lab.weights().iter().all(|weights| before.contains(weights)), "to the same bits");
}

#[test]
fn a_killed_runner_leaves_finished_cells_and_no_lock() {
    let lab = Lab::default().with_experiment("tiny", r#"["dyglnet"]"#, 2);
    let arguments = ["run", "tiny", "--set", "seed=1,2,3"];
    let mut runner = lab.start(&arguments);
    // In the middle: one cell done, another under way.
    wait_until("a finished cell", || lab.stored("MANIFEST").len() >= 2);
    wait_until("a training under way", || lab.stored("job.json").len() == 1);
    signal(&runner, Signal::KILL);
    runner.wait().expect("killed");
    let finished = lab.stored("model.safetensors").len();
    let again = lab.dygl(&["run", "tiny", "--set", "seed=1,2,3", "--format", "json"]).exits(0).json();
    let cached =
        again["cells"].as_array().expect("cells").iter().filter(|c| c["outcome"] == "cached").count();
    assert!(cached >= 1 && cached <= finished, "{again}");
    assert_eq!(lab.weights().len(), 3, "no cell was trained twice");
    lab.dygl(&["store", "verify"]).exits(0);
}

#[test]
fn an_interrupted_training_resumes_to_the_same_bits() {
    let whole = Lab::default().with_experiment("tiny", r#"["dyglnet"]"#, 3);
    whole.dygl(&["run", "tiny"]).exits(0);

    let lab = Lab::default().with_experiment("tiny", r#"["dyglnet"]"#, 3);
    let mut runner = lab.start(&["run", "tiny"]);
    wait_until("the worker's events", || {
        lab.stored("events.jsonl")
            .first()
            .is_some_and(|path| fs::read_to_string(path).is_ok_and(|t| !t.is_empty()))
    });
    signal(&runner, Signal::INT);
    assert_eq!(runner.wait().expect("stopped").code(), Some(130));
    assert_eq!(lab.stored("optimizer.safetensors").len(), 1, "a checkpoint was written");
    assert!(lab.stored("MANIFEST").is_empty());
    lab.dygl(&["run", "tiny"]).exits(0);
    assert_eq!(lab.weights(), whole.weights());
    let record = fs::read_to_string(&lab.stored("record.json")[0]).expect("record")
        + &fs::read_to_string(&lab.stored("record.json")[1]).expect("record");
    assert!(record.contains("\"resumed\": 1"), "{record}");
}

#[test]
fn a_divergence_is_an_outcome() {
    let lab = Lab::default().with_experiment("tiny", r#"["dyglnet"]"#, 2);
    let set = ["--set", "optimizer.learning_rate=1.0e30", "--set", "optimizer.clip_norm=0.0"];
    let run = lab.dygl(&[&["run", "tiny"][..], &set].concat()).exits(1);
    assert!(run.stderr.contains("diverged"), "{}", run.stderr);
    let report = lab.dygl(&[&["report", "tiny", "--out", "out"][..], &set].concat()).exits(1);
    assert!(report.stdout.contains("diverged"), "{}", report.stdout);
    // A failure is kept and not run again unless asked.
    let again = lab.dygl(&[&["run", "tiny"][..], &set].concat()).exits(1);
    assert!(!again.stderr.contains("training begins"), "{}", again.stderr);
}

#[test]
fn a_run_that_takes_too_long_is_stopped() {
    let lab = Lab::default().with_experiment("tiny", r#"["dyglnet"]"#, 50);
    let run = lab.dygl(&["run", "tiny", "--set", "ops.timeout_hours=0.0005"]).exits(1);
    assert!(run.stderr.contains("timed out"), "{}", run.stderr);
}
