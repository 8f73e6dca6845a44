//! Golden pixels, statistics and options of the phantoms.

use super::*;
use crate::data::resize;

fn phantom(text: &str) -> Result<Phantom, DataError> {
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
    ] {
        assert_eq!(digest(text, index), expected, "{text}, image {index}");
    }
    assert_eq!(GENERATOR, 1);
}

#[test]
fn the_mixture_is_as_documented() {
    for family in Family::ALL {
        let set = Phantom { family, count: 400, size: 48, seed: 5 };
        let areas: Vec<f64> = (0..set.count).map(|i| area(&set.draw(i).mask)).collect();
        let share = |test: &dyn Fn(f64) -> bool| areas.iter().filter(|a| test(**a)).count() as f64 / 400.0;
        let empty = share(&|a| a == 0.0);
        let small = share(&|a| a > 0.0 && a <= 0.02);
        assert!((0.02..0.09).contains(&empty), "{family:?}: {empty} empty");
        assert!((0.06..0.25).contains(&small), "{family:?}: {small} small");
        let mean = areas.iter().sum::<f64>() / 400.0;
        assert!((0.05..0.2).contains(&mean), "{family:?}: mean area {mean}");
        assert!(areas.iter().all(|a| *a < 0.6));
    }
}

#[test]
fn another_size_is_the_same_scene_and_another_count_the_same_images() {
    for family in Family::ALL {
        let set = Phantom { family, count: 10, size: 64, seed: 2 };
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
            assert!(apart < 6.0, "{family:?} {index}: {apart}");
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
        let set = Phantom { family, count: 60, size: 64, seed: 9 };
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
    ]
    .into_iter()
    .map(|text| phantom(text).expect("valid").digest())
    .collect();
    assert_eq!(digests.len(), 5);
}

/// Writes contact sheets to the folder in `DYGL_SHEETS`, to look at.
#[test]
fn contact_sheets() {
    let Some(folder) = std::env::var_os("DYGL_SHEETS") else { return };
    for family in Family::ALL {
        let set = Phantom { family, count: 24, size: 192, seed: 1 };
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
