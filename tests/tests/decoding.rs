//! What picture files hold beyond 8 bits of one upright picture, through the
//! real programs: `dataset add` and `predict` refuse it with a remedy, or tell
//! what was done.

use std::io::Cursor;
use std::path::PathBuf;

use dygl_datasets::{Dataset, Registry};
use dygl_spec::name::Named;
use dygl_tests::lab::Lab;
use image::codecs::png::PngEncoder;
use image::{
    DynamicImage, ExtendedColorType, GrayImage, ImageBuffer, ImageEncoder, ImageFormat, Luma, Rgb, RgbImage,
    imageops,
};
use serde_json::Value;
use tiff::encoder::TiffEncoder;
use tiff::encoder::colortype::{Gray8, Gray32, Gray64, RGB32Float};
use tiff::tags::Tag;

/// A bright disc off the middle of dark ground, with its truth.
fn disc(number: u32) -> (RgbImage, GrayImage) {
    let inside = |x: u32, y: u32| (f64::from(x) - 14.0 - f64::from(number)).hypot(f64::from(y) - 12.0) < 9.0;
    let image = RgbImage::from_fn(48, 36, |x, y| {
        let noise = ((x * 7 + y * 13 + number) % 50) as u8;
        if inside(x, y) { Rgb([200, 150 + noise, 160]) } else { Rgb([noise, 20, 30]) }
    });
    (image, GrayImage::from_fn(48, 36, |x, y| Luma([if inside(x, y) { 255 } else { 0 }])))
}

fn encoded(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.into().write_to(&mut bytes, format).expect("encodes");
    bytes.into_inner()
}

fn png(picture: impl Into<DynamicImage>) -> Vec<u8> {
    encoded(picture, ImageFormat::Png)
}

/// A PNG with an orientation tag.
fn tagged(stored: &RgbImage, tag: u8) -> Vec<u8> {
    let exif = [&b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0"[..], &[tag, 0, 0, 0, 0, 0, 0, 0]].concat();
    let mut bytes = Vec::new();
    let mut encoder = PngEncoder::new(&mut bytes);
    encoder.set_exif_metadata(exif).expect("takes it");
    encoder
        .write_image(stored.as_raw(), stored.width(), stored.height(), ExtendedColorType::Rgb8)
        .expect("encodes");
    bytes
}

/// The same numbers as 16-bit samples.
fn sixteen(image: &RgbImage) -> Vec<u8> {
    let values = image.as_raw().iter().map(|v| u16::from(*v)).collect();
    let deep = ImageBuffer::from_raw(image.width(), image.height(), values).expect("fits");
    png(DynamicImage::ImageRgb16(deep))
}

/// The same numbers as floats.
fn float(image: &RgbImage) -> Vec<u8> {
    let values: Vec<f32> = image.as_raw().iter().map(|v| f32::from(*v)).collect();
    let mut bytes = Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut bytes).expect("a header");
    encoder.write_image::<RGB32Float>(image.width(), image.height(), &values).expect("pixels");
    bytes.into_inner()
}

/// A dataset of `count` pairs `images/N.img` and `masks/N.img`, with its manifest.
fn set(
    lab: &Lab,
    name: &str,
    more: &str,
    count: u32,
    files: impl Fn(u32, &RgbImage, &GrayImage) -> (Vec<u8>, Vec<u8>),
) {
    for number in 0..count {
        let (image, mask) = disc(number);
        let (image, mask) = files(number, &image, &mask);
        lab.write(&format!("{name}/images/{number}.img"), image);
        lab.write(&format!("{name}/masks/{number}.img"), mask);
    }
    manifest(lab, name, "{ kind = \"grey\", above = 127 }", more);
}

fn manifest(lab: &Lab, name: &str, rule: &str, more: &str) {
    let text = format!(
        "title = \"{name}\"\nmask = {rule}\n{more}\n[[layout]]\nimage = \"images/{{id}}.img\"\nmask = \"masks/{{id}}.img\"\n"
    );
    lab.write(&format!("{name}.toml"), text);
}

fn add(lab: &Lab, name: &str) -> dygl_tests::lab::Output {
    let file = format!("{name}.toml");
    lab.dygl(&["dataset", "add", name, name, "--manifest", &file, "--format", "json"])
}

/// The share of foreground of all masks, by the audit.
fn foreground(lab: &Lab, name: &str) -> f64 {
    let audit = lab.dygl(&["dataset", "audit", name, "--format", "json"]).exits(0).json();
    audit["masks"]["foreground"]["mean"].as_f64().expect("a share")
}

#[test]
fn values_that_do_not_fit_their_depth_are_refused_until_white_is_stated() {
    let lab = Lab::default();
    set(&lab, "plain", "", 10, |_, image, mask| (png(image.clone()), png(mask.clone())));
    add(&lab, "plain").exits(0);
    set(&lab, "deep", "", 10, |_, image, mask| (sixteen(image), png(mask.clone())));
    set(&lab, "float", "", 10, |_, image, mask| (float(image), png(mask.clone())));
    for (name, told) in [
        ("deep", "10 16-bit images is 200 of 65535"),
        ("float", "32-bit float samples up to 200, beyond 0..1"),
    ] {
        let refused = add(&lab, name).exits(2);
        assert!(refused.stderr.contains(told), "{}", refused.stderr);
        assert!(refused.stderr.contains("image = { white = 255 }"), "{}", refused.stderr);
        manifest(&lab, name, "{ kind = \"grey\", above = 127 }", "image = { white = 255 }");
        let added = add(&lab, name).exits(0);
        assert!(added.stderr.contains("with 255 as white"), "{}", added.stderr);
        assert!((foreground(&lab, name) - foreground(&lab, "plain")).abs() < 1e-12);
    }
    // The pixels are those of the 8-bit files.
    let registry = Registry::at(&lab.path().join(".dygl"));
    let open = |name: &str| Dataset::open(&Named::plain(name), &registry).expect("registered");
    for id in ["0", "3"] {
        let expected = open("plain").load(id).expect("loads");
        assert!(open("deep").load(id).expect("loads") == expected, "deep {id}");
        assert!(open("float").load(id).expect("loads") == expected, "float {id}");
    }
}

#[test]
fn pages_channels_and_foreign_formats_are_refused_by_name() {
    let lab = Lab::default();
    set(&lab, "pages", "", 3, |number, image, mask| {
        let mut bytes = Cursor::new(Vec::new());
        let mut encoder = TiffEncoder::new(&mut bytes).expect("a header");
        for _ in 0..=number {
            encoder.write_image::<Gray8>(48, 36, mask.as_raw()).expect("a page");
        }
        (png(image.clone()), bytes.into_inner())
    });
    let refused = add(&lab, "pages").exits(2);
    assert!(refused.stderr.contains("masks/1.img: holds 2 pages"), "{}", refused.stderr);
    assert!(refused.stderr.contains("masks/2.img: holds 3 pages"), "{}", refused.stderr);
    set(&lab, "foreign", "", 2, |_, _, mask| {
        (b"\0\0\0\x0CjP  \r\n\x87\n and so on".to_vec(), png(mask.clone()))
    });
    let refused = add(&lab, "foreign").exits(3);
    assert!(refused.stderr.contains("it is a JPEG 2000 picture, which is not read"), "{}", refused.stderr);
    assert!(refused.stderr.contains("convert it to PNG"), "{}", refused.stderr);
}

#[test]
fn big_tiffs_wide_labels_gif_and_webp_hold_the_same_truth() {
    let lab = Lab::default();
    set(&lab, "plain", "", 10, |_, image, mask| (png(image.clone()), png(mask.clone())));
    add(&lab, "plain").exits(0);
    let expected = foreground(&lab, "plain");
    let tiff = |write: &dyn Fn(&mut Cursor<Vec<u8>>)| {
        let mut bytes = Cursor::new(Vec::new());
        write(&mut bytes);
        bytes.into_inner()
    };
    set(&lab, "big", "", 10, |_, image, mask| {
        let mask = tiff(&|bytes| {
            let mut encoder = TiffEncoder::new_big(bytes).expect("a header");
            encoder.write_image::<Gray8>(48, 36, mask.as_raw()).expect("pixels");
        });
        (encoded(image.clone(), ImageFormat::WebP), mask)
    });
    set(&lab, "gif", "", 10, |_, image, mask| {
        (png(image.clone()), encoded(DynamicImage::ImageLuma8(mask.clone()).into_rgb8(), ImageFormat::Gif))
    });
    set(&lab, "wide", "", 10, |number, image, mask| {
        let labels: Vec<u64> =
            mask.as_raw().iter().map(|v| u64::from(*v > 0) * (1 + u64::from(number))).collect();
        let mask = tiff(&|bytes| {
            let mut encoder = TiffEncoder::new(bytes).expect("a header");
            if number == 0 {
                encoder.write_image::<Gray64>(48, 36, &labels).expect("pixels");
            } else {
                let labels: Vec<u32> = labels.iter().map(|v| *v as u32).collect();
                encoder.write_image::<Gray32>(48, 36, &labels).expect("pixels");
            }
        });
        (png(image.clone()), mask)
    });
    manifest(&lab, "wide", "{ kind = \"instances\" }", "");
    for name in ["big", "gif", "wide"] {
        add(&lab, name).exits(0);
        assert!((foreground(&lab, name) - expected).abs() < 1e-12, "{name}");
    }
}

#[test]
fn photos_with_orientation_tags_are_turned_and_told() {
    let lab = Lab::default();
    set(&lab, "plain", "", 3, |_, image, mask| (png(image.clone()), png(mask.clone())));
    set(&lab, "turned", "", 3, |number, image, mask| {
        // Stored so that the tag shows it upright.
        let image = match number {
            0 => tagged(&imageops::rotate180(image), 3),
            1 => tagged(&imageops::rotate270(image), 6),
            _ => png(image.clone()),
        };
        (image, png(mask.clone()))
    });
    add(&lab, "plain").exits(0);
    let added = add(&lab, "turned").exits(0);
    assert!(added.stderr.contains("2 of 3 images were turned"), "{}", added.stderr);
    assert_eq!(added.json()["image_files"]["turned"], serde_json::json!({ "3": 1, "6": 1 }));
    let registry = Registry::at(&lab.path().join(".dygl"));
    let open = |name: &str| Dataset::open(&Named::plain(name), &registry).expect("registered");
    for id in ["0", "1", "2"] {
        assert!(open("turned").load(id).expect("loads") == open("plain").load(id).expect("loads"), "{id}");
    }
    // A mask drawn on what is stored, where its size gives it away.
    lab.write("turned/masks/1.img", png(GrayImage::new(36, 48)));
    let refused = add(&lab, "turned").exits(2);
    assert!(refused.stderr.contains("the orientation tag 6 of images/1.img"), "{}", refused.stderr);
}

/// A network trained on discs for a moment; the key of its training.
fn trained(lab: Lab) -> (Lab, String) {
    let lab = lab.with_experiment("tiny", r#"["dyglnet"]"#, 2);
    lab.dygl(&["run", "tiny"]).exits(0);
    let status = lab.dygl(&["status", "tiny", "--format", "json"]).exits(0).json();
    let key = status["cells"][0]["train_key"].as_str().expect("a key").to_owned();
    (lab, key)
}

fn mask(lab: &Lab, out: &str, name: &str) -> GrayImage {
    let path: PathBuf = lab.path().join(out).join(format!("{name}.mask.png"));
    image::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).into_luma8()
}

fn provenance(lab: &Lab, out: &str) -> Value {
    let text = std::fs::read(lab.path().join(out).join("provenance.json")).expect("provenance");
    serde_json::from_slice(&text).expect("JSON")
}

#[test]
fn predictions_lie_as_a_viewer_shows_the_photo() {
    let (lab, key) = trained(Lab::default());
    let (image, truth) = disc(1);
    lab.write("in/upright.png", png(image.clone()));
    lab.write("in/half.png", tagged(&imageops::rotate180(&image), 3));
    lab.write("in/quarter.png", tagged(&imageops::rotate270(&image), 6));
    let mut bytes = Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut bytes).expect("a header");
    let stored = imageops::flip_horizontal(&image);
    let mut page =
        encoder.new_image::<tiff::encoder::colortype::RGB8>(stored.width(), stored.height()).expect("a page");
    page.encoder().write_tag(Tag::Orientation, 2u16).expect("a tag");
    page.write_data(stored.as_raw()).expect("pixels");
    lab.write("in/mirror.tif", bytes.into_inner());
    for name in ["upright", "half", "quarter", "mirror"] {
        lab.write(&format!("truth/{name}.png"), png(truth.clone()));
    }
    let found = lab
        .dygl(&["predict", "--run", &key, "in", "--truth", "truth", "--out", "out", "--format", "json"])
        .exits(0);
    assert!(found.stderr.contains("3 of 4 images were turned"), "{}", found.stderr);
    let upright = mask(&lab, "out", "upright");
    let overlay = |name: &str| {
        image::open(lab.path().join(format!("out/{name}.overlay.png"))).expect("overlay").into_rgb8()
    };
    for name in ["half", "quarter", "mirror"] {
        assert_eq!(mask(&lab, "out", name), upright, "{name}");
        assert_eq!(overlay(name), overlay("upright"), "{name}");
    }
    let found = found.json();
    let scores: Vec<&Value> =
        found["images"].as_array().expect("images").iter().map(|image| &image["scores"]["dice"]).collect();
    assert!(scores.iter().all(|score| *score == scores[0]), "{scores:?}");
    let images = provenance(&lab, "out")["images"].clone();
    let tags: Vec<u64> = images
        .as_array()
        .expect("rows")
        .iter()
        .filter_map(|row| row["prediction"]["facts"]["orientation"].as_u64())
        .collect();
    assert_eq!(tags.iter().filter(|tag| **tag != 1).count(), 3, "{images}");
    // Truth drawn on what is stored is told by the tag.
    lab.write("truth/quarter.png", png(imageops::rotate270(&truth)));
    let refused = lab.dygl(&["predict", "--run", &key, "in", "--truth", "truth", "--out", "p2"]).exits(1);
    assert!(refused.stderr.contains("the orientation tag 6 of"), "{}", refused.stderr);
}

#[test]
fn predictions_of_deep_images_need_a_stated_white() {
    let (lab, key) = trained(Lab::default());
    let (image, _) = disc(2);
    lab.write("plain/a.png", png(image.clone()));
    lab.write("deep/a.png", sixteen(&image));
    lab.write("float/a.tif", float(&image));
    lab.write("gif/a.gif", encoded(image.clone(), ImageFormat::Gif));
    lab.dygl(&["predict", "--run", &key, "plain", "--out", "out-plain"]).exits(0);
    for name in ["deep", "float"] {
        let out = format!("out-{name}");
        let refused = lab.dygl(&["predict", "--run", &key, name, "--out", &out]).exits(1);
        assert!(refused.stderr.contains("--white 255 of `dygl predict`"), "{}", refused.stderr);
        let out = format!("white-{name}");
        lab.dygl(&["predict", "--run", &key, name, "--out", &out, "--white", "255"]).exits(0);
        assert_eq!(mask(&lab, &out, "a"), mask(&lab, "out-plain", "a"), "{name}");
    }
    lab.dygl(&["predict", "--run", &key, "gif", "--out", "out-gif"]).exits(0);
    for white in ["0", "-3", "nan"] {
        let white = format!("--white={white}");
        let refused = lab.dygl(&["predict", "--run", &key, "plain", "--out", "x", &white]).exits(2);
        assert!(refused.stderr.contains("greater than 0"), "{}", refused.stderr);
    }
    assert!(!lab.path().join("x").exists());
}

#[test]
fn a_run_predicts_with_the_white_of_its_dataset() {
    let lab = Lab::default();
    set(&lab, "deep", "image = { white = 255 }", 10, |_, image, mask| (sixteen(image), png(mask.clone())));
    add(&lab, "deep").exits(0);
    let lab = lab.with_experiment_on("deep", "own", r#"["dyglnet"]"#, 1);
    lab.dygl(&["run", "own"]).exits(0);
    let status = lab.dygl(&["status", "own", "--format", "json"]).exits(0).json();
    let key = status["cells"][0]["train_key"].as_str().expect("a key");
    let (image, _) = disc(3);
    lab.write("in/deep.png", sixteen(&image));
    lab.write("in/plain.png", png(image));
    lab.dygl(&["predict", "--run", key, "in", "--out", "out"]).exits(0);
    assert_eq!(mask(&lab, "out", "deep"), mask(&lab, "out", "plain"));
    assert_eq!(provenance(&lab, "out")["predictor"]["range"]["white"], 255.0);
}
