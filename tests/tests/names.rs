//! Names of files, as cameras, archives and other systems leave them: every
//! picture is in a pair or told, a name has one partner, a group is one that groups.

use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;

use dygl_tests::lab::Lab;
use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage};
use serde_json::Value;
use zip::write::{SimpleFileOptions, ZipWriter};

fn png(picture: impl Into<DynamicImage>) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.into().write_to(&mut bytes, ImageFormat::Png).expect("encodes");
    bytes.into_inner()
}

/// A bright square on dark ground, and its truth: columns `from` to `to` of 48, all 32 rows.
fn photo(from: u32, to: u32) -> Vec<u8> {
    png(RgbImage::from_fn(48, 32, |x, y| {
        let inside = (from..to).contains(&x);
        Rgb([if inside { 210 } else { 40 }, (3 * x + y) as u8, from as u8])
    }))
}

fn truth(from: u32, to: u32) -> Vec<u8> {
    png(GrayImage::from_fn(48, 32, |x, _| Luma([if (from..to).contains(&x) { 255 } else { 0 }])))
}

fn manifest(lines: &str, image: &str, mask: &str) -> String {
    let mask = if mask.starts_with('[') { mask.to_owned() } else { format!("\"{mask}\"") };
    format!(
        "title = \"Squares\"\nmask = {{ kind = \"grey\", above = 127 }}\n{lines}\n[[layout]]\n\
         image = \"{image}\"\nmask = {mask}\n"
    )
}

/// Pairs under the names that `name` gives, each in both folders.
fn pairs(lab: &Lab, count: u32, image: impl Fn(u32) -> String, mask: impl Fn(u32) -> String) {
    for number in 0..count {
        lab.write(&format!("mine/{}", image(number)), photo(number, number + 20));
        lab.write(&format!("mine/{}", mask(number)), truth(number, number + 20));
    }
}

const ADD: [&str; 6] = ["dataset", "add", "mine", "mine", "--manifest", "mine.toml"];

fn add(lab: &Lab, more: &[&str]) -> dygl_tests::lab::Output {
    lab.dygl(&[&ADD[..], more].concat())
}

#[test]
fn endings_in_capital_letters_are_the_same() {
    let lab = Lab::default();
    let end = |number: u32| if number.is_multiple_of(2) { "PNG" } else { "png" };
    pairs(&lab, 10, |n| format!("images/{n}.{}", end(n)), |n| format!("masks/{n}.{}", end(n + n / 4)));
    lab.write("mine.toml", manifest("", "images/{id}.png", "masks/{id}.png"));
    let added = add(&lab, &["--format", "json"]).exits(0).json();
    assert_eq!((&added["images"], &added["expected"]), (&10.into(), &10.into()));
    assert_eq!(added["left_over"], Value::Array(Vec::new()));
    lab.dygl(&["dataset", "verify", "mine"]).exits(0);
}

#[test]
fn pictures_that_nobody_took_are_named_and_end_the_registration() {
    let lab = Lab::default();
    pairs(&lab, 3, |n| format!("images/{n}.png"), |n| format!("masks/{n}.png"));
    lab.write("mine/images/deeper/9.png", photo(1, 9));
    lab.write("mine/images/8.jpg", photo(1, 9));
    lab.write("mine/images/Thumbs.db", "x");
    lab.write("mine/__MACOSX/images/._0.png", "x");
    lab.write("mine.toml", manifest("", "images/{id}.png", "masks/{id}.png"));
    let refused = add(&lab, &[]).exits(2).stderr;
    for told in ["images/deeper/9.png", "images/8.jpg", "{id}.*", "--partial", "images = 3"] {
        assert!(refused.contains(told), "{told} is missing in\n{refused}");
    }
    assert!(!refused.contains("Thumbs") && !refused.contains("MACOSX"), "{refused}");
    assert!(!lab.path().join(".dygl/datasets/mine.json").exists());
    let partial = add(&lab, &["--partial", "--format", "json"]).exits(0);
    assert!(partial.stderr.contains("images/8.jpg"), "{}", partial.stderr);
    assert_eq!(partial.json()["left_over"].as_array().expect("a list").len(), 2);
    // The manifest says how many pairs there are: then the others are known.
    lab.write("mine.toml", manifest("images = 3", "images/{id}.png", "masks/{id}.png"));
    add(&lab, &[]).exits(0);
    // The same from an archive.
    let zip = zip_of(&lab.path().join("mine"), "");
    lab.write("mine.zip", zip);
    lab.write("mine.toml", manifest("", "images/{id}.png", "masks/{id}.png"));
    let refused =
        lab.dygl(&["dataset", "add", "mine", "mine.zip", "--manifest", "mine.toml"]).exits(2).stderr;
    assert!(refused.contains("images/deeper/9.png") && refused.contains("images/8.jpg"), "{refused}");
}

/// The files below a folder, below `top` in the archive.
fn zip_of(root: &Path, top: &str) -> Vec<u8> {
    fn collect(root: &Path, folder: &Path, top: &str, writer: &mut ZipWriter<Cursor<Vec<u8>>>) {
        for entry in fs::read_dir(folder).expect("readable") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                collect(root, &path, top, writer);
                continue;
            }
            let name = path.strip_prefix(root).expect("below").display().to_string();
            writer.start_file(format!("{top}{name}"), SimpleFileOptions::default()).expect("started");
            writer.write_all(&fs::read(&path).expect("read")).expect("written");
        }
    }
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    collect(root, root, top, &mut writer);
    writer.finish().expect("finished").into_inner()
}

/// The archive as a packer of Windows would have written it.
fn of_windows(bytes: &[u8], folders: &[&str]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for at in 0..bytes.len() {
        if bytes[at..].starts_with(b"PK\x01\x02") {
            bytes[at + 5] = 0;
        }
        for folder in folders {
            if bytes[at..].starts_with(folder.as_bytes()) {
                bytes[at + folder.len() - 1] = b'\\';
            }
        }
    }
    bytes
}

#[test]
fn archives_of_windows_and_names_of_macos_are_taken() {
    let lab = Lab::default();
    pairs(&lab, 4, |n| format!("images/Köln {n}.png"), |n| format!("masks/Ko\u{308}ln {n}.png"));
    lab.write("mine.toml", manifest("", "images/{id}.png", "masks/{id}.png"));
    let folder = add(&lab, &["--format", "json"]).exits(0);
    assert!(folder.stderr.contains("NFC"), "{}", folder.stderr);
    lab.write(
        "mine.zip",
        of_windows(&zip_of(&lab.path().join("mine"), "data/"), &["data/", "images/", "masks/"]),
    );
    let zip =
        lab.dygl(&["dataset", "add", "mine", "mine.zip", "--manifest", "mine.toml", "--format", "json"]);
    assert_eq!(zip.exits(0).json()["digest"], folder.json()["digest"]);
    let hostile = of_windows(&zip_of(&lab.path().join("mine"), "../x/"), &["../", "x/", "images/", "masks/"]);
    lab.write("hostile.zip", hostile);
    let refused = lab.dygl(&["dataset", "add", "mine", "hostile.zip", "--manifest", "mine.toml"]).exits(3);
    assert!(refused.stderr.contains("leads out of its folder"), "{}", refused.stderr);
    lab.write("mine.tar.xz", b"\xfd7zXZ\0 and so on");
    let refused = lab.dygl(&["dataset", "add", "mine", "mine.tar.xz", "--manifest", "mine.toml"]).exits(3);
    assert!(
        refused.stderr.contains("xz") && refused.stderr.contains("unpack it yourself"),
        "{}",
        refused.stderr
    );
    // A split that names the images in the other form.
    let ids = "id,part\r\nKo\u{308}ln 0,train\r\nKöln 1,train\r\nKöln 2,validation\r\nKöln 3,test\r\n";
    lab.write("parts.csv", ids);
    lab.dygl(&["dataset", "split", "mine", "--file", "parts.csv"]).exits(0);
}

#[test]
fn groups_are_spoken_of_only_where_the_rule_groups() {
    let lab = Lab::default();
    let name = |n: u32| format!("p{}-{}", n / 4, n % 4);
    pairs(&lab, 16, |n| format!("images/{}.png", name(n)), |n| format!("masks/{}.png", name(n)));
    let rule = |before: &str| format!("group = {{ kind = \"start\", before = \"{before}\" }}");
    let with = |before: &str| {
        lab.write("mine.toml", manifest(&rule(before), "images/{id}.png", "masks/{id}.png"));
        add(&lab, &[]).exits(0).stderr
    };
    let split = |more: &[&str]| lab.dygl(&[&["dataset", "split", "mine"], more].concat());
    // The separator is in no id.
    let told = with("_");
    assert!(told.contains("`_` of group.before is in no id") && told.contains("`p0-0`"), "{told}");
    for source in ["by-group", "grouped-k-fold"] {
        let refused = split(&["--source", source]).exits(2).stderr;
        assert!(refused.contains("is in no id") && refused.contains("register it anew"), "{refused}");
    }
    let seeded = split(&["--format", "json"]).exits(0).json();
    let groups = &seeded["groups"];
    assert_eq!(
        (&groups["known"], &groups["count"], &groups["unknown"]),
        (&false.into(), &0.into(), &16.into())
    );
    assert!(split(&[]).exits(0).stdout.contains("It is not known which images belong together"));
    // The right one.
    let told = with("-");
    assert!(!told.contains("group"), "{told}");
    let whole = split(&["--source", "by-group"]).exits(0).stdout;
    assert!(whole.contains("Each of the 4 groups lies in one part."), "{whole}");
    // One that makes every image a group of its own.
    lab.write(
        "mine/people.csv",
        "image,who\n".to_owned() + &(0..16).map(|n| format!("{},w{n}\n", name(n))).collect::<String>(),
    );
    let table = "group = { kind = \"table\", file = \"people.csv\", id = \"image\", group = \"who\" }";
    lab.write("mine.toml", manifest(table, "images/{id}.png", "masks/{id}.png"));
    assert!(add(&lab, &[]).exits(0).stderr.contains("every group is one image"));
    split(&["--source", "by-group"]).exits(2);
    assert!(!split(&[]).exits(0).stdout.contains("lies in one part"));
    // Blanks are unknown, a contradiction is a mistake with its lines, ids spelt as files are told once.
    lab.write(
        "mine/people.csv",
        "image,who\n".to_owned()
            + &(0..16).map(|n| format!("{},{}\n", name(n), if n < 8 { "a" } else { "" })).collect::<String>(),
    );
    assert!(add(&lab, &[]).exits(0).stderr.contains("of 8 of 16 images is not known"));
    split(&["--source", "by-group"]).exits(2);
    lab.write(
        "mine/people.csv",
        "image,who\n".to_owned()
            + &(0..17).map(|n| format!("{},w{}\n", name(n % 16), n / 4)).collect::<String>(),
    );
    let refused = add(&lab, &[]).exits(2).stderr;
    assert!(refused.contains("`p0-0` two groups: `w0` in line 2, `w4` in line 18"), "{refused}");
    lab.write(
        "mine/people.csv",
        "image,who\n".to_owned() + &(0..16).map(|n| format!("{}.png,w\n", name(n))).collect::<String>(),
    );
    let refused = add(&lab, &[]).exits(2).stderr;
    assert!(refused.contains("names 16 image(s) with the endings of their files (`p0-0.png`)"), "{refused}");
    // Without a rule, what to write.
    lab.write("mine.toml", manifest("", "images/{id}.png", "masks/{id}.png"));
    add(&lab, &[]).exits(0);
    assert!(split(&["--source", "by-group"]).exits(2).stderr.contains("group = {"));
}

#[test]
fn names_that_repeat_in_folders_are_told_apart_by_in_id() {
    let lab = Lab::default();
    pairs(
        &lab,
        6,
        |n| format!("p{}/images/{}.png", n / 2, n % 2),
        |n| format!("p{}/masks/{}.png", n / 2, n % 2),
    );
    let (image, mask) = ("{group}/images/{id}.png", "{group}/masks/{id}.png");
    lab.write("mine.toml", manifest("", image, mask));
    let refused = add(&lab, &[]).exits(2).stderr;
    assert!(refused.contains("in_id = true") && refused.contains("p0/images/0.png"), "{refused}");
    lab.write("mine.toml", manifest("group = { kind = \"folder\", in_id = true }", image, mask));
    let added = add(&lab, &["--format", "json"]).exits(0).json();
    assert_eq!((&added["images"], &added["grouped"]), (&6.into(), &6.into()));
    let whole = lab.dygl(&["dataset", "split", "mine", "--source", "by-group"]).exits(0).stdout;
    assert!(whole.contains("Each of the 3 groups lies in one part."), "{whole}");
}

#[test]
fn several_masks_of_one_image_are_one() {
    let lab = Lab::default();
    pairs(&lab, 4, |n| format!("images/{n}.png"), |n| format!("masks/{n}_mask.png"));
    // Foreground of 20 columns of 48; the second mask adds eight.
    for number in 0..4 {
        lab.write(&format!("mine/masks/{number}_mask_1.png"), truth(40, 48));
    }
    let audited = |name: &str| {
        let found = lab.dygl(&["dataset", "audit", name, "--format", "json"]).json();
        found["masks"]["foreground"]["mean"].as_f64().unwrap_or_else(|| panic!("{}", found["masks"]))
    };
    lab.write("mine.toml", manifest("", "images/{id}.png", "masks/{id}_mask*.png"));
    add(&lab, &[]).exits(0);
    assert!((audited("mine") - 28.0 / 48.0).abs() < 1e-9, "{}", audited("mine"));
    lab.dygl(&["dataset", "verify", "mine"]).exits(0);
    lab.write(
        "mine.toml",
        manifest("", "images/{id}.png", "[\"masks/{id}_mask.png\", \"masks/{id}_mask_1.png\"]"),
    );
    add(&lab, &[]).exits(0);
    assert!((audited("mine") - 28.0 / 48.0).abs() < 1e-9);
    // Each of them is watched.
    lab.write("mine/masks/2_mask_1.png", truth(41, 48));
    let altered = lab.dygl(&["dataset", "verify", "mine"]);
    assert!(
        altered.code != 0 && altered.stdout.contains("masks/2_mask_1.png")
            || altered.stderr.contains("masks/2_mask_1.png")
    );
    // Without a word the second mask is no pair's.
    lab.write("mine.toml", manifest("", "images/{id}.png", "masks/{id}_mask.png"));
    assert!(add(&lab, &[]).exits(2).stderr.contains("4 pictures match no layout"));
}

#[test]
fn predictions_have_one_truth_each_and_are_no_photos() {
    let lab = Lab::default().with_experiment("tiny", r#"["dyglnet"]"#, 1);
    lab.dygl(&["run", "tiny"]).exits(0);
    let status = lab.dygl(&["status", "tiny", "--format", "json"]).exits(0).json();
    let key = status["cells"][0]["train_key"].as_str().expect("a key").to_owned();
    let predict = |more: &[&str]| lab.dygl(&[&["predict", "--run", &key], more].concat());
    for number in 0..4 {
        lab.write(&format!("in/{number}.png"), photo(number, number + 20));
        lab.write(&format!("truth/{number}_anno.png"), truth(number, number + 20));
    }
    // A suffix is a pattern; without one the message offers it.
    let refused = predict(&["in", "--truth", "truth", "--out", "a"]).exits(2).stderr;
    assert!(refused.contains("truth/{id}_anno.png"), "{refused}");
    let scored = predict(&["in", "--truth", "truth/{id}_anno.png", "--out", "in/out", "--format", "json"]);
    let scored = scored.exits(0).json();
    assert_eq!(scored["predicted"], 4);
    assert!(scored["mean_scores"]["dice"].is_number(), "{}", scored["mean_scores"]);
    // Again, with another folder for the outputs: those of the first are no photos.
    let again = predict(&["in", "--out", "in/second", "--format", "json"]).exits(0);
    assert_eq!(again.json()["predicted"], 4);
    assert!(again.stderr.contains("12 pictures"), "{}", again.stderr);
    // Two images, one truth.
    lab.write("two/1.png", photo(0, 20));
    lab.write("two/1.jpg", photo(5, 25));
    lab.write("one/1.png", truth(0, 20));
    let refused = predict(&["two", "--truth", "one", "--out", "b"]).exits(2).stderr;
    for name in ["one/1.png", "two/1.png", "two/1.jpg"] {
        assert!(refused.contains(name), "{refused}");
    }
    assert!(!lab.path().join("b").exists(), "nothing is computed");
}
