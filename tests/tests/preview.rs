//! Contact sheets of phantoms and of registered files.

use std::fs;

use dygl_tests::lab::Lab;

#[test]
fn every_phantom_is_listed_and_shown() {
    let lab = Lab::default();
    let listed = lab.dygl(&["dataset", "list"]).exits(0).stdout;
    for family in ["phantom-polyp", "phantom-flair", "phantom-skin", "phantom-gland", "phantom-nuclei"] {
        assert!(listed.contains(family), "{listed}");
        let name = format!("{family},count=20,size=64,seed=3");
        let shown = lab.dygl(&["dataset", "preview", &name, "--count", "5"]).exits(0);
        assert_eq!(shown.stdout.trim(), format!("{family}.png"));
        let sheet = image::open(lab.path().join(format!("{family}.png"))).expect("a PNG").into_rgb8();
        assert!(sheet.width() > 600 && sheet.height() > 400, "{:?}", sheet.dimensions());
        let colours: std::collections::BTreeSet<[u8; 3]> = sheet.pixels().map(|p| p.0).collect();
        assert!(colours.len() > 200, "{} colours", colours.len());
        assert!(colours.contains(&[240, 228, 66]), "masks are outlined");
    }
}

#[test]
fn a_sheet_repeats_and_follows_seed_part_and_place() {
    let lab = Lab::default();
    let name = "phantom-skin,count=30,size=48";
    let sheet = |more: &[&str]| -> (serde_json::Value, Vec<u8>) {
        let arguments =
            [&["dataset", "preview", name, "--count", "4", "--format", "json"][..], more].concat();
        let told = lab.dygl(&arguments).exits(0).json();
        let bytes = fs::read(lab.path().join(told["path"].as_str().expect("path"))).expect("the sheet");
        (told, bytes)
    };
    let (first, bytes) = sheet(&[]);
    assert_eq!(first["images"], serde_json::json!(["00000", "00007", "00015", "00022"]));
    assert_eq!(sheet(&["--out", "made/there.png"]).1, bytes, "the same bytes at another place");
    assert!(lab.path().join("made/there.png").is_file());
    let (drawn, _) = sheet(&["--seed", "5"]);
    assert_ne!(drawn["images"], first["images"]);
    assert_eq!(sheet(&["--seed", "5"]).0["images"], drawn["images"]);
    let (test, _) = sheet(&["--part", "test"]);
    assert_eq!(test["images"].as_array().expect("images").len(), 3, "a tenth of 30");
}

#[test]
fn training_views_come_from_the_worker() {
    let lab = Lab::default();
    let sheet = |out: &str, more: &[&str]| {
        let plain = ["dataset", "preview", "phantom-polyp,count=10,size=64", "--count", "6", "--out", out];
        lab.dygl(&[&plain[..], more].concat()).exits(0);
        fs::read(lab.path().join(out)).expect("the sheet")
    };
    let views = sheet("views.png", &["--augment"]);
    assert_eq!(views, sheet("again.png", &["--augment"]));
    assert_ne!(views, sheet("other.png", &["--augment", "--seed", "1"]));
    assert_ne!(views, sheet("quick.png", &["--augment", "--profile", "quick"]));
    assert_ne!(views, sheet("plain.png", &[]));
}

#[test]
fn mistakes_have_their_codes_and_leave_no_file() {
    let lab = Lab::default();
    for (arguments, code, told) in [
        (&["phantom-polp"][..], 2, "did you mean `phantom-polyp`"),
        (&["phantom-skin,empty=5"], 2, "has no option `empty`"),
        (&["phantom-skin,size=5"], 2, "from 16 to 4096"),
        (&["phantom-skin", "--count", "0"], 2, "1 to 200"),
        (&["phantom-skin", "--part", "tests"], 2, "possible values"),
        (&["phantom-skin", "--profile", "nope"], 2, "unknown profile"),
        (&["cvc-clinicdb"], 3, "dygl dataset add cvc-clinicdb PATH"),
        (&["phantom-skin", "--out", "/dev/null/x.png"], 3, "/dev/null/x.png"),
    ] {
        let refused = lab.dygl(&[&["dataset", "preview"][..], arguments].concat()).exits(code);
        assert!(refused.stderr.contains(told), "{arguments:?}: {}", refused.stderr);
    }
    assert_eq!(fs::read_dir(lab.path()).expect("folder").count(), 0);
    let help = lab.dygl(&["dataset", "preview", "--help"]).exits(0).stdout;
    assert!(help.contains("Example:"), "{help}");
}

#[test]
fn a_real_dataset_is_shown_with_its_terms() {
    let Some(lab) = Lab::default().with_shared("tnbc") else { return };
    let shown = lab.dygl(&["dataset", "preview", "tnbc", "--count", "3", "--format", "json"]).exits(0).json();
    assert_eq!(shown["images"].as_array().expect("images").len(), 3);
    assert!(lab.path().join("tnbc.png").is_file());
}
