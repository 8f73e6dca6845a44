//! The table of the datasets, which needs neither data nor training.

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
