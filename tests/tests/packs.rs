//! Packed images under real runs: the same results with and without them, and
//! a builder that is killed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use dygl_tests::lab::{Lab, alter};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Files of the cache whose names end so.
fn cached(lab: &Lab, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(lab.path().join(".dygl/cache/images")).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.to_string_lossy().ends_with(end)).collect()
}

/// Digests of all weights and scores in the store.
fn results(lab: &Lab) -> Vec<String> {
    let mut found: Vec<String> = lab
        .stored("record.json")
        .iter()
        .map(|path| serde_json::from_slice::<Value>(&fs::read(path).expect("record")).expect("json"))
        .map(|record| format!("{} {}", record["weights"], record["scores"]))
        .collect();
    found.sort();
    found
}

#[test]
fn results_do_not_know_whether_images_were_packed() {
    for from in ["resized", "stored"] {
        let set = ["--set".to_owned(), format!("augment.crop.from={from}")];
        let run = ["run", "tiny", &set[0], &set[1]];
        let packed = Lab::default().with_experiment("tiny", r#"["dyglnet"]"#, 1);
        let told = packed.dygl(&run).exits(0).stderr;
        assert!(!told.contains("warning"), "{told}");
        assert_eq!(cached(&packed, ".pack").len(), 1);
        assert_eq!(results(&packed).len(), 2);

        // Something in the way of the cache: told once for two workers.
        let plain = Lab::default().with_experiment("tiny", r#"["dyglnet"]"#, 1);
        plain.write(".dygl/cache", "in the way");
        let told = plain.dygl(&run).exits(0).stderr;
        assert_eq!(told.matches("cannot be packed").count(), 1, "{told}");
        assert_eq!(results(&plain), results(&packed), "{from}");

        // Altered: the next run notices, and its results are the same again.
        fs::remove_dir_all(packed.path().join(".dygl/store")).expect("removed");
        let pack = cached(&packed, ".pack").remove(0);
        fs::set_permissions(&pack, fs::Permissions::from_mode(0o644)).expect("writable");
        alter(&pack);
        packed.dygl(&run).exits(0);
        assert_eq!(results(&plain), results(&packed), "{from}");
    }
}

#[test]
fn a_killed_builder_leaves_what_the_next_one_uses() {
    let lab = Lab::default().with_experiment("tiny", r#"["dyglnet"]"#, 1);
    let arguments = ["run", "tiny", "--set", "dataset=phantom-polyp,count=400,size=256", "--set"];
    let arguments = [&arguments[..], &["train.images_per_epoch=8"]].concat();
    let mut runner = lab.start(&arguments);
    let started = Instant::now();
    let parts = |lab: &Lab| {
        cached(lab, ".parts").first().map_or(0, |folder| {
            let names = fs::read_dir(folder).into_iter().flatten().flatten();
            names.filter(|entry| entry.file_name().to_string_lossy().ends_with(".pack")).count()
        })
    };
    while parts(&lab) < 2 {
        assert!(started.elapsed() < Duration::from_secs(60), "waited a minute for two parts");
        thread::sleep(Duration::from_millis(5));
    }
    let pid = Pid::from_raw(i32::try_from(runner.id()).expect("a pid")).expect("a pid");
    kill_process(pid, Signal::KILL).expect("killed");
    runner.wait().expect("ended");
    assert!(parts(&lab) >= 2 && cached(&lab, ".pack").is_empty());
    lab.dygl(&arguments).exits(0);
    assert_eq!((cached(&lab, ".pack").len(), cached(&lab, ".parts").len()), (1, 0));
}
