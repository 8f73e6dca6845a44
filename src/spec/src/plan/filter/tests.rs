//! What filters select, and what they refuse.

use std::sync::Arc;

use dygl_testing::draws;

use super::*;
use crate::testing::experiment;

fn filter(flags: &[&str]) -> Filter {
    let flags: Vec<String> = flags.iter().map(ToString::to_string).collect();
    Filter::parse(&flags).expect("well formed")
}

fn selected(flags: &[&str]) -> Vec<String> {
    let plan = Plan::expand(&experiment("table2", Some("smoke"), &["model=unet,dyglnet", "seed=42,43"]));
    filter(flags)
        .apply(&plan)
        .cells
        .iter()
        .map(|p| format!("{} {} {}", p.cell.model, p.cell.asked, p.cell.seed))
        .collect()
}

#[test]
fn comma_is_and_bar_is_or_repetition_is_union() {
    assert_eq!(selected(&[]).len(), 8);
    assert_eq!(selected(&["model=unet|dyglnet,seed=42"]).len(), 4);
    assert_eq!(selected(&["model=unet,dataset=kvasir*,seed=42"]), ["unet kvasir-seg 42"]);
    assert_eq!(selected(&["model=unet,seed=42", "model=dyglnet,seed=43"]).len(), 4);
    assert_eq!(selected(&["dataset=phantom-*"]).len(), 8);
    assert_eq!(selected(&["dataset=phantom-polyp,count=40,size=64,seed=2", "model=x*"]).len(), 0);
}

#[test]
fn a_seed_after_a_dataset_is_the_cells_seed() {
    assert_eq!(selected(&["dataset=*seg,seed=43"]).len(), 2);
}

#[test]
fn variants_match_by_name_and_in_full() {
    let plan = Plan::expand(&experiment("table2", None, &["model=unet,unet,variant=table-exact"]));
    let count = |flag: &str| filter(&[flag]).apply(&plan).cells.len();
    assert_eq!(count("model=unet"), 4);
    assert_eq!(count("model=unet,variant=table-exact"), 2);
    assert_eq!(count("model=dyglnet|unet,variant=table-exact,dataset=kvasir-seg"), 1);
}

#[test]
fn a_pattern_that_matches_nothing_is_worth_a_word() {
    let plan = Plan::expand(&experiment("table2", None, &["model=unet,dyglnet"]));
    let selected = filter(&["model=dyglnett"]).apply(&plan);
    assert_eq!(selected.notes, ["no cell has model `dyglnett`: did you mean `dyglnet`?"]);
    assert!(selected.cells.is_empty());
    let both = filter(&["model=unet|zzz"]).apply(&plan);
    assert_eq!(both.notes, ["no cell has model `zzz`: there are dyglnet, unet"]);
    assert_eq!(both.cells.len(), 2);
}

#[test]
fn a_setting_matches_by_its_value_however_it_is_spelt() {
    let sets = [
        "model=unet",
        "dataset=ph2",
        "optimizer.learning_rate=1e-3,1e-2",
        "augment.crop.scale=[0.5,1.0],[0.7,1.0]",
    ];
    let plan = Plan::expand(&experiment("table2", None, &sets));
    let rates = |flags: &[&str]| -> Vec<(f64, f64)> {
        let cells = filter(flags).apply(&plan).cells;
        let of = |p: &Arc<PlannedCell>| {
            (p.cell.protocol.optimizer.learning_rate, p.cell.protocol.augment.crop.scale[0])
        };
        cells.iter().map(of).collect()
    };
    assert_eq!(plan.cells.len(), 4);
    for spelt in ["1e-3", "0.001", "1.0e-3"] {
        let flag = format!("optimizer.learning_rate={spelt}");
        assert_eq!(rates(&[&flag]).iter().map(|cell| cell.0).collect::<Vec<_>>(), [0.001; 2], "{spelt}");
    }
    assert_eq!(rates(&["optimizer.learning_rate=1e-3|0.01"]).len(), 4);
    assert_eq!(
        rates(&["model=unet,optimizer.learning_rate=0.01,augment.crop.scale=[0.70, 1]"]),
        [(0.01, 0.7)]
    );
    assert_eq!(rates(&["optimizer.learning_rate=0.0*1"]).len(), 4);
    // What all cells share is a field like any other.
    assert_eq!(rates(&["selection.rule=best-dice"]).len(), 0);
    assert_eq!(rates(&["evaluate.part=test,seed=42"]).len(), 4);
    let nothing = filter(&["optimizer.learning_rate=0.5"]).apply(&plan);
    assert_eq!(nothing.notes, ["no cell has optimizer.learning_rate `0.5`: there are 0.001, 0.01"]);
}

#[test]
fn an_option_of_a_dataset_is_no_setting() {
    let with = filter(&["dataset=phantom-polyp,size=64,seed=2,optimizer.learning_rate=1e-3"]);
    assert_eq!(with.flags[0].len(), 3, "{with:?}");
    let cut = filter(&["dataset=phantom-polyp,count=40,size=64"]);
    assert_eq!(cut.flags[0].len(), 1, "{cut:?}");
}

#[test]
fn what_a_setting_cannot_have_is_a_mistake() {
    let flags =
        ["evaluate.part=tset".to_owned(), "loss.lambda=7".to_owned(), "optimizer.learningrate=1".to_owned()];
    let diagnostics = Filter::parse(&flags).expect_err("three mistakes");
    let messages: Vec<&str> = diagnostics.list.iter().map(|d| d.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "`evaluate.part` has no value `tset`",
            "`loss.lambda` must be between 0 and 1",
            "a cell has no field `optimizer.learningrate`"
        ]
    );
    assert_eq!(diagnostics.list[2].help, ["did you mean `optimizer.learning_rate`?"]);
}

#[test]
fn every_mistake_of_a_filter_is_shown() {
    let flags = ["mdoel=unet,seed".to_owned(), "model=|unet".to_owned()];
    let diagnostics = Filter::parse(&flags).expect_err("three mistakes");
    let messages: Vec<&str> = diagnostics.list.iter().map(|d| d.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "a cell has no field `mdoel`",
            "`seed` is not of the form field=value",
            "`model` has an empty value"
        ]
    );
    assert_eq!(diagnostics.list[0].help, ["did you mean `model`?"]);
}

proptest::proptest! {
    #![proptest_config(draws(256))]

    #[test]
    fn no_text_breaks_a_filter(text in "[model=|,*\\PC]{0,24}") {
        match Filter::parse(&[text]) {
            Ok(filter) => drop(filter.apply(&Plan::default())),
            Err(diagnostics) => proptest::prop_assert!(diagnostics.to_string().contains("mistake")),
        }
    }
}

#[test]
fn globs() {
    for (pattern, text) in
        [("*", ""), ("a*c", "abc"), ("a*b*c", "a1b2b3c"), ("abc", "abc"), ("*-seg", "x-seg")]
    {
        assert!(glob(pattern, text), "{pattern} {text}");
    }
    for (pattern, text) in [("a*a", "a"), ("ab", "abc"), ("", "a"), ("a*d", "abc"), ("*b", "abc")] {
        assert!(!glob(pattern, text), "{pattern} {text}");
    }
}
