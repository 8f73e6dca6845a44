//! Patterns: what fits, in which of several ways, and what is refused.

use dygl_testing::draws;
use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Pattern {
    Pattern::parse(text).expect("valid")
}

/// The ids that a path may have under a pattern.
fn ids(pattern: &str, path: &str) -> Vec<String> {
    parse(pattern).captures(path).into_iter().map(|captures| captures["id"].clone()).collect()
}

#[test]
fn patterns_match_and_fill() {
    let pattern = parse("Slide_{group}/{id}.png");
    assert!(pattern.matches("Slide_01/01_1.png"));
    assert!(!pattern.matches("Slide_/01_1.png") && !pattern.matches("01_1.png"));
    assert!(!pattern.matches("Slide_01/x/01_1.png"));
    let captures = Captures::from([("group".into(), "01".into()), ("id".into(), "01_1".into())]);
    assert_eq!(pattern.captures("Slide_01/01_1.png"), std::slice::from_ref(&captures));
    assert_eq!(pattern.fill(&captures), "Slide_01/01_1.png");
    assert_eq!(pattern.placeholders(), ["group", "id"]);
}

#[test]
fn a_repeated_placeholder_must_agree() {
    let pattern = parse("{id}/{id}_lesion/{id}.bmp");
    assert!(pattern.matches("IMD1/IMD1_lesion/IMD1.bmp"));
    assert!(!pattern.matches("IMD1/IMD1_lesion/IMD2.bmp"));
}

#[test]
fn endings_have_no_case_and_the_rest_has() {
    for path in ["images/a.png", "images/a.PNG", "images/a.Png"] {
        assert_eq!(ids("images/{id}.png", path), ["a"], "{path}");
        assert_eq!(ids("images/{id}.PNG", path), ["a"], "{path}");
    }
    assert_eq!(ids("m/{id}_Segmentation.png", "m/a_Segmentation.PNG"), ["a"]);
    assert!(ids("m/{id}_Segmentation.png", "m/a_segmentation.png").is_empty());
    assert!(ids("images/{id}.png", "Images/a.png").is_empty());
    // Ids keep their letters.
    assert_eq!(ids("images/{id}.png", "images/Ab.C.PNG"), ["Ab.C"]);
}

#[test]
fn several_endings_and_any_ending() {
    for (path, fits) in [("a.png", true), ("a.JPG", true), ("a.jpeg", false), ("a.txt", false)] {
        assert_eq!(!ids("{id}.{png,jpg}", path).is_empty(), fits, "{path}");
        assert_eq!(!ids("{id}.{PNG,jpg}", path).is_empty(), fits, "{path}");
    }
    for (path, id) in [("a.jpeg", Some("a")), ("a.b.TIF", Some("a.b")), ("a.txt", None), ("a", None)] {
        assert_eq!(ids("{id}.*", path), Vec::from_iter(id), "{path}");
    }
    assert_eq!(ids("m/{id}{_mask,_gt}.png", "m/7_gt.png"), ["7"]);
    assert!(!parse("{id}.*").has_star() && parse("{id}_*.png").has_star());
}

#[test]
fn a_star_leaves_open_what_the_id_is() {
    assert_eq!(ids("m/{id}_mask*.png", "m/x_mask.png"), ["x"]);
    assert_eq!(ids("m/{id}_mask*.png", "m/x_mask_1.png"), ["x"]);
    assert_eq!(ids("m/{id}*.png", "m/p10.png"), ["p", "p1", "p10"]);
    assert_eq!(ids("*/{id}_*.tif", "1. Exudates/IDRiD_01_EX.tif"), ["IDRiD", "IDRiD_01"]);
    // A star is for pictures, not for the files beside them.
    assert!(ids("m/{id}*", "m/Thumbs.db").is_empty());
}

#[test]
fn accents_are_compared_composed() {
    assert_eq!(ids("Bo\u{308}/{id}.png", "Bö/Ko\u{308}ln 0.png"), ["Köln 0"]);
}

#[test]
fn the_loose_ways_say_what_is_amiss() {
    let pattern = parse("images/{id}_a.png");
    let loosely = |path: &str, fit| !pattern.captures_by(path, fit).is_empty();
    assert!(loosely("Images/x_A.png", Fit::AnyCase) && !loosely("Images/x_A.png", Fit::AnyEnding));
    assert!(loosely("images/x_a.jpg", Fit::AnyEnding) && !loosely("images/x.jpg", Fit::AnyEnding));
    let open = parse("{id}.{png,jpg}");
    assert!(!open.captures_by("x.bmp", Fit::AnyEnding).is_empty());
}

#[test]
fn bad_patterns_are_explained() {
    for (text, word) in [
        ("images/x.png", "{id}"),
        ("{id", "not closed"),
        ("{id}{part}", "more than one"),
        ("{name}", "no placeholder"),
        ("../{id}", "`..`"),
        ("**/{id}.png", "`**`"),
    ] {
        let error = Pattern::parse(text).expect_err("invalid");
        assert!(error.contains(word), "{error}");
    }
}

/// Names with dots, accents of both forms, blanks, capitals and digits; no `/`.
fn name() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("a"),
        Just("Bc"),
        Just("."),
        Just("_"),
        Just("_mask"),
        Just(" "),
        Just("ö"),
        Just("o\u{308}"),
        Just("7"),
        Just("(1)"),
        Just("{"),
        Just("*"),
        Just("-"),
        Just("png"),
    ];
    proptest::collection::vec(piece, 1..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(draws(512))]

    /// What a pattern is filled with is read from the path again, whatever the case of
    /// the ending and the coding of the accents.
    #[test]
    fn a_filled_pattern_gives_its_words_back(id in name(), group in name(), capital in any::<bool>()) {
        let captures = Captures::from([
            ("group".to_owned(), text::nfc(&group).into_owned()),
            ("id".to_owned(), text::nfc(&id).into_owned()),
        ]);
        let end = if capital { "PNG" } else { "png" };
        let path = format!("x_{group}/images/{id}_a.{end}");
        for (pattern, is_open) in [
            ("x_{group}/images/{id}_a.png", false),
            ("x_{group}/images/{id}_a.*", false),
            ("x_{group}/images/{id}_a.{jpg,png}", false),
            ("x_{group}/*/{id}_a*.png", true),
        ] {
            let found = parse(pattern).captures(&path);
            if is_open {
                prop_assert!(found.contains(&captures), "{}: {:?}", pattern, found);
            } else {
                prop_assert_eq!(&found[..], std::slice::from_ref(&captures), "{}", pattern);
            }
        }
    }
}
