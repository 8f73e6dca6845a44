//! Datasets of one's own: a manifest of globs, added, listed, trained on, and
//! refused at the line of each mistake.

use std::fs::{self, File};
use std::io::Cursor;

use dygl_tests::lab::Lab;
use image::{DynamicImage, GrayImage, ImageFormat};

/// Pictures of a disc on a plain ground beside masks of grey levels 0 and 60.
fn own_pairs(lab: &Lab, count: u32) {
    for number in 0..count {
        let inside =
            |x: u32, y: u32| (f64::from(x) - 20.0 - f64::from(number)).hypot(f64::from(y) - 16.0) < 8.0;
        let image =
            image::RgbImage::from_fn(48, 32, |x, y| image::Rgb([if inside(x, y) { 200 } else { 40 }, 9, 9]));
        let mask = GrayImage::from_fn(48, 32, |x, y| image::Luma([if inside(x, y) { 60 } else { 0 }]));
        for (folder, picture) in
            [("photo", DynamicImage::ImageRgb8(image)), ("truth", DynamicImage::ImageLuma8(mask))]
        {
            let mut bytes = Cursor::new(Vec::new());
            picture.write_to(&mut bytes, ImageFormat::Png).expect("encodes");
            lab.write(&format!("mine/{folder}/p{}_{number}.png", number / 3), bytes.into_inner());
        }
    }
}

const OWN: &str = "title = \"Discs of ours\"\nmask = { kind = \"grey\", above = 50 }\n\
                   group = { kind = \"start\", before = \"_\" }\n\n[[layout]]\n\
                   image = \"photo/{id}.png\"\nmask = \"truth/{id}.png\"\n";

#[test]
fn a_dataset_of_ones_own_is_added_listed_planned_and_trained_on() {
    let lab = Lab::default();
    own_pairs(&lab, 12);
    lab.write("my-discs.toml", OWN);
    let add = ["dataset", "add", "my-discs", "mine", "--manifest", "my-discs.toml", "--format", "json"];
    let added = lab.dygl(&add).exits(0).json();
    assert_eq!((added["images"].as_u64(), added["grouped"].as_u64()), (Some(12), Some(12)));
    // The file is not needed any more.
    fs::remove_file(lab.path().join("my-discs.toml")).expect("removed");
    let listed = lab.dygl(&["dataset", "list"]).exits(0).stdout;
    assert!(listed.contains("my-discs") && listed.contains("Discs of ours"), "{listed}");
    lab.dygl(&["dataset", "verify", "my-discs"]).exits(0);
    let lab = lab.with_experiment_on("my-discs", "own", r#"["dyglnet"]"#, 1);
    lab.dygl(&["run", "own"]).exits(0);
    lab.dygl(&["status", "own"]).exits(0);
    // Another threshold is another dataset: the result is stale.
    lab.write("my-discs.toml", OWN.replace("above = 50", "above = 10"));
    let again = lab.dygl(&add).exits(0).json();
    assert_ne!(again["digest"], added["digest"]);
    lab.dygl(&["status", "own"]).exits(8);
    let lab = lab.with_experiment_on("my-disks", "own", r#"["dyglnet"]"#, 1);
    let unknown = lab.dygl(&["plan", "own"]).exits(2);
    assert!(unknown.stderr.contains("did you mean `my-discs`?"), "{}", unknown.stderr);
}

#[test]
fn mistakes_in_a_manifest_of_ones_own_stand_at_their_lines() {
    let lab = Lab::default();
    own_pairs(&lab, 3);
    lab.write("bad.toml", OWN.replace("above = 50", "above = 500").replace("photo/{id}", "photo/{name}"));
    let refused = lab.dygl(&["dataset", "add", "mine", "mine", "--manifest", "bad.toml"]).exits(2);
    assert!(refused.stderr.contains("bad.toml:2:8"), "{}", refused.stderr);
    lab.write("good.toml", OWN);
    let taken = lab.dygl(&["dataset", "add", "tnbc", "mine", "--manifest", "good.toml"]).exits(2);
    assert!(taken.stderr.contains("built-in"), "{}", taken.stderr);
    let template = lab.dygl(&["dataset", "template"]).exits(0).stdout;
    assert!(template.contains("[[layout]]") && template.contains("{id}"));
    assert!(File::open(lab.path().join(".dygl/datasets/mine.json")).is_err());
}
