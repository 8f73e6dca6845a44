//! Mistakes in what was written, as people read them: each with its line and a mark under
//! the place.

use codespan_reporting::diagnostic as codespan;
use codespan_reporting::files::SimpleFiles;
use codespan_reporting::term::{self, Styles, StylesWriter, termcolor};
use dygl_base::exit::{Exit, Failure};
use dygl_spec::{Diagnostic, Diagnostics};

/// The failure of a command that was given these mistakes.
pub fn refused(found: &Diagnostics) -> Failure {
    Failure::new(Exit::Usage, shown(found))
}

/// As they are written to standard error.
pub fn shown(found: &Diagnostics) -> String {
    render(found, super::colour_err())
}

/// Every mistake with its source line and caret, then a count.
fn render(found: &Diagnostics, color: bool) -> String {
    let mut files = SimpleFiles::new();
    for (origin, text) in found.sources.iter() {
        files.add(origin.to_string(), text);
    }
    let config = term::Config::default();
    let mut buffer = if color { termcolor::Buffer::ansi() } else { termcolor::Buffer::no_color() };
    let styles = Styles::default();
    for diagnostic in &found.list {
        let shown = to_codespan(diagnostic);
        let mut writer = StylesWriter::new(&mut buffer, &styles);
        if term::emit_to_write_style(&mut writer, &config, &files, &shown).is_err() {
            // A place outside its text: show the words without the picture.
            let plain = codespan::Diagnostic { labels: Vec::new(), ..shown };
            let _ = term::emit_to_write_style(&mut writer, &config, &files, &plain);
        }
    }
    let mut text = String::from_utf8_lossy(buffer.as_slice()).into_owned();
    text.truncate(text.trim_end().len());
    text.push_str(&match found.list.len() {
        1 => "\n\n1 mistake\n".to_owned(),
        n => format!("\n\n{n} mistakes\n"),
    });
    text
}

fn to_codespan(diagnostic: &Diagnostic) -> codespan::Diagnostic<usize> {
    let mut labels = Vec::new();
    if let Some(at) = diagnostic.at {
        labels.push(codespan::Label::primary(at.source, at.span()).with_message(&*diagnostic.label));
    }
    for (at, text) in &diagnostic.related {
        labels.push(codespan::Label::secondary(at.source, at.span()).with_message(text));
    }
    let notes = diagnostic.help.iter().map(|help| format!("help: {help}")).collect();
    codespan::Diagnostic::error().with_message(&diagnostic.message).with_labels(labels).with_notes(notes)
}

#[cfg(test)]
mod tests {
    use dygl_spec::source::{At, Origin};
    use dygl_spec::testing::{load_text, load_with};

    use super::*;

    #[test]
    fn colours_are_for_terminals() {
        let mut found = Diagnostics::default();
        let id = found.sources.add(Origin::Embedded("x.toml"), "[train]\nepoch = 3\n");
        found.push(Diagnostic::new(At::new(id, 8..13), "unknown key `epoch`"));
        let shown = render(&found, false);
        assert!(shown.contains("built-in:x.toml:2:1"), "{shown}");
        assert!(shown.ends_with("1 mistake\n") && !shown.contains('\u{1b}'), "{shown}");
        assert!(render(&found, true).contains('\u{1b}'));
    }

    #[test]
    fn a_place_outside_the_text_does_not_hide_the_message() {
        let mut found = Diagnostics::default();
        found.push(Diagnostic::new(At::new(7, 0..3), "lost"));
        assert!(render(&found, false).contains("lost"));
    }

    #[test]
    fn all_mistakes_at_once() {
        let file = r#"# Question: what do mistakes look like?
[experiment]
name = "all mistakes"
title = 7
qestion = "?"

[matrix]
model = ["unet", "dygl_net", { name = "unet", variant = "tabel-exact" }, "dyglnet", "unet"]
dataset = ["kvasir", "ph2"]
seed = [42, -1, "x"]
"loss.lamda" = [0.3]
"loss.lambda" = []
zip = [["model", "seed"]]

[protocol]
image.size = 100
augment.crop.scale = [1.0, 0.5]
optimizer.learning_rate = 0
train = { epochs = 5, batch_size = 2.5 }

[table]
metrics = ["dice", "recal"]

[opts]
jobs = 2
"#;
        let sets = ["trian.epochs=3", "ops.jobs=many", "augment.horizontal_flip=1.5", "seed"];
        let diagnostics = load_with(file, Some("quik"), &sets).expect_err("mistakes");
        insta::assert_snapshot!("all_mistakes_at_once", render(&diagnostics, false));
    }

    #[test]
    fn broken_toml_is_shown_in_place() {
        let diagnostics =
            load_text("[experiment]\nname = \"x\ntitle = 'T'\n[matrix\n").expect_err("mistakes");
        insta::assert_snapshot!("broken_toml", render(&diagnostics, false));
    }
}
