//! The store under what happens to stores: damage, second users, containers,
//! file systems of other habits, claims of machines that are gone.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use dygl_tests::lab::{Lab, alter, program};
use serde_json::Value;

fn lab(epochs: usize) -> Lab {
    Lab::default().with_experiment("tiny", r#"["dyglnet"]"#, epochs)
}

/// Waits until something is so, or fails after two minutes.
#[track_caller]
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(120), "waited two minutes for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Starts a command whose standard error goes to a file.
fn start(mut command: Command, log: &Path) -> Child {
    let log = fs::File::create(log).expect("log");
    command.stdout(Stdio::null()).stderr(log).spawn().expect("started")
}

#[track_caller]
fn ends_with(mut child: Child, code: i32, log: &Path) {
    let status = child.wait().expect("ended");
    assert_eq!(status.code(), Some(code), "{}", fs::read_to_string(log).unwrap_or_default());
}

fn key_of(lab: &Lab, experiment: &str) -> String {
    let status = lab.dygl(&["status", experiment, "--format", "json"]).json();
    status["cells"][0]["train_key"].as_str().expect("key").to_owned()
}

/// Adds bytes, cuts them off, puts another file or a folder in the place, or
/// takes it away.
fn damage(path: &Path, how: &str) {
    let bytes = fs::read(path).expect("read");
    match how {
        "flip" => alter(path),
        "cut" => fs::write(path, &bytes[..bytes.len() - 1]).expect("written"),
        "growth" => fs::write(path, [&bytes[..], b"x"].concat()).expect("written"),
        "replacement" => {
            let other = path.with_extension("other");
            fs::write(&other, vec![7; bytes.len()]).expect("written");
            let time = fs::metadata(path).and_then(|found| found.modified()).expect("a time");
            fs::File::options().write(true).open(&other).and_then(|f| f.set_modified(time)).expect("set");
            fs::rename(&other, path).expect("replaced");
        }
        "folder" => {
            fs::remove_file(path).expect("removed");
            fs::create_dir(path).expect("made");
        }
        "removal" => fs::remove_file(path).expect("removed"),
        other => panic!("{other}"),
    }
}

#[test]
fn any_damage_to_any_file_is_seen_at_once_and_repaired_by_a_run() {
    let lab = lab(1);
    lab.dygl(&["run", "tiny"]).exits(0);
    // Long enough for the weights to have been stamped and not to be read again.
    thread::sleep(Duration::from_millis(2100));
    lab.dygl(&["status", "tiny"]).exits(0);
    assert_eq!(stamps(&lab), 1, "the weights alone are large");
    for (name, how) in [
        ("model.safetensors", "flip"),
        ("model.safetensors", "removal"),
        ("model.safetensors", "replacement"),
        ("MANIFEST", "cut"),
        ("events.jsonl", "growth"),
        ("key.json", "folder"),
    ] {
        let path = lab.stored(name).into_iter().find(|path| path.to_string_lossy().contains("/attempts/"));
        damage(&path.expect("a file"), how);
        let said = lab.dygl(&["status", "tiny"]).exits(5);
        assert!(said.stdout.contains(name), "{name} {how}: {}", said.stdout);
        let report = lab.dygl(&["report", "tiny", "--out", "out"]).exits(5);
        assert!(report.stdout.contains("altered"), "{name} {how}: {}", report.stdout);
        let run = lab.dygl(&["run", "tiny"]).exits(0);
        assert!(run.stderr.contains("put aside"), "{name} {how}: {}", run.stderr);
        lab.dygl(&["status", "tiny"]).exits(0);
        lab.dygl(&["store", "verify"]).exits(0);
    }
}

fn stamps(lab: &Lab) -> usize {
    let mut found = 0;
    let keys = fs::read_dir(lab.path().join(".dygl/store/v1")).expect("store").flatten();
    for key in keys.flat_map(|outer| fs::read_dir(outer.path()).expect("keys").flatten()) {
        found += fs::read_dir(key.path().join("stamps"))
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().ends_with(".json"))
            .count();
    }
    found
}

#[test]
fn altered_weights_are_put_aside_by_whoever_reads_them() {
    let lab = lab(1);
    lab.dygl(&["run", "tiny"]).exits(0);
    let key = key_of(&lab, "tiny");
    lab.dygl(&["dataset", "preview", "phantom-polyp,count=2,seed=3,size=32", "--out", "a.png"]).exits(0);
    let predict = |out: &str, code: i32| {
        lab.dygl(&["predict", "--run", &key[..12], "a.png", "--out", out, "--format", "json"]).exits(code)
    };
    predict("p1", 0);

    // `predict`: told, put aside, made anew by a run.
    alter(&lab.stored("model.safetensors")[0]);
    let refused = predict("p2", 5);
    assert!(
        refused.stderr.contains("put aside as") && refused.stderr.contains("dygl run"),
        "{}",
        refused.stderr
    );
    assert!(lab.stored("model.safetensors")[0].to_string_lossy().contains("/quarantine/"));
    predict("p3", 7);
    lab.dygl(&["run", "tiny"]).exits(0);
    predict("p4", 0);

    // A sound attempt beside an altered one answers, to `predict` as to a lookup.
    lab.dygl(&["run", "tiny", "--force"]).exits(0);
    let attempts = || {
        let all = lab.stored("model.safetensors").into_iter();
        all.filter(|path| path.to_string_lossy().contains("/attempts/")).collect::<Vec<_>>()
    };
    assert_eq!(attempts().len(), 2);
    alter(&attempts()[0]);
    lab.dygl(&["status", "tiny"]).exits(0);
    predict("p5", 0);

    // `store verify`: the same, and nothing is left to find.
    let told = lab.dygl(&["store", "verify", "--format", "json"]).exits(5).json();
    assert!(told["problems"][0]["put_aside"].is_string(), "{told}");
    lab.dygl(&["store", "verify"]).exits(0);
    assert_eq!(attempts().len(), 1);
    predict("p6", 0);
}

/// Whether a second PID namespace can be had; else says that a test is skipped.
fn has_namespaces() -> bool {
    let can = Command::new("unshare")
        .args(["--pid", "--fork", "--mount-proc", "true"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !can {
        println!("skipped: `unshare --pid --fork --mount-proc` does not work here (it needs root)");
    }
    can
}

#[test]
fn a_run_in_another_container_waits_for_the_living_one() {
    if !has_namespaces() {
        return;
    }
    let lab = lab(40);
    let [first_log, second_log] = ["first.log", "second.log"].map(|name| lab.path().join(name));
    let first = start(lab.command(&["run", "tiny"]), &first_log);
    wait_until("the first training", || !lab.stored("job.json").is_empty());
    let mut second = Command::new("unshare");
    second
        .args(["--pid", "--fork", "--mount-proc"])
        .arg(program("dygl"))
        .args(["run", "tiny"])
        .current_dir(lab.path())
        .env("NO_COLOR", "1");
    let second = start(second, &second_log);
    wait_until("a word of the second", || {
        fs::read_to_string(&second_log).is_ok_and(|log| log.contains("waiting for process"))
    });
    assert_eq!(lab.stored("job.json").len(), 1, "one alone is at work");
    ends_with(first, 0, &first_log);
    ends_with(second, 0, &second_log);
    assert_eq!(lab.weights().len(), 1, "it was trained once");
    lab.dygl(&["store", "verify"]).exits(0);
}

#[test]
fn the_claim_of_a_container_that_is_gone_is_void() {
    if !has_namespaces() {
        return;
    }
    let lab = lab(400);
    let log = lab.path().join("log");
    let mut contained = Command::new("unshare");
    contained
        .args(["--pid", "--fork", "--kill-child", "--mount-proc"])
        .arg(program("dygl"))
        .args(["run", "tiny"])
        .current_dir(lab.path());
    let mut contained = start(contained, &log);
    wait_until("a training in the container", || !lab.stored("job.json").is_empty());
    contained.kill().expect("killed");
    contained.wait().expect("ended");
    // The kernel knows that its lock is gone, whatever the process was called.
    let log = lab.path().join("next.log");
    let next = start(lab.command(&["run", "tiny", "--set", "train.epochs=400"]), &log);
    wait_until("the next training", || {
        fs::read_to_string(&log).is_ok_and(|log| log.contains("training begins"))
    });
    kill(next);
}

fn kill(mut child: Child) {
    child.kill().expect("killed");
    child.wait().expect("ended");
}

/// A library that stands for a file system whose `link` gives that error; none
/// if nothing compiles it.
fn no_links(lab: &Lab, errno: i32) -> Option<PathBuf> {
    let source = lab.write(
        "no-links.c",
        format!(
            "#include <errno.h>\nint link(const char *a, const char *b) {{ errno = {errno}; return -1; }}\n\
             int linkat(int a, const char *b, int c, const char *d, int e) {{ errno = {errno}; return -1; }}\n"
        ),
    );
    let library = lab.path().join(format!("no-links-{errno}.so"));
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
    if compiled.is_ok_and(|status| status.success()) {
        return Some(library);
    }
    println!("skipped: `cc` compiles no library here");
    None
}

#[test]
fn a_store_without_hard_links_works() {
    let lab = lab(1);
    // EPERM, EOPNOTSUPP, ENOSYS, EMLINK.
    for errno in [1, 95, 38, 31] {
        let Some(library) = no_links(&lab, errno) else { return };
        fs::create_dir_all(lab.path().join(".dygl")).expect("made");
        let with = |arguments: &[&str]| {
            lab.command(arguments).env("LD_PRELOAD", &library).output().expect("dygl starts")
        };
        let doctor = String::from_utf8_lossy(&with(&["doctor"]).stdout).into_owned();
        assert!(doctor.contains("without hard links"), "{errno}: {doctor}");
        let seed = format!("seed={errno}");
        let run = with(&["run", "tiny", "--set", &seed]);
        assert!(run.status.success(), "{errno}: {}", String::from_utf8_lossy(&run.stderr));
    }
    assert!(lab.stored("claim").is_empty());
    assert_eq!(lab.weights().len(), 4);
    lab.dygl(&["store", "verify"]).exits(0);
}

/// Files below a folder, with their modes.
fn files(folder: &Path, found: &mut Vec<(PathBuf, u32)>) {
    for entry in fs::read_dir(folder).expect("listed").flatten() {
        let path = entry.path();
        match entry.metadata().expect("there") {
            found_in if found_in.is_dir() => files(&path, found),
            found_in => found.push((path, found_in.mode() & 0o777)),
        }
    }
}

#[test]
fn every_file_obeys_the_umask() {
    let lab = lab(1);
    let umask = |mask: &str, arguments: &[&str]| {
        let mut shell = Command::new("sh");
        let line = format!("umask {mask}; exec \"$0\" \"$@\"");
        shell.args(["-c", &line]).arg(program("dygl")).args(arguments).current_dir(lab.path());
        let output = shell.env("NO_COLOR", "1").output().expect("sh starts");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for (mask, forbidden, wanted) in [("022", 0o022, 0o444), ("077", 0o077, 0o400), ("002", 0o002, 0o444)] {
        for name in ["experiments", ".dygl", "out", "masks"] {
            fs::remove_dir_all(lab.path().join(name)).ok();
        }
        lab.write("experiments/tiny.toml", experiment());
        umask(mask, &["run", "tiny"]);
        umask(mask, &["check", "tiny", "--accept"]);
        umask(mask, &["report", "tiny", "--out", "out"]);
        umask(mask, &["cost", "dyglnet", "--size", "32"]);
        umask(mask, &["dataset", "preview", "phantom-polyp,count=2,seed=3,size=32", "--out", "out/a.png"]);
        umask(mask, &["dataset", "split", "phantom-polyp,count=9,seed=3,size=32", "--out", "out/split.csv"]);
        let status = umask(mask, &["status", "tiny", "--format", "json"]);
        let status: Value = serde_json::from_str(&status).expect("JSON");
        let key = status["cells"][0]["train_key"].as_str().expect("key");
        umask(mask, &["predict", "--run", &key[..12], "out/a.png", "--out", "masks"]);
        let mut found = Vec::new();
        ["experiments", ".dygl", "out", "masks"]
            .iter()
            .for_each(|name| files(&lab.path().join(name), &mut found));
        assert!(found.len() > 20, "{found:?}");
        for (path, mode) in found.iter().filter(|(path, _)| !path.ends_with("experiments/tiny.toml")) {
            assert_eq!(mode & forbidden, 0, "umask {mask}: {} is {mode:o}", path.display());
            assert_eq!(mode & wanted, wanted, "umask {mask}: {} is {mode:o}", path.display());
        }
    }
}

fn experiment() -> String {
    let lab = lab(1);
    fs::read_to_string(lab.path().join("experiments/tiny.toml")).expect("read")
}

/// A store that two users of one group share, with the programs where both may
/// run them; none where this test may not become them.
struct Group {
    lab: Lab,
    programs: PathBuf,
}

const GROUP: u32 = 40_000;

impl Group {
    fn new(epochs: usize) -> Option<Self> {
        let lab = lab(epochs);
        let is_root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
        if !is_root || chown(lab.path(), None, Some(GROUP)).is_err() {
            println!("skipped: only root can try two users of one group");
            return None;
        }
        let programs = lab.path().join("programs");
        fs::create_dir(&programs).expect("made");
        for name in ["dygl", "dygl-worker"] {
            fs::copy(program(name), programs.join(name)).expect("copied");
        }
        // New folders belong to the group, and the group may write.
        for folder in [lab.path().to_owned(), programs.clone(), lab.path().join("experiments")] {
            chown(&folder, None, Some(GROUP)).expect("given to the group");
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o2775)).expect("opened");
        }
        Some(Self { lab, programs })
    }

    fn command(&self, user: u32, arguments: &[&str]) -> Command {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "umask 002; exec \"$0\" \"$@\""])
            .arg(self.programs.join("dygl"))
            .args(arguments)
            .current_dir(self.lab.path())
            .uid(user)
            .gid(GROUP)
            .env("NO_COLOR", "1")
            .env("HOME", self.lab.path())
            .env_remove("DYGL_STORE");
        shell
    }

    #[track_caller]
    fn dygl(&self, user: u32, arguments: &[&str], code: i32) -> String {
        let output = self.command(user, arguments).output().expect("started");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "user {user} {arguments:?}: {text}");
        text
    }
}

#[test]
fn two_users_of_one_group_share_a_store() {
    let Some(group) = Group::new(3) else { return };
    let (one, two) = (40_001, 40_002);
    group.dygl(one, &["run", "tiny"], 0);
    group.dygl(one, &["check", "tiny", "--accept"], 0);
    // The second user reads all of it, works beside it, and accepts anew.
    group.dygl(two, &["status", "tiny"], 0);
    group.dygl(two, &["check", "tiny"], 0);
    group.dygl(two, &["store", "verify"], 0);
    group.dygl(two, &["run", "tiny", "--set", "evaluate.threshold=0.4"], 0);
    group.dygl(two, &["check", "tiny", "--accept"], 0);
    // Each takes up what the other has begun.
    let log = group.lab.path().join("log");
    let mut begun = start(group.command(one, &["run", "tiny", "--set", "train.epochs=200"]), &log);
    wait_until("a training", || !group.lab.stored("job.json").is_empty());
    let waiting = group.lab.path().join("waiting.log");
    let waits = start(group.command(two, &["run", "tiny", "--set", "train.epochs=200"]), &waiting);
    wait_until("a word", || {
        fs::read_to_string(&waiting).is_ok_and(|log| log.contains("waiting for process"))
    });
    kill(waits);
    let claim = group.lab.stored("claim").pop().expect("a claim");
    // A claim that cannot be read is held, too.
    fs::set_permissions(&claim, fs::Permissions::from_mode(0o600)).expect("closed");
    let waits = start(group.command(two, &["run", "tiny", "--set", "train.epochs=200"]), &waiting);
    wait_until("a word", || fs::read_to_string(&waiting).is_ok_and(|log| log.contains("cannot be read")));
    kill(waits);
    begun.kill().expect("killed");
    begun.wait().expect("ended");
    fs::set_permissions(&claim, fs::Permissions::from_mode(0o664)).expect("opened");
    let waits = start(group.command(two, &["run", "tiny", "--set", "train.epochs=200"]), &waiting);
    wait_until("the training of the second", || {
        fs::read_to_string(&waiting).is_ok_and(|log| log.contains("training begins"))
    });
    kill(waits);
}

#[test]
fn a_claim_of_another_machine_is_told_once_and_can_be_taken_away() {
    let lab = lab(1);
    let key = key_of(&lab, "tiny");
    let folder = format!(".dygl/store/v1/{}/{key}", &key[..2]);
    lab.write(&format!("{folder}/claim"), r#"{"host":"node017","boot":"b","pid":4242,"start":1}"#);
    let log = lab.path().join("log");
    let run = start(lab.command(&["run", "tiny"]), &log);
    let told = || fs::read_to_string(&log).unwrap_or_default();
    wait_until("a word", || told().contains("waiting"));
    thread::sleep(Duration::from_secs(3));
    let lines: Vec<String> =
        told().lines().filter(|line| line.contains("waiting")).map(str::to_owned).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    for word in ["process 4242 on node017", &folder, "dygl store unlock", &key[..12]] {
        assert!(lines[0].contains(word), "{word} is not in {}", lines[0]);
    }
    // Whoever asks is told the same.
    let status = lab.dygl(&["status", "tiny", "--format", "json"]).exits(7).json();
    assert_eq!(status["cells"][0]["state"], "running");
    let reason = status["cells"][0]["reason"].as_str().expect("a reason");
    assert!(reason.contains("node017") && reason.contains("claim"), "{reason}");
    let explained = lab.dygl(&["explain", "tiny"]).exits(0).stdout;
    assert!(explained.contains("runs now") && explained.contains("node017"), "{explained}");
    let listed = lab.dygl(&["store", "list"]).exits(0).stdout;
    assert!(listed.contains("running"), "{listed}");
    let shown = lab.dygl(&["show", &key[..12]]).exits(7).stdout;
    assert!(shown.contains("node017"), "{shown}");

    let taken = lab.dygl(&["store", "unlock", &key[..12]]).exits(0).stdout;
    assert!(taken.contains("process 4242 on node017"), "{taken}");
    ends_with(run, 0, &log);
    lab.dygl(&["status", "tiny"]).exits(0);
    let none = lab.dygl(&["store", "unlock", &key[..12]]).exits(0).stdout;
    assert!(none.contains("nobody"), "{none}");
}

#[test]
fn the_claim_of_a_living_process_stays() {
    let lab = lab(400);
    let log = lab.path().join("log");
    let run = start(lab.command(&["run", "tiny"]), &log);
    wait_until("a training", || !lab.stored("job.json").is_empty());
    let key = key_of(&lab, "tiny");
    let refused = lab.dygl(&["store", "unlock", &key[..12]]).exits(2).stderr;
    assert!(refused.contains(&format!("process {}", run.id())), "{refused}");
    assert_eq!(lab.stored("claim").len(), 1);
    assert!(lab.dygl(&["logs", &key[..12]]).exits(0).stdout.contains("under way"));
    kill(run);
    // It is void now; taking it away does no harm.
    let status = lab.dygl(&["status", "tiny", "--format", "json"]).json();
    assert_eq!(status["cells"][0]["state"], "missing");
    lab.dygl(&["store", "unlock", &key[..12]]).exits(0);
}

#[test]
fn a_run_does_not_wait_for_itself() {
    let lab = lab(2);
    let set = ["run", "tiny", "--set", "evaluate.threshold=0.3,0.4,0.5", "--jobs", "3"];
    let run = lab.dygl(&set).exits(0);
    assert!(!run.stderr.contains("waiting"), "{}", run.stderr);
    assert_eq!(run.stderr.matches("training begins").count(), 1, "{}", run.stderr);
    assert_eq!(lab.weights().len(), 1);
    // Forced, too: once.
    let run = lab.dygl(&[&set[..], &["--force"]].concat()).exits(0);
    assert_eq!(run.stderr.matches("training begins").count(), 1, "{}", run.stderr);
}

#[test]
fn a_store_that_was_named_must_be_there() {
    let lab = lab(1);
    lab.write("file", "");
    symlink(lab.path().join("nowhere"), lab.path().join("link")).expect("linked");
    let reading: [&[&str]; 12] = [
        &["plan", "tiny"],
        &["status", "tiny"],
        &["explain", "tiny"],
        &["report", "tiny", "--out", "out"],
        &["check", "tiny"],
        &["show", "abcd"],
        &["logs", "abcd"],
        &["reproduce", "abcd"],
        &["dataset", "list"],
        &["store", "list"],
        &["store", "verify"],
        &["doctor"],
    ];
    for words in reading {
        for place in ["missing-folder", "file", "link", "file/below"] {
            let said = lab.dygl(&[words, &["--store", place]].concat()).exits(3);
            let text = said.stdout + &said.stderr;
            assert!(text.contains(place), "{words:?} {place}: {text}");
            assert!(!text.contains("File exists"), "{words:?} {place}: {text}");
        }
    }
    for place in ["file", "link", "file/below"] {
        let said = lab.dygl(&["run", "tiny", "--store", place]).exits(3);
        assert!(said.stderr.contains(place) && !said.stderr.contains("File exists"), "{}", said.stderr);
    }
    lab.dygl(&["run", "tiny", "--data", "missing-folder"]).exits(3);
    assert!(!lab.path().join("missing-folder").exists() && !lab.path().join("nowhere").exists());
    // By the environment it is named, too; a project's own need not have been made.
    let named =
        lab.command(&["store", "list"]).env("DYGL_STORE", "missing-folder").output().expect("started");
    assert_eq!(named.status.code(), Some(3));
    lab.dygl(&["store", "list"]).exits(0);
    lab.dygl(&["status", "tiny"]).exits(7);
    lab.dygl(&["run", "tiny", "--store", "fresh"]).exits(0);
    lab.dygl(&["status", "tiny", "--store", "fresh"]).exits(0);
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let lab = lab(1);
    lab.write("a.png", "");
    let phantom = "phantom-polyp,count=9,seed=3,size=32";
    let cases: [&[&str]; 8] = [
        &["dataset", "add", "kvasir-seg", "missing"],
        &["dataset", "add", "mine", "experiments", "--manifest", "missing"],
        &["dataset", "verify", "kvasir-seg", "--against", "missing"],
        &["dataset", "split", phantom, "--file", "missing.csv"],
        &["run", "tiny", "--set", "split.source=file", "--set", "split.file=missing.csv"],
        &["audit", "--claims", "missing"],
        &["predict", "--model", "unet", "--weights", "missing", "a.png", "--out", "out"],
        &["predict", "--model", "unet", "--weights", "a.png", "missing", "--out", "out"],
    ];
    for words in cases {
        let said = lab.dygl(words).exits(3);
        assert!(said.stderr.contains("missing"), "{words:?}: {}", said.stderr);
    }
}
