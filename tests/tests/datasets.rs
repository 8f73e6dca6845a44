//! Folder datasets from registration to refusal, on images made here; and on
//! the real ones where they are at hand.

use std::fs;

use dygl_tests::lab::{Lab, alter, shared};
use image::{GrayImage, Luma, Rgb, RgbImage};

/// A folder that looks like CVC-ClinicDB's PNG copy: a bright disc on dark ground.
fn clinic(lab: &Lab, count: u32) {
    for number in 1..=count {
        let centre = (20.0 + f64::from(number), 24.0);
        let inside = |x: u32, y: u32| (f64::from(x) - centre.0).hypot(f64::from(y) - centre.1) < 9.0;
        let image =
            RgbImage::from_fn(
                64,
                48,
                |x, y| if inside(x, y) { Rgb([200, 120, 90]) } else { Rgb([60, 20, 20]) },
            );
        let mask = GrayImage::from_fn(64, 48, |x, y| Luma([if inside(x, y) { 255 } else { 0 }]));
        for folder in ["images", "masks"] {
            fs::create_dir_all(lab.path().join("data/cvc-clinicdb").join(folder)).expect("folder");
        }
        image.save(lab.path().join(format!("data/cvc-clinicdb/images/{number}.png"))).expect("image");
        mask.save(lab.path().join(format!("data/cvc-clinicdb/masks/{number}.png"))).expect("mask");
    }
}

const EXPERIMENT: &str = r#"[experiment]
name = "clinic"
title = "Discs"
question = "Is a disc found?"
[matrix]
model = ["dyglnet"]
dataset = ["cvc-clinicdb"]
seed = [42]
[protocol]
image.size = 32
train = { epochs = 1, batch_size = 4 }
schedule.warmup_epochs = 0
[table]
kind = "results"
paper_table = 2
metrics = ["dice"]
"#;

#[test]
fn missing_data_is_named_with_the_command_that_brings_it() {
    let lab = Lab::default();
    lab.write("experiments/clinic.toml", EXPERIMENT);
    let run = lab.dygl(&["run", "clinic"]).exits(3);
    assert!(run.stderr.contains("dygl dataset add cvc-clinicdb PATH"), "{}", run.stderr);
}

#[test]
fn a_partial_dataset_is_refused_unless_asked_for() {
    let lab = Lab::default();
    clinic(&lab, 6);
    let path = "data/cvc-clinicdb";
    let refused = lab.dygl(&["dataset", "add", "cvc-clinicdb", path]).exits(3);
    assert!(refused.stderr.contains("612"), "{}", refused.stderr);
    let added = lab.dygl(&["dataset", "add", "cvc-clinicdb", path, "--partial"]).exits(0);
    assert!(added.stdout.contains("6 of 612"), "{}", added.stdout);
    // As registered, but drawn by this test: none is the official one.
    let verified = lab.dygl(&["dataset", "verify", "cvc-clinicdb"]).exits(5);
    assert!(verified.stdout.contains("every file as registered"), "{}", verified.stdout);
    assert!(verified.stdout.contains("0 of 612 pairs as in the official release"), "{}", verified.stdout);
    lab.dygl(&["dataset", "add", "cvc-clinic", path]).exits(2);
}

#[test]
fn an_altered_image_stops_the_run_until_it_is_restored_or_added_anew() {
    let lab = Lab::default();
    lab.write("experiments/clinic.toml", EXPERIMENT);
    clinic(&lab, 12);
    lab.dygl(&["dataset", "add", "cvc-clinicdb", "data/cvc-clinicdb", "--partial"]).exits(0);
    lab.dygl(&["run", "clinic"]).exits(0);
    let report = lab.dygl(&["report", "clinic", "--out", "out"]).exits(0);
    assert!(report.stdout.contains("12 of 612"), "the heading names the partial dataset:\n{}", report.stdout);
    assert!(!report.stdout.contains("93.71"), "no reported value stands beside:\n{}", report.stdout);

    let image = lab.path().join("data/cvc-clinicdb/images/3.png");
    let original = fs::read(&image).expect("image");
    alter(&image);
    let refused = lab.dygl(&["run", "clinic"]).exits(5);
    assert!(refused.stderr.contains("images/3.png"), "{}", refused.stderr);
    fs::write(&image, &original).expect("restored");
    lab.dygl(&["run", "clinic"]).exits(0);

    let mut pixels = image::open(&image).expect("image").into_rgb8();
    pixels.put_pixel(0, 0, Rgb([1, 2, 3]));
    pixels.save(&image).expect("edited");
    lab.dygl(&["run", "clinic"]).exits(5);
    lab.dygl(&["dataset", "add", "cvc-clinicdb", "data/cvc-clinicdb", "--partial"]).exits(0);
    lab.dygl(&["status", "clinic"]).exits(8);
    let explained = lab.dygl(&["explain", "clinic"]).exits(0).stdout;
    assert!(explained.contains("dataset.digest"), "{explained}");
}

#[test]
fn the_real_sets_register() {
    let Some(data) = shared("data") else { return };
    let lab = Lab::default();
    for (id, told, partial) in [
        ("kvasir-seg-352", "1000 of 1000", false),
        ("cvc-clinicdb", "62 of 612", true),
        ("tnbc", "50 of 50", false),
    ] {
        let path = data.join(id);
        let path = path.to_str().expect("a path in UTF-8");
        let mut arguments = vec!["dataset", "add", id, path];
        if partial {
            arguments.push("--partial");
        }
        let added = lab.dygl(&arguments).exits(0);
        assert!(added.stdout.contains(told), "{}", added.stdout);
    }
}
