//! Each step against albumentations 2.0.8 and OpenCV 4.12 with the same
//! parameters: equal to one grey level. `tests/golden/augment/make.py` makes
//! what is compared with, from the pictures that the formulas below give.

use std::path::{Path, PathBuf};

use dygl_spec::protocol::{Border, Elastic, Filter, Image, MaskMode};
use image::{GrayImage, Luma, Rgb, RgbImage};

use super::protocol;
use crate::Sample;
use crate::augment::*;

const SIZE: usize = 48;
const ELASTIC: Elastic = Elastic { probability: 1.0, alpha: 120.0, sigma: 6.0 };

#[derive(serde::Deserialize)]
struct Facts {
    albumentations: String,
    cases: Vec<String>,
    displacement: Vec<Vec<f64>>,
    inside: Vec<f64>,
    normalised: Vec<[f64; 3]>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/augment")
}

fn facts() -> Facts {
    serde_json::from_slice(&std::fs::read(folder().join("cases.json")).expect("read")).expect("facts")
}

/// Three tilted waves of at most seven levels a pixel, and an ellipse.
fn picture(width: u32, height: u32) -> Sample {
    let wave = |v: i64| match v.rem_euclid(510) {
        v if v > 255 => (510 - v) as u8,
        v => v as u8,
    };
    let image = RgbImage::from_fn(width, height, |x, y| {
        let (x, y) = (i64::from(x), i64::from(y));
        Rgb([wave(5 * x + 3 * y), wave(2 * x + 7 * y + 40), wave(500 + 4 * x - 3 * y)])
    });
    let mask = GrayImage::from_fn(width, height, |x, y| {
        let (x, y) = (i64::from(x), i64::from(y));
        Luma([if 4 * (x - 27).pow(2) + 9 * (y - 20).pow(2) < 2000 { 255 } else { 0 }])
    });
    Sample { image, mask }
}

/// Uniform noise by a formula, from the number `start` on.
fn noise(start: u64, size: usize) -> Vec<f32> {
    let mixed = |i: u64| {
        let mut bits = (start + i) * 2_654_435_761 % (1 << 32);
        bits = (bits ^ (bits >> 15)) * 2_246_822_519 % (1 << 32);
        (bits ^ (bits >> 13)) as f64 / f64::from(1_u32 << 31) - 1.0
    };
    (0..(size * size) as u64).map(|i| mixed(i) as f32).collect()
}

fn both() -> Noise {
    Noise { dx: noise(0, SIZE), dy: noise((SIZE * SIZE) as u64, SIZE) }
}

/// What the step of a case makes here.
fn made(case: &str) -> Resized {
    let (square, stored) = (picture(48, 48), picture(60, 44));
    let crop = Window { x: 7, y: 3, width: 38, height: 33 };
    let dark = Tone { brightness: -0.17, contrast: -0.13 };
    let none = Drawn {
        crop: None,
        horizontal_flip: false,
        vertical_flip: false,
        degrees: None,
        elastic: None,
        tone: None,
    };
    let turned = |degrees| Drawn { degrees: Some(degrees), ..none.clone() };
    let deformed = || Drawn { elastic: Some(both()), ..none.clone() };
    let toned = |tone| Drawn { tone: Some(tone), ..none.clone() };
    let (from, drawn) = match case {
        "resize" => (stored, none),
        "crop" => (square, Drawn { crop: Some(crop), ..none }),
        "crop-stored" => (stored, Drawn { crop: Some(Window { x: 9, y: 2, width: 50, height: 41 }), ..none }),
        "horizontal-flip" => (square, Drawn { horizontal_flip: true, ..none }),
        "vertical-flip" => (square, Drawn { vertical_flip: true, ..none }),
        "rotate-reflect" => (square, turned(11.5)),
        "rotate-zero" => (square, turned(-14.25)),
        "elastic-reflect" | "elastic-zero" => (square, deformed()),
        "tone-dark" => (square, toned(dark)),
        "tone-bright" => (square, toned(Tone { brightness: 0.2, contrast: 0.2 })),
        "chain" => {
            let all = Drawn {
                crop: Some(crop),
                horizontal_flip: true,
                vertical_flip: true,
                degrees: Some(11.5),
                elastic: Some(both()),
                tone: Some(dark),
            };
            (square, all)
        }
        other => panic!("no step makes the case `{other}`"),
    };
    let mut protocol = protocol(1.0);
    protocol.image.size = SIZE;
    protocol.augment.elastic = ELASTIC;
    protocol.augment.border = if case.ends_with("-zero") { Border::Zero } else { Border::Reflect };
    apply(from.picture(), &drawn, &protocol)
}

/// How a case differs from the library's.
#[derive(Debug, Default)]
struct Difference {
    /// Most grey levels, away from what lies beyond the border.
    levels: u8,
    /// Most grey levels beside black that lies beyond the border.
    beside_black: u8,
    /// Pixels of the mask.
    mask: usize,
}

fn difference(case: &str) -> Difference {
    let golden = image::open(folder().join(format!("{case}.png"))).expect("a picture").into_rgba8();
    // The pictures themselves have no black pixel.
    let is_black = |x: i64, y: i64| match (u32::try_from(x), u32::try_from(y)) {
        (Ok(x), Ok(y)) => golden.get_pixel_checked(x, y).is_none_or(|pixel| pixel.0[..3] == [0, 0, 0]),
        _ => true,
    };
    let beside_black = |x: u32, y: u32| {
        let (x, y) = (i64::from(x), i64::from(y));
        case.ends_with("-zero") && (-1..=1).any(|dy| (-1..=1).any(|dx| is_black(x + dx, y + dy)))
    };
    let made = made(case);
    let mut found = Difference::default();
    for (((x, y, expected), rgb), mask) in
        golden.enumerate_pixels().zip(made.rgb.chunks_exact(3)).zip(&made.mask)
    {
        let most = expected.0[..3].iter().zip(rgb).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0);
        let into = if beside_black(x, y) { &mut found.beside_black } else { &mut found.levels };
        *into = (*into).max(most);
        found.mask += usize::from(expected.0[3] != *mask);
    }
    found
}

#[test]
fn each_step_is_the_librarys_to_a_grey_level() {
    let facts = facts();
    assert_eq!((facts.albumentations.as_str(), facts.cases.len()), ("2.0.8", 12));
    let mut failed = Vec::new();
    for case in &facts.cases {
        let found = difference(case);
        println!("{case}: {found:?}");
        // Each of the chain's steps rounds to bytes. Beside black an edge of
        // up to 255 levels is met at a position that the library has rounded
        // to 1/32 pixel. Masks agree in every pixel.
        let most = if case == "chain" { 2 } else { 1 };
        if found.levels > most || found.beside_black > 4 || found.mask > 0 {
            failed.push(format!("{case}: {found:?}"));
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn the_displacement_is_the_librarys() {
    let facts = facts();
    let compare = |found: &[f32], places: &mut dyn Iterator<Item = usize>, expected: &[f64]| {
        assert_eq!(expected.len(), 100);
        for (place, expected) in places.zip(expected) {
            assert!((f64::from(found[place]) - expected).abs() < 1e-4, "{} {expected}", found[place]);
        }
    };
    let every = |step: usize, from: usize, to: usize, size: usize| {
        (from..to).step_by(step).flat_map(move |y| (from..to).step_by(step).map(move |x| y * size + x))
    };
    for (noise, expected) in [both().dx, both().dy].iter().zip(&facts.displacement) {
        compare(&elastic::tests::displacement(noise, SIZE, &ELASTIC), &mut every(5, 0, SIZE, SIZE), expected);
    }
    let large = elastic::tests::displacement(&noise(0, 96), 96, &ELASTIC);
    compare(&large, &mut every(5, 24, 72, 96), &facts.inside);
}

#[test]
fn the_normalisation_is_the_librarys() {
    let image = Image {
        size: SIZE,
        filter: Filter::Bilinear,
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
        training_masks: MaskMode::Soft,
    };
    let mut input = vec![0.0; 3 * SIZE * SIZE];
    prepare::resized(&picture(48, 48), &image).write_input(&image, &mut input);
    let places = (0..SIZE).step_by(12).flat_map(|y| (0..SIZE).step_by(12).map(move |x| y * SIZE + x));
    let facts = facts();
    assert_eq!(facts.normalised.len(), 16);
    for (place, expected) in places.zip(&facts.normalised) {
        for (channel, expected) in expected.iter().enumerate() {
            let found = f64::from(input[channel * SIZE * SIZE + place]);
            assert!((found - expected).abs() < 2e-6, "{found} {expected}");
        }
    }
}
