//! The figures of an experiment that is drawn (Figure 1): each view by both
//! ways of counting, on the page and as files beside it.

use std::collections::BTreeSet;

use dygl_spec::TableKind;
use rayon::prelude::*;
use serde::Serialize;

use super::ReportError;
use super::page::File;
use crate::plot::{self, Bubble, Drawing, View};
use crate::table::costs::{CostCard, PUBLISHED_RULE, ShownDice, TRUE_RULE, shown_dice, sizes};
use crate::table::results::Results;

/// A figure on the page.
#[derive(Debug, Serialize)]
pub(super) struct Figure {
    title: String,
    /// SVG of our own.
    svg: String,
    /// Names of its files beside the page.
    files: Vec<String>,
}

/// How operations and parameters are counted.
#[derive(Debug, Clone, Copy)]
enum Counting {
    Published,
    Truly,
}

/// Draws the figures of a bubble chart, with their files; none for a table. The
/// files' names begin with `stem`.
pub(super) fn figures(results: &Results, stem: &str) -> Result<(Vec<Figure>, Vec<File>), ReportError> {
    if results.kind != TableKind::Bubble {
        return Ok((Vec::new(), Vec::new()));
    }
    let shown = shown_dice(&results.costs);
    let wanted: Vec<(View, Counting)> = [View::Accuracy, View::Costs]
        .into_iter()
        .flat_map(|view| [Counting::Published, Counting::Truly].map(|counting| (view, counting)))
        .collect();
    let drawings: Vec<Drawing> = wanted
        .par_iter()
        .map(|(view, counting)| {
            let bubbles = bubbles(&results.costs, &shown, *counting);
            plot::bubbles(*view, &bubbles, &caption(results, &shown, *view, *counting))
        })
        .collect::<Result<_, _>>()?;
    let mut figures = Vec::new();
    let mut files = Vec::new();
    for ((view, counting), drawing) in wanted.into_iter().zip(drawings) {
        let name = format!("{stem}-{}-{}", view_name(view), counting_name(counting));
        let names = ["svg", "png"].map(|ending| format!("{name}.{ending}"));
        files.push((names[0].clone(), drawing.svg.into_bytes()));
        files.push((names[1].clone(), drawing.png));
        figures.push(Figure { title: title(view, counting), svg: drawing.inline, files: names.into() });
    }
    Ok((figures, files))
}

fn view_name(view: View) -> &'static str {
    match view {
        View::Accuracy => "accuracy",
        View::Costs => "costs",
    }
}

fn counting_name(counting: Counting) -> &'static str {
    match counting {
        Counting::Published => "published",
        Counting::Truly => "true",
    }
}

fn title(view: View, counting: Counting) -> String {
    let view = match view {
        View::Accuracy => "Accuracy against operations",
        View::Costs => "Operations against parameters, as the paper draws it",
    };
    match counting {
        Counting::Published => format!("{view}; counted as published"),
        Counting::Truly => format!("{view}; counted truly"),
    }
}

fn bubbles(cards: &[CostCard], shown: &[Option<ShownDice>], counting: Counting) -> Vec<Bubble> {
    let one = |(card, shown): (&CostCard, &Option<ShownDice>)| {
        let shown = (*shown)?;
        let (parameters, operations) = match counting {
            Counting::Published => (card.published.parameters, card.published.operations),
            Counting::Truly => (card.parameters, card.operations),
        };
        Some(Bubble {
            label: card.label.clone(),
            group: card.group,
            parameters: parameters as f64 / 1e6,
            operations: operations as f64 / 1e9,
            dice: shown.percent,
            is_reported: shown.is_reported,
        })
    };
    cards.iter().zip(shown).filter_map(one).collect()
}

/// Unit, image size, rule of counting, and where the mean Dice comes from.
fn caption(results: &Results, shown: &[Option<ShownDice>], view: View, counting: Counting) -> String {
    let sizes: Vec<String> = sizes(results).iter().map(|size| format!("{size} x {size}")).collect();
    let size = sizes.join(" or ");
    let datasets: BTreeSet<usize> = results.costs.iter().map(|card| card.dice.of).collect();
    let datasets = datasets.iter().map(usize::to_string).collect::<Vec<_>>().join(" or ");
    let rule = match counting {
        Counting::Published => format!("counted by the rules of {PUBLISHED_RULE}"),
        Counting::Truly => format!("counted truly: {TRUE_RULE}"),
    };
    let mut parts = vec![format!(
        "Operations: thousand millions (G) of multiply-accumulates for one image of {size}; parameters: \
         millions (M); {rule}."
    )];
    let reported = shown.iter().flatten().filter(|shown| shown.is_reported).count();
    let here = shown.iter().flatten().count() - reported;
    parts.push(match (reported, here) {
        (_, 0) => format!("mDice: mean Dice over {datasets} datasets as the paper reports it; none was reproduced."),
        (0, _) => format!("mDice: mean Dice over {datasets} datasets, reproduced here (profile {}).", results.profile),
        _ => format!(
            "mDice: mean Dice over {datasets} datasets; filled points reproduced here, hollow ones as the paper \
             reports them."
        ),
    });
    let left_out: Vec<&str> = results
        .costs
        .iter()
        .zip(shown)
        .filter(|(_, shown)| shown.is_none())
        .map(|(card, _)| card.label.as_str())
        .collect();
    if !left_out.is_empty() {
        parts.push(format!("Left out, without a comparable mDice: {}.", left_out.join(", ")));
    }
    if view == View::Costs {
        parts.push("The radius grows evenly from the lowest to the highest mDice shown.".to_owned());
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::samples;

    fn results() -> Results {
        Results { kind: TableKind::Bubble, ..samples::costs() }
    }

    #[test]
    fn four_figures_each_in_two_files() {
        let (drawn, files) = figures(&results(), "fig1").expect("drawn");
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "fig1-accuracy-published.svg",
                "fig1-accuracy-published.png",
                "fig1-accuracy-true.svg",
                "fig1-accuracy-true.png",
                "fig1-costs-published.svg",
                "fig1-costs-published.png",
                "fig1-costs-true.svg",
                "fig1-costs-true.png"
            ]
        );
        assert_eq!(drawn.len(), 4);
        // The network that is registered twice is in another place.
        assert!(drawn[0].svg.contains("17.75 G") && drawn[1].svg.contains("8.55 G"));
        assert!(figures(&samples::costs(), "table7").expect("a table").0.is_empty());
    }

    #[test]
    fn the_caption_says_what_was_counted_and_whose_dice_it_is() {
        let mut results = results();
        let text = |results: &Results| {
            caption(results, &shown_dice(&results.costs), View::Accuracy, Counting::Published)
        };
        let told = text(&results);
        for expected in ["224 x 224", "thop 0.1.1", "multiply-accumulates", "none was reproduced"] {
            assert!(told.contains(expected), "{expected}: {told}");
        }
        results.costs[0].dice.value = Some(0.9);
        assert!(text(&results).contains("hollow ones as the paper reports them"));
        results.costs[0].dice.departs = "train.epochs = 3 instead of 200".into();
        results.profile = "quick".into();
        let told = text(&results);
        assert!(told.contains("profile quick") && told.contains("Left out"), "{told}");
    }

    /// The files as they are; regenerate with `INSTA_UPDATE=always` and look at them.
    #[test]
    fn the_drawings_are_these() {
        let (_, files) = figures(&results(), "fig1").expect("drawn");
        for (name, content) in files.iter().filter(|(name, _)| name.ends_with(".svg")) {
            insta::assert_snapshot!(name.trim_end_matches(".svg"), String::from_utf8_lossy(content));
        }
    }
}
