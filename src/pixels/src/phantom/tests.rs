//! Golden pixels, statistics and options of the phantoms.

use super::*;
use crate::resize;

fn phantom(text: &str) -> Result<Phantom, PixelError> {
    Phantom::parse(&Named::parse(text).expect("a name")).expect("a phantom")
}

fn area(mask: &GrayImage) -> f64 {
    mask.pixels().filter(|p| p.0[0] > 0).count() as f64 / f64::from(mask.width() * mask.height())
}

/// A change here moves every phantom result: raise [`GENERATOR`] with it.
#[test]
fn pixels_are_frozen() {
    let digest = |text: &str, index: usize| {
        let sample = phantom(text).expect("valid").draw(index);
        let mut bytes = sample.image.into_raw();
        bytes.extend(sample.mask.into_raw());
        blake3::hash(&bytes).to_hex()[..16].to_owned()
    };
    for (text, index, expected) in [
        ("phantom-polyp", 0, "c70b1a2c230e8396"),
        ("phantom-polyp,seed=7,size=64", 3, "23c7a863c7ba3973"),
        ("phantom-skin", 0, "6671aa1ff5f6055a"),
        ("phantom-skin,seed=7,size=64", 3, "92ea38b8a458b596"),
        ("phantom-flair", 0, "2062ff8087ccdd42"),
        ("phantom-flair,seed=7,size=64", 3, "2cef041cadfe4bd8"),
        ("phantom-gland", 0, "4837b7d7e9dcc531"),
        ("phantom-gland,seed=7,size=64", 3, "345cb2ec3e86d610"),
        ("phantom-nuclei", 0, "1e9c4e211808dba1"),
        ("phantom-nuclei,seed=7,size=64", 3, "528c8c584c15319d"),
    ] {
        assert_eq!(digest(text, index), expected, "{text}, image {index}");
    }
    assert_eq!(GENERATOR, 1);
}

/// Shares and areas that a family must keep to: images without foreground,
/// images with at most 2 % of it, mean area, largest area.
fn mixture(family: Family) -> [std::ops::Range<f64>; 4] {
    match family {
        Family::Polyp | Family::Skin => [0.02..0.09, 0.06..0.25, 0.05..0.2, 0.1..0.6],
        Family::Flair => [0.0..0.001, 0.2..0.55, 0.02..0.06, 0.08..0.16],
        Family::Gland => [0.0..0.001, 0.0..0.01, 0.4..0.6, 0.5..0.85],
        Family::Nuclei => [0.0..0.001, 0.0..0.01, 0.12..0.25, 0.2..0.35],
    }
}

#[test]
fn the_mixture_is_as_documented() {
    for family in Family::ALL {
        let set = Phantom { family, count: 400, size: 48, seed: 5, empty: 0 };
        let areas: Vec<f64> = (0..set.count).map(|i| area(&set.draw(i).mask)).collect();
        let share = |test: &dyn Fn(f64) -> bool| areas.iter().filter(|a| test(**a)).count() as f64 / 400.0;
        let found = [
            share(&|a| a == 0.0),
            share(&|a| a > 0.0 && a <= 0.02),
            areas.iter().sum::<f64>() / 400.0,
            areas.iter().copied().fold(0.0, f64::max),
        ];
        println!(
            "{family:?}: empty {:.3}, small {:.3}, mean area {:.3}, largest {:.3}",
            found[0], found[1], found[2], found[3]
        );
        for (value, wanted) in found.iter().zip(mixture(family)) {
            assert!(wanted.contains(value), "{family:?}: {found:?}");
        }
    }
}

#[test]
fn slices_without_tumour_are_there_only_if_asked_for() {
    let share = |text: &str| {
        let set = phantom(text).expect("valid");
        (0..set.count).filter(|i| area(&set.draw(*i).mask) == 0.0).count() as f64 / set.count as f64
    };
    assert_eq!(share("phantom-flair,count=60,size=32"), 0.0);
    assert_eq!(share("phantom-flair,count=20,empty=100,size=32"), 1.0);
    let some = share("phantom-flair,count=200,empty=65,size=32");
    assert!((0.55..0.75).contains(&some), "{some}");
}

/// Dice of the masks that one threshold makes in all images, the best of all
/// thresholds, channels (and grey) and directions.
fn best_threshold(set: Phantom) -> f64 {
    let samples: Vec<Sample> = (0..set.count).map(|i| set.draw(i)).collect();
    let value = |pixel: &Rgb<u8>, channel: usize| match channel {
        3 => ((u32::from(pixel.0[0]) + u32::from(pixel.0[1]) + u32::from(pixel.0[2])) / 3) as usize,
        _ => usize::from(pixel.0[channel]),
    };
    let mut best: f64 = 0.0;
    for channel in 0..4 {
        // Per image: pixels of each value, in all and in the truth.
        let counts: Vec<[[f64; 256]; 2]> = samples
            .iter()
            .map(|sample| {
                let mut counts = [[0.0; 256]; 2];
                for (pixel, mask) in sample.image.pixels().zip(sample.mask.pixels()) {
                    counts[0][value(pixel, channel)] += 1.0;
                    counts[1][value(pixel, channel)] += f64::from(u8::from(mask.0[0] > 0));
                }
                counts
            })
            .collect();
        for threshold in 0..=256 {
            let mut dice = [0.0; 2];
            for [all, truth] in &counts {
                let whole: f64 = truth.iter().sum();
                for (side, dice) in [0..threshold, threshold..256].into_iter().zip(&mut dice) {
                    let (found, hit): (f64, f64) = (all[side.clone()].iter().sum(), truth[side].iter().sum());
                    *dice += if found + whole > 0.0 { 2.0 * hit / (found + whole) } else { 0.0 };
                }
            }
            best = best.max(dice[0].max(dice[1]) / samples.len() as f64);
        }
    }
    best
}

/// Learnable is not trivial: what a threshold finds stays far below what a
/// network finds. (All foreground is among the thresholds, so a family whose
/// foreground is large has a high floor.)
#[test]
fn no_threshold_solves_a_family() {
    for (family, most) in [
        (Family::Polyp, 0.55),
        (Family::Flair, 0.6),
        (Family::Skin, 0.75),
        (Family::Gland, 0.72),
        (Family::Nuclei, 0.7),
    ] {
        let found = best_threshold(Phantom { family, count: 60, size: 96, seed: 1, empty: 0 });
        println!("{family:?}: the best threshold has Dice {found:.3}");
        assert!(found < most, "{family:?}: {found:.3}");
    }
}

#[test]
fn another_size_is_the_same_scene_and_another_count_the_same_images() {
    for family in Family::ALL {
        let set = Phantom { family, count: 10, size: 64, seed: 2, empty: 0 };
        for index in 0..10 {
            let (small, large) = (set.draw(index), Phantom { size: 256, ..set }.draw(index));
            assert!((area(&small.mask) - area(&large.mask)).abs() < 0.01);
            let reduced =
                image::imageops::resize(&large.image, 64, 64, image::imageops::FilterType::Triangle);
            let apart: f64 = small
                .image
                .as_raw()
                .iter()
                .zip(reduced.as_raw())
                .map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs())
                .sum::<f64>()
                / (64.0 * 64.0 * 3.0);
            // Grain, nuclei and furrows are finer than these pixels.
            let most = if matches!(family, Family::Polyp | Family::Skin) { 6.0 } else { 12.0 };
            assert!(apart < most, "{family:?} {index}: {apart}");
            assert_eq!(small.mask.as_raw().len(), resize::mask(&large.mask, 64).as_raw().len());
        }
        assert_eq!(set.draw(4), Phantom { count: 5000, ..set }.draw(4));
        assert_ne!(set.draw(4), Phantom { seed: 3, ..set }.draw(4));
    }
}

#[test]
fn lesions_differ_from_their_surroundings() {
    // Learnable: in most images the mean colours inside and outside differ.
    for family in Family::ALL {
        let set = Phantom { family, count: 60, size: 64, seed: 9, empty: 0 };
        let visible = (0..60)
            .filter(|index| {
                let sample = set.draw(*index);
                let mut sums = [[0.0; 4]; 2];
                for (pixel, mask) in sample.image.pixels().zip(sample.mask.pixels()) {
                    let side = &mut sums[usize::from(mask.0[0] > 0)];
                    side[3] += 1.0;
                    for (sum, value) in side.iter_mut().zip(pixel.0) {
                        *sum += f64::from(value);
                    }
                }
                (0..3).map(|k| (sums[0][k] / sums[0][3] - sums[1][k] / sums[1][3]).abs()).sum::<f64>() > 15.0
            })
            .count();
        assert!(visible > 40, "{family:?}: {visible} of 60");
    }
}

#[test]
fn options_are_checked_and_written_out() {
    let set = phantom("phantom-polyp,size=64").expect("valid");
    assert_eq!(set.named().to_string(), "phantom-polyp,count=60,seed=1,size=64");
    let set = phantom("phantom-flair,empty=65").expect("valid");
    assert_eq!(set.named().to_string(), "phantom-flair,count=60,empty=65,seed=1,size=96");
    assert_eq!(phantom("phantom-skin,count=007").expect("valid").count, 7);
    for (text, message) in [
        (
            "phantom-polyp,size=8",
            "option `size=8` of dataset `phantom-polyp`: expected a whole number from 16 to 4096",
        ),
        (
            "phantom-skin,count=0",
            "option `count=0` of dataset `phantom-skin`: expected a whole number from 1 to 100000",
        ),
        (
            "phantom-skin,sizes=9",
            "dataset `phantom-skin` has no option `sizes` (did you mean `size`?); it takes count, seed, size",
        ),
        (
            "phantom-gland,empty=10",
            "dataset `phantom-gland` has no option `empty`; it takes count, seed, size",
        ),
        (
            "phantom-flair,empty=101",
            "option `empty=101` of dataset `phantom-flair`: expected a whole number from 0 to 100",
        ),
    ] {
        assert_eq!(phantom(text).expect_err("refused").to_string(), message);
    }
    assert!(Phantom::parse(&Named::plain("phantom")).is_none());
}

#[test]
fn digests_tell_sets_apart() {
    let digests: std::collections::BTreeSet<String> = [
        "phantom-polyp",
        "phantom-skin",
        "phantom-polyp,seed=2",
        "phantom-polyp,size=97",
        "phantom-polyp,count=61",
        "phantom-flair",
        "phantom-flair,empty=1",
        "phantom-gland",
        "phantom-nuclei",
    ]
    .into_iter()
    .map(|text| phantom(text).expect("valid").digest())
    .collect();
    assert_eq!(digests.len(), 9);
}

/// Writes contact sheets to the folder in `DYGL_SHEETS`, to look at.
#[test]
fn contact_sheets() {
    let Some(folder) = std::env::var_os("DYGL_SHEETS") else { return };
    for family in Family::ALL {
        let set = Phantom { family, count: 24, size: 192, seed: 1, empty: 0 };
        let mut sheet = RgbImage::new(8 * 192, 6 * 192);
        for index in 0..24 {
            let sample = set.draw(index);
            let (x, y) = ((index % 8) as i64 * 192, (index / 8) as i64 * 384);
            image::imageops::replace(&mut sheet, &sample.image, x, y);
            let mask = image::DynamicImage::ImageLuma8(sample.mask).into_rgb8();
            image::imageops::replace(&mut sheet, &mask, x, y + 192);
        }
        let path = std::path::Path::new(&folder).join(format!("{}.png", family.id()));
        sheet.save(path).expect("written");
    }
}
