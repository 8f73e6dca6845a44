//! The audit through the program: on images made here, and on the real sets.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use dygl_tests::lab::{Lab, alter, shared};
use image::{GrayImage, Luma, Rgb, RgbImage};
use serde_json::Value;

/// Registers a folder of the shared data and audits it.
#[track_caller]
fn audited(lab: &Lab, id: &str, folder: &Path, arguments: &[&str]) -> Value {
    let folder = folder.to_str().expect("UTF-8");
    lab.dygl(&["dataset", "add", id, folder, "--partial"]).exits(0);
    let all = [&["dataset", "audit", id, "--format", "json"], arguments].concat();
    lab.dygl(&all).exits(0).json()
}

fn pairs(found: &Value) -> Vec<(BTreeSet<String>, bool)> {
    let list = found["duplicates"]["pairs"].as_array().expect("a list").iter();
    let id = |pair: &Value, name: &str| pair[name].as_str().expect("an id").to_owned();
    list.map(|pair| {
        let both = [id(pair, "a"), id(pair, "b")].into();
        (both, pair["across"].as_bool().expect("a flag"))
    })
    .collect()
}

/// Pictures in the layout of CVC-ClinicDB; the last is the first again.
fn clinic(lab: &Lab, count: u32) {
    let root = lab.path().join("set");
    for sub in ["images", "masks"] {
        fs::create_dir_all(root.join(sub)).expect("folder");
    }
    for number in 0..count {
        let wave = f64::from(number % (count - 1)) + 1.0;
        let image = RgbImage::from_fn(64, 48, |x, y| {
            let level =
                120.0 + 90.0 * (f64::from(x) * wave / 40.0).sin() * (f64::from(y) / (4.0 + wave)).cos();
            Rgb([level as u8, 60, 40])
        });
        let mask = GrayImage::from_fn(64, 48, |x, _| Luma([if x < 5 + number { 255 } else { 0 }]));
        image.save(root.join(format!("images/{number}.png"))).expect("image");
        mask.save(root.join(format!("masks/{number}.png"))).expect("mask");
    }
    lab.dygl(&["dataset", "add", "cvc-clinicdb", "set", "--partial"]).exits(0);
}

#[test]
fn findings_are_data_and_a_script_may_fail_on_them() {
    let lab = Lab::default();
    clinic(&lab, 12);
    let audit = ["dataset", "audit", "cvc-clinicdb", "--source", "seeded"];
    let text = lab.dygl(&audit).exits(0).stdout;
    assert!(text.contains("1 pair(s) of equal files") && text.contains("0 = 11"), "{text}");
    lab.dygl(&[&audit[..], &["--fail-on", "duplicates"]].concat()).exits(1);
    // Both in one part: a duplicate and no leak; else a leak.
    for seed in ["1", "2", "3", "4", "5", "6"] {
        let with = [&audit[..], &["--seed", seed, "--format", "json"]].concat();
        let across = pairs(&lab.dygl(&with).exits(0).json())[0].1;
        let fails = [&audit[..], &["--seed", seed, "--fail-on", "leak,duplicates"]].concat();
        lab.dygl(&fails).exits(1);
        let torn = lab.dygl(&with).json()["groups"]["straddling"].as_array().expect("a list").len();
        let leaks = [&audit[..], &["--seed", seed, "--fail-on", "leak"]].concat();
        lab.dygl(&leaks).exits(i32::from(across || torn > 0));
    }
    lab.dygl(&["dataset", "audit", "phantom-skin,count=12,size=32"]).exits(0);
}

#[test]
fn the_page_withholds_restricted_images_unless_asked() {
    let lab = Lab::default();
    clinic(&lab, 12);
    let page = |arguments: &[&str]| {
        let all = [&["dataset", "audit", "cvc-clinicdb", "--out", "out"], arguments].concat();
        let output = lab.dygl(&all).exits(0);
        assert!(output.stdout.trim_end().ends_with("out/index.html"), "{}", output.stdout);
        fs::read_to_string(lab.path().join("out/index.html")).expect("the page")
    };
    let (without, with) = (page(&[]), page(&["--embed-images"]));
    assert!(without.contains("may not be shown to others") && !with.contains("may not be shown"));
    assert!(without.contains("data:image/jpeg") && with.contains("data:image/jpeg"));
    let json = fs::read_to_string(lab.path().join("out/audit.json")).expect("the data");
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["duplicates"]["file"], 1);
}

#[test]
fn altered_files_are_not_audited() {
    let lab = Lab::default();
    clinic(&lab, 12);
    alter(&lab.path().join("set/images/3.png"));
    let refused = lab.dygl(&["dataset", "audit", "cvc-clinicdb"]).exits(5);
    assert!(refused.stderr.contains("images/3.png"), "{}", refused.stderr);
}

/// Kvasir id of each image of the 352 px copy, as its notice maps them.
fn original_ids(folder: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(folder.join("original_ids.csv")).expect("the map");
    text.lines()
        .skip(1)
        .map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            (format!("{}/{}", fields[0], fields[1].trim_end_matches(".jpg")), fields[2].to_owned())
        })
        .collect()
}

/// The near-identical pairs of Kvasir-SEG that were found independently, by
/// other code on another copy; one straddles train and test.
#[test]
fn the_known_pairs_of_kvasir_are_found() {
    let Some(shared) = shared("data") else { return };
    let lab = Lab::default();
    let folder = shared.join("kvasir-seg-352");
    let found = audited(&lab, "kvasir-seg-352", &folder, &["--out", "out", "--embed-images"]);
    let names = original_ids(&folder);
    let pairs: Vec<(BTreeSet<&str>, bool)> = pairs(&found)
        .into_iter()
        .map(|(pair, across)| (pair.iter().map(|id| names[id].as_str()).collect(), across))
        .collect();
    println!("{pairs:#?}\n{:#}", found["duplicates"]["not_counted"]);
    for known in [
        ["cju76lsehyia10987u54vn8rb", "cju772304yw5t0818vbw8kkjf"],
        ["cju886ryxnsl50801r93jai7q", "cju8amfdtqi4x09871tygrgqe"],
        ["cju30bmab08bi0835mvlr6e0r", "cju77k828z46w0871r0avuoo9"],
    ] {
        assert!(pairs.iter().any(|(pair, _)| *pair == known.into()), "{known:?} is not found");
    }
    // With the fourth that is close, and nothing else among half a million pairs.
    assert!(pairs.iter().any(|(pair, _)| pair.contains("cju5fydrud94708507vo6oy21")));
    assert_eq!(pairs.len(), 4);
    let straddling: Vec<_> = pairs.iter().filter(|(_, across)| *across).collect();
    assert_eq!(straddling.len(), 1);
    assert!(straddling[0].0.contains("cju30bmab08bi0835mvlr6e0r"), "{straddling:?}");
    assert_eq!(found["masks"]["soft"]["masks"], 1000);
}

#[test]
fn the_frames_and_greys_of_cvc_are_found() {
    let Some(shared) = shared("data") else { return };
    let lab = Lab::default();
    let found = audited(&lab, "cvc-clinicdb", &shared.join("cvc-clinicdb"), &["--source", "seeded"]);
    println!("{:#}\n{:#}", found["duplicates"]["near"], found["masks"]["soft"]);
    // Frames 31 and 41, 371 and 381 are the same videos, ten frames later.
    let near: Vec<BTreeSet<String>> = pairs(&found).into_iter().map(|(pair, _)| pair).collect();
    assert!(near.contains(&["31".to_owned(), "41".to_owned()].into()), "{near:?}");
    let soft = &found["masks"]["soft"];
    assert!(soft["masks"].as_u64().expect("a count") > 5, "{soft}");
    assert!(soft["masks_that_grow"].as_u64().expect("a count") > 5, "{soft}");
    // Where it is known which frames are one video, a random split tears them.
    if found["groups"]["known"] == true {
        assert!(found["groups"]["straddling"].as_array().expect("a list").len() > 5, "{}", found["groups"]);
    }
}

#[test]
fn the_slides_of_tnbc_straddle() {
    let Some(shared) = shared("data") else { return };
    let lab = Lab::default();
    let found = audited(&lab, "tnbc", &shared.join("tnbc"), &[]);
    assert!(found["groups"]["straddling"].as_array().expect("a list").len() >= 5);
    assert_eq!(found["masks"]["soft"]["masks"], 0);
    assert_eq!(found["duplicates"]["pairs"].as_array().map(Vec::len), Some(0));
    let whole = lab.dygl(&["dataset", "audit", "tnbc", "--source", "by-group", "--fail-on", "leak"]);
    println!("{}", whole.stdout);
    whole.exits(0);
}

/// The LGG slices, in the layout of a dataset of grey masks.
#[test]
fn the_empty_masks_and_equal_channels_of_lgg_are_found() {
    let Some(shared) = shared("data") else { return };
    let lab = Lab::default();
    let from = shared.join("lgg-mri");
    let to = lab.path().join("lgg");
    for (sub, ending) in [("images", ".tif"), ("masks", "_mask.tif")] {
        fs::create_dir_all(to.join(sub)).expect("folder");
        for entry in fs::read_dir(from.join(sub)).expect("folder").flatten() {
            let name = entry.file_name().into_string().expect("UTF-8");
            // The decoder goes by content.
            if let Some(stem) = name.strip_suffix(ending) {
                fs::copy(entry.path(), to.join(sub).join(format!("{stem}.jpg"))).expect("copied");
            }
        }
    }
    let found = audited(&lab, "kvasir-seg", &to, &[]);
    assert_eq!(found["images"], 60);
    assert_eq!(found["masks"]["empty"], 20);
    println!("{:#}", found["channels"]);
    assert!(found["channels"]["two_equal"].as_u64().expect("a count") > 0, "{}", found["channels"]);
    assert_eq!(found["masks"]["soft"]["masks"], 0);
}
