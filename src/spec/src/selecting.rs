//! A rule that selects the best epoch needs epochs that are scored, on images that
//! are there. Where nothing could be selected the last epoch would be kept under
//! another name; so that is a mistake.

use std::collections::{BTreeMap, BTreeSet};

use super::check::{View, between};
use super::choice::DatasetNames;
use super::diagnostic::Diagnostic;
use super::experiment::Substitute;
use super::name::Named;
use super::protocol::{Part, Protocol, SelectionRule};

/// Why there is no epoch to select.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum NothingToSelect {
    /// No epoch is to be scored.
    #[error("`selection.every` is 0, which scores no epoch")]
    Never,
    /// The first epoch to be scored lies beyond the last.
    #[error("`selection.every` is {every}, and the training ends after {epochs} epochs: none is scored")]
    TooLate {
        /// `selection.every`, epochs.
        every: usize,
        /// `train.epochs`, fewer than that.
        epochs: usize,
    },
    /// The part that is to be scored is empty.
    #[error("the {} part, which `selection.part` scores, holds no image", word(*part))]
    NoImages {
        /// `selection.part`.
        part: Part,
    },
}

fn word(part: Part) -> &'static str {
    match part {
        Part::Train => "training",
        Part::Validation => "validation",
        Part::Test => "test",
    }
}

impl NothingToSelect {
    /// What to write instead.
    pub fn remedies(self) -> &'static [&'static str] {
        match self {
            NothingToSelect::Never => &["set selection.every to 1 or more"],
            NothingToSelect::TooLate { .. } => {
                &["set selection.every to at most train.epochs, or selection.rule to last"]
            }
            NothingToSelect::NoImages { .. } => &[
                "set selection.rule to last: the last epoch is kept",
                "or divide the data with such a part: `counts` in the manifest of a dataset of your own, or \
                 split.source = \"file\" with lists of your own (`dygl dataset split NAME --out FILE` writes some \
                 to start from)",
            ],
        }
    }
}

impl Protocol {
    /// Why its rule could select no epoch where `images` is the number of images of the
    /// selection part; `None` where it can, or where the rule takes the last epoch.
    pub fn nothing_to_select(&self, images: usize) -> Option<NothingToSelect> {
        let (part, every, epochs) = (self.selection.part, self.selection.every, self.train.epochs);
        match self.selection.rule {
            SelectionRule::Last => None,
            SelectionRule::BestDice if every == 0 => Some(NothingToSelect::Never),
            SelectionRule::BestDice if every > epochs => Some(NothingToSelect::TooLate { every, epochs }),
            SelectionRule::BestDice if images == 0 => Some(NothingToSelect::NoImages { part }),
            SelectionRule::BestDice => None,
        }
    }
}

const RULE: &str = "selection.rule";
const EVERY: &str = "selection.every";
const DATASET: &str = "dataset";

/// Rules that could select nothing, as far as that is known before the data are there.
pub(super) fn check(
    view: &View<'_>,
    datasets: &dyn DatasetNames,
    substitutes: &[Substitute],
    found: &mut Vec<Diagnostic>,
) {
    epochs(view, found);
    images(view, datasets, substitutes, found);
}

/// No epoch is scored, whatever the data.
fn epochs(view: &View<'_>, found: &mut Vec<Diagnostic>) {
    let mut told = BTreeSet::new();
    for (protocol, places) in view.protocols(&[RULE, EVERY, "train.epochs"]) {
        let Some(why) = protocol.nothing_to_select(usize::MAX).filter(|why| told.insert(*why)) else {
            continue;
        };
        let [(_, rule), (_, every), ..] = places.as_slice() else { continue };
        let message = format!("the best epoch cannot be selected: {why}");
        let first = (*every, "scores no epoch");
        found.push(with_remedies(between(view, first, (*rule, "selects the best epoch"), message), why));
    }
}

/// The part that is scored is known to be empty.
fn images(
    view: &View<'_>,
    datasets: &dyn DatasetNames,
    substitutes: &[Substitute],
    found: &mut Vec<Diagnostic>,
) {
    let paths = [
        RULE,
        DATASET,
        EVERY,
        "selection.part",
        "train.epochs",
        "split.source",
        "split.seed",
        "split.folds",
        "split.fold",
        "split.file",
    ];
    let mut told = BTreeSet::new();
    // Dividing a dataset takes a while; sweeps ask the same again and again.
    let mut known: BTreeMap<String, bool> = BTreeMap::new();
    for (protocol, places) in view.protocols(&paths) {
        // What is wrong without any data has been told.
        if protocol.nothing_to_select(0) != protocol.nothing_to_select(usize::MAX)
            && let [(_, rule), (dataset, dataset_at), ..] = places.as_slice()
            && let Some(asked) = dataset.as_str().and_then(|text| Named::parse(text).ok())
        {
            let used = substitutes.iter().find(|substitute| substitute.asked == asked);
            let used = used.map_or(&asked, |substitute| &substitute.used);
            let part = protocol.selection.part;
            let lacks = *known
                .entry(format!("{used} {part:?} {:?}", protocol.split))
                .or_insert_with(|| datasets.lacks_part(used, &protocol.split, part));
            let source = protocol.split.source.name();
            let Some(why) = protocol.nothing_to_select(0).filter(|_| lacks) else { continue };
            if told.insert((used.clone(), source, part)) {
                let message =
                    format!("the best epoch cannot be selected on `{used}`, divided by `{source}`: {why}");
                let label = format!("has no {} images", word(part));
                let mistake =
                    between(view, (*rule, "selects the best epoch"), (*dataset_at, &label), message);
                found.push(with_remedies(mistake, why));
            }
        }
    }
}

fn with_remedies(mistake: Diagnostic, why: NothingToSelect) -> Diagnostic {
    why.remedies().iter().fold(mistake, |mistake, remedy| mistake.help(*remedy))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{load_with, protocol};

    const FILE: &str = "[experiment]\nname='test'\ntitle='T'\nquestion='Q'\n[matrix]\nmodel=['unet']\n\
                        dataset=['kvasir-seg', 'tnbc']\nseed=[42]\n";

    fn told(set: &[&str]) -> Vec<String> {
        match load_with(FILE, None, set) {
            Ok(_) => Vec::new(),
            Err(found) => found.list.into_iter().map(|mistake| mistake.message).collect(),
        }
    }

    #[test]
    fn the_last_epoch_is_always_there_and_the_best_needs_scores() {
        let mut protocol = protocol();
        (protocol.selection.every, protocol.train.epochs) = (0, 5);
        assert_eq!(protocol.nothing_to_select(0), None);
        protocol.selection.rule = SelectionRule::BestDice;
        assert_eq!(protocol.nothing_to_select(3), Some(NothingToSelect::Never));
        protocol.selection.every = 6;
        let late = protocol.nothing_to_select(3).expect("told").to_string();
        assert_eq!(late, "`selection.every` is 6, and the training ends after 5 epochs: none is scored");
        protocol.selection.every = 5;
        assert_eq!(protocol.nothing_to_select(3), None);
        let empty = NothingToSelect::NoImages { part: Part::Validation };
        assert_eq!(protocol.nothing_to_select(0), Some(empty));
    }

    #[test]
    fn epochs_that_are_never_scored_are_refused_for_every_value_of_a_sweep() {
        let best = "selection.rule=best-dice";
        let set = [best, "selection.every=0,10,200", "dataset=kvasir-seg"];
        let told = told(&set);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains("is 0") && told[1].contains("is 200"), "{told:?}");
    }

    #[test]
    fn a_part_without_images_is_refused_with_its_dataset() {
        // Of the datasets that tests know, `tnbc` has no validation part.
        let best = "selection.rule=best-dice";
        let message = "the best epoch cannot be selected on `tnbc`, divided by `manifest`: the validation part, \
                       which `selection.part` scores, holds no image";
        assert_eq!(told(&[best]), [message]);
        assert_eq!(told(&["selection.rule=best-dice,last"]), [message]);
        assert_eq!(told(&[best, "split.source=k-fold", "split.fold=0,1,2"]).len(), 1);
        for fine in
            [&[][..], &["selection.rule=last"], &[best, "selection.part=test"], &[best, "dataset=glas"]]
        {
            assert_eq!(told(fine), Vec::<String>::new(), "{fine:?}");
        }
        // What stands in counts, not what was asked for.
        let smoke = load_with(FILE, Some("smoke"), &[best]);
        assert!(smoke.is_ok(), "{:?}", smoke.err().map(|found| found.list));
    }

    #[test]
    fn the_mistake_points_at_the_rule_and_says_what_to_write() {
        let text = format!("{FILE}[protocol]\nselection.rule = 'best-dice'\n");
        let found = load_with(&text, None, &[]).expect_err("refused");
        let mistake = &found.list[0];
        let related = mistake.related.iter().map(|(_, text)| text.as_str());
        let shown: Vec<&str> = related.chain([&*mistake.label]).collect();
        let shown = format!("{found}\n{}", shown.join("\n"));
        for part in ["test.toml:10:18", "selects the best epoch", "has no validation images", "rule to last"]
        {
            assert!(shown.contains(part), "{part} is missing in\n{shown}");
        }
    }
}
