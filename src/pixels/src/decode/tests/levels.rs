//! From samples of every depth to levels, and what is refused.

use dygl_testing::draws;
use proptest::prelude::*;

use super::super::level::{Samples, Stored, up};
use super::super::{Depth, Kind};
use crate::ImageRule;

fn stored(samples: Samples, depth: Depth) -> Stored {
    let width = samples.len() as u32;
    Stored { width, height: 1, colours: 1, has_alpha: false, samples, depth }
}

const SIXTEEN: Depth = Depth { bits: 16, kind: Kind::Unsigned };
const FLOAT: Depth = Depth { bits: 32, kind: Kind::Float };

#[test]
fn what_lies_outside_the_range_is_refused_with_the_remedy() {
    let free = ImageRule::default();
    for (values, told) in [
        (
            vec![0.0, 209.0],
            "32-bit float samples up to 209, beyond 0..1; state which value is white: image = { white = 255 }",
        ),
        (vec![-1.0, 1.0], "down to -1"),
        (vec![f32::NAN, 0.5], "no numbers"),
        (vec![f32::INFINITY], "no numbers"),
    ] {
        let error = stored(Samples::F32(values), FLOAT).into_rgb(free).expect_err("refused");
        assert!(error.contains(told), "{error}");
    }
    let stated = ImageRule { white: Some(100.0) };
    let error = stored(Samples::U16(vec![101]), SIXTEEN).into_rgb(stated).expect_err("refused");
    assert!(error.contains("beyond the stated white of 100"), "{error}");
    let error = stored(Samples::F32(vec![0.0, 255.0]), FLOAT).into_greys().expect_err("refused");
    assert!(error.contains("kind = \"instances\""), "{error}");
    let negative = Depth { bits: 32, kind: Kind::Signed };
    let error = stored(Samples::I32(vec![0, -1]), negative).into_labels();
    assert!(error.expect_err("refused").contains("down to -1"));
}

#[test]
fn a_stated_white_scales_every_depth_alike() {
    let rule = ImageRule { white: Some(255.0) };
    let expected: Vec<u8> = (0..=255).flat_map(|v: u8| [v; 3]).collect();
    let all = || 0u8..=255;
    for (samples, depth) in [
        (Samples::U8(all().collect()), Depth::EIGHT),
        (Samples::U16(all().map(u16::from).collect()), SIXTEEN),
        (Samples::F32(all().map(f32::from).collect()), FLOAT),
        (Samples::F64(all().map(f64::from).collect()), Depth { bits: 64, kind: Kind::Float }),
        (Samples::I32(all().map(i32::from).collect()), Depth { bits: 32, kind: Kind::Signed }),
    ] {
        assert_eq!(stored(samples, depth).into_rgb(rule).expect("fits").into_raw(), expected, "{depth}");
    }
}

#[test]
fn labels_of_any_size_are_foreground() {
    let labels = |samples, bits, kind| {
        let labels = stored(samples, Depth { bits, kind }).into_labels().expect("fits");
        labels.iter().map(|label| u8::from(*label > 0)).collect::<Vec<u8>>()
    };
    assert_eq!(labels(Samples::U64(vec![0, 1, u64::MAX]), 64, Kind::Unsigned), [0, 1, 1]);
    assert_eq!(labels(Samples::U32(vec![0, 1, u32::MAX]), 32, Kind::Unsigned), [0, 1, 1]);
    assert_eq!(labels(Samples::I64(vec![0, 7, i64::MAX]), 64, Kind::Signed), [0, 1, 1]);
    assert_eq!(labels(Samples::F64(vec![0.0, 3.0]), 64, Kind::Float), [0, 1]);
}

/// A picture of three channels that are equal but for one sample.
fn grey_but_for(pixels: usize, odd: Option<usize>) -> Stored {
    let mut values: Vec<u8> = (0..pixels).flat_map(|pixel| [(pixel * 37 % 256) as u8; 3]).collect();
    if let Some(at) = odd {
        values[at] ^= 128;
    }
    Stored { width: pixels as u32, colours: 3, ..stored(Samples::U8(values), Depth::EIGHT) }
}

#[test]
fn one_coloured_pixel_makes_a_picture_coloured_wherever_it_is() {
    let seen = |stored: &Stored| {
        let mut pixels = 0;
        stored.each_colour(|_| pixels += 1);
        pixels
    };
    for pixels in [1, 15, 16, 17, 33] {
        let grey = grey_but_for(pixels, None);
        assert_eq!(seen(&grey), 0);
        let greys: Vec<u8> = (0..pixels).map(|pixel| (pixel * 37 % 256) as u8).collect();
        assert_eq!(grey.into_greys().expect("fits"), greys);
        for odd in 0..3 * pixels {
            let coloured = grey_but_for(pixels, Some(odd));
            assert_eq!(seen(&coloured), pixels, "sample {odd} of {pixels} pixels");
            assert_ne!(coloured.into_greys().expect("fits"), greys);
        }
    }
}

#[test]
fn floats_of_eight_bits_find_their_level() {
    for grey in 0..=255u8 {
        assert_eq!(up(f64::from(f32::from(grey) / 255.0), FLOAT), grey);
        assert_eq!(up(f64::from(grey) / 255.0, Depth { bits: 64, kind: Kind::Float }), grey);
    }
    assert_eq!(up(1e-9, FLOAT), 1, "what is above 0 stays above 0");
}

proptest! {
    #![proptest_config(draws(500))]

    #[test]
    fn a_deep_grey_is_above_a_bound_exactly_where_its_value_is(value in any::<u16>(), above in any::<u8>()) {
        prop_assert_eq!(up(f64::from(value), SIXTEEN) > above, u32::from(value) > 257 * u32::from(above));
    }

    #[test]
    fn sixteen_bits_become_the_nearest_level(value in any::<u16>()) {
        let level = stored(Samples::U16(vec![value]), SIXTEEN).into_rgb(ImageRule::default());
        let expected = (f64::from(value) / 257.0).round() as u8;
        prop_assert_eq!(level.expect("fits").into_raw(), [expected; 3]);
    }
}
