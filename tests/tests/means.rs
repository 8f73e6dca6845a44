//! Means in tables: over which images they are, and what is compared with what; rules
//! that would have nothing to select on; the mean over folds.

use std::collections::BTreeMap;
use std::fs;

use dygl_tests::lab::Lab;
use image::{GrayImage, Luma, Rgb, RgbImage};

/// Discs on a dark ground; every second one is missing, in the image and in the truth, where
/// `with_empty`.
fn pairs(lab: &Lab, name: &str, count: u32, with_empty: bool, manifest: &str) {
    for number in 0..count {
        let there = !with_empty || number % 2 == 1;
        let inside = |x: u32, y: u32| {
            there && (f64::from(x) - 14.0 - f64::from(2 * number)).hypot(f64::from(y) - 16.0) < 9.0
        };
        let image = RgbImage::from_fn(48, 32, |x, y| {
            Rgb([if inside(x, y) { 210 } else { 20 + (x * y % 30) as u8 }, 9, 9])
        });
        let mask = GrayImage::from_fn(48, 32, |x, y| Luma([if inside(x, y) { 255 } else { 0 }]));
        for folder in ["images", "masks"] {
            fs::create_dir_all(lab.path().join(name).join(folder)).expect("folder");
        }
        image.save(lab.path().join(format!("{name}/images/{number:02}.png"))).expect("image");
        mask.save(lab.path().join(format!("{name}/masks/{number:02}.png"))).expect("mask");
    }
    let rule = "mask = { kind = \"grey\", above = 127 }";
    let layout = "[[layout]]\nimage = \"images/{id}.png\"\nmask = \"masks/{id}.png\"";
    lab.write(&format!("{name}.toml"), format!("title = \"{name}\"\n{rule}\n{manifest}\n{layout}\n"));
}

fn add(lab: &Lab, name: &str) {
    lab.dygl(&["dataset", "add", name, name, "--manifest", &format!("{name}.toml")]).exits(0);
}

/// The lines of a CSV by the names of its header.
fn csv(lab: &Lab, path: &str) -> Vec<BTreeMap<String, String>> {
    let text = fs::read_to_string(lab.path().join(path)).expect("a CSV");
    csv::Reader::from_reader(text.as_bytes()).deserialize().map(|line| line.expect("a line")).collect()
}

/// The scores of one metric of an evaluation, image by image.
fn per_image(lab: &Lab, key: &str, metric: &str) -> Vec<f64> {
    let path = lab.stored("per_image.csv").into_iter().find(|path| path.to_string_lossy().contains(key));
    let text = fs::read_to_string(path.expect("an evaluation")).expect("scores");
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let column =
        reader.headers().expect("a header").iter().position(|name| name == metric).expect("a column");
    reader.records().filter_map(|line| line.expect("a line")[column].parse().ok()).collect()
}

#[test]
fn every_number_carries_the_n_of_its_mean_and_other_images_are_not_ranked() {
    let lab = Lab::default().with_experiment_on("half-empty", "sweep", r#"["dcsau_net"]"#, 1);
    pairs(&lab, "half-empty", 16, true, "counts = { train = 4, validation = 1, test = 11 }");
    add(&lab, "half-empty");
    let sweep = ["--set", "evaluate.empty=skip", "--set", "evaluate.threshold=0.3,0.9999"];
    lab.dygl(&[&["run", "sweep"][..], &sweep].concat()).exits(0);
    let told = lab.dygl(&[&["report", "sweep", "--out", "r"][..], &sweep].concat()).exits(0).stdout;
    let lines = csv(&lab, "r/sweep.csv");
    assert_eq!(lines.len(), 4);
    let mut counts = Vec::new();
    for line in &lines {
        let scores = per_image(&lab, &line["eval_key"], &line["metric"]);
        let [images, skipped] =
            ["images", "skipped"].map(|name| line[name].parse::<usize>().expect("a count"));
        assert_eq!(images, scores.len(), "{line:?}");
        assert_eq!(images + skipped, 11);
        let mean = scores.iter().sum::<f64>() / images as f64;
        assert!((line["value"].parse::<f64>().expect("a mean") - mean).abs() < 1e-12, "{line:?}");
        counts.push(images);
    }
    // At 0.9999 nothing is found, so the images without a disc are left out; at 0.3 a network that
    // has seen one epoch finds something in most of them.
    assert_eq!(lines[2]["evaluate.threshold"], "0.9999");
    assert!(counts[0] > counts[2], "{counts:?}");
    assert!(told.contains("not ranked") && told.contains(&format!("n = {}", counts[2])), "{told}");
    let json = fs::read_to_string(lab.path().join("r/sweep.json")).expect("JSON");
    assert!(!json.contains("\"best\"") && !json.contains("\"second\""), "nothing is the best");

    // Of a part without any disc nothing is left: said once.
    let part = |number: usize| match number % 2 {
        0 => "test",
        _ if number == 1 => "validation",
        _ => "train",
    };
    let lists: String = (0..16).map(|number| format!("{number:02},{}\n", part(number))).collect();
    lab.write("lists.csv", format!("id,part\n{lists}"));
    let none =
        ["evaluate.empty=skip", "evaluate.threshold=0.9999", "split.source=file", "split.file=lists.csv"];
    let none: Vec<&str> = none.iter().flat_map(|set| ["--set", set]).collect();
    lab.dygl(&[&["run", "sweep"][..], &none].concat()).exits(0);
    let told = lab.dygl(&[&["report", "sweep", "--out", "n"][..], &none].concat()).exits(0).stdout;
    assert_eq!(told.matches("left out of the means").count(), 1, "{told}");
    assert!(csv(&lab, "n/sweep.csv").iter().all(|line| line["images"] == "0" && line["skipped"] == "8"));
}

#[test]
fn the_best_epoch_needs_images_to_be_the_best_on() {
    let lab = Lab::default().with_experiment_on("no-validation", "best", r#"["dcsau_net"]"#, 2);
    pairs(&lab, "no-validation", 12, false, "counts = { train = 8, validation = 0, test = 4 }");
    add(&lab, "no-validation");
    let text = fs::read_to_string(lab.path().join("experiments/best.toml")).expect("read");
    let every = "selection.every = 1\n";
    lab.write(
        "experiments/best.toml",
        text.replace(every, &format!("{every}selection.rule = \"best-dice\"\n")),
    );
    for verb in ["plan", "run", "status", "report"] {
        let told = lab.dygl(&[verb, "best"]).exits(2).stderr;
        for part in
            ["experiments/best.toml:", "selects the best epoch", "holds no image", "selection.rule to last"]
        {
            assert!(told.contains(part), "{verb}: {part} is missing in\n{told}");
        }
    }
    // Folds, groups and folders give it no such part either; lists of one's own do.
    lab.dygl(&["plan", "best", "--set", "split.source=k-fold", "--set", "split.fold=0,1"]).exits(2);
    lab.dygl(&["plan", "best", "--set", "selection.every=3"]).exits(2);
    let parts = (0..12).map(|n| format!("{n:02},{}\n", ["train", "validation", "test"][n % 3]));
    lab.write("lists.csv", format!("id,part\n{}", parts.collect::<String>()));
    let listed = ["--set", "split.source=file", "--set", "split.file=lists.csv"];
    lab.dygl(&[&["plan", "best"][..], &listed].concat()).exits(0);
    let parts = (0..12).map(|n| format!("{n:02},{}\n", ["train", "test"][n % 2]));
    lab.write("two.csv", format!("id,part\n{}", parts.collect::<String>()));
    lab.dygl(&["plan", "best", "--set", "split.source=file", "--set", "split.file=two.csv"]).exits(2);
    lab.dygl(&["plan", "best", "--set", "selection.part=test"]).exits(0);
    lab.dygl(&["run", "best", "--set", "selection.rule=last"]).exits(0);
    assert_eq!(lab.weights().len(), 1, "one training, under one key");
    // What the paper's datasets lack is known before they are there.
    let told = lab.dygl(&["plan", "table5", "--set", "selection.rule=best-dice"]).exits(2).stderr;
    assert!(told.contains("`tnbc`") && !told.contains("`glas`"), "{told}");
}

#[test]
fn a_dataset_that_a_run_registers_is_asked_too() {
    let lab = Lab::default().with_experiment_on("cvc-clinicdb", "offered", r#"["dcsau_net"]"#, 1);
    pairs(&lab, "data/cvc-clinicdb", 12, false, "");
    let lists = (1..12).map(|n| format!("{n:02},{}\n", ["train", "test"][n % 2])).collect::<String>();
    lab.write("lists.csv", format!("id,part\n00,train\n{lists}"));
    let set = ["selection.rule=best-dice", "split.source=file", "split.file=lists.csv", "image.size=32"];
    let set: Vec<&str> = set.iter().flat_map(|set| ["--set", set]).collect();
    let run = ["run", "offered", "--data", "data", "--profile", "quick"];
    let told = lab.dygl(&[&run[..], &set].concat()).exits(2).stderr;
    assert!(told.contains("nothing was run") && told.contains("the best epoch cannot be selected"), "{told}");
    assert!(lab.weights().is_empty());
}

#[test]
fn folds_have_a_mean_and_their_setting_a_column() {
    let lab = Lab::default().with_experiment("folds", r#"["dcsau_net", "unet"]"#, 1);
    let folds = ["--set", "split.source=k-fold", "--set", "split.folds=3", "--set", "split.fold=0,1,2"];
    lab.dygl(&[&["run", "folds"][..], &folds].concat()).exits(0);
    let told = lab.dygl(&[&["report", "folds", "--out", "r"][..], &folds].concat()).exits(0).stdout;
    assert_eq!(told.matches("mean over 3 folds").count(), 2, "{told}");
    assert!(!told.contains("not ranked"), "{told}");
    let lines = csv(&lab, "r/folds.csv");
    let dice: Vec<&BTreeMap<String, String>> = lines.iter().filter(|line| line["metric"] == "dice").collect();
    let settings: Vec<&str> = dice.iter().map(|line| line["split.fold"].as_str()).collect();
    assert_eq!(settings, ["0", "1", "2", "", "0", "1", "2", ""]);
    for four in dice.chunks(4) {
        let value = |line: &BTreeMap<String, String>| line["value"].parse::<f64>().expect("a number");
        let mean = four[..3].iter().map(|line| value(line)).sum::<f64>() / 3.0;
        assert!((value(four[3]) - mean).abs() < 1e-12);
        assert_eq!([&four[3]["seed"], &four[3]["state"], &four[3]["images"]], ["", "mean", "12"]);
    }
}
