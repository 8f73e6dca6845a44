//! The same truth in every encoding, and masks that a rule does not fit.

use std::io::Cursor;

use dygl_testing::draws;
use image::{
    DynamicImage, GrayAlphaImage, GrayImage, ImageBuffer, ImageFormat, Luma, LumaA, Rgb, RgbImage, Rgba,
    RgbaImage,
};
use proptest::prelude::*;

use super::*;

const SIZE: (u32, u32) = (24, 18);

fn disc(x: u32, y: u32) -> bool {
    (f64::from(x) - 11.0).hypot(f64::from(y) - 8.0) < 6.0
}

fn save(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.into().write_to(&mut bytes, format).expect("encodes");
    bytes.into_inner()
}

fn png(picture: impl Into<DynamicImage>) -> Vec<u8> {
    save(picture, ImageFormat::Png)
}

fn grey(value: impl Fn(u32, u32) -> u8) -> GrayImage {
    GrayImage::from_fn(SIZE.0, SIZE.1, |x, y| Luma([value(x, y)]))
}

fn rgb(value: impl Fn(u32, u32) -> [u8; 3]) -> RgbImage {
    RgbImage::from_fn(SIZE.0, SIZE.1, |x, y| Rgb(value(x, y)))
}

fn deep(value: impl Fn(u32, u32) -> u16) -> DynamicImage {
    DynamicImage::ImageLuma16(ImageBuffer::from_fn(SIZE.0, SIZE.1, |x, y| Luma([value(x, y)])))
}

fn found(bytes: &[u8], rule: MaskRule) -> Found {
    look(bytes, Path::new("m"), rule).expect("decodes").found
}

/// Read as a dataset of this one mask reads it.
fn levels(bytes: &[u8], rule: MaskRule) -> GrayImage {
    let reading = Reading::new(rule, Scale::of([&found(bytes, rule)]));
    read(bytes, Path::new("m"), &reading).expect("decodes").pixels
}

/// A truth in every encoding that is known to be used, each with its rule.
fn encodings(truth: &dyn Fn(u32, u32) -> bool, low: u8, high: u8) -> Vec<(String, Vec<u8>, MaskRule)> {
    let pick = |x, y, high: u8, low: u8| if truth(x, y) { high } else { low };
    let wide = |x, y, high: u16| if truth(x, y) { high } else { 0 };
    let above = |above| MaskRule::Grey { above };
    let two = grey(|x, y| pick(x, y, high, low));
    let label = |x: u32, y: u32| if truth(x, y) { 1 + x % 3 } else { 0 };
    let mut all: Vec<(String, Vec<u8>, MaskRule)> = Vec::new();
    let mut put = |name: &str, bytes: Vec<u8>, rule| all.push((name.to_owned(), bytes, rule));
    put("0 and 255", png(grey(|x, y| pick(x, y, 255, 0))), above(127));
    put("0 and 1", png(grey(|x, y| pick(x, y, 1, 0))), above(0));
    put("two greys, rule at the lower", png(two.clone()), above(low));
    put("two greys, rule below the higher", png(two.clone()), above(high - 1));
    put("two greys, BMP", save(two.clone(), ImageFormat::Bmp), above(low));
    put("two greys, TIFF", save(two.clone(), ImageFormat::Tiff), above(low));
    put("two greys as RGB", png(DynamicImage::ImageLuma8(two.clone()).into_rgb8()), above(low));
    put("two greys as RGBA", png(DynamicImage::ImageLuma8(two).into_rgba8()), above(low));
    put("red", png(rgb(|x, y| [pick(x, y, 255, 0), 0, 0])), above(50));
    put("blue", png(rgb(|x, y| [0, 0, pick(x, y, 255, 0)])), above(0));
    put(
        "yellow on blue, instances",
        png(rgb(|x, y| [pick(x, y, 255, 0), pick(x, y, 200, 0), 0])),
        MaskRule::Instances,
    );
    put("16 bits, white", png(deep(|x, y| wide(x, y, u16::MAX))), above(127));
    put("16 bits, 0 and 1", png(deep(|x, y| wide(x, y, 1))), above(0));
    put("16 bits, 0 and 255", png(deep(|x, y| wide(x, y, 255))), above(0));
    put("16 bits, labels", png(deep(|x, y| 300 * label(x, y) as u16)), MaskRule::Instances);
    put("labels", png(grey(|x, y| label(x, y) as u8)), MaskRule::Instances);
    put("labels as colours", png(rgb(|x, y| [0, 0, label(x, y) as u8])), MaskRule::Instances);
    let alpha = RgbaImage::from_fn(SIZE.0, SIZE.1, |x, y| Rgba([255, 255, 255, pick(x, y, high, low)]));
    put("alpha", png(alpha), MaskRule::Alpha { above: low });
    let alpha = GrayAlphaImage::from_fn(SIZE.0, SIZE.1, |x, y| LumaA([9, pick(x, y, 255, 0)]));
    put("grey with alpha", png(alpha), MaskRule::Alpha { above: 127 });
    all
}

proptest! {
    #![proptest_config(draws(200))]

    #[test]
    fn equal_truth_in_any_two_encodings_is_one_mask(
        bits in prop::collection::vec(any::<bool>(), (SIZE.0 * SIZE.1) as usize),
        low in 0_u8..=254,
        above in 1_u8..=255,
    ) {
        let high = low.saturating_add(above);
        let truth = |x: u32, y: u32| bits[(y * SIZE.0 + x) as usize];
        let expected: Vec<u8> = bits.iter().map(|bit| level(*bit)).collect();
        for (name, bytes, rule) in encodings(&truth, low, high) {
            let levels = levels(&bytes, rule);
            prop_assert_eq!(levels.as_raw(), &expected, "{} under {}", name, rule);
            for mode in [MaskMode::Soft, MaskMode::Threshold] {
                let targets: Vec<f32> = levels.iter().map(|level| target(mode, *level)).collect();
                let wanted: Vec<f32> = bits.iter().map(|bit| f32::from(u8::from(*bit))).collect();
                prop_assert_eq!(targets, wanted, "{} under {}", name, rule);
            }
            let share = bits.iter().filter(|bit| **bit).count() as f64 / bits.len() as f64;
            prop_assert_eq!(found(&bytes, rule).share(), share, "{} under {}", name, rule);
        }
    }

    #[test]
    fn soft_targets_are_above_one_half_exactly_where_the_truth_is_foreground(
        greys in prop::collection::vec(any::<u8>(), (SIZE.0 * SIZE.1) as usize),
        above in 0_u8..=254,
    ) {
        let bytes = png(grey(|x, y| greys[(y * SIZE.0 + x) as usize]));
        let levels = levels(&bytes, MaskRule::Grey { above });
        for (level, grey) in levels.iter().zip(&greys) {
            prop_assert_eq!(target(MaskMode::Soft, *level) > 0.5, *grey > above);
            prop_assert_eq!(is_foreground(*level), *grey > above);
        }
    }
}

fn told(rule: MaskRule, masks: &[Vec<u8>]) -> Vec<Sign> {
    let found: Vec<Found> = masks.iter().map(|bytes| found(bytes, rule)).collect();
    let names: Vec<String> = (0..found.len()).map(|n| format!("masks/{n}.png")).collect();
    let cases: Vec<Case<'_>> =
        names.iter().zip(&found).map(|(file, found)| Case { file, found, left_out: false }).collect();
    signs(rule, &cases, false)
}

#[test]
fn sound_masks_have_no_signs() {
    for (name, bytes, rule) in encodings(&disc, 40, 90) {
        assert_eq!(told(rule, &[bytes]), [], "{name} under {rule}");
    }
    // Soft edges, a legitimately empty and a full mask beside others.
    let soft = |x: u32, y: u32| {
        let distance = (f64::from(x) - 11.0).hypot(f64::from(y) - 8.0);
        (255.0 * (6.5 - distance).clamp(0.0, 1.0)) as u8
    };
    let masks = [png(grey(soft)), png(grey(|_, _| 0)), save(grey(soft), ImageFormat::Jpeg)];
    assert_eq!(told(MaskRule::Grey { above: 127 }, &masks), []);
}

#[test]
fn masks_that_a_rule_does_not_fit_are_refused_with_one_that_does() {
    let above = |above| MaskRule::Grey { above };
    let pick = |high: u8| move |x: u32, y: u32| if disc(x, y) { high } else { 0 };
    let alpha = RgbaImage::from_fn(SIZE.0, SIZE.1, |x, y| Rgba([255, 255, 255, pick(255)(x, y)]));
    let palette = rgb(|x, y| {
        if disc(x, y) {
            [128, 0, 0]
        } else if x > 18 {
            [0, 128, 0]
        } else {
            [0, 0, 0]
        }
    });
    let red_on_white = rgb(|x, y| if disc(x, y) { [200, 0, 0] } else { [255, 255, 255] });
    let noise =
        grey(|x, y| if disc(x, y) { 255 - ((x * 7 + y * 5) % 9) as u8 } else { ((x * 3 + y * 5) % 7) as u8 });
    for (name, rule, bytes, words, fitting) in [
        ("0 and 1", above(127), png(grey(pick(1))), "the values 0 and 1, and none", Some(above(0))),
        ("red", above(127), png(rgb(|x, y| [pick(255)(x, y), 0, 0])), "the values 0 and 76", Some(above(0))),
        (
            "labels",
            above(127),
            png(grey(|x, y| pick(1 + (x > 10) as u8)(x, y))),
            "0, 1 and 2",
            Some(MaskRule::Instances),
        ),
        ("16 bits", above(127), png(deep(|x, y| pick(255)(x, y).into())), "0 and 1", Some(above(0))),
        (
            "alpha",
            above(127),
            png(alpha.clone()),
            "only the alpha channel",
            Some(MaskRule::Alpha { above: 127 }),
        ),
        (
            "alpha as labels",
            MaskRule::Instances,
            png(alpha),
            "only the alpha",
            Some(MaskRule::Alpha { above: 127 }),
        ),
        ("palette", above(50), png(palette.clone()), "the brightness of a colour", Some(MaskRule::Instances)),
        ("palette, none", above(200), png(palette), "none is foreground", Some(MaskRule::Instances)),
        ("red on white", above(127), png(red_on_white), "#ffffff is foreground", None),
        ("empty", above(127), png(grey(|_, _| 0)), "the value 0 alone", None),
        ("full", above(0), png(grey(|x, y| pick(100)(x, y) + 50)), "all are full", Some(above(50))),
        (
            "full labels",
            MaskRule::Instances,
            png(grey(|x, y| pick(1)(x, y) + 1)),
            "all are full",
            Some(above(1)),
        ),
        (
            "JPEG labels",
            MaskRule::Instances,
            save(grey(pick(3)), ImageFormat::Jpeg),
            "JPEG changes",
            Some(above(127)),
        ),
        ("noisy labels", MaskRule::Instances, png(noise), "scattered", Some(above(127))),
    ] {
        let signs = told(rule, &[bytes.clone(), bytes]);
        assert!(signs.iter().all(|sign| sign.is_certain), "{name}: {signs:?}");
        let sign = signs.iter().find(|sign| sign.message.contains(words));
        let sign = sign.unwrap_or_else(|| panic!("{name}: {signs:?}"));
        assert_eq!(sign.fitting, fitting, "{name}: {signs:?}");
        assert!(sign.message.contains("masks/0.png"), "{name}: {}", sign.message);
    }
}

#[test]
fn a_few_masks_of_another_encoding_are_noticed_among_many() {
    let pick = |high: u8| png(grey(move |x, y| if disc(x, y) { high } else { 0 }));
    let signs = told(MaskRule::Grey { above: 127 }, &[pick(255), pick(255), pick(1), pick(255)]);
    assert_eq!(signs.len(), 1, "{signs:?}");
    assert!(signs[0].message.starts_with("masks/2.png (1 of 4 masks): hold the values 0 and 1"), "{signs:?}");
    let line = signs[0].in_manifest(Some("a.toml:2"));
    assert!(line.ends_with("write mask = { kind = \"grey\", above = 0 } at a.toml:2"), "{line}");
    assert!(signs[0].on_command_line().ends_with("give --truth-rule 'grey > 0'"));
}

#[test]
fn less_certain_signs_are_told() {
    let rule = MaskRule::Grey { above: 127 };
    let classes = grey(|x, y| {
        if disc(x, y) {
            255
        } else if x > 14 {
            100
        } else {
            0
        }
    });
    let picture = grey(|x, y| (x * 10 + y) as u8);
    let white = grey(|x, y| if disc(x, y) { 0 } else { 255 });
    let clear = RgbaImage::from_fn(SIZE.0, SIZE.1, |x, y| {
        let value = if disc(x, y) { 255 } else { 0 };
        Rgba([value, value, value, if x > 12 { 255 } else { 0 }])
    });
    for (mask, words) in [
        (png(classes), "much of what stands out is background"),
        (png(picture), "look like pictures"),
        (png(white), "the wrong way round"),
        (png(clear), "the alpha channel marks other pixels"),
    ] {
        let signs = told(rule, &[mask]);
        assert!(
            signs.iter().any(|sign| !sign.is_certain && sign.message.contains(words)),
            "{words}: {signs:?}"
        );
    }
}

#[test]
fn what_keep_would_drop_is_looked_at_too() {
    let rule = MaskRule::Grey { above: 127 };
    let pick = |high: u8| found(&png(grey(move |x, y| if disc(x, y) { high } else { 0 })), rule);
    let (good, small, empty) = (pick(255), pick(1), pick(0));
    let case = |file, found, left_out| Case { file, found, left_out };
    let all = [case("a", &good, false), case("b", &small, true), case("c", &empty, true)];
    let signs = signs(rule, &all, false);
    assert_eq!(signs.len(), 1, "{signs:?}");
    assert!(signs[0].key == "keep" && signs[0].is_certain, "{signs:?}");
    assert!(signs[0].message.starts_with("b (1 of 3 masks): keep = \"foreground\""), "{signs:?}");
}
