//! The room as a whole: a folder with one of everything.

use std::path::Path;

use dygl_spec::name::Named;
use dygl_spec::protocol::SplitSource;
use image::{GrayImage, Luma, RgbImage};

use super::testing::{audited, folder, scene};
use super::*;
use crate::{Manifest, Registry};

#[test]
fn one_of_everything_is_found() {
    let found = audited();
    let pairs = &found.duplicates;
    let kinds: Vec<(&str, &str, Kind)> =
        pairs.pairs.iter().map(|pair| (pair.a.as_str(), pair.b.as_str(), pair.kind)).collect();
    for expected in [("0", "2", Kind::File), ("0", "1", Kind::Pixels), ("0", "3", Kind::Near)] {
        assert!(kinds.contains(&expected), "{expected:?} not in {kinds:?}");
    }
    assert!(pairs.pairs.iter().all(|p| ["0", "1", "2", "3"].contains(&p.a.as_str())), "{kinds:?}");
    assert_eq!((pairs.count(), pairs.images, pairs.clusters), (6, 4, 1));
    let masks: Vec<(&str, &str, Kind)> =
        found.mask_duplicates.pairs.iter().map(|p| (p.a.as_str(), p.b.as_str(), p.kind)).collect();
    assert!(masks.contains(&("10", "11", Kind::File)), "{masks:?}");
    assert_eq!(
        (&found.masks.empty_ids, &found.masks.full_ids),
        (&vec!["7".to_owned()], &vec!["8".to_owned()])
    );
    let soft = &found.masks.soft;
    assert_eq!((soft.masks, soft.masks_that_grow, soft.most[0].0.as_str()), (1, 1, "9"));
    assert!((0.3..0.6).contains(&soft.most[0].1), "{}", soft.most[0].1);
    assert_eq!(found.channels.two_equal_ids, ["5"]);
    assert_eq!(found.channels.all_equal_ids, ["4"]);
    assert_eq!(found.channels.blank_ids, ["6"]);
    assert_eq!((found.sizes.distinct, found.sizes.most[0].images), (1, 20));
    assert!(found.has(Finding::Duplicates));
    assert_eq!(found.masks.histogram.iter().sum::<usize>(), 20);
}

/// Augmented copies that somebody saved as images: each lies in another way.
#[test]
fn mirrored_and_turned_copies_are_found() {
    use image::imageops::{flip_horizontal, flip_vertical, rotate90, rotate180, rotate270};
    let home = tempfile::tempdir().expect("a folder");
    let root = home.path().join("set");
    folder(&root);
    type Copy = (usize, fn(&RgbImage) -> RgbImage, Turn);
    let copies: [Copy; 5] = [
        (13, |image| flip_horizontal(image), Turn::MirroredLeftRight),
        (14, |image| flip_vertical(image), Turn::MirroredTopBottom),
        (15, |image| rotate180(image), Turn::HalfTurn),
        (16, |image| rotate90(image), Turn::QuarterClockwise),
        (17, |image| rotate270(image), Turn::QuarterCounterclockwise),
    ];
    for (id, turned, _) in copies {
        let image = turned(&scene(12.0));
        let (width, height) = image.dimensions();
        image.save(root.join(format!("images/{id}.png"))).expect("written");
        let mask = GrayImage::from_fn(width, height, |x, _| Luma([if x < id as u32 { 255 } else { 0 }]));
        mask.save(root.join(format!("masks/{id}.png"))).expect("written");
    }
    let registry = Registry::at(&home.path().join("store"));
    let manifest = Manifest::find("cvc-clinicdb").expect("valid").expect("listed");
    registry.add(manifest, &root, true, &|_, _| {}).expect("registered");
    let dataset = Dataset::open(&Named::plain("cvc-clinicdb"), &registry).expect("opens");
    let split = Split { source: SplitSource::Seeded, seed: 42, folds: 5, fold: 0, file: String::new() };
    let partition = dataset.split(&split).expect("divides");
    let found = audit(&dataset, &split, &partition, &|_, _| {}).expect("looked at").duplicates;
    // All pairs of the six, in one cluster beside that of 0 to 3.
    assert_eq!((found.turned, found.count(), found.clusters), (Some(15), 6 + 15, 2), "{:?}", found.pairs);
    for (id, _, turn) in copies {
        let (a, b) = ("12".to_owned(), id.to_string());
        let pair = found.pairs.iter().find(|pair| pair.a == a && pair.b == b).expect("found");
        assert_eq!((pair.kind, pair.turn), (Kind::Turned, Some(turn)));
        assert!(pair.distance < 0.1, "{}", pair.distance);
    }
}

#[test]
fn phantoms_are_clean() {
    let registry = Registry::at(Path::new("/nonexistent"));
    let named = Named::parse("phantom-skin,count=30,size=64,seed=3").expect("a name");
    let dataset = Dataset::open(&named, &registry).expect("opens");
    let split = Split { source: SplitSource::KFold, seed: 1, folds: 5, fold: 2, file: String::new() };
    let partition = dataset.split(&split).expect("divides");
    let found = audit(&dataset, &split, &partition, &|_, _| {}).expect("looked at");
    assert_eq!((found.duplicates.file, found.duplicates.pixels), (0, 0));
    assert!(!found.groups.known && found.unreadable.is_empty());
    assert_eq!(found.split.words(), "k-fold, fold 2 of 5, seed 1");
}

#[test]
fn the_method_states_the_thresholds_in_use() {
    let text: String = METHOD.iter().map(|(_, text)| *text).collect();
    for threshold in [f64::from(near::NEAR), near::CONFIRMED, near::OVERLAP] {
        assert!(text.contains(&format!("{threshold:.2}")), "{threshold} is not stated");
    }
    assert!(text.contains("24 x 24") && text.contains("96 x 96"));
    assert_eq!((near::SIDE, near::DETAIL), (24, 96));
}
