//! The tables that need neither data nor training: of the datasets, of the costs.

use std::fs;

use dygl_tests::lab::Lab;
use image::{GrayImage, RgbImage};

/// Twelve pairs under the names of CVC-ClinicDB.
fn clinic(lab: &Lab) {
    for number in 1..=12_u32 {
        for folder in ["images", "masks"] {
            fs::create_dir_all(lab.path().join("data/cvc-clinicdb").join(folder)).expect("folder");
        }
        let shade = |x: u32, y: u32| ((x * y + number * 7) % 200) as u8;
        let image = RgbImage::from_fn(64, 48, |x, y| image::Rgb([shade(x, y), shade(y, x), number as u8]));
        let mask = GrayImage::from_fn(64, 48, |x, _| image::Luma([if x < 20 + number { 255 } else { 0 }]));
        image.save(lab.path().join(format!("data/cvc-clinicdb/images/{number}.png"))).expect("image");
        mask.save(lab.path().join(format!("data/cvc-clinicdb/masks/{number}.png"))).expect("mask");
    }
}

#[test]
fn without_data_the_table_says_what_is_known_and_how_to_get_it() {
    let lab = Lab::default();
    lab.dygl(&["plan", "table1"]).exits(0);
    lab.dygl(&["run", "table1"]).exits(0);
    let report = lab.dygl(&["report", "table1", "--out", "out"]).exits(0).stdout;
    for told in ["Kvasir-SEG", "N/A", "dygl dataset add tnbc PATH", "not to its 1373 images", "7 of 7"] {
        assert!(report.contains(told), "{told} is missing in\n{report}");
    }
    for end in ["md", "csv", "json", "tex", "include.tex"] {
        assert!(lab.path().join(format!("out/table1.{end}")).is_file(), "{end}");
    }
    let csv = fs::read_to_string(lab.path().join("out/table1.csv")).expect("csv");
    assert_eq!(csv.lines().count(), 1 + 7 * 3);
    let page = fs::read_to_string(lab.path().join("out/index.html")).expect("page");
    assert!(page.contains("dygl dataset add kvasir-seg PATH") && !page.contains("<h2>Runs</h2>"));

    let one = lab.dygl(&["report", "table1", "--filter", "dataset=tnbc", "--out", "out"]).exits(0).stdout;
    assert!(one.contains("TNBC") && !one.contains("Kvasir-SEG"), "{one}");
    lab.dygl(&["report", "table1", "--filter", "dataset=nothing"]).exits(4);
}

#[test]
fn what_is_registered_stands_beside_what_the_paper_prints() {
    let lab = Lab::default();
    clinic(&lab);
    // The paper's protocol takes no part for the whole; the quick profile does.
    let refused = lab.dygl(&["run", "table1", "--data", "data"]).exits(3);
    assert!(refused.stderr.contains("612"), "{}", refused.stderr);
    lab.dygl(&["run", "table1", "--data", "data", "--profile", "quick"]).exits(0);
    let report = lab.dygl(&["report", "table1", "--out", "out"]).exits(0).stdout;
    for told in ["12 of 612", "images of 64 x 48", "`cvc-clinicdb` is partial", "6 of 7"] {
        assert!(report.contains(told), "{told} is missing in\n{report}");
    }
    let json = fs::read_to_string(lab.path().join("out/table1.json")).expect("json");
    let json: serde_json::Value = serde_json::from_str(&json).expect("json");
    let here = &json["datasets"][1]["here"];
    assert_eq!(
        (&here["state"], &here["images"], &here["expected"]),
        (&"registered".into(), &12.into(), &612.into())
    );
    assert_eq!(here["parts"]["train"], 10);
}

#[test]
fn costs_need_no_training_and_are_the_papers_to_the_digit() {
    let lab = Lab::default();
    let report = lab.dygl(&["report", "table7", "--out", "out"]).exits(0).stdout;
    assert!(report.contains("No mDice was reproduced"), "{report}");
    let json = fs::read_to_string(lab.path().join("out/table7.json")).expect("json");
    let json: serde_json::Value = serde_json::from_str(&json).expect("json");
    let cards = json["costs"].as_array().expect("costs");
    assert_eq!(cards.len(), 14);
    for card in cards {
        // The published network called Unet is not the one that the paper counted.
        let is_theirs = card["model"] != "unet";
        for (count, paper, unit) in [("parameters", "parameters", 1e6), ("operations", "operations", 1e9)] {
            let counted = card["published"][count].as_f64().expect("a count") / unit;
            let printed = card["paper"][paper]["text"].as_str().expect("a print");
            let agrees = format!("{counted:.2}") == printed;
            assert_eq!(agrees, is_theirs || count == "parameters", "{card}");
        }
    }
    // Beside the store, so that nobody counts twice.
    assert_eq!(fs::read_dir(lab.path().join(".dygl/costs")).expect("kept").count(), 14);
    // Another size: none of the paper's figures stands beside.
    let small =
        lab.dygl(&["report", "table7", "--filter", "model=unet", "--set", "image.size=64", "--out", "o"]);
    let small = small.exits(0).stdout;
    assert!(small.contains("64 x 64") && !small.contains("41.48"), "{small}");
    lab.dygl(&["report", "table7", "--filter", "model=nothing"]).exits(4);
}

#[test]
fn the_figure_is_drawn_from_the_papers_dice_until_there_is_another() {
    let lab = Lab::default();
    lab.dygl(&["report", "fig1", "--filter", "model=dyglnet|unet|m2snet", "--out", "out"]).exits(0);
    let page = fs::read_to_string(lab.path().join("out/index.html")).expect("page");
    assert_eq!(page.matches("<svg").count(), 4);
    assert!(page.contains("as the paper reports it; none was reproduced") && !page.contains("<h2>Runs</h2>"));
    for name in ["accuracy-published", "accuracy-true", "costs-published", "costs-true"] {
        let svg = fs::read_to_string(lab.path().join(format!("out/fig1-{name}.svg"))).expect("a figure");
        assert!(svg.contains("M2SNet") && svg.contains("mDice as reported"), "{name}");
        assert!(image::open(lab.path().join(format!("out/fig1-{name}.png"))).is_ok(), "{name}");
    }

    // The whole experiment on phantoms, as small as can be: what was reproduced is shown, and alone.
    let small = ["--profile", "smoke", "--set", "train.epochs=1", "--set", "schedule.warmup_epochs=0"];
    let with = |verb: &[&'static str]| [verb, &small, &["--filter", "model=unet"]].concat();
    lab.dygl(&with(&["run", "fig1"])).exits(0);
    let told = lab.dygl(&with(&["report", "fig1", "--out", "out"])).exits(0).stdout;
    assert!(told.contains("not comparable with the paper's") && !told.contains("those shown are"), "{told}");
    let svg = fs::read_to_string(lab.path().join("out/fig1-accuracy-true.svg")).expect("a figure");
    assert!(svg.contains("reproduced here (profile smoke)"), "{svg}");
}

#[test]
fn an_ablation_has_a_row_for_each_variant() {
    let lab = Lab::default();
    let report = lab.dygl(&["report", "table6", "--out", "out"]).exits(7).stdout;
    for label in ["w BiIn", "w TConv", "w/o DyT", "w/o DC", "w/o SA", "Split-DC", "Split-SA", "DyGLNet"] {
        assert!(report.contains(label), "{label} is missing in\n{report}");
    }
    let plan = lab.dygl(&["plan", "ablation", "table6", "--format", "json"]).exits(0).json();
    assert_eq!(plan["cells"].as_array().expect("cells").len(), 15 * 7, "the same cell in two tables is one");
}
