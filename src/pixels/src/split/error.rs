//! Why a dataset cannot be divided as asked, with the remedy.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// An error between a dataset and `[split]`.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    /// Groups are to stay whole, and none are known.
    #[error(
        "dataset `{dataset}` does not say which images belong together (patient, slide, video), so \
         split.source = \"{wanted}\" cannot keep groups whole; {}", .remedy.as_deref().unwrap_or(&these(.have, "groups"))
    )]
    NoGroups {
        /// Id of the dataset.
        dataset: String,
        /// The `split.source` that was asked for.
        wanted: &'static str,
        /// What to change in the manifest; none where the dataset is not the user's own.
        remedy: Option<String>,
        /// Ids of the built-in datasets that have groups.
        have: Vec<String>,
    },
    /// Groups are to stay whole, and those of the dataset are in doubt.
    #[error(
        "dataset `{dataset}`: split.source = \"{wanted}\" cannot keep groups whole: {doubt}; \
         mend its group and register it anew, or divide it otherwise"
    )]
    DoubtfulGroups {
        /// Id of the dataset.
        dataset: String,
        /// The `split.source` that was asked for.
        wanted: &'static str,
        /// What speaks against the groups, as the registration noted it.
        doubt: String,
    },
    /// The official split is wanted of a dataset without one.
    #[error(
        "dataset `{dataset}` has no official split; {}; split.source = \"seeded\" divides any dataset",
        these(.have, "one")
    )]
    NoOfficial {
        /// Id of the dataset.
        dataset: String,
        /// Ids of the built-in datasets that have one.
        have: Vec<String>,
    },
    /// Images of the dataset are in no part of its official split.
    #[error(
        "dataset `{dataset}`: {without} image(s), the first `{first}`, are in no part of its official split; \
         restore the folders by part and register it anew"
    )]
    PartlyOfficial {
        /// Id of the dataset.
        dataset: String,
        /// How many they are.
        without: usize,
        /// Id of the first of them.
        first: String,
    },
    /// There are more folds than images, or than groups.
    #[error("dataset `{dataset}` has {units} {what}, too few for {folds} folds; lower split.folds")]
    TooFewForFolds {
        /// Id of the dataset.
        dataset: String,
        /// Images or groups that there are.
        units: usize,
        /// Which of them: `images` or `groups`.
        what: &'static str,
        /// The `split.folds` that was asked for.
        folds: usize,
    },
    /// The fold that is to test does not exist.
    #[error("split.fold = {fold} names no fold: with split.folds = {folds} they are 0 to {}", .folds.saturating_sub(1))]
    NoSuchFold {
        /// The `split.fold` that was asked for, from 0.
        fold: usize,
        /// How many folds there are.
        folds: usize,
    },
    /// No fold is left to train.
    #[error(
        "split.folds = {folds} is too few: one fold tests{} and the others train; set it to {least} or more",
        if *.least > 2 { ", the next validates" } else { "" }
    )]
    TooFewFolds {
        /// The `split.folds` that was asked for.
        folds: usize,
        /// The least that does: 3 where one fold validates, else 2.
        least: usize,
    },
    /// The parts are to come from a file, and none is named.
    #[error(
        "split.source = \"file\" needs split.file; `dygl dataset split {dataset} --out FILE` writes one to start from"
    )]
    NoFile {
        /// Id of the dataset.
        dataset: String,
    },
    /// The ending of the split file's name is none that is read.
    #[error("{}: a split file ends in .toml, .csv or .txt", .path.display())]
    FileType {
        /// The file that was named.
        path: PathBuf,
    },
    /// The split file cannot be read.
    #[error("{}: the split file cannot be read: {source}", .path.display())]
    Read {
        /// The split file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The split file cannot be written.
    #[error("{}: the split file cannot be written: {source}", .path.display())]
    Write {
        /// The split file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The split file does not fit the dataset, or is malformed.
    #[error(
        "{}: {} mistake(s) in the split file of `{dataset}`:{}\n  `dygl dataset split {dataset} --out FILE` \
         writes a file that lists every image", .path.display(), .mistakes.len(), list(.path, .mistakes)
    )]
    File {
        /// The split file.
        path: PathBuf,
        /// Id of the dataset that it is to divide.
        dataset: String,
        /// All that is wrong in it.
        mistakes: Vec<Mistake>,
    },
}

/// One thing wrong in a split file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// From 1; `None` where it is about the file as a whole.
    pub line: Option<usize>,
    /// What is wrong there, without file and line.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{line}: {}", self.message),
            None => write!(f, " {}", self.message),
        }
    }
}

fn these(have: &[String], what: &str) -> String {
    if have.is_empty() {
        format!("none has {what}")
    } else {
        format!("these have {what}: {}", have.join(", "))
    }
}

/// The first mistakes, one a line, each as `FILE:LINE: message`.
fn list(path: &std::path::Path, mistakes: &[Mistake]) -> String {
    const SHOWN: usize = 20;
    let line = |mistake: &Mistake| format!("\n  {}:{mistake}", path.display());
    let mut text: String = mistakes.iter().take(SHOWN).map(line).collect();
    if mistakes.len() > SHOWN {
        text.push_str(&format!("\n  and {} more", mistakes.len() - SHOWN));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_to_do() {
        let (dataset, have) = ("ph2".into(), vec!["tnbc".into()]);
        let error = SplitError::NoGroups { dataset, wanted: "by-group", remedy: None, have };
        assert!(error.to_string().ends_with("these have groups: tnbc"), "{error}");
        let error = SplitError::NoSuchFold { fold: 5, folds: 5 };
        assert_eq!(error.to_string(), "split.fold = 5 names no fold: with split.folds = 5 they are 0 to 4");
    }

    #[test]
    fn mistakes_have_file_and_line_and_a_long_list_is_cut() {
        let mistakes: Vec<Mistake> =
            (1..=25).map(|line| Mistake { line: Some(line), message: "x".into() }).collect();
        let error = SplitError::File { path: "a.csv".into(), dataset: "tnbc".into(), mistakes };
        let text = error.to_string();
        assert!(text.contains("\n  a.csv:1: x\n") && text.contains("and 5 more"), "{text}");
    }
}
