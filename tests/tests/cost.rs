//! `dygl cost`: memory that is computed beside memory that is measured, and what
//! a measurement says of itself.

use dygl_tests::lab::Lab;
use serde_json::Value;

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn a_measurement_says_what_it_is_and_stands_beside_the_computed_memory() {
    let lab = Lab::default();
    let arguments = ["cost", "unet", "--size", "128", "--measure", "--batch", "4", "--repeats", "3"];
    let with = ["--device", "flex", "--format", "json"];
    let found = lab.dygl(&[&arguments[..], &with].concat()).exits(0);
    assert!(found.stderr.contains("measuring unet, training step (2 of 2)"), "{}", found.stderr);
    let found = found.json();
    let memory = &found["ledgers"][0]["memory"];
    assert_eq!(memory["batch"], 4);
    let measured = found["measured"].as_array().expect("a list");
    let passes: Vec<&str> = measured.iter().filter_map(|one| one["pass"].as_str()).collect();
    assert_eq!(passes, ["inference", "training-step"]);
    for (one, batches) in measured.iter().zip([&[1, 4][..], &[4]]) {
        assert_eq!((&one["model"], &one["numerics"]), (&"unet".into(), &"flex".into()));
        assert!(number(&one["threads"]) >= 1.0 && one["device"].as_str().is_some_and(|d| d.contains("flex")));
        let timings = one["timings"].as_array().expect("a list");
        assert_eq!(timings.iter().map(|timing| timing["batch"].as_i64()).collect::<Vec<_>>(), {
            batches.iter().map(|batch| Some(*batch)).collect::<Vec<_>>()
        });
        for timing in timings {
            let [fastest, median] = ["fastest_seconds", "median_seconds"].map(|name| number(&timing[name]));
            let [lower, upper] = [0, 1].map(|index| number(&timing["quartiles_seconds"][index]));
            assert!(0.0 < fastest && fastest <= lower && lower <= median && median <= upper, "{timing}");
            assert_eq!(timing["seconds"].as_array().expect("a list").len(), 3);
            let rate = number(&timing["images_per_second"]);
            assert!((rate * median / number(&timing["batch"]) - 1.0).abs() < 1e-9, "{timing}");
        }
    }
    // What is computed must have been there; workspace and fragments are more.
    // Gradients come while what was kept goes, so they need not add to the peak.
    let of = |name: &str| number(&memory[name]);
    let step = of("kept") + of("optimizer");
    for (one, held) in measured.iter().zip([of("inference"), step]) {
        let [start, peak] = ["start_memory_bytes", "peak_memory_bytes"].map(|name| number(&one[name]));
        assert!(peak > of("weights") + held, "a peak of {peak} bytes, {held} computed beside weights");
        assert!(peak - start < 4.0 * held, "{peak} bytes behind {start}, {held} computed");
    }
    // A measurement is remembered nowhere.
    assert!(lab.path().join(".dygl/costs").is_dir() && !lab.path().join(".dygl/measured").exists());
    let files = std::fs::read_dir(lab.path().join(".dygl/costs")).expect("folder").count();
    assert_eq!(files, 1);
}

#[test]
fn memory_is_told_and_bad_questions_are_refused() {
    let lab = Lab::default();
    let told = lab.dygl(&["cost", "dyglnet", "--batch", "8"]).exits(0).stdout;
    for part in ["memory at 8 images, computed", "alive at once", "kept for the backward pass", "AdamW"] {
        assert!(told.contains(part), "{part} is missing in\n{told}");
    }
    assert!(!told.contains("Measured"), "{told}");
    let all = lab.dygl(&["cost"]).exits(0).stdout;
    assert_eq!(all.lines().filter(|line| line.matches(" MiB").count() == 2).count(), 13, "{all}");
    for batch in ["0", "4097", "-1", "x"] {
        lab.dygl(&["cost", "unet", "--batch", batch]).exits(2);
    }
    lab.dygl(&["cost", "unet", "--measure", "--repeats", "0"]).exits(2);
    // What only a measurement has is refused without one.
    lab.dygl(&["cost", "unet", "--repeats", "3"]).exits(2);
    lab.dygl(&["cost", "unet", "--measure", "--device", "abacus"]).exits(2);
    let refused = lab.dygl(&["cost", "dyglnet", "--measure", "--size", "100"]).exits(2);
    assert!(refused.stderr.contains("nearest valid size"), "{}", refused.stderr);
    let absent = lab.dygl(&["cost", "unet", "--measure", "--device", "wgpu:0"]).exits(3);
    assert!(absent.stderr.contains("wgpu:0"), "{}", absent.stderr);
    assert!(!absent.stderr.contains("measuring"), "{}", absent.stderr);
}

#[test]
fn an_image_need_not_be_square() {
    let lab = Lab::default();
    let ledger = |size: &str| {
        let found = lab.dygl(&["cost", "unet", "--size", size, "--format", "json"]).exits(0).json();
        found["ledgers"][0].clone()
    };
    let [square, wide, high] = ["64", "64x96", "96x64"].map(ledger);
    assert_eq!([&square["size"], &wide["size"]], [&Value::from(64), &Value::from("64x96")]);
    // A convolutional network without a linear layer: as the area, whichever side is the longer.
    let operations = |ledger: &Value| number(&ledger["operations"]);
    assert_eq!(operations(&wide) / operations(&square), 1.5);
    assert_eq!((operations(&wide), &wide["parameters"]), (operations(&high), &square["parameters"]));
    let told = lab.dygl(&["cost", "unet", "--size", "320x224"]).exits(0).stdout;
    assert!(told.contains("one image of 320 x 224 px"), "{told}");
    let refusals = [
        ("unet", "224x", "WIDTHxHEIGHT"),
        ("unet", "0x64", "WIDTHxHEIGHT"),
        ("dyglnet", "64x100", "nearest valid size is"),
    ];
    for (model, size, why) in refusals {
        let refused = lab.dygl(&["cost", model, "--size", size]).exits(2);
        assert!(refused.stderr.contains(why), "{size}: {}", refused.stderr);
    }
    let refused = lab.dygl(&["cost", "swin_unet", "--size", "64x96"]).exits(2);
    assert!(refused.stderr.contains("takes square images alone"), "{}", refused.stderr);
    let all = lab.dygl(&["cost", "--size", "64x96"]).exits(0);
    assert!(
        all.stderr.contains("left out: `swin_unet` takes square") && all.stdout.contains("dyglnet"),
        "{}",
        all.stderr
    );
}
