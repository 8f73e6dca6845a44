//! Devices: what the worker offers, what is refused, and libtorch held to the
//! same promises as flex. Without libtorch the latter are skipped, and say so.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use dygl_tests::lab::{Lab, devices, offers, program};
use rustix::process::{Pid, Signal, kill_process};

fn records(lab: &Lab) -> String {
    lab.stored("record.json").iter().map(|path| fs::read_to_string(path).expect("record")).collect()
}

fn tiny(models: &str, epochs: usize) -> Lab {
    Lab::default().with_experiment("tiny", models, epochs)
}

const TORCH: [&str; 4] = ["run", "tiny", "--device", "tch-cpu"];

#[test]
fn auto_says_what_it_stands_for_and_is_the_fastest() {
    let lab = tiny(r#"["unet"]"#, 1);
    let fastest = devices().remove(0);
    let run = lab.dygl(&["run", "tiny"]).exits(0);
    assert!(run.stderr.contains(&format!("device: {fastest} (")), "{}", run.stderr);
    let doctor = lab.dygl(&["doctor"]).exits(0).stdout;
    assert!(doctor.contains(&format!("auto is {fastest}")) && doctor.contains("libtorch"), "{doctor}");
    // In words, and on what.
    assert!(doctor.contains("numerics class flex: portable arithmetic of dygl"), "{doctor}");
    assert!(doctor.contains("vectors") && doctor.contains("DYGL_SIMD"), "{doctor}");
}

#[test]
fn vectors_are_taken_as_asked_or_refused_by_name() {
    let lab = tiny(r#"["unet"]"#, 1);
    let dygl = |level: &str, arguments: &[&str]| {
        let output = lab.command(arguments).env("DYGL_SIMD", level).output().expect("dygl starts");
        let told = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        (output.status.code(), told.concat())
    };
    let (code, told) = dygl("scalar", &["doctor"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("scalar, as DYGL_SIMD=scalar asks"), "{told}");
    for arguments in [&["doctor"][..], &["run", "tiny"]] {
        let (code, told) = dygl("sse9", arguments);
        assert_eq!(code, Some(3), "{told}");
        assert!(told.contains("DYGL_SIMD=sse9: this processor has scalar"), "{told}");
        assert!(!told.contains("panicked"), "{told}");
    }
}

#[test]
fn threads_are_in_the_key_where_sums_depend_on_them() {
    for (device, is_keyed) in [("flex", false), ("tch-cpu", true)] {
        if !offers(device) {
            continue;
        }
        let lab = tiny(r#"["unet"]"#, 1);
        let run = |threads: &str| {
            let threads = format!("ops.threads={threads}");
            let run = ["run", "tiny", "--device", device, "--set", &threads, "--format", "json"];
            lab.dygl(&run).exits(0).json()["cells"][0]["outcome"].clone()
        };
        assert_eq!(run("1"), "done");
        assert_eq!(run("2"), if is_keyed { "done" } else { "cached" }, "{device}");
        assert_eq!([run("1"), run("2")], ["cached", "cached"], "{device}");
        assert_eq!(lab.weights().len(), if is_keyed { 2 } else { 1 }, "{device}");
        // Whoever reads finds results of any number of threads, and is told which.
        lab.dygl(&["status", "tiny", "--device", device, "--set", "ops.threads=7"]).exits(0);
        let status = lab.dygl(&["status", "tiny", "--device", device, "--format", "json"]).exits(0).json();
        let key = status["cells"][0]["train_key"].as_str().expect("key").to_owned();
        let shown = lab.dygl(&["show", &key]).exits(0).stdout;
        let words = shown.lines().find_map(|line| line.strip_prefix("  arithmetic  ")).expect("words");
        let (begin, end) = if is_keyed {
            ("libtorch on ", ", 1 thread")
        } else {
            ("portable arithmetic of dygl", "with any number of threads")
        };
        assert!(words.starts_with(begin) && words.ends_with(end), "{words}");
    }
}

#[test]
fn a_device_that_is_not_here_ends_with_the_remedy() {
    let lab = tiny(r#"["unet"]"#, 1);
    for device in ["tch-cpu", "tch:0", "tch:99", "wgpu:0"] {
        if devices().iter().any(|name| name == device) {
            continue;
        }
        let run = lab.dygl(&["run", "tiny", "--device", device]).exits(3);
        assert!(run.stderr.contains(device) && !run.stderr.contains("panicked"), "{}", run.stderr);
        // Reading verbs find no results of it, and that is all.
        lab.dygl(&["status", "tiny", "--device", device]).exits(7);
    }
    lab.dygl(&["run", "tiny", "--device", "cuda"]).exits(2);
}

#[test]
fn a_worker_whose_libtorch_is_gone_ends_with_the_remedy() {
    let lab = tiny(r#"["unet"]"#, 1);
    // The real program beside a worker that the loader cannot start.
    let bin = lab.path().join("bin");
    fs::create_dir(&bin).expect("folder");
    let copied = Command::new("cp").arg(program("dygl")).arg(&bin).status().expect("cp starts");
    assert!(copied.success());
    let told = "error while loading shared libraries: libtorch_cpu.so: cannot open shared object file";
    dygl_testing::script(&bin.join("dygl-worker"), &format!("echo '{told}' >&2\nexit 127"));
    let dygl = |arguments: &[&str]| {
        let output =
            Command::new(bin.join("dygl")).args(arguments).current_dir(lab.path()).output().expect("starts");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for arguments in [&["run", "tiny"][..], &["model", "forward"], &["doctor"]] {
        let (code, text) = dygl(arguments);
        assert_eq!(code, Some(3), "{arguments:?}: {text}");
    }
    let (_, text) = dygl(&["run", "tiny"]);
    assert!(text.contains("make libtorch") && text.contains("libtorch_cpu.so"), "{text}");
    // What needs no tensors goes on.
    assert_eq!(dygl(&["status", "tiny"]).0, Some(7));
}

#[test]
fn a_no_op_run_does_not_ask_the_worker_again() {
    let lab = tiny(r#"["unet"]"#, 1);
    lab.dygl(&["run", "tiny"]).exits(0);
    let answer = fs::read_dir(lab.path().join(".dygl/devices"))
        .expect("remembered")
        .flatten()
        .map(|entry| entry.path())
        .next()
        .expect("one host");
    let written = |path: &Path| fs::metadata(path).expect("there").modified().expect("a time");
    let before = written(&answer);
    lab.dygl(&["run", "tiny"]).exits(0);
    assert_eq!(written(&answer), before);
    // It may be thrown away.
    fs::remove_dir_all(lab.path().join(".dygl/devices")).expect("removed");
    lab.dygl(&["run", "tiny"]).exits(0);
}

#[test]
fn mixed_precision_trains_and_is_keyed() {
    for device in ["flex", "tch-cpu"] {
        if !offers(device) {
            continue;
        }
        let lab = tiny(r#"["unet"]"#, 3);
        let run = ["run", "tiny", "--device", device];
        lab.dygl(&run).exits(0);
        lab.dygl(&[&run[..], &["--set", "train.precision=bf16-amp"]].concat()).exits(0);
        let found = lab.weights();
        assert_eq!(found.len(), 2, "two keys");
        assert_ne!(found[0].1, found[1].1, "other sums, other weights");
        for history in lab.stored("history.csv") {
            let losses = losses(&history);
            assert!(losses[2] < losses[0], "{device}: {losses:?}");
        }
    }
}

/// The loss of each epoch.
fn losses(history: &Path) -> Vec<f64> {
    let text = fs::read_to_string(history).expect("history");
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let at = lines.next().expect("header").iter().position(|column| *column == "loss").expect("loss");
    lines.map(|row| row[at].parse().expect("a number")).collect()
}

#[test]
fn libtorch_repeats_to_the_bit_and_is_a_class_of_its_own() {
    if !offers("tch-cpu") {
        return;
    }
    // The smoke experiment's own networks and images, twice, in two stores.
    let labs = [Lab::default(), Lab::default()];
    for lab in &labs {
        lab.dygl(&["run", "smoke", "--device", "tch-cpu"]).exits(0);
    }
    let [first, second] = &labs;
    assert!(!first.weights().is_empty());
    assert_eq!(first.weights(), second.weights());
    let again = first.dygl(&["run", "smoke", "--device", "tch-cpu", "--format", "json"]).exits(0).json();
    assert!(again["cells"].as_array().expect("cells").iter().all(|c| c["outcome"] == "cached"), "{again}");
    // To flex they are stale, made in another class; each result says where it is from.
    first.dygl(&["status", "smoke", "--device", "flex"]).exits(8);
    first.dygl(&["status", "smoke", "--device", "any"]).exits(0);
    let text = records(first);
    // The experiment's runs have one thread each.
    let class =
        text.split("\"numerics\": \"").nth(1).and_then(|rest| rest.split('"').next()).expect("a class");
    assert!(class.starts_with("libtorch-cpu-") && class.ends_with("-1t"), "{class}");
    assert!(text.contains("libtorch 2."), "{text}");
    let key = first.dygl(&["status", "smoke", "--device", "tch-cpu", "--format", "json"]).exits(0).json();
    let key = key["cells"][0]["train_key"].as_str().expect("key").to_owned();
    let reproduced = first.dygl(&["reproduce", &key[..12], "--format", "json"]).exits(0).json();
    assert_eq!(reproduced["weights_equal"], true);
}

#[test]
fn libtorch_resumes_to_the_same_bits() {
    if !offers("tch-cpu") {
        return;
    }
    let whole = tiny(r#"["dyglnet"]"#, 4);
    whole.dygl(&TORCH).exits(0);

    let lab = tiny(r#"["dyglnet"]"#, 4);
    let mut runner = lab.start(&TORCH);
    let started = Instant::now();
    while !lab
        .stored("events.jsonl")
        .first()
        .is_some_and(|path| fs::read_to_string(path).is_ok_and(|text| !text.is_empty()))
    {
        assert!(started.elapsed() < Duration::from_secs(60), "waited a minute for the worker's events");
        thread::sleep(Duration::from_millis(20));
    }
    let pid = Pid::from_raw(i32::try_from(runner.id()).expect("a pid")).expect("a pid");
    kill_process(pid, Signal::INT).expect("signalled");
    assert_eq!(runner.wait().expect("stopped").code(), Some(130));
    assert!(lab.stored("MANIFEST").is_empty());
    lab.dygl(&TORCH).exits(0);
    assert_eq!(lab.weights(), whole.weights());
    assert!(records(&lab).contains("\"resumed\": 1"));
}
