//! `dygl predict` with real weights: against the stored evaluation, on images
//! of any size, and after kills.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use dygl_tests::lab::{Lab, alter};
use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A trained and evaluated cell; its training key and its evaluation's record.
fn trained() -> (Lab, String, PathBuf, Value) {
    let lab = Lab::default().with_experiment("tiny", r#"["dyglnet"]"#, 2);
    lab.dygl(&["run", "tiny"]).exits(0);
    let records = lab.stored("record.json").into_iter();
    let (path, record) = records
        .map(|path| {
            let record: Value = serde_json::from_slice(&fs::read(&path).expect("record")).expect("JSON");
            (path, record)
        })
        .find(|(_, record)| record.get("train_key").is_some())
        .expect("an evaluation");
    let key = record["train_key"].as_str().expect("key").to_owned();
    let samples = path.with_file_name("samples");
    (lab, key, samples, record)
}

fn save(path: &Path, picture: impl Into<DynamicImage>, format: ImageFormat) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
    picture.into().save_with_format(path, format).expect("saved");
}

/// A bright disc on dark ground.
fn disc(width: u32, height: u32) -> RgbImage {
    let middle = (f64::from(width) / 2.0, f64::from(height) / 2.0);
    RgbImage::from_fn(width, height, |x, y| {
        let off = (f64::from(x) - middle.0).hypot(f64::from(y) - middle.1);
        if off < 0.3 * f64::from(width.min(height)) { Rgb([210, 130, 100]) } else { Rgb([70, 25, 20]) }
    })
}

/// Every file below a folder, relative to it, sorted.
fn files(folder: &Path) -> Vec<String> {
    fn collect(root: &Path, folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                collect(root, &path, found);
            } else {
                found.push(path.strip_prefix(root).expect("below").display().to_string());
            }
        }
    }
    let mut found = Vec::new();
    collect(folder, folder, &mut found);
    found.sort();
    found
}

#[test]
fn predictions_are_those_of_the_evaluation() {
    let (lab, key, samples, record) = trained();
    let kept = record["samples"].as_array().expect("samples");
    assert!(!kept.is_empty());
    for sample in kept {
        let stem = sample["file"].as_str().expect("stem");
        for (kind, folder) in [("image", "in"), ("truth", "masks")] {
            let target = lab.path().join(folder).join(format!("{stem}.png"));
            fs::create_dir_all(target.parent().expect("folder")).expect("folder");
            fs::copy(samples.join(format!("{stem}.{kind}.png")), target).expect("copied");
        }
    }
    // By the training's key, at the image's own size, which is the network's.
    let arguments =
        ["predict", "--run", &key[..12], "in", "--out", "own", "--truth", "masks", "--format", "json"];
    let own = lab.dygl(&arguments).exits(0).json();
    // By the evaluation's key, at the network's size.
    let evaluation = record["key"].as_str().expect("key");
    lab.dygl(&["predict", "--run", &evaluation[..12], "in", "--out", "network", "--at-network-size"])
        .exits(0);
    // By the weights file, in batches of another size.
    let weights = lab.stored("model.safetensors").remove(0);
    let weights = weights.to_str().expect("UTF-8");
    lab.dygl(&[
        "predict",
        "--model",
        "dyglnet",
        "--weights",
        weights,
        "--size",
        "32",
        "--batch",
        "1",
        "in",
        "--out",
        "file",
    ])
    .exits(0);
    for (index, sample) in kept.iter().enumerate() {
        let stem = sample["file"].as_str().expect("stem");
        let pixels = |path: PathBuf| image::open(path).expect("a PNG").into_luma8();
        let expected = pixels(samples.join(format!("{stem}.prediction.png")));
        for out in ["own", "network", "file"] {
            let found = pixels(lab.path().join(out).join(format!("{stem}.mask.png")));
            assert!(found == expected, "{out}/{stem} is not what was evaluated");
        }
        assert_eq!(own["images"][index]["name"], sample["file"]);
        assert_eq!(own["images"][index]["scores"]["dice"], sample["dice"]);
    }
    let provenance = fs::read(lab.path().join("own/provenance.json")).expect("provenance");
    let provenance: Value = serde_json::from_slice(&provenance).expect("JSON");
    assert_eq!(provenance["predictor"]["run"], key.as_str());
    assert_eq!(provenance["predictor"]["weights_digest"], record["weights"]);
    assert_eq!(provenance["predictor"]["image"]["size"], 32);
    assert_eq!(provenance["device"]["numerics"], "flex");
}

#[test]
fn images_of_any_size_and_kind_get_masks_of_their_own_size() {
    let (lab, key, _, _) = trained();
    let input = |name: &str| lab.path().join("in").join(name);
    let sizes = [("odd.png", 37, 53), ("wide.bmp", 200, 31), ("dot.png", 1, 1), ("large.tif", 301, 400)];
    for (name, width, height) in sizes {
        let format = ImageFormat::from_path(name).expect("known");
        save(&input(name), disc(width, height), format);
    }
    save(&input("misnamed.png"), disc(64, 48), ImageFormat::Jpeg);
    save(&input("deep/grey.png"), GrayImage::from_pixel(20, 30, Luma([90])), ImageFormat::Png);
    fs::write(input("broken.jpg"), b"no picture at all").expect("written");
    let whole = fs::read(input("odd.png")).expect("bytes");
    fs::write(input("cut.png"), &whole[..whole.len() / 2]).expect("written");
    fs::write(input("notes.txt"), b"not asked for").expect("written");

    let found =
        lab.dygl(&["predict", "--run", &key[..10], "in", "--out", "out", "--format", "json"]).exits(1);
    let found = found.json();
    assert_eq!((found["predicted"].as_u64(), found["failed"].as_u64()), (Some(6), Some(2)), "{found}");
    for (name, size) in [
        ("odd", (37, 53)),
        ("wide", (200, 31)),
        ("dot", (1, 1)),
        ("large", (301, 400)),
        ("deep/grey", (20, 30)),
    ] {
        for ending in ["mask", "probability", "overlay"] {
            let path = lab.path().join(format!("out/{name}.{ending}.png"));
            let picture = image::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert_eq!((picture.width(), picture.height()), size, "{}", path.display());
            if ending == "mask" {
                assert!(picture.into_luma8().iter().all(|value| [0, 255].contains(value)));
            }
        }
    }
    let all = files(&lab.path().join("out"));
    assert_eq!(all.len(), 6 * 3 + 2, "nothing of the broken ones, nothing unfinished: {all:?}");
    let table = fs::read_to_string(lab.path().join("out/predictions.csv")).expect("table");
    assert!(table.contains("in/broken.jpg: does not decode") && table.contains("in/cut.png: "), "{table}");
    assert!(table.contains("in/wide.bmp,wide,200,31,"), "{table}");
    // The share of the foreground is the mask's.
    let mask = image::open(lab.path().join("out/wide.mask.png")).expect("mask").into_luma8();
    let share = mask.iter().filter(|value| **value > 0).count() as f64 / f64::from(200 * 31);
    let row = found["images"].as_array().expect("images").iter().find(|row| row["name"] == "wide");
    assert_eq!(row.expect("a row")["foreground"].as_f64(), Some(share));
}

#[test]
fn names_collide_nowhere_and_nothing_is_overwritten_unasked() {
    let (lab, key, _, _) = trained();
    for (file, side) in [("a/1.png", 32), ("b/1.png", 40)] {
        save(&lab.path().join(file), disc(side, side), ImageFormat::Png);
    }
    let predict =
        |rest: &[&str]| lab.dygl(&[&["predict", "--run", &key[..10], "--no-overlay"], rest].concat());
    predict(&["a/1.png", "b/1.png", "--out", "out"]).exits(0);
    assert_eq!(
        files(&lab.path().join("out")),
        [
            "a/1.mask.png",
            "a/1.probability.png",
            "b/1.mask.png",
            "b/1.probability.png",
            "predictions.csv",
            "provenance.json"
        ]
    );
    let mask = lab.path().join("out/a/1.mask.png");
    let written = |path: &Path| fs::metadata(path).and_then(|found| found.modified()).expect("there");
    let before = written(&mask);
    let again = predict(&["[ab]/*.png", "--out", "out"]).exits(0);
    assert!(again.stdout.contains("2 were there already"), "{}", again.stdout);
    let refused = predict(&["a/1.png", "b/1.png", "--out", "out", "--threshold", "0.3"]).exits(2);
    assert!(refused.stderr.contains("--force"), "{}", refused.stderr);
    assert_eq!(written(&mask), before);
    predict(&["a/1.png", "b/1.png", "--out", "out", "--threshold", "0.3", "--force"]).exits(0);
    assert_ne!(written(&mask), before);
    // A file that is nobody's.
    lab.write("other/1.mask.png", "mine");
    predict(&["a/1.png", "--out", "other"]).exits(2);
    assert_eq!(fs::read_to_string(lab.path().join("other/1.mask.png")).expect("there"), "mine");
}

#[test]
fn mistakes_have_their_codes_and_leave_nothing() {
    let (lab, key, _, _) = trained();
    save(&lab.path().join("in/a.png"), disc(32, 32), ImageFormat::Png);
    let predict = |rest: &[&str]| lab.dygl(&[&["predict", "--out", "out"], rest].concat());
    let weights = lab.stored("model.safetensors").remove(0);
    let weights = weights.to_str().expect("UTF-8");
    predict(&["--run", &key[..10]]).exits(2);
    predict(&["in"]).exits(2);
    predict(&["--run", &key[..10], "--model", "dyglnet", "in"]).exits(2);
    predict(&["--run", "0123456789", "in"]).exits(7);
    predict(&["--run", &key[..10], "in", "--device", "tch:0"]).exits(3);
    let missing = predict(&["--run", &key[..10], "in", "none.png", "no/*.png"]).exits(3);
    assert!(missing.stderr.contains("none.png") && missing.stderr.contains("no/*.png"), "{}", missing.stderr);
    lab.write("text/a.txt", "text");
    predict(&["--run", &key[..10], "text"]).exits(4);
    let wrong = predict(&["--model", "unet", "--weights", weights, "in"]).exits(2);
    assert!(wrong.stderr.contains("missing") && wrong.stderr.contains("unexpected"), "{}", wrong.stderr);
    let wrong =
        predict(&["--model", "dyglnet", "--weights", weights, "in", "--size", "100", "--threshold", "2"])
            .exits(2);
    assert!(wrong.stderr.contains("take 96") && wrong.stderr.contains("--threshold 2"), "{}", wrong.stderr);
    predict(&["--model", "unett", "--weights", weights, "in"]).exits(2);
    predict(&["--model", "unet", "--weights", "none", "in"]).exits(3);
    assert_eq!(files(&lab.path().join("out")), [""; 0]);

    alter(&lab.stored("model.safetensors")[0]);
    let altered = predict(&["--run", &key[..10], "in"]).exits(5);
    assert!(altered.stderr.contains("model.safetensors"), "{}", altered.stderr);
    assert_eq!(files(&lab.path().join("out")), [""; 0]);
}

#[test]
fn a_killed_call_is_taken_up() {
    let (lab, key, _, _) = trained();
    let picture = disc(640, 480);
    for number in 0..80 {
        save(&lab.path().join(format!("in/{number:02}.png")), picture.clone(), ImageFormat::Png);
    }
    let arguments = ["predict", "--run", &key[..10], "in", "--out", "out", "--batch", "4"];
    let stopped = |signal: Signal, done: usize| {
        let mut running = lab.start(&arguments);
        let started = Instant::now();
        let journal = lab.path().join("out/.predicting.jsonl");
        while fs::read_to_string(&journal).map_or(0, |text| text.lines().count()) < 1 + done {
            assert!(started.elapsed() < Duration::from_secs(60), "waited a minute for predictions");
            thread::sleep(Duration::from_millis(2));
        }
        kill_process(Pid::from_raw(running.id().cast_signed()).expect("a pid"), signal).expect("signalled");
        running.wait().expect("stopped").code()
    };
    assert_eq!(stopped(Signal::KILL, 4), None);
    assert_eq!(stopped(Signal::INT, 32), Some(130));
    let all = lab.dygl(&[&arguments[..], &["--format", "json"]].concat()).exits(0).json();
    assert_eq!(all["predicted"], 80);
    assert!(all["already_there"].as_u64().expect("count") >= 32, "{}", all["already_there"]);
    let found = files(&lab.path().join("out"));
    assert_eq!(found.len(), 80 * 3 + 2, "nothing unfinished is left: {found:?}");
    assert_eq!(all["images"].as_array().expect("images").len(), 80);
}
