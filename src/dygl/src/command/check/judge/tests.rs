//! Every tier, with the sentence that comes with it.

use dygl_spec::plan::Identity;

use super::super::lock::Lines;
use super::*;

const TOLERANCE: Tolerance = Tolerance::absolute(0.01);

fn images(dice: &[f64]) -> Vec<ImageScores> {
    let image = |(place, dice): (usize, &f64)| ImageScores {
        id: format!("image{place:02}"),
        scores: [(Metric::Dice, *dice)].into(),
    };
    dice.iter().enumerate().map(image).collect()
}

fn mean(images: &[ImageScores]) -> BTreeMap<Metric, f64> {
    let dice: Vec<f64> = images.iter().map(|image| image.scores[&Metric::Dice]).collect();
    [(Metric::Dice, stats::mean(&dice).expect("images"))].into()
}

/// Images with a spread, about 0.7.
fn accepted(count: usize) -> Vec<f64> {
    (0..count).map(|i| 0.5 + 0.4 * (i as f64 * 0.618).fract()).collect()
}

fn locked(dice: &[f64], with_images: bool) -> LockedCell {
    let images = images(dice);
    let metrics = [Metric::Dice].into();
    LockedCell {
        identity: Identity {
            model: "unet".into(),
            dataset: "ph2".into(),
            seed: 42,
            pretrained: None,
            settings: Some(BTreeMap::new()),
        },
        own: BTreeMap::new(),
        asked: None,
        numerics: "flex".into(),
        simd: Some("avx512".into()),
        threads: Some(2),
        commit: Some("35ce58c0a1b2c3d4".into()),
        date: None,
        images: Some(dice.len() as u64),
        groups: None,
        scores_digest: Some(scores_digest(&images, &metrics)),
        keys: None,
        tolerance: BTreeMap::new(),
        scores: mean(&images),
        per_image: if with_images { images } else { Vec::new() },
        lines: Lines { cell: 3, scores: [(Metric::Dice, 9)].into() },
    }
}

/// A result, before it is judged.
struct Made {
    mean: BTreeMap<Metric, f64>,
    per_image: Vec<ImageScores>,
    numerics: &'static str,
    simd: &'static str,
    threads: u64,
    commit: Option<&'static str>,
    groups: BTreeMap<String, String>,
}

impl Made {
    /// As the locked one, with these scores.
    fn of(dice: &[f64]) -> Self {
        let per_image = images(dice);
        Self {
            mean: mean(&per_image),
            per_image,
            numerics: "flex",
            simd: "avx512",
            threads: 2,
            commit: Some("35ce58c0a1b2c3d4"),
            groups: BTreeMap::new(),
        }
    }

    /// Images in the groups that the function names.
    fn grouped(mut self, group: impl Fn(usize) -> String) -> Self {
        let groups = self.per_image.iter().enumerate();
        self.groups = groups.map(|(place, image)| (image.id.clone(), group(place))).collect();
        self
    }

    fn rows(&self, locked: &LockedCell) -> Vec<Row> {
        let Self { mean, per_image, numerics, simd, threads, commit, groups } = self;
        let found = Found { mean, per_image, numerics, simd, threads: *threads, commit: *commit, groups };
        cell("a cell", locked, &found, |_| TOLERANCE)
    }

    fn row(&self, locked: &LockedCell) -> Row {
        let mut rows = self.rows(locked);
        assert_eq!(rows.len(), 1, "{rows:?}");
        rows.remove(0)
    }
}

/// The row of a result with these scores.
fn judged(locked: &LockedCell, dice: &[f64]) -> Row {
    Made::of(dice).row(locked)
}

fn shifted(dice: &[f64], by: impl Fn(usize) -> f64) -> Vec<f64> {
    dice.iter().enumerate().map(|(place, dice)| dice + by(place)).collect()
}

/// A difference that sways around 0, of this size.
fn sway(size: f64) -> impl Fn(usize) -> f64 {
    move |place| if place % 2 == 0 { size } else { -size }
}

#[test]
fn identical_is_every_score_to_the_last_bit() {
    let dice = accepted(20);
    for with_images in [true, false] {
        let row = judged(&locked(&dice, with_images), &dice);
        assert_eq!((row.tier, row.reason.as_str(), row.line), (Tier::Identical, "", Some(9)));
    }
    let mut one_bit = dice.clone();
    one_bit[3] = one_bit[3].next_up();
    assert_eq!(judged(&locked(&dice, true), &one_bit).tier, Tier::Held);
}

#[test]
fn a_lock_of_means_alone_is_held_and_never_identical() {
    let dice = accepted(20);
    let first = LockedCell { scores_digest: None, ..locked(&dice, false) };
    let row = judged(&first, &dice);
    assert_eq!((row.tier, row.interval), (Tier::Held, None));
    assert!(row.reason.contains("accept again"), "{}", row.reason);
}

#[test]
fn held_is_equivalent_where_the_images_say_so() {
    let dice = accepted(20);
    let row = judged(&locked(&dice, true), &shifted(&dice, sway(0.001)));
    assert_eq!(row.tier, Tier::Held);
    assert!(row.reason.starts_with("equivalent (90 % interval by image -0.04 to +0.04)"), "{}", row.reason);
    let bounds = row.interval.expect("an interval");
    assert!((bounds.level - 0.9).abs() < 1e-12 && bounds.low < 0.0 && bounds.high > 0.0);
}

#[test]
fn width_alone_never_fails() {
    let dice = accepted(20);
    let row = judged(&locked(&dice, true), &shifted(&dice, sway(0.08)));
    assert_eq!(row.tier, Tier::Held);
    assert!(row.reason.starts_with("a loss of up to 3.17 points is not excluded"), "{}", row.reason);
    let up = |place| if place == 0 { 0.09 } else { 0.0015 };
    let row = judged(&locked(&dice, true), &shifted(&dice, up));
    assert!(row.reason.starts_with("a gain of up to 1.3"), "{}", row.reason);
}

#[test]
fn worse_and_better_are_beyond_the_tolerance() {
    let dice = accepted(20);
    for with_images in [true, false] {
        assert_eq!(judged(&locked(&dice, with_images), &shifted(&dice, |_| -0.02)).tier, Tier::Worse);
        assert_eq!(judged(&locked(&dice, with_images), &shifted(&dice, |_| 0.02)).tier, Tier::Better);
    }
}

#[test]
fn no_number_is_beyond_every_limit() {
    let dice = accepted(4);
    let first = LockedCell { scores_digest: None, ..locked(&dice, false) };
    let made = |mean| Made { mean, ..Made::of(&dice) };
    assert_eq!(made([(Metric::Dice, f64::NAN)].into()).row(&first).tier, Tier::Worse);
    let row = made(BTreeMap::new()).row(&first);
    assert_eq!((row.tier, row.reason.as_str()), (Tier::Missing, "the result has no such score"));
}

#[test]
fn a_limit_that_is_met_is_held() {
    let dice = [0.5; 4];
    let first = LockedCell { scores_digest: None, ..locked(&dice, false) };
    assert_eq!(judged(&first, &[0.51; 4]).tier, Tier::Held);
    assert_eq!(judged(&first, &[0.49; 4]).tier, Tier::Held);
    assert_eq!(judged(&first, &[0.489; 4]).tier, Tier::Worse);
}

#[test]
fn a_small_loss_that_is_no_chance_is_worse() {
    let dice = accepted(20);
    let by = |size: f64| move |place: usize| size + if place.is_multiple_of(2) { 0.001 } else { -0.001 };
    let row = judged(&locked(&dice, true), &shifted(&dice, by(-0.006)));
    assert_eq!(row.tier, Tier::Worse);
    assert!(row.reason.contains("95 % interval by image -0.65 to -0.55"), "{}", row.reason);
    assert!((row.interval.expect("an interval").level - 0.95).abs() < 1e-12);
    assert_eq!(judged(&locked(&dice, true), &shifted(&dice, by(0.006))).tier, Tier::Better);
    // Up to half the tolerance it may be as certain as it likes.
    assert_eq!(judged(&locked(&dice, true), &shifted(&dice, by(-0.004))).tier, Tier::Held);
    // Without the images nobody can tell.
    assert_eq!(judged(&locked(&dice, false), &shifted(&dice, by(-0.006))).tier, Tier::Held);
    // Fewer than ten images, or than three groups, have no interval.
    let few = accepted(9);
    let row = judged(&locked(&few, true), &shifted(&few, by(-0.006)));
    assert_eq!(row.tier, Tier::Held);
    assert!(row.reason.starts_with("9 images: no interval"), "{}", row.reason);
    let row =
        Made::of(&shifted(&dice, by(-0.006))).grouped(|i| (i % 2).to_string()).row(&locked(&dice, true));
    assert!(row.tier == Tier::Held && row.reason.starts_with("fewer than 3 groups"), "{}", row.reason);
}

#[test]
fn images_of_one_patient_count_as_one_observation() {
    let dice = accepted(20);
    // One patient of twelve images moved; nothing else did.
    let by = |place: usize| if place < 12 { -0.014 } else { 0.0 };
    let alone = judged(&locked(&dice, true), &shifted(&dice, by));
    assert_eq!(alone.tier, Tier::Worse);
    let patient = |i: usize| if i < 12 { "p".to_owned() } else { i.to_string() };
    let grouped = Made::of(&shifted(&dice, by)).grouped(patient).row(&locked(&dice, true));
    assert_eq!(grouped.tier, Tier::Held);
}

#[test]
fn images_that_moved_far_are_named_and_no_more_than_a_handful() {
    let dice = accepted(20);
    let by = |place: usize| match place {
        3 => 0.11,
        4 => -0.11,
        5 => 0.1,
        _ => 0.0,
    };
    let row = judged(&locked(&dice, true), &shifted(&dice, by));
    let named: Vec<&str> = row.moved.iter().map(|image| image.image.as_str()).collect();
    assert_eq!((row.tier, named.as_slice()), (Tier::Held, &["image03", "image04"][..]));
    assert!(row.reason.contains("2 images (image03 (84.16 -> 95.16)"), "{}", row.reason);
    let row = judged(&locked(&dice, true), &shifted(&dice, sway(0.2)));
    assert_eq!(row.moved.len(), 20);
    assert!(
        row.reason.contains("20 images (") && row.reason.contains(" and 15 more) moved"),
        "{}",
        row.reason
    );
}

#[test]
fn another_class_is_judged_by_tolerance_and_said() {
    let dice = accepted(20);
    let other =
        |dice: &[f64]| Made { numerics: "libtorch-cpu", ..Made::of(dice) }.row(&locked(&accepted(20), true));
    let row = other(&dice);
    assert_eq!(row.tier, Tier::OtherNumerics, "never identical");
    assert!(row.reason.starts_with("accepted in class flex, found in libtorch-cpu"), "{}", row.reason);
    // A small difference everywhere is to be expected.
    assert_eq!(other(&shifted(&dice, |_| -0.006)).tier, Tier::OtherNumerics);
    let row = other(&shifted(&dice, |_| -0.02));
    assert!(row.tier == Tier::Worse && row.reason.contains("libtorch-cpu"), "{row:?}");
}

#[test]
fn a_lock_at_odds_with_itself_does_not_pass() {
    let dice = accepted(20);
    // A mean was edited, its digest was not.
    let mut edited = locked(&dice, false);
    let honest = edited.scores[&Metric::Dice];
    edited.scores.insert(Metric::Dice, honest + 1.0);
    let row = judged(&edited, &dice);
    assert!(row.tier == Tier::Worse && row.reason.contains("at odds with itself"), "{row:?}");
    edited.scores.insert(Metric::Dice, honest - 0.001);
    assert_eq!(judged(&edited, &dice).tier, Tier::Better, "within the tolerance, too");
    // An image was edited.
    let mut edited = locked(&dice, true);
    edited.per_image[0].scores.insert(Metric::Dice, 0.0);
    let rows = Made::of(&dice).rows(&edited);
    let tiers: Vec<Tier> = rows.iter().map(|row| row.tier).collect();
    assert_eq!(tiers, [Tier::Identical, Tier::Unknown]);
    assert!(rows[1].reason.contains("at odds with itself"), "{}", rows[1].reason);
}

#[test]
fn other_images_are_not_compared() {
    let dice = accepted(20);
    let row = judged(&locked(&dice, true), &dice[..19]);
    assert_eq!((row.tier, row.metric, row.line), (Tier::Unknown, None, Some(3)));
    assert!(row.reason.contains("19 images were scored, 20 accepted"), "{}", row.reason);
    let mut renamed = locked(&dice, true);
    renamed.per_image[0].id = "other".into();
    let row = judged(&renamed, &dice);
    assert!(row.reason.starts_with("scored, but not accepted: 1 image (image00)"), "{}", row.reason);
}

#[test]
fn what_else_differs_between_the_runs_is_said() {
    let dice = accepted(20);
    let other = |dice: &[f64]| {
        let made =
            Made { simd: "avx2", threads: 1, commit: Some("501cc85012345678-dirty"), ..Made::of(dice) };
        made.row(&locked(&accepted(20), false)).reason
    };
    let runs = "vectors avx512 -> avx2, threads 2 -> 1";
    assert_eq!(
        other(&shifted(&dice, |_| -0.02)),
        format!("{runs}, commit 35ce58c0a1b2 -> 501cc8501234-dirty")
    );
    assert_eq!(other(&shifted(&dice, |_| -0.002)), runs);
    assert_eq!(other(&dice), "");
}
