//! Malformed images: whatever the bytes, a picture or an error with the file's
//! name, within a bound of memory and time; and what the program makes of them.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use dygl_pixels::decode::{self, MAX_MEMORY};
use dygl_pixels::mask::MaskRule;
use dygl_pixels::{ImageRule, PixelError};
use dygl_tests::lab::{Lab, shared};
use dygl_tests::malformed::{Amount, Case, Damage, bombs, crafted, damaged, real};
use image::{GrayImage, Luma, Rgb, RgbImage};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Longest that one file may take; the largest allowed ones take about a
/// second on one idle core.
const LONGEST: Duration = Duration::from_secs(30);
/// What the test itself holds beside the decoder: the case and its source.
const OWN_MEMORY: u64 = 128 << 20;
/// Tells the child that it is one: the kind of cases to go through.
const CHILD: &str = "DYGL_MALFORMED";

#[derive(Debug, Default)]
struct Tally {
    cases: usize,
    pictures: usize,
    too_large: usize,
    unfit: usize,
    gave_up: usize,
    slowest: Duration,
    slowest_name: String,
}

impl Tally {
    /// Decodes a case as image and as mask and holds the answers against what
    /// is promised.
    fn decode(&mut self, case: &Case<'_>) {
        let path = Path::new("some/file.img");
        let started = Instant::now();
        let image =
            decode::rgb(case.bytes, path, ImageRule::default()).map(|image| image.pixels.dimensions());
        let rule =
            if self.cases.is_multiple_of(2) { MaskRule::Grey { above: 127 } } else { MaskRule::Instances };
        // Bombs are decoded once: both ways begin alike.
        let mask = match case.damage {
            Damage::Bomb => None,
            _ => Some(decode::mask(case.bytes, path, rule).map(|mask| mask.pixels.dimensions())),
        };
        let took = started.elapsed();
        assert!(took < LONGEST, "{} took {took:.1?}", case.name);
        if took > self.slowest {
            (self.slowest, self.slowest_name) = (took, case.name.to_owned());
        }
        self.cases += 1;
        match &image {
            Ok((width, height)) => {
                self.pictures += 1;
                assert!(*width > 0 && *height > 0, "{}", case.name);
                assert_ne!(case.damage, Damage::Halved, "{} decodes", case.name);
            }
            Err(error) => {
                assert_ne!(case.damage, Damage::None, "{}: {error}", case.name);
                assert!(error.to_string().starts_with("some/file.img: "), "{}: {error}", case.name);
                match error {
                    PixelError::TooLarge { .. } => self.too_large += 1,
                    PixelError::Decode { message, .. } => {
                        if message.contains("gave up") {
                            self.gave_up += 1;
                            println!("caught: {}: {message}", case.name);
                        }
                    }
                    // Sound, but of values or channels that have no place.
                    PixelError::Unfit { .. } => self.unfit += 1,
                    other => panic!("{}: not about decoding: {other}", case.name),
                }
            }
        }
        match (image, mask) {
            (Ok(image), Some(Ok(mask))) => assert_eq!(image, mask, "{}", case.name),
            // Values that make no image may make labels, and the other way round.
            (Err(PixelError::Unfit { .. }), Some(Ok(_))) | (Ok(_), Some(Err(PixelError::Unfit { .. }))) => {}
            (Err(_), Some(Ok(_))) | (Ok(_), Some(Err(_))) => panic!("{}: image and mask disagree", case.name),
            _ => {}
        }
    }

    fn tell(&self, what: &str) {
        println!(
            "{what}: {} cases, {} pictures, {} too large, {} panics caught; slowest {:.2?} ({}); peak {} MiB",
            self.cases,
            self.pictures,
            self.too_large,
            self.gave_up,
            self.slowest,
            self.slowest_name,
            memory("VmHWM:") >> 20
        );
    }
}

/// A line of this process's status, bytes.
fn memory(line: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("status");
    let found = status.lines().find_map(|l| l.strip_prefix(line)).expect("the line");
    found.trim().trim_end_matches("kB").trim().parse::<u64>().expect("a number") * 1024
}

/// Runs a test of this file again in a process that may take no more memory
/// than is promised: the limit is on address space, so a request beyond it
/// aborts the child.
fn within_memory(test: &str, kind: &str, work: impl FnOnce(&mut Tally)) {
    if std::env::var_os(CHILD).is_some_and(|asked| asked == kind) {
        let limit = memory("VmSize:") + MAX_MEMORY + OWN_MEMORY;
        let hard = getrlimit(Resource::As).maximum;
        setrlimit(Resource::As, Rlimit { current: Some(limit), maximum: hard }).expect("limited");
        let mut tally = Tally::default();
        work(&mut tally);
        tally.tell(kind);
        return;
    }
    let own = std::env::current_exe().expect("own path");
    let output = Command::new(own)
        .args(["--exact", &format!("malformed::{test}"), "--nocapture", "--test-threads=1"])
        .env(CHILD, kind)
        // One arena: address space is what is counted.
        .env("MALLOC_ARENA_MAX", "1")
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("the child starts");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}\n{told}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let line = told.lines().find(|line| line.contains("cases, ")).expect("the child did the work");
    told.lines().filter(|line| line.starts_with("caught: ")).for_each(|line| println!("{line}"));
    println!("{line}");
}

#[test]
fn crafted_files_damaged_in_every_way() {
    within_memory("crafted_files_damaged_in_every_way", "crafted", |tally| {
        for good in crafted() {
            damaged(&good, Amount { cuts: 250, flips: 250, every: 1 }, &mut |case| tally.decode(case));
        }
        assert!(tally.cases > 8000, "{tally:?}");
        // Most damage is told; what is left of the rest is a picture.
        assert!(tally.pictures > 100 && tally.pictures < tally.cases / 2, "{tally:?}");
    });
}

#[test]
fn real_files_damaged_in_every_way() {
    let Some(data) = shared("data") else { return };
    within_memory("real_files_damaged_in_every_way", "real", |tally| {
        let files = real(&data);
        assert!(files.len() >= 12, "{} files", files.len());
        for good in files {
            damaged(&good, Amount { cuts: 60, flips: 100, every: 2 }, &mut |case| tally.decode(case));
        }
        assert!(tally.cases > 5000, "{tally:?}");
    });
}

#[test]
fn bombs_stay_within_memory_and_time() {
    within_memory("bombs_stay_within_memory_and_time", "bombs", |tally| {
        bombs(&mut |case| tally.decode(case));
        assert!(tally.cases >= 15 && tally.too_large >= 2, "{tally:?}");
    });
}

/// A folder as CVC-ClinicDB's PNG copy, a bright disc on dark ground.
fn clinic(lab: &Lab, count: u32) {
    for number in 0..count {
        let inside = |x: u32, y: u32| x.abs_diff(20 + number % 20) + y.abs_diff(20) < 11;
        let colour = |x, y| if inside(x, y) { Rgb([200, 120, 90]) } else { Rgb([60, 20, 20]) };
        let image = RgbImage::from_fn(48, 40, colour);
        let mask = GrayImage::from_fn(48, 40, |x, y| Luma([if inside(x, y) { 255 } else { 0 }]));
        for folder in ["images", "masks"] {
            fs::create_dir_all(lab.path().join("data/cvc-clinicdb").join(folder)).expect("folder");
        }
        image.save(lab.path().join(format!("data/cvc-clinicdb/images/{number}.png"))).expect("image");
        mask.save(lab.path().join(format!("data/cvc-clinicdb/masks/{number}.png"))).expect("mask");
    }
}

#[test]
fn every_malformed_file_of_a_folder_is_named_at_once() {
    let lab = Lab::default();
    clinic(&lab, 40);
    let folder = lab.path().join("data/cvc-clinicdb");
    // Every way of damage, cut and changed until it is no picture any more.
    let mut damages: Vec<Vec<u8>> = Vec::new();
    for good in crafted() {
        damaged(&good, Amount { cuts: 3, flips: 0, every: 40 }, &mut |case| {
            if decode::rgb(case.bytes, Path::new("x"), ImageRule::default()).is_err() {
                damages.push(case.bytes.to_vec());
            }
        });
    }
    assert!(damages.len() > 60, "{}", damages.len());
    let mut broken = Vec::new();
    for number in 0..40 {
        for sub in ["images", "masks"] {
            if number % 4 != 0 {
                let name = format!("{sub}/{number}.png");
                fs::write(folder.join(&name), &damages[broken.len() * 7 % damages.len()]).expect("written");
                broken.push(name);
            }
        }
    }
    let add = ["dataset", "add", "cvc-clinicdb", "data/cvc-clinicdb", "--partial"];
    let refused = lab.dygl(&add).exits(3);
    assert_eq!(broken.len(), 60);
    for name in &broken {
        let told = refused.stderr.lines().filter(|line| line.trim_start().starts_with(&format!("{name}: ")));
        assert_eq!(told.count(), 1, "{name} in\n{}", refused.stderr);
    }
    assert!(!refused.stderr.contains("panicked") && refused.stdout.is_empty(), "{}", refused.stderr);
    assert!(!lab.path().join(".dygl/datasets/cvc-clinicdb.json").exists(), "nothing is half registered");
}

const EXPERIMENT: &str = r#"[experiment]
name = "clinic"
title = "Discs"
question = "Is a disc found?"
[matrix]
model = ["unet"]
dataset = ["cvc-clinicdb"]
seed = [42]
[protocol]
image.size = 32
train = { epochs = 40, batch_size = 4 }
schedule.warmup_epochs = 0
[table]
kind = "results"
metrics = ["dice"]
[ops]
threads = 1
"#;

#[test]
fn a_file_malformed_after_registration_stops_the_run_before_it_begins() {
    let lab = Lab::default();
    lab.write("experiments/clinic.toml", EXPERIMENT);
    clinic(&lab, 12);
    lab.dygl(&["dataset", "add", "cvc-clinicdb", "data/cvc-clinicdb", "--partial"]).exits(0);
    let path = lab.path().join("data/cvc-clinicdb/images/3.png");
    let whole = fs::read(&path).expect("read");
    fs::write(&path, &whole[..whole.len() / 2]).expect("cut");
    let refused = lab.dygl(&["run", "clinic"]).exits(5);
    assert!(refused.stderr.contains("images/3.png: altered"), "{}", refused.stderr);
    let refused = lab.dygl(&["dataset", "preview", "cvc-clinicdb"]).exits(5);
    assert!(refused.stderr.contains("images/3.png: altered"), "{}", refused.stderr);
    assert!(!lab.path().join("cvc-clinicdb.png").exists(), "no half sheet");
}

#[test]
fn a_file_malformed_during_a_training_is_a_typed_outcome() {
    let lab = Lab::default();
    lab.write("experiments/clinic.toml", EXPERIMENT);
    clinic(&lab, 12);
    lab.dygl(&["dataset", "add", "cvc-clinicdb", "data/cvc-clinicdb", "--partial"]).exits(0);
    let mut runner = lab.start(&["run", "clinic"]);
    let started = Instant::now();
    let trains = || {
        let events = lab.stored("events.jsonl");
        events.first().is_some_and(|path| fs::read_to_string(path).is_ok_and(|text| !text.is_empty()))
    };
    while !trains() {
        assert!(started.elapsed() < Duration::from_secs(120), "the training begins");
        thread::sleep(Duration::from_millis(20));
    }
    for number in 0..12 {
        fs::write(lab.path().join(format!("data/cvc-clinicdb/images/{number}.png")), "cut").expect("written");
    }
    assert_eq!(runner.wait().expect("ended").code(), Some(1));
    let records = lab.stored("record.json");
    let text = fs::read_to_string(records.first().expect("the failure is kept")).expect("record");
    let record: serde_json::Value = serde_json::from_str(&text).expect("json");
    let outcome = record["outcome"].to_string();
    // The worker meets it, or the inputs are found changed afterwards.
    let met = outcome.contains("failed") && outcome.contains(".png");
    assert!(met || outcome.contains("tainted"), "{outcome}");
}
