//! What of a mask is foreground: the same truth in several encodings through
//! registration, training, audit, preview and prediction; and masks that the rule
//! does not fit.

use std::fs;
use std::io::Cursor;

use dygl_tests::lab::{Lab, Output};
use image::{DynamicImage, GrayImage, ImageBuffer, ImageFormat, Luma, Rgb, RgbImage, Rgba, RgbaImage};

const SIZE: (u32, u32) = (64, 48);
const COUNT: u32 = 12;

fn inside(number: u32, x: u32, y: u32) -> bool {
    let centre = (f64::from(20 + 2 * number), f64::from(18 + number));
    (f64::from(x) - centre.0).hypot(f64::from(y) - centre.1) < 9.0 + f64::from(number % 4)
}

fn png(picture: impl Into<DynamicImage>) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.into().write_to(&mut bytes, ImageFormat::Png).expect("encodes");
    bytes.into_inner()
}

/// The mask of a pair, of which the function is told where the disc is.
type Mask<'a> = &'a dyn Fn(&dyn Fn(u32, u32) -> bool) -> Vec<u8>;

/// Twelve discs in `images/`, their masks in `folder`.
fn discs(lab: &Lab, folder: &str, mask: Mask<'_>) {
    for number in 0..COUNT {
        let disc = |x: u32, y: u32| inside(number, x, y);
        let image = RgbImage::from_fn(SIZE.0, SIZE.1, |x, y| {
            let noise = ((x * 31 + y * 17 + number * 7) % 50) as u8;
            Rgb([noise + if disc(x, y) { 150 } else { 0 }, noise, 30])
        });
        lab.write(&format!("images/{number:02}.png"), png(image));
        lab.write(&format!("{folder}/{number:02}.png"), mask(&disc));
    }
}

fn grey(value: impl Fn(u32, u32) -> u8) -> Vec<u8> {
    png(GrayImage::from_fn(SIZE.0, SIZE.1, |x, y| Luma([value(x, y)])))
}

fn two(high: u8, low: u8) -> impl Fn(&dyn Fn(u32, u32) -> bool) -> Vec<u8> {
    move |disc| grey(|x, y| if disc(x, y) { high } else { low })
}

fn alpha(disc: &dyn Fn(u32, u32) -> bool) -> Vec<u8> {
    let clear = |x, y| Rgba([255, 255, 255, if disc(x, y) { 255 } else { 0 }]);
    png(RgbaImage::from_fn(SIZE.0, SIZE.1, clear))
}

fn deep(high: u16) -> impl Fn(&dyn Fn(u32, u32) -> bool) -> Vec<u8> {
    move |disc| {
        let value = |x, y| Luma([if disc(x, y) { high } else { 0 }]);
        png(DynamicImage::ImageLuma16(ImageBuffer::from_fn(SIZE.0, SIZE.1, value)))
    }
}

fn red(disc: &dyn Fn(u32, u32) -> bool) -> Vec<u8> {
    png(RgbImage::from_fn(SIZE.0, SIZE.1, |x, y| Rgb([if disc(x, y) { 255 } else { 0 }, 0, 0])))
}

fn manifest(rule: &str, more: &str) -> String {
    format!(
        "title = \"Discs\"\nmask = {rule}\n{more}\n[[layout]]\nimage = \"images/{{id}}.png\"\n\
         mask = \"masks/{{id}}.png\"\n"
    )
}

fn add(lab: &Lab, rule: &str, more: &[&str]) -> Output {
    lab.write("discs.toml", manifest(rule, ""));
    lab.dygl(&[&["dataset", "add", "discs", ".", "--manifest", "discs.toml"], more].concat())
}

/// The share of foreground of all discs, by hand.
fn share() -> f64 {
    let marked = |number: u32| {
        let pixels = (0..SIZE.1).flat_map(|y| (0..SIZE.0).map(move |x| (x, y)));
        pixels.filter(|(x, y)| inside(number, *x, *y)).count() as f64 / f64::from(SIZE.0 * SIZE.1)
    };
    (0..COUNT).map(marked).sum::<f64>() / f64::from(COUNT)
}

/// The training key of the only cell.
fn key(lab: &Lab) -> String {
    let status = lab.dygl(&["status", "discs", "--format", "json"]).json();
    status["cells"][0]["train_key"].as_str().expect("a key").to_owned()
}

#[test]
fn equal_truth_gives_equal_weights_scores_and_audits() {
    let encodings: [(&str, Mask<'_>); 6] = [
        ("{ kind = \"grey\", above = 127 }", &two(255, 0)),
        ("{ kind = \"grey\", above = 0 }", &two(1, 0)),
        ("{ kind = \"grey\", above = 100 }", &two(101, 100)),
        ("{ kind = \"grey\", above = 50 }", &red),
        ("{ kind = \"grey\", above = 0 }", &deep(1)),
        ("{ kind = \"alpha\", above = 127 }", &alpha),
    ];
    let mut first = None;
    for (rule, mask) in encodings {
        let lab = Lab::default().with_experiment_on("discs", "discs", r#"["dyglnet"]"#, 2);
        discs(&lab, "masks", mask);
        let added = add(&lab, rule, &["--strict", "--format", "json"]).exits(0).json();
        let mean = added["facts"]["masks"]["mean"].as_f64().expect("a mean");
        assert!((mean - share()).abs() < 1e-9, "{rule}: {mean}");
        lab.dygl(&["run", "discs"]).exits(0);
        let mut audit = lab.dygl(&["dataset", "audit", "discs", "--format", "json"]).exits(0).json();
        audit["digest"] = serde_json::Value::Null;
        audit["masks"]["soft"]["rule"] = serde_json::Value::Null;
        let scores = fs::read(&lab.stored("per_image.csv")[0]).expect("scores");
        let found = (lab.weights(), scores, audit["masks"].clone());
        let expected = first.get_or_insert_with(|| found.clone());
        assert_eq!(&found, expected, "{rule}");
    }
}

#[test]
fn masks_that_the_rule_does_not_fit_are_not_registered_without_a_word() {
    let labels =
        |disc: &dyn Fn(u32, u32) -> bool| grey(|x, y| if disc(x, y) { 1 + (x / 30) as u8 } else { 0 });
    let white = "{ kind = \"grey\", above = 127 }";
    let refusals: [(&str, Mask<'_>, &str); 8] = [
        (white, &two(1, 0), "write mask = { kind = \"grey\", above = 0 } at discs.toml:2"),
        (white, &two(100, 60), "write mask = { kind = \"grey\", above = 60 } at discs.toml:2"),
        (white, &deep(255), "write mask = { kind = \"grey\", above = 0 } at discs.toml:2"),
        (white, &red, "the values 0 and 76"),
        (white, &labels, "write mask = { kind = \"instances\" } at discs.toml:2"),
        (white, &alpha, "write mask = { kind = \"alpha\", above = 127 } at discs.toml:2"),
        (
            "{ kind = \"instances\" }",
            &two(2, 1),
            "write mask = { kind = \"grey\", above = 1 } at discs.toml:2",
        ),
        (white, &two(0, 0), "the value 0 alone"),
    ];
    for (rule, mask, words) in refusals {
        let lab = Lab::default();
        discs(&lab, "masks", mask);
        let refused = add(&lab, rule, &[]).exits(2);
        assert!(
            refused.stderr.contains(words) && refused.stderr.contains("--accept-masks"),
            "{}",
            refused.stderr
        );
        assert!(refused.stderr.contains("masks/00.png"), "{}", refused.stderr);
        assert!(!lab.path().join(".dygl/datasets/discs.json").exists());
        let accepted = add(&lab, rule, &["--accept-masks"]).exits(0);
        assert!(accepted.stderr.contains("warning: discs: ") && accepted.stderr.contains("(accepted)"));
    }
    let lab = Lab::default();
    discs(&lab, "masks", &two(255, 0));
    let refused = add(&lab, "{ kind = \"grey\", above = 255 }", &[]).exits(2);
    assert!(
        refused.stderr.contains("discs.toml:2") && refused.stderr.contains("marks nothing"),
        "{}",
        refused.stderr
    );
}

#[test]
fn keep_does_not_call_masks_empty_that_hold_values() {
    let lab = Lab::default();
    discs(&lab, "masks", &two(255, 0));
    lab.write("masks/05.png", two(1, 0)(&|x, y| inside(5, x, y)));
    lab.write("masks/06.png", two(0, 0)(&|_, _| false));
    lab.write("discs.toml", manifest("{ kind = \"grey\", above = 127 }", "keep = \"foreground\""));
    let add = ["dataset", "add", "discs", ".", "--manifest", "discs.toml"];
    let refused = lab.dygl(&add).exits(2);
    assert!(
        refused.stderr.contains("masks/05.png (1 of 12 masks): keep = \"foreground\""),
        "{}",
        refused.stderr
    );
    lab.write("masks/05.png", two(255, 0)(&|x, y| inside(5, x, y)));
    let added = lab.dygl(&add).exits(0);
    assert!(added.stdout.contains("11 of 11 images (1 more"), "{}", added.stdout);
}

#[test]
fn strict_makes_warnings_mistakes_and_the_summary_tells_the_facts() {
    let lab = Lab::default();
    discs(&lab, "masks", &two(255, 0));
    let added = add(&lab, "{ kind = \"grey\", above = 127 }", &["--strict"]).exits(0);
    for told in
        ["discs: 12 of 12 images", "64 x 48 px", "values 0 and 255", "`grey > 127`", "0 empty, 0 full"]
    {
        assert!(added.stdout.contains(told), "{told}: {}", added.stdout);
    }
    // Foreground and background the wrong way round.
    discs(&lab, "masks", &two(0, 255));
    let told = add(&lab, "{ kind = \"grey\", above = 127 }", &[]).exits(0);
    assert!(
        told.stderr.contains("the wrong way round") && told.stderr.contains("discs.toml:2"),
        "{}",
        told.stderr
    );
    let refused = add(&lab, "{ kind = \"grey\", above = 127 }", &["--strict"]).exits(2);
    assert!(refused.stderr.contains("--strict"), "{}", refused.stderr);
}

#[test]
fn a_prediction_is_scored_by_the_rule_of_the_run() {
    let lab = Lab::default().with_experiment_on("discs", "discs", r#"["dyglnet"]"#, 20);
    discs(&lab, "masks", &two(1, 0));
    add(&lab, "{ kind = \"grey\", above = 0 }", &[]).exits(0);
    lab.dygl(&["run", "discs"]).exits(0);
    let key = key(&lab);
    let scored = |out: &str, more: &[&str]| {
        let given = ["predict", "--run", &key, "images", "--out", out, "--no-overlay", "--format", "json"];
        lab.dygl(&[&given, more].concat())
    };
    let by_run = scored("by-run", &["--truth", "masks"]).exits(0).json();
    let dice = by_run["mean_scores"]["dice"].clone();
    assert!(dice.as_f64().is_some_and(|dice| dice > 0.0), "{dice}");
    // The same truth in other encodings, each with its rule.
    let encodings: [(&str, &str, Mask<'_>); 4] = [
        ("white", "grey > 127", &two(255, 0)),
        ("clear", "{ kind = \"alpha\", above = 127 }", &alpha),
        ("deep", "grey > 0", &deep(3)),
        ("labels", "instances", &two(7, 0)),
    ];
    for (folder, rule, mask) in encodings {
        discs(&lab, folder, mask);
        let found =
            scored(&format!("by-{folder}"), &["--truth", folder, "--truth-rule", rule]).exits(0).json();
        assert_eq!(found["mean_scores"]["dice"], dice, "{folder}");
    }
    // The run's rule takes white for foreground as well; that of levels sees nothing in 0 and 1.
    assert_eq!(scored("again", &["--truth", "white"]).exits(0).json()["mean_scores"]["dice"], dice);
    let refused = scored("refused", &["--truth", "masks", "--truth-rule", "grey > 127"]).exits(2);
    assert!(refused.stderr.contains("the values 0 and 1, and none is foreground"), "{}", refused.stderr);
    assert!(refused.stderr.contains("--truth-rule 'grey > 0'"), "{}", refused.stderr);
    assert!(!lab.path().join("refused").exists());
    let refused = scored("alone", &["--truth", "clear"]).exits(2);
    assert!(refused.stderr.contains("--truth-rule 'alpha > 127'"), "{}", refused.stderr);
    let weights = lab.stored("model.safetensors").remove(0);
    let model =
        ["predict", "--model", "dyglnet", "--weights", weights.to_str().expect("UTF-8"), "--size", "32"];
    let rest = ["images", "--out", "model", "--truth", "masks"];
    let refused = lab.dygl(&[&model[..], &rest].concat()).exits(2);
    assert!(refused.stderr.contains("--truth-rule 'grey > 0'"), "{}", refused.stderr);
    let told = [&model[..], &rest, &["--truth-rule", "grey > 0", "--format", "json"]].concat();
    assert_eq!(lab.dygl(&told).exits(0).json()["mean_scores"]["dice"], dice);
    let wrong = lab.dygl(&[&model[..], &rest, &["--truth-rule", "gray"]].concat()).exits(2);
    assert!(wrong.stderr.contains("grey > 127"), "{}", wrong.stderr);
}

#[test]
fn what_was_accepted_stands_in_every_table() {
    let lab = Lab::default().with_experiment_on("discs", "discs", r#"["dyglnet"]"#, 1);
    discs(&lab, "masks", &alpha);
    add(&lab, "{ kind = \"grey\", above = 127 }", &["--accept-masks"]).exits(0);
    lab.dygl(&["run", "discs"]).exits(0);
    let terminal = lab.dygl(&["report", "discs", "--out", "out"]).exits(0).stdout;
    let words = "only the alpha channel varies";
    assert!(terminal.contains(words), "{terminal}");
    for name in ["discs.md", "discs.csv", "discs.tex", "discs.json", "index.html"] {
        let text = fs::read_to_string(lab.path().join("out").join(name)).expect("written");
        assert!(text.contains(words), "{name}: {text}");
    }
}
