//! Mistakes between the settings of `[protocol.split]`. Whether a dataset can
//! be divided so is found out when its ids are known.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::check::{Placed, View, between};
use super::diagnostic::Diagnostic;
use super::protocol::SplitSource;

/// A mistake between two values, its message and its remedy.
struct Clash<'a> {
    first: (Placed<'a>, &'static str),
    second: (Placed<'a>, &'static str),
    message: String,
    help: String,
}

/// Folds that do not exist, and settings that the source does not read.
pub(super) fn check(view: &View<'_>, found: &mut Vec<Diagnostic>) {
    let mut clashes = Vec::new();
    for values in view.combinations(&["split.source", "split.folds", "split.fold"]) {
        if let [source, folds, fold] = values.as_slice() {
            clashes.extend(folds_clash(*source, *folds, *fold));
        }
    }
    for values in view.combinations(&["split.source", "split.file"]) {
        if let [source, file] = values.as_slice() {
            clashes.extend(file_clash(*source, *file));
        }
    }
    let mut told = BTreeSet::new();
    for clash in clashes {
        // Combinations repeat a mistake.
        if told.insert(clash.message.clone()) {
            let [first, second] = [clash.first, clash.second].map(|((_, at), label)| (at, label));
            found.push(between(view, first, second, clash.message).help(clash.help));
        }
    }
}

fn parse(source: &Json) -> Option<SplitSource> {
    serde_json::from_value(source.clone()).ok()
}

fn folds_clash<'a>(source: Placed<'a>, folds: Placed<'a>, fold: Placed<'a>) -> Option<Clash<'a>> {
    let name = parse(source.0)?;
    let (count, place) = (folds.0.as_u64()?, fold.0.as_u64()?);
    if name.has_folds() {
        return (place >= count).then(|| Clash {
            first: (fold, "no such fold"),
            second: (folds, "folds"),
            message: format!("fold {place} is not among {count} folds"),
            help: format!("folds are counted from 0: the last is {}", count.saturating_sub(1)),
        });
    }
    (place > 0).then(|| Clash {
        first: (fold, "has no effect"),
        second: (source, "makes no folds"),
        message: format!("`split.fold` means nothing where split.source is `{}`", name.name()),
        help: "set split.source to k-fold or grouped-k-fold".to_owned(),
    })
}

fn file_clash<'a>(source: Placed<'a>, file: Placed<'a>) -> Option<Clash<'a>> {
    let name = parse(source.0)?;
    let is_given = file.0.as_str().is_some_and(|path| !path.is_empty());
    match (name, is_given) {
        (SplitSource::File, false) => Some(Clash {
            first: (source, "takes its lists from a file"),
            second: (file, "names none"),
            message: "`split.source` is `file`, but `split.file` names none".to_owned(),
            help: "set split.file; dygl dataset split NAME --out FILE writes one to start from".to_owned(),
        }),
        (SplitSource::File, true) | (_, false) => None,
        (other, true) => Some(Clash {
            first: (file, "has no effect"),
            second: (source, "reads no file"),
            message: format!("`split.file` means nothing where split.source is `{}`", other.name()),
            help: "set split.source to file".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::load_with;

    const FILE: &str = "[experiment]\nname='test'\ntitle='T'\nquestion='Q'\n[matrix]\nmodel=['unet']\ndataset=['ph2']\nseed=[42]\n";

    fn messages(set: &[&str]) -> Vec<String> {
        match load_with(FILE, None, set) {
            Ok(_) => Vec::new(),
            Err(found) => found.list.into_iter().map(|diagnostic| diagnostic.message).collect(),
        }
    }

    #[test]
    fn folds_sweep_as_an_axis() {
        let set = ["split.source=k-fold", "split.fold=0,1,2,3,4"];
        let loaded = load_with(FILE, None, &set).expect("valid");
        assert_eq!(crate::plan::Plan::expand(&loaded).cells.len(), 5);
        assert_eq!(messages(&["split.source=k-fold", "split.fold=4,5,6"]).len(), 2);
        assert_eq!(
            messages(&["split.source=grouped-k-fold", "split.folds=3", "split.fold=3"]),
            ["fold 3 is not among 3 folds"]
        );
        assert_eq!(
            messages(&["split.fold=0,1"]),
            ["`split.fold` means nothing where split.source is `manifest`"]
        );
    }

    #[test]
    fn a_file_and_its_source_belong_together() {
        assert_eq!(
            messages(&["split.source=file"]),
            ["`split.source` is `file`, but `split.file` names none"]
        );
        assert_eq!(
            messages(&["split.file=a.csv"]),
            ["`split.file` means nothing where split.source is `manifest`"]
        );
        assert_eq!(messages(&["split.source=file", "split.file=a.csv"]), [""; 0]);
    }
}
