//! The chain as a whole; `golden` has the steps.

mod golden;

use dygl_spec::protocol::{
    Augment, Border, BrightnessContrast, Crop, DecayExclude, Elastic, EmptyRule, Evaluate, Filter, Image,
    Loss, MaskMode, Optimizer, OptimizerName, Part, Pooling, Precision, Rotate, Schedule, ScheduleUnit,
    Selection, SelectionRule, Split, SplitSource, Train,
};
use image::{GrayImage, Luma, Rgb, RgbImage};

use super::*;
use crate::{Sample, prepare};

/// A blob whose red channel is its mask.
fn sample() -> Sample {
    let inside = |x: u32, y: u32| (f64::from(x) - 90.0).hypot(f64::from(y) - 70.0) < 45.0;
    let value = |x, y| if inside(x, y) { 255 } else { 0 };
    Sample {
        image: RgbImage::from_fn(200, 150, |x, y| Rgb([value(x, y), x as u8, y as u8])),
        mask: GrayImage::from_fn(200, 150, |x, y| Luma([value(x, y)])),
    }
}

/// A protocol whose steps all have the probability p.
pub(crate) fn protocol(p: f64) -> Protocol {
    Protocol {
        image: Image {
            size: 96,
            filter: Filter::Bilinear,
            mean: [0.0; 3],
            std: [1.0; 3],
            training_masks: MaskMode::Threshold,
        },
        augment: Augment {
            horizontal_flip: p,
            vertical_flip: p,
            border: Border::Reflect,
            crop: Crop {
                probability: p,
                from: CropFrom::Resized,
                scale: [0.5, 1.0],
                aspect: [0.75, 4.0 / 3.0],
            },
            rotate: Rotate { probability: p, degrees: 15.0 },
            elastic: Elastic { probability: p, alpha: 60.0, sigma: 6.0 },
            brightness_contrast: BrightnessContrast { probability: p, brightness: 0.2, contrast: 0.2 },
        },
        // What follows has no part in augmentation.
        loss: Loss { lambda: 0.5, dice_smoothing: 1.0, dice_pooling: Pooling::Batch },
        optimizer: Optimizer {
            name: OptimizerName::Adamw,
            learning_rate: 1e-3,
            betas: [0.9, 0.999],
            epsilon: 1e-8,
            weight_decay: 0.0,
            decay_exclude: DecayExclude::Nothing,
            clip_norm: 0.0,
        },
        schedule: Schedule { warmup_epochs: 0, warmup_start: 0.1, power: 0.9, unit: ScheduleUnit::Step },
        train: Train {
            epochs: 1,
            batch_size: 1,
            drop_last: false,
            images_per_epoch: 0,
            precision: Precision::F32,
        },
        selection: Selection { rule: SelectionRule::Last, part: Part::Validation, every: 0 },
        split: Split { source: SplitSource::Manifest, seed: 1, folds: 5, fold: 0, file: String::new() },
        evaluate: Evaluate { part: Part::Test, threshold: 0.5, epsilon: 1e-8, empty: EmptyRule::Formula },
    }
}

#[test]
fn draws_depend_on_seed_epoch_and_id_alone() {
    let (sample, protocol) = (sample(), protocol(0.5));
    let once = augment(sample.picture(), "a", 1, 3, &protocol);
    assert_eq!(once, augment(sample.picture(), "a", 1, 3, &protocol));
    for other in [
        augment(sample.picture(), "a", 2, 3, &protocol),
        augment(sample.picture(), "a", 1, 4, &protocol),
        augment(sample.picture(), "b", 1, 3, &protocol),
    ] {
        assert_ne!(once, other);
    }
}

#[test]
fn image_and_mask_stay_aligned() {
    let (sample, mut protocol) = (sample(), protocol(1.0));
    for epoch in 0..40 {
        protocol.augment.crop.from = [CropFrom::Resized, CropFrom::Stored][epoch % 2];
        let image = augment(sample.picture(), "a", 7, epoch, &protocol);
        let red = image.rgb.chunks_exact(3).map(|pixel| pixel[0]);
        let agreeing = red.zip(&image.mask).filter(|(r, m)| (*r > 127) == (**m > 127)).count();
        let share = agreeing as f64 / image.mask.len() as f64;
        assert!(share > 0.95, "epoch {epoch}: {share}");
        assert!(image.mask.iter().all(|m| *m == 0 || *m == 255));
    }
}

#[test]
fn flips_are_exact_and_their_own_inverse() {
    let (sample, mut protocol) = (sample(), protocol(0.0));
    protocol.image.filter = Filter::Nearest;
    let plain = augment(sample.picture(), "a", 7, 0, &protocol);
    let rows = |image: &Resized| -> Vec<Vec<[u8; 4]>> {
        let pixels = image.rgb.chunks_exact(3).zip(&image.mask).map(|(p, m)| [p[0], p[1], p[2], *m]);
        pixels.collect::<Vec<_>>().chunks_exact(96).map(<[_]>::to_vec).collect()
    };
    for (across, down) in [(true, false), (false, true), (true, true)] {
        protocol.augment.horizontal_flip = f64::from(u8::from(across));
        protocol.augment.vertical_flip = f64::from(u8::from(down));
        let flipped = augment(plain.picture(), "a", 7, 0, &protocol);
        let mut expected = rows(&plain);
        if across {
            expected.iter_mut().for_each(|row| row.reverse());
        }
        if down {
            expected.reverse();
        }
        assert!(rows(&flipped) == expected);
        assert_eq!(augment(flipped.picture(), "a", 7, 0, &protocol), plain);
    }
}

#[test]
fn a_batch_gets_what_people_are_shown() {
    let (sample, mut protocol) = (sample(), protocol(0.5));
    protocol.image.mean = [0.485, 0.456, 0.406];
    protocol.image.std = [0.229, 0.224, 0.225];
    let area = protocol.image.size.pow(2);
    for mode in [MaskMode::Soft, MaskMode::Threshold] {
        protocol.image.training_masks = mode;
        let writer = Writer::new(&protocol.image);
        for epoch in 0..20 {
            let (mut input, mut target) = (vec![0.0; 3 * area], vec![0.0; area]);
            let (mut shown_input, mut shown_target) = (input.clone(), target.clone());
            augment_into(sample.picture(), ("a", 7, epoch), &protocol, &writer, &mut input, &mut target);
            let shown = augment(sample.picture(), "a", 7, epoch, &protocol);
            shown.write_input(&protocol.image, &mut shown_input);
            shown.write_target(mode, &mut shown_target);
            assert!(input == shown_input && target == shown_target, "{mode:?} {epoch}");
        }
    }
}

#[test]
fn no_probability_is_the_plain_resize() {
    let (sample, protocol) = (sample(), protocol(0.0));
    assert_eq!(augment(sample.picture(), "a", 7, 0, &protocol), prepare::resized(&sample, &protocol.image));
}

#[test]
fn switching_a_step_off_leaves_the_other_draws_alone() {
    let (sample, mut protocol) = (sample(), protocol(1.0));
    protocol.augment.brightness_contrast.probability = 0.0;
    let without = augment(sample.picture(), "a", 7, 0, &protocol);
    protocol.augment.brightness_contrast.probability = 1.0;
    let with = augment(sample.picture(), "a", 7, 0, &protocol);
    assert_eq!(with.mask, without.mask);
    assert_ne!(with.rgb, without.rgb);
}

#[test]
fn the_crop_is_cut_from_what_the_protocol_says() {
    let (sample, mut protocol) = (sample(), protocol(0.0));
    protocol.augment.crop.probability = 1.0;
    let (side, picture) = (protocol.image.size as u32, sample.picture());
    let first = prepare::resized(&sample, &protocol.image);
    let expected = draw(side, side, "a", 7, 0, &protocol);
    let resized = augment(picture, "a", 7, 0, &protocol);
    assert_eq!(resized, apply(first.picture(), &expected, &protocol));
    // What was resized before is not resized again.
    assert_eq!(resized, augment(first.picture(), "a", 7, 0, &protocol));
    protocol.augment.crop.from = CropFrom::Stored;
    let window = draw(200, 150, "a", 7, 0, &protocol).crop.expect("certain");
    let stored = augment(picture, "a", 7, 0, &protocol);
    assert_eq!(stored, prepare::window(picture, window, 96, Filter::Bilinear));
    assert_ne!(stored, resized);
}

/// A change here moves every result: it belongs under *Invalidates cache*.
#[test]
fn bytes_are_frozen() {
    let (sample, protocol) = (sample(), protocol(0.5));
    let mut hasher = blake3::Hasher::new();
    for epoch in 0..50 {
        let image = augment(sample.picture(), "a", 7, epoch, &protocol);
        hasher.update(&image.rgb).update(&image.mask);
    }
    assert_eq!(hasher.finalize().to_hex()[..16], *"4eae059799008178");
}
