//! What is measured before a run, what it says, and what it refuses.

use std::process::Command;

use dygl_tests::lab::{Lab, program};
use serde_json::Value;

fn estimate(lab: &Lab, rest: &[&str]) -> Value {
    let arguments = [&["run", "tiny", "--format", "json"], rest].concat();
    lab.dygl(&arguments).exits(0).json()["preflight"].clone()
}

#[test]
fn a_step_is_measured_once_and_told_before_the_run() {
    let lab = Lab::default().with_experiment("tiny", r#"["dyglnet"]"#, 2);
    let first = estimate(&lab, &["--preflight", "always"]);
    let group = &first["groups"][0];
    assert_eq!((&group["model"], &group["remembered"]), (&"dyglnet".into(), &false.into()));
    let measured = &group["measured"];
    assert_eq!(measured["parameters"], 9_980_098);
    for name in ["seconds_per_step", "seconds_per_scored", "seconds_to_start"] {
        assert!(measured[name].as_f64().is_some_and(|seconds| seconds > 0.0), "{name}: {measured}");
    }
    let needed = first["memory"]["needed"].as_u64().expect("bytes");
    assert!(needed > measured["weights_bytes"].as_u64().expect("bytes"), "{first}");
    assert!(first["disk"]["weights"].as_u64().expect("bytes") > 4 * 9_980_098);
    assert!(first["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0));
    assert_eq!(first["cells"][0]["need"], "training");

    // Nothing is to do: nothing is measured, nothing is said.
    assert_eq!(estimate(&lab, &["--preflight", "always"]), Value::Null);
    // Another seed is the same step; another batch is not.
    let again = lab.dygl(&["run", "tiny", "--preflight", "always", "--set", "seed=7"]).exits(0);
    assert!(again.stderr.contains("1 to train") && again.stderr.contains("earlier"), "{}", again.stderr);
    let other = estimate(&lab, &["--preflight", "always", "--set", "train.batch_size=2"]);
    assert_eq!(other["groups"][0]["remembered"], false);
    // A new threshold scores the weights that are there.
    let scored = estimate(&lab, &["--preflight", "always", "--set", "evaluate.threshold=0.4"]);
    assert_eq!(
        (&scored["cells"][0]["need"], &scored["cells"][0]["train_seconds"]),
        (&"evaluation".into(), &0.0.into())
    );
    // By itself it stays out of the way of small runs.
    assert_eq!(estimate(&lab, &["--set", "seed=8"]), Value::Null);
}

/// Runs `dygl` with so many KiB of address space.
fn within(lab: &Lab, kib: u64, rest: &[&str]) -> (i32, String) {
    let dygl = program("dygl");
    let script = format!("ulimit -v {kib}; exec \"$0\" \"$@\"");
    let output = Command::new("sh")
        .args(["-c", &script])
        .arg(dygl)
        .args(rest)
        .current_dir(lab.path())
        .env("NO_COLOR", "1")
        .output()
        .expect("started");
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn want_of_memory_is_an_outcome_and_refused_before_the_start() {
    // 31 million parameters with gradients and moments are half a gigabyte.
    let lab = Lab::default().with_experiment("tiny", r#"["unet"]"#, 1);
    let (code, told) = within(&lab, 500_000, &["run", "tiny", "--preflight", "always"]);
    assert!(code == 3 && told.contains("nothing was started") && told.contains("train.batch_size"), "{told}");
    assert!(lab.stored("record.json").is_empty());
    let (code, told) = within(&lab, 500_000, &["run", "tiny", "--preflight", "never"]);
    assert!(code == 1 && told.contains("out of memory"), "{told}");
    lab.dygl(&["status", "tiny"]).exits(1);
    // It is data: not run again unless asked, and then it may do better.
    lab.dygl(&["run", "tiny"]).exits(1);
    lab.dygl(&["run", "tiny", "--retry-failed"]).exits(0);
}
