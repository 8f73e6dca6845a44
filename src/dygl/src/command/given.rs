//! What the user names must be there: asked once, before any verb begins.

use std::path::Path;

use dygl_base::exit::{Exit, Failure};
use dygl_spec::project;
use dygl_store::Store;

use crate::cli::{Common, Dataset, Model, Selection, StoreVerb, Verb};

/// What a verb does with the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Reads,
    /// It makes the folder where it is not there.
    Makes,
}

/// Refuses a store or a data folder that was named and is not there.
///
/// # Errors
/// Exit 3 with the path and what is wrong with it.
pub fn check(verb: &Verb) -> Result<(), Failure> {
    let Some((common, how)) = common(verb) else { return Ok(()) };
    if let Some(selection) = selection(verb) {
        let set = selection.set.iter().filter_map(|text| text.strip_prefix("ops.data="));
        let named = selection.data.iter().map(|data| ("--data", data.as_path()));
        for (option, data) in named.chain(set.map(|data| ("--set ops.data", Path::new(data)))) {
            if !data.is_dir() {
                return Err(absent(option, data, "the folder that holds the datasets by id"));
            }
        }
    }
    let store = Store::at(&common.store);
    let is_there =
        store.is_there().map_err(|error| Failure::new(Exit::Environment, format!("--store {error}")))?;
    if !is_there && how == Use::Reads && is_named(common) {
        let what = "`dygl run` and `dygl dataset add` make a store";
        return Err(absent("--store", &common.store, what));
    }
    Ok(())
}

/// Whether the store is another than the one that a project has by itself,
/// which need not have been made yet.
pub fn is_named(common: &Common) -> bool {
    common.store != project::store()
}

fn absent(option: &str, path: &Path, what: &str) -> Failure {
    let text = format!("{option} {}: there is no such folder; {what}", path.display());
    Failure::new(Exit::Environment, text)
}

/// Of the verbs that are about cells.
fn selection(verb: &Verb) -> Option<&Selection> {
    match verb {
        Verb::Run(run) => Some(&run.selection),
        Verb::Plan(selection) | Verb::Status(selection) | Verb::Explain(selection) => Some(selection),
        Verb::Report(report) => Some(&report.selection),
        Verb::Check(check) => Some(&check.selection),
        _ => None,
    }
}

fn common(verb: &Verb) -> Option<(&Common, Use)> {
    let common = match verb {
        Verb::Run(run) => return Some((&run.selection.common, Use::Makes)),
        Verb::Dataset(Dataset::Add { common, .. }) => return Some((common, Use::Makes)),
        Verb::Plan(selection) | Verb::Status(selection) | Verb::Explain(selection) => &selection.common,
        Verb::Report(report) => &report.selection.common,
        Verb::Check(check) => &check.selection.common,
        Verb::Audit(audit) => &audit.common,
        Verb::Show(key) | Verb::Logs(key) | Verb::Reproduce(key) => &key.common,
        Verb::Predict(predict) => &predict.common,
        Verb::Dataset(Dataset::List(common))
        | Verb::Dataset(Dataset::Verify { common, .. })
        | Verb::Dataset(Dataset::Split { common, .. })
        | Verb::Dataset(Dataset::Audit { common, .. }) => common,
        Verb::Dataset(Dataset::Preview(preview)) => &preview.common,
        Verb::Model(Model::List(common)) => common,
        Verb::Store(StoreVerb::List(common) | StoreVerb::Verify(common)) => common,
        Verb::Store(StoreVerb::Unlock(key)) => &key.common,
        Verb::Cost(cost) => &cost.common,
        // `doctor` tells of it among its findings.
        Verb::Dataset(Dataset::Template) | Verb::Model(_) | Verb::Doctor(_) | Verb::Completions { .. } => {
            return None;
        }
    };
    Some((common, Use::Reads))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    fn told(words: &[&str], store: &Path) -> Option<String> {
        let store = store.to_str().expect("UTF-8");
        let all = [&["dygl"], words, &["--store", store]].concat();
        let cli = Cli::try_parse_from(all).expect("a command line");
        check(&cli.verb).err().map(|failure| {
            assert_eq!(failure.exit, Exit::Environment);
            failure.message
        })
    }

    const READING: [&[&str]; 19] = [
        &["plan", "a"],
        &["status", "a"],
        &["explain", "a"],
        &["report", "a"],
        &["check", "a"],
        &["audit"],
        &["show", "aaaa"],
        &["logs", "aaaa"],
        &["reproduce", "aaaa"],
        &["predict", "--run", "aaaa", "a.png", "--out", "b"],
        &["dataset", "list"],
        &["dataset", "verify", "a"],
        &["dataset", "split", "a"],
        &["dataset", "audit", "a"],
        &["dataset", "preview", "a"],
        &["store", "list"],
        &["store", "verify"],
        &["store", "unlock", "aaaa"],
        &["cost"],
    ];
    const MAKING: [&[&str]; 2] = [&["run", "a"], &["dataset", "add", "a", "b"]];

    #[test]
    fn a_named_store_is_a_folder_that_is_there() {
        let folder = tempfile::tempdir().expect("folder");
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "").expect("written");
        symlink(at("nowhere"), at("link")).expect("linked");
        for words in READING {
            let text = told(words, &at("absent")).unwrap_or_else(|| panic!("{words:?} goes on"));
            assert!(text.contains("absent") && text.contains("no such folder"), "{text}");
        }
        for words in READING.iter().chain(&MAKING) {
            let text = told(words, &at("file")).unwrap_or_else(|| panic!("{words:?} goes on"));
            assert!(text.contains("this is a file"), "{text}");
            let text = told(words, &at("link")).unwrap_or_else(|| panic!("{words:?} goes on"));
            assert!(text.contains("nowhere, which is not there"), "{text}");
            assert!(told(words, &at("file/below")).is_some());
            assert_eq!(told(words, folder.path()), None);
            // A project's own need not have been made.
            assert_eq!(told(words, &project::store()), None);
        }
        for words in MAKING {
            assert_eq!(told(words, &at("absent")), None);
        }
        let text = told(&["run", "a", "--data", at("absent").to_str().expect("UTF-8")], folder.path());
        assert!(text.is_some_and(|text| text.contains("--data")));
    }

    #[test]
    fn a_data_folder_that_was_named_is_there_for_every_verb_about_cells() {
        let folder = tempfile::tempdir().expect("a folder");
        let here = folder.path().to_str().expect("UTF-8");
        for verb in ["run", "plan", "status", "explain", "report", "check"] {
            let with = |words: &[&str]| told(&[&[verb, "a"], words].concat(), folder.path());
            for (words, option) in [
                (["--data", "/no/such"], "--data /no/such"),
                (["--set", "ops.data=/no/such"], "--set ops.data /no"),
            ] {
                let message = with(&words).expect("refused");
                assert!(message.starts_with(option), "{verb}: {message}");
            }
            assert_eq!(with(&["--data", here]), None, "{verb}");
        }
    }
}
