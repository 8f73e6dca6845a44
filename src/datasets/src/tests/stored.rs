//! What files hold beyond 8 bits of one upright picture, from the manifest to
//! the sample: refused with the manifest's remedy, or told and recorded.

use std::io::Cursor;

use dygl_spec::Origin;
use image::codecs::png::PngEncoder;
use image::{DynamicImage, ExtendedColorType, ImageBuffer, ImageEncoder, ImageFormat};

use super::*;

const TOP: &str = "title = \"x\"\nmask = { kind = \"grey\", above = 127 }\n";
const BELOW: &str = "[[layout]]\nimage = \"images/{id}.png\"\nmask = \"masks/{id}.png\"\n";

fn own(more: &str) -> Manifest {
    let text = format!("{TOP}{more}{BELOW}");
    Manifest::read_user("own", Origin::File("own.toml".into()), &text).expect("valid")
}

/// Three bright pictures with their masks; each is given to a writer of its file.
fn bench(image: impl Fn(&RgbImage) -> Vec<u8>) -> Bench {
    let bench = Bench::new(0);
    for index in 0..3u8 {
        let shown = RgbImage::from_fn(8, 6, |x, y| Rgb([x as u8 * 20, y as u8 * 30, 200 + index]));
        fs::write(bench.root().join(format!("images/{index}.png")), image(&shown)).expect("written");
        GrayImage::from_fn(8, 6, |x, _| Luma([if x > 3 { 255 } else { 0 }]))
            .save(bench.root().join(format!("masks/{index}.png")))
            .expect("written");
    }
    bench
}

/// Registers in a store of its own.
fn add(bench: &Bench, manifest: &Manifest) -> Result<Registration, DataError> {
    let store = tempfile::tempdir().expect("folder");
    Registry::at(store.path()).add(manifest, &bench.root(), false, QUIET)
}

/// 16-bit files of the same numbers.
fn sixteen(shown: &RgbImage) -> Vec<u8> {
    let values = shown.as_raw().iter().map(|v| u16::from(*v)).collect();
    let deep = ImageBuffer::from_raw(8, 6, values).expect("fits");
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::ImageRgb16(deep).write_to(&mut bytes, ImageFormat::Png).expect("encodes");
    bytes.into_inner()
}

#[test]
fn a_depth_that_no_file_fills_is_refused_and_the_stated_white_gives_the_pixels() {
    let bench = bench(sixteen);
    let error = add(&bench, &own("")).expect_err("refused");
    let DataError::Problems { problems, .. } = &error else { panic!("{error}") };
    assert!(problems.len() == 1 && problems[0].is_of_the_manifest(), "{error}");
    let told = problems[0].to_string();
    assert!(told.starts_with("images/2.png: the largest value of 3 16-bit images is 202 of 65535"), "{told}");
    assert!(told.contains("image = { white = 255 }"), "{told}");

    let manifest = own("image = { white = 255 }\n");
    let found = add(&bench, &manifest).expect("registered");
    assert_eq!(found.image_files.depths[0].largest, 202.0);
    let rgb = decode::rgb(
        &fs::read(bench.root().join("images/1.png")).expect("read"),
        Path::new("x"),
        manifest.image,
    );
    let expected = RgbImage::from_fn(8, 6, |x, y| Rgb([x as u8 * 20, y as u8 * 30, 201]));
    assert_eq!(rgb.expect("decodes").pixels, expected);
    // Another white is another dataset.
    assert_ne!(add(&bench, &own("image = { white = 65535 }\n")).expect("stated").digest, found.digest);
    let error = add(&bench, &own("image = { white = 100 }\n")).expect_err("beyond").to_string();
    assert!(error.contains("3 problem(s)") && error.contains("beyond the stated white of 100"), "{error}");
}

#[test]
fn a_white_that_is_none_is_refused_at_its_line() {
    for white in ["0", "-1", "nan", "inf", "\"a\""] {
        let text = format!("{TOP}image = {{ white = {white} }}\n{BELOW}");
        let error = Manifest::read_user("own", Origin::File("own.toml".into()), &text).expect_err("refused");
        assert_eq!(error.entries()[0].line, 3, "{white}: {error}");
    }
}

#[test]
fn turned_pictures_are_turned_counted_and_kept_in_the_record() {
    let bench = bench(|shown| with_tag(&image::imageops::rotate180(shown), 3));
    let found = add(&bench, &own("")).expect("registered");
    assert_eq!(found.image_files.turned.get(&3), Some(&3));
    assert!(found.mask_files.turned.is_empty());
    let notes = found.image_files.notes("images");
    assert_eq!(notes, ["3 of 3 images were turned as their orientation tags say (tag 3: 3)"]);
    let read: Registration =
        serde_json::from_str(&serde_json::to_string(&found).expect("JSON")).expect("reads back");
    assert_eq!(read, found);
}

#[test]
fn a_mask_that_fits_only_what_is_stored_is_told_with_the_tag() {
    // The file holds 6x8 pixels shown as 8x6; one mask was drawn on what is stored.
    let bench = bench(|shown| with_tag(&image::imageops::rotate270(shown), 6));
    add(&bench, &own("")).expect("masks as shown");
    GrayImage::new(6, 8).save(bench.root().join("masks/1.png")).expect("written");
    let error = add(&bench, &own("")).expect_err("refused").to_string();
    assert!(error.contains("masks/1.png: is shown as 6x8, but images/1.png as 8x6"), "{error}");
    assert!(error.contains("the orientation tag 6 of images/1.png parts them"), "{error}");
    // The other way round: the mask is turned, and its image is not.
    let plain = self::bench(|shown| with_tag(shown, 1));
    let mask = DynamicImage::ImageLuma8(GrayImage::new(8, 6)).into_rgb8();
    fs::write(plain.root().join("masks/0.png"), with_tag(&mask, 8)).expect("written");
    let error = add(&plain, &own("")).expect_err("refused").to_string();
    assert!(error.contains("the orientation tag 8 of masks/0.png parts them"), "{error}");
}

fn with_tag(stored: &RgbImage, tag: u8) -> Vec<u8> {
    let exif = [&b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0"[..], &[tag, 0, 0, 0, 0, 0, 0, 0]].concat();
    let mut bytes = Vec::new();
    let mut encoder = PngEncoder::new(&mut bytes);
    encoder.set_exif_metadata(exif).expect("takes it");
    let (width, height) = stored.dimensions();
    encoder.write_image(stored.as_raw(), width, height, ExtendedColorType::Rgb8).expect("encodes");
    bytes
}

#[test]
fn deep_masks_that_cannot_reach_the_rule_are_told() {
    let bench = bench(|shown| {
        let mut bytes = Cursor::new(Vec::new());
        shown.write_to(&mut bytes, ImageFormat::Png).expect("encodes");
        bytes.into_inner()
    });
    for index in 0..3 {
        let values: Vec<u16> = (0..48).map(|at| if at % 8 > 3 { 255 } else { 0 }).collect();
        let deep: ImageBuffer<Luma<u16>, _> = ImageBuffer::from_raw(8, 6, values).expect("fits");
        deep.save(bench.root().join(format!("masks/{index}.png"))).expect("written");
    }
    let error = add(&bench, &own("")).expect_err("refused").to_string();
    assert!(error.contains("16-bit files, largest value 255 of 65535"), "{error}");
    assert!(error.contains("mask = { kind = \"grey\", above = 0 }"), "{error}");
}
